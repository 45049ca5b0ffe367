"""What the package says of itself: doctor and methods."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import saliency
from saliency import chainer_compat
from saliency.commands import doctor, main
from saliency.lrp import PRESETS

import chainer

ROOT = Path(saliency.__file__).parents[1]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


class TestDoctor:
    def test_versions_and_the_gpu(self, capsys: pytest.CaptureFixture[str]) -> None:
        shown = printed(capsys, "doctor")
        lines = dict(re.findall(r"^(\S+) +(.+)$", shown, re.M))
        assert lines["chainer-saliency"] == saliency.__version__
        assert lines["numpy"] == np.__version__
        assert lines["chainer"] == chainer.__version__
        assert re.search(r"\d+ thread", lines["BLAS"])
        problem = chainer_compat.gpu_problem()
        assert lines["GPU"] == (problem or "can be used: --device @cupy:0")

    def test_where_compiled_code_is_kept(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        monkeypatch.setenv("SALIENCY_CACHE_DIR", str(tmp_path / "here"))
        shown = printed(capsys, "doctor")
        assert re.search(
            f"^compiled code +is kept in {tmp_path / 'here'}$", shown, re.M
        )
        monkeypatch.setenv("SALIENCY_CACHE_DIR", "")
        shown = printed(capsys, "doctor")
        assert re.search("^compiled code +is not kept$", shown, re.M)

    def test_the_extras_are_those_of_the_project(self) -> None:
        tomllib = pytest.importorskip("tomllib")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        extras = {
            name: {re.split(r"[\[<>=!]", one)[0] for one in needed}
            for name, needed in project["project"]["optional-dependencies"].items()
        }
        for of_developers in ("dev", "docs"):
            extras.pop(of_developers, None)
        own = {name: needed - {"chainer-saliency"} for name, needed in extras.items()}
        found = {extra.name: set(extra.packages) for extra in doctor.EXTRAS}
        assert found.keys() == own.keys()
        for name, needed in own.items():
            assert needed <= found[name], name

    def test_what_is_missing(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there = doctor.version_of
        monkeypatch.setattr(
            doctor, "version_of", lambda name: None if name == "rdkit" else there(name)
        )
        shown = printed(capsys, "doctor")
        assert "SMILES and SDF, pictures of molecules (needs rdkit)\n" in shown

    def test_a_chainer_that_cannot_be_imported(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def imported(name: str) -> object:
            raise ImportError("chainer is not installed")

        monkeypatch.setattr(doctor, "importlib", importlib)
        monkeypatch.setattr(doctor, "_problem_of_chainer", lambda: "it is not there")
        assert main(["doctor"]) == 1
        shown = capsys.readouterr()
        assert shown.err == "error: Chainer cannot be imported: it is not there\n"
        assert "not looked for" in shown.out


class TestMethods:
    def test_every_public_calculator_has_a_line(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = dict(re.findall(r"^(\S+)  +(.+)$", printed(capsys, "methods"), re.M))
        public = {
            name.removesuffix("Calculator").lower()
            for name in saliency.__all__
            if name.endswith("Calculator") and name != "BaseCalculator"
        }
        assert len(public) >= 10
        calculators = {name.replace("-", "") for name in lines if ":" not in name}
        assert calculators == public
        assert {name[4:] for name in lines if ":" in name} == PRESETS.keys()
        assert all(text.endswith((".", ";")) or text for text in lines.values())
        assert not any(":math:" in text or "``" in text for text in lines.values())

    @pytest.mark.parametrize("name", ["SmoothGrad", "smooth_grad", "smooth-grad"])
    def test_one_of_them_with_its_settings(
        self, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shown = printed(capsys, "methods", name)
        assert "Smilkov et al. (2017)" in shown
        assert ":class:" not in shown
        assert shown.endswith("with their defaults: multiply_target=False\n")

    def test_a_preset(self, capsys: pytest.CaptureFixture[str]) -> None:
        shown = printed(capsys, "methods", "lrp:gamma")
        assert shown.startswith("lrp:gamma: The gamma rule: ")
        assert "Settings for --set, with their defaults: rule='epsilon', " in shown

    def test_a_setting_without_a_default(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shown = printed(capsys, "methods", "expected-gradients")
        assert shown.endswith("with their defaults: background, steps=50\n")

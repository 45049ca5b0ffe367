"""The script of examples/text, run as a newcomer runs it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from tests.scripts import run_script
from tests.text.example import FOLDER

pytestmark = pytest.mark.large


def run(*arguments):
    run_script(FOLDER / "sentiment.py", *arguments)


def assert_are_pictures(folder):
    with Image.open(folder / "sentences.png") as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50
    document = (folder / "sentences.html").read_text(encoding="utf-8")
    assert document.count('<span style="background:') > 50


@pytest.mark.parametrize("network", ["rnn", "cnn"])
def test_generated_sentences(network, tmp_path, capsys):
    pytest.importorskip("afinn", reason="needs afinn: pip install afinn")
    run(
        *("--network", network, "--n-train", 2000, "--n-test", 100),
        *("--n-explain", 60, "--epoch", 8, "--M", 2, "--out", tmp_path),
    )
    printed = capsys.readouterr().out
    assert "2000 + 100 generated sentences with valences of AFINN-en-165" in printed
    assert float(re.search(r"^test R2: (\S+)$", printed, re.M)[1]) > 0.5
    table = re.findall(r"^\| (.+?) \| (-?\d\.\d+) .*\| (\S+)% \|$", printed, re.M)
    rho = {name: float(mean) for name, mean, _ in table}
    assert len(rho) == 9
    assert abs(rho["gradient"]) < 0.35
    for name in ("IntegratedGradients", "Occlusion", "LRP (epsilon)"):
        assert rho["gradient"] + 0.2 < rho[name] < rho["truth, ties broken"]
    assert_are_pictures(tmp_path)


def test_reviews(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, n in (("train", 200), ("test", 40)):
        lines = []
        for _ in range(n):
            t = rng.integers(2)
            fillers = rng.choice(["the", "film", "plot", "is", "a"], 12).tolist()
            lines.append(" ".join([str(t), *fillers, ("dull", "fine")[t], "."]))
        (tmp_path / f"stsa.binary.{name}").write_text("\n".join(lines))
    run(
        *("--data", "sst", "--folder", tmp_path, "--network", "bow"),
        *("--epoch", 10, "--M", 2, "--out", tmp_path / "out"),
    )
    printed = capsys.readouterr().out
    assert "Data: 200 + 40 sentences of film reviews" in printed
    assert float(re.search(r"^test accuracy: (\S+)$", printed, re.M)[1]) > 0.9
    assert re.search(r"^\| IntegratedGradients \| fine .* \| dull ", printed, re.M)
    assert_are_pictures(tmp_path / "out")

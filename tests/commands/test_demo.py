"""The demo of an installed package, and what it says to try next."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saliency import Explanation
from saliency.commands import main

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.mark.large
def test_the_demo_and_what_it_says_to_try_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rdkit")
    monkeypatch.chdir(tmp_path)
    state = np.random.get_state()[1].tolist()
    assert main(["demo"]) == 0
    assert np.random.get_state()[1].tolist() == state
    shown = capsys.readouterr()
    assert shown.err == ""
    share = re.search(r"recognizes (\d+)% of 150 flowers", shown.out)
    assert share is not None
    assert int(share[1]) > 90
    written = re.findall(r"^written: (.+)$", shown.out, re.M)
    assert {Path(path).parent.name for path in written} == {"saliency-demo"}
    for path in written:
        if path.endswith(".png"):
            with Image.open(path) as picture:
                assert min(picture.size) > 200
    lines = re.findall(
        r"^  (?:python -m saliency|chainer-saliency) (.+)$", shown.out, re.M
    )
    assert [line.split()[0] for line in lines] == ["explain", "report", "explain"]
    for line in lines:
        words = shlex.split(line)
        assert main(words) == 0
        out = Path(words[words.index("--out") + 1])
        if words[0] == "report":
            assert "petal length (cm)" in out.read_text(encoding="utf-8")
        else:
            assert np.isfinite(Explanation.load(out / "explanation.npz").scores).all()


def test_without_scikit_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert "the demo needs scikit-learn, which has the data" in capsys.readouterr().err

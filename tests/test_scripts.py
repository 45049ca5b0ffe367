"""A script that a test runs in its own process finds its place, and leaves no trace."""

from __future__ import annotations

import os
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.scripts import run_script

import chainer

SCRIPT = """
import os, random, sys, warnings
import beside, matplotlib, matplotlib.pyplot as plt, numpy as np
import chainer

assert __name__ == "__main__"
print(sys.argv[1:], beside.NAME, os.environ["OF_THE_TEST"])
print(chainer.dataset.get_dataset_root())
np.random.seed(1)
random.seed(1)
np.random.normal()
plt.figure()
matplotlib.rcParams["figure.dpi"] = 31
chainer.global_config.dtype = np.float16
chainer.config.train = False
chainer.global_config.of_the_user = 1
chainer.dataset.set_dataset_root("elsewhere")
warnings.simplefilter("error")
os.environ["OF_THE_SCRIPT"] = "1"
os.chdir(sys.argv[1])
sys.path.append("elsewhere")
sys.exit("the end")
"""


def state() -> dict[str, Any]:
    """Return what a script could change in a process."""
    return {
        "argv": sys.argv[:],
        "path": sys.path[:],
        "module beside": sys.modules.get("beside"),
        "main": sys.modules["__main__"],
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "figures": plt.get_fignums(),
        "settings of pictures": dict(mpl.rcParams),
        "settings": vars(chainer.global_config).copy(),
        "settings of the thread": vars(chainer.config._local).copy(),
        "data": chainer.dataset.get_dataset_root(),
        "random": random.getstate(),
        "random of NumPy": repr(np.random.get_state()),
        "warnings": warnings.filters[:],
    }


def test_a_script_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "beside.py").write_text("NAME = 'that of its folder'")
    monkeypatch.setitem(sys.modules, "beside", mpl)  # as one of another folder
    figure = plt.figure()
    before = state()
    variables = {"OF_THE_TEST": "x", "CHAINER_DATASET_ROOT": str(tmp_path)}
    with pytest.raises(SystemExit, match="the end"):
        run_script(script, tmp_path, 3, **variables)
    assert state() == before
    plt.close(figure)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"{[str(tmp_path), '3']} that of its folder x", str(tmp_path)]

"""What `make demo` shows, and what its log looks like."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.makefile import ROOT, environment, make, needs_make

pytestmark = needs_make


@pytest.mark.large
def test_the_demo_draws_pictures_and_its_log_is_plain_text(tmp_path: Path) -> None:
    few = "EXPLAINED=--n-explain 25 --M 2"
    done = make("demo", tmp_path, f"RESULTS={tmp_path}", few)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)
    printed = done.stdout.decode()
    assert "0 everywhere" not in printed
    assert "Warning" not in printed
    accuracy = re.search(r"^test accuracy: (\S+)$", printed, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.8
    named = [Path(name) for name in re.findall(r"\S+\.png", printed)]
    assert {path.parent.name for path in named} == {"iris", "logp"}
    assert sum(path.parent.name == "iris" for path in named) == 8
    for path in named:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            if path.name == "grid.png":
                assert len(picture.convert("RGB").getcolors(1 << 24)) > 50
    reached = re.search(r"^test R2: (\S+) ", printed, re.MULTILINE)
    assert reached is not None
    assert float(reached[1]) > 0.98
    methods = re.findall(r"^\| [^|]+ \| (-?\d\.\d+) \|.*% \|$", printed, re.MULTILINE)
    assert len(methods) == 12
    assert all(-1 <= float(mean) <= 1 for mean in methods)
    assert not (tmp_path / "logp" / "log").exists()  # nothing is trained for logP


class TestInstallation:
    """What `make` tells of what pip says."""

    SAID = """\
Looking in indexes: https://pypi.org/simple
Obtaining file:///home/me/chainer-saliency
  Installing build dependencies: started
Requirement already satisfied: setuptools in ./lib (from chainer==7.8.1) (65.5.0)
Collecting numpy>=1.26 (from chainer-saliency==0.1.0)
  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl (16.4 MB)
Processing /opt/wheels/tqdm-4.70.1-py3-none-any.whl (from chainer-saliency==0.1.0)
Collecting zarr!=3.0.*,>=2.13
Building wheels for collected packages: chainer
  Building wheel for chainer (setup.py): started
  Building wheel for chainer (setup.py): finished with status 'done'
Installing collected packages: numpy, tqdm
Successfully installed numpy-2.4.6 tqdm-4.70.1
"""
    SHOWN = """\
  numpy>=1.26
  tqdm-4.70.1
  zarr!=3.0.*,>=2.13
  building chainer
Installing them.
"""

    def install(
        self, folder: Path, exit_status: int
    ) -> subprocess.CompletedProcess[str]:
        """Run the rule that installs, with a Python whose pip says that."""
        (folder / "said").write_text(self.SAID, encoding="utf-8")
        python = folder / "python"
        python.write_text(
            f"""#!/bin/sh
case "$*" in
    *venv*) mkdir -p "{folder}/env/bin"; cp "$0" "{folder}/env/bin/python" ;;
    *requirements.txt*) cat "{folder}/said"; exit {exit_status} ;;
esac
""",
            encoding="utf-8",
        )
        python.chmod(0o755)
        return subprocess.run(
            [
                *("make", "-C", ROOT, "--no-print-directory", f"PYTHON={python}"),
                *(f"VENV={folder}/env", f"{folder}/env/.installed"),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )

    def test_a_line_for_each_package(self, tmp_path: Path) -> None:
        done = self.install(tmp_path, 0)
        assert done.returncode == 0, done.stderr
        first, _, rest = done.stdout.partition("\n")
        assert first == f"Making the virtual environment {tmp_path}/env. Its packages:"
        assert rest == self.SHOWN
        assert (tmp_path / "env" / ".installed").exists()

    def test_a_failure_of_pip_is_one_of_make(self, tmp_path: Path) -> None:
        assert self.install(tmp_path, 1).returncode != 0
        assert not (tmp_path / "env" / ".installed").exists()

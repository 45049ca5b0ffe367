"""The scripts on tables run as they stand, with little to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_posteriors(tmp_path: Path) -> None:
    script = ROOT / "examples" / "table" / "posteriors.py"
    arguments = ["--epoch", "8", "--n-member", "2", "--M", "4", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    rows = dict(re.findall(r"^(\S.*?) {2,}(\d\.\d+) ", done.stdout, re.MULTILINE))
    assert list(rows) == ["the network alone", "dropout", "SWAG", "ensemble of 2"]
    assert all(float(accuracy) > 0.8 for accuracy in rows.values())
    assert (tmp_path / "posteriors.png").stat().st_size > 5000

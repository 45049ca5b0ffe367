"""Another package that is imported as ``saliency`` is noticed, in one line, at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import saliency
from saliency.namesake import warn_of_namesake

ROOT = Path(saliency.__file__).parents[1]
WARNING = "UserWarning: the package saliency 0.2.1 is installed as well"


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on the path in which pip has put what PAIR's package calls itself."""
    info = tmp_path / "saliency-0.2.1.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: saliency\nVersion: 0.2.1\n"
    (info / "METADATA").write_text(metadata)
    (info / "top_level.txt").write_text("saliency\n")
    return tmp_path


def said_by(command, *path):
    """Returns the lines that an import in a new process writes to stderr."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()


@pytest.mark.large
def test_it_is_told_in_one_line(elsewhere):
    # Python 3.13 shows the code of a warning, too, if it is on the command line.
    line, *source = said_by("import saliency, link_hooks", ROOT, elsewhere)
    assert line.startswith("<string>:1: ") and WARNING in line
    assert len(source) <= 1
    assert "pip uninstall saliency" in line


@pytest.mark.large
def test_it_has_overwritten_this_package(elsewhere):
    # Its own first file, in the folder that has all others of this package.
    (elsewhere / "saliency").mkdir()
    its_own = elsewhere / "saliency" / "__init__.py"
    its_own.write_text(f"__path__.append({str(ROOT / 'saliency')!r})")
    line, *source = said_by("import link_hooks", elsewhere, ROOT)
    assert WARNING in line and len(source) <= 1


def test_it_costs_less_than_a_millisecond(elsewhere, monkeypatch):
    monkeypatch.syspath_prepend(str(elsewhere))
    times = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            start = time.perf_counter()
            warn_of_namesake()
            times.append(time.perf_counter() - start)
    assert min(times) < 1e-3

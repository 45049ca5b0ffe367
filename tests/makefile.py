"""Targets of the Makefile, made in the environment that runs the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is missing")


def environment() -> dict[str, str]:
    """Return that of a shell, also if `make test` runs the tests."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}


def make(
    target: str, folder: Path, *variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Make a target by this Python, which a folder gets, with the output in a pipe."""
    # A script for Python, since that of a virtual environment does not like links.
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return subprocess.run(
        [
            *("make", "-C", ROOT, "--no-print-directory", target, f"VENV={folder}"),
            *("-o", f"{folder}/.installed", "-o", f"{folder}/.docs", *variables),
        ],
        capture_output=True,
        check=False,
        env={**environment(), "PYTHONPATH": str(ROOT)},
    )

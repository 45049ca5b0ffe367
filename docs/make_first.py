"""Draws docs/first.png, which is what the first code of README.md draws.

python docs/make_first.py
"""

from __future__ import annotations

import os
import re
from pathlib import Path

DOCS = Path(__file__).parent


def first_code() -> str:
    """Return the first block of Python of README.md."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


if __name__ == "__main__":
    os.chdir(DOCS)
    exec(compile(first_code(), "README.md", "exec"))

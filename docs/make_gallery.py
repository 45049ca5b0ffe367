"""Draws the pictures of docs/gallery, by the code of the pages that show them.

python docs/make_gallery.py
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
#: A page may begin where another one ends, and says so.
_CONTINUES = re.compile(r"page\s+continues\s+that\s+of\s+\[[^]]+\]\(([^)]+)\)")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SHOWN = re.compile(r"!\[[^]]*\]\((?:\.\./)?gallery/([^)]+)\)")


def pages() -> list[Path]:
    """Return the pages with code that runs, in the order of their names."""
    return sorted(path for path in DOCS.rglob("*.md") if blocks(path))


def blocks(page: Path, language: str = "python") -> list[str]:
    """Return the blocks of code of a page that are in a language."""
    return [code for name, code in _BLOCK.findall(_read(page)) if name == language]


def run_page(page: Path) -> dict[str, Any]:
    """Run the blocks of Python of a page, after those of the page that it continues.

    Args:
        page (Path): The page.

    Returns:
        dict: The names that are defined at its end.
    """
    continued = _CONTINUES.search(_read(page))
    names = run_page((page.parent / continued[1]).resolve()) if continued else {}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)
    return names


def pictures_of(page: Path) -> set[str]:
    """Return the names of the pictures of docs/gallery that a page's code draws."""
    code = "".join(blocks(page))
    shown = {
        name for other in DOCS.rglob("*.md") for name in _SHOWN.findall(_read(other))
    }
    return {name for name in shown if f'"{name}"' in code}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _draw_gallery() -> None:
    """Draw the pictures of docs/gallery anew."""
    for page in pages():
        names = pictures_of(page)
        if not names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            run_page(page)
            for name in names:
                shutil.copy(name, DOCS / "gallery" / name)
            os.chdir(DOCS)


if __name__ == "__main__":
    _draw_gallery()

"""Texts of users in pictures: drawn as they are, and without what no file can hold."""

from __future__ import annotations

import unicodedata
from typing import Any

#: Keywords of matplotlib's texts: a dollar sign is one, and no mathematics.
AS_IT_IS: dict[str, Any] = {"parse_math": False, "usetex": False}


def plain(text: object) -> str:
    """Return a text without control characters; line breaks stay, a tab is a space.

    Lone surrogates and what Unicode calls no characters go, too: XML and UTF-8 have
    neither.
    """
    text = str(text).replace("\t", " ").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c == "\n" or is_drawable(c))


def is_drawable(letter: str) -> bool:
    """Tell whether a letter is no control character, and one that files can hold."""
    # U+FFFE and U+FFFF, and their like in the other planes, are no characters at all.
    return (
        unicodedata.category(letter) not in ("Cc", "Cs")
        and ord(letter) & 0xFFFE != 0xFFFE
    )

"""Texts of users in pictures: drawn as they are, and without what no file can hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from saliency.visualizer.fonts import font_families

#: What is not broken if there is room: with what is before it, up to such a sign.
_PARTS = re.compile(r" *[/_.-]*[^ /_.-]+[/_.-]*| *[/_.-]+| +")


class _AsItIs(Mapping[str, Any]):
    """Keywords for texts in the fonts that are installed when they are asked for."""

    _KEYWORDS = ("parse_math", "usetex", "fontfamily")

    def __getitem__(self, keyword: str) -> Any:
        if keyword not in self._KEYWORDS:
            raise KeyError(keyword)
        return font_families() if keyword == "fontfamily" else False

    def __iter__(self) -> Iterator[str]:
        return iter(self._KEYWORDS)

    def __len__(self) -> int:
        return len(self._KEYWORDS)


#: Keywords of texts: a dollar sign is one, and no mathematics; letters that
#: matplotlib's own font lacks come from another one that is installed.
AS_IT_IS: Mapping[str, Any] = _AsItIs()


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


def width_of(line: str) -> int:
    """Return how many narrow letters a line is as wide as; a wide one is two."""
    return sum(2 if unicodedata.east_asian_width(a) in "WF" else 1 for a in line)


def in_lines(text: object, width: int) -> str:
    """Return a text, as `plain` returns it, in lines of at most some width.

    Lines are broken at spaces and behind the signs of paths and names, such as slashes
    and underscores; and anywhere where that does not do.

    Args:
        text: The text.
        width: As in `width_of`, at least 2.
    """
    lines = []
    for paragraph in plain(text).split("\n"):
        line = ""
        for part in _PARTS.findall(paragraph):
            if line and width_of(line + part) > width:
                lines.append(line)
                line = ""
            line += part if line else part.lstrip()
            *full, line = _pieces(line, width)
            lines += full
        lines.append(line)
    return "\n".join(lines)


def _pieces(word: str, width: int) -> list[str]:
    """Return the parts of a word that fill a line each, and the rest."""
    pieces = [""]
    for letter in word:
        if width_of(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces

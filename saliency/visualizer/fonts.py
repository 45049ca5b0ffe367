"""Fonts: which families draw the letters of all scripts, and letters that none has."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from saliency.user_warnings import warn_user

#: Families that draw what matplotlib's own font lacks, above all Japanese letters. They
#: are common on Linux, macOS and Windows; of those installed, the first that has a
#: letter draws it.
FALLBACK_FAMILIES = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Source Han Sans JP",
    "IPAexGothic",
    "IPAPGothic",
    "IPAGothic",
    "TakaoPGothic",
    "VL PGothic",
    "Hiragino Sans",
    "Hiragino Maru Gothic Pro",
    "Yu Gothic",
    "Meiryo",
    "MS Gothic",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Noto Sans KR",
    "Apple SD Gothic Neo",
    "Malgun Gothic",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Segoe UI",
    "Segoe UI Symbol",
    "Arial Unicode MS",
)
#: Comes with matplotlib from version 3.11 on. It draws a frame that names the script.
LAST_RESORT = "Last Resort High-Efficiency"

#: Families for pictures whose fonts are those of the viewer: as wide as matplotlib's.
WEB_FAMILIES = ("DejaVu Sans", "Verdana", *FALLBACK_FAMILIES, "sans-serif")


def font_families() -> list[str]:
    """Return the families that texts are drawn with, of which each fills gaps.

    These are the families of matplotlib's settings, behind them those of
    `FALLBACK_FAMILIES` that are installed, and `LAST_RESORT` if it is there.
    """
    installed = set(fontManager.get_font_names())
    others = (*FALLBACK_FAMILIES, LAST_RESORT)
    own = matplotlib.rcParams["font.family"]
    return [*own, *(name for name in others if name in installed)]


def checked_family(fontfamily: str | Sequence[str] | None) -> list[str]:
    """Return the families of a font.

    Args:
        fontfamily: One family, or several of which each draws what those before it
            lack. Default: those of `font_families`.

    Raises:
        TypeError: It is neither a str nor a list of str.
        ValueError: It is empty.
    """
    if fontfamily is None:
        return font_families()
    families = [fontfamily] if isinstance(fontfamily, str) else fontfamily
    if not isinstance(families, (list, tuple)) or not all(
        isinstance(family, str) for family in families
    ):
        raise TypeError(
            f"fontfamily must be a str, a list of str or None, got {fontfamily!r}"
        )
    if not families:
        raise ValueError("fontfamily must not be empty")
    return list(families)


def missing_letters(text: str, families: Sequence[str]) -> list[str]:
    """Return the letters of a text that none of the families has, each once."""
    letters = {letter: None for letter in text if not letter.isspace()}
    unknown = [letter for letter in letters if not letter.isascii()]
    for family in families:
        if unknown and family != LAST_RESORT:
            font = get_font(findfont(FontProperties(family=[family])))
            unknown = [a for a in unknown if not font.get_char_index(ord(a))]
    return unknown


def warn_of_missing_letters(figure: Figure) -> None:
    """Give one warning that names all letters in a figure that no font has."""
    missing: dict[str, None] = {}
    for text in figure.findobj(Text):
        content = text.get_text()
        if not content.isascii():
            families = text.get_fontproperties().get_family()
            missing.update(dict.fromkeys(missing_letters(content, families)))
    if missing:
        warn_user(
            f"no font that is installed has the letters {''.join(missing)!r}, which "
            "are drawn as frames; on Debian or Ubuntu: apt-get install fonts-noto-cjk "
            "(or fonts-ipaexfont); then remove matplotlib's list of fonts, "
            "matplotlib.get_cachedir(), and start Python anew"
        )

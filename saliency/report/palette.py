"""Colours of a page: those of the pictures, on a light and on a dark ground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.colors import to_hex, to_rgb

from saliency.visualizer.colors import (
    MISSING_COLOR,
    NEGATIVE_COLOR,
    NEUTRAL_COLOR,
    POSITIVE_COLOR,
    ZERO_COLOR,
    atom_color,
    diverging_cmap,
    magnitude_color,
    sequential_cmap,
)
from saliency.visualizer.tables.beeswarm import FEATURE_CMAP
from saliency.visualizer.texts.pages import score_colors, text_color

# What colours lie on: in light pages white, which is the colour of a score of 0.
_GROUNDS = {"light": "#ffffff", "dark": "#1b1e24"}
# Of the page itself: what is behind boxes, letters, faint letters, lines, the focus.
_PAGE = {
    "light": {
        "back": "#f6f6f4",
        "ink": "#1d1f24",
        "soft": "#5b5f68",
        "line": "#dcdcd8",
        "focus": "#1a5fd0",
    },
    "dark": {
        "back": "#121418",
        "ink": "#e9e9ec",
        "soft": "#a3a8b3",
        "line": "#363b45",
        "focus": "#84b4ff",
    },
}
# Where the colours of features' values begin on a dark ground: lower ones are too dark.
_LOWEST_ON_DARK = 0.3
# How many colours a ramp has, from the lowest score to the highest; odd, so that 0 has
# one of its own.
_N_SHADE = 129


def style_variables() -> dict[str, dict[str, str]]:
    """Return the colours of the style sheet by their names, for light and dark pages.

    Bars and letters have to be seen on the ground of the page. On a dark one, their
    colours are taken from where the colour maps are brighter.
    """
    light = {
        "for": POSITIVE_COLOR,
        "against": NEGATIVE_COLOR,
        "neutral": NEUTRAL_COLOR,
    }
    dark = {
        "for": to_hex(diverging_cmap(0.88)),
        "against": to_hex(diverging_cmap(0.22)),
        "neutral": to_hex(sequential_cmap(0.55)),
    }
    common = {"zero": ZERO_COLOR, "missing": MISSING_COLOR}
    return {
        theme: {**colors, **common, **_PAGE[theme], "ground": _GROUNDS[theme]}
        for theme, colors in (("light", light), ("dark", dark))
    }


def ramps(kind: str) -> dict[str, Any]:
    """Return the colours of scores from the strongest against to the strongest for.

    Args:
        kind: What is coloured: ``'image'``, ``'molecule'``, ``'text'`` or ``'table'``.

    Returns:
        For ``'light'`` and ``'dark'`` pages, by ``'signed'`` and ``'unsigned'``: the
        colours in hexadecimal, six digits each, and for each of them whether letters on
        it are black (1) or white (0). Tables have the colours of their features'
        values, ``'feature'``, from low to high.
    """
    if kind == "table":
        lowest = {"light": 0.0, "dark": _LOWEST_ON_DARK}
        return {
            ground: {
                "feature": _written(FEATURE_CMAP(np.linspace(low, 1, _N_SHADE))[:, :3])
            }
            for ground, low in lowest.items()
        }
    light = {
        "signed": _colors(kind, np.linspace(-1, 1, _N_SHADE)),
        "unsigned": _colors(kind, np.linspace(0, 1, _N_SHADE), is_signed=False),
    }
    # Photographs are what they are, and so are the maps over them.
    on_dark = light if kind == "image" else {name: _on_dark(name) for name in light}
    return {
        "light": {name: _written(colors) for name, colors in light.items()},
        "dark": {name: _written(colors) for name, colors in on_dark.items()},
    }


def _colors(kind: str, scores: np.ndarray, is_signed: bool = True) -> np.ndarray:
    """Return the colours that pictures of a kind have for scores, ``(n, 3)``."""
    if kind == "text":
        return score_colors(scores, is_signed)
    if kind == "image":
        cmap, at = diverging_cmap, 0.5 + scores / 2
        if not is_signed:
            cmap, at = sequential_cmap, scores
        return np.asarray(cmap(at))[:, :3]
    color_of: Callable[[float], Any] = atom_color if is_signed else magnitude_color
    return np.array([color_of(score) for score in scores])


def _on_dark(name: str) -> np.ndarray:
    """Return colours that fade from those of bars on dark ground into it.

    Args:
        name: ``'signed'`` or ``'unsigned'``.
    """
    colors = {n: np.array(to_rgb(c)) for n, c in style_variables()["dark"].items()}
    is_signed = name == "signed"
    strength = np.linspace(-1 if is_signed else 0, 1, _N_SHADE)[:, None]
    high = colors["for"] if is_signed else colors["neutral"]
    ends = np.where(strength < 0, colors["against"], high)
    faded: np.ndarray = colors["ground"] + abs(strength) * (ends - colors["ground"])
    return faded


def _written(colors: np.ndarray) -> dict[str, str]:
    return {
        "colors": "".join(to_hex(color)[1:] for color in colors),
        "is_black": "".join(str(int(text_color(c) == "black")) for c in colors),
    }

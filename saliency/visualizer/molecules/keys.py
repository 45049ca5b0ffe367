"""Keys of pictures of molecules: what their colours mean, in words and in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saliency.digits import with_minus, written_out
from saliency.visualizer.molecules.canvas import BLACK, Canvas, text_height, text_width
from saliency.visualizer.molecules.cells import Cell, ColorFn, rgb
from saliency.visualizer.molecules.shapes import Pair

# Sizes of letters, of gaps and of colour bars, in pixels.
TICK = 12
GAP = 10
BAR = (140, 10)
_LEAST_WIDTH = 50  # of a bar that leaves room for words, ...
_LEAST_LETTERS = 0.5  # ... and of these, as a share of their size

BAR_HEIGHT = BAR[1] + 2 * text_height("0", TICK) + GAP
WORDS_HEIGHT = text_height("0", TICK) + GAP / 2


class Colors(NamedTuple):
    """The colours of a scale.

    Attributes:
        color_fn: Maps a score, divided by the limit, to red, green and blue.
        is_signed: Whether there are negative scores. If not, the scale begins at 0.
        limit: The score of the strongest colours.
        n_shade: How many colours a bar shows of scores of one sign.
    """

    color_fn: ColorFn
    is_signed: bool
    limit: float
    n_shade: int

    @classmethod
    def of(cls, cell: Cell, color_fn: ColorFn | None, n_shade: int) -> Colors:
        """Return those of a molecule; ``color_fn`` is the user's, if there is one."""
        return cls(cell.color_fn(color_fn), cell.is_signed, cell.limit, n_shade)

    @property
    def ends(self) -> dict[float, float]:
        """The scores that have a number, by where they are on a bar."""
        if self.is_signed:
            return {0: -self.limit, 0.5: 0, 1: self.limit}
        return {0: 0, 1: self.limit}


def paint_bar(
    canvas: Canvas, colors: Colors, unit: str, at: Pair, width: float = BAR[0]
) -> None:
    """Paint a colour bar with numbers and their unit; its top has its middle there."""
    _paint_colors(canvas, colors, at, width)
    for share, value in colors.ends.items():
        text = with_minus(written_out(value, 2))
        canvas.text(text, (at[0] + (share - 0.5) * width, at[1] + BAR[1]), TICK)
    canvas.text(unit, (at[0], at[1] + BAR[1] + text_height("0", TICK)), TICK)


def paint_key(
    canvas: Canvas, colors: Colors, words: Sequence[str], unit: str | None, at: Pair
) -> None:
    """Paint a colour bar between words that say what its two ends mean.

    Args:
        canvas: Where it is painted, in the whole width.
        colors: The colours.
        words: What is said of the lower and of the upper end; or nothing.
        unit: Of the numbers below the bar; None for no numbers.
        at: The middle of its top.
    """
    longest = max((text_width(word, TICK) for word in words), default=0)
    room = canvas.size[0] - 2 * (longest + 1.5 * GAP)
    width = float(np.clip(room, _LEAST_WIDTH, BAR[0]))
    room = (canvas.size[0] - width) / 2 - GAP
    letters = TICK * float(np.clip(room / max(longest, 1), _LEAST_LETTERS, 1))
    if unit is None:
        _paint_colors(canvas, colors, at, width)
    else:
        paint_bar(canvas, colors, unit, at, width)
    for word, side, align in zip(words, (-1, 1), (1, 0)):
        x = at[0] + side * (width + GAP) / 2
        top = at[1] + BAR[1] - letters - 1  # its base line is that of the bar
        canvas.text(word, (x, top), letters, align=align)


def _paint_colors(canvas: Canvas, colors: Colors, at: Pair, width: float) -> None:
    height, left = BAR[1], at[0] - width / 2
    canvas.rectangle((left - 1, at[1] - 1), (width + 2, height + 2), BLACK)
    n = (1 + colors.is_signed) * colors.n_shade + 1
    for k, x in enumerate(np.linspace(-1 if colors.is_signed else 0, 1, n)):
        # Up to the end, where the next one covers it: two that only touched could show
        # a seam.
        start = width * k / n
        corner, size = (left + start, at[1]), (width - start, height)
        canvas.rectangle(corner, size, rgb(colors.color_fn, x))

"""Texts on axes: where each token stands, and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath

from saliency.visualizer.names import AS_IT_IS
from saliency.visualizer.texts.pages import (
    Color,
    Key,
    Page,
    Passage,
    Text,
    text_color,
)

# Lengths in units of the size of the letters.
LINE = 1.62  # from one line to the next
ASCENT, DESCENT = 1.02, 0.36  # how far a ground reaches above and below the base line
PADDING = 0.14  # between the letters of a token and the end of its ground
MIN_WIDTH = 0.3  # of the letters of a token, such as those of an empty one
GAP = 0.5  # between passages
TEXT_GAP = 0.9  # between texts
SMALL = 0.85  # size of the letters of names of methods and of the key
TITLE = 1.3  # size of the letters of the title
BAR = (7.0, 0.75)  # width and height of the key's bar of colours

_LONGEST_NAME = 0.25  # of a method, as a share of the width
_LABEL_COLOR = "0.35"
_letters = TextToPath()


class Letters(NamedTuple):
    """A font, and how long texts are in it.

    Attributes:
        family: Families, of which each draws what those before it lack.
        size: Size in points.
    """

    family: list[str]
    size: float

    def font(self, share: float = 1.0) -> FontProperties:
        """Return the font in a share of the size.

        It is never bold, since few Japanese families have bold letters.
        """
        return FontProperties(family=self.family, size=share * self.size)

    def width(self, text: str, share: float = 1.0) -> float:
        """Return how wide a text is, in points."""
        font = self.font(share)
        return float(_letters.get_text_width_height_descent(text, font, False)[0])


class Word(NamedTuple):
    """Letters in a line, with or without a ground.

    Attributes:
        text: The letters.
        x: Where its ground begins, in points from the left.
        width: How wide its ground is.
        token: The number of its token in the text; None if it has no ground.
    """

    text: str
    x: float
    width: float
    token: int | None


class Block(NamedTuple):
    """Lines of a picture that belong together: a legend, or the tokens of a passage.

    Attributes:
        lines: The words of each line.
        passage: Whose tokens they are; None for a legend.
        label: Text at the left of the first line.
        space: Points between it and the block above.
    """

    lines: list[list[Word]]
    passage: Passage | None
    label: str
    space: float


class Layout(NamedTuple):
    """Where everything is.

    Attributes:
        blocks: What the picture shows, from the top down.
        page: What is drawn; its keys and notes are below the blocks.
        letters: The font.
        width: Points that there are from the left to the right.
    """

    blocks: list[Block]
    page: Page
    letters: Letters
    width: float

    @property
    def key_lines(self) -> int:
        """How many lines the keys and notes take."""
        return len(self.page.keys) + len(self.page.notes)

    @property
    def height(self) -> float:
        """Points from the top to the bottom."""
        size = self.letters.size
        n_line = sum(len(block.lines) for block in self.blocks)
        space = sum(block.space for block in self.blocks)
        key = (self.key_lines * LINE * SMALL + TEXT_GAP) if self.key_lines else 0.0
        return (n_line * LINE + key) * size + space


# --- where things are -------------------------------------------------------------


def compute_layout(page: Page, letters: Letters, width: float) -> Layout:
    """Return where everything is on a page as wide as ``width``, in points."""
    passages = [passage for text in page.texts for passage in text.passages]
    longest = max(letters.width(p.method, SMALL) for p in passages)
    indent = 0.0
    if longest:
        indent = min(longest, _LONGEST_NAME * width) + letters.size
    measured: dict[str, float] = {}
    blocks: list[Block] = []
    for text in page.texts:
        blocks += _blocks_of_text(
            text, page.separator, letters, width, indent, measured, not blocks
        )
    return Layout(blocks, page, letters, width)


def _blocks_of_text(
    text: Text,
    separator: str,
    letters: Letters,
    width: float,
    indent: float,
    measured: dict[str, float],
    is_first: bool,
) -> list[Block]:
    size = letters.size
    space = 0.0 if is_first else TEXT_GAP * size
    blocks = []
    if text.legend:
        lines = _lines_of_legend(text.legend, letters, width)
        blocks.append(Block(lines, None, "", space))
        space = 0.0
    for passage in text.passages:
        lines = _lines_of_tokens(
            passage.tokens, separator, letters, indent, width, measured
        )
        blocks.append(Block(lines, passage, passage.method, space))
        space = GAP * size if len(lines) > 1 else 0.1 * size
    return blocks


def _lines_of_legend(legend: str, letters: Letters, width: float) -> list[list[Word]]:
    lines, line = [], ""
    for word in legend.split(" "):
        longer = f"{line} {word}" if line else word
        if line and letters.width(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [[Word(text, 0.0, width, None)] for text in [*lines, line]]


def _lines_of_tokens(
    tokens: Sequence[str],
    separator: str,
    letters: Letters,
    left: float,
    right: float,
    measured: dict[str, float],
) -> list[list[Word]]:
    """Return lines of tokens, broken between tokens, or within one that is too long.

    Args:
        tokens: The tokens.
        separator: What stands between two; one that is not white is drawn.
        letters: The font.
        left: Where lines begin.
        right: Where they end.
        measured: Widths that are known; those that are not are added.
    """

    def width_of(text: str) -> float:
        if text not in measured:
            measured[text] = letters.width(text)
        return measured[text]

    def ground_of(text: str) -> float:
        return max(width_of(text), MIN_WIDTH * letters.size) + 2 * padding

    padding = PADDING * letters.size
    gap = width_of(separator)
    lines: list[list[Word]] = [[]]
    x = left
    for i, token in enumerate(tokens):
        for text in _pieces(token, right - left, ground_of):
            width = ground_of(text)
            if lines[-1] and x + width > right:
                lines.append([])
                x = left
            lines[-1].append(Word(text, x, width, i))
            x += width
        if separator.strip() and i + 1 < len(tokens):
            lines[-1].append(Word(separator, x, gap, None))
        x += gap
    return lines if tokens else [[Word("", left, 0.0, None)]]


def _pieces(token: str, room: float, ground_of: Any) -> list[str]:
    """Return a token in pieces that each fit into a line."""
    pieces = []
    while len(token) > 1 and ground_of(token) > room:
        # The widths of beginnings grow, so that the longest that fits can be bisected.
        low, high = 1, len(token)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high) if ground_of(token[:middle]) <= room else (low, middle)
            )
        pieces.append(token[:low])
        token = token[low:]
    return [*pieces, token]


# --- how it is drawn --------------------------------------------------------------


def draw_layout(ax: Axes, layout: Layout, height: float) -> None:
    """Draw everything from the top of the axes, which are ``height`` points high."""
    ax.set_axis_off()
    ax.set(xlim=(0, layout.width), ylim=(height, 0))
    size = layout.letters.size
    grounds: list[Rectangle] = []
    colors: list[Any] = []
    y = 0.0
    for block in layout.blocks:
        y += block.space
        if block.label:
            _draw_label(ax, block, layout, y)
        of_tokens = [] if block.passage is None else list(block.passage.grounds)
        for line in block.lines:
            base = y + (ASCENT + (LINE - ASCENT - DESCENT) / 2) * size
            for word in line:
                ground = None if word.token is None else of_tokens[word.token]
                if ground is not None:
                    grounds.append(_ground(word, base, size))
                    colors.append(ground)
                _draw_word(ax, word, base, ground, layout.letters, block.passage)
            y += LINE * size
    ax.add_collection(
        PatchCollection(grounds, facecolors=colors, edgecolors="white", linewidths=0.6)
    )
    y += TEXT_GAP * size
    for key in layout.page.keys:
        _draw_key(ax, key, layout.letters, y)
        y += LINE * SMALL * size
    for color, note in layout.page.notes:
        _draw_note(ax, color, note, layout.letters, y)
        y += LINE * SMALL * size


def draw_title(ax: Axes, title: str, letters: Letters) -> None:
    """Draw the title of the whole picture above the axes, as it is."""
    font = letters.font(TITLE)
    keywords = {**AS_IT_IS, "fontfamily": letters.family}
    ax.set_title(title, loc="left", fontproperties=font, **keywords)


def _ground(word: Word, base: float, size: float) -> Rectangle:
    height = (ASCENT + DESCENT) * size
    return Rectangle((word.x, base - ASCENT * size), word.width, height)


def _draw_word(
    ax: Axes,
    word: Word,
    base: float,
    ground: np.ndarray | None,
    letters: Letters,
    passage: Passage | None,
) -> None:
    if passage is None:  # a legend
        _draw_text(ax, 0, base, word.text, letters.font())
        return
    color = _LABEL_COLOR if ground is None else text_color(ground)
    middle = word.x + word.width / 2
    _draw_text(ax, middle, base, word.text, letters.font(), color, "center")


def _draw_label(ax: Axes, block: Block, layout: Layout, y: float) -> None:
    """Draw the name of a method, cut where its tokens begin."""
    letters = layout.letters
    base = y + (ASCENT + (LINE - ASCENT - DESCENT) / 2) * letters.size
    room = block.lines[0][0].x - 0.5 * letters.size
    label = block.label
    while len(label) > 1 and letters.width(label, SMALL) > room:
        label = f"{label[:-2]}\u2026"
    _draw_text(ax, 0, base, label, letters.font(SMALL), _LABEL_COLOR)


_FRAME = {"edgecolor": "0.6", "linewidth": 0.5}


def _draw_key(ax: Axes, key: Key, letters: Letters, y: float) -> None:
    """Draw what the colours mean."""
    size, font = letters.size, letters.font(SMALL)
    base = y + SMALL * size
    x = letters.width(key.low, SMALL) + 0.5 * size
    width, height = BAR[0] * size, BAR[1] * size
    _draw_text(ax, 0, base, key.low, font, _LABEL_COLOR)
    top = base - height + 0.05 * size
    extent = (x, x + width, top + height, top)
    ax.imshow(key.bar[None], extent=extent, aspect="auto", interpolation="nearest")
    ax.add_patch(Rectangle((x, top), width, height, facecolor="none", **_FRAME))
    _draw_text(ax, x + width + 0.5 * size, base, key.high, font, _LABEL_COLOR)


def _draw_note(
    ax: Axes, color: Color | None, note: str, letters: Letters, y: float
) -> None:
    """Draw a note, behind a square of a colour if it explains one."""
    base, x = y + SMALL * letters.size, 0.0
    if color is not None:
        side = BAR[1] * letters.size
        corner = (0.0, base - side + 0.05 * letters.size)
        ax.add_patch(Rectangle(corner, side, side, facecolor=color, **_FRAME))
        x = side + 0.5 * letters.size
    _draw_text(ax, x, base, note, letters.font(SMALL), _LABEL_COLOR)


def _draw_text(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    font: FontProperties,
    color: Any = "black",
    align: str = "left",
) -> None:
    """Draw a text as it is: a dollar sign is one, and no mathematics."""
    keywords = {**AS_IT_IS, "fontfamily": font.get_family()}
    style = {"fontproperties": font, "color": color, "ha": align, "va": "baseline"}
    ax.text(x, y, text, **style, **keywords)

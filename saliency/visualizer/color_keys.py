"""Keys of colours: what they mean in words, and colour bars with numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.cm import ScalarMappable
from matplotlib.gridspec import SubplotSpec
from matplotlib.transforms import Bbox

from saliency.visualizer.colors import (
    SIGNED_KEY,
    UNKNOWN_KEY,
    UNSIGNED_KEY,
    ColorScale,
)
from saliency.visualizer.names import AS_IT_IS, plain, width_of

# Sizes in inches.
BAR_WIDTH = 0.11
BAR_GAP = 0.08
LEAST_HEIGHT = 0.5  # of a bar with words at its ends, beside a picture that is low
STRIP_WIDTH, STRIP_HEIGHT = 0.9, 0.09
ARROW = 0.1  # at an end of a colour bar
LINE = 0.2  # the height of a key, or of a line of text
WIDTH_OF_BAR = 1.0  # with its numbers and label
TITLE_LETTER = 0.095

ABOVE_BAR = 24  # points, from a picture to a title above the words of its bar

_SMALL = "small"


class Key(NamedTuple):
    """What the colours of a scale mean.

    Attributes:
        scale: How scores become colours.
        low: What the lower end says of a score.
        high: What the upper end says of one.
        unit: What the numbers are.
        kind: Which of several maps it is for; empty if it is for all.
        extend: At which ends there are stronger scores, as colour bars of matplotlib
            show by arrows: ``'neither'``, ``'both'``, ``'min'`` or ``'max'``.
    """

    scale: ColorScale
    low: str
    high: str
    unit: str
    kind: str = ""
    extend: str = "neither"


def ends_of(scale: ColorScale, keeps_signs: bool) -> tuple[str, str]:
    """Return what the two ends of a scale say of a score.

    Args:
        scale: How scores become colours.
        keeps_signs: Whether the scores that are drawn have the signs of the scores;
            without them, nothing is known of what the ends mean.
    """
    if keeps_signs and scale.is_signed:
        return SIGNED_KEY
    return UNSIGNED_KEY if keeps_signs and scale.low == 0 else UNKNOWN_KEY


def draw_color_bar(
    axes: Sequence[Axes], key: Key, has_ends: bool = True, is_alone: bool = True
) -> None:
    """Draw a colour bar, as high as the picture, to the right of axes.

    Args:
        axes: Those that it is for, which make room for it.
        key: What it says.
        has_ends: Whether words at both ends say what they mean.
        is_alone: Whether it is the only one; beside others, there is room for one word
            in a line.
    """
    figure = axes[0].figure
    height = figure.bbox.height / figure.dpi
    bar = figure.colorbar(
        ScalarMappable(key.scale.norm, key.scale.cmap),
        ax=list(axes) if len(axes) > 1 else axes[0],
        extend=key.extend,
        extendfrac=ARROW / height,
        panchor=False,
        shrink=0.8,
    )
    bar.set_label(key.unit, fontsize=_SMALL, **AS_IT_IS)
    bar.ax.tick_params(labelsize=_SMALL)
    if len(axes) == 1:
        bar.ax.set_axes_locator(_Beside(bar.ax, axes, LEAST_HEIGHT * has_ends))
    if has_ends:
        style = {"loc": "left", "fontsize": _SMALL}
        space = " " if is_alone else "\n"
        high, low = (word.replace(" ", space) for word in (key.high, key.low))
        bar.ax.set_title(high, pad=_distance(key, "max"), **style)
        bar.ax.set_xlabel(low, labelpad=_distance(key, "min"), **style)


def draw_title(ax: Axes, title: str, width: float, has_bar: bool) -> None:
    """Draw the title of a picture, above the words of a bar that it would run into.

    Args:
        ax: The picture.
        title: Its title.
        width: Its width, in inches.
        has_bar: Whether a colour bar with words at its ends is beside it.
    """
    text = plain(title)
    is_wide = TITLE_LETTER * max(map(width_of, text.split("\n"))) > width
    pad = ABOVE_BAR if has_bar and is_wide else None
    ax.set_title(text, pad=pad, **AS_IT_IS)


def draw_keys(axes: Sequence[Axes], keys: Sequence[Key], note: str = "") -> None:
    """Draw a line for each key below axes: a strip of colours between two words.

    Args:
        axes: Those that it is for, which make room for it.
        keys: What the lines say.
        note: What stands below the last one.
    """
    figure = axes[0].figure
    height = figure.bbox.height / figure.dpi
    for i, key in enumerate(keys):
        strip = figure.colorbar(
            ScalarMappable(key.scale.norm, key.scale.cmap),
            ax=list(axes) if len(axes) > 1 else axes[0],
            location="bottom",
            panchor=False,
            fraction=LINE / height,
            pad=0.08 / height,
            ticks=[],
        ).ax
        strip.set_axes_locator(_Below(strip, axes, i))
        style = {"va": "center", "fontsize": _SMALL, "transform": strip.transAxes}
        low = f"{key.kind}: {key.low}" if key.kind else key.low
        strip.text(-0.06, 0.5, low, ha="right", **style)
        strip.text(1.06, 0.5, key.high, ha="left", **style)
    if note:
        strip.set_xlabel(note, fontsize=_SMALL, labelpad=5)


def _distance(key: Key, end: str) -> float:
    """Return how far from a colour bar the word at an end is, in points."""
    return 12 if key.extend in ("both", end) else 6


class _Place(ABC):
    """Where a colour bar is: near pictures, wherever layouts have put them."""

    def __init__(self, bar: Axes, axes: Sequence[Axes]) -> None:
        self._bar = bar
        self._axes = tuple(axes)

    def get_subplotspec(self) -> SubplotSpec | None:
        """Return where the bar has room, as tight layouts ask."""
        return self._bar.get_subplotspec()

    @abstractmethod
    def box(self, picture: Bbox, across: float, up: float) -> Bbox:
        """Return the place of the bar.

        Args:
            picture: That of the pictures.
            across: An inch, in units of the width of the figure.
            up: An inch, in units of its height.
        """

    def __call__(self, bar: Axes, renderer: RendererBase | None) -> Bbox:
        bar.set_box_aspect(None)  # layouts set it anew
        figure = self._axes[0].figure
        inch = figure.dpi / figure.bbox.width, figure.dpi / figure.bbox.height
        return self.box(Bbox.union([ax.get_position() for ax in self._axes]), *inch)


class _Beside(_Place):
    """To the right of a picture, as high as it is, or as its numbers need.

    Args:
        bar: The axes of the bar.
        axes: Those of the picture.
        least: The least height, in inches.
    """

    def __init__(self, bar: Axes, axes: Sequence[Axes], least: float) -> None:
        super().__init__(bar, axes)
        self._least = least

    def box(self, picture: Bbox, across: float, up: float) -> Bbox:
        left = picture.x1 + BAR_GAP * across
        height = max(picture.height, self._least * up)
        bottom = picture.y1 - height  # below the title
        return Bbox.from_bounds(left, bottom, BAR_WIDTH * across, height)


class _Below(_Place):
    """Below pictures and a line of text that there may be, in the i-th line."""

    def __init__(self, bar: Axes, axes: Sequence[Axes], i: int) -> None:
        super().__init__(bar, axes)
        self._i = i

    def box(self, picture: Bbox, across: float, up: float) -> Bbox:
        lines = self._i + any(ax.get_xlabel() for ax in self._axes)
        width, height = STRIP_WIDTH * across, STRIP_HEIGHT * up
        left = (picture.x0 + picture.x1 - width) / 2
        middle = picture.y0 - (BAR_GAP + (lines + 0.5) * LINE) * up
        return Bbox.from_bounds(left, middle - height / 2, width, height)

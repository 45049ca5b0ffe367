"""Keys of score axes: which side speaks for what is explained, and which against."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from saliency.visualizer.colors import (
    ALL_ZERO,
    NEGATIVE_COLOR,
    POSITIVE_COLOR,
    SIGNED_KEY,
)
from saliency.visualizer.names import AS_IT_IS

# What is said, in which colour, and at which end of the axis.
_AGAINST = f"← {SIGNED_KEY[0]}", NEGATIVE_COLOR, 0.0, "left"
_FOR = f"{SIGNED_KEY[1]} →", POSITIVE_COLOR, 1.0, "right"
_GREY = "0.35"
_GAP = 3  # points


def draw_key_below(ax: Axes, signed: bool, grey: str = "") -> None:
    """Draw the key below the label of a horizontal score axis.

    Args:
        ax: The axes.
        signed: Whether the axis has a side that speaks for, and one against.
        grey: What grey means, if something is grey.
    """
    entries = [_AGAINST, _FOR] if signed else []
    anchor = ax.xaxis.label
    for text, color, x, side in entries:
        entry = ax.annotate(
            text,
            xy=(x, 0),
            xycoords=("axes fraction", anchor),
            xytext=(0, -_GAP),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize="small",
            color=color,
            annotation_clip=False,
        )
    if grey:
        _draw_note(ax, grey, below=entry if entries else anchor)


def draw_key_beside(ax: Axes) -> None:
    """Draw the key at the left of the label of a vertical score axis."""
    for text, color, y, _ in (_AGAINST, _FOR):
        ax.annotate(
            text,
            xy=(0, y),
            xycoords=(ax.yaxis.label, "axes fraction"),
            xytext=(-_GAP, 0),
            textcoords="offset points",
            ha="right",
            va="top" if y else "bottom",
            rotation=90,
            fontsize="small",
            color=color,
            annotation_clip=False,
        )


def draw_key_within(footer: Axes, label: str, signed: bool, grey: str = "") -> None:
    """Draw a label and the key into axes that hold nothing else.

    Args:
        footer: The axes.
        label: The label of the score axis.
        signed: Whether the axis has a side that speaks for, and one against.
        grey: What grey means, if something is grey.
    """
    title = footer.text(0.5, 1, label, ha="center", va="top", **AS_IT_IS)
    for text, color, x, side in [_AGAINST, _FOR] if signed else []:
        footer.text(x, 1, text, ha=side, va="top", fontsize="small", color=color)
    if grey:
        _draw_note(footer, grey, below=title)


def draw_all_zero(ax: Axes) -> None:
    """Say that there is nothing to see, where there would be empty axes."""
    ax.text(
        0.5,
        0.5,
        ALL_ZERO,
        ha="center",
        va="center",
        color=_GREY,
        transform=ax.transAxes,
        zorder=4,
    )


def _draw_note(ax: Axes, text: str, below: Any) -> None:
    """Draw what grey means below a text or a place of the axes."""
    ax.annotate(
        text,
        xy=(0.5, 0),
        xycoords=("axes fraction", below),
        xytext=(0, -_GAP),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize="small",
        color=_GREY,
        annotation_clip=False,
    )

"""Pictures of explanations: which visualizer draws one, and what it is told."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from saliency.checks import check_choice
from saliency.explanation import Explanation
from saliency.visualizer import explanations_of_images, explanations_of_tables

# What draws each kind of picture.
_DRAWN_BY = {**explanations_of_tables.KINDS, **explanations_of_images.KINDS}


def draw_explanation(
    explanation: Explanation, kind: str | None = None, **arguments: Any
) -> Figure:
    """Draw an explanation; see :meth:`saliency.Explanation.plot`."""
    if len(explanation) == 0:
        raise ValueError("the explanation has no examples to plot")
    if kind is None:
        kind = _kind_of(explanation)
    check_choice("kind", kind, _DRAWN_BY)
    figure: Figure = _DRAWN_BY[kind](explanation, arguments)
    return figure


def _kind_of(explanation: Explanation) -> str:
    """Return what fits the shape of the values."""
    values, data = explanation.values, explanation.data
    if explanation.lengths is None and values.ndim == 2:
        has_data = data is not None and data.shape == values.shape
        return "beeswarm" if has_data and len(values) > 1 else "bar"
    if data is not None and data.ndim == 4 and values.ndim in (3, 4):
        return "image"
    raise ValueError(
        f"plot cannot tell how to draw values of shape {values.shape}: it draws tables "
        "(N, n_feature) and images (N, ch, h, w) or (N, h, w). Pass explanation.values "
        "to a TextVisualizer or MolVisualizer, together with the tokens or molecules"
    )

"""Pictures of explanations: which visualizer draws one, and what it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from saliency.checks import check_choice
from saliency.explanation import Explanation
from saliency.visualizer.image_visualizer import ImageVisualizer
from saliency.visualizer.table_visualizer import TableVisualizer

# Magnitudes have no sign, so that they are neither red nor blue.
NEUTRAL = "0.45"


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


def _draw_bar(explanation: Explanation, arguments: dict[str, Any]) -> Figure:
    """Draw one example, or the mean magnitudes of several."""
    values = explanation.values
    settings: dict[str, Any] = {
        "feature_names": explanation.names_of_features(),
        "scaler": None,
        "title": title_of(explanation),
        "sort": "magnitude",
    }
    values = values.reshape(len(values), -1)
    if len(values) == 1:
        settings["xlabel"] = "Saliency"
        if explanation.errors is not None:
            settings["errors"] = explanation.errors.reshape(-1)
        shown = values[0]
    else:
        settings.update(xlabel="Mean magnitude of saliency", color=NEUTRAL)
        shown = np.abs(values).mean(axis=0)
    return TableVisualizer().visualize(shown, **{**settings, **arguments})


def _draw_beeswarm(explanation: Explanation, arguments: dict[str, Any]) -> Figure:
    """Draw a dot for each example and feature."""
    values, data = explanation.values, explanation.data
    if data is None or data.shape != values.shape:
        raise ValueError(
            "kind='beeswarm' colours dots by the data, which must have the shape "
            f"{values.shape} of values, got {None if data is None else data.shape}"
        )
    settings = {
        "feature_names": explanation.names_of_features(),
        "title": title_of(explanation),
    }
    return TableVisualizer().visualize_summary(
        values, data, **{**settings, **arguments}
    )


def _draw_image(explanation: Explanation, arguments: dict[str, Any]) -> Figure:
    """Draw the map of one image."""
    if len(explanation) > 1:
        raise ValueError(
            f"kind='image' draws one image, got {len(explanation)} examples; plot "
            "explanation[i]"
        )
    settings = {"title": title_of(explanation)}
    return ImageVisualizer().visualize(
        explanation.values[0], **{**settings, **arguments}
    )


def title_of(explanation: Explanation) -> str:
    """Return what was explained, and its score if it is one example's."""
    classes = explanation.classes
    if classes is None:
        title = "Saliency"
    elif len(set(classes.tolist())) == 1:
        title = f"Saliency for class {explanation.name_of_class(int(classes[0]))}"
    else:
        title = "Saliency for the class explained of each example"
    if len(explanation) > 1 or explanation.scores is None:
        return title
    title += f"\nf(x) = {explanation.scores[0]:.3g}"
    if explanation.base_values is not None:
        title += f", base value {explanation.base_values[0]:.3g}"
    return title


_DRAWN_BY = {"bar": _draw_bar, "beeswarm": _draw_beeswarm, "image": _draw_image}

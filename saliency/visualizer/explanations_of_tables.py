"""Pictures of explanations of tables, by kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from saliency.explanation import Explanation
from saliency.visualizer.explanation_titles import title_of
from saliency.visualizer.table_visualizer import TableVisualizer

# Magnitudes have no sign, so that they are neither red nor blue.
NEUTRAL = "0.45"


def draw_bar(explanation: Explanation, arguments: dict[str, Any]) -> Figure:
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


def draw_beeswarm(explanation: Explanation, arguments: dict[str, Any]) -> Figure:
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


#: What draws each kind: it is called with the explanation and with the arguments that
#: were given to ``Explanation.plot``, which come before its own.
KINDS = {"bar": draw_bar, "beeswarm": draw_beeswarm}
#: The kinds that draw several classes at once, where values have an axis for them.
OF_CLASSES: frozenset[str] = frozenset()

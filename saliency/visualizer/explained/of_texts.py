"""Pictures of explanations of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from saliency.explanation import Explanation
from saliency.visualizer.explained.titles import (
    first_of_many,
    legends_of,
    names_of_class_axis,
    title_of,
)
from saliency.visualizer.text_visualizer import TextVisualizer


def draw_text(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TextVisualizer
) -> Figure:
    """Draw the tokens of each text; where classes have an axis, once for each.

    Raises:
        ValueError: If there are no tokens, or values are not one for each.
    """
    given = arguments.pop("tokens", explanation.element_names)
    if given is None:
        raise ValueError(
            "kind='text' needs tokens, a list for each example: pass element_names to "
            "explain, or plot(tokens=[...])"
        )
    if len(given) != len(explanation):
        raise ValueError(
            f"tokens must hold a list for each of the {len(explanation)} examples, got "
            f"{len(given)}"
        )
    explanation, note = first_of_many(explanation)
    scores = scores_of_elements(explanation, "text")
    if len(explanation) > 1 or explanation.has_class_axis:
        legends, title = legends_of(explanation), title_of(explanation) + note
    else:
        legends, title = None, title_of(explanation).replace("\n", ", ")
    settings = {"title": title, "legends": legends, "scale": "all", **arguments}
    tokens = list(given)[: len(explanation)]
    return visualizer.visualize(scores, tokens, **settings)


def scores_of_elements(
    explanation: Explanation, kind: str
) -> list[np.ndarray] | dict[str, list[np.ndarray]]:
    """Return the scores of each example, cut to its length; by class if they have one.

    Raises:
        ValueError: If values have further axes.
    """
    n_lead = 1 + explanation.has_class_axis
    if explanation.values.ndim != n_lead + 1:
        raise ValueError(
            f"kind={kind!r} draws a score for each element, (N, n_element), got values "
            f"of shape {explanation.values.shape}; pass ch_axis=3 to explain, which "
            "sums over the axis behind that of the elements"
        )
    lengths = explanation.numbers_of_elements()
    if not explanation.has_class_axis:
        return [row[:n] for row, n in zip(explanation.values, lengths)]
    return {
        name: [row[:n] for row, n in zip(explanation.values[:, c], lengths)]
        for c, name in enumerate(names_of_class_axis(explanation))
    }


#: What draws each kind, as in ``of_tables``.
KINDS = {"text": draw_text}

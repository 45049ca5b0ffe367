"""What pictures of explanations are called: what was explained, and its score."""

from __future__ import annotations

from saliency.explanation import Explanation


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

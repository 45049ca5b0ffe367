"""Pictures of explanations of images."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from saliency.explanation import Explanation
from saliency.visualizer.explanation_titles import title_of
from saliency.visualizer.image_visualizer import ImageVisualizer


def draw_image(explanation: Explanation, arguments: dict[str, Any]) -> Figure:
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


#: What draws each kind, as in ``explanations_of_tables``.
KINDS = {"image": draw_image}

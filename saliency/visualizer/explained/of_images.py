"""Pictures of explanations of images."""

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
from saliency.visualizer.image_visualizer import ImageVisualizer
from saliency.visualizer.images.photographs import CHANNELS


def draw_image(
    explanation: Explanation, arguments: dict[str, Any], visualizer: ImageVisualizer
) -> Figure:
    """Draw the map of one image, or a row for each image and a column for each class.

    Raises:
        ValueError: If values are no maps, or a grid lacks images.
    """
    n_axis = explanation.values.ndim - 1 - explanation.has_class_axis
    if n_axis not in (2, 3):
        raise ValueError(
            "kind='image' draws values (N, h, w) or (N, ch, h, w), or the same with an "
            f"axis of classes, got shape {explanation.values.shape}"
        )
    n_all = len(explanation)
    explanation, note = first_of_many(explanation)
    title = title_of(explanation) + note
    images = _images_of(explanation, arguments, n_all)
    if len(explanation) == 1 and not explanation.has_class_axis:
        image = None if images is None else images[0]
        # Scores as they are, as in grids: one limit is the same in all pictures.
        settings = {"title": title, "scaler": None, **arguments}
        return visualizer.visualize(explanation.values[0], image, **settings)
    if images is None:
        raise ValueError(
            "a grid shows each image beside its maps, and there are none: pass images "
            "to explain, or plot(images=[...]), or plot explanation[i]. The data is no "
            "picture, since its values are not in [0, 1]"
        )
    maps = {"saliency": explanation.values}
    if explanation.has_class_axis:
        names = names_of_class_axis(explanation)
        maps = {name: explanation.values[:, c] for c, name in enumerate(names)}
    settings = {
        "title": title,
        "row_titles": legends_of(explanation),
        "scale": "row",
        **arguments,
    }
    return visualizer.visualize_grid(maps, images, **settings)


def is_of_images(explanation: Explanation) -> bool:
    """Tell whether values look like maps of images."""
    n_axis = explanation.values.ndim - 1 - explanation.has_class_axis
    data = explanation.data
    has_images = explanation.images is not None or (data is not None and data.ndim == 4)
    return has_images and n_axis in (2, 3)


def _images_of(explanation: Explanation, arguments: dict[str, Any], n_all: int) -> Any:
    """Return the images of the examples, and take them out of the arguments.

    Raises:
        ValueError: If there is not one for each example.
    """
    one, several = arguments.pop("image", None), arguments.pop("images", None)
    if one is not None:
        several = [one]
    if several is not None:
        if len(several) != n_all:
            raise ValueError(
                f"images must hold one for each of the {n_all} examples, got "
                f"{len(several)}"
            )
        return several[: len(explanation)]
    if explanation.images is not None:
        return explanation.images
    data = explanation.data
    if data is None or not is_picture(data):
        return None
    arguments.setdefault("image_layout", "chw")
    return data


def is_picture(data: np.ndarray) -> bool:
    """Tell whether what the network was given may be shown as it is."""
    is_like = data.ndim == 4 and data.shape[1] in CHANNELS[:2] and data.size > 0
    if not is_like or data.dtype.kind != "f":
        return is_like and data.dtype == np.uint8
    return bool(data.min() >= 0 and data.max() <= 1)


#: What draws each kind, as in ``of_tables``.
KINDS = {"image": draw_image}

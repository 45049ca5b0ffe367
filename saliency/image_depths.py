"""Images of Pillow with more than 8 bits, which its own `convert` cuts off at 255."""

from __future__ import annotations

from typing import Any

import numpy as np

# The largest numbers of floats, and of integers of 8 and of 16 bits.
_DEPTHS = (1, 255, 65535)


def is_deep(image: Any) -> bool:
    """Tell whether the pixels of an image of Pillow are no numbers of 8 bits.

    Args:
        image (PIL.Image.Image): Of any mode.
    """
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def grey_of_deep(image: Any) -> np.ndarray:
    """Return the pixels of a deep image as ``(h, w)`` of float64 in [0, 1].

    They are divided by the largest number of their depth. In the modes that are wider
    than any photograph, ``'I'`` and ``'F'``, the depth is the least of 1 (floats
    alone), 255 and 65535 that holds all values.

    Args:
        image (PIL.Image.Image): See :func:`is_deep`.

    Raises:
        ValueError: If values lie outside of all of these.
    """
    array = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16"):
        return array / _DEPTHS[-1]
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    depths = [depth for depth in _DEPTHS[image.mode == "I" :] if high <= depth]
    if not (np.isfinite(array).all() and low >= 0 and depths):
        raise ValueError(
            f"image must lie in [0, {_DEPTHS[-1]}] if it is a PIL image of mode "
            f"{image.mode!r}, got {low:g} to {high:g}"
        )
    return array / depths[0]


def as_eight_bits(image: Any) -> Any:
    """Return an image of Pillow with 8 bits for each colour.

    Args:
        image (PIL.Image.Image): Of any mode.

    Returns:
        PIL.Image.Image: A deep image as a grey one of 8 bits; any other as it is.

    Raises:
        ValueError: As :func:`grey_of_deep`.
    """
    if not is_deep(image):
        return image
    from PIL import Image

    return Image.fromarray(np.rint(grey_of_deep(image) * 255).astype(np.uint8))

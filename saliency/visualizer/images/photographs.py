"""Images as arrays of colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from saliency.array_types import Array
from saliency.checks import check_choice
from saliency.image_depths import grey_of_deep, is_deep

#: How many channels an image may have: grey, colours, colours and opacity.
CHANNELS = (1, 3, 4)


def as_rgb(image: Image.Image | Array, image_layout: str | None = None) -> np.ndarray:
    """Return an image as ``(h, w, 3)`` of float64 in [0, 1].

    Args:
        image: A PIL image of any mode, or an array as in `ImageVisualizer.visualize`.
            Transparent parts become white. The integers and floats of PIL (modes
            ``'I'``, ``'I;16'``, ``'F'``) are divided by the largest number of their
            depth; in the modes that are wider than any photograph, the depth is the
            least of 1 (floats alone), 255 and 65535 that holds all values.
        image_layout: ``'hwc'`` or ``'chw'``. Default: told from the shape.

    Raises:
        ValueError: The array has another shape or values outside the range, or could be
            of either layout.
        TypeError: ``image`` is not an image, or its dtype is not that of one.
    """
    if image_layout is not None:
        check_choice("image_layout", image_layout, ("hwc", "chw"))
    if isinstance(image, Image.Image):
        array = _as_hwc_of_pil(image)
    else:
        array = _as_hwc(_as_real_image(image), image_layout)
    array = array / 255 if array.dtype == np.uint8 else array.astype(np.float64)
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        opacity = array[..., 3:]
        array = array[..., :3] * opacity + (1 - opacity)
    return array


def _as_hwc_of_pil(image: Image.Image) -> np.ndarray:
    """Return a PIL image as ``(h, w, 4)`` of uint8, or ``(h, w, 1)`` in [0, 1]."""
    if is_deep(image):
        return grey_of_deep(image)[..., None]
    return np.asarray(image.convert("RGBA"))


def _as_real_image(image: Image.Image | Array) -> np.ndarray:
    """Return an array, checked to be of uint8 or of floats in [0, 1]."""
    array = np.asarray(image.get() if hasattr(image, "get") else image)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise TypeError(
            "image must be a PIL image or an array of uint8 or of floats in [0, 1], "
            f"got {type(image).__name__} of dtype {array.dtype}"
        )
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if not (np.isfinite(array).all() and low >= 0 and high <= 1):
        raise ValueError(
            f"image must lie in [0, 1] if it is of floats, got {low:g} to {high:g}; "
            "pass the photograph rather than the network's input, or divide by 255"
        )
    return array


def looks_channels_last(shape: tuple[int, ...]) -> bool:
    """Tell whether an array of scores may well be ``(h, w, ch)``.

    Scores may have any number of channels, so that ``(ch, h, w)`` is always possible;
    but maps as narrow as images have channels, and not square, hardly are.
    """
    return (
        len(shape) == 3
        and shape[2] in CHANNELS
        and shape[0] not in CHANNELS
        and shape[1] != shape[2]
    )


def _as_hwc(array: np.ndarray, image_layout: str | None) -> np.ndarray:
    """Return an array as ``(h, w, ch)``, of whichever layout it is."""
    if array.ndim == 2 and array.size:
        return array[..., None]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(
            "image must have the shape (h, w), (h, w, ch) or (ch, h, w) and not be "
            f"empty, got {array.shape}"
        )
    is_possible = {
        "hwc": array.shape[2] in CHANNELS,
        "chw": array.shape[0] in CHANNELS,
    }
    if image_layout is None:
        possible = [layout for layout, fits in is_possible.items() if fits]
        if len(possible) == 2:
            raise ValueError(
                f"image of shape {array.shape} may be (h, w, ch) or (ch, h, w); pass "
                "image_layout='hwc' or 'chw'"
            )
        image_layout = possible[0] if possible else "hwc"
    if not is_possible[image_layout]:
        raise ValueError(
            f"image must have 1, 3 or 4 channels, got the shape {array.shape}"
        )
    return array if image_layout == "hwc" else np.moveaxis(array, 0, -1)


def resized(
    array: np.ndarray,
    shape: tuple[int, ...],
    how: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """Return an array ``(h, w)`` in another size, interpolated.

    Args:
        array: Real numbers, ``(h, w)``.
        shape: The new height and width.
        how: Pillow's way to interpolate.

    Returns:
        Float64 array of that shape, with the precision of float32.
    """
    height, width = shape
    largest = np.abs(array, dtype="d").max(initial=0, where=np.isfinite(array))
    # Numbers may be beyond those of float32; a power of two changes no digit.
    power = int(np.frexp(largest)[1])
    image = Image.fromarray(np.ldexp(np.asarray(array, "d"), -power).astype("f"))
    enlarged = np.asarray(image.resize((width, height), how), "d")
    return np.asarray(np.ldexp(enlarged, power))

"""Images on a page: photographs and maps, as large as a page has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from saliency.report.encoding import as_base64, packed_map, rounded
from saliency.report.facts import size_of
from saliency.report.methods import Method
from saliency.visualizer.colors import limit_of_colors
from saliency.visualizer.explained.of_images import is_picture
from saliency.visualizer.images.photographs import as_rgb, resized

# How many images a page shows at most, and the letters that it has for the photographs
# and for the maps: the largest of these sides that fit are taken.
_MOST = 1_000
_ROOM_OF_PHOTOGRAPHS, _ROOM_OF_MAPS = 8_000_000, 16_000_000
_SIDES = (480, 384, 320, 256, 224, 192, 160, 128, 112, 96, 80, 64, 48, 32)
_TRIED = 12  # images or maps that tell how many letters all of them will take
_SMALL = 64  # photographs of this side are stored without losses
_QUALITY = 82  # of all others, on the scale of JPEG
#: The magnitude that has the strongest colours, as in pictures.
_PERCENTILE = 99.0


def number_shown(methods: Sequence[Method]) -> int:
    """Return how many examples a page shows."""
    return min(len(methods[0].explanation), _MOST)


def data_of(methods: Sequence[Method], n: int) -> dict[str, Any]:
    """Return the data of a page with the first n examples."""
    photographs = _photographs(methods)
    maps = [[layer[:n] for layer in method.layers] for method in methods]
    of_all = [scores for of_method in maps for layer in of_method for scores in layer]
    side = _largest(
        lambda side, i: len(_packed(of_all[i], side)["q"]), len(of_all), _ROOM_OF_MAPS
    )
    sources = aspects = None
    if photographs is not None:
        address = photographs.address
        largest = _largest(
            lambda side, i: len(address(i, side)), n, _ROOM_OF_PHOTOGRAPHS
        )
        sources = [address(i, largest) for i in range(n)]
        aspects = [rounded(photographs.aspect(i)) for i in range(n)]
    return {
        "photographs": sources,
        "aspects": aspects,
        "size": list(methods[0].layers[0].shape[1:]),
        "maps": [
            [[_packed(scores, side) for scores in layer] for layer in of_method]
            for of_method in maps
        ],
        "limits": [
            [rounded(limit_of_colors(layer, _PERCENTILE)) for layer in method.layers]
            for method in methods
        ],
    }


def notes_of(data: dict[str, Any]) -> list[str]:
    """Return what a page says of how exact it is."""
    one = data["maps"][0][0][0]
    height, width = data["size"]
    notes = [
        "Scores of maps are stored in steps of 1/127 of the largest magnitude of their "
        "map, so that those shown are exact to 0.4 % of it.",
        "The strongest colours are those of the 99th percentile of the magnitudes.",
    ]
    if (one["h"], one["w"]) != (height, width):
        notes.append(
            f"Maps of {size_of(height, width)} pixels are shown in "
            f"{size_of(one['h'], one['w'])}; each score is the mean of those "
            "that it stands for."
        )
    return notes


def _largest(length_of: Callable[[int, int], int], n: int, room: float) -> int:
    """Return the largest of the sides for which there is room, or the least.

    Args:
        length_of: Takes a side and the number of one of those that need room.
        n: How many need room; some of them tell how much.
        room: How many letters there may be.
    """
    tried = np.unique(np.linspace(0, n - 1, _TRIED).astype(int)).tolist()
    for side in _SIDES:
        if n * float(np.mean([length_of(side, i) for i in tried])) <= room:
            return side
    return _SIDES[-1]


def _packed(scores: np.ndarray, side: int) -> dict[str, Any]:
    """Return a map whose longer side is at most ``side``, as a page holds it."""
    if not np.isfinite(scores).all():
        raise ValueError("explanations must have finite values to be shown as maps")
    smaller = resized(scores, _fitting(scores.shape, side), Image.Resampling.BOX)
    packed = packed_map(smaller)
    packed["limit"] = rounded(limit_of_colors(scores, _PERCENTILE))
    return packed


def _fitting(shape: Sequence[int], side: int) -> tuple[int, int]:
    height, width = shape
    share = min(1.0, side / max(height, width))
    return max(1, round(share * height)), max(1, round(share * width))


class _Photographs(NamedTuple):
    """The images that maps lie over.

    Attributes:
        images: One for each example.
        layout: Of arrays, as in `ImageVisualizer`; None to tell it from their shapes.
    """

    images: Any
    layout: str | None

    def address(self, i: int, side: int) -> str:
        """Return an image whose longer side is at most ``side`` as its own address."""
        return _address(as_rgb(self.images[i], self.layout), side)

    def aspect(self, i: int) -> float:
        """Return the width of an image, divided by its height."""
        height, width = as_rgb(self.images[i], self.layout).shape[:2]
        return float(width / height)


def _photographs(methods: Sequence[Method]) -> _Photographs | None:
    """Return what maps lie over: images that were given, or data that looks like some.

    None if there is nothing of that.
    """
    for method in methods:
        if method.explanation.images is not None:
            return _Photographs(method.explanation.images, None)
    data = methods[0].explanation.data
    return _Photographs(data, "chw") if data is not None and is_picture(data) else None


def _address(picture: np.ndarray, side: int) -> str:
    """Return an image ``(h, w, 3)`` in [0, 1] as the address of itself."""
    image = Image.fromarray(np.rint(255 * picture).astype(np.uint8))
    height, width = _fitting(picture.shape[:2], side)
    is_small = max(picture.shape[:2]) <= _SMALL
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "PNG" if is_small else "JPEG", quality=_QUALITY, optimize=True)
    kind = "png" if is_small else "jpeg"
    return f"data:image/{kind};base64,{as_base64(file.getvalue())}"

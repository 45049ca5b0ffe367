"""Maps of images: which pixels, colours and lines there are, and how they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from PIL import Image

from saliency.array_types import Array
from saliency.checks import check_number, is_number
from saliency.visualizer.colors import (
    ColorScale,
    checked_cmap,
    diverging_cmap,
    limit_of_colors,
    sequential_cmap,
)
from saliency.visualizer.grids import columns_of, names_of_methods, shared_by_scale
from saliency.visualizer.images import looks_channels_last, resized
from saliency.visualizer.scalers import Scaler, apply_scaler
from saliency.visualizer.scores import (
    as_real_array,
    checked_errors,
    checked_finite,
    uncertain,
)

#: How each mode shows scores that cannot be distinguished from zero.
UNCERTAIN_SHOWN_AS = {
    "overlay": "no colour",
    "contour": "no line",
    "mask": "black",
    "heatmap": "grey",
}
MODES = tuple(UNCERTAIN_SHOWN_AS)

_CONTOURS = (0.25, 0.5, 0.75)  # of the limit of the colours
_LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue are


class ScoreMap(NamedTuple):
    """The scores of an image.

    Attributes:
        scores: As they are drawn, ``(h, w)``.
        is_uncertain: Which of them cannot be distinguished from zero, ``(h, w)``.
    """

    scores: np.ndarray
    is_uncertain: np.ndarray

    @property
    def certain(self) -> np.ndarray:
        """The scores, with 0 for the uncertain ones."""
        return np.where(self.is_uncertain, 0, self.scores)

    def resized(self, shape: tuple[int, ...]) -> ScoreMap:
        """Return the map in another size."""
        is_uncertain = resized(self.is_uncertain, shape, Image.Resampling.NEAREST)
        return ScoreMap(resized(self.scores, shape), is_uncertain > 0)


class Panel(NamedTuple):
    """What is drawn on one pair of axes, from the lowest layer to the topmost.

    Attributes:
        scale: How scores become colours.
        picture: Colours of the pixels, ``(h, w, 3)``; None if there is no picture.
        scores: Scores that are drawn as colours, ``(h, w)``; masked ones have the
            colour map's colour for NaN. None if there are none.
        opacity: Opacity of these colours, ``(h, w)``; None for opaque ones.
        heights: Scores that contour lines are drawn of, ``(h, w)``; None without lines.
        levels: The scores of the lines, from the lowest on.
    """

    scale: ColorScale
    picture: np.ndarray | None = None
    scores: np.ndarray | None = None
    opacity: np.ndarray | None = None
    heights: np.ndarray | None = None
    levels: Sequence[float] = ()


# --- what is shown ----------------------------------------------------------------


def compute_map(
    saliency: Array,
    scaler: Scaler | None,
    errors: Array | None,
    name: str = "saliency",
    errors_name: str = "errors",
) -> ScoreMap:
    """Return the map of one image.

    Args:
        saliency: Scores, ``(h, w)`` or ``(ch, h, w)``.
        scaler: Maps the scores to those drawn; None leaves them as they are.
        errors: How far each score may be off, ``(h, w)``, or None.
        name: What messages call ``saliency``.
        errors_name: What messages call ``errors``.

    Raises:
        ValueError: A shape is wrong, or a value is not finite.
        TypeError: Something other than real numbers was given.
    """
    scores = _checked_scores(saliency, name)
    errors = checked_errors(errors, scores, errors_name)
    return ScoreMap(apply_scaler(scores, scaler), uncertain(scores, errors))


def compute_maps(
    saliency: Mapping[str, Array],
    scaler: Scaler | None,
    errors: Mapping[str, Array] | None,
    n_image: int,
) -> dict[str, list[ScoreMap]]:
    """Return the maps of each method, one for each image.

    Args:
        saliency: From the name of each method to its maps, as in `compute_map`.
        scaler: As in `compute_map`, for each map.
        errors: As in `compute_map`, by the names of methods; one may be left out.
        n_image: The number of images.

    Raises:
        ValueError: As in `compute_map`; or there are no methods or images, or not as
            many maps as images.
        TypeError: As in `compute_map`; or ``saliency`` or ``errors`` is not a mapping.
    """
    methods = names_of_methods(saliency) or []
    score_columns = columns_of("saliency", saliency, methods, n_image, "image")
    error_columns = columns_of("errors", errors, methods, n_image, "image")
    if n_image == 0:
        raise ValueError("images must not be empty")
    maps = {}
    for method, scores, off in zip(methods, score_columns, error_columns):
        maps[str(method)] = [
            compute_map(one, scaler, error, scores.label, off.label)
            for one, error in zip(scores.entries, off.entries)
        ]
    return maps


def compute_scale(
    scores: np.ndarray,
    percentile: float,
    limits: tuple[float, float] | None,
    cmap: str | Colormap | None,
) -> ColorScale:
    """Return how the scores of one map, or of several, become colours.

    Args:
        scores: Finite scores of any shape.
        percentile: The limit of the colours is this percentile of the magnitudes.
        limits: The lowest and the highest score of the colours, instead.
        cmap: Colour map. Default: a diverging one where there are negative scores.

    Raises:
        ValueError: ``percentile``, ``limits`` or ``cmap`` is not what is allowed.
    """
    check_number("percentile", percentile, 0, 100)
    is_signed = scores.min() < 0
    if cmap is None:
        cmap = diverging_cmap if is_signed else sequential_cmap
    cmap = checked_cmap(cmap)
    if limits is not None:
        low, high = _checked_limits(limits)
        return ColorScale(cmap, float(low), float(high))
    limit = limit_of_colors(scores, percentile)
    return ColorScale(cmap, -limit if is_signed else 0.0, limit)


def _checked_limits(limits: Any) -> tuple[float, float]:
    is_pair = isinstance(limits, (tuple, list, np.ndarray)) and len(limits) == 2
    if not (
        is_pair
        and all(map(is_number, limits))
        and np.isfinite(limits).all()
        and limits[0] < limits[1]
    ):
        raise ValueError(
            f"limits must be two numbers, the smaller first, got {limits!r}"
        )
    return limits[0], limits[1]


def compute_scales(
    maps: Mapping[str, Sequence[ScoreMap]],
    scale: str,
    percentile: float,
    cmap: str | Colormap | None,
) -> list[list[ColorScale]]:
    """Return the colour scale of each map, by row (image) and column (method).

    Args:
        maps: As `compute_maps` returns them.
        scale: Which maps share a scale, one of `grids.SCALES`.
        percentile: As in `compute_scale`, of the maps that share one.
        cmap: As in `compute_scale`.

    Raises:
        ValueError: As in `compute_scale`.
    """

    def scale_of(members: Sequence[ScoreMap]) -> ColorScale:
        scores = np.concatenate([member.scores.ravel() for member in members])
        return compute_scale(scores, percentile, None, cmap)

    return shared_by_scale(list(zip(*maps.values())), scale, scale_of)


def compute_panel(
    score_map: ScoreMap,
    picture: np.ndarray | None,
    scale: ColorScale,
    mode: str,
    alpha: float,
    resize: str,
) -> Panel:
    """Return what is drawn of one map and its image.

    Args:
        score_map: The map.
        picture: The image, ``(h, w, 3)`` in [0, 1]; None draws the map by itself.
        scale: How scores become colours.
        mode: One of `MODES`.
        alpha: Opacity of the strongest score in an overlay.
        resize: What is resized if the sizes differ, ``'saliency'`` or ``'image'``.
    """
    if picture is not None and picture.shape[:2] != score_map.scores.shape:
        if resize == "saliency":
            score_map = score_map.resized(picture.shape[:2])
        else:
            picture = _resized_picture(picture, score_map.scores.shape)
    if picture is None or mode == "heatmap":
        cmap = scale.cmap.with_extremes(bad=diverging_cmap.get_bad())
        scores = np.ma.masked_array(score_map.scores, score_map.is_uncertain)
        return Panel(scale._replace(cmap=cmap), scores=scores)
    if mode == "contour":
        levels = _contour_levels(score_map.certain, scale)
        return Panel(scale, picture, heights=score_map.certain, levels=levels)
    strength = scale.strength(score_map.certain)
    if mode == "mask":
        return Panel(scale, picture * strength[..., None])
    # A grey photograph leaves the colours to the scores.
    grey = np.repeat((picture @ _LUMA)[..., None], 3, axis=2)
    return Panel(scale, grey, scores=score_map.scores, opacity=alpha * strength)


def compute_panels(
    maps: Mapping[str, Sequence[ScoreMap]],
    pictures: Sequence[np.ndarray],
    scales: Sequence[Sequence[ColorScale]],
    mode: str,
    alpha: float,
    resize: str,
) -> list[list[Panel]]:
    """Return what is drawn of each map and its image, by row and column.

    Args:
        maps: As `compute_maps` returns them.
        pictures: The images, each ``(h, w, 3)`` in [0, 1].
        scales: As `compute_scales` returns them.
        mode: As in `compute_panel`.
        alpha: As in `compute_panel`.
        resize: As in `compute_panel`.
    """
    rows = zip(zip(*maps.values()), pictures, scales)
    return [
        [
            compute_panel(score_map, picture, scale, mode, alpha, resize)
            for score_map, scale in zip(maps_of_image, scales_of_image)
        ]
        for maps_of_image, picture, scales_of_image in rows
    ]


def note_on_uncertain(mode: str, maps: Iterable[ScoreMap]) -> str:
    """Return what is said below the maps on uncertain scores; empty without any."""
    if not any(score_map.is_uncertain.any() for score_map in maps):
        return ""
    return f"{UNCERTAIN_SHOWN_AS[mode]}: not distinguishable from 0"


def _checked_scores(saliency: Array, name: str) -> np.ndarray:
    """Return a map in float64, ``(h, w)``."""
    array = as_real_array(saliency, name)
    if array.ndim not in (2, 3) or array.size == 0:
        hint = f"; for one image pass {name}[0]" if array.ndim == 4 else ""
        raise ValueError(
            f"{name} must have the shape (h, w) or (ch, h, w) and not be empty, got "
            f"the shape {array.shape}{hint}"
        )
    if looks_channels_last(array.shape):
        raise ValueError(
            f"{name} of shape {array.shape} may be (h, w, ch) or (ch, h, w): pass "
            f"{name}.sum(axis=2) if the channels come last, and {name}.sum(axis=0) if "
            "they come first"
        )
    array = checked_finite(array, name)
    return array if array.ndim == 2 else array.sum(axis=0)


def _resized_picture(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    channels = [resized(picture[..., k], shape) for k in range(3)]
    return np.stack(channels, axis=-1)


def _contour_levels(scores: np.ndarray, scale: ColorScale) -> list[float]:
    levels = [sign * share * scale.limit for sign in (-1, 1) for share in _CONTOURS]
    return sorted(level for level in levels if scores.min() < level < scores.max())


# --- how it is drawn --------------------------------------------------------------


def draw_picture(ax: Axes, picture: np.ndarray) -> None:
    """Draw colours of pixels, ``(h, w, 3)``, without ticks."""
    _remove_ticks(ax)
    ax.imshow(np.clip(picture, 0, 1))


def draw_panel(ax: Axes, panel: Panel) -> None:
    """Draw the layers of a panel, without ticks."""
    _remove_ticks(ax)
    colors = {"cmap": panel.scale.cmap, "norm": panel.scale.norm}
    if panel.picture is not None:
        draw_picture(ax, panel.picture)
    if panel.scores is not None:
        ax.imshow(panel.scores, alpha=panel.opacity, **colors)
    if panel.levels:
        ax.contour(panel.heights, panel.levels, linewidths=1.5, **colors)


def _remove_ticks(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])

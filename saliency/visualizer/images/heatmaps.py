"""Maps of images: which pixels, colours and lines there are, and how they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from PIL import Image

from saliency.array_types import Array
from saliency.checks import check_number, is_number
from saliency.visualizer.color_keys import Key, ends_of
from saliency.visualizer.colors import (
    ALL_ZERO,
    ColorScale,
    checked_cmap,
    diverging_between,
    diverging_cmap,
    filled,
    limit_of_colors,
    sequential_cmap,
)
from saliency.visualizer.grids import columns_of, names_of_methods, shared_by_scale
from saliency.visualizer.images.photographs import looks_channels_last, resized
from saliency.visualizer.scalers import Scaler, apply_scaler, unit_of
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

#: What says which columns of a grid have which kind of scores, where there are both.
SIGNED, UNSIGNED = "signed", "magnitudes"

#: How bright the photograph is in a mask.
_BRIGHTNESS = filled(
    LinearSegmentedColormap.from_list("saliency_brightness", ["black", "white"])
)
_CONTOURS = (0.25, 0.5, 0.75)  # of the limit of the colours
_LINE_COLOR = 0.8  # the score whose colour all of them have, likewise
_LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue are
_DARKEST = 0.3  # how bright what is black in a photograph is below colours


class ScoreMap(NamedTuple):
    """The scores of an image.

    Attributes:
        scores: As they are drawn, ``(h, w)``.
        is_uncertain: Which of them cannot be distinguished from zero, ``(h, w)``.
        keeps_signs: Whether a scaler has left them the signs that they had.
        is_zero: Whether all of them were 0 before they were scaled.
    """

    scores: np.ndarray
    is_uncertain: np.ndarray
    keeps_signs: bool
    is_zero: bool

    @property
    def certain(self) -> np.ndarray:
        """The scores, with 0 for the uncertain ones."""
        return np.where(self.is_uncertain, 0, self.scores)

    def resized(self, shape: tuple[int, ...]) -> ScoreMap:
        """Return the map in another size."""
        is_uncertain = resized(self.is_uncertain, shape, Image.Resampling.NEAREST)
        return self._replace(
            scores=resized(self.scores, shape), is_uncertain=is_uncertain > 0
        )


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
        note: What is written across it; empty for nothing.
    """

    scale: ColorScale
    picture: np.ndarray | None = None
    scores: np.ndarray | None = None
    opacity: np.ndarray | None = None
    heights: np.ndarray | None = None
    levels: Sequence[float] = ()
    note: str = ""


class Kind(NamedTuple):
    """Columns of a grid with one kind of scores.

    Attributes:
        key: What their colours mean.
        methods: The names of their methods.
    """

    key: Key
    methods: list[str]


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
    scaled = apply_scaler(scores, scaler)
    return ScoreMap(
        scaled,
        uncertain(scores, errors),
        keeps_signs=np.array_equal(np.sign(scaled), np.sign(scores)),
        is_zero=not scores.any(),
    )


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
    limit: float | tuple[float, float] | None,
    cmap: str | Colormap | None,
) -> ColorScale:
    """Return how the scores of one map become colours.

    Args:
        scores: Finite scores of any shape.
        percentile: The limit of the colours is this percentile of the magnitudes.
        limit: The score of the strongest colours, or the lowest and the highest score
            of the colours, instead.
        cmap: Colour map. Default: `diverging_cmap` if the scale is signed, and
            otherwise `sequential_cmap`.

    Raises:
        ValueError: ``percentile``, ``limit`` or ``cmap`` is not what is allowed.
    """
    check_number("percentile", percentile, 0, 100)
    limit = _checked_limit(limit)
    if limit is None:
        limit = limit_of_colors(scores, percentile)
    return _scale_to(limit, _has_signs(scores, cmap), cmap)


def _has_signs(scores: np.ndarray, cmap: str | Colormap | None) -> bool:
    """Tell whether a scale goes to both sides of zero."""
    return bool(scores.min() < 0) or cmap == diverging_cmap


def _scale_to(
    limit: float | tuple[float, float], is_signed: bool, cmap: str | Colormap | None
) -> ColorScale:
    if isinstance(limit, tuple):
        low, high = limit
        is_signed = low < 0
    else:
        low, high = (-limit if is_signed else 0.0), limit
    if cmap is None:
        cmap = diverging_cmap if is_signed else sequential_cmap
    if cmap == diverging_cmap:
        cmap = diverging_between(low, high)  # or its white would not be at zero
    return ColorScale(checked_cmap(cmap), low, high)


def _checked_limit(limit: Any) -> float | tuple[float, float] | None:
    """Return a limit as a float, a pair of them, or None."""
    if limit is None:
        return None
    if is_number(limit) and 0 < limit < np.inf:
        return float(limit)
    is_pair = isinstance(limit, (tuple, list, np.ndarray)) and len(limit) == 2
    if not (
        is_pair
        and all(map(is_number, limit))
        and np.isfinite(limit).all()
        and limit[0] < limit[1]
    ):
        raise ValueError(
            "limit must be a number > 0, two numbers with the smaller first, or None, "
            f"got {limit!r}"
        )
    return float(limit[0]), float(limit[1])


def compute_scales(
    maps: Mapping[str, Sequence[ScoreMap]],
    scale: str,
    percentile: float,
    limit: float | tuple[float, float] | None,
    cmap: str | Colormap | None,
) -> list[list[ColorScale]]:
    """Return the colour scale of each map, by row (image) and column (method).

    All maps of a method are signed if one of them is.

    Args:
        maps: As `compute_maps` returns them.
        scale: Which maps share a limit, one of `grids.SCALES`.
        percentile: As in `compute_scale`, of the maps that share one.
        limit: As in `compute_scale`, for all maps.
        cmap: As in `compute_scale`.

    Raises:
        ValueError: As in `compute_scale`.
    """
    check_number("percentile", percentile, 0, 100)
    limit = _checked_limit(limit)

    def limit_of(members: Sequence[ScoreMap]) -> float | tuple[float, float]:
        return limit or limit_of_colors(_all_scores(members), percentile)

    have_signs = [_has_signs(_all_scores(column), cmap) for column in maps.values()]
    return [
        [
            _scale_to(limit_of_map, is_signed, cmap)
            for limit_of_map, is_signed in zip(row, have_signs)
        ]
        for row in shared_by_scale(list(zip(*maps.values())), scale, limit_of)
    ]


def _all_scores(maps: Sequence[ScoreMap]) -> np.ndarray:
    return np.concatenate([score_map.scores.ravel() for score_map in maps])


def compute_key(
    scale: ColorScale, maps: Sequence[ScoreMap], scaler: Scaler | None, mode: str
) -> Key:
    """Return what the colours of maps mean.

    Args:
        scale: How their scores become colours.
        maps: The maps.
        scaler: What has scaled their scores.
        mode: One of `MODES`.
    """
    scores, unit = _all_scores(maps), unit_of(scaler)
    if mode == "mask":
        if scale.low < 0:
            unit, scores = f"magnitude of the {unit}", np.abs(scores)
        scale = ColorScale(_BRIGHTNESS, 0.0, scale.limit)
    low, high = ends_of(scale, all(score_map.keeps_signs for score_map in maps))
    beyond = bool(scores.min() < scale.low), bool(scores.max() > scale.high)
    extend = {
        (False, False): "neither",
        (True, True): "both",
        (True, False): "min",
        (False, True): "max",
    }
    return Key(scale, low, high, unit, extend=extend[beyond])


def compute_kinds(
    maps: Mapping[str, Sequence[ScoreMap]],
    scales: Sequence[Sequence[ColorScale]],
    scaler: Scaler | None,
    mode: str,
) -> list[Kind]:
    """Return the kinds of scores in a grid; if there is only one, it has no name.

    Args:
        maps: As `compute_maps` returns them.
        scales: As `compute_scales` returns them.
        scaler: As in `compute_key`.
        mode: As in `compute_key`.
    """
    methods: dict[str, dict[str, ColorScale]] = {}
    for method, scale in zip(maps, scales[0]):
        kind = SIGNED if scale.is_signed and mode != "mask" else UNSIGNED
        methods.setdefault(kind, {})[method] = scale
    kinds = []
    for name, scale_of in methods.items():
        scale = next(iter(scale_of.values()))
        members = list(chain.from_iterable(maps[method] for method in scale_of))
        key = compute_key(scale, members, scaler, mode)
        key = key._replace(kind=name if len(methods) > 1 else "")
        kinds.append(Kind(key, list(scale_of)))
    return kinds


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
    panel = Panel(scale, picture, note=ALL_ZERO if score_map.is_zero else "")
    if picture is None or mode == "heatmap":
        cmap = scale.cmap.with_extremes(bad=diverging_cmap.get_bad())
        scores = np.ma.masked_array(score_map.scores, score_map.is_uncertain)
        return panel._replace(
            scale=scale._replace(cmap=cmap), picture=None, scores=scores
        )
    if mode == "contour":
        levels = _contour_levels(score_map.certain, scale)
        return panel._replace(heights=score_map.certain, levels=levels)
    strength = scale.strength(score_map.certain)
    if mode == "mask":
        return panel._replace(picture=picture * strength[..., None])
    # A grey photograph leaves the colours to the scores, of which the strongest are
    # dark: they are seen on what is not black.
    grey = np.repeat((picture @ _LUMA)[..., None], 3, axis=2)
    grey = _DARKEST + (1 - _DARKEST) * grey
    return panel._replace(
        picture=grey, scores=score_map.scores, opacity=alpha * strength
    )


def compute_panels(
    maps: Mapping[str, Sequence[ScoreMap]],
    pictures: Sequence[np.ndarray | None],
    scales: Sequence[Sequence[ColorScale]],
    mode: str,
    alpha: float,
    resize: str,
) -> list[list[Panel]]:
    """Return what is drawn of each map and its image, by row and column.

    Args:
        maps: As `compute_maps` returns them.
        pictures: The images, each ``(h, w, 3)`` in [0, 1], or None.
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
        _draw_contours(ax, panel)
    if panel.note:
        draw_note(ax, panel.note)


def _draw_contours(ax: Axes, panel: Panel) -> None:
    """Draw lines of full colour, wider for stronger scores, with a white edge."""
    cmap, norm, limit = panel.scale.cmap, panel.scale.norm, panel.scale.limit
    colors = [
        cmap(norm(np.sign(level) * _LINE_COLOR * limit)) for level in panel.levels
    ]
    widths = 0.7 + 2 * panel.scale.strength(np.array(panel.levels))
    lines = {"levels": panel.levels, "linestyles": "solid"}
    assert panel.heights is not None  # there are levels
    # Lines need two rows and columns: a single one has its scores at both edges.
    y, x = (np.arange(n) if n > 1 else [-0.5, 0.5] for n in panel.heights.shape)
    heights = x, y, np.broadcast_to(panel.heights, (len(y), len(x)))
    ax.contour(*heights, colors="white", linewidths=widths + 1.2, **lines)
    ax.contour(*heights, colors=colors, linewidths=widths, **lines)


def draw_note(ax: Axes, note: str) -> None:
    """Write across a picture."""
    ax.text(
        0.5,
        0.5,
        note,
        transform=ax.transAxes,
        ha="center",
        va="center",
        fontsize="small",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )


def _remove_ticks(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])

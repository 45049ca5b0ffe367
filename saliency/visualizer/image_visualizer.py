"""Pictures of saliency for images: heatmaps, over the photograph or by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from PIL import Image

from saliency.checks import check_choice, check_number
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.scalers import (
    abs_max_scaler,
    apply_scaler,
    as_real_array,
    checked_cmap,
    checked_errors,
    checked_finite,
    diverging_cmap,
    uncertain,
)

# Sizes of a new figure, in inches.
WIDTH = 4.0
CELL = 1.9
TITLE_HEIGHT = 0.35

#: The half of `diverging_cmap` above zero, for maps without negative scores.
sequential_cmap = LinearSegmentedColormap.from_list(
    "saliency_sequential", diverging_cmap(np.linspace(0.5, 1, 129)), N=256
).with_extremes(bad=diverging_cmap.get_bad())

_MODES = ("overlay", "contour", "mask", "heatmap")
_SCALES = ("separate", "row", "column", "all")
_CONTOURS = (0.25, 0.5, 0.75)  # of the limit

# How each mode shows what can not be told from zero.
_UNCERTAIN = {
    "overlay": "no colour",
    "contour": "no line",
    "mask": "black",
    "heatmap": "grey",
}


class ImageVisualizer(BaseVisualizer):
    """Draws saliency of images.

    `visualize` draws one map; `visualize_grid` draws the maps of several methods for
    several images, a row for each image.

    Example:
        >>> import numpy as np
        >>> from saliency import ImageVisualizer
        >>> saliency = np.random.default_rng(0).normal(size=(3, 32, 32))
        >>> photograph = np.full((64, 64, 3), 128, np.uint8)
        >>> figure = ImageVisualizer().visualize(saliency, photograph)
    """

    def visualize(
        self,
        saliency: Any,
        image: Any = None,
        save_filepath: str | PathLike[str] | None = None,
        scaler: Callable[[np.ndarray], np.ndarray] | None = abs_max_scaler,
        title: str | None = None,
        cmap: str | Colormap | None = None,
        alpha: float = 0.85,
        show_colorbar: bool = False,
        bbox_inches: Any = "tight",
        *,
        mode: str = "overlay",
        percentile: float = 99.0,
        limits: tuple[float, float] | None = None,
        image_layout: str | None = None,
        resize: str = "saliency",
        ax: Axes | None = None,
        errors: Any = None,
    ) -> Figure:
        """Draw one saliency map.

        Args:
            saliency: Scores, real and finite, ``(h, w)``, or ``(ch, h, w)``, whose
                channels are added up.
            image: What was explained: a PIL image, or an array ``(h, w)``,
                ``(h, w, ch)`` or ``(ch, h, w)`` of uint8, or of floats in [0, 1], with
                1, 3 or 4 channels. Default: the map is drawn by itself.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            scaler: Callable that maps the scores to those drawn; None draws them as
                they are.
            title: Title of the picture, or None.
            cmap: Colour map. Default: `diverging_cmap` where there are negative
                scores, else `sequential_cmap`, its half above zero.
            alpha: Opacity of the strongest score in an overlay, in [0, 1].
            show_colorbar: Whether to draw a colour bar.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            mode: ``'overlay'``: colours over the grey photograph, more opaque the
                stronger the score; ``'contour'``: lines at a fourth, half and three
                fourths of the limit; ``'mask'``: the photograph alone, as bright as
                the score is strong; ``'heatmap'``: the map by itself.
            percentile: The limit of the colours is this percentile of the magnitudes;
                100 is the largest.
            limits: The lowest and the highest score of the colours, instead. Default:
                symmetric around 0 where there are negative scores, so that 0 is the
                middle of the colour map; else from 0 on.
            image_layout: ``'hwc'`` or ``'chw'``, for an array that could be either.
            resize: What is resized where the sizes differ: ``'saliency'`` to the
                image's (bilinear), or ``'image'`` to that of the map.
            ax: Axes to draw on, in a figure of yours. Default: a new figure.
            errors: How far each pixel's score may be off, ``(h, w)``, in the units of
                ``saliency``, for example the standard deviation over samples. A pixel
                whose score is not further from 0 than that has no colour (in a
                heatmap: is grey), and the picture says so below.

        Returns:
            The figure, which pyplot knows nothing of unless ``ax`` comes from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` can not be written
                there.
            TypeError: An argument has the wrong type.
        """
        path, ax = self._checked_path(save_filepath), self._checked_ax(ax)
        one = _map(saliency, scaler, errors)
        picture = None if image is None else as_rgb(image, image_layout)
        check_choice("mode", mode, _MODES)
        check_choice("resize", resize, ("saliency", "image"))
        check_number("alpha", alpha, 0, 1)
        if picture is None and mode in ("contour", "mask"):
            raise ValueError(f"mode={mode!r} needs an image, got image=None")
        mode = "heatmap" if picture is None else mode
        colors = _colors(one.scores, percentile, limits, cmap)
        if ax is None:
            shape = one.scores.shape if picture is None else picture.shape[:2]
            ax = self._new_ax(_figsize(shape, title is not None))
        _draw(ax, one, picture, colors, mode, alpha, resize)
        if title is not None:
            ax.set_title(title)
        if one.unsure.any():
            ax.set_xlabel(_note(mode), fontsize="small")
        if show_colorbar:
            _add_color_bar(ax, [ax], colors)
        return self._finish(ax, path, bbox_inches)

    def visualize_grid(
        self,
        saliency: Mapping[str, Any],
        images: Sequence[Any],
        save_filepath: str | PathLike[str] | None = None,
        scaler: Callable[[np.ndarray], np.ndarray] | None = None,
        title: str | None = None,
        cmap: str | Colormap | None = None,
        alpha: float = 0.85,
        show_colorbar: bool = False,
        bbox_inches: Any = "tight",
        *,
        mode: str = "overlay",
        percentile: float = 99.0,
        scale: str = "separate",
        row_titles: Sequence[str] | None = None,
        image_layout: str | None = None,
        resize: str = "saliency",
        errors: Mapping[str, Any] | None = None,
    ) -> Figure:
        """Draw the maps of several methods for several images.

        There is a row for each image: the image, and its map by each method.

        Args:
            saliency: From the name of each method to its maps, ``(n, h, w)`` or
                ``(n, ch, h, w)``, or a list of such maps.
            images: The n images, as in `visualize`.
            save_filepath: As in `visualize`.
            scaler: As in `visualize`, for each map. With a scale that maps share, only
                scores as they are can be compared, so the default is None.
            title: Title of the whole, or None.
            cmap: As in `visualize`.
            alpha: As in `visualize`.
            show_colorbar: Whether to draw colour bars: one for all with
                ``scale='all'``, else one for each map.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            mode: As in `visualize`.
            percentile: As in `visualize`, of the maps that share a scale.
            scale: Which maps have the same limits of their colours: none
                (``'separate'``), those of an image (``'row'``), those of a method
                (``'column'``), or ``'all'``.
            row_titles: What stands beside each image, as its class.
            image_layout: As in `visualize`.
            resize: As in `visualize`.
            errors: As in `visualize`, ``(n, h, w)`` or a list, by the names of methods.
                A method may be left out.

        Returns:
            The figure, which pyplot knows nothing of.

        Raises:
            ValueError: As in `visualize`; or there are not as many maps or titles as
                images.
            TypeError: An argument has the wrong type.
        """
        path = self._checked_path(save_filepath)
        pictures = [as_rgb(image, image_layout) for image in images]
        maps = _maps(saliency, errors, len(pictures), scaler)
        for name, value, choices in (
            ("mode", mode, _MODES),
            ("resize", resize, ("saliency", "image")),
            ("scale", scale, _SCALES),
        ):
            check_choice(name, value, choices)
        check_number("alpha", alpha, 0, 1)
        if row_titles is not None and len(row_titles) != len(pictures):
            raise ValueError(
                f"row_titles must hold one for each of the {len(pictures)} images, got "
                f"{len(row_titles)}"
            )
        colors = _colors_of_grid(maps, scale, percentile, cmap)
        axes = _grid(pictures, len(maps), title, show_colorbar)
        for ax, name in zip(axes[0], ("image", *maps)):
            ax.set_title(name, fontsize="medium")
        for i, (row, picture) in enumerate(zip(axes, pictures)):
            _draw_picture(row[0], picture)
            if row_titles is not None:
                row[0].set_ylabel(row_titles[i])
            for j, (ax, of_method) in enumerate(zip(row[1:], maps.values())):
                _draw(ax, of_method[i], picture, colors[i][j], mode, alpha, resize)
                if show_colorbar and scale != "all":
                    _add_color_bar(ax, [ax], colors[i][j])
        if show_colorbar and scale == "all":
            _add_color_bar(axes[0, 1], list(axes.flat), colors[0][0])
        if any(one.unsure.any() for of_method in maps.values() for one in of_method):
            axes[0, 0].figure.supxlabel(_note(mode), fontsize="small")
        return self._finish(axes[0, 0], path, bbox_inches)


# --- checks -----------------------------------------------------------------------


def _checked_scores(saliency: Any, name: str = "saliency") -> np.ndarray:
    """Return a map in float64, ``(h, w)``."""
    array = as_real_array(saliency, name)
    if array.ndim not in (2, 3) or array.size == 0:
        hint = f"; for one image pass {name}[0]" if array.ndim == 4 else ""
        raise ValueError(
            f"{name} must have the shape (h, w) or (ch, h, w) and not be empty, got "
            f"the shape {array.shape}{hint}"
        )
    array = checked_finite(array, name)
    return array if array.ndim == 2 else array.sum(axis=0)


def _checked_by_method(name: str, value: Any, n: int) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must map the name of each method to its maps, got "
            f"{type(value).__name__}"
        )
    for method, of_images in value.items():
        if len(of_images) != n:
            raise ValueError(
                f"{name}[{method!r}] must hold a map for each of the {n} images, got "
                f"{len(of_images)}"
            )
    return dict(value)


def as_rgb(image: Any, image_layout: str | None = None) -> np.ndarray:
    """Return an image as ``(h, w, 3)`` of float64 in [0, 1].

    Args:
        image: A PIL image of any mode, or an array as in `ImageVisualizer.visualize`.
            What is transparent becomes white.
        image_layout: ``'hwc'``, ``'chw'``, or None to look at the shape.

    Raises:
        ValueError: If it has another shape, values that no image has, or the layout is
            not clear.
        TypeError: If it is no image.
    """
    if image_layout is not None:
        check_choice("image_layout", image_layout, ("hwc", "chw"))
    if isinstance(image, Image.Image):
        array = np.asarray(image.convert("RGBA"))
    else:
        array = _as_hwc(as_real_image(image), image_layout)
    array = array / 255 if array.dtype == np.uint8 else array.astype(np.float64)
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        opacity = array[..., 3:]
        return array[..., :3] * opacity + (1 - opacity)
    return array


def as_real_image(image: Any) -> np.ndarray:
    """Return an array of uint8, or of floats in [0, 1]."""
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


def _as_hwc(array: np.ndarray, image_layout: str | None) -> np.ndarray:
    if array.ndim == 2 and array.size:
        return array[..., None]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(
            "image must have the shape (h, w), (h, w, ch) or (ch, h, w) and not be "
            f"empty, got {array.shape}"
        )
    is_possible = {
        "hwc": array.shape[2] in (1, 3, 4),
        "chw": array.shape[0] in (1, 3, 4),
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


# --- what is drawn ----------------------------------------------------------------


class _Map(NamedTuple):
    """A map to be drawn.

    Attributes:
        scores: What is drawn, ``(h, w)``.
        unsure: Which scores can not be told from zero, ``(h, w)``.
    """

    scores: np.ndarray
    unsure: np.ndarray

    @property
    def certain(self) -> np.ndarray:
        """The scores, 0 where that can not be excluded."""
        return np.where(self.unsure, 0, self.scores)

    def resized(self, shape: tuple[int, ...]) -> _Map:
        """Return the map in another size."""
        unsure = _resized(self.unsure, shape, Image.Resampling.NEAREST)
        return _Map(_resized(self.scores, shape), unsure > 0)


def _map(
    saliency: Any,
    scaler: Callable[[np.ndarray], np.ndarray] | None,
    errors: Any,
    name: str = "saliency",
    errors_name: str = "errors",
) -> _Map:
    scores = _checked_scores(saliency, name)
    errors = checked_errors(errors, scores, errors_name)
    return _Map(apply_scaler(scores, scaler), uncertain(scores, errors))


def _maps(
    saliency: Mapping[str, Any],
    errors: Mapping[str, Any] | None,
    n: int,
    scaler: Callable[[np.ndarray], np.ndarray] | None,
) -> dict[str, list[_Map]]:
    """Return the maps of each method."""
    saliency = _checked_by_method("saliency", saliency, n)
    errors = {} if errors is None else _checked_by_method("errors", errors, n)
    if not saliency or n == 0:
        raise ValueError("saliency and images must not be empty")
    unknown = [method for method in errors if method not in saliency]
    if unknown:
        raise ValueError(
            f"errors has {unknown[0]!r}, which is not among the methods of saliency: "
            f"{', '.join(map(repr, saliency))}"
        )
    return {
        str(method): [
            _map(one, scaler, off, f"saliency[{method!r}]", f"errors[{method!r}]")
            for one, off in zip(of_images, errors.get(method, [None] * n))
        ]
        for method, of_images in saliency.items()
    }


def _note(mode: str) -> str:
    return f"{_UNCERTAIN[mode]}: not distinguishable from 0"


# --- colours ----------------------------------------------------------------------


class _Colors(NamedTuple):
    """How scores become colours.

    Attributes:
        cmap: The colour map.
        low: The score of its lower end.
        high: The score of its upper end.
    """

    cmap: Colormap
    low: float
    high: float

    @property
    def norm(self) -> Normalize:
        """Scores to the colour map's range."""
        return Normalize(self.low, self.high, clip=True)

    def strength(self, scores: np.ndarray) -> np.ndarray:
        """Return how strong scores are, in [0, 1]."""
        return np.clip(np.abs(scores) / max(abs(self.low), abs(self.high)), 0, 1)


def _colors(
    scores: np.ndarray,
    percentile: float,
    limits: tuple[float, float] | None,
    cmap: str | Colormap | None,
) -> _Colors:
    check_number("percentile", percentile, 0, 100)
    is_signed = scores.min() < 0
    if cmap is None:
        cmap = diverging_cmap if is_signed else sequential_cmap
    cmap = checked_cmap(cmap)
    if limits is not None:
        low, high = limits
        if not (np.isfinite(limits).all() and low < high):
            raise ValueError(
                f"limits must be two numbers, the smaller first, got {limits!r}"
            )
        return _Colors(cmap, float(low), float(high))
    high = float(np.percentile(np.abs(scores), percentile)) or float(
        np.abs(scores).max()
    )
    high = high or 1.0  # a map of zeros
    return _Colors(cmap, -high if is_signed else 0.0, high)


def _colors_of_grid(
    maps: dict[str, list[_Map]],
    scale: str,
    percentile: float,
    cmap: str | Colormap | None,
) -> list[list[_Colors]]:
    """Return the colours of each map, by row and column."""
    columns = list(maps.values())
    rows = list(zip(*columns))

    def of(some: Sequence[_Map]) -> _Colors:
        scores = np.concatenate([one.scores.ravel() for one in some])
        return _colors(scores[None], percentile, None, cmap)

    if scale == "all":
        one = of([m for column in columns for m in column])
        return [[one] * len(columns) for _ in rows]
    if scale == "row":
        return [[of(row)] * len(columns) for row in rows]
    if scale == "column":
        of_columns = [of(column) for column in columns]
        return [of_columns for _ in rows]
    return [[of([m]) for m in row] for row in rows]


# --- drawing ----------------------------------------------------------------------


def _draw(
    ax: Axes,
    one: _Map,
    picture: np.ndarray | None,
    colors: _Colors,
    mode: str,
    alpha: float,
    resize: str,
) -> None:
    if picture is not None and picture.shape[:2] != one.scores.shape:
        if resize == "saliency":
            one = one.resized(picture.shape[:2])
        else:
            channels = [_resized(picture[..., k], one.scores.shape) for k in range(3)]
            picture = np.stack(channels, axis=-1)
    strength = colors.strength(one.certain)
    if picture is None or mode == "heatmap":
        _without_ticks(ax)
        scores = np.ma.masked_array(one.scores, one.unsure)
        cmap = colors.cmap.with_extremes(bad=diverging_cmap.get_bad())
        ax.imshow(scores, cmap=cmap, norm=colors.norm)
    elif mode == "overlay":
        # A grey photograph leaves the colours to the scores.
        grey = picture @ [0.299, 0.587, 0.114]
        _draw_picture(ax, np.repeat(grey[..., None], 3, axis=2))
        ax.imshow(
            one.scores, cmap=colors.cmap, norm=colors.norm, alpha=alpha * strength
        )
    elif mode == "contour":
        _draw_picture(ax, picture)
        _draw_contours(ax, one.certain, colors)
    else:
        _draw_picture(ax, picture * strength[..., None])


def _draw_contours(ax: Axes, scores: np.ndarray, colors: _Colors) -> None:
    size = max(abs(colors.low), abs(colors.high))
    levels = [sign * part * size for sign in (-1, 1) for part in _CONTOURS]
    levels = sorted(v for v in levels if scores.min() < v < scores.max())
    if levels:
        ax.contour(scores, levels, cmap=colors.cmap, norm=colors.norm, linewidths=1.5)


def _draw_picture(ax: Axes, picture: np.ndarray) -> None:
    _without_ticks(ax)
    ax.imshow(np.clip(picture, 0, 1))


def _without_ticks(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])


def _add_color_bar(ax: Axes, of: list[Axes], colors: _Colors) -> None:
    figure = ax.figure.figure
    figure.colorbar(ScalarMappable(colors.norm, colors.cmap), ax=of, shrink=0.8)


def _resized(
    array: np.ndarray,
    shape: tuple[int, ...],
    how: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """Return an array ``(h, w)`` of another shape, interpolated."""
    height, width = shape
    image = Image.fromarray(np.ascontiguousarray(array, np.float32))
    return np.asarray(image.resize((width, height), how), "d")


def _figsize(shape: tuple[int, ...], has_title: bool) -> tuple[float, float]:
    height = WIDTH * shape[0] / shape[1]
    return WIDTH, min(max(height, 0.5), 3 * WIDTH) + TITLE_HEIGHT * has_title


def _grid(
    pictures: list[np.ndarray], n_method: int, title: str | None, has_bars: bool
) -> np.ndarray:
    """Return axes in a new figure, for each picture and its maps."""
    heights = [CELL * p.shape[0] / p.shape[1] for p in pictures]
    width = CELL * (1 + n_method) * (1.2 if has_bars else 1)
    height = sum(heights) + TITLE_HEIGHT * (1 + (title is not None))
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(
        len(pictures), 1 + n_method, squeeze=False, height_ratios=heights
    )
    if title is not None:
        figure.suptitle(title)
    return axes

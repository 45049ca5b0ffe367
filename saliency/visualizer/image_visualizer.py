"""Pictures of saliency for images: heatmaps, over the photograph or by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from PIL import Image

from saliency.array_types import Array
from saliency.checks import check_choice, check_number, checked_arguments
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.colors import draw_color_bar
from saliency.visualizer.grids import SCALES, one_for_each_row
from saliency.visualizer.heatmaps import (
    MODES,
    compute_map,
    compute_maps,
    compute_panel,
    compute_panels,
    compute_scale,
    compute_scales,
    draw_panel,
    draw_picture,
    note_on_uncertain,
)
from saliency.visualizer.images import as_rgb
from saliency.visualizer.names import AS_IT_IS, plain
from saliency.visualizer.notebook_figure import NotebookFigure
from saliency.visualizer.scalers import Scaler, abs_max_scaler

# Sizes of a new figure, in inches.
WIDTH = 4.0
CELL = 1.9
TITLE_HEIGHT = 0.35

_RESIZED = ("saliency", "image")


class ImageVisualizer(BaseVisualizer):
    """Draws saliency of images.

    `visualize` draws one map. `visualize_grid` draws the maps of several methods for
    several images, with a row for each image.

    Example:
        >>> import numpy as np
        >>> from saliency import ImageVisualizer
        >>> saliency = np.random.default_rng(0).normal(size=(3, 32, 32))
        >>> photograph = np.full((64, 64, 3), 128, np.uint8)
        >>> figure = ImageVisualizer().visualize(saliency, photograph)
    """

    __slots__ = ()

    @checked_arguments
    def visualize(
        self,
        saliency: Array,
        image: Image.Image | Array | None = None,
        save_filepath: str | PathLike[str] | None = None,
        scaler: Scaler | None = abs_max_scaler,
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
        errors: Array | None = None,
    ) -> Figure:
        """Draw one saliency map.

        Args:
            saliency: Scores, real and finite, ``(h, w)``, or ``(ch, h, w)``, whose
                channels are added up. What looks like ``(h, w, ch)`` is refused.
            image: What was explained: a PIL image, or an array ``(h, w)``,
                ``(h, w, ch)`` or ``(ch, h, w)`` of uint8, or of floats in [0, 1], with
                1, 3 or 4 channels. PIL images of 16 bits or of floats are scaled by
                their depth. Default: the map is drawn by itself.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            scaler: Callable that maps the scores to those drawn; None draws them
                unchanged.
            title: Title of the picture, or None.
            cmap: Colour map. Default: `diverging_cmap` if there are negative scores,
                otherwise `sequential_cmap`, which is neither for nor against.
            alpha: Opacity of the strongest score in an overlay, in [0, 1].
            show_colorbar: Whether to draw a colour bar.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            mode: ``'overlay'``: colours over the grey photograph, more opaque the
                stronger the score; ``'contour'``: lines at a quarter, a half and three
                quarters of the limit; ``'mask'``: the photograph alone, as bright as
                the score is strong; ``'heatmap'``: the map by itself.
            percentile: The limit of the colours is this percentile of the magnitudes;
                100 is the largest.
            limits: The lowest and the highest score of the colours, instead. Default:
                symmetric around 0 if there are negative scores, so that 0 is the
                middle of the colour map; otherwise they begin at 0.
            image_layout: ``'hwc'`` or ``'chw'``, for an array that could be either.
            resize: What is resized if the sizes differ: ``'saliency'`` to the size
                of the image (bilinear), or ``'image'`` to that of the map.
            ax: Axes to draw on. Default: those of a new figure.
            errors: How far each pixel's score may be off, ``(h, w)``, in the units of
                ``saliency``, for example the standard deviation over samples. A pixel
                whose score is no further from 0 than that has no colour (in a
                heatmap it is grey), and a note below the picture says so.

        Returns:
            The figure, which is not registered with pyplot unless ``ax`` is from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` cannot be written to.
            TypeError: An argument has the wrong type.
        """
        path, ax = self._checked_path(save_filepath), self._checked_ax(ax)
        score_map = compute_map(saliency, scaler, errors)
        picture = None if image is None else as_rgb(image, image_layout)
        _check_drawing(mode, resize, alpha)
        if picture is None and mode in ("contour", "mask"):
            raise ValueError(f"mode={mode!r} needs an image, got image=None")
        mode = "heatmap" if picture is None else mode
        scale = compute_scale(score_map.scores, percentile, limits, cmap)
        panel = compute_panel(score_map, picture, scale, mode, alpha, resize)
        note = note_on_uncertain(mode, [score_map])

        if ax is None:
            shape = score_map.scores.shape if picture is None else picture.shape[:2]
            ax = self._new_ax(_figure_size(shape, title is not None))
        draw_panel(ax, panel)
        if title is not None:
            ax.set_title(plain(title), **AS_IT_IS)
        if note:
            ax.set_xlabel(note, fontsize="small")
        if show_colorbar:
            draw_color_bar(ax.figure.figure, scale, beside=[ax])
        return self._finish(ax, path, bbox_inches)

    @checked_arguments
    def visualize_grid(
        self,
        saliency: Mapping[str, Array],
        images: Sequence[Image.Image | Array],
        save_filepath: str | PathLike[str] | None = None,
        scaler: Scaler | None = None,
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
        errors: Mapping[str, Array] | None = None,
    ) -> Figure:
        """Draw the maps of several methods for several images.

        There is a row for each image, which holds the image and its map by each method.

        Args:
            saliency: From the name of each method to its maps, ``(n, h, w)`` or
                ``(n, ch, h, w)``, or a list of such maps.
            images: The n images, as in `visualize`.
            save_filepath: As in `visualize`.
            scaler: As in `visualize`, for each map. On a scale that maps share, only
                unscaled scores can be compared, so the default is None.
            title: Title of the whole figure, or None.
            cmap: As in `visualize`.
            alpha: As in `visualize`.
            show_colorbar: Whether to draw colour bars: one for all with
                ``scale='all'``, otherwise one for each map.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            mode: As in `visualize`.
            percentile: As in `visualize`, of the maps that share a scale.
            scale: Which maps have the same limits of their colours: none
                (``'separate'``), those of an image (``'row'``), those of a method
                (``'column'``), or ``'all'``.
            row_titles: Text beside each image, such as its class.
            image_layout: As in `visualize`.
            resize: As in `visualize`.
            errors: As in `visualize`, ``(n, h, w)`` or a list, by the names of methods.
                A method may be left out.

        Returns:
            The figure, which is not registered with pyplot.

        Raises:
            ValueError: As in `visualize`; or there are not as many maps or titles as
                images.
            TypeError: An argument has the wrong type.
        """
        path = self._checked_path(save_filepath)
        pictures = [as_rgb(image, image_layout) for image in images]
        maps = compute_maps(saliency, scaler, errors, len(pictures))
        _check_drawing(mode, resize, alpha)
        check_choice("scale", scale, SCALES)
        if row_titles is not None:
            row_titles = one_for_each_row(
                "row_titles", list(row_titles), len(pictures), "image"
            )
        scales = compute_scales(maps, scale, percentile, cmap)
        panels = compute_panels(maps, pictures, scales, mode, alpha, resize)
        note = note_on_uncertain(mode, chain.from_iterable(maps.values()))

        axes = _new_grid(pictures, len(maps), title, show_colorbar)
        figure = axes[0, 0].figure
        for ax, name in zip(axes[0], ("image", *maps)):
            ax.set_title(plain(name), fontsize="medium", **AS_IT_IS)
        for i, picture in enumerate(pictures):
            draw_picture(axes[i, 0], picture)
            if row_titles is not None:
                axes[i, 0].set_ylabel(plain(row_titles[i]), **AS_IT_IS)
            for ax, panel, color_scale in zip(axes[i, 1:], panels[i], scales[i]):
                draw_panel(ax, panel)
                if show_colorbar and scale != "all":
                    draw_color_bar(figure, color_scale, beside=[ax])
        if show_colorbar and scale == "all":
            draw_color_bar(figure, scales[0][0], beside=list(axes.flat))
        if note:
            figure.supxlabel(note, fontsize="small")
        return self._finish(axes[0, 0], path, bbox_inches)


def _check_drawing(mode: str, resize: str, alpha: float) -> None:
    check_choice("mode", mode, MODES)
    check_choice("resize", resize, _RESIZED)
    check_number("alpha", alpha, 0, 1)


def _figure_size(shape: tuple[int, ...], has_title: bool) -> tuple[float, float]:
    """Return the width and height for one map, in inches."""
    height = WIDTH * shape[0] / shape[1]
    return WIDTH, min(max(height, 0.5), 3 * WIDTH) + TITLE_HEIGHT * has_title


def _new_grid(
    pictures: list[np.ndarray], n_method: int, title: str | None, has_bars: bool
) -> np.ndarray:
    """Return the axes of a new figure, for each picture and its maps."""
    heights = [CELL * picture.shape[0] / picture.shape[1] for picture in pictures]
    width = CELL * (1 + n_method) * (1.2 if has_bars else 1)
    height = sum(heights) + TITLE_HEIGHT * (1 + (title is not None))
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    axes: np.ndarray = figure.subplots(
        len(pictures), 1 + n_method, squeeze=False, height_ratios=heights
    )
    if title is not None:
        figure.suptitle(plain(title), **AS_IT_IS)
    return axes

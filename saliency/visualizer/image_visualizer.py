"""Pictures of saliency for images: heatmaps, over the photograph or by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from os import PathLike
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from PIL import Image

from saliency.array_types import Array
from saliency.checks import check_choice, check_number, checked_arguments
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.color_keys import (
    LINE,
    WIDTH_OF_BAR,
    draw_color_bar,
    draw_keys,
    draw_title,
)
from saliency.visualizer.colors import ColorScale, sequential_cmap
from saliency.visualizer.files import checked_path
from saliency.visualizer.grids import SCALES, columns_of, one_for_each_row
from saliency.visualizer.images.cascade import compute_cascade
from saliency.visualizer.images.heatmaps import (
    MODES,
    Kind,
    Panel,
    ScoreMap,
    compute_key,
    compute_kinds,
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
from saliency.visualizer.images.photographs import as_rgb
from saliency.visualizer.names import AS_IT_IS, in_lines, plain, width_of
from saliency.visualizer.notebook_figure import NotebookFigure
from saliency.visualizer.scalers import Scaler, abs_max_scaler

# Sizes of a new figure, in inches.
WIDTH = 4.0
CELL = 1.9
GAP = 0.1
TITLE_HEIGHT = 0.35

LETTER = 0.075  # the width of one in the titles of rows
ROW_TITLE = 30  # letters in a line of these
COLUMN_TITLE = 23  # and in one of the titles of columns

# What is said of the scales of a grid's maps.
_SCALES = {
    "separate": "each map has its own scale",
    "row": "one scale for each row",
    "column": "one scale for each column",
    "all": "one scale for all maps",
}
_RESIZED = ("saliency", "image")


class ImageVisualizer(BaseVisualizer):
    """Draws saliency of images.

    `visualize` draws one map. `visualize_grid` draws the maps of several methods for
    several images, with a row for each image. `visualize_cascade` draws how maps change
    as the layers of a network are drawn anew. `visualize_rows` draws rows of images,
    such as those that each channel of a layer is most relevant for.

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
        errors: Array | None = None,
        mode: str = "overlay",
        percentile: float = 99.0,
        limit: float | tuple[float, float] | None = None,
        show_key: bool = True,
        image_layout: str | None = None,
        resize: str = "saliency",
        ax: Axes | None = None,
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
                from blue, against, to red, for what is explained; otherwise
                `sequential_cmap`, which is purple: magnitudes are neither for nor
                against. For scores that have signs but happen to be positive pass
                ``cmap=diverging_cmap``.
            alpha: Opacity of the strongest score in an overlay, in [0, 1].
            show_colorbar: Whether to draw a colour bar, with numbers and their unit.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            errors: How far each pixel's score may be off, ``(h, w)``, in the units of
                ``saliency``, for example the standard deviation over samples. A pixel
                whose score is no further from 0 than that has no colour (in a
                heatmap it is grey), and a note below the picture says so.
            mode: ``'overlay'``: colours over the grey photograph, more opaque the
                stronger the score; ``'contour'``: lines at a quarter, a half and three
                quarters of the limit, the wider the stronger; ``'mask'``: the
                photograph alone, as bright as the score is strong; ``'heatmap'``: the
                map by itself.
            percentile: The limit of the colours is this percentile of the magnitudes;
                100 is the largest.
            limit: The score, as drawn, of the strongest colours, instead: colours go
                from -limit to limit if the colour map is the diverging one, otherwise
                from 0. Or the lowest and the highest score of the colours, of which the
                lowest decides on the default colour map: the diverging one if it is
                negative, whose white stays at zero. For one scale in several pictures
                pass ``scaler=None`` as well: the default one draws parts of each map's
                strongest score.
            show_key: Whether to say below the picture what the colours mean. A colour
                bar says it, too, and has no key below it.
            image_layout: ``'hwc'`` or ``'chw'``, for an array that could be either.
            resize: What is resized if the sizes differ: ``'saliency'`` to the size
                of the image (bilinear), or ``'image'`` to that of the map.
            ax: Axes to draw on. Default: those of a new figure.

        Returns:
            The figure, which is not registered with pyplot unless ``ax`` is from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` cannot be written to.
            TypeError: An argument has the wrong type.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        score_map = compute_map(saliency, scaler, errors)
        picture = None if image is None else as_rgb(image, image_layout)
        _check_drawing(mode, resize, alpha)
        mode = _mode_without_image(mode, picture)
        scale = compute_scale(score_map.scores, percentile, limit, cmap)
        panel = compute_panel(score_map, picture, scale, mode, alpha, resize)
        key = compute_key(scale, [score_map], scaler, mode)
        note = note_on_uncertain(mode, [score_map])

        if ax is None:
            shape = score_map.scores.shape if picture is None else picture.shape[:2]
            ax = self._new_ax(
                _figure_size(shape, title is not None, show_colorbar, show_key)
            )
        draw_panel(ax, panel)
        if title is not None:
            draw_title(ax, title, WIDTH, show_colorbar)
        if note:
            ax.set_xlabel(note, fontsize="small")
        if show_colorbar:
            draw_color_bar([ax], key)
        elif show_key:
            draw_keys([ax], [key])
        return self._finish(ax, path, bbox_inches)

    @checked_arguments
    def visualize_grid(
        self,
        saliency: Mapping[str, Array],
        images: Sequence[Image.Image | Array] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        scaler: Scaler | None = None,
        title: str | None = None,
        cmap: str | Colormap | None = None,
        alpha: float = 0.85,
        show_colorbar: bool = False,
        bbox_inches: Any = "tight",
        *,
        errors: Mapping[str, Array] | None = None,
        mode: str = "overlay",
        scale: str = "separate",
        percentile: float = 99.0,
        limit: float | tuple[float, float] | None = None,
        row_titles: Sequence[str] | None = None,
        captions: Mapping[str, Sequence[str]] | None = None,
        show_key: bool = True,
        image_layout: str | None = None,
        resize: str = "saliency",
    ) -> Figure:
        """Draw the maps of several methods for several images.

        There is a row for each image, which holds the image and its map by each method.
        The maps of a method are signed if any of them has negative scores. Where other
        methods have none, its title says which it is.

        Args:
            saliency: From the name of each method to its maps, ``(n, h, w)`` or
                ``(n, ch, h, w)``, or a list of such maps.
            images: The n images, as in `visualize`. Default: the maps by themselves.
            save_filepath: As in `visualize`.
            scaler: As in `visualize`, for each map. On a scale that maps share, only
                unscaled scores can be compared, so the default is None.
            title: Title of the whole figure, or None.
            cmap: As in `visualize`.
            alpha: As in `visualize`.
            show_colorbar: Whether to draw colour bars: one for all with
                ``scale='all'``, otherwise one for each map.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            errors: As in `visualize`, ``(n, h, w)`` or a list, by the names of methods.
                A method may be left out.
            mode: As in `visualize`.
            scale: Which maps have the same limits of their colours: none
                (``'separate'``), those of an image (``'row'``), those of a method
                (``'column'``), or ``'all'``.
            percentile: As in `visualize`, of the maps that share a scale.
            limit: As in `visualize`, for all maps.
            row_titles: Text beside each image, such as its class. Lines that are too
                long are broken.
            captions: Text below each map, n of them, by the names of methods. A method
                may be left out.
            show_key: Whether to say below the maps what the colours mean.
            image_layout: As in `visualize`.
            resize: As in `visualize`.

        Returns:
            The figure, which is not registered with pyplot.

        Raises:
            ValueError: As in `visualize`; or there are not as many maps or titles as
                images.
            TypeError: An argument has the wrong type.
        """
        path = checked_path(save_filepath)
        pictures: list[np.ndarray | None] = [None] * _number_of_rows(saliency)
        if images is not None:
            pictures = [as_rgb(image, image_layout) for image in _checked(images)]
        n_row = len(pictures)
        maps = compute_maps(saliency, scaler, errors, n_row)
        texts = _captions_of_methods(captions, list(saliency), n_row)
        _check_drawing(mode, resize, alpha)
        mode = _mode_without_image(mode, images)
        check_choice("scale", scale, SCALES)
        titles = _row_titles(row_titles, n_row)
        scale = "all" if limit is not None else scale
        scales = compute_scales(maps, scale, percentile, limit, cmap)
        panels = compute_panels(maps, pictures, scales, mode, alpha, resize)
        kinds = compute_kinds(maps, scales, scaler, mode)
        keys = [kind.key for kind in kinds]
        note = note_on_uncertain(mode, chain.from_iterable(maps.values()))

        has_one_bar = show_colorbar and scale == "all"
        has_keys = show_key and not has_one_bar
        n_bar = show_colorbar * (len(keys) if has_one_bar else len(maps))
        n_line = (len(keys) + 1) * has_keys + bool(note)
        n_line += (n_row + 1) * (captions is not None)
        headings = _headings(list(maps), kinds)
        axes = _new_grid(pictures, maps, titles, headings, title, n_bar, n_line)
        _draw_row_titles(axes, titles)
        of_maps = axes[:, axes.shape[1] - len(maps) :]
        for ax, heading in zip(of_maps[0], headings):
            ax.set_title(heading, fontsize="medium", **AS_IT_IS)
        if images is not None:
            axes[0, 0].set_title("image", fontsize="medium")
        for row, picture in zip(axes, pictures):
            if picture is not None:
                draw_picture(row[0], picture)
        for ax, panel, text in zip(of_maps.flat, chain(*panels), chain(*texts)):
            draw_panel(ax, panel)
            ax.set_xlabel(text, fontsize="small", labelpad=2, **AS_IT_IS)
        if has_one_bar:
            for key in keys:
                draw_color_bar(list(axes.flat), key, is_alone=len(keys) == 1)
        elif show_colorbar:
            _draw_color_bars(of_maps, maps, scales, scaler, mode)
        if has_keys:
            draw_keys(list(axes.flat), keys, _SCALES[scale])
        if note:
            axes[0, 0].figure.supxlabel(note, fontsize="small")
        return self._finish(axes[0, 0], path, bbox_inches)

    @checked_arguments
    def visualize_cascade(
        self,
        saliency: Sequence[Array],
        layers: Sequence[str | Sequence[str]],
        images: Sequence[Image.Image | Array] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        title: str | None = None,
        *,
        similarities: Array | None = None,
        measure: str = "rank correlation",
        max_maps: int = 9,
        **settings: Any,
    ) -> Figure:
        """Draw how maps change as the layers of a network are drawn anew.

        The first column is that of the trained network. From step to step, another
        layer has lost what the network has learned, from the output down. A row is an
        example, or a method: ``cascade = ModelRandomisation().cascade(calculator, x)``
        gives ``visualize_cascade(cascade.maps, cascade.layers, images,
        similarities=cascade.similarities)``.

        Args:
            saliency: For each row its maps, ``(1 + n_step, h, w)`` or
                ``(1 + n_step, ch, h, w)``.
            layers: What is drawn anew at each step: the name of a layer, or several.
            images: The image of each row, as in `visualize`. Default: the maps by
                themselves.
            save_filepath: As in `visualize`.
            title: Title of the whole figure, or None.
            similarities: How like the first map the others are, ``(n_row, n_step)``,
                which is written below them.
            measure: What similarities are.
            max_maps: How many maps of a row are drawn. If there are more, some steps
                in between are left out, evenly.
            settings: The other arguments of `visualize_grid`. By default each map has
                its own scale, since networks that are drawn anew have other outputs.

        Returns:
            The figure, which is not registered with pyplot.

        Raises:
            ValueError: As in `visualize_grid`; or there are not as many maps or
                similarities as steps.
            TypeError: An argument has the wrong type.
        """
        columns, captions = compute_cascade(
            saliency, layers, similarities, measure, max_maps
        )
        return self.visualize_grid(
            columns, images, save_filepath, title=title, captions=captions, **settings
        )

    @checked_arguments
    def visualize_rows(
        self,
        images: Sequence[Sequence[Image.Image | Array]],
        saliency: Sequence[Array] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        scaler: Scaler | None = None,
        title: str | None = None,
        cmap: str | Colormap | None = None,
        alpha: float = 0.85,
        show_colorbar: bool = False,
        bbox_inches: Any = "tight",
        *,
        mode: str = "overlay",
        scale: str = "row",
        percentile: float = 99.0,
        limit: float | tuple[float, float] | None = None,
        row_titles: Sequence[str] | None = None,
        captions: Sequence[Sequence[str]] | None = None,
        show_key: bool = True,
        image_layout: str | None = None,
        resize: str = "saliency",
    ) -> Figure:
        """Draw rows of images, with a map over each if there are maps.

        For the reference examples of channels, a row is a channel:
        ``images=x[found.by_relevance.examples]``.

        Args:
            images: For each row its images, as many in each, as in `visualize`.
            saliency: For each row the maps of its images, ``(n_column, h, w)`` or
                ``(n_column, ch, h, w)``. Default: the images by themselves.
            save_filepath: As in `visualize`.
            scaler: As in `visualize_grid`.
            title: Title of the whole figure, or None.
            cmap: As in `visualize`.
            alpha: As in `visualize`.
            show_colorbar: Whether to draw a colour bar; it needs ``scale='all'``.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            mode: As in `visualize`.
            scale: As in `visualize_grid`.
            percentile: As in `visualize_grid`.
            limit: As in `visualize`, for all maps.
            row_titles: Text beside each row. Lines that are too long are broken.
            captions: For each row the texts below its images, such as their relevance.
            show_key: Whether to say below the maps what the colours mean.
            image_layout: As in `visualize`.
            resize: As in `visualize`.

        Returns:
            The figure, which is not registered with pyplot.

        Raises:
            ValueError: As in `visualize`; or rows are not of one length, or there are
                not as many maps, captions or titles.
            TypeError: An argument has the wrong type.
        """
        path = checked_path(save_filepath)
        pictures = [
            [as_rgb(image, image_layout) for image in row]
            for row in _checked_rows(images)
        ]
        n_row, n_column = len(pictures), len(pictures[0])
        texts = _captions(captions, n_row, n_column)
        titles = _row_titles(row_titles, n_row, "row")
        _check_drawing(mode, resize, alpha)
        check_choice("scale", scale, SCALES)
        scale = "all" if limit is not None else scale
        if show_colorbar and (saliency is None or scale != "all"):
            raise ValueError(
                "show_colorbar=True needs saliency and scale='all', since there is one "
                "bar for all maps"
            )
        panels, key = [[Panel(_NO_COLORS, p) for p in row] for row in pictures], None
        if saliency is not None:
            maps = _maps_of_rows(saliency, scaler, n_row, n_column)
            scales = compute_scales(maps, scale, percentile, limit, cmap)
            panels = [
                [
                    compute_panel(of_column[i], picture, one, mode, alpha, resize)
                    for picture, of_column, one in zip(row, maps.values(), scales[i])
                ]
                for i, row in enumerate(pictures)
            ]
            key = compute_kinds(maps, scales, scaler, mode)[0].key

        n_line = 2 * n_row * (captions is not None) + 2 * (key is not None)
        axes = _new_rows(pictures, titles, title, show_colorbar, n_line)
        _draw_row_titles(axes, titles)
        for ax, panel, text in zip(axes.flat, chain(*panels), chain(*texts)):
            draw_panel(ax, panel)
            ax.set_xlabel(text, fontsize="small", labelpad=2, **AS_IT_IS)
        if key is not None and show_colorbar:
            draw_color_bar(list(axes.flat), key)
        elif key is not None and show_key:
            draw_keys(list(axes.flat), [key], _SCALES[scale])
        return self._finish(axes[0, 0], path, bbox_inches)


# That of panels without scores.
_NO_COLORS = ColorScale(sequential_cmap, 0.0, 1.0)


def _checked(images: Any) -> Iterable[Any]:
    """Return images, or raise a TypeError if they are no list or array."""
    if isinstance(images, str) or not isinstance(images, Iterable):
        raise TypeError(
            f"images must hold images, or be None, got {type(images).__name__}"
        )
    return images


def _checked_rows(images: Any) -> list[list[Any]]:
    """Return the images of each row."""
    if not (_is_sized(images) and all(map(_is_sized, images))):
        raise TypeError(
            "images must hold rows of images, or be an array (n_row, n_column, ...), "
            f"got {type(images).__name__}"
        )
    lengths = {len(row) for row in images}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "images must hold rows of images, as many in each; got rows of "
            f"{', '.join(map(str, sorted(lengths))) or 'no'} images"
        )
    return [list(row) for row in images]


def _is_sized(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)


def _captions(
    captions: Sequence[Sequence[str]] | None, n_row: int, n_column: int
) -> list[list[str]]:
    """Return the text below each image."""
    if captions is None:
        return [[""] * n_column] * n_row
    rows = one_for_each_row("captions", captions, n_row, "row")
    return [
        [plain(text) for text in one_for_each_row("captions", row, n_column, "image")]
        for row in rows
    ]


def _captions_of_methods(
    captions: Mapping[str, Sequence[str]] | None, methods: list[str], n_row: int
) -> list[tuple[str, ...]]:
    """Return the text below each map, by row and method."""
    columns = columns_of("captions", captions, methods, n_row, "row")
    return [
        tuple("" if text is None else plain(text) for text in row)
        for row in zip(*(column.entries for column in columns))
    ]


def _number_of_rows(saliency: Any) -> int:
    """Return how many maps the first method has; the others are compared with it."""
    for maps in saliency.values() if isinstance(saliency, Mapping) else ():
        return len(maps) if _is_sized(maps) else 1
    return 0


def _mode_without_image(mode: str, image: Any) -> str:
    """Return the mode; that of maps by themselves where there is no image.

    Raises:
        ValueError: It needs an image.
    """
    if image is not None:
        return mode
    if mode in ("contour", "mask"):
        raise ValueError(f"mode={mode!r} needs an image, got none")
    return "heatmap"


def _maps_of_rows(
    saliency: Sequence[Array], scaler: Scaler | None, n_row: int, n_column: int
) -> dict[str, list[ScoreMap]]:
    """Return the maps of each column, one for each row."""
    rows = [
        one_for_each_row(f"saliency[{i}]", row, n_column, "image")
        for i, row in enumerate(one_for_each_row("saliency", saliency, n_row, "row"))
    ]
    return {
        str(j): [
            compute_map(row[j], scaler, None, f"saliency[{i}][{j}]")
            for i, row in enumerate(rows)
        ]
        for j in range(n_column)
    }


def _check_drawing(mode: str, resize: str, alpha: float) -> None:
    check_choice("mode", mode, MODES)
    check_choice("resize", resize, _RESIZED)
    check_number("alpha", alpha, 0, 1)


def _figure_size(
    shape: tuple[int, ...], has_title: bool, has_bar: bool, has_key: bool
) -> tuple[float, float]:
    """Return the width and height for one map, in inches."""
    least = 0.5 + 0.5 * has_bar  # whose ends have words
    height = min(max(WIDTH * shape[0] / shape[1], least), 3 * WIDTH)
    height += TITLE_HEIGHT * has_title + LINE * (has_key and not has_bar)
    return WIDTH + WIDTH_OF_BAR * has_bar, height


def _row_titles(
    row_titles: Sequence[str] | None, n_row: int, noun: str = "image"
) -> list[str]:
    """Return a text for each row, in lines of at most `ROW_TITLE` letters."""
    if row_titles is None:
        return [""] * n_row
    titles = one_for_each_row("row_titles", row_titles, n_row, noun)
    broken = []
    for title in titles:
        lines = [wrap(line, ROW_TITLE) or [""] for line in plain(title).split("\n")]
        broken.append("\n".join(chain.from_iterable(lines)))
    return broken


def _new_grid(
    pictures: list[np.ndarray | None],
    maps: Mapping[str, Sequence[ScoreMap]],
    titles: list[str],
    headings: list[str],
    title: str | None,
    n_bar: int,
    n_line: int,
) -> np.ndarray:
    """Return the axes of a new figure, for each picture and its maps.

    Args:
        pictures: The pictures, ``(h, w, 3)``, or None for maps by themselves.
        maps: The maps of each method.
        titles: What stands beside each row, in lines.
        headings: What stands above each method, in lines.
        title: Title of the whole figure, or None.
        n_bar: The number of colour bars side by side.
        n_line: How many lines of text there are above and below.
    """
    rows = [
        [one.scores for one in of_image]
        if picture is None
        else [picture] * (1 + len(maps))
        for picture, of_image in zip(pictures, zip(*maps.values()))
    ]
    n_heading = max(heading.count("\n") for heading in headings)
    above = TITLE_HEIGHT + LINE * n_heading
    return _new_rows(rows, titles, title, n_bar, n_line, above)


def _new_rows(
    pictures: list[list[np.ndarray]],
    titles: list[str],
    title: str | None,
    n_bar: int,
    n_line: int,
    above: float = 0.0,
) -> np.ndarray:
    """Return the axes of a new figure, for rows of pictures.

    Args:
        pictures: The pictures of each row, ``(h, w, 3)``, or maps, ``(h, w)``.
        titles: What stands beside each row, in lines.
        title: Title of the whole figure, or None.
        n_bar: The number of colour bars side by side.
        n_line: How many lines of text there are above and below.
        above: Inches for the titles of columns.
    """
    heights = [
        CELL * max(picture.shape[0] / picture.shape[1] for picture in row)
        for row in pictures
    ]
    n_column = len(pictures[0])
    width = (CELL + GAP) * n_column + WIDTH_OF_BAR * n_bar
    width += LETTER * max(width_of(line) for t in titles for line in t.split("\n"))
    height = sum(heights) + above + TITLE_HEIGHT * (title is not None) + LINE * n_line
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    axes: np.ndarray = figure.subplots(
        len(pictures), n_column, squeeze=False, height_ratios=heights
    )
    if title is not None:
        figure.suptitle(plain(title), **AS_IT_IS)
    return axes


def _draw_row_titles(axes: np.ndarray, titles: list[str]) -> None:
    for ax, title in zip(axes[:, 0], titles):
        ax.set_ylabel(
            title,
            rotation=0,
            ha="right",
            va="center",
            multialignment="left",
            fontsize="medium",
            **AS_IT_IS,
        )


def _headings(methods: list[str], kinds: list[Kind]) -> list[str]:
    """Return what stands above each method: its name, and the kind of its maps."""
    kind_of = {method: kind.key.kind for kind in kinds for method in kind.methods}
    return [
        f"{in_lines(method, COLUMN_TITLE)}\n{kind_of[method]}".rstrip("\n")
        for method in methods
    ]


def _draw_color_bars(
    axes: np.ndarray,
    maps: dict[str, list[ScoreMap]],
    scales: list[list[ColorScale]],
    scaler: Scaler | None,
    mode: str,
) -> None:
    """Draw a colour bar beside each map."""
    for i, maps_of_image in enumerate(zip(*maps.values())):
        for ax, scale, score_map in zip(axes[i], scales[i], maps_of_image):
            key = compute_key(scale, [score_map], scaler, mode)
            draw_color_bar([ax], key, has_ends=False)

"""Pictures of saliency for texts: tokens on a coloured ground, as figures or HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saliency.array_types import Array
from saliency.checks import check_number, checked_arguments
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.colors import checked_limit
from saliency.visualizer.files import checked_path, write_file
from saliency.visualizer.fonts import checked_family
from saliency.visualizer.notebook_figure import NotebookFigure
from saliency.visualizer.scalers import Scaler
from saliency.visualizer.texts.html_pages import HtmlPicture, html_of
from saliency.visualizer.texts.lines import (
    TITLE,
    Layout,
    Letters,
    compute_layout,
    draw_layout,
    draw_title,
)
from saliency.visualizer.texts.pages import Page, compute_page

POINTS_PER_INCH = 72
MARGIN = 0.1  # around a new figure, in inches
MAX_HEIGHT = 300.0  # inches, what the renderer can still take

# Font sizes that are tried until the texts fit into the axes of the user.
_SHRINK = 0.93
_SMALLEST = 1.0


class TextVisualizer(BaseVisualizer):
    """Draws saliency of texts: each token on the colour of its score.

    Red tokens speak for the output that is explained, blue ones against it. The tokens
    of a method without negative scores are purple, the more the stronger. `visualize`
    draws one text or several, each by one method or several, with matplotlib; `html`
    writes the same as a page of HTML. All texts are shown as they are: they are escaped
    in HTML, and a dollar sign does not begin mathematics.

    Example:
        >>> from saliency import TextVisualizer
        >>> visualizer = TextVisualizer()
        >>> figure = visualizer.visualize([0.0, -0.4, 0.9], ["not", "at", "all"])
        >>> page = visualizer.html([0.5, -0.2], ["<b>", "&"])
        >>> "&lt;b&gt;" in page
        True
    """

    __slots__ = ()

    @checked_arguments
    def visualize(
        self,
        saliency: Array | Sequence[Array] | Mapping[str, Any],
        tokens: Sequence[str] | Sequence[Sequence[str]],
        save_filepath: str | PathLike[str] | None = None,
        scaler: Scaler | None = None,
        title: str | None = None,
        bbox_inches: Any = "tight",
        *,
        errors: Array | Sequence[Array] | Mapping[str, Any] | None = None,
        scale: str = "separate",
        percentile: float = 100.0,
        limit: float | None = None,
        legends: str | Sequence[str] | None = None,
        separator: str = " ",
        show_key: bool = True,
        key_labels: tuple[str, str] | None = None,
        fontsize: float = 11.0,
        fontfamily: str | Sequence[str] | None = None,
        width: float = 7.0,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw one text or several.

        Lines are broken between tokens, and within one that is longer than a line.
        Line breaks and tabs in a token are drawn as arrows.

        Args:
            saliency: Scores of the tokens of one text, ``(n_token,)``, real and finite;
                NaN after the last token is padding, which is cut off. For several texts
                a list of such arrays, or a padded array ``(n_text, longest)``. Or, for
                each method by its name, what is described so far: then each text is
                drawn once for each method.
            tokens: The tokens of one text, a list of str; for several texts a list of
                such lists, of which some may be empty.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            scaler: Callable that maps the scores of a text to those drawn. None draws
                them unchanged: the colours have a scale of their own.
            title: Title of the picture, or None.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            errors: How far each score may be off, in the units and in the form of
                ``saliency``, for example the standard deviation over samples; methods
                may be left out. Tokens whose score is no further from 0 than that are
                grey.
            scale: What has a scale of colours of its own: each text by each method
                (``'separate'``), each text (``'row'``), each method (``'column'``), or
                only the whole (``'all'``).
            percentile: The strongest colours are for this percentile of the magnitudes
                on a scale, and for larger ones.
            limit: The score, as drawn, of the strongest colours in all texts, instead.
            legends: Text above each text, such as its class and probability. For one
                text it may be a str.
            separator: What stands between two tokens; ``''`` for Japanese, and for
                pieces of words that have their spaces in them.
            show_key: Whether to draw what the colours mean, below the texts.
            key_labels: The two ends of that key. Default: ``('speaks against', 'speaks
                for')``, and where no score is negative ``('no influence', 'strong
                influence')``. The scores of the strongest colours follow if there is
                one scale.
            fontsize: Size of the letters, in points.
            fontfamily: A font family, or a list of families of which each draws the
                letters that those before it lack. Default: matplotlib's own, and behind
                it those with Japanese and other letters that are installed.
            width: Width of a new figure, in inches.
            ax: Axes to draw on, with lines as long as these are wide now. If the texts
                are higher than they are, the letters are made smaller. Default: axes of
                a new figure.

        Returns:
            The figure, which is not registered with pyplot unless ``ax`` is from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; ``save_filepath`` cannot be written to; or the
                texts are too long for a picture.
            TypeError: An argument has the wrong type.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        page = compute_page(
            *(saliency, tokens, scaler, title, legends, scale, percentile),
            *(checked_limit(limit), errors, separator, show_key, key_labels),
        )
        check_number("fontsize", fontsize, _SMALLEST, 1000)
        check_number("width", width, 1, MAX_HEIGHT)
        letters = Letters(checked_family(fontfamily), float(fontsize))

        if ax is None:
            inner = (width - 2 * MARGIN) * POINTS_PER_INCH
            layout = compute_layout(page, letters, inner)
            ax, height = _new_ax(layout, width, bool(page.title)), layout.height
        else:
            layout, height = _fitted_layout(page, letters, ax)
        draw_layout(ax, layout, height)
        if page.title:
            draw_title(ax, page.title, layout.letters)
        return self._finish(ax, path, bbox_inches)

    @checked_arguments
    def html(
        self,
        saliency: Array | Sequence[Array] | Mapping[str, Any],
        tokens: Sequence[str] | Sequence[Sequence[str]],
        save_filepath: str | PathLike[str] | None = None,
        scaler: Scaler | None = None,
        title: str | None = None,
        *,
        errors: Array | Sequence[Array] | Mapping[str, Any] | None = None,
        scale: str = "separate",
        percentile: float = 100.0,
        limit: float | None = None,
        legends: str | Sequence[str] | None = None,
        separator: str = " ",
        show_key: bool = True,
        key_labels: tuple[str, str] | None = None,
    ) -> HtmlPicture:
        """Write one text or several as HTML.

        The document needs no other file and runs no script. Each token tells its score
        where the mouse is over it.

        Args:
            saliency: As in `visualize`.
            tokens: As in `visualize`.
            save_filepath: File to write, ``.html`` or ``.htm``, in UTF-8. Default:
                nothing is saved.
            scaler: As in `visualize`.
            title: As in `visualize`.
            errors: As in `visualize`.
            scale: As in `visualize`.
            percentile: As in `visualize`.
            limit: As in `visualize`.
            legends: As in `visualize`.
            separator: As in `visualize`.
            show_key: As in `visualize`.
            key_labels: As in `visualize`.

        Returns:
            The document, a str, which Jupyter shows as the picture.

        Raises:
            ValueError: As in `visualize`.
            TypeError: An argument has the wrong type.
        """
        path = checked_path(save_filepath, ("html", "htm"))
        page = compute_page(
            *(saliency, tokens, scaler, title, legends, scale, percentile),
            *(checked_limit(limit), errors, separator, show_key, key_labels),
        )
        document = html_of(page)
        if path is not None:
            write_file(path, document.encode("utf-8"))
        return document


def _new_ax(layout: Layout, width: float, has_title: bool) -> Axes:
    """Return axes of a new figure that have exactly the room for a layout."""
    inner = layout.height / POINTS_PER_INCH
    title = 2 * TITLE * layout.letters.size / POINTS_PER_INCH if has_title else 0.0
    height = inner + 2 * MARGIN + title
    if height > MAX_HEIGHT:
        raise ValueError(
            f"tokens need a picture of {height:.0f} inches, which is higher than the "
            f"{MAX_HEIGHT:.0f} that can be drawn; draw fewer texts at once, or use html"
        )
    figure = NotebookFigure(figsize=(width, height))
    return figure.add_axes(
        (
            MARGIN / width,
            MARGIN / height,
            1 - 2 * MARGIN / width,
            inner / height,
        )
    )


def _fitted_layout(page: Page, letters: Letters, ax: Axes) -> tuple[Layout, float]:
    """Return a layout for the axes of the user, and how high these are in points."""
    box = ax.get_window_extent()
    width, height = np.array([box.width, box.height]) * (
        POINTS_PER_INCH / ax.figure.figure.dpi
    )
    layout = compute_layout(page, letters, width)
    while layout.height > height and letters.size > _SMALLEST:
        letters = letters._replace(size=letters.size * _SHRINK)
        layout = compute_layout(page, letters, width)
    return layout, max(float(height), layout.height)

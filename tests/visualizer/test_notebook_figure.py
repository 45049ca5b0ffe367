"""What notebooks show of a figure: one picture, with and without pyplot."""

from __future__ import annotations

import copy
import pickle
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from saliency import TableVisualizer
from tests.visualizer.every_visualizer import drawings, one_by_each

REASON = "IPython is not installed, so what it shows is not tested"


def shown_by_ipython(value, is_inline=False):
    """Returns what IPython shows, by its type; as after ``%matplotlib inline``."""
    formatters = pytest.importorskip("IPython.core.formatters", reason=REASON)
    formatter = formatters.DisplayFormatter()
    if is_inline:
        from IPython.core.pylabtools import select_figure_formats

        shell = SimpleNamespace(display_formatter=formatter)
        select_figure_formats(shell, {"png"})
    found, _ = formatter.format(value)
    return set(found)


def figures():
    found = [drawing for drawing in drawings() if "Mol" not in str(drawing)]
    return [drawing for drawing in found if "Smiles" not in str(drawing)]


@pytest.mark.parametrize("drawing", figures(), ids=str)
def test_a_figure_is_its_picture(drawing):
    figure = drawing.draw()
    assert isinstance(figure, Figure)
    picture = Image.open(BytesIO(figure._repr_png_()))
    assert picture.format == "PNG"
    assert np.asarray(picture.convert("L")).std() > 5  # not blank
    assert not pyplot.get_fignums()  # pyplot would show it once more


@pytest.mark.parametrize("drawing", one_by_each(), ids=str)
@pytest.mark.parametrize("is_inline", [False, True])
def test_ipython_shows_one_picture(drawing, is_inline):
    kinds = shown_by_ipython(drawing.draw(), is_inline)
    pictures = kinds - {"text/plain"}
    assert len(pictures) == 1
    assert pictures <= {"image/png", "image/svg+xml"}


def test_another_figure_is_not_shown_without_pyplot():
    """What the test above would find without a class of our own."""
    assert shown_by_ipython(Figure()) == {"text/plain"}


def test_to_be_shown_leaves_the_figure_as_it_is():
    figure = TableVisualizer().visualize([1.0, -2.0])
    before = figure.get_size_inches(), figure.dpi, figure._repr_png_()
    assert before[2] == figure._repr_png_()
    np.testing.assert_array_equal(figure.get_size_inches(), before[0])
    assert figure.dpi == before[1]


@pytest.mark.large
def test_a_copy_is_shown_as_well():
    figure = TableVisualizer().visualize([1.0, -2.0])
    for twin in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure))):
        assert twin._repr_png_() == figure._repr_png_()

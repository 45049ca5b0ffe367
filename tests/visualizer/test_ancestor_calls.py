"""Calls of Chainer Chemistry 0.7.1's visualizers; its package name is dropped."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.image import imread
from numpy.testing import assert_allclose, assert_array_equal

from saliency.visualizer import (
    BaseVisualizer,
    ImageVisualizer,
    MolVisualizer,
    SmilesVisualizer,
    TableVisualizer,
)
from saliency.visualizer.visualizer_utils import (
    abs_max_scaler,
    min_max_scaler,
    normalize_scaler,
    red_blue_cmap,
)

LOGGER = logging.getLogger("of the user")


def test_the_scalers_take_a_logger(caplog):
    x = np.array([-2.0, 0.0, 1.0])
    assert_allclose(abs_max_scaler(x, LOGGER), [-1, 0, 0.5])
    assert_allclose(min_max_scaler(x, logger=LOGGER), [0, 2 / 3, 1])
    by_row = normalize_scaler(np.array([[1.0, 3.0], [2.0, 2.0]]), 1, LOGGER)
    assert_allclose(by_row, [[0.25, 0.75], [0.5, 0.5]])
    assert not caplog.records
    abs_max_scaler(np.zeros(3), LOGGER)
    assert [record.name for record in caplog.records] == ["of the user"]


def test_red_and_blue():
    assert red_blue_cmap(0.25) == (1, 0.75, 0.75)
    assert red_blue_cmap(-1) == (0, 0, 1)


def test_a_table_with_all_arguments_by_position(tmp_path):
    path = str(tmp_path / "table.png")
    figure = TableVisualizer().visualize(
        np.array([1.0, -4.0, 3.0]),
        ["a", "b", "c"],
        path,
        2,
        abs_max_scaler,
        "descending",
        "a title",
        "b",
        "a label",
        "tight",
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "a"]
    assert_allclose([bar.get_width() for bar in axes.patches], [0.75, 0.25])
    assert {bar.get_facecolor() for bar in axes.patches} == {to_rgba("b")}
    assert (axes.get_title(), axes.get_xlabel()) == ("a title", "a label")
    assert imread(path).ndim == 3


def test_an_image_with_all_arguments_by_position(tmp_path):
    path = str(tmp_path / "image.png")
    saliency = np.arange(-6.0, 6.0).reshape(3, 4)
    figure = ImageVisualizer().visualize(
        saliency,
        np.zeros((3, 3, 4), np.uint8),
        path,
        abs_max_scaler,
        "a title",
        "jet",
        0.5,
        True,
        "tight",
        image_layout="chw",
    )
    assert figure.axes[0].get_title() == "a title"
    assert len(figure.axes) == 2  # with the colour bar
    assert imread(path).ndim == 3


@pytest.mark.parametrize(
    "new",
    [
        lambda: ImageVisualizer(LOGGER),
        lambda: ImageVisualizer(logger=LOGGER),
        lambda: MolVisualizer(LOGGER),
        lambda: SmilesVisualizer(logger=LOGGER),
    ],
)
def test_a_logger_is_taken_and_said_to_have_no_effect(new):
    with pytest.warns(UserWarning, match=r"logger has no effect.*Leave") as caught:
        visualizer = new()
    assert caught[0].filename == __file__
    assert repr(visualizer) == f"{type(visualizer).__name__}()"


def test_no_logger_is_no_warning(recwarn):
    assert ImageVisualizer(logger=None).logger is None
    assert not recwarn


def test_a_molecule_with_all_arguments_by_position(tmp_path):
    chem = pytest.importorskip("rdkit.Chem")
    path = str(tmp_path / "molecule.png")
    saliency = np.array([0.1, -0.2, 0.3])
    mol = chem.MolFromSmiles("CCO")
    with pytest.warns(UserWarning, match="raise_import_error has no effect"):
        svg = MolVisualizer().visualize(
            saliency, mol, path, 0.7, red_blue_cmap, abs_max_scaler, "a legend", True
        )
    assert svg == MolVisualizer().visualize(
        saliency,
        mol,
        visualize_ratio=0.7,
        color_fn=red_blue_cmap,
        legend="a legend",
    )
    assert imread(path).ndim == 3


def test_smiles_with_all_arguments_by_position(recwarn):
    pytest.importorskip("rdkit")
    saliency = np.array([0.1, -0.2, 0.3])
    arguments = (saliency, "OCC", None, 1.0, red_blue_cmap, abs_max_scaler, "", False)
    # In the order of the canonical SMILES, CCO, as is its default there and not here.
    canonical = SmilesVisualizer().visualize(*arguments, True)
    assert canonical == SmilesVisualizer().visualize(
        saliency, "CCO", color_fn=red_blue_cmap
    )
    assert canonical != SmilesVisualizer().visualize(*arguments, False)
    assert not recwarn
    with pytest.warns(UserWarning, match="raise_import_error has no effect"):
        assert SmilesVisualizer().visualize(*arguments, True, False) == canonical


def test_a_visualizer_of_the_user():
    class Prints(BaseVisualizer):
        def __init__(self, logger=None):
            self.logger = logger or LOGGER

        def visualize(self, saliency):
            return self.logger.name, saliency.shape

    assert Prints().visualize(np.ones(3)) == ("of the user", (3,))
    assert_array_equal(Prints(LOGGER).logger.name, "of the user")

"""Visualizers as settings: nothing that is set on one is without effect."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import saliency
from saliency import ImageVisualizer, TableVisualizer
from saliency.checks import check_choice
from tests.covering import every_value
from tests.visualizer.every_visualizer import VISUALIZERS, one_by_each


class FixedTableVisualizer(TableVisualizer):
    """A visualizer with settings, as a user may write one."""

    def __init__(self, sort="descending", color=None, *, scaler=None):
        self.sort = sort
        self.color = color
        self.scaler = scaler

    def visualize(self, saliency, **how):
        check_choice("sort", self.sort, ("descending", "ascending"))
        settings = {"sort": self.sort, "color": self.color, "scaler": self.scaler}
        return super().visualize(saliency, **{**settings, **how})


def labels(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize("visualizer", VISUALIZERS)
def test_the_repr_is_a_call_that_makes_the_same(visualizer):
    text = repr(visualizer())
    assert text == f"{visualizer.__name__}()"
    twin = eval(text, vars(saliency))
    assert type(twin) is visualizer
    assert repr(twin) == text


@every_value(
    drawing=one_by_each(),
    twin_of={
        "pickled": lambda one: pickle.loads(pickle.dumps(one)),
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
    },
)
def test_pickled_and_copied_ones_draw_the_same(drawing, twin_of, tmp_path):
    original = drawing.visualizer()
    twin = twin_of(original)
    assert type(twin) is drawing.visualizer
    assert repr(twin) == repr(original)
    paths = [tmp_path / "original.png", tmp_path / "twin.png"]
    drawing.draw(paths[0], original)
    drawing.draw(paths[1], twin)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("visualizer", VISUALIZERS)
def test_every_protocol_can_pickle_it(visualizer, protocol):
    assert type(pickle.loads(pickle.dumps(visualizer(), protocol))) is visualizer


@pytest.mark.parametrize("name", ["cmap", "scaler", "mode", "visualise"])
@pytest.mark.parametrize("visualizer", VISUALIZERS)
def test_an_attribute_that_no_call_would_read_is_refused(visualizer, name):
    with pytest.raises(AttributeError, match=name):
        setattr(visualizer(), name, "viridis")


class TestSubclassWithSettings:
    def test_repr(self):
        visualizer = FixedTableVisualizer(color="red", scaler=np.abs)
        assert repr(visualizer) == "FixedTableVisualizer(color='red', scaler=absolute)"
        visualizer.color, visualizer.sort = None, "ascending"
        text = repr(visualizer)
        assert text == "FixedTableVisualizer(sort='ascending', scaler=absolute)"
        names = {"FixedTableVisualizer": FixedTableVisualizer, "absolute": np.absolute}
        assert repr(eval(text, names)) == text

    def test_copies_have_the_settings(self):
        visualizer = FixedTableVisualizer("ascending")
        for twin in (copy.copy(visualizer), copy.deepcopy(visualizer)):
            assert repr(twin) == "FixedTableVisualizer(sort='ascending')"
            assert labels(twin.visualize([1.0, 3.0, 2.0])) == ["0", "2", "1"]

    def test_what_is_set_later_counts_for_the_next_call(self):
        visualizer = FixedTableVisualizer()
        assert labels(visualizer.visualize([1.0, 3.0, 2.0])) == ["1", "2", "0"]
        visualizer.sort = "ascending"
        assert labels(visualizer.visualize([1.0, 3.0, 2.0])) == ["0", "2", "1"]

    def test_what_is_set_later_is_checked_by_the_next_call(self):
        visualizer = FixedTableVisualizer()
        visualizer.sort = "nonsense"
        with pytest.raises(ValueError, match=r"sort must be one of .* got 'nonsense'"):
            visualizer.visualize([1.0, 2.0])
        visualizer.sort, visualizer.scaler = "descending", 3
        with pytest.raises(TypeError, match="scaler must be callable or None, got 3"):
            visualizer.visualize([1.0, 2.0])


def test_a_call_leaves_nothing_behind_for_the_next(tmp_path):
    visualizer, saliency = ImageVisualizer(), np.array([[1.0, -2.0], [3.0, 4.0]])
    visualizer.visualize(saliency, save_filepath=tmp_path / "before.png")
    visualizer.visualize(saliency, cmap="viridis", limit=(0, 9), show_colorbar=True)
    with pytest.raises(ValueError, match="percentile"):
        visualizer.visualize(saliency, percentile=101)
    visualizer.visualize(saliency, save_filepath=tmp_path / "after.png")
    before, after = (tmp_path / f"{name}.png" for name in ("before", "after"))
    assert before.read_bytes() == after.read_bytes()

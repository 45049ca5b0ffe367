"""TableVisualizer, read back from the figures it draws."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from saliency.visualizer.common import (
    abs_max_scaler,
    min_max_scaler,
    normalize_scaler,
    signed_colors,
)
from saliency.visualizer.table_visualizer import TableVisualizer

RED, BLUE = (tuple(color) for color in signed_colors([1, -1]))
SIGNED = np.array([0.5, -2.0, 1.0, -0.25])
NAMES = ["a", "b", "c", "d"]


def draw(saliency, *args, **kwargs):
    return TableVisualizer().visualize(saliency, *args, **kwargs)


def summarize(saliency, *args, **kwargs):
    return TableVisualizer().visualize_summary(saliency, *args, **kwargs)


@pytest.fixture(autouse=True)
def no_figure_left_open():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before


# --- reading a figure back, from top to bottom ----------------------------------


def from_the_top(ax, items, place):
    pixels = [ax.transData.transform((0, place(item)))[1] for item in items]
    return [items[i] for i in np.argsort(pixels)[::-1]]


def bars(figure_or_ax):
    ax = figure_or_ax.axes[0] if isinstance(figure_or_ax, Figure) else figure_or_ax
    return from_the_top(ax, list(ax.patches), lambda bar: bar.get_y() + 0.35)


def lengths(figure_or_ax):
    return [bar.get_width() for bar in bars(figure_or_ax)]


def labels(figure_or_ax):
    ax = figure_or_ax.axes[0] if isinstance(figure_or_ax, Figure) else figure_or_ax
    ticks = from_the_top(ax, ax.yaxis.get_major_ticks(), lambda tick: tick.get_loc())
    return [tick.label1.get_text() for tick in ticks]


def error_bars(figure):
    """(left end, right end) of each error bar."""
    ax = figure.axes[0]
    (container,) = (c for c in ax.containers if isinstance(c, ErrorbarContainer))
    (lines,) = container.lines[2]
    segments = from_the_top(ax, lines.get_segments(), lambda segment: segment[0, 1])
    return np.array([segment[:, 0] for segment in segments])


def zero_lines(figure):
    return [
        line
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == 2 and not np.any(line.get_xdata())
    ]


def dots(figure, n_sample):
    """Scores, rows and colour values, each of shape (n_feature, n_sample)."""
    (collection,) = figure.axes[0].collections
    scores, rows = collection.get_offsets().T.reshape(2, -1, n_sample)
    return scores, rows, np.ma.getdata(collection.get_array()).reshape(-1, n_sample)


# --- bars -----------------------------------------------------------------------


def test_call_of_the_article(tmp_path):
    saliency = np.array([[0.1, 0.2, 0.4, 0.3]], np.float32)
    figure = TableVisualizer().visualize(
        saliency[0],
        feature_names=["sepal length", "sepal width", "petal length", "petal width"],
        num_visualize=-1,
        scaler=normalize_scaler,
        save_filepath=str(tmp_path / "iris.png"),
    )
    assert isinstance(figure, Figure)
    assert (tmp_path / "iris.png").read_bytes().startswith(b"\x89PNG")
    assert labels(figure) == [
        "petal length",
        "petal width",
        "sepal width",
        "sepal length",
    ]
    np.testing.assert_allclose(lengths(figure), [0.4, 0.3, 0.2, 0.1], rtol=1e-6)
    (ax,) = figure.axes
    assert ax.get_title() == "Feature Importance"
    assert ax.get_xlabel() == "Importance"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("descending", "cadb"),
        ("ascending", "bdac"),
        ("magnitude", "bcad"),
        ("none", "abcd"),
    ],
)
def test_sort_from_top_to_bottom(sort, expected):
    figure = draw(SIGNED, NAMES, sort=sort, scaler=None)
    assert "".join(labels(figure)) == expected
    values = dict(zip(NAMES, SIGNED))
    assert lengths(figure) == [values[name] for name in expected]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [("descending", "ca"), ("ascending", "bd"), ("magnitude", "bc"), ("none", "ab")],
)
def test_num_visualize_keeps_the_right_end_of_the_sort(sort, expected):
    """PEERS: `descending` with `num_visualize=2` plots the two smallest."""
    figure = draw(SIGNED, NAMES, sort=sort, num_visualize=2)
    assert "".join(labels(figure)) == expected
    assert len(bars(figure)) == 2


@pytest.mark.parametrize("num_visualize", [-1, 4, 5, 1000, np.int64(4)])
def test_num_visualize_above_the_feature_count_shows_all(num_visualize):
    """PEERS: `num_visualize` above the feature count raises."""
    assert len(bars(draw(SIGNED, num_visualize=num_visualize))) == 4


def test_ties_keep_the_order_given():
    saliency = np.tile([1.0, 2.0], 30)
    for sort, first in (("descending", 1), ("ascending", 0), ("magnitude", 1)):
        expected = [*range(first, 60, 2), *range(1 - first, 60, 2)]
        assert labels(draw(saliency, sort=sort)) == [str(i) for i in expected]


def test_default_names_are_column_numbers():
    assert labels(draw(SIGNED)) == ["2", "0", "3", "1"]


def test_scaler_is_applied_before_features_are_left_out():
    figure = draw([1.0, 3.0, 4.0], num_visualize=1, scaler=normalize_scaler)
    assert lengths(figure) == [0.5]


def test_scaler_changes_neither_order_nor_choice():
    figure = draw(SIGNED, NAMES, scaler=np.abs, num_visualize=3)
    assert "".join(labels(figure)) == "cad"
    assert lengths(figure) == [1, 0.5, 0.25]


def test_default_scaler_is_abs_max():
    np.testing.assert_allclose(lengths(draw(SIGNED)), [0.5, 0.25, -0.125, -1])


def test_colours_follow_the_sign():
    figure = draw(SIGNED, sort="none")
    assert [bar.get_facecolor() for bar in bars(figure)] == [RED, BLUE, RED, BLUE]


def test_colours_follow_the_bars_through_the_sort():
    figure = draw(SIGNED, sort="magnitude")
    for bar in bars(figure):
        assert bar.get_facecolor() == (RED if bar.get_width() > 0 else BLUE)


@pytest.mark.parametrize("color", ["b", "tab:orange", "#123456", (0.1, 0.2, 0.3)])
def test_one_colour_for_all(color):
    figure = draw(SIGNED, color=color)
    assert {bar.get_facecolor() for bar in bars(figure)} == {to_rgba(color)}


def test_zero_line_only_where_there_is_ink_on_both_sides():
    assert len(zero_lines(draw(SIGNED))) == 1
    assert not zero_lines(draw(np.abs(SIGNED)))
    assert not zero_lines(draw(-np.abs(SIGNED)))
    assert len(zero_lines(draw([1.0, 0.5], errors=[0, 0.7]))) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.bool_])
def test_any_real_dtype(dtype):
    assert lengths(draw(np.array([1, 0], dtype))) == [1, 0]


@pytest.mark.parametrize("saliency", [[0.0, 0.0], [3.0, 3.0], [2.0]])
@pytest.mark.parametrize("scaler", [abs_max_scaler, min_max_scaler, normalize_scaler])
def test_constant_saliency_is_drawn(saliency, scaler, tmp_path):
    figure = draw(saliency, scaler=scaler, save_filepath=tmp_path / "constant.png")
    np.testing.assert_array_equal(lengths(figure), scaler(saliency))


def test_title_and_label_may_be_left_out():
    (ax,) = draw(SIGNED, title=None, xlabel=None).axes
    assert ax.get_title() == ax.get_xlabel() == ""
    ax.set(title="mine", xlabel="my units")
    draw(SIGNED, ax=ax, title=None, xlabel=None)
    assert (ax.get_title(), ax.get_xlabel()) == ("mine", "my units")


def test_inputs_are_not_changed():
    saliency, errors = SIGNED.copy(), np.ones(4)

    def scale_in_place(values):
        values /= 2
        return values

    figure = draw(saliency, errors=errors, scaler=scale_in_place)
    np.testing.assert_array_equal(saliency, SIGNED)
    np.testing.assert_array_equal(errors, np.ones(4))
    np.testing.assert_allclose(np.diff(error_bars(figure)), 1)


# --- error bars -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("scaler", "slope"),
    [
        (None, 1),
        (abs_max_scaler, 1 / 2),
        (min_max_scaler, 1 / 3),
        (normalize_scaler, 1 / 3.75),
        (lambda values: 3 - 2 * values, 2),
    ],
)
def test_errors_are_scaled_like_the_bars(scaler, slope):
    errors = np.array([0.1, 0.2, 0.0, 0.4])
    figure = draw(SIGNED, scaler=scaler, errors=errors, sort="magnitude")
    order = [1, 2, 0, 3]
    middle = (SIGNED if scaler is None else scaler(SIGNED))[order]
    half = slope * errors[order]
    np.testing.assert_allclose(
        error_bars(figure), np.stack([middle - half, middle + half], axis=1)
    )


def test_bars_that_cannot_be_told_from_zero_are_grey():
    errors = [0.5, 1.0, 1.1, 0.2]
    figure = draw(SIGNED, NAMES, errors=errors, sort="none", scaler=abs_max_scaler)
    grey = tuple(signed_colors([0])[0])
    assert [bar.get_facecolor() for bar in bars(figure)] == [grey, BLUE, grey, BLUE]
    # Also where the scaler moves zero; and a colour that was asked for stays.
    figure = draw(SIGNED, NAMES, errors=errors, sort="none", scaler=min_max_scaler)
    assert [bar.get_facecolor() == grey for bar in bars(figure)][:3] == [1, 1, 1]
    figure = draw(SIGNED, errors=errors, color="green")
    assert {bar.get_facecolor() for bar in bars(figure)} == {to_rgba("green")}


def test_errors_follow_num_visualize():
    figure = draw(SIGNED, errors=[1, 2, 3, 4], num_visualize=1, scaler=None)
    np.testing.assert_allclose(error_bars(figure), [[1 - 3, 1 + 3]])


@pytest.mark.parametrize("saliency", [[0.5, 0.5, 0.5], [-4.0], [0.0, 0.0, 2.0]])
def test_errors_with_equal_scores_or_a_single_feature(saliency):
    errors = np.full(len(saliency), 0.25)
    figure = draw(saliency, errors=errors, scaler=abs_max_scaler)
    half = np.diff(error_bars(figure)) / 2
    np.testing.assert_allclose(half, 0.25 / np.abs(saliency).max())


def test_errors_on_a_large_offset():
    figure = draw(1e9 + np.arange(3.0), errors=np.ones(3), scaler=min_max_scaler)
    np.testing.assert_allclose(np.diff(error_bars(figure)), 1)
    figure = draw(1e9 + np.arange(3.0), errors=np.ones(3), scaler=abs_max_scaler)
    np.testing.assert_allclose(np.diff(error_bars(figure)), 2e-9, rtol=1e-6)


@pytest.mark.parametrize(
    ("saliency", "scaler"),
    [
        ([1.0, 2.0, 4.0], np.square),
        ([-1.0, 2.0, 4.0], np.abs),
        ([3.0, 3.0, 3.0], min_max_scaler),
        ([0.0, 0.0, 0.0], abs_max_scaler),
    ],
)
def test_errors_that_cannot_be_scaled(saliency, scaler):
    with pytest.raises(ValueError, match=r"errors cannot be scaled.*affine"):
        draw(saliency, errors=np.ones(3), scaler=scaler)
    draw(saliency, errors=np.ones(3), scaler=None)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([1, 1, 1], r"errors must have the shape of saliency, \(4,\), got \(3,\)"),
        (np.ones((2, 4)), r"errors must have the shape of saliency.* got \(2, 4\)"),
        (
            [1, 1, -0.5, 1],
            r"errors must be finite and not negative, got -0.5 at \(2,\)",
        ),
        ([1, np.nan, 1, 1], r"errors must be finite and not negative, got nan"),
    ],
)
def test_wrong_errors(errors, message):
    with pytest.raises(ValueError, match=message):
        draw(SIGNED, errors=errors)


# --- summary --------------------------------------------------------------------


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4)) * [1, 10, 100, 1000]
    return features * [0.1, -0.05, 0, 0.002], features


def test_summary_draws_every_cell_at_its_score(data):
    saliency, features = data
    figure = summarize(saliency, features, NAMES)
    assert labels(figure) == ["d", "b", "a", "c"]  # by mean magnitude
    scores, rows, _ = dots(figure, 300)
    np.testing.assert_array_equal(scores, saliency.T[[3, 1, 0, 2]])
    # A dot stays well inside its own row.
    np.testing.assert_array_equal(
        np.round(rows), np.arange(4)[:, np.newaxis] + 0 * rows
    )
    assert np.abs(rows - np.arange(4)[:, np.newaxis]).max() <= 0.4
    assert len(zero_lines(figure)) == 1


def test_summary_num_visualize_keeps_the_largest(data):
    figure = summarize(*data, NAMES, num_visualize=2)
    assert labels(figure) == ["d", "b"]
    assert dots(figure, 300)[0].shape == (2, 300)
    assert len(labels(summarize(*data, num_visualize=-1))) == 4
    assert len(labels(summarize(*data, num_visualize=99))) == 4


def test_summary_shows_20_features_by_default():
    saliency = np.random.default_rng(0).normal(size=(5, 25))
    assert len(labels(summarize(saliency, saliency))) == 20


def test_summary_colours_by_the_feature_value(data):
    saliency, features = data
    figure = summarize(saliency, features)
    _, _, colors = dots(figure, 300)
    for row, feature in enumerate([3, 1, 0, 2]):
        column = features[:, feature]
        low, high = np.percentile(column, [5, 95])
        expected = np.clip((column - low) / (high - low), 0, 1)
        np.testing.assert_allclose(colors[row], expected)


def test_summary_outlier_does_not_take_all_colours():
    features = np.r_[np.linspace(0, 1, 99), 1e6][:, np.newaxis]
    _, _, colors = dots(summarize(features, features), 100)
    assert np.ptp(colors[0, :99]) > 0.9


def test_summary_rare_value_still_has_its_colour():
    features = np.r_[np.zeros(99), 1][:, np.newaxis]
    _, _, colors = dots(summarize(features, features), 100)
    np.testing.assert_array_equal(colors, features.T)


def test_summary_constant_feature_has_the_middle_colour():
    features = np.full((5, 1), 7.0)
    _, _, colors = dots(summarize(np.arange(5.0)[:, np.newaxis], features), 5)
    np.testing.assert_array_equal(colors, np.full((1, 5), 0.5))


def test_summary_missing_values_are_grey_and_named():
    features = np.array([[0, np.nan], [1, np.nan], [np.nan, np.nan]])
    figure = summarize([[3.0, 1], [3, 1], [3, 1]], features)
    figure.draw_without_rendering()
    (collection,) = figure.axes[0].collections
    assert not np.ma.is_masked(collection.get_offsets())  # or it would not be drawn
    colors = collection.get_facecolor().reshape(2, 3, 4)
    grey = np.ptp(colors[..., :3], axis=-1) == 0
    np.testing.assert_array_equal(grey, np.isnan(features.T))
    assert (colors[..., 3] == 1).all()
    assert "grey: no value" in figure.axes[1].get_ylabel()


def test_summary_colour_bar(data):
    figure = summarize(*data)
    _, bar = figure.axes
    assert bar.get_ylabel() == "feature value"
    assert bar.get_ylim() == (0, 1)
    assert [text.get_text() for text in bar.get_yticklabels()] == ["low", "high"]
    (collection,) = figure.axes[0].collections
    assert collection.get_clim() == (0, 1)


def test_summary_spreads_dots_that_coincide_and_only_those():
    saliency = np.r_[np.zeros(5), 10.0][:, np.newaxis]
    _, rows, _ = dots(summarize(saliency, saliency), 6)
    np.testing.assert_array_equal(rows[0, 5], 0)
    heights = np.sort(rows[0, :5])
    assert (np.diff(heights) > 0.05).all()
    np.testing.assert_allclose(heights, -heights[::-1], atol=1e-12)


def test_summary_is_thicker_where_scores_are_denser():
    saliency = np.random.default_rng(0).normal(size=(2000, 1))
    _, rows, _ = dots(summarize(saliency, saliency), 2000)
    middle = np.abs(saliency[:, 0]) < 0.5
    assert np.ptp(rows[0, middle]) > 3 * np.ptp(rows[0, np.abs(saliency[:, 0]) > 2])


def test_summary_low_values_are_at_the_bottom_of_a_stack():
    features = np.arange(50.0)[::-1, np.newaxis]
    figure = summarize(np.zeros((50, 1)), features)
    _, rows, _ = dots(figure, 50)
    pixels = figure.axes[0].transData.transform(np.c_[0 * rows[0], rows[0]])[:, 1]
    assert np.corrcoef(pixels, features[:, 0])[0, 1] > 0.9


@pytest.mark.large
def test_summary_does_not_depend_on_the_order_of_samples_or_on_chance(data):
    saliency, features = data

    def dots_sorted(order):
        table = np.stack(dots(summarize(saliency[order], features[order]), 300))
        return np.sort(table.reshape(3, -1).T.copy().view("f8,f8,f8"), axis=0)

    state = np.random.get_state()[1].copy()
    expected = dots_sorted(np.arange(300))
    np.testing.assert_array_equal(dots_sorted(np.arange(300)), expected)
    np.testing.assert_array_equal(dots_sorted(np.arange(300)[::-1]), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_summary_of_many_equal_scores_stays_in_its_row():
    saliency = np.zeros((10_000, 2))
    with np.errstate(all="raise"):
        (drawn,) = summarize(saliency, saliency).axes[0].collections
    rows = drawn.get_offsets()[:, 1]
    assert set(np.round(rows)) == {0, 1}
    assert np.abs(rows - np.round(rows)).max() <= 0.4 + 1e-12


def test_summary_of_one_sample(tmp_path):
    figure = summarize([[1.0, -3.0]], [[5, 6]], save_filepath=tmp_path / "one.png")
    np.testing.assert_array_equal(dots(figure, 1)[0], [[-3], [1]])


def test_summary_does_not_change_its_inputs(data):
    before = [array.copy() for array in data]
    summarize(*data)
    np.testing.assert_array_equal(data, before)


# --- figures, axes, files -------------------------------------------------------


@pytest.mark.large
def test_no_figure_is_left_open(tmp_path, data):
    """PEERS: figures never closed."""
    draw(SIGNED)
    draw(SIGNED, save_filepath=tmp_path / "a.png")
    summarize(*data, save_filepath=tmp_path / "b.png")
    assert pyplot.get_fignums() == []


@pytest.mark.large
def test_headless_and_without_pyplot_or_chainer(tmp_path):
    root = Path(__file__).parents[2]
    # The package itself looks after Chainer, so an empty one stands in for it.
    code = f"""
import sys, types
sys.modules["chainer"] = None
sys.modules["saliency"] = package = types.ModuleType("saliency")
package.__path__ = [{str(root / "saliency")!r}]
from saliency.visualizer import TableVisualizer
TableVisualizer().visualize([1., -2.], save_filepath="bars.png")
TableVisualizer().visualize_summary([[1., -2.]], [[1, 2]], save_filepath="dots.pdf")
assert "matplotlib.pyplot" not in sys.modules
"""
    environment = {key: os.environ[key] for key in os.environ if key != "DISPLAY"}
    environment["MPLBACKEND"] = "TkAgg"
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment
    )
    assert (tmp_path / "bars.png").stat().st_size > 1000
    assert (tmp_path / "dots.pdf").read_bytes().startswith(b"%PDF")


def test_ax_draws_into_the_axes_of_the_user(data):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(SIGNED, NAMES, ax=left, title="left") is figure
    assert summarize(*data, NAMES, ax=right, title="right") is figure
    assert "".join(labels(left)) == "cadb"
    assert labels(right) == ["d", "b", "a", "c"]
    assert (left.get_title(), right.get_title()) == ("left", "right")
    assert len(figure.axes) == 3  # with the colour bar


def test_ax_of_pyplot_stays_open_and_is_the_users_to_close(tmp_path):
    figure, ax = pyplot.subplots()
    try:
        assert draw(SIGNED, ax=ax, save_filepath=tmp_path / "a.png") is figure
        assert pyplot.get_fignums() == [figure.number]
    finally:
        pyplot.close(figure)


def test_ax_in_a_subfigure_returns_and_saves_the_whole_figure(tmp_path, data):
    figure = Figure()
    left, right = figure.subfigures(1, 2)
    assert draw(SIGNED, ax=left.subplots()) is figure
    path = tmp_path / "a.png"
    assert summarize(*data, ax=right.subplots(), save_filepath=path) is figure
    assert path.exists()


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "PNG", "jpg"])
def test_save_as_str_and_as_path(tmp_path, suffix):
    for path in (str(tmp_path / f"a.{suffix}"), tmp_path / f"b.{suffix}"):
        draw(SIGNED, save_filepath=path)
        assert Path(path).stat().st_size > 500


def test_save_without_extension_takes_the_default_of_matplotlib(tmp_path):
    draw(SIGNED, save_filepath=tmp_path / "bars")
    assert [path.name for path in tmp_path.iterdir()] == ["bars.png"]


def pixels(path):
    return matplotlib.image.imread(path).shape[1::-1]


def test_bbox_inches_is_as_in_savefig(tmp_path):
    path = tmp_path / "a.png"
    draw(SIGNED, save_filepath=path, bbox_inches=Bbox.from_bounds(0, 0, 2, 1))
    assert pixels(path) == (400, 200)


def test_saved_picture_is_sharp_unless_the_user_says_otherwise(tmp_path):
    path = tmp_path / "a.png"
    figure = draw(SIGNED, save_filepath=path, bbox_inches=None)
    np.testing.assert_allclose(pixels(path), figure.get_size_inches() * 200, atol=1)
    with matplotlib.rc_context({"savefig.dpi": 50}):
        draw(SIGNED, save_filepath=path, bbox_inches=None)
    np.testing.assert_allclose(pixels(path), figure.get_size_inches() * 50, atol=1)


@pytest.mark.parametrize(
    ("n_feature", "length"), [(1, 150), (4, 1), (4, 150), (30, 35), (120, 35)]
)
def test_labels_are_neither_clipped_nor_on_each_other(n_feature, length):
    names = [f"{i} " + "long name " * (length // 10) for i in range(n_feature)]
    saliency = np.linspace(-1, 1, n_feature)
    for figure in (draw(saliency, names), summarize(saliency[np.newaxis], [saliency])):
        figure.draw_without_rendering()
        ax = figure.axes[0]
        texts = [*ax.get_yticklabels(), ax.title, ax.xaxis.label]
        boxes = [text.get_window_extent() for text in texts]
        assert min(box.x0 for box in boxes) >= 0
        assert min(box.y0 for box in boxes) >= 0
        assert max(box.y1 for box in boxes) <= figure.bbox.height
        rows = sorted(boxes[:-2], key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in zip(rows, rows[1:]))
        assert ax.get_window_extent().width > 0.4 * figure.bbox.width


@pytest.mark.large
def test_figure_height_is_bounded():
    figure = draw(np.ones(500), scaler=None, num_visualize=-1)
    assert figure.get_figheight() == 100


# --- many features --------------------------------------------------------------


def note(figure):
    """What is said of features that are left out, below the last name."""
    (ax, *_) = figure.axes
    texts = [text for text in ax.texts if text.get_text().startswith("and ")]
    for text in texts:
        figure.draw_without_rendering()
        last = ax.get_yticklabels()[-1].get_window_extent()
        box = text.get_window_extent()
        assert box.y1 <= last.y0
        assert abs(box.x1 - last.x1) < 2
        axis = ax.get_xticklabels()[0].get_window_extent()
        assert box.y0 >= axis.y1
        assert box.x0 >= 0
    return [text.get_text() for text in texts]


@pytest.mark.large
def test_of_thousands_of_features_the_first_are_drawn():
    rng = np.random.default_rng(0)
    scores, names = rng.standard_normal(5000), [f"feature {i}" for i in range(5000)]
    figure = draw(scores, names, scaler=None)
    strongest = np.argsort(-scores)[:20]
    assert labels(figure) == [names[i] for i in strongest]
    np.testing.assert_array_equal(lengths(figure), scores[strongest])
    assert note(figure) == ["and 4,980 more"]


@pytest.mark.large
def test_a_summary_of_thousands_of_features():
    scores = np.random.default_rng(0).standard_normal((3, 5000))
    figure = summarize(scores, scores)
    assert len(labels(figure)) == 20
    assert note(figure) == ["and 4,980 more"]
    assert (
        len(labels(summarize(scores[:, :30], scores[:, :30], num_visualize=None))) == 30
    )


@pytest.mark.parametrize(
    "n_feature, num_visualize, n_drawn, said",
    [
        (100, None, 100, []),
        (101, None, 20, ["and 81 more"]),
        (101, -1, 101, []),
        (101, 101, 101, []),
        (3, 2, 2, ["and 1 more"]),
    ],
)
def test_how_many_are_drawn(n_feature, num_visualize, n_drawn, said):
    figure = draw(np.ones(n_feature), scaler=None, num_visualize=num_visualize)
    assert len(labels(figure)) == n_drawn
    assert note(figure) == said


# --- errors at the door ---------------------------------------------------------

OK = np.ones((3, 4))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"saliency": OK}, ValueError, r"saliency .*\(n_feature,\).*\(3, 4\).*\[0\]"),
        ({"saliency": 1.0}, ValueError, r"saliency must have the shape"),
        ({"saliency": []}, ValueError, r"saliency .*not be empty.*\(0,\)"),
        ({"saliency": [1, np.nan]}, ValueError, "saliency must be finite, got 1 NaN"),
        ({"saliency": [1, np.inf]}, ValueError, "saliency must be finite"),
        ({"saliency": ["a"]}, TypeError, "saliency must hold real numbers"),
        ({"feature_names": ["a"]}, ValueError, "feature_names .* 4 .*, got 1"),
        ({"feature_names": "abcd"}, TypeError, "feature_names must be a list"),
        ({"feature_names": 4}, TypeError, "feature_names must be a list"),
        ({"num_visualize": 0}, ValueError, "num_visualize must be -1 .*, got 0"),
        ({"num_visualize": -2}, ValueError, "num_visualize must be -1 .*, got -2"),
        ({"num_visualize": 1.5}, TypeError, "num_visualize must be an int, got 1.5"),
        ({"scaler": 2}, TypeError, "scaler must be callable or None, got 2"),
        ({"scaler": np.sum}, ValueError, r"scaler must return .*shape \(4,\)"),
        ({"scaler": lambda x: x + np.nan}, ValueError, "scaler must return finite"),
        ({"sort": "down"}, ValueError, "sort must be one of 'descending'.*'down'"),
        ({"color": "no colour"}, ValueError, "color must be one .*'no colour'"),
        ({"color": ["r", "b", "r", "b"]}, ValueError, "color must be one"),
        ({"ax": "left"}, TypeError, "ax must be one matplotlib Axes or None, got str"),
    ],
)
def test_wrong_arguments_of_visualize(kwargs, error, message, tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(error, match=message):
        draw(**{"saliency": SIGNED, "save_filepath": path, **kwargs})
    assert not path.exists()


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"saliency": SIGNED}, ValueError, r"saliency .*\(n_sample, n_feature\)"),
        ({"saliency": np.ones((0, 4))}, ValueError, "saliency .*not be empty"),
        ({"saliency": OK * np.nan}, ValueError, "saliency must be finite, got 12"),
        ({"features": OK.T}, ValueError, r"features .*\(3, 4\), got \(4, 3\)"),
        ({"features": OK * np.inf}, ValueError, "features must not be infinite"),
        ({"features": OK.astype(str)}, TypeError, "features must hold real numbers"),
        ({"feature_names": ["a"]}, ValueError, "feature_names .* 4 .*, got 1"),
        ({"num_visualize": 0}, ValueError, "num_visualize"),
        ({"ax": [None]}, TypeError, "ax must be one matplotlib Axes or None, got list"),
    ],
)
def test_wrong_arguments_of_visualize_summary(kwargs, error, message):
    with pytest.raises(error, match=message):
        summarize(**{"saliency": OK, "features": OK, **kwargs})


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("missing/a.png", ValueError, "save_filepath.*'.*missing' does not exist"),
        ("a.xyz", ValueError, "save_filepath.*'xyz' is not supported.*pdf.*png.*svg"),
        ("", ValueError, "save_filepath.* is a directory"),
        (None, TypeError, "save_filepath must be a str, a path or None, got int"),
    ],
)
def test_wrong_path_is_told_before_anything_is_drawn(tmp_path, path, error, message):
    ax = Figure().add_subplot()
    save_filepath = 3 if path is None else tmp_path / path
    with pytest.raises(error, match=message):
        draw(SIGNED, save_filepath=save_filepath, ax=ax)
    with pytest.raises(error, match=message):
        summarize(OK, OK, save_filepath=save_filepath, ax=ax)
    assert not ax.has_data()
    assert list(tmp_path.iterdir()) == []


def test_axes_removed_from_their_figure():
    ax = Figure().add_subplot()
    ax.remove()
    with pytest.raises(ValueError, match="ax belongs to no figure"):
        draw(SIGNED, ax=ax)


def test_failure_while_drawing_leaves_an_older_picture_alone(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"older picture")
    ax = Figure().add_subplot()
    ax.text(0, 0, "$a broken formula^^$")
    with pytest.raises(ValueError, match="a broken formula"):
        draw([1.0], save_filepath=path, ax=ax)
    assert path.read_bytes() == b"older picture"


def test_failure_while_writing_leaves_no_half_picture(tmp_path, monkeypatch):
    path = tmp_path / "a.png"

    class FullDisk:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self._file.close()

        def write(self, data):
            self._file.write(data[:100])
            raise OSError("No space left on device")

    open_path = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, mode: FullDisk(open_path(self, mode))
    )
    with pytest.raises(OSError, match="No space left"):
        draw(SIGNED, save_filepath=path)
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.large
def test_failure_while_writing_to_a_device_does_not_delete_it(tmp_path):
    path = tmp_path / "a.png"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        draw(SIGNED, save_filepath=path)
    assert path.is_symlink()


def test_picture_that_may_not_be_overwritten_is_not_deleted(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"read-only picture")

    def refuse(self, mode):
        raise PermissionError(f"Permission denied: {self}")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError):
        draw(SIGNED, save_filepath=path)
    monkeypatch.undo()
    assert path.read_bytes() == b"read-only picture"

"""Explanations by themselves: files, tables, examples, groups and pictures."""

from __future__ import annotations

import builtins
import dataclasses

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from saliency import Explanation

NAMES = ("age", "red", "green", "weight")
GROUPS = {"colour": ["red", "green"]}


@pytest.fixture
def explanation() -> Explanation:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 4)).astype(np.float32)
    return Explanation(
        values,
        errors=abs(values) / 10,
        data=rng.normal(size=(6, 4)),
        feature_names=NAMES,
        class_names=["no", "<yes>"],
        classes=np.array([0, 1, 1, 0, 1, 1]),
        scores=values.sum(axis=1) + 0.5,
        base_values=np.full(6, 0.5),
        index=np.array(list("abcdef"), object),
        calculator="SomeCalculator(model)",
        n_sample=5,
    )


def assert_same(one: Explanation, other: Explanation) -> None:
    for field in dataclasses.fields(Explanation):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert type(a) is type(b), field.name
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, field.name


class TestFiles:
    def test_what_is_saved_is_loaded(self, explanation, tmp_path):
        explanation.save(tmp_path / "x")
        assert_same(Explanation.load(tmp_path / "x.npz"), explanation)

    def test_what_is_not_there_stays_so(self, tmp_path):
        bare = Explanation(np.zeros((2, 3, 4)))
        bare.save(tmp_path / "v1.2.npz")
        assert_same(Explanation.load(tmp_path / "v1.2.npz"), bare)

    def test_other_files_are_refused(self, tmp_path):
        path = tmp_path / "x.npz"
        np.savez(path, values=np.zeros(3))
        with pytest.raises(ValueError, match="holds no explanation"):
            Explanation.load(path)
        np.savez(path, header=np.array({"format": "saliency.Explanation"}, object))
        with pytest.raises(ValueError, match="holds no explanation"):
            Explanation.load(path)
        path.write_bytes(b"anything")
        with pytest.raises(ValueError, match="holds no explanation"):
            Explanation.load(path)
        with pytest.raises(FileNotFoundError):
            Explanation.load(tmp_path / "y.npz")

    def test_another_extension_is_refused(self, explanation, tmp_path):
        with pytest.raises(ValueError, match=r"path must end in \.npz"):
            explanation.save(tmp_path / "x.csv")


class TestExamples:
    @pytest.mark.parametrize(
        ("key", "rows"),
        [
            (1, [1]),
            (-1, [5]),
            (np.int64(2), [2]),
            (slice(1, 4), [1, 2, 3]),
            ([4, 0], [4, 0]),
            (np.array([0, 1, 1, 0, 0, 0], bool), [1, 2]),
            (pd.Series([True] + [False] * 5), [0]),
            ([], []),
        ],
    )
    def test_some_examples(self, explanation, key, rows):
        some = explanation[key]
        assert len(some) == len(rows)
        for name in ("values", "errors", "data", "classes", "scores", "index"):
            expected = getattr(explanation, name)[rows]
            np.testing.assert_array_equal(getattr(some, name), expected)
        assert some.feature_names == NAMES

    @pytest.mark.parametrize("key", [6, "a", np.ones(5, bool), (0, 1, 2, 7), 0.5])
    def test_examples_that_are_not_there(self, explanation, key):
        with pytest.raises(IndexError):
            explanation[key]

    def test_one_after_the_other(self, explanation):
        found = [float(one.scores[0]) for one in explanation]
        assert found == explanation.scores.tolist()


class TestTables:
    def test_a_column_for_each_feature(self, explanation):
        frame = explanation.to_dataframe()
        assert list(frame.columns) == list(NAMES)
        assert list(frame.index) == list("abcdef")
        np.testing.assert_array_equal(frame, explanation.values)

    def test_a_row_for_each_value(self, explanation):
        frame = explanation.to_dataframe(tidy=True)
        assert len(frame) == 24
        row = frame[(frame.example == "c") & (frame.feature == "green")].iloc[0]
        assert row["value"] == explanation.values[2, 2]
        assert row["error"] == explanation.errors[2, 2]
        assert row["data"] == explanation.data[2, 2]
        assert row["class"] == "<yes>"
        assert row["score"] == explanation.scores[2]
        assert row["base_value"] == 0.5

    def test_maps_are_no_table(self):
        maps = Explanation(np.zeros((2, 3, 4)))
        with pytest.raises(ValueError, match="values must have the shape"):
            maps.to_dataframe()
        assert "<table>" not in maps._repr_html_()

    def test_without_pandas_it_says_what_to_install(self, explanation, monkeypatch):
        real = builtins.__import__

        def without(name, *args, **kwargs):
            if name == "pandas":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ImportError, match="pip install pandas"):
            explanation.to_dataframe()

    def test_what_a_notebook_shows_is_escaped(self, explanation):
        html = explanation._repr_html_()
        assert html.count("<tr>") == 7
        assert "&lt;yes&gt;" in html and "<yes>" not in html
        assert "<th>weight</th>" in html

    def test_a_long_table_is_cut(self):
        html = Explanation(np.zeros((30, 40)))._repr_html_()
        assert html.count("<tr>") == 12
        assert "and 20 more" in html

    def test_what_is_printed(self, explanation):
        text = repr(explanation)
        assert "6 examples" in text and "5 samples" in text
        assert "SomeCalculator(model)" in text


class TestGroups:
    def test_values_are_summed_in_the_place_of_the_first(self, explanation):
        grouped = explanation.grouped(GROUPS)
        assert grouped.feature_names == ("age", "colour", "weight")
        v = explanation.values
        expected = np.stack([v[:, 0], v[:, 1] + v[:, 2], v[:, 3]], axis=1)
        np.testing.assert_allclose(grouped.values, expected, rtol=1e-6)
        assert grouped.values.dtype == np.float32
        np.testing.assert_array_equal(grouped.data[:, [0, 2]], explanation.data[:, ::3])
        assert np.isnan(grouped.data[:, 1]).all()
        assert grouped.errors is None

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            ({"colour": ["red", "blue"]}, "got 'blue'"),
            ({"a": ["red"], "b": ["red"]}, "got 'red' twice"),
            ({"colour": []}, "at least one feature"),
            ({"age": ["red", "green"]}, "'age' would be a group and a feature"),
        ],
    )
    def test_groups_that_do_not_fit(self, explanation, groups, message):
        with pytest.raises(ValueError, match=message):
            explanation.grouped(groups)

    def test_kinds_of_groups(self, explanation):
        with pytest.raises(TypeError, match="groups must be a dict"):
            explanation.grouped(["red"])
        with pytest.raises(TypeError, match="must be a list"):
            explanation.grouped({"colour": "red"})


class TestPictures:
    def labels(self, figure):
        return [label.get_text() for label in figure.axes[0].get_yticklabels()]

    def test_a_data_set_is_a_beeswarm(self, explanation, tmp_path):
        figure = explanation.plot(save_filepath=tmp_path / "x.png")
        assert isinstance(figure, Figure)
        order = np.argsort(-abs(explanation.values).mean(axis=0))
        assert self.labels(figure) == [NAMES[i] for i in order]
        assert (tmp_path / "x.png").stat().st_size > 1000

    def test_one_class_is_in_the_title(self, explanation):
        figure = explanation[explanation.classes == 1].plot()
        assert "<yes>" in figure.axes[0].get_title()

    def test_one_example_is_bars_of_its_values(self, explanation):
        figure = explanation[3].plot()
        widths = [bar.get_width() for bar in figure.axes[0].patches]
        values = explanation.values[3]
        expected = values[np.argsort(-abs(values))]
        np.testing.assert_allclose(widths, expected, rtol=1e-6)
        title = figure.axes[0].get_title()
        assert f"{explanation.scores[3]:.3g}" in title and "base value 0.5" in title

    def test_bars_of_a_data_set_are_mean_magnitudes(self, explanation):
        figure = explanation.plot("bar", title="Mine")
        widths = sorted(bar.get_width() for bar in figure.axes[0].patches)
        expected = sorted(abs(explanation.values).mean(axis=0))
        np.testing.assert_allclose(widths, expected, rtol=1e-6)
        assert figure.axes[0].get_title() == "Mine"

    def test_groups_are_drawn(self, explanation):
        assert "colour" in self.labels(explanation.grouped(GROUPS).plot())

    def test_images(self):
        rng = np.random.default_rng(0)
        images = rng.normal(size=(2, 3, 8, 8))
        maps = Explanation(images.sum(axis=1), data=images)
        assert isinstance(maps[0].plot(), Figure)
        with pytest.raises(ValueError, match="draws one image, got 2"):
            maps.plot()

    def test_what_cannot_be_drawn(self, explanation):
        with pytest.raises(ValueError, match="kind must be one of 'bar'"):
            explanation.plot("waterfall")
        with pytest.raises(ValueError, match="plot cannot tell"):
            Explanation(np.zeros((2, 3, 4))).plot()
        with pytest.raises(ValueError, match="colours dots by the data"):
            Explanation(np.zeros((2, 3))).plot("beeswarm")
        with pytest.raises(ValueError, match="no examples"):
            explanation[[]].plot()


def test_shap_draws_it(explanation):
    shap = pytest.importorskip("shap")
    with matplotlib.rc_context({"backend": "agg"}):
        converted = explanation.to_shap()
        np.testing.assert_array_equal(converted.values, explanation.values)
        assert list(converted.feature_names) == list(NAMES)
        assert shap.plots.beeswarm(converted, show=False).collections
        shap.plots.waterfall(converted[0], show=False)
        from matplotlib import pyplot

        pyplot.close("all")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"values": np.float32(1)}, ValueError, "axis for the examples"),
        ({"errors": np.zeros((2, 2))}, ValueError, "errors must have the shape"),
        ({"scores": np.zeros(3)}, ValueError, "scores must have one row"),
        ({"scores": np.zeros((2, 1))}, ValueError, "scores must have one row"),
        ({"classes": np.zeros(2)}, TypeError, "classes must hold integers"),
        ({"values": np.array([["a"]])}, TypeError, "values must hold real numbers"),
        ({"feature_names": ["a"]}, ValueError, "feature_names must have one name"),
        ({"n_sample": 0}, ValueError, "n_sample"),
    ],
)
def test_arguments_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        Explanation(**{"values": np.zeros((2, 3)), **arguments})

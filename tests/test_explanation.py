"""Explanations by themselves: files, tables, examples, groups and pictures."""

from __future__ import annotations

import dataclasses
import json
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from saliency import (
    Explanation,
    FilterVisualizer,
    MolVisualizer,
    SmilesVisualizer,
    TableVisualizer,
    TextVisualizer,
    abs_max_scaler,
)

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


@pytest.fixture
def of_classes() -> Explanation:
    """Three classes of each of six examples."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6, 3, 4))
    return Explanation(
        values,
        errors=abs(values),
        data=rng.normal(size=(6, 4)),
        feature_names=NAMES,
        class_names=["setosa", "versicolor", "virginica"],
        classes=np.tile([0, 1, 2], (6, 1)),
        scores=rng.normal(size=(6, 3)),
        base_values=rng.normal(size=(6, 3)),
        index=np.array(list("abcdef")),
    )


@pytest.fixture
def texts() -> Explanation:
    return Explanation(
        np.array([[0.5, -2.0, 1.0], [3.0, -4.0, np.nan]]),
        classes=np.array([1, 0]),
        scores=np.array([-0.5, -1.0]),
        lengths=np.array([3, 2]),
        class_names=["bad", "good"],
        element_names=[["not", "a", "film"], ["<b>", "film"]],
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


def test_classes_of_one_name_are_two_in_data_frames():
    values = np.arange(8.0).reshape(2, 2, 2)
    explanation = Explanation(
        values, classes=[[1, 3], [3, 1]], class_names=["ox", "crane", "cat", "crane"]
    )
    wide = explanation.to_dataframe()
    assert wide.loc[(0, "crane")].tolist() == [0, 1]
    assert wide.loc[(0, "3: crane")].tolist() == [2, 3]
    assert wide.loc[(1, "3: crane")].tolist() == [4, 5]
    means = explanation.to_dataframe(tidy=True).groupby("class")["value"].mean()
    assert means.to_dict() == {"crane": 3.5, "3: crane": 3.5}


class TestFiles:
    def test_what_is_saved_is_loaded(self, explanation, tmp_path):
        explanation.save(tmp_path / "x")
        assert_same(Explanation.load(tmp_path / "x.npz"), explanation)

    def test_what_is_not_there_stays_so(self, tmp_path):
        bare = Explanation(np.zeros((2, 3, 4)))
        bare.save(tmp_path / "v1.2.npz")
        assert_same(Explanation.load(tmp_path / "v1.2.npz"), bare)

    def test_a_number_of_samples_may_be_of_numpy(self, tmp_path):
        Explanation(np.zeros(2), n_sample=np.int64(30)).save(tmp_path / "x")
        assert Explanation.load(tmp_path / "x").n_sample == 30

    def test_a_file_of_the_first_version(self, explanation, tmp_path):
        arrays, header = {}, {"format": "saliency.Explanation", "version": 1}
        for field in dataclasses.fields(Explanation)[:13]:
            value = getattr(explanation, field.name)
            where = arrays if isinstance(value, np.ndarray) else header
            where[field.name] = value
        np.savez(tmp_path / "old.npz", header=np.array(json.dumps(header)), **arrays)
        assert_same(Explanation.load(tmp_path / "old.npz"), explanation)

    def test_classes_texts_molecules_and_images(self, of_classes, texts, tmp_path):
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (n, 5, 3), np.uint8) for n in (4, 7)]
        smiles = ["CCO", "CO"]
        full = dataclasses.replace(
            texts,
            element_names=[["C", "C", "O"], ["C", "O"]],
            molecules=smiles,
            images=images,
        )
        for i, one in enumerate((of_classes, texts, full)):
            one.save(tmp_path / f"{i}")
            loaded = Explanation.load(tmp_path / f"{i}.npz")
            np.testing.assert_array_equal(loaded.values, one.values)
            for name in ("classes", "scores", "class_names", "element_names"):
                np.testing.assert_equal(getattr(loaded, name), getattr(one, name))
        assert loaded.molecules == ("CCO", "CO")
        np.testing.assert_equal(loaded.images, tuple(images))

    def test_other_files_are_refused(self, explanation, tmp_path):
        path = tmp_path / "x.npz"
        explanation.save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="holds no explanation"):
            Explanation.load(path)
        newer = {"format": "saliency.Explanation", "version": 3}
        header = np.frombuffer(json.dumps(newer).encode(), np.uint8)
        np.savez(path, header=header, values=np.zeros(3))
        with pytest.raises(ValueError, match="that this version reads"):
            Explanation.load(path)
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

    def test_a_path_without_an_extension(self, explanation, tmp_path):
        explanation.save(tmp_path / "x")
        for name in ("x", "x.npz"):
            loaded = Explanation.load(tmp_path / name)
            np.testing.assert_array_equal(loaded.values, explanation.values)
        with pytest.raises(FileNotFoundError):
            Explanation.load(tmp_path / "y")

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

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            (6, "out of bounds"),
            (np.ones(5, bool), "did not match"),
            ((0, 1, 2), "got 3 indices"),
            ("a", "examples are an int, a slice, .*; got 'a'"),
            (0.5, "; got 0.5"),
            (["a", "b"], r"; got \['a', 'b'\]"),
        ],
    )
    def test_examples_that_are_not_there(self, explanation, key, message):
        with pytest.raises(IndexError, match=message):
            explanation[key]

    def test_one_after_the_other(self, explanation):
        found = [float(one.scores[0]) for one in explanation]
        assert found == explanation.scores.tolist()


class TestClasses:
    @pytest.mark.parametrize("which", [1, np.int32(1), "versicolor"])
    def test_one_of_several(self, of_classes, which):
        assert of_classes.has_class_axis
        for one in (of_classes.of_class(which), of_classes[:, which]):
            assert not one.has_class_axis
            for name in ("values", "errors", "classes", "scores", "base_values"):
                expected = getattr(of_classes, name)[:, 1]
                np.testing.assert_array_equal(getattr(one, name), expected)
            np.testing.assert_array_equal(one.data, of_classes.data)

    def test_an_example_and_a_class(self, of_classes):
        one = of_classes[4, "virginica"]
        np.testing.assert_array_equal(one.values, of_classes.values[4:5, 2])
        np.testing.assert_array_equal(one.index, ["e"])

    def test_some_classes_keep_their_axis(self, of_classes):
        some = of_classes[1:3, ["virginica", 0]]
        expected = of_classes.values[1:3][:, [2, 0]]
        np.testing.assert_array_equal(some.values, expected)
        np.testing.assert_array_equal(some.classes, [[2, 0], [2, 0]])
        np.testing.assert_array_equal(some[:, 0].values, expected[:, 1])
        assert of_classes[1:3, :].has_class_axis

    def test_of_one_for_each_example_it_picks_examples(self, explanation):
        for found in (explanation.of_class("<yes>"), explanation[:, 1]):
            np.testing.assert_array_equal(found.index, list("bcef"))
            np.testing.assert_array_equal(found.classes, 1)
        assert len(explanation[[0, 3], 1]) == 0

    def test_classes_that_differ_from_example_to_example(self):
        values = np.arange(12.0).reshape(2, 2, 3)
        top = Explanation(values, classes=np.array([[2, 0], [1, 2]]))
        found = top.of_class(2)
        np.testing.assert_array_equal(found.values, [values[0, 0], values[1, 1]])
        assert len(top.of_class(0)) == 1

    @pytest.mark.parametrize(
        ("which", "message"),
        [
            (3, r"numbered 0\.\.2, got 3"),
            (-1, "got -1"),
            ("iris", "no class 'iris'; classes are: setosa, versicolor, virginica"),
            (1.5, "an int or a str"),
        ],
    )
    def test_classes_that_are_not_there(self, of_classes, which, message):
        with pytest.raises((TypeError, ValueError), match=message):
            of_classes.of_class(which)
        with pytest.raises(IndexError, match=message):
            of_classes[:, which]

    def test_what_is_no_class(self, of_classes):
        with pytest.raises(ValueError, match="a sum of several"):
            Explanation(np.zeros((2, 3))).of_class(0)
        with pytest.raises(ValueError, match="was not explained"):
            of_classes[:, ["setosa", "versicolor"]].of_class("virginica")
        with pytest.raises(IndexError, match="no axis of classes"):
            of_classes[:, 0][:, [0, 1]]

    def test_explanations_of_one_class_each_are_joined(self, of_classes):
        joined = Explanation.of_classes(of_classes[:, c] for c in range(3))
        assert_same(joined, of_classes)

    def test_explanations_that_do_not_go_together(self, of_classes, texts):
        with pytest.raises(ValueError, match="at least one"):
            Explanation.of_classes([])
        with pytest.raises(ValueError, match="must agree"):
            Explanation.of_classes([of_classes[:, 0], texts])
        with pytest.raises(ValueError, match="one class for each example"):
            Explanation.of_classes([of_classes])
        with pytest.raises(TypeError, match="must be Explanations"):
            Explanation.of_classes([np.zeros(3)])

    def test_explanations_of_other_examples_are_not_joined(self, of_classes):
        first = of_classes[:, 0]
        second = of_classes[:, 1]
        columns = ("d", "c", "b", "a")
        for other, what in (
            (second[::-1], "data"),
            (dataclasses.replace(second[::-1], data=None), "index"),
            (dataclasses.replace(second, feature_names=columns), "feature_names"),
            (dataclasses.replace(second, class_names=["x", "y", "z"]), "class_names"),
        ):
            with pytest.raises(ValueError, match=f"same examples.*but {what} differ"):
                Explanation.of_classes([first, other])
        # What one of them does not say cannot differ.
        unnamed = dataclasses.replace(second, data=None, index=None, feature_names=None)
        assert Explanation.of_classes([first, unnamed]).values.shape == (6, 2, 4)

    def test_explanations_of_other_texts_or_molecules_are_not_joined(self, texts):
        tokens = [["not", "the", "film"], ["<b>", "film"]]
        others = dataclasses.replace(texts, element_names=tokens)
        with pytest.raises(ValueError, match="but element_names differ"):
            Explanation.of_classes([texts, others])
        assert Explanation.of_classes([texts, texts]).element_names[0][1] == "a"
        texts = dataclasses.replace(texts, molecules=["CCO", "CN"])
        others = dataclasses.replace(texts, molecules=["COC", "CN"])
        with pytest.raises(ValueError, match="but molecules differ"):
            Explanation.of_classes([texts, others])

    def test_data_that_miss_values_are_the_same(self, of_classes):
        data = np.where(np.eye(6, 4), np.nan, of_classes.data)
        parts = [dataclasses.replace(of_classes[:, c], data=data) for c in range(2)]
        parts[1] = dataclasses.replace(parts[1], data=data.copy())
        assert Explanation.of_classes(parts).has_class_axis

    def test_a_table_has_a_row_for_each_class(self, of_classes):
        frame = of_classes.to_dataframe()
        assert frame.shape == (18, 4)
        found = frame.loc[("c", "virginica"), "green"]
        assert found == of_classes.values[2, 2, 2]

    def test_a_tidy_table_names_the_class(self, of_classes):
        frame = of_classes.to_dataframe(tidy=True)
        assert len(frame) == 6 * 3 * 4
        for i, c, f in np.ndindex(6, 3, 4):
            row = frame.iloc[(i * 3 + c) * 4 + f]
            assert row["example"] == "abcdef"[i] and row["feature"] == NAMES[f]
            assert row["class"] == of_classes.class_names[c]
            assert row["value"] == of_classes.values[i, c, f]
            assert row["error"] == of_classes.errors[i, c, f]
            assert row["score"] == of_classes.scores[i, c]
            assert row["base_value"] == of_classes.base_values[i, c]
            assert row["data"] == of_classes.data[i, f]

    def test_groups_of_every_class(self, of_classes):
        grouped = of_classes.grouped(GROUPS)
        expected = of_classes.values[:, :, 1] + of_classes.values[:, :, 2]
        np.testing.assert_allclose(grouped.values[:, :, 1], expected)
        np.testing.assert_array_equal(grouped[:, 2].values, grouped.values[:, 2])

    def test_a_notebook_shows_a_row_for_each(self, of_classes):
        html = of_classes._repr_html_()
        assert html.count("<tr>") == 12
        assert html.count("<td>virginica</td>") == 3
        assert "3 classes" in html and "and 8 more" in html

    def test_kinds_of_one_class_say_how_to_pick_one(self, of_classes):
        message = r"draws one class, but 3 .*of_class\('setosa'\)\.plot\('waterfall'\)"
        with pytest.raises(ValueError, match=message):
            of_classes[0].plot("waterfall")
        assert isinstance(of_classes[:, 0].plot(), Figure)

    @pytest.mark.parametrize("kind", [None, "bar", "dependence", "heatmap", "decision"])
    def test_tables_have_a_panel_for_each(self, of_classes, kind):
        total = of_classes.values.sum(axis=2)
        adding_up = dataclasses.replace(
            of_classes, base_values=of_classes.scores - total
        )
        for some in (adding_up, adding_up[2]):
            titles = [ax.get_title() for ax in some.plot(kind).axes]
            found = [title for title in titles if title in of_classes.class_names]
            assert found == ["setosa", "versicolor", "virginica"]

    def test_bars_of_one_example_have_signs(self, of_classes):
        figure = of_classes[4].plot("bar")
        panel = next(ax for ax in figure.axes if ax.get_title() == "virginica")
        widths = [bar.get_width() for bar in panel.patches]
        np.testing.assert_allclose(sorted(widths), sorted(of_classes.values[4, 2]))
        figure = of_classes.plot("bar")
        panel = next(ax for ax in figure.axes if ax.get_title() == "virginica")
        widths = [bar.get_width() for bar in panel.patches]
        expected = abs(of_classes.values[:, 2]).mean(axis=0)
        np.testing.assert_allclose(sorted(widths), sorted(expected))


class TestElements:
    """Tokens and atoms: each example has its own."""

    def test_names_go_with_their_examples(self, texts):
        assert texts[1].element_names == (("<b>", "film"),)
        assert texts.numbers_of_elements() == [3, 2]

    def test_a_tidy_table_has_no_rows_for_padding(self, texts):
        frame = texts.to_dataframe(tidy=True)
        assert list(frame["element"]) == [0, 1, 2, 0, 1]
        assert list(frame["name"]) == ["not", "a", "film", "<b>", "film"]
        assert list(frame["value"]) == [0.5, -2, 1, 3, -4]
        assert list(frame["class"]) == ["good"] * 3 + ["bad"] * 2

    def test_a_notebook_shows_the_text_and_the_strongest(self, texts):
        html = texts._repr_html_()
        assert "<td>not a film</td><td>a -2, film 1, not 0.5</td>" in html
        assert "&lt;b&gt;" in html and "<b>" not in html

    @pytest.mark.parametrize(
        ("names", "error", "message"),
        [
            ([["a"] * 3], ValueError, "each of the 2 examples, got 1"),
            ([["a"] * 3, ["b"] * 3], ValueError, "2 elements of example 1, got 3"),
            (["not", "film"], TypeError, "a list of names for each example"),
            ("no", TypeError, "a list of names for each example"),
        ],
    )
    def test_names_that_do_not_fit(self, texts, names, error, message):
        with pytest.raises(error, match=message):
            dataclasses.replace(texts, element_names=names)

    def drawn(self, figure):
        return [text.get_text() for ax in figure.axes for text in ax.texts]

    @pytest.mark.parametrize("scale", ["all", "separate"])
    def test_texts_without_words_are_drawn_among_others(self, scale):
        explanation = Explanation(
            [[np.nan, np.nan], [1.0, -2.0]],
            element_names=[[], ["no", "film"]],
            index=["empty", "other"],
        )
        scaler = abs_max_scaler
        drawn = self.drawn(explanation.plot(scale=scale, scaler=scaler))
        assert [text for text in drawn if text][:4] == ["empty", "other", "no", "film"]
        scores = {"IG": explanation.values, "LRP": explanation.values}
        page = TextVisualizer().html(scores, explanation.element_names)
        assert page.count("IG") == page.count("LRP") == 2
        assert "IG" in self.drawn(
            TextVisualizer().visualize(scores, explanation.element_names)
        )

    def test_texts_are_drawn(self, texts, tmp_path):
        figure = texts.plot(save_filepath=tmp_path / "x.png")
        drawn = self.drawn(figure)
        assert {"not", "a", "film", "<b>"} <= set(drawn)
        assert any("good" in t and "-0.5" in t.replace("\u2212", "-") for t in drawn)
        assert (tmp_path / "x.png").stat().st_size > 1000

    def test_tokens_may_be_given_to_plot(self, texts):
        bare = dataclasses.replace(texts, element_names=None)
        with pytest.raises(ValueError, match=r"element_names .* molecules"):
            bare.plot()
        with pytest.raises(ValueError, match=r"pass element_names.*tokens="):
            bare.plot("text")
        assert "x" in self.drawn(bare.plot(tokens=[["x", "y", "z"], ["v", "w"]]))
        with pytest.raises(ValueError, match="each of the 2 examples, got 1"):
            bare.plot(tokens=[["x", "y", "z"]])

    def test_one_line_for_each_class(self, texts):
        both = Explanation.of_classes(
            dataclasses.replace(texts, classes=np.full(2, c)) for c in (0, 1)
        )
        drawn = self.drawn(both.plot())
        assert drawn.count("film") == 4
        assert drawn.count("bad") == drawn.count("good") == 2

    def test_the_first_of_many(self):
        many = Explanation(np.ones((60, 1)), element_names=[["word"]] * 60)
        drawn = self.drawn(many.plot())
        assert drawn.count("word") == 20
        titles = [ax.get_title() + ax.get_title("left") for ax in many.plot().axes]
        assert "the first 20 of 60" in " ".join([*titles, *drawn])
        assert self.drawn(many[:50].plot()).count("word") == 50

    def test_axes_behind_the_elements_have_to_be_summed(self, texts):
        deep = Explanation(np.ones((1, 2, 5)), element_names=[["a", "b"]])
        with pytest.raises(ValueError, match="pass ch_axis=3 to explain"):
            deep.plot()


class TestMolecules:
    @pytest.fixture
    def chem(self):
        return pytest.importorskip("rdkit.Chem", reason="needs RDKit")

    def of_mols(self, mols):
        numbers = [len(m.GetAtoms()) for m in mols]
        values = np.full((len(mols), max(numbers)), np.nan)
        for row, n in zip(values, numbers):
            row[:n] = np.linspace(-1, 1, n)
        return Explanation(values, molecules=mols)

    @pytest.mark.parametrize("kind", ["as it is", "reversed", "hydrogens", "placed"])
    @pytest.mark.parametrize(
        "smiles", ["CC(=O)Oc1ccccc1C(=O)[O-]", "N[C@@H](C)C(=O)N1C=NC2=C1C2"]
    )
    def test_atoms_keep_their_order(self, chem, smiles, kind, tmp_path):
        from rdkit.Chem import AllChem

        mol = chem.MolFromSmiles(smiles)
        if kind == "hydrogens":
            mol = chem.AddHs(mol)
        if kind == "reversed":
            mol = chem.RenumberAtoms(mol, [*range(mol.GetNumAtoms())][::-1])
        if kind == "placed":
            AllChem.Compute2DCoords(mol)
        explanation = self.of_mols([mol])
        explanation.save(tmp_path / "x")
        (loaded,) = Explanation.load(tmp_path / "x.npz").to_mols()
        atoms = [(a.GetSymbol(), a.GetFormalCharge()) for a in mol.GetAtoms()]
        found = [(a.GetSymbol(), a.GetFormalCharge()) for a in loaded.GetAtoms()]
        assert found == atoms
        bonds = {
            frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in mol.GetBonds()
        }
        assert bonds == {
            frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))
            for b in loaded.GetBonds()
        }
        assert chem.MolToSmiles(loaded) == chem.MolToSmiles(mol)
        assert loaded.GetNumConformers() == mol.GetNumConformers()
        assert explanation.element_names == (tuple(symbol for symbol, _ in atoms),)

    def test_smiles_stay_what_they_are(self, chem):
        smiles = ["OCC", "[H]O[H]"]
        explanation = Explanation(
            np.array([[1, 2, 3], [4, np.nan, np.nan]]), molecules=smiles
        )
        assert explanation.molecules == tuple(smiles)
        assert explanation.element_names == (("O", "C", "C"), ("O",))
        assert "OCC" in explanation._repr_html_()

    def test_a_molecule_and_a_grid_are_drawn(self, chem, tmp_path):
        mols = [chem.MolFromSmiles(s) for s in ("CCO", "c1ccccc1N")]
        grid = self.of_mols(mols)
        assert grid.plot().count("</svg>") == 1
        one = dataclasses.replace(grid[1], scores=np.array([2.5]))
        one.plot(save_filepath=tmp_path / "x.svg")
        assert "f(x) = 2.5" in (tmp_path / "x.svg").read_text()
        of_smiles = grid.plot(visualizer=SmilesVisualizer())
        assert of_smiles == grid.plot(visualizer=MolVisualizer()) == grid.plot()
        bare = Explanation(grid.values)
        assert bare.plot(mols=mols) == dataclasses.replace(grid, molecules=mols).plot()
        with pytest.raises(ValueError, match=r"needs molecules.*mols="):
            bare.plot("molecule")

    def test_molecules_that_do_not_fit(self, chem):
        with pytest.raises(ValueError, match="'C1' cannot be read"):
            Explanation(np.zeros((1, 1)), molecules=["C1"])
        with pytest.raises(ValueError, match=r"an atom for each of the 4 .* got 3"):
            Explanation(np.zeros((1, 4)), molecules=["CCO"])
        with pytest.raises(TypeError, match="got int among them"):
            Explanation(np.zeros((1, 4)), molecules=[3])
        with pytest.raises(TypeError, match="must be a list of SMILES"):
            Explanation(np.zeros((1, 4)), molecules="CCO")
        with pytest.raises(ValueError, match="there are no molecules"):
            Explanation(np.zeros((1, 4))).to_mols()


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

    def test_without_pandas_it_says_what_to_install(self, explanation, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
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

    @pytest.mark.large
    def test_a_data_set_is_a_beeswarm(self, explanation, tmp_path):
        figure = explanation.plot(save_filepath=tmp_path / "x.png")
        assert isinstance(figure, Figure)
        order = np.argsort(-abs(explanation.values).mean(axis=0))
        assert self.labels(figure) == [NAMES[i] for i in order]
        assert (tmp_path / "x.png").stat().st_size > 1000

    def test_one_class_is_in_the_title(self, explanation):
        figure = explanation[explanation.classes == 1].plot()
        assert "<yes>" in figure.axes[0].get_title()

    @pytest.mark.large
    def test_one_example_is_bars_of_its_values(self, explanation):
        figure = explanation[3].plot()
        widths = [bar.get_width() for bar in figure.axes[0].patches]
        values = explanation.values[3]
        expected = values[np.argsort(-abs(values))]
        np.testing.assert_allclose(widths, expected, rtol=1e-6)
        title = figure.axes[0].get_title()
        score = f"{explanation.scores[3]:.3g}".replace("-", "\N{MINUS SIGN}")
        assert f"f(x) = {score}, base value 0.5" in title

    def test_bars_of_a_data_set_are_mean_magnitudes(self, explanation):
        one_class = explanation[explanation.classes == 1]
        figure = one_class.plot("bar", title="Mine")
        widths = sorted(bar.get_width() for bar in figure.axes[0].patches)
        expected = sorted(abs(one_class.values).mean(axis=0))
        np.testing.assert_allclose(widths, expected, rtol=1e-6)
        assert figure.axes[0].get_title() == "Mine"

    def test_groups_are_drawn(self, explanation):
        assert "colour" in self.labels(explanation.grouped(GROUPS).plot())

    def test_dependence_is_of_a_feature_with_values(self, explanation):
        strong = dataclasses.replace(explanation, values=explanation.values.copy())
        strong.values[:, 1:3] = 100
        figure = strong.grouped(GROUPS).plot("dependence")
        assert figure.axes[0].get_ylabel() in ("score of age", "score of weight")
        whole = strong.plot("dependence")
        assert whole.axes[0].get_ylabel() in ("score of red", "score of green")

    def test_images(self):
        rng = np.random.default_rng(0)
        images = rng.normal(size=(2, 3, 8, 8))
        maps = Explanation(images.sum(axis=1), data=images)
        assert isinstance(maps[0].plot(), Figure)
        with pytest.raises(
            ValueError, match=r"pass images to explain, or plot\(images"
        ):
            maps.plot()
        photographs = [Image.new("RGB", (9, 9), color) for color in ("red", "blue")]
        grid = maps.plot(images=photographs).axes
        shown = [ax.images[0].get_array()[0, 0] for ax in grid[::2][:2]]
        np.testing.assert_allclose(np.asarray(shown), [[1, 0, 0], [0, 0, 1]])
        with pytest.raises(ValueError, match="each of the 2 examples, got 1"):
            maps.plot(images=photographs[:1])

    @pytest.mark.parametrize("n", [1, 2])
    def test_one_limit_is_the_same_for_strong_and_for_weak_maps(self, n):
        weak = Explanation(np.linspace(-1, 1, n * 56).reshape(n, 7, 8))
        strong = dataclasses.replace(weak, values=10 * weak.values)
        photographs = [Image.new("L", (8, 7))] * n
        strongest = []
        for maps in (weak, strong):
            figure = maps.plot(images=photographs, mode="heatmap", limit=20)
            shown = [ax.images[0] for ax in figure.axes if ax.images]
            shown = [one for one in shown if one.get_array().ndim == 2]
            assert {one.get_clim() for one in shown} >= {(-20, 20)}
            strongest.append(max(abs(one.get_array()).max() for one in shown))
        np.testing.assert_allclose(strongest, [1, 10])

    def test_photographs_lie_under_their_maps(self):
        rng = np.random.default_rng(0)
        photographs = [Image.new(mode, (9, 7), 200) for mode in ("L", "P")]
        photographs.append(rng.random((3, 7, 9)))
        maps = Explanation(
            rng.normal(size=(3, 2, 7, 9)),
            classes=np.tile([0, 1], (3, 1)),
            class_names=["cat", "dog"],
            images=photographs,
        )
        assert [image.shape for image in maps.images] == [
            (7, 9, 3),
            (7, 9, 4),
            (3, 7, 9),
        ]
        titles = [ax.get_title() for ax in maps.plot().axes]
        assert titles[:3] == ["image", "cat", "dog"]
        one = maps[1, "dog"]
        assert len(one.images) == 1 and one.plot().axes[0].get_title().endswith("dog")

    def test_classes_of_one_name_are_two(self):
        """As two cranes of ImageNet are."""
        values = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
        kinds = {"classes": np.tile([0, 1, 2], (2, 1)), "class_names": ["ox", "ox", ""]}
        maps = Explanation(values, images=[np.zeros((4, 5))] * 2, **kinds)
        axes = maps.plot(mode="heatmap").axes
        assert [ax.get_title() for ax in axes[:4]] == ["image", "ox", "1: ox", ""]
        for ax, of_class in zip(axes[1:4], values[0]):
            np.testing.assert_allclose(ax.images[0].get_array(), of_class)

        words = Explanation(values[..., 0], element_names=[[*"abcd"]] * 2, **kinds)
        labels = [text.get_text() for text in words.plot().axes[0].texts]
        assert labels.count("ox") == labels.count("1: ox") == 2

        table = Explanation(values[:, 0, 0], classes=[0, 1], class_names=["ox", "ox"])
        titles = [ax.get_title() for ax in table.plot("bar").axes]
        assert titles[:2] == ["ox (1 example)", "1: ox (1 example)"]

    def test_data_in_the_range_of_colours_is_a_picture(self):
        images = np.random.default_rng(0).random((2, 3, 8, 8))
        grid = Explanation(images - 0.5, data=images).plot().axes
        shown = grid[0].images[0].get_array()
        np.testing.assert_allclose(shown, images[0].transpose(1, 2, 0))

    @pytest.mark.parametrize(
        ("images", "error", "message"),
        [
            ([np.zeros((4, 4))], ValueError, "images must hold one for each of the 2"),
            ([np.zeros((4, 4), int)] * 2, TypeError, "of uint8 or of floats"),
            ([Image.new("I", (4, 4), -3)] * 2, ValueError, "mode 'I', got -3 to -3"),
            ("photo.jpg", TypeError, "a list or an array of images"),
        ],
    )
    def test_images_that_do_not_fit(self, images, error, message):
        with pytest.raises(error, match=message):
            Explanation(np.zeros((2, 4, 4)), images=images)

    def test_deep_images_keep_their_greys(self):
        grey = np.linspace(0, 1, 16).reshape(4, 4)
        deep = Image.fromarray((65535 * grey).astype(np.uint16))
        (kept,) = Explanation(np.zeros((1, 4, 4)), images=[deep]).images
        np.testing.assert_allclose(kept, grey, atol=1e-4)

    def test_what_cannot_be_drawn(self, explanation):
        with pytest.raises(ValueError, match="kind must be one of 'bar'"):
            explanation.plot("cascade")
        with pytest.raises(ValueError, match="plot cannot tell"):
            Explanation(np.zeros((2, 3, 4))).plot()
        with pytest.raises(ValueError, match="colours dots by the data"):
            Explanation(np.zeros((2, 3))).plot("beeswarm")
        with pytest.raises(ValueError, match="no examples"):
            explanation[[]].plot()

    def test_a_visualizer_of_ones_own_draws(self, explanation):
        class Titled(TableVisualizer):
            def visualize_summary(self, *args, **kwargs):
                return super().visualize_summary(*args, **{**kwargs, "title": "Mine"})

        one_class = explanation[explanation.classes == 1]
        figure = one_class.plot(visualizer=Titled())
        assert figure.axes[0].get_title() == "Mine"
        assert "<yes>" in one_class.plot().axes[0].get_title()

    def test_the_visualizer_decides_on_the_kind(self, explanation, texts):
        assert texts.plot(visualizer=TextVisualizer()).axes
        with pytest.raises(ValueError, match=r"kind must be one of 'text', got 'bar'"):
            texts.plot("bar", visualizer=TextVisualizer())
        with pytest.raises(TypeError, match="visualizer must be a TableVisualizer, "):
            explanation.plot(visualizer=FilterVisualizer())


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


def test_shap_has_classes_last(of_classes):
    shap = pytest.importorskip("shap")
    converted = of_classes.to_shap()
    assert converted.shape == (6, 4, 3)
    for c, name in enumerate(of_classes.class_names):
        one = converted[:, :, name]
        np.testing.assert_array_equal(one.values, of_classes.values[:, c])
        np.testing.assert_array_equal(one.base_values, of_classes.base_values[:, c])
        np.testing.assert_array_equal(one.data, of_classes.data)
    with matplotlib.rc_context({"backend": "agg"}):
        shap.plots.waterfall(converted[2, :, "virginica"], show=False)
        from matplotlib import pyplot

        pyplot.close("all")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"values": np.float32(1)}, ValueError, "axis for the examples"),
        ({"errors": np.zeros((2, 2))}, ValueError, "errors must have the shape"),
        ({"scores": np.zeros(3)}, ValueError, "scores must have one row"),
        ({"scores": np.zeros((2, 1))}, ValueError, "scores must have one row"),
        (
            {"classes": np.zeros((2, 2), int)},
            ValueError,
            r"\(N, n_class\) of the first",
        ),
        ({"classes": np.int64(1)}, ValueError, "classes must have one row"),
        (
            {"classes": np.zeros((2, 3), int), "scores": np.zeros(2)},
            ValueError,
            "a column for each of the 3 classes",
        ),
        ({"classes": np.zeros(2)}, TypeError, "classes must hold integers"),
        ({"values": np.array([["a"]])}, TypeError, "values must hold real numbers"),
        ({"feature_names": ["a"]}, ValueError, "feature_names must have one name"),
        ({"n_sample": 0}, ValueError, "n_sample"),
    ],
)
def test_arguments_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        Explanation(**{"values": np.zeros((2, 3)), **arguments})


def test_features_outside_of_groups_stay_apart_although_two_have_one_name():
    explanation = Explanation(
        np.array([[1.0, 2, 10, 20]]),
        data=np.array([[1.0, 2, 3, 4]]),
        feature_names=["a", "c", "b", "b"],
    )
    grouped = explanation.grouped({"g": ["a"]})
    assert grouped.feature_names == ("g", "c", "b", "b")
    np.testing.assert_array_equal(grouped.values, [[1, 2, 10, 20]])
    np.testing.assert_array_equal(grouped.data, [[np.nan, 2, 3, 4]])
    with pytest.raises(ValueError, match="'c' would be a group and a feature outside"):
        explanation.grouped({"c": ["a"]})


@pytest.mark.parametrize(
    ("dtype", "wider"), [(np.float16, "float32"), (np.float32, "float64")]
)
def test_a_sum_beyond_its_dtype_is_told_a_wider_one(dtype, wider):
    largest = Explanation(np.full((1, 2), np.finfo(dtype).max))
    with pytest.raises(ValueError, match=f"compute in {wider}, .*{wider}"):
        largest.grouped({"g": ["0", "1"]})


def test_a_group_beyond_its_dtype_is_an_error():
    explanation = Explanation(np.full((2, 3), 40000, np.float16))
    with pytest.raises(ValueError, match="a group's value is 80000, but the largest"):
        explanation.grouped({"g": ["0", "1"]})


@pytest.mark.parametrize("key", [[[0, 1], [2, 3]], True, np.bool_(False), [[True]]])
def test_what_examples_are_not_indexed_by(key):
    explanation = Explanation(np.arange(20.0).reshape(5, 4), index=[*"abcde"])
    with pytest.raises(IndexError, match="examples are an int, a slice, or an array"):
        explanation[key]


def test_one_number_for_each_example_can_be_drawn():
    explanation = Explanation(
        np.arange(5.0), data=np.arange(5.0), feature_names=["only"]
    )
    assert isinstance(explanation.plot(), Figure)

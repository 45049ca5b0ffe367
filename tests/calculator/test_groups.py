"""Groups of elements, explained by feature ablation and beside explicit loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import saliency
from saliency import (
    FeatureAblationCalculator,
    GaussianBlur,
    ShapleyCalculator,
    Superpixels,
    VariableMonitorLinkHook,
    atom_groups,
    list_examples,
    one_hot_groups,
)
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


def interacting(v):
    """A function of all elements together, two columns for each example."""
    v = F.reshape(v, (len(v), -1))
    place = np.arange(1, v.shape[1] + 1.0)
    y = F.sum(F.sin(v * place), axis=1) + F.sum(v, axis=1) ** 2
    return F.stack([y, F.tanh(y)], axis=1)


def falls(f, x, numbers, baseline):
    """Returns by how much f falls without the group that each element is in."""
    result = np.zeros_like(x)
    for i, row in enumerate(x):
        groups = np.broadcast_to(numbers[i], row.shape)
        for group in set(groups[groups >= 0].tolist()):
            absent = np.where(groups == group, baseline[i], row)
            fall = f(row[None]).array[0, 0] - f(absent[None]).array[0, 0]
            result[i][groups == group] = fall
    return result


SHAPES = [(3, 5), (2, 4, 3), (2, 2, 3, 4)]


class TestForms:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("is_of_examples", [False, True])
    def test_an_array_of_numbers(self, shape, is_of_examples):
        rng = np.random.default_rng(len(shape))
        x = rng.standard_normal(shape)
        groups = rng.integers(-2, 4, shape if is_of_examples else shape[1:])
        calculator = FeatureAblationCalculator(
            interacting, class_index=0, groups=groups, baseline="mean", per="group"
        )
        (found,) = calculator.compute(x)
        numbers = np.broadcast_to(groups, shape)
        mean = np.broadcast_to(x.mean(axis=0), shape)
        assert_allclose(found, falls(interacting, x, numbers, mean), atol=1e-12)
        # Divided among the elements, they add up to the same values.
        (shared,) = calculator.replace(per="element").compute(x)
        for i, own in enumerate(numbers):
            for group in set(own[own >= 0].tolist()):
                value = found[i][own == group]
                assert_allclose(shared[i][own == group].sum(), value[0], atol=1e-12)
                assert np.ptp(shared[i][own == group]) == 0
        assert (shared[numbers < 0] == 0).all()

    def test_without_groups_they_are_columns_positions_and_pixels(self):
        rng = np.random.default_rng(0)
        groups = [
            np.arange(5),
            np.arange(4)[:, None],
            np.arange(12).reshape(1, 3, 4),
        ]
        for shape, expected in zip(SHAPES, groups):
            x = rng.standard_normal(shape)
            calculator = FeatureAblationCalculator(interacting, class_index=0)
            assert_array_equal(
                calculator.compute(x), calculator.replace(groups=expected).compute(x)
            )

    def test_columns_by_name_and_by_position(self):
        model = build(MLP)
        frame = pd.DataFrame(
            np.random.default_rng(0).standard_normal((3, 4)), columns=list("abcd")
        )
        by_name = FeatureAblationCalculator(
            model, class_index=0, groups={"both": ["d", "b"]}
        )
        (found,) = by_name.compute(frame)
        by_position = by_name.replace(groups={"both": [3, 1]})
        by_number = by_name.replace(groups=np.array([0, 1, 2, 1]))
        assert_array_equal(found, by_position.compute(frame)[0])
        assert_array_equal(found, by_position.compute(frame.to_numpy())[0])
        assert_array_equal(found, by_number.compute(frame)[0])
        explained = by_name.explain(frame, groups={"both": ["d", "b"]})
        assert explained.feature_names == ("a", "both", "c")
        assert_allclose(explained.values[:, 1], 2 * found[:, 1])

    @pytest.mark.parametrize(
        "groups, numbers",
        [
            ({"both": [0, 3]}, [0, 1, 2, 0]),
            ({"both": [1, 2]}, [0, 1, 1, 2]),
            ({"a": [0, 1]}, [0, 0, 1, 2]),
            ({"both": ["a"]}, [0, 1, 0, 2]),
            ({"both": ["a", "c"]}, [0, 1, 0, 0]),
        ],
        ids=str,
    )
    def test_columns_of_one_name(self, groups, numbers):
        """A position is that column alone, and a name all that have it."""
        frame = pd.DataFrame(
            np.random.default_rng(0).standard_normal((3, 4)), columns=list("abac")
        )
        calculator = FeatureAblationCalculator(
            build(MLP), class_index=0, groups=np.array(numbers)
        )
        expected = calculator.compute(frame)
        assert_array_equal(calculator.replace(groups=groups).compute(frame), expected)

    def test_columns_of_one_name_that_are_in_two_groups(self):
        frame = pd.DataFrame(np.ones((2, 3)), columns=list("aab"))
        for groups in ({"x": ["a"], "y": [1]}, {"x": [0], "y": [0]}, {"x": ["c"]}):
            calculator = FeatureAblationCalculator(F.identity, groups=groups)
            with pytest.raises(ValueError, match=r"groups.*(twice|got 'c')"):
                calculator.compute(frame)

    def test_a_function_of_the_targets_is_given_them_without_padding(self):
        lengths = []

        def first_and_rest(targets):
            lengths.append(targets.shape[1])
            return np.minimum(np.arange(targets.shape[1]), 1)[None, :, None]

        rng = np.random.default_rng(0)
        model = build(Embedded)
        data = [rng.integers(0, 5, n).astype("i") for n in (2, 4, 3)]
        calculator = FeatureAblationCalculator(
            model,
            VariableMonitorLinkHook(model.embed),
            class_index=0,
            groups=first_and_rest,
            per="group",
        )
        (found,) = calculator.compute(data, converter=list_examples)
        assert set(lengths) == {2, 3, 4}
        for row, example in zip(found, data):
            (alone,) = calculator.compute([example], converter=list_examples)
            assert_allclose(row[: len(example)], alone[0], atol=1e-12)
            assert_array_equal(row[2 : len(example)], row[1 : len(example) - 1])
            assert np.isnan(row[len(example) :]).all()

    def test_groups_of_several_targets_are_of_one_game(self):
        def product(v, w):
            return F.expand_dims(F.prod(v, axis=1) * F.sum(w, axis=1), 1)

        rng = np.random.default_rng(0)
        v, w = rng.standard_normal((2, 3)), rng.standard_normal((2, 4))
        calculator = ShapleyCalculator(
            product,
            targets=(0, 1),
            groups=(np.zeros(3, int), np.array([[0, 0, 1, 1], [2, 5, 5, 5]])),
            baseline=(0, 1),
        )
        of_v, of_w = calculator.compute((v, w))
        # v is all or nothing: with w at 1, it has 4; half of what w adds is its own.
        expected = v.prod(axis=1) * (4 + (w.sum(axis=1) - 4) / 2)
        assert_allclose(of_v[0].sum(axis=1), expected)
        own = [(w[0, :2] - 1).sum(), (w[0, 2:] - 1).sum()]
        assert_allclose(of_w[0, 0], np.repeat(own, 2) / 4 * v[0].prod())
        assert_allclose(of_w[0, 1, 0], (w[1, 0] - 1) / 2 * v[1].prod())

    def test_examples_with_different_numbers_of_groups(self):
        x = np.random.default_rng(0).standard_normal((3, 4))
        groups = np.array([[0, 0, 0, 0], [3, 1, 1, -1], [0, 1, 2, 3]])
        for method, n in (("exact", None), ("sampling", 60), ("kernel", None)):
            calculator = ShapleyCalculator(
                interacting,
                class_index=0,
                method=method,
                n_coalitions=n,
                groups=groups,
            )
            (found,) = calculator.compute(x, seed=0)
            for i in range(3):
                alone = calculator.replace(groups=groups[i])
                assert_allclose(
                    found[i], alone.compute(x[i : i + 1], seed=0)[0, 0], atol=1e-12
                )


class Embedded(chainer.Chain):
    """The sum over tokens of a nonlinear function, then another one."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(5, 3)
            self.out = L.Linear(3, 2)

    def forward(self, tokens):
        h = self.embed(F.concat(tokens, axis=0))
        ends = np.cumsum([len(t) for t in tokens])[:-1]
        parts = F.split_axis(F.tanh(h), ends, axis=0)
        return self.out(F.stack([F.sum(part, axis=0) ** 2 for part in parts]))


class TestErrors:
    x = np.ones((2, 3), np.float32)

    @pytest.mark.parametrize(
        ("groups", "error", "message"),
        [
            ("colour", TypeError, "groups must be None, an array of int, a dict"),
            (np.ones(3), TypeError, "groups must be None, an array of int, a dict"),
            ({"a": "b"}, TypeError, "must hold a list of columns"),
            ({"a": [3]}, ValueError, r"positions in 0\.\.2; got 3"),
            ({"a": ["x"]}, ValueError, "must hold names of features"),
            (np.zeros(4, int), ValueError, r"of the shape \(3,\) of one example"),
            (np.zeros((3, 3), int), ValueError, "for each of the 2 examples"),
            (np.full(3, -1), ValueError, "at least one group"),
            (lambda v: np.zeros(3), ValueError, "must return an array of int"),
        ],
    )
    def test_what_is_no_group(self, groups, error, message):
        with pytest.raises(error, match=message):
            FeatureAblationCalculator(
                lambda v: v, class_index=0, groups=groups
            ).compute(self.x)

    def test_how_elements_get_values(self):
        with pytest.raises(ValueError, match="per must be one of 'element', 'group'"):
            FeatureAblationCalculator(interacting, per="elements")


class TestCaptum:
    """Captum 0.9 gave these, in float64, for the network below.

    ``FeatureAblation(model).attribute(x, baselines=0.5, target=1, feature_mask=mask)``
    and the same of ``ShapleyValues``, which rounds to float32.
    """

    x = np.sin(np.arange(18.0).reshape(3, 6) * 1.7)
    mask = np.array([0, 1, 0, 2, 2, 3])
    ablation = (
        [-0.09055817, 0.02262448, -0.09055817, -1.29738651, -1.29738651, -0.08163816],
        [1.64122166, 0.67220216, 1.64122166, 0.08785793, 0.08785793, 0.23451092],
        [-1.46482803, 0.42630195, -1.46482803, 0.16237720, 0.16237720, 0.32512639],
    )
    shapley = (
        [0.07502005, -0.18040949, 0.07502005, -1.3644543, -1.3644543, -0.10685601],
        [1.2679107, 0.5237344, 1.2679107, -0.73937106, -0.73937106, 0.21007453],
        [-1.5162245, 0.39353356, -1.5162245, 0.12915187, 0.12915187, 0.40981045],
    )

    @staticmethod
    def model(v):
        h = F.tanh(F.linear(v, np.cos(np.arange(24.0).reshape(4, 6))))
        return F.linear(h, np.sin(np.arange(8.0).reshape(2, 4)))

    @pytest.mark.parametrize(
        ("calculator", "expected"),
        [
            (FeatureAblationCalculator, ablation),
            (ShapleyCalculator, shapley),
        ],
    )
    def test_gives_the_same(self, calculator, expected):
        settings = {"groups": self.mask, "baseline": 0.5, "per": "group"}
        found = calculator(self.model, class_index=1, **settings).compute(self.x)
        assert_allclose(found[0], expected, atol=1e-6)


class TestOneHot:
    def test_names_that_begin_alike_and_one_of_which_is_1(self):
        table = pd.DataFrame(
            {
                "size_cm": [1.0, 2.0, 0.5],
                "colour_red": [1, 0, 0],
                "colour_green": [0, 1, 0],  # the third has a category that was dropped
                "home_town_Bonn": [True, False, True],
                "home_town_Oslo": [False, True, False],
                "home_owner": [1, 1, 0],
                "is_new": [1, 0, 1],
                "is_large": [1, 0, 0],
                "colour": [0, 0, 1],
            }
        )
        assert one_hot_groups(table) == {
            "colour": ["colour_red", "colour_green"],
            "home_town": ["home_town_Bonn", "home_town_Oslo"],
        }
        table.columns = [name.replace("_", "=") for name in table.columns]
        assert list(one_hot_groups(table, "=")) == ["colour", "home=town"]

    def test_what_is_no_table(self):
        with pytest.raises(TypeError, match="table must be a DataFrame"):
            one_hot_groups(np.zeros((2, 2)))
        with pytest.raises(ValueError, match="separator must not be empty"):
            one_hot_groups(pd.DataFrame({"a": [1]}), "")


class TestSuperpixels:
    def test_rectangles(self):
        images = np.zeros((2, 3, 6, 8))
        found = Superpixels(12, method="grid")(images)
        assert found.shape == (2, 1, 6, 8)
        expected = np.arange(12).reshape(3, 4).repeat(2, axis=0).repeat(2, axis=1)
        assert_array_equal(found, np.broadcast_to(expected, (2, 1, 6, 8)))

    def test_they_are_explained_in_the_place_of_pixels(self):
        x = np.random.default_rng(0).standard_normal((2, 2, 4, 4))
        groups = Superpixels(4, method="grid")
        calculator = ShapleyCalculator(
            interacting, class_index=1, groups=groups, baseline=GaussianBlur(2)
        )
        explained = calculator.explain(x, ch_axis=2)
        array = calculator.replace(groups=groups(x))
        assert_array_equal(explained.values, array.explain(x, ch_axis=2).values)
        of_quarters = explained.values.reshape(2, 2, 2, 2, 2)
        assert (np.ptp(of_quarters, axis=(2, 4)) < 1e-12).all()
        assert repr(groups) in explained.calculator

    @pytest.mark.parametrize("shape", [(300, 2), (2, 300)])
    def test_narrow_images_have_no_more_than_asked_for(self, shape):
        found = Superpixels(16, method="grid")(np.zeros((1, 3, *shape)))
        assert len(np.unique(found)) == 16

    def test_without_scikit_image_they_are_rectangles(self, monkeypatch):
        monkeypatch.setattr(
            "saliency.calculator.masks.superpixels._has_skimage", lambda: False
        )
        with pytest.warns(UserWarning, match="scikit-image is not installed"):
            found = Superpixels(4)(np.zeros((1, 3, 4, 4)))
        assert found.max() == 3
        with pytest.raises(ImportError, match="scikit-image"):
            Superpixels(method="slic")

    @pytest.mark.parametrize("n_channel", [1, 2, 3])
    def test_slic_follows_colours(self, n_channel):
        pytest.importorskip("skimage")
        images = np.zeros((1, n_channel, 20, 20))
        images[:, :, 3:, 7:] = 5
        found = Superpixels(4, compactness=0.1, method="slic")(images)[0, 0]
        bright = set(found[3:, 7:].ravel().tolist())
        assert bright.isdisjoint(found[:3].ravel().tolist())
        assert bright.isdisjoint(found[:, :7].ravel().tolist())

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"n_segments": 0}, "n_segments must be an int >= 1"),
            ({"compactness": 0}, "compactness must be a finite number > 0"),
            ({"method": "squares"}, "method must be"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            Superpixels(**settings)
        with pytest.raises(ValueError, match="takes images"):
            Superpixels(method="grid")(np.zeros((3, 4)))


class TestAtoms:
    def test_the_groups_of_molecules_side_by_side(self):
        chem = pytest.importorskip("rdkit.Chem")
        found = atom_groups(["CCO", chem.MolFromSmiles("c1ccccc1C(=O)O")])
        assert found.shape == (2, 9, 1)
        assert found[0, :, 0].tolist() == [0, 0, 1] + [-1] * 6
        assert found[1, :, 0].tolist() == [0] * 6 + [1] * 3
        whole = atom_groups(["CCO"], lambda mol: [("all", (0, 1, 2))], n_atom=4)
        assert whole[0, :, 0].tolist() == [0, 0, 0, -1]
        with pytest.raises(ValueError, match="n_atom must be at least 3"):
            atom_groups(["CCO"], n_atom=2)

    def test_a_group_is_explained_as_one(self):
        pytest.importorskip("rdkit")
        network = saliency.load_logp_network()
        smiles = ["CCO", "CC(=O)Nc1ccc(O)cc1"]
        data = [network.prepare(one) for one in smiles]
        groups = atom_groups(smiles)
        calculator = FeatureAblationCalculator(
            network, VariableMonitorLinkHook(network.embed), groups=groups
        )
        found = calculator.explain(
            data, ch_axis=3, molecules=smiles, converter=network.converter
        )
        for row, numbers in zip(found.values, groups[:, :, 0]):
            assert np.isnan(row[numbers < 0]).all()
            for group in range(numbers.max() + 1):
                assert np.ptp(row[numbers == group]) < 1e-5

"""The forms in which data comes, and what is done to it on the way."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    DeepLiftShapCalculator,
    ExpectedGradientsCalculator,
    FeatureAblationCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
    PermutationCalculator,
    ShapleyCalculator,
    ShapleyInteractionCalculator,
)
from tests.calculator.every_calculator import (
    DISTURBANCES,
    every_calculator,
    every_calculator_with,
)
from tests.calculator.oracles import numerical_gradient, run
from tests.covering import every_pair, every_value
from tests.networks import MLP, Sequence, Tokens, TwoInputs, build

import chainer
import chainer.functions as F
from chainer.dataset import DatasetMixin, concat_examples
from chainer.datasets import DictDataset, SubDataset, TransformDataset, TupleDataset


class Examples(DatasetMixin):
    """A dataset that makes its examples one by one."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def get_example(self, i):
        example = tuple(array[i] for array in self.arrays)
        return example if len(example) > 1 else example[0]


FORMS = {
    "array": lambda x: x,
    "list_of_arrays": list,
    "list_of_lists": lambda x: x.tolist(),
    "tuple_of_one_array": lambda x: (x,),
    "tuple_dataset": TupleDataset,
    "dataset_mixin": Examples,
    "sub_dataset": lambda x: SubDataset(np.concatenate([x, x]), 0, len(x)),
    "transform_dataset": lambda x: TransformDataset(x / 2, lambda row: row * 2),
    "variable": chainer.Variable,
    "list_of_variables": lambda x: [chainer.Variable(row) for row in x],
    "list_of_tuples": lambda x: [(row,) for row in x],
    "fortran_order": np.asfortranarray,
    "view": lambda x: np.repeat(x, 2, axis=0)[::2],
    "read_only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
    "matrix": lambda x: x.view(np.matrix),
    "sparse": scipy.sparse.csr_matrix,
    "sparse_without_rows": scipy.sparse.coo_matrix,
}


@every_calculator_with(every_value, form=list(FORMS))
def test_forms_of_one_input(new_calculator, form, x):
    calculator = new_calculator(build(MLP, n_out=1))
    samples = calculator.compute(FORMS[form](x), batchsize=3, seed=0)
    assert_array_equal(samples, calculator.compute(x, batchsize=3, seed=0))


FORMS_OF_TWO = {
    "tuple_of_arrays": lambda x, z: (x, z),
    "tuple_of_variables": lambda x, z: (chainer.Variable(x), chainer.Variable(z)),
    "tuple_of_array_and_list": lambda x, z: (x, list(z)),
    "list_of_tuples": lambda x, z: list(zip(x, z)),
    "list_of_tuples_of_variables": lambda x, z: [
        (chainer.Variable(a), chainer.Variable(b)) for a, b in zip(x, z)
    ],
    "tuple_dataset": TupleDataset,
    "dataset_mixin": Examples,
}


@every_calculator_with(every_value, form=list(FORMS_OF_TWO))
def test_forms_of_two_inputs(new_calculator, form, x, rng):
    z = rng.normal(size=(7, 3))
    model = build(TwoInputs)
    calculator = new_calculator(model)
    samples = calculator.compute(FORMS_OF_TWO[form](x, z), batchsize=3, seed=0)
    assert_allclose(samples, calculator.compute((x, z), seed=0), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, bool, object], ids=str)
def test_arrays_side_by_side_are_their_examples_stacked(dtype, x):
    """With labels, flags or whatever else stands beside a table."""
    model, beside = build(MLP), np.arange(len(x)).astype(dtype)
    if dtype is object:
        for i in range(len(x)):
            beside[i] = np.array([i, 2.0])
    seen = []

    def chosen(v, t):
        seen.append((t.dtype, t.shape[1:]))
        return model(v)[:, 0] * (1 + t.astype("d").reshape(len(t), -1).sum(axis=1))

    calculator = GradientCalculator(model, eval_fun=chosen)
    samples = calculator.compute((x, beside), batchsize=3)
    n_pass = len(seen)
    one_by_one = calculator.compute([*zip(x, beside)], batchsize=3)
    assert_array_equal(samples, one_by_one)
    assert seen[:n_pass] == seen[n_pass:]


class TestDtype:
    """Floats come in the dtype of the model's parameters."""

    @pytest.mark.parametrize("of_model", [np.float32, np.float64], ids=str)
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
    def test_is_that_of_the_model(self, of_model, dtype, x):
        calculator = GradientCalculator(build(MLP, n_out=1, dtype=of_model))
        samples = calculator.compute(x.astype(dtype), retain_inputs=True)
        assert samples.dtype == calculator.inputs[0].dtype == of_model
        expected = calculator.compute(x.astype(dtype).astype(of_model))
        assert_array_equal(samples, expected)

    @pytest.mark.filterwarnings("error")
    def test_without_a_warning(self, x):
        """Nobody chose float64: it is what NumPy and pandas make."""
        samples = GradientCalculator(build(MLP, n_out=1, dtype=np.float32)).compute(x)
        assert samples.dtype == np.float32

    @pytest.mark.parametrize("form", ["list", "tuples", "preprocess_fn", "nested"])
    def test_in_every_form(self, form, x, rng):
        model = build(TwoInputs, dtype=np.float32)
        z = rng.normal(size=(7, 3))
        how, eval_fun = {}, None
        data = {
            "list": [*zip(x.tolist(), z.tolist())],
            "tuples": (x, z.astype(np.float16)),
            "preprocess_fn": x,
            "nested": x,
        }[form]
        if form == "preprocess_fn":
            how["preprocess_fn"] = lambda v: (v.astype("d"), np.ones((len(v), 3)))
        if form == "nested":
            how["preprocess_fn"] = lambda v: (v, [np.ones((len(v), 3))])
            eval_fun = lambda v, zs: model(v, zs[0])  # noqa: E731
        samples = GradientCalculator(model, eval_fun=eval_fun).compute(data, **how)
        assert samples.dtype == np.float32

    def test_integers_stay(self, x):
        model, seen = build(MLP, dtype=np.float32), []

        def chosen(v, t):
            seen.append(t.dtype)
            return F.select_item(model(v), t)

        t = np.arange(7, dtype=np.int16) % 3
        GradientCalculator(model, eval_fun=chosen).compute((x, t))
        assert set(seen) == {np.dtype(np.int16)}

    def test_stays_where_the_model_has_none_or_several(self, x):
        both = chainer.Chain(a=build(MLP, n_out=1), b=build(MLP, dtype=np.float32))
        for model in (both, lambda v: both.a(v)):
            calculator = GradientCalculator(model, eval_fun=lambda v: both.a(v))
            assert calculator.compute(x).dtype == np.float64

    def test_stays_where_chainer_mixes_them(self, x):
        model = build(MLP, n_out=1, dtype=np.float32)
        calculator = GradientCalculator(
            model, eval_fun=lambda v: model(F.cast(v, np.float32))
        )
        with chainer.using_config("dtype", chainer.mixed16):
            assert calculator.compute(x.astype(np.float16)).dtype == np.float16

    def test_what_it_cannot_hold_is_refused(self, x):
        x[2, 1] = 1e300
        calculator = GradientCalculator(build(MLP, n_out=1, dtype=np.float32))
        with pytest.raises(ValueError, match=r"data must fit.*float32.*1e\+300"):
            calculator.compute(x)


@pytest.mark.parametrize(
    "data", [["a good film", "a bad one"], np.array(["good", "bad"]), [["a", 1.0]]]
)
def test_texts(data):
    calculator = GradientCalculator(build(MLP, n_out=1))
    with pytest.raises(TypeError, match=r"must be numeric, got the str 'a?.*converter"):
        calculator.compute(data)

    def lengths(examples, device):
        return np.array([[len(str(x)), 1, 1, 1] for x in examples], np.float32)

    assert calculator.compute(data, converter=lengths).shape == (1, len(data), 4)


@pytest.mark.parametrize("kind", [GradientCalculator, FeatureAblationCalculator])
def test_complex_numbers(kind, x):
    with pytest.raises(TypeError, match=r"must be of real numbers, got.*complex128"):
        kind(build(MLP, n_out=1)).compute(x + 1j)


class TestPandas:
    @pytest.fixture
    def pandas(self):
        return pytest.importorskip("pandas", reason="needs pandas: pip install pandas")

    @every_calculator
    def test_a_data_frame(self, new_calculator, pandas, x):
        calculator = new_calculator(build(MLP, n_out=1))
        frame = pandas.DataFrame(x, columns=[*"abcd"], index=[*"tuvwxyz"])
        samples = calculator.compute(frame, batchsize=3, seed=0)
        assert_array_equal(samples, calculator.compute(x, batchsize=3, seed=0))

    def test_columns_of_several_numeric_dtypes(self, pandas, x):
        calculator = GradientCalculator(build(MLP, n_out=1))
        frame = pandas.DataFrame(
            {"a": x[:, 0], "b": range(7), "c": x[:, 2] > 0, "d": pandas.array(range(7))}
        )
        assert str(frame["d"].dtype) == "Int64"
        samples = calculator.compute(frame)
        expected = calculator.compute(frame.to_numpy(dtype="d"))
        assert_array_equal(samples, expected)

    def test_float32_stays(self, pandas, x):
        frame = pandas.DataFrame(x.astype(np.float32))
        samples = GradientCalculator(lambda v: F.sum(v**2, axis=1)).compute(frame)
        assert samples.dtype == np.float32

    def test_a_series_of_labels_keeps_its_dtype(self, pandas, x):
        model = build(MLP)
        t = np.arange(7) % 3
        calculator = GradientCalculator(
            model, eval_fun=lambda v, t: F.select_item(model(v), t)
        )
        samples = calculator.compute((pandas.DataFrame(x), pandas.Series(t)))
        assert_array_equal(samples, calculator.compute((x, t)))

    def test_rows_as_examples(self, pandas, x):
        calculator = GradientCalculator(build(MLP, n_out=1))
        rows = [row for _, row in pandas.DataFrame(x).iterrows()]
        assert_array_equal(calculator.compute(rows), calculator.compute(x))

    def test_columns_that_are_no_numbers(self, pandas, x):
        frame = pandas.DataFrame(x, columns=[*"abcd"])
        frame["name"] = "iris"
        frame["kind"] = pandas.Categorical(["setosa"] * 7)
        calculator = GradientCalculator(build(MLP, n_out=1))
        with pytest.raises(TypeError, match=r"columns 'name', 'kind'; drop.*columns="):
            calculator.compute(frame)
        with pytest.raises(TypeError, match=r"Series 'name' is of dtype"):
            calculator.compute((x, frame["name"]))
        with pytest.raises(TypeError, match=r"columns 'a'; drop"):
            calculator.compute(pandas.DataFrame({"a": x[:, 0] + 1j, "b": x[:, 1]}))

    def test_a_model_may_name_its_columns(self, pandas, x):
        model = build(MLP, n_out=1)
        model.column_names = [*"abcd"]
        frame = pandas.DataFrame(x, columns=[*"abcd"])
        wrong = r"data must have the columns.* 'a', 'b', 'c', 'd'; got 'b', 'a', 'd', "
        for eval_fun in (None, model.forward, lambda v: model(v) * 2):
            calculator = GradientCalculator(model, eval_fun=eval_fun)
            expected = calculator.compute(x)
            assert_array_equal(calculator.compute(frame), expected)
            for call in (calculator.compute, calculator.explain):
                with pytest.raises(ValueError, match=wrong):
                    call(frame[[*"badc"]])
            # A table without names, or one that the user's function turns round.
            assert_array_equal(calculator.compute(pandas.DataFrame(x)), expected)
            turned = calculator.compute(
                frame[[*"badc"]], preprocess_fn=lambda v: v[:, [1, 0, 3, 2]]
            )
            assert_array_equal(turned, expected)

    @pytest.mark.parametrize("name", ["baseline", "background"])
    def test_a_setting_has_the_columns_of_the_data(self, pandas, x, name):
        frame = pandas.DataFrame(x, columns=[*"abcd"])
        calculator = ShapleyCalculator(build(MLP, n_out=1), baseline=None)
        expected = calculator.replace(**{name: x[:1]}).compute(frame)
        rows = [frame[:1], pandas.DataFrame(x[:1])]
        turned = [frame[[*"badc"]][:1], frame.rename(columns={"a": "e"})[:1]]
        if name == "baseline":
            rows.append(frame.loc[0])
            turned.append(frame[[*"badc"]].loc[0])
        for row in rows:
            samples = calculator.replace(**{name: row}).compute(frame)
            assert_array_equal(samples, expected)
        for row in turned:
            calculator = calculator.replace(**{name: row})
            with pytest.raises(ValueError, match=rf"{name} must have the columns of"):
                calculator.compute(frame)
            for unnamed in (x, pandas.DataFrame(x)):  # nothing to be compared with
                calculator.compute(unnamed)

    def test_a_series_of_classes_belongs_to_rows(self, pandas, x):
        frame = pandas.DataFrame(x[:4], columns=[*"abcd"])
        classes = pandas.Series([0, 1, 2, 1], index=[*"badc"])
        calculator = GradientCalculator(build(MLP), class_index=classes)
        samples = calculator.compute(frame)
        expected = calculator.replace(class_index=[0, 1, 2, 1]).compute(x[:4])
        assert_array_equal(samples, expected)

    def test_missing_values(self, pandas, x):
        frame = pandas.DataFrame(x)
        frame[3] = pandas.array([1, 2, None, 4, 5, 6, 7])
        calculator = GradientCalculator(build(MLP, n_out=1))
        with pytest.raises(ValueError, match=r"example 2 holds NaN.*\(3,\)"):
            calculator.compute(frame)


class TestOtherTables:
    """Tables of polars and of pyarrow, which need not be installed."""

    @pytest.fixture(params=["polars", "pyarrow"])
    def package(self, request):
        name = request.param
        return pytest.importorskip(name, reason=f"needs {name}: pip install {name}")

    @staticmethod
    def table(package, columns):
        make = package.table if package.__name__ == "pyarrow" else package.DataFrame
        return make(columns)

    @every_calculator
    def test_a_table(self, new_calculator, package, x):
        calculator = new_calculator(build(MLP, n_out=1))
        table = self.table(package, {name: x[:, i] for i, name in enumerate("abcd")})
        samples = calculator.compute(table, batchsize=3, seed=0)
        assert_array_equal(samples, calculator.compute(x, batchsize=3, seed=0))

    def test_columns_of_several_numeric_dtypes(self, package, x):
        columns = {"a": x[:, 0], "b": range(7), "c": x[:, 2] > 0, "d": x[:, 3].round()}
        calculator = GradientCalculator(build(MLP, n_out=1))
        table = self.table(
            package, {name: np.asarray(c).tolist() for name, c in columns.items()}
        )
        samples = calculator.compute(table)
        expected = np.stack([np.asarray(c, "d") for c in columns.values()], axis=1)
        assert_array_equal(samples, calculator.compute(expected))

    def test_names_of_columns(self, package, x):
        table = self.table(package, {"age": x[:, 0], "weight": x[:, 1]})
        calculator = GradientCalculator(lambda v: F.sum(v**2, axis=1))
        explanation = calculator.explain(table)
        assert explanation.feature_names == ("age", "weight")
        assert explanation.index is None

    def test_float32_stays(self, package, x):
        x = x[:, :2].astype(np.float32)
        table = self.table(package, {"a": x[:, 0], "b": x[:, 1]})
        samples = GradientCalculator(lambda v: F.sum(v**2, axis=1)).compute(table)
        assert samples.dtype == np.float32
        assert_allclose(samples[0], 2 * x)

    def test_a_column_of_labels_keeps_its_dtype(self, package, x):
        model = build(MLP)
        t = np.arange(7) % 3
        make = {"polars": "Series", "pyarrow": "array"}[package.__name__]
        calculator = GradientCalculator(
            model, eval_fun=lambda v, t: F.select_item(model(v), t)
        )
        samples = calculator.compute((x, getattr(package, make)(t)))
        assert_array_equal(samples, calculator.compute((x, t)))

    def test_columns_that_are_no_numbers(self, package, x):
        table = self.table(package, {"a": x[:, 0], "name": ["iris"] * 7, "b": x[:, 1]})
        calculator = GradientCalculator(build(MLP, n_out=1))
        with pytest.raises(TypeError, match=r"columns 'name'; drop .*\['name'\]\)"):
            calculator.compute(table)
        with pytest.raises(TypeError, match=r"data must be numeric, .* is of dtype"):
            calculator.compute((x, table["name"]))

    def test_missing_values(self, package, x):
        table = self.table(package, {"a": [1, 2, None, 4, 5, 6, 7], "b": x[:, 1]})
        calculator = GradientCalculator(lambda v: F.sum(v**2, axis=1))
        with pytest.raises(ValueError, match=r"example 2 holds NaN.*\(0,\)"):
            calculator.compute(table)

    def test_a_record_batch(self, x):
        pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
        table = pyarrow.table({name: x[:, i] for i, name in enumerate("abcd")})
        calculator = GradientCalculator(build(MLP, n_out=1))
        samples = calculator.compute(table.to_batches()[0])
        assert_array_equal(samples, calculator.compute(x))

    def test_a_lazy_frame_has_to_be_collected(self, x):
        polars = pytest.importorskip("polars", reason="needs polars")
        frame = polars.DataFrame(x).lazy()
        with pytest.raises(TypeError, match=r"pass data\.collect\(\)"):
            GradientCalculator(build(MLP, n_out=1)).compute(frame)


class OfNetCDF4:
    """An array on a disk that masks what is missing, as those of netCDF4 do."""

    def __init__(self, masked):
        self.shape, self.dtype, self._masked = masked.shape, masked.dtype, masked

    def __getitem__(self, rows):
        return self._masked[rows]


class TestMaskedArrays:
    """A masked element has no value, though there is a number in its memory."""

    forms = pytest.mark.parametrize(
        "form",
        [lambda z: z, lambda z: [*z], lambda z: (z, z), TupleDataset, OfNetCDF4],
        ids=["array", "list", "tuple", "dataset", "netCDF4"],
    )

    def calculator(self):
        return GradientCalculator(lambda v, *_: F.sum(v**2, axis=1))

    @forms
    @pytest.mark.parametrize("value", [1.0, np.nan])
    def test_with_masked_elements_are_refused(self, form, value, x):
        x[2, 1] = value
        masked = np.ma.masked_where(x == x[2, 1], x)
        masked[2, 1] = np.ma.masked
        with pytest.raises(
            ValueError, match=r"data must have a value.* 1 of .* masked"
        ):
            self.calculator().compute(form(masked))

    @forms
    def test_without_are_arrays(self, form, x):
        found = self.calculator().compute(form(np.ma.masked_array(x)))
        assert type(found) is np.ndarray
        assert_allclose(found[0], 2 * x)

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (IntegratedGradientsCalculator, "baseline"),
            (ExpectedGradientsCalculator, "background"),
            (OcclusionCalculator, "fill"),
        ],
    )
    def test_as_references_are_refused_too(self, kind, name, x):
        masked = np.ma.masked_array(x, x < 0)
        how = {"slide_axis": 1} if name == "fill" else {}
        with pytest.raises(ValueError, match=f"{name} must have a value for every"):
            kind(build(MLP, n_out=1), **{name: masked}, **how).compute(x)


def test_a_row_of_a_matrix_has_one_axis_as_that_of_an_array(x):
    calculator = GradientCalculator(lambda v: F.sum(v**3, axis=1))
    found = calculator.compute(x.view(np.matrix))
    assert_allclose(found[0], 3 * x**2)


@pytest.mark.parametrize(
    ("kind", "name", "how"),
    [
        (DeepLiftShapCalculator, "background", {}),
        (ExpectedGradientsCalculator, "background", {}),
        (PermutationCalculator, "background", {}),
        (ShapleyCalculator, "background", {}),
        (ShapleyInteractionCalculator, "background", {}),
        (FeatureAblationCalculator, "baseline", {}),
        (IntegratedGradientsCalculator, "baseline", {}),
        (OcclusionCalculator, "fill", {"slide_axis": 1}),
    ],
)
@pytest.mark.parametrize("n_row", [1, 7])
def test_sparse_references(kind, name, how, n_row, x):
    """Rows of a sparse table may be compared with others of it."""
    x[x < 0] = 0
    model = build(MLP, n_out=1)
    rows = x[::-1][:n_row]
    sparse = scipy.sparse.csr_matrix(rows)
    found = kind(model, **{name: sparse}, **how).compute(x, seed=0)
    assert_array_equal(found, kind(model, **{name: rows}, **how).compute(x, seed=0))


def test_a_sparse_matrix_is_explained_into_a_file(tmp_path, x):
    x[x < 0] = 0
    sparse = scipy.sparse.csr_matrix(x)
    calculator = GradientCalculator(build(MLP, n_out=1))
    found = calculator.compute_aggregate(sparse, out=tmp_path / "x.npy")
    # It is the same call, whose work is done.
    again = calculator.compute_aggregate(x, out=tmp_path / "x.npy")
    assert_array_equal(found, again)
    assert_array_equal(found, calculator.compute(x)[0])


def test_a_large_dataset_is_read_in_batches_and_in_order(x):
    read = []

    class Watched(Examples):
        def get_example(self, i):
            read.append(i)
            return super().get_example(i)

    GradientCalculator(build(MLP, n_out=1)).compute(Watched(x), M=3, batchsize=2)
    assert read == list(range(7))


def test_noise_and_paths_are_of_the_first_input_alone(x, rng):
    z, seen = rng.normal(size=(7, 3)), []
    model = build(TwoInputs)

    def watched(v, w):
        seen.append(w.array)
        return model(v, w)

    IntegratedGradientsCalculator(
        model, eval_fun=watched, steps=3, method="trapezoid"
    ).compute((x, z), M=2, batchsize=21, noise_sampler=GaussianNoiseSampler())
    assert_array_equal(np.concatenate(seen), np.tile(z, (6, 1)))


def test_inputs_may_be_of_different_dtypes(x):
    """Labels and other integers go along, without a gradient."""
    t = np.arange(7, dtype=np.int32) % 3
    model = build(MLP)
    samples = GradientCalculator(
        model, eval_fun=lambda v, t: F.select_item(model(v), t)
    ).compute((x, t), batchsize=3)
    chosen = GradientCalculator(model, class_index=t).compute(x)
    assert_allclose(samples, chosen)


class TestFunctionsOnTheWay:
    def test_converter_is_given_examples_and_device(self, x):
        seen = []

        def converter(examples, device):
            seen.append((len(examples), device))
            return np.stack(examples) * 2

        model = build(MLP, n_out=1)
        calculator = GradientCalculator(model)
        samples = calculator.compute(x, batchsize=3, converter=converter)
        assert_array_equal(samples, calculator.compute(x * 2, batchsize=3))
        assert [n for n, _ in seen] == [3, 3, 1]
        assert {device for _, device in seen} == {chainer.get_device("@numpy")}

    def test_a_converter_of_chainer_with_its_decorator(self, x):
        @chainer.dataset.converter()
        def converter(batch, device):
            return device.send(np.stack(batch))

        calculator = GradientCalculator(build(MLP, n_out=1))
        samples = calculator.compute(list(x), converter=converter)
        assert_array_equal(samples, calculator.compute(x))

    def test_preprocess_fn_makes_the_models_inputs(self, x):
        calculator = GradientCalculator(lambda v, w: F.sum(v * w, axis=1))
        samples = calculator.compute(
            x, batchsize=3, preprocess_fn=lambda v: (v, v**2), retain_inputs=True
        )
        assert_allclose(samples[0], x**2)
        assert_allclose(calculator.inputs[1], x**2)

    def test_preprocess_fn_is_given_arrays_and_may_return_a_variable(self, x):
        def preprocess(*inputs):
            assert all(type(v) is np.ndarray for v in inputs)
            return chainer.Variable(inputs[0] * 2)

        calculator = GradientCalculator(lambda v: F.sum(v**2, axis=1))
        assert_allclose(calculator.compute(x, preprocess_fn=preprocess)[0], 4 * x)

    @every_calculator
    def test_postprocess_fn_is_given_each_sample_of_each_batch(self, new_calculator, x):
        shapes = []

        def postprocess(saliency):
            assert type(saliency) is np.ndarray
            shapes.append(saliency.shape)
            return np.abs(saliency)

        calculator = new_calculator(build(MLP, n_out=1))
        how = {"M": 2, "batchsize": 4, "seed": 0}
        if "paths" in vars(calculator):
            calculator = calculator.paths
        processed = calculator.compute(x, postprocess_fn=postprocess, **how)
        assert_array_equal(processed, np.abs(calculator.compute(x, **how)))
        assert shapes == [(4, 4)] * 2 + [(3, 4)] * 2

    def test_postprocess_fn_may_change_the_shape(self, x):
        calculator = GradientCalculator(build(MLP, n_out=1))
        samples = calculator.compute(
            x, M=2, batchsize=3, postprocess_fn=lambda s: s.sum(axis=1)
        )
        assert_allclose(samples, calculator.compute(x, M=2).sum(axis=2))

    def test_dicts_are_put_in_order_by_preprocess_fn_or_refused(self, x):
        data = DictDataset(features=x)
        calculator = GradientCalculator(build(MLP, n_out=1))
        with pytest.raises(TypeError, match=r"dict.*preprocess_fn"):
            calculator.compute(data)
        samples = calculator.compute(
            data, converter=lambda batch, device: concat_examples(batch)["features"]
        )
        assert_array_equal(samples, calculator.compute(x))

    @pytest.mark.parametrize("form", ["DictDataset", "list"])
    def test_preprocess_fn_is_given_the_dict_of_a_batch(self, form, x, rng):
        z = rng.normal(size=(7, 3))
        data = DictDataset(second=z, first=x)
        kept = z.copy()

        def preprocess(batch):
            inputs = batch["first"], batch["second"].copy()
            batch["second"][:] = np.nan  # what it is given is its own
            return inputs

        calculator = GradientCalculator(build(TwoInputs), targets="all")
        samples = calculator.compute(
            data if form == "DictDataset" else list(data),
            batchsize=3,
            preprocess_fn=preprocess,
        )
        for found, expected in zip(samples, calculator.compute((x, z))):
            assert_allclose(found, expected)
        assert_array_equal(z, kept)


class Augmented(DatasetMixin):
    """Moves each example a little, by NumPy's global random numbers."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def get_example(self, i):
        return self.array[i] + np.random.normal(size=self.array.shape[1:])


THAT_DRAW = {
    "dataset": Augmented,
    "beside_an_array": lambda x: TupleDataset(Augmented(x), np.ones_like(x)),
    "transformed": lambda x: TransformDataset(
        x, lambda row: row + np.random.normal(size=row.shape)
    ),
}


class TestRandomNumbersOfADataset:
    @staticmethod
    def moved(data, x, **how):
        """Return by how much the examples were moved."""
        calculator = GradientCalculator(lambda v, *w: F.sum(v**2, axis=1))
        return calculator.compute(data, **how) / 2 - x

    @pytest.mark.parametrize("form", THAT_DRAW)
    def test_follow_the_seed_and_the_example_alone(self, form, x):
        data = THAT_DRAW[form](x)
        np.random.seed(4)
        before = repr(np.random.get_state())
        moved = self.moved(data, x, seed=3)
        for how in ({"batchsize": 1}, {"batchsize": 3}, {"M": 2, "batchsize": 100}):
            again = self.moved(data, x, seed=3, **how)
            assert_allclose(again, np.broadcast_to(moved, again.shape))
        assert repr(np.random.get_state()) == before
        assert np.unique(moved.round(12)).size == x.size  # not the same for all
        assert abs(self.moved(data, x, seed=2) - moved).min() > 0
        assert abs(self.moved(data, x) - self.moved(data, x)).min() > 0

    @pytest.mark.parametrize("where", ["model", "preprocess_fn"])
    def test_are_not_those_that_others_draw_beside_it(self, where, x):
        drawn = []

        def draw(v):
            drawn.append(np.random.normal(size=v.shape))
            return v

        how = {"preprocess_fn": draw} if where == "preprocess_fn" else {}
        model = draw if where == "model" else (lambda v: v)
        calculator = GradientCalculator(lambda v: F.sum(model(v) ** 2, axis=1))
        moved = calculator.compute(Augmented(x), batchsize=1, seed=3, **how)[0] / 2 - x
        for numbers in drawn:
            assert not np.isclose(numbers[0], moved).all(axis=1).any()

    def test_nor_are_those_of_preprocess_fn_those_of_the_model(self, x):
        drawn = {"preprocess_fn": [], "model": []}

        def draw(v, who):
            drawn[who].append(np.random.normal())
            return v

        calculator = GradientCalculator(lambda v: F.sum(draw(v, "model") ** 2, axis=1))
        calculator.compute(x, preprocess_fn=partial(draw, who="preprocess_fn"), seed=3)
        assert all(drawn.values())
        assert not {*drawn["preprocess_fn"]} & {*drawn["model"]}

    def test_are_the_same_in_each_pass_over_the_data(self, x):
        """So that a mean of the data is that of the examples that are explained."""
        model = build(MLP)
        calculator = IntegratedGradientsCalculator(
            model, class_index=0, baseline="mean", steps=30
        )
        explanation = calculator.explain(Augmented(x), batchsize=2)
        found = explanation.data
        mean = np.broadcast_to(found.mean(axis=0), found.shape)
        differences = (run(model, found) - run(model, mean))[:, 0]
        assert_allclose(explanation.values.sum(axis=1), differences, atol=1e-6)


class TestRetainInputs:
    @every_calculator_with(every_value, disturbance=DISTURBANCES)
    def test_keeps_what_the_model_was_called_with_before_noise(
        self, new_calculator, disturbance, x, rng
    ):
        z = rng.normal(size=(7, 3))
        calculator = new_calculator(build(TwoInputs))
        calculator = getattr(calculator, "paths", calculator)
        assert calculator.inputs is None
        calculator.compute((x, z), M=2, batchsize=3, retain_inputs=True, **disturbance)
        for kept, given in zip(calculator.inputs, (x, z)):
            assert type(kept) is np.ndarray
            assert_array_equal(kept, given)

    def test_kept_inputs_are_not_the_callers_arrays(self, x):
        calculator = GradientCalculator(build(MLP, n_out=1))
        calculator.compute(x, batchsize=100, retain_inputs=True)
        assert not np.shares_memory(calculator.inputs[0], x)

    def test_the_next_call_forgets_them(self, x):
        calculator = GradientCalculator(build(MLP, n_out=1))
        calculator.compute(x, retain_inputs=True)
        calculator.compute(x)
        assert calculator.inputs is None


padded = partial(concat_examples, padding=0)
LENGTHS = (2, 5, 3, 3, 1)

OF_SEQUENCES = {
    "gradient": GradientCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=3),
    "occlusion": partial(OcclusionCalculator, slide_axis=1),
    "occlusion_of_elements": partial(OcclusionCalculator, slide_axis=(1, 2)),
}


class TestExamplesOfDifferentLengths:
    """They come padded; saliency is NaN there, so as not to look like zero."""

    @pytest.fixture
    def sequences(self, rng):
        return [rng.normal(size=(n, 2)) for n in LENGTHS]

    @every_pair(
        new_calculator=OF_SEQUENCES, train=[False, True], batchsize=[1, 2, 3, 16]
    )
    def test_each_has_the_saliency_it_has_alone(
        self, new_calculator, train, batchsize, sequences
    ):
        calculator = new_calculator(build(Sequence))
        how = {"converter": padded, "seed": 0, "M": 2, "train": train}
        samples = calculator.compute(sequences, batchsize=batchsize, **how)
        assert samples.shape[:3] == (2, 5, max(LENGTHS))
        assert_array_equal(calculator.lengths, LENGTHS)
        for i, (sequence, n) in enumerate(zip(sequences, LENGTHS)):
            alone = calculator.compute(sequence[None], seed=0, M=2)
            assert_allclose(samples[:, [i], :n], alone, rtol=1e-9, atol=1e-13)
            assert np.isnan(samples[:, i, n:]).all()

    @pytest.mark.parametrize(
        ("new_calculator", "noise"),
        [
            (GradientCalculator, GaussianNoiseSampler("absolute", 0.1)),
            (GradientCalculator, GaussianNoiseSampler("relative", 0.1)),
            (partial(IntegratedGradientsCalculator, baseline=0.5), None),
            (partial(OcclusionCalculator, slide_axis=2, fill=0.5), None),
        ],
        ids=["absolute_noise", "relative_noise", "baseline", "fill"],
    )
    def test_padding_is_left_as_it_is(self, new_calculator, noise, sequences):
        """Otherwise an example's saliency would depend on its neighbours' lengths."""
        calculator = new_calculator(build(Sequence))
        one, two, all_ = (
            calculator.compute(
                sequences,
                converter=padded,
                batchsize=batchsize,
                noise_sampler=noise,
                seed=0,
            )
            for batchsize in (1, 2, 16)
        )
        assert_allclose(two, one, rtol=1e-9, atol=1e-13)
        assert_allclose(all_, one, rtol=1e-9, atol=1e-13)

    @pytest.mark.parametrize("batchsize", [2, 16])
    @pytest.mark.parametrize(("size", "stride"), [(2, 1), (2, 2), (3, 2)])
    def test_windows_are_those_of_each_alone(self, batchsize, size, stride, rng):
        """The last window ends with the example, not with the padding."""
        sequences = [rng.normal(size=(n, 2)) for n in (4, 7, 3, 5)]
        calculator = OcclusionCalculator(
            build(Sequence), slide_axis=1, size=size, stride=stride
        )
        samples = calculator.compute(sequences, converter=padded, batchsize=batchsize)
        for i, sequence in enumerate(sequences):
            alone = calculator.compute(sequence[None])
            assert_allclose(samples[:, [i], : len(sequence)], alone, atol=1e-13)

    def test_all_classes_are_marked_too(self, sequences):
        model = build(Sequence, n_out=3)
        every = OcclusionCalculator(model, class_index="all", slide_axis=1).compute(
            sequences, converter=padded
        )
        for c in range(3):
            one = OcclusionCalculator(model, class_index=c, slide_axis=1).compute(
                sequences, converter=padded
            )
            assert_array_equal(every[:, :, c], one)

    def test_a_hidden_target_without_an_axis_of_time_has_no_padding(self, sequences):
        """Though it may have as many units as the longest example has steps."""
        model = build(Sequence, n_hidden=max(LENGTHS))
        calculator = GradientCalculator(model, VariableMonitorLinkHook(model.pooled))
        samples = calculator.compute(sequences, converter=padded)
        assert samples.shape == (1, 5, max(LENGTHS))
        assert np.isfinite(samples).all()

    def test_nor_if_it_has_as_many_units_as_the_shortest_has_steps(self, sequences):
        model = build(Sequence, n_hidden=2)
        hook = VariableMonitorLinkHook(model.pooled)
        calculator = OcclusionCalculator(model, hook, slide_axis=1, size=2)
        samples = calculator.compute(sequences[:4], converter=padded)
        assert samples.shape == (1, 4, 2)
        assert np.isfinite(samples).all()

    def test_a_hidden_target_with_an_axis_of_time_has(self, rng):
        tokens = [rng.integers(1, 10, n).astype(np.int32) for n in LENGTHS]
        model = build(Tokens)
        calculator = GradientCalculator(model, VariableMonitorLinkHook(model.embed))
        for batchsize in (1, 2, 16):
            samples = calculator.compute(tokens, converter=padded, batchsize=batchsize)
            for i, n in enumerate(LENGTHS):
                alone = calculator.compute(tokens[i][None])
                assert_allclose(samples[:, [i], :n], alone, rtol=1e-10)
                assert np.isnan(samples[:, i, n:]).all()

    def test_a_batch_stays_together_where_one_input_tells_the_ends(self, rng):
        """As graphs do, whose bonds of two kinds are padded along other axes."""
        model, sizes = build(Tokens), []

        def scores(tokens, bonds):
            sizes.append(len(tokens))
            return model(tokens) + F.sum(bonds, axis=(1, 2, 3))[:, None]

        graphs = [(rng.integers(1, 10, n), np.ones((2, n, n))) for n in LENGTHS]
        at_embedding = VariableMonitorLinkHook(model.embed)
        calculator = GradientCalculator(scores, targets=(at_embedding,))
        (samples,) = calculator.compute(graphs, converter=padded)
        assert sizes[-1] == len(LENGTHS)
        for i, n in enumerate(LENGTHS):
            assert np.isfinite(samples[:, i, :n]).all()
            assert np.isnan(samples[:, i, n:]).all()

    def test_kept_inputs_are_padded_with_zeros(self, sequences):
        calculator = GradientCalculator(build(Sequence))
        calculator.compute(sequences, converter=padded, batchsize=2, retain_inputs=True)
        assert_array_equal(calculator.inputs[0], padded(sequences))

    def test_aggregate_keeps_padding_apart(self, sequences):
        calculator = GradientCalculator(build(Sequence))
        samples = calculator.compute(sequences, converter=padded, M=2)
        saliency = calculator.aggregate(samples, "abs", ch_axis=3)
        is_padding = np.arange(max(LENGTHS)) >= np.array(LENGTHS)[:, None]
        assert_array_equal(np.isnan(saliency), is_padding)

    def test_there_are_no_lengths_where_all_have_one(self, sequences, x):
        calculator = GradientCalculator(build(Sequence))
        calculator.compute(sequences, converter=padded)
        calculator.compute([s[:1] for s in sequences], converter=padded)
        assert calculator.lengths is None
        of_rows = GradientCalculator(build(MLP, n_out=1))
        of_rows.compute(list(x))
        assert of_rows.lengths is None

    def test_without_a_padding_converter_the_error_says_so(self, sequences):
        with pytest.raises(ValueError, match="converter"):
            GradientCalculator(build(Sequence)).compute(sequences)

    def test_the_mean_of_them_is_not_a_baseline(self, sequences):
        calculator = IntegratedGradientsCalculator(build(Sequence), baseline="mean")
        for batchsize in (1, 2, 16):
            with pytest.raises(ValueError, match="baseline='mean'"):
                calculator.compute(sequences, converter=padded, batchsize=batchsize)

    def test_gradients_are_right_at_all(self, sequences):
        model = build(Sequence)
        samples = GradientCalculator(model).compute(sequences, converter=padded)
        for i, (sequence, n) in enumerate(zip(sequences, LENGTHS)):
            expected = numerical_gradient(lambda v: run(model, v)[:, 0], sequence[None])
            assert_allclose(samples[0, i, :n], expected[0], rtol=1e-5, atol=1e-8)

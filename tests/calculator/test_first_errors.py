"""The mistakes that people make first: each works, or one line says what to write."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from saliency import (
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from tests.calculator.every_calculator import every_calculator
from tests.networks import CNN, MLP, TwoInputs, build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.datasets import TupleDataset

single = np.float32
CALCULATORS = {
    "gradient": GradientCalculator,
    "smooth_grad": SmoothGradCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=3),
    "lrp": partial(LRPCalculator, rule="lrp0"),
    "occlusion": OcclusionCalculator,
}


def of_kind(name):
    """Returns what makes a calculator that is ready for tables or for images."""

    def new(model, data_ndim=2, **settings):
        if name == "occlusion" and data_ndim == 2:
            settings["slide_axis"] = 1
        return CALCULATORS[name](model, **settings)

    return new


every_kind = pytest.mark.parametrize("kind", [*CALCULATORS], ids=[*CALCULATORS])


def table_model():
    return build(MLP, n_out=1, dtype=single)


def image_model():
    return build(CNN, n_channel=3, n_out=1, dtype=single)


def table():
    return np.random.default_rng(0).normal(size=(7, 4)).astype(single)


def images():
    return np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype(single)


def labels():
    return np.array([0, 1, 0, 1, 0, 1, 0], np.int32)


def of_untrained_model():
    return chainer.Sequential(L.Linear(None, 3), F.relu, L.Linear(3, 1))


# name: model, data, error, what it says
REFUSED = {
    "no_batch_axis_of_a_table": (
        table_model,
        lambda: table()[0],
        ValueError,
        r"(\(4,\)|is one number).*data\[None\]",
    ),
    "no_batch_axis_of_an_image": (
        image_model,
        lambda: images()[0],
        ValueError,
        r"\(3, 6, 6\).*data\[None\]",
    ),
    "classifier": (
        lambda: L.Classifier(table_model()),
        table,
        TypeError,
        r"Classifier takes \(x, t\).*pass model\.predictor",
    ),
    "labels_in_the_data": (
        table_model,
        lambda: TupleDataset(table(), labels()),
        TypeError,
        r"data has 2 inputs, float32 \(7, 4\) and int32 \(7,\), but the model takes 1 "
        r"\(x\): pass x alone.*eval_fun=lambda x, t:",
    ),
    "channels_last": (
        image_model,
        lambda: images().transpose(0, 2, 3, 1),
        ValueError,
        r"\(2, 6, 6, 3\).*data\.transpose\(0, 3, 1, 2\)",
    ),
    "number_of_features": (
        table_model,
        lambda: table()[:, :3],
        ValueError,
        r"\(7, 3\).*wants 4 features of each example and not 3",
    ),
    "integers_in_a_table": (
        table_model,
        lambda: np.arange(28).reshape(7, 4),
        (TypeError, ValueError),
        r"int64.*data\.astype\(np\.float32\)",
    ),
    "pixels": (
        image_model,
        lambda: (images() * 100).astype(np.uint8),
        (TypeError, ValueError),
        r"uint8.*data\.astype\(np\.float32\)",
    ),
    "untrained_model": (
        of_untrained_model,
        table,
        ValueError,
        r"model must be trained, but its parameter /0/W is not initialized",
    ),
}


@every_kind
@pytest.mark.parametrize("mistake", [*REFUSED])
def test_one_line_says_what_to_write(kind, mistake):
    model, data, error, message = REFUSED[mistake]
    examples = data()
    ndim = 4 if model is image_model else 2
    with pytest.raises(error, match=message) as caught:
        of_kind(kind)(model(), ndim).compute(examples, seed=0)
    assert "\n" not in str(caught.value)


@every_kind
def test_float64_data(kind):
    calculator = of_kind(kind)(table_model())
    samples = calculator.compute(table().astype(np.float64), seed=0)
    assert samples.dtype == single
    assert_array_equal(samples, calculator.compute(table(), seed=0))


@every_kind
@pytest.mark.parametrize("dtype", [single, np.float64, np.int64], ids=str)
def test_a_data_frame(kind, dtype):
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
    values = np.arange(28).reshape(7, 4).astype(dtype)
    calculator = of_kind(kind)(table_model())
    samples = calculator.compute(pandas.DataFrame(values, columns=[*"abcd"]), seed=0)
    assert_array_equal(samples, calculator.compute(values.astype(single), seed=0))


@every_calculator
@pytest.mark.skipif(
    chainer.backends.cuda.available, reason="there is a GPU, which would do"
)
def test_a_device_that_the_model_is_not_on(new_calculator):
    with pytest.raises(ValueError, match=r"device=0 cannot be used.*'@numpy'") as e:
        new_calculator(table_model(), device=0)
    assert "\n" not in str(e.value)


class CalledAsBefore(chainer.Chain):
    """Has ``__call__``, as links had before Chainer 5."""

    def __init__(self, network):
        super().__init__(network=network)

    def __call__(self, x):
        return self.network(x)


class TestNumberOfInputs:
    def error_of(self, model, data, **arguments):
        with pytest.raises(TypeError) as caught:
            GradientCalculator(model, **arguments).compute(data)
        return str(caught.value)

    @pytest.mark.parametrize(
        "model",
        [
            lambda m: m,
            lambda m: lambda x: m(x),
            lambda m: chainer.Sequential(m.l1, F.relu, L.Linear(6, 1)),
            lambda m: chainer.Sequential(chainer.Sequential(F.relu, m)),
            lambda m: CalledAsBefore(m),
        ],
        ids=["link", "function", "sequential", "nested_sequential", "call"],
    )
    def test_labels_too_many(self, model):
        error = self.error_of(model(table_model()), [*zip(table(), labels())])
        assert "data has 2 inputs" in error
        assert "the model takes 1 (x" in error

    def test_too_few(self):
        error = self.error_of(build(TwoInputs, dtype=single), table())
        assert "data has 1 input, float32 (7, 4), but the model takes 2 (x, z)" in error
        assert "pass a tuple of arrays" in error

    def test_of_an_eval_fun(self):
        model = table_model()
        error = self.error_of(model, (table(), labels()), eval_fun=lambda v: model(v))
        assert "eval_fun takes 1 (v)" in error

    def test_optional_inputs_are_allowed(self):
        model = table_model()
        x, z = table(), table()[:, :1]
        for eval_fun, data in [
            (lambda x, z=None: model(x), (x,)),
            (lambda x, z=None: model(x) * z, (x, z)),
            (lambda x, z=1: model(x) * z, (x, z)),
            (lambda *inputs: model(inputs[0]) * inputs[1], (x, z)),
            (lambda x, *others: model(x) * others[0], (x, z)),
            (lambda x, *, z=1: model(x) * z, (x,)),
        ]:
            samples = GradientCalculator(model, eval_fun=eval_fun).compute(data)
            assert samples.shape == (1, 7, 4)

    def test_what_the_function_says_itself_is_left(self):
        def needs_a_keyword(x, *, scale):
            return x * scale

        with pytest.raises(TypeError, match="missing 1 required keyword-only"):
            GradientCalculator(needs_a_keyword).compute(table())

    def test_a_classifier_with_labels_explains_its_loss(self):
        predictor = build(MLP, dtype=single)
        x, t = table(), labels()
        samples = GradientCalculator(L.Classifier(predictor)).compute(
            TupleDataset(x, t), batchsize=7
        )
        v = chainer.Variable(x)
        F.softmax_cross_entropy(predictor(v), t).backward()
        np.testing.assert_allclose(samples[0], v.grad, rtol=1e-5)

    def test_a_classifier_of_ones_own(self):
        class Regressor(chainer.Chain):
            lossfun, label_key = staticmethod(F.mean_squared_error), -1

            def __init__(self, predictor):
                super().__init__(predictor=predictor)

            def forward(self, *args):
                return self.lossfun(self.predictor(*args[:-1]), args[-1])

        error = self.error_of(Regressor(table_model()), table())
        assert "Regressor takes (x, t)" in error


class TestShapes:
    def error_of(self, model, data):
        with pytest.raises(ValueError, match=r"^.*$") as caught:
            GradientCalculator(model).compute(data)
        return caught.value

    def test_the_error_of_the_model_is_the_cause(self):
        error = self.error_of(image_model(), images()[:, :, :4])
        assert isinstance(error.__cause__, chainer.utils.type_check.InvalidType)
        assert "does not run on data of shape (2, 3, 4, 6) and dtype float32" in str(
            error
        )
        assert "x.shape[1] == W.shape[1]" in str(error)

    @pytest.mark.parametrize(
        ("shape", "advice"),
        [
            ((28, 28), "data[None]"),
            ((784,), "data[None]"),
            ((5, 27), "784 features of each example and not 27"),
            ((5,), "shape (N, 784)"),
        ],
        ids=str,
    )
    def test_images_for_a_linear_link(self, shape, advice):
        model = chainer.Sequential(L.Linear(784, 1))
        assert advice in str(self.error_of(model, np.ones(shape, single)))

    def test_one_number_for_each_example(self):
        model = chainer.Sequential(L.Linear(1, 1))
        error = self.error_of(model, np.ones(5, single))
        assert "data[:, None]" in str(error)

    @pytest.mark.parametrize(
        ("n_channel", "shape", "advice"),
        [
            (1, (5, 8, 8), "data[:, None]"),
            (1, (8, 8), "data[None, None]"),
            (3, (8, 8, 3), "data.transpose(2, 0, 1)[None]"),
            (3, (5, 8, 8), "(N, channel, height, width) with 3 channels"),
            (3, (5, 4, 8, 8), "(N, channel, height, width) with 3 channels"),
        ],
        ids=str,
    )
    def test_for_a_convolution(self, n_channel, shape, advice):
        model = chainer.Sequential(L.Convolution2D(n_channel, 2, 3), L.Linear(72, 1))
        error = str(self.error_of(model, np.ones(shape, single)))
        assert advice in error
        assert str(shape) in error

    @pytest.mark.parametrize(
        ("link", "shape", "order"),
        [
            (lambda: L.Convolution1D(3, 2, 3), (5, 8, 3), (0, 2, 1)),
            (lambda: L.Convolution3D(3, 2, 3), (5, 8, 8, 8, 3), (0, 4, 1, 2, 3)),
            (
                lambda: L.Convolution2D(6, 2, 3, groups=2),
                (5, 8, 8, 6),
                (0, 3, 1, 2),
            ),
        ],
        ids=["1d", "3d", "groups"],
    )
    def test_channels_last(self, link, shape, order):
        model = chainer.Sequential(link(), L.Linear(None, 1))
        error = str(self.error_of(model, np.ones(shape, single)))
        assert f"data.transpose{order}" in error

    def test_what_the_advice_says_runs(self):
        model = build(CNN, n_channel=3, n_out=1, dtype=single)
        last = images().transpose(0, 2, 3, 1)
        expected = GradientCalculator(model).compute(images())
        samples = GradientCalculator(model).compute(last.transpose(0, 3, 1, 2))
        assert_array_equal(samples, expected)

    def test_the_second_input_is_named(self):
        model = build(TwoInputs, dtype=single)
        error = str(self.error_of(model, (table(), table())))
        assert "input 1 of the data has shape (7, 4)" in error
        assert "3 features" in error

    def test_another_cause_comes_through(self):
        class Broken(chainer.Chain):
            def __init__(self):
                super().__init__(l1=L.Linear(4, 3))

            def forward(self, x):
                self.l1(x)
                return {}["missing"]

        with pytest.raises(KeyError, match="missing"):
            GradientCalculator(Broken()).compute(table())

    def test_an_index_error_of_a_hidden_layer_comes_through(self):
        """Of a link that was given something else than the data, nothing is said."""

        class Broken(chainer.Chain):
            def __init__(self):
                super().__init__(l1=L.Linear(4, 3), l2=L.Linear(3, 1))

            def forward(self, x):
                return self.l2(self.l1(x)[0])

        with pytest.raises(IndexError):
            GradientCalculator(Broken()).compute(table())

"""What cannot be explained is refused with a message that names the parameter."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BaseCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    list_examples,
)
from tests.calculator.every_calculator import every_calculator, every_calculator_with
from tests.covering import every_value
from tests.networks import MLP, Tokens, build

import chainer
import chainer.functions as F
import chainer.links as L


@pytest.fixture
def model():
    return build(MLP, n_out=1)


class TestData:
    @every_calculator_with(
        every_value,
        data={
            "list": [],
            "tuple": (),
            "array": np.zeros((0, 4)),
            "tuple_of_lists": ([], []),
            "dataset": chainer.datasets.TupleDataset([]),
        },
    )
    def test_empty(self, new_calculator, data, model):
        with pytest.raises(ValueError, match="data is empty"):
            new_calculator(model).compute(data)

    @every_calculator_with(every_value, data=[None, 3, ..., "CCO", {"x": np.zeros(3)}])
    def test_of_a_wrong_kind(self, new_calculator, data, model):
        with pytest.raises(TypeError, match="data must be"):
            new_calculator(model).compute(data)

    @every_calculator
    def test_an_iterator_instead_of_a_dataset(self, new_calculator, model, x):
        with pytest.raises(TypeError, match=r"data must be.*generator"):
            new_calculator(model).compute(row for row in x)

    @every_calculator
    def test_a_single_number(self, new_calculator, model):
        with pytest.raises(ValueError, match="data must have a batch axis"):
            new_calculator(model).compute(np.array(1.0))

    @every_calculator_with(every_value, bad=[np.nan, np.inf, -np.inf])
    def test_not_finite(self, new_calculator, bad, model, x):
        x[5, 2] = bad
        with pytest.raises(ValueError, match=r"data.*example 5.*NaN or infinity.*\(2,"):
            new_calculator(model).compute(x, batchsize=3)

    @every_calculator
    def test_not_finite_in_the_second_input(self, new_calculator, x):
        z = x.copy()
        z[1] = np.nan
        with pytest.raises(ValueError, match=r"data.*input 1 of example 1"):
            new_calculator(lambda v, w: F.sum(v * w, axis=1)).compute((x, z))

    @pytest.mark.parametrize("other", [np.zeros((7, 3)), np.zeros(7)])
    def test_inputs_in_a_list(self, other, x):
        calculator = GradientCalculator(lambda v, w: F.sum(v, axis=1) + w)
        message = r"list of examples of different shapes, .*\(7, 4\) .* in a tuple"
        with pytest.raises(ValueError, match=message):
            calculator.compute([x, other])

    @every_calculator
    def test_inputs_of_different_lengths(self, new_calculator, model, x):
        with pytest.raises(ValueError, match=r"data is a tuple.*\[7, 6\]"):
            new_calculator(model).compute((x, x[:6]))


EVERY_GRADIENT = [
    GradientCalculator,
    SmoothGradCalculator,
    IntegratedGradientsCalculator,
]


@pytest.mark.parametrize("new_calculator", EVERY_GRADIENT)
class TestTarget:
    def test_integers_without_an_extractor(self, new_calculator):
        ids = np.ones((3, 4), np.int32)
        with pytest.raises(TypeError, match=r"target.*int32.*target_extractor"):
            new_calculator(build(Tokens)).compute(ids)

    @pytest.mark.parametrize(
        "eval_fun",
        [
            lambda model, v: model(chainer.Variable(v.array)),
            lambda model, v: model(chainer.Variable(np.zeros_like(v.array))),
            lambda model, v: F.sum(model(v).array * chainer.Variable(v.array), axis=1),
        ],
        ids=["cut_at_input", "not_used", "cut_at_output"],
    )
    def test_disconnected(self, new_calculator, eval_fun, model, x):
        calculator = new_calculator(model, eval_fun=lambda v: eval_fun(model, v))
        with pytest.raises(ValueError, match="target has no influence on the output"):
            calculator.compute(x)

    def test_disconnected_by_no_backprop_mode(self, new_calculator, model, x):
        def cut(v):
            with chainer.no_backprop_mode():
                return model(v)

        with pytest.raises(ValueError, match=r"target.*no_backprop_mode"):
            new_calculator(model, eval_fun=cut).compute(x)

    def test_of_no_backprop_mode_around_compute_nothing_is_felt(
        self, new_calculator, model, x
    ):
        expected = new_calculator(model).compute(x, seed=0)
        with chainer.no_backprop_mode():
            samples = new_calculator(model).compute(x, seed=0)
        np.testing.assert_array_equal(samples, expected)


def test_a_list_of_arrays_as_the_first_input_is_no_target(model, x):
    calculator = GradientCalculator(model)
    with pytest.raises(TypeError, match=r"input 0 must be an array.*makes a list"):
        calculator.compute(x, converter=lambda batch, device: ([*batch],))


class TestSettings:
    @every_calculator_with(
        every_value,
        name_and_value=[
            (name, value)
            for name in ("M", "batchsize")
            for value in (0, -1, 1.5, "3", None, True)
            if not (name == "batchsize" and value is None)
        ],
    )
    def test_counts(self, new_calculator, name_and_value, model, x):
        name, value = name_and_value
        allowed = "an int >= 1" + " or None" * (name == "batchsize")
        with pytest.raises(ValueError, match=rf"{name} must be {allowed}, got"):
            new_calculator(model).compute(x, seed=0, **{name: value})

    @every_calculator_with(every_value, value=[0.15, "gaussian", abs])
    def test_noise_sampler(self, new_calculator, value, model, x):
        with pytest.raises(TypeError, match=r"noise_sampler.*sample"):
            new_calculator(model).compute(x, noise_sampler=value, seed=0)

    @every_calculator_with(every_value, value=[-1, 0.5, "today"])
    def test_seed(self, new_calculator, value, model, x):
        with pytest.raises((ValueError, TypeError), match="seed"):
            new_calculator(model).compute(x, seed=value)

    @every_calculator
    def test_noise_of_another_shape(self, new_calculator, model, x):
        class Wrong:
            def sample(self, array, rng):
                return np.zeros((2, *array.shape))

        with pytest.raises(ValueError, match=r"noise_sampler.*shape"):
            new_calculator(model).compute(x, noise_sampler=Wrong(), seed=0)

    @every_calculator_with(
        every_value, name=["converter", "preprocess_fn", "postprocess_fn"]
    )
    def test_functions(self, new_calculator, name, model, x):
        with pytest.raises(TypeError, match=name):
            new_calculator(model).compute(x, **{name: "no function"})

    @every_calculator
    def test_a_name_that_is_none(self, new_calculator, model, x):
        with pytest.raises(TypeError, match="batch_size"):
            new_calculator(model).compute(x, batch_size=3)


class TestConstructor:
    @every_calculator_with(every_value, value=[None, "model", 3])
    def test_a_model_that_is_not_callable(self, new_calculator, value):
        with pytest.raises(TypeError, match="model must be callable"):
            new_calculator(value)

    @pytest.mark.parametrize(
        ("package", "framework"), [("torch", "PyTorch"), ("keras", "Keras")]
    )
    @pytest.mark.parametrize("name", ["model", "eval_fun"])
    def test_a_network_of_another_framework(self, package, framework, name, model):
        """Whose package need not be there: a class says where its base is from."""
        base = type("Module", (), {"__module__": f"{package}.nn", "__call__": id})
        network = type("Net", (base,), {})()
        given = {"model": model, name: network}
        message = f"{name} must be .* got Net, which is of {framework}: .*load_onnx"
        with pytest.raises(TypeError, match=message):
            GradientCalculator(**given)

    @pytest.mark.parametrize("of", [lambda e: e, lambda e: e.predict_proba])
    def test_an_estimator(self, of):
        estimator = pytest.importorskip("sklearn.neural_network").MLPClassifier()
        message = "got MLPClassifier, which is of scikit-learn: .*from_sklearn"
        with pytest.raises(TypeError, match=message):
            OcclusionCalculator(of(estimator))

    @every_calculator
    def test_an_eval_fun_that_is_not_callable(self, new_calculator, model):
        with pytest.raises(TypeError, match="eval_fun must be callable"):
            new_calculator(model, eval_fun="loss")

    @pytest.mark.skipif(
        chainer.backends.cuda.available, reason="there is a GPU, which would do"
    )
    @every_calculator_with(
        every_value, device={"0": 0, "@cupy:0": "@cupy:0", "pair": (np, 0)}
    )
    def test_a_device_that_is_not_there(self, new_calculator, device, model):
        with pytest.raises(ValueError, match=r"device.*cannot be used"):
            new_calculator(model, device=device)

    @every_calculator_with(every_value, device=["gpu", "@nothing", 1.5])
    def test_a_device_that_is_none(self, new_calculator, device, model):
        with pytest.raises(ValueError, match="device"):
            new_calculator(model, device=device)

    @every_calculator_with(every_value, device=[-1, "@numpy", None])
    def test_the_cpu_by_its_names(self, new_calculator, device, model, x):
        result = new_calculator(model, device=device).compute(x, seed=0)
        assert_array_equal(result, new_calculator(model).compute(x, seed=0))

    @every_calculator
    def test_a_model_without_parameters_yet(self, new_calculator, x):
        lazy = L.Linear(None, 1)
        with pytest.raises(ValueError, match=r"model must be trained.*/W"):
            new_calculator(lazy).compute(x)
        assert lazy.W.array is None


class TestResult:
    @every_calculator_with(every_value, bad=[np.nan, np.inf])
    def test_not_finite(self, new_calculator, bad, x):
        def model(v):
            factor = np.where(v.array[:, 0] > 50, bad, 1.0)
            return F.sum(v**2, axis=1) * factor

        x[5, 0] = 99
        with (
            np.errstate(invalid="ignore"),
            pytest.raises(ValueError, match=r"explained output is \S+ for example 5"),
        ):
            new_calculator(model).compute(x, batchsize=3, seed=0)


class TestIntegratedGradients:
    def of(self, **arguments):
        return IntegratedGradientsCalculator(lambda v: F.sum(v**2, axis=1), **arguments)

    @pytest.mark.parametrize("steps", [0, -1, 2.5, "5", None], ids=repr)
    def test_steps(self, steps):
        with pytest.raises(ValueError, match="steps must be an int >= 1"):
            self.of(steps=steps)

    def test_one_step_is_no_trapezoid(self):
        with pytest.raises(ValueError, match=r"steps.*trapezoid"):
            self.of(steps=1, method="trapezoid")

    @pytest.mark.parametrize("method", ["left", "gauss", None, ["right"]], ids=repr)
    def test_method(self, method):
        with pytest.raises(ValueError, match=r"method.*'gauss_legendre'"):
            self.of(method=method)

    @pytest.mark.parametrize(
        "baseline", ["zero", np.nan, np.inf, "median", [], (), [0, "x"], {}], ids=repr
    )
    def test_baseline_that_is_none(self, baseline):
        with pytest.raises(ValueError, match="baseline"):
            self.of(baseline=baseline)

    @pytest.mark.parametrize(
        "shape", [(3,), (5,), (6, 4), (8, 4), (7, 3), (2, 7, 4), (1, 7, 4), (4, 1)]
    )
    @pytest.mark.parametrize("batchsize", [2, 16])
    def test_baseline_of_a_wrong_shape(self, shape, batchsize, x):
        with pytest.raises(ValueError, match=r"baseline.*\(4,\)"):
            self.of(baseline=np.zeros(shape)).compute(x, batchsize=batchsize)

    def test_baseline_with_as_many_rows_as_happen_to_be_in_a_pass(self, rng):
        """4 rows are not one for each of 8 examples, though passes hold 4 rows."""
        x = rng.normal(size=(8, 4))
        with pytest.raises(ValueError, match="baseline"):
            self.of(baseline=x[:4], steps=4).compute(x, batchsize=4)

    def test_baseline_whose_callable_gives_a_wrong_shape(self, x):
        with pytest.raises(ValueError, match="baseline"):
            self.of(baseline=lambda v: np.zeros((len(v), 3))).compute(x)

    def test_baseline_whose_callable_gives_nan(self, x):
        with pytest.raises(ValueError, match="baseline"):
            self.of(baseline=lambda v: np.full_like(v, np.nan)).compute(x)

    def test_baseline_whose_callable_gives_nothing(self, x):
        with pytest.raises((ValueError, TypeError), match="baseline"):
            self.of(baseline=lambda v: None).compute(x)

    def test_the_mean_of_one_example(self, x):
        with pytest.raises(ValueError, match=r"baseline='mean'.*one example"):
            self.of(baseline="mean").compute(x[:1])

    def test_samples_of_another_shape(self, x):
        calculator = self.of()
        with pytest.raises(ValueError, match="saliency_samples"):
            calculator.convergence_delta(np.zeros((1, 6, 4)), x)


class TestOcclusion:
    def of(self, **arguments):
        arguments = {"slide_axis": 1, **arguments}
        return OcclusionCalculator(lambda v: F.sum(v, axis=1), **arguments)

    @pytest.mark.parametrize("size", [5, (5,), 100])
    def test_a_window_larger_than_the_input(self, size, x):
        with pytest.raises(ValueError, match=r"size.*length 4 along axis 1"):
            self.of(size=size).compute(x)

    @pytest.mark.parametrize("name", ["size", "stride", "slide_axis"])
    @pytest.mark.parametrize("value", [0, -1, 1.5, "1", (0,), (1, 1)], ids=repr)
    def test_counts(self, name, value):
        with pytest.raises(ValueError, match=name):
            self.of(**{name: value})

    def test_a_stride_that_leaves_elements_out(self):
        with pytest.raises(ValueError, match="stride must not be larger than size"):
            self.of(size=2, stride=3)

    @pytest.mark.parametrize("slide_axis", [2, (1, 2), (2, 3)], ids=str)
    def test_an_axis_that_the_target_does_not_have(self, slide_axis, x):
        with pytest.raises(ValueError, match=r"slide_axis.*\(7, 4\)"):
            self.of(slide_axis=slide_axis).compute(x)

    @pytest.mark.parametrize("slide_axis", [(), (1, 1), None], ids=repr)
    def test_axes_that_are_none(self, slide_axis):
        with pytest.raises(ValueError, match="slide_axis"):
            self.of(slide_axis=slide_axis)

    @pytest.mark.parametrize("fill", ["zero", np.nan, None, {}], ids=repr)
    def test_fill_that_is_none(self, fill):
        with pytest.raises(ValueError, match="fill"):
            self.of(fill=fill)

    @pytest.mark.parametrize("shape", [(3,), (6, 4), (2, 7, 4), (1, 7, 4)], ids=str)
    def test_fill_of_a_wrong_shape(self, shape, x):
        with pytest.raises(ValueError, match=r"fill.*\(4,\)"):
            self.of(fill=np.zeros(shape)).compute(x)


def test_the_base_is_not_a_calculator(model):
    with pytest.raises(TypeError, match="abstract"):
        BaseCalculator(model)


def test_a_target_in_the_wrong_model_is_named(model, x):
    other = build(MLP)
    calculator = GradientCalculator(model, VariableMonitorLinkHook(other.l1))
    with pytest.raises(ValueError, match=r"never called.*a link of this model"):
        calculator.compute(x)


@pytest.mark.parametrize("lengths", [(3, 3), (2, 3)], ids=str)
@pytest.mark.parametrize("kind", [GradientCalculator, OcclusionCalculator])
def test_a_list_of_examples_has_to_be_read_at_a_link(kind, lengths):
    """A model that takes a list has no array where saliency could be read."""

    def model(sequences):
        return F.stack([F.sum(one, axis=0) for one in sequences])

    data = [np.ones((n, 2), "float32") for n in lengths]
    calculator = kind(model, class_index=0)
    with pytest.raises(TypeError, match=r"input 0 must be an array.*target_extractor="):
        calculator.compute(data, converter=list_examples)

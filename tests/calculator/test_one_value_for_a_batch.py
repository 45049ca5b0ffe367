"""An eval_fun that returns one value for the batch: folding must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import (
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
)
from tests.calculator.every_calculator import (
    DISTURBANCES,
    every_calculator,
    every_calculator_with,
)
from tests.calculator.oracles import backward_gradient, loop_over_batches, run
from tests.covering import every_pair
from tests.networks import MLP, OwnNoise, build

import chainer
import chainer.functions as F
import chainer.links as L


def sizes_of_batches(n, batchsize):
    """Returns for each example how many there are in its batch."""
    full = n // batchsize * batchsize
    return np.array([batchsize] * full + [n - full] * (n - full))


@pytest.mark.large
@every_calculator_with(every_pair, disturbance=DISTURBANCES, batchsize=[1, 3, 16])
def test_sums_are_as_row_by_row_and_means_are_over_the_users_batch(
    new_calculator, disturbance, batchsize, x
):
    """Noise and masks included, for they are the same with one seed."""
    x = x[:4]
    model = build(MLP, n_out=1, dropout=0.5, normalize=True)
    how = {"M": 2, "batchsize": batchsize, "seed": 0, **disturbance}
    of_rows, of_sum, of_mean = (
        new_calculator(model, eval_fun=lambda v, f=f: f(model(v))).compute(x, **how)
        for f in (lambda y: y, F.sum, F.mean)
    )
    assert_allclose(of_sum, of_rows, rtol=1e-9, atol=1e-12)
    size = sizes_of_batches(len(x), batchsize)
    size = size.reshape(1, -1, *[1] * (of_rows.ndim - 2))
    assert_allclose(of_mean, of_rows / size, rtol=1e-9, atol=1e-12)


def root_mean_square(model):
    """One value that mixes the examples of a batch."""
    return lambda *inputs: F.sqrt(F.mean(model(*inputs) ** 2))


class TestSeveralValues:
    """Losses of the batch are not taken for those of its examples."""

    @staticmethod
    def losses(v):
        return F.stack([F.mean(v), F.mean(v**2), F.mean(v**3)])

    @every_calculator
    def test_as_many_as_there_are_rows(self, new_calculator, x):
        calculator = new_calculator(self.losses)
        with pytest.raises(ValueError, match=r"3 values for the whole batch.*F\.sum"):
            calculator.compute(x[:3], batchsize=3)

    def test_two_of_two_rows(self, x):
        calculator = GradientCalculator(lambda v: self.losses(v)[:2])
        with pytest.raises(ValueError, match=r"2 values for the whole batch"):
            calculator.compute(x[:2])

    def test_as_many_as_there_are_rows_in_folded_passes(self, x):
        calculator = GradientCalculator(self.losses)
        with pytest.raises(ValueError, match=r"3 values for the whole batch"):
            calculator.compute(x[:1], M=3, batchsize=3)

    @every_calculator
    @pytest.mark.parametrize(
        "of_rows",
        [
            lambda v: F.sum(v**2, axis=1),
            lambda v: F.squeeze(F.sum(v**2, axis=1, keepdims=True)),
        ],
        ids=["vector", "squeezed"],
    )
    def test_one_value_for_each_row_is_none(self, new_calculator, of_rows, x):
        samples = new_calculator(of_rows).compute(x[:3], batchsize=3, seed=0)
        kept = new_calculator(lambda v: F.sum(v**2, axis=1, keepdims=True))
        assert_allclose(samples, kept.compute(x[:3], seed=0), rtol=1e-12)

    def test_one_small_pass_shows_it(self, x):
        sizes = []

        def model(v):
            sizes.append(len(v))
            return F.sum(v**2, axis=1)

        GradientCalculator(model).compute(x, M=4, batchsize=7)
        assert sorted(sizes) == [2, 7, 7, 7, 7]

    @pytest.mark.parametrize("n", [2, 3])
    def test_a_model_with_a_constant_for_each_example(self, n, x):
        """It runs with as many rows alone, and with one, which it repeats."""
        factor = np.arange(1.0, n + 1)[:, None]
        samples = GradientCalculator(lambda v: F.sum(v * factor, axis=1)).compute(x[:n])
        assert_allclose(samples[0], np.broadcast_to(factor, (n, 4)))


class TestNonlinearReductions:
    @pytest.fixture
    def model(self):
        return build(MLP, n_out=2)

    @pytest.mark.parametrize("batchsize", [1, 3, 16])
    @pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
    def test_gradient_is_the_loop_over_batches(self, model, batchsize, shape, x):
        rms = root_mean_square(model)
        samples = GradientCalculator(
            model, eval_fun=lambda v: F.reshape(rms(v), shape)
        ).compute(x, M=3, batchsize=batchsize)
        expected = loop_over_batches(lambda v: backward_gradient(rms, v), batchsize, x)
        assert_allclose(samples, np.tile(expected, (3, 1, 1)), rtol=1e-10)

    @pytest.mark.parametrize("batchsize", [1, 3, 16])
    def test_occlusion_covers_one_example_at_a_time(self, model, batchsize, x):
        rms = root_mean_square(model)

        def explicit(v):
            result = np.empty_like(v)
            for i, j in np.ndindex(v.shape):
                covered = v.copy()
                covered[i, j] = 0.5
                result[i, j] = run(rms, v) - run(rms, covered)
            return result

        samples = OcclusionCalculator(
            model, eval_fun=rms, slide_axis=1, fill=0.5
        ).compute(x, M=2, batchsize=batchsize)
        expected = loop_over_batches(explicit, batchsize, x)
        assert_allclose(samples, np.tile(expected, (2, 1, 1)), rtol=1e-9, atol=1e-14)

    @pytest.mark.parametrize("batchsize", [3, 16])
    def test_paths_take_the_whole_batch_along(self, model, batchsize, x):
        """Then the attributions of a batch add up to the difference of its value."""
        rms = root_mean_square(model)
        samples = IntegratedGradientsCalculator(
            model, eval_fun=rms, baseline=0.5, steps=64
        ).compute(x, batchsize=batchsize)
        for start in range(0, len(x), batchsize):
            batch = x[start : start + batchsize]
            difference = run(rms, batch) - run(rms, 0 * batch + 0.5)
            total = samples[0, start : start + batchsize].sum()
            assert_allclose(total, difference, rtol=1e-6)

    @pytest.mark.parametrize("batchsize", [1, 3, 16])
    def test_the_loss_of_a_classifier_with_labels(self, batchsize, x):
        classifier = L.Classifier(build(MLP))
        t = np.array([0, 1, 2, 0, 1, 2, 0], np.int32)
        samples = GradientCalculator(classifier).compute((x, t), batchsize=batchsize)
        expected = loop_over_batches(
            lambda v, t: backward_gradient(classifier, v, t), batchsize, x, t
        )
        assert_allclose(samples[0], expected, rtol=1e-10)


class TestDetection:
    def test_one_row_alone_is_not_taken_for_a_batch(self, x):
        """A mean over two columns is one value for each of the rows."""
        model = build(MLP, n_out=2)
        calculator = GradientCalculator(model, eval_fun=lambda v: F.mean(model(v)))
        one = calculator.compute(x[:1], M=4)
        expected = backward_gradient(model, x[:1]) / 2
        assert_allclose(one, np.tile(expected, (4, 1, 1)), rtol=1e-12)

    @pytest.mark.parametrize("batchsize", [1, 2, 16])
    def test_a_model_that_draws_numbers_and_returns_one_value(self, batchsize, x):
        model = build(OwnNoise, n_out=1)
        calculator = GradientCalculator(model, eval_fun=lambda v: F.sum(model(v)))
        how = {"M": 3, "batchsize": batchsize}
        first = calculator.compute(x, seed=0, **how)
        assert_allclose(calculator.compute(x, seed=0, **how), first)
        assert (calculator.compute(x, seed=1, **how) != first).all()

    @every_calculator
    def test_an_input_that_is_not_one_row_per_example_keeps_batches_whole(
        self, new_calculator, x
    ):
        """A table that all examples share, given by preprocess_fn."""
        table = np.random.default_rng(0).normal(size=(4, 1))

        def product(v, shared):
            assert shared.shape == (4, 1)
            return F.matmul(F.tanh(v), shared)

        calculator = new_calculator(product)
        shared = calculator.compute(
            x, M=2, batchsize=3, preprocess_fn=lambda v: (v, table), seed=0
        )
        closed = new_calculator(lambda v: product(v, chainer.Variable(table)))
        assert_allclose(shared, closed.compute(x, M=2, batchsize=3, seed=0))

    def test_several_values_that_are_not_rows_are_refused(self, x):
        calculator = GradientCalculator(lambda v: F.sum(v, axis=0)[:3])
        with pytest.raises(ValueError, match=r"output.*\(3,\).*7 rows"):
            calculator.compute(x)

    @every_calculator
    def test_has_no_predicted_class(self, new_calculator, x):
        calculator = new_calculator(lambda v: F.sum(v), class_index="argmax")
        with pytest.raises(ValueError, match="class_index='argmax'"):
            calculator.compute(x)

    def test_has_no_classes(self, x):
        calculator = OcclusionCalculator(
            lambda v: F.sum(v), class_index="all", slide_axis=1
        )
        with pytest.raises(ValueError, match="class_index='all'"):
            calculator.compute(x)

    @every_calculator
    def test_the_only_class_is_number_0(self, new_calculator, x):
        first = new_calculator(lambda v: F.sum(v**2), class_index=0)
        every = new_calculator(lambda v: F.sum(v**2))
        assert_allclose(first.compute(x, seed=0), every.compute(x, seed=0))
        with pytest.raises(ValueError, match="class_index"):
            new_calculator(lambda v: F.sum(v**2), class_index=1).compute(x)

"""Samples whose networks are drawn from an ensemble, from SWAG, or as one likes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    BayesGradCalculator,
    EnsemblePosterior,
    GradientCalculator,
    IntegratedGradientsCalculator,
    Posterior,
    SmoothGradCalculator,
    SWAGPosterior,
)
from tests.calculator.every_calculator import DISTURBANCES, every_calculator_with
from tests.calculator.test_promises import CALLS, ENDS, blowing, named, state_of
from tests.covering import every_value
from tests.networks import MLP, OwnNoise, build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.training import extensions

HOW = {"M": 3, "seed": 0, "show_progress": False}


def members(n=3, **how):
    return [build(MLP, seed=10 + i, dropout=0.5, **how) for i in range(n)]


class Flat(Posterior):
    """All parameters are the number of the sample."""

    def __init__(self, model):
        self.shapes = {k[1:]: p.shape for k, p in model.namedparams()}

    def draw(self, sample, rng):
        return {name: np.full(shape, sample) for name, shape in self.shapes.items()}


class Walk(Posterior):
    """Normal, by the generator that is given."""

    def __init__(self, model):
        self.shapes = {k[1:]: p.shape for k, p in model.namedparams()}

    def draw(self, sample, rng):
        return {name: rng.normal(size=shape) for name, shape in self.shapes.items()}


# --- the samples ------------------------------------------------------------------


@every_calculator_with(every_value, disturbance=DISTURBANCES)
def test_each_sample_is_explained_as_its_member_is(new_calculator, disturbance, x):
    """Backward looks at the parameters again, and LRP does, too."""
    x = x[:4]
    networks = members(normalize=True)
    model = build(MLP, dropout=0.5, normalize=True, seed=5)
    with chainer.using_config("train", False):
        classes = model(x).array.argmax(axis=1)
    assert len(set(classes.tolist())) > 1
    calculator = new_calculator(model, class_index="argmax")
    posterior = EnsemblePosterior(networks)
    how = {**HOW, "batchsize": 2, "train": False, **disturbance}
    samples = calculator.compute(x, posterior=posterior, **how)
    for m, network in enumerate(networks):
        # Noise and dropout are those of the sample.
        alone = new_calculator(network, class_index=classes).compute(x, **how)
        assert_allclose(samples[m], alone[m], rtol=1e-9, atol=1e-12)


@every_calculator_with(every_value, batchsize=[1, 3, 50])
def test_the_batchsize_does_not_change_the_samples(new_calculator, batchsize, x):
    model = build(MLP, dropout=0.5)
    calculator = new_calculator(model, class_index=0)
    how = {**HOW, "posterior": Walk(model), "train": True}
    expected = calculator.compute(x, **how)
    result = calculator.compute(x, batchsize=batchsize, **how)
    assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("statistic", ["mean", "std"])
def test_compute_aggregate_is_aggregate_of_the_samples(statistic, x, tmp_path):
    model = build(MLP, dropout=0.5)
    calculator = BayesGradCalculator(model, class_index=0)
    how = {**HOW, "M": 7, "posterior": Walk(model), "batchsize": 3}
    samples = calculator.compute(x, **how)
    expected = calculator.aggregate(samples, statistic=statistic)
    for out in (None, tmp_path / "x.npy"):
        result = calculator.compute_aggregate(x, statistic=statistic, out=out, **how)
        assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


def test_one_value_for_the_batch_and_models_that_draw_by_themselves(x):
    networks = members()
    model = build(MLP)
    posterior = EnsemblePosterior(networks)
    whole = GradientCalculator(model, eval_fun=lambda v: F.sum(model(v)[:, 0] ** 2))
    samples = whole.compute(x, posterior=posterior, **HOW)
    for m, network in enumerate(networks):
        alone = GradientCalculator(
            network, eval_fun=lambda v, f=network: F.sum(f(v)[:, 0] ** 2)
        )
        assert_allclose(samples[m], alone.compute(x)[0], rtol=1e-9)
    drawing = build(OwnNoise)
    noisy = [build(OwnNoise, seed=i) for i in range(3)]
    samples = GradientCalculator(drawing, class_index=0).compute(
        x, posterior=EnsemblePosterior(noisy), **HOW
    )
    for m, network in enumerate(noisy):
        alone = GradientCalculator(network, class_index=0).compute(x, **HOW)
        assert_allclose(samples[m], alone[m], rtol=1e-9)


def test_convolutions_that_keep_their_kernels(rng):
    """The fast code keeps kernels as its algorithm takes them, for each array."""

    def network(seed):
        layers = L.Convolution2D(16, 16, 3, pad=1), F.relu, L.Linear(16 * 144, 2)
        return build(lambda: chainer.Sequential(*layers), seed=seed, dtype=np.float32)

    with chainer.using_config("dtype", np.dtype(np.float32)):
        model, networks = network(0), [network(i) for i in (1, 2)]
    images = rng.normal(size=(2, 16, 12, 12)).astype("f")
    samples = GradientCalculator(model, class_index=0).compute(
        images, M=4, posterior=EnsemblePosterior(networks)
    )
    for m in range(4):
        alone = GradientCalculator(networks[m % 2], class_index=0).compute(images)
        assert_allclose(samples[m], alone[0], rtol=1e-4, atol=1e-5)
    after = GradientCalculator(model, class_index=0).compute(images)
    assert_array_equal(
        after, GradientCalculator(network(0), class_index=0).compute(images)
    )


def test_bayes_grad_draws_no_dropout_beside_a_posterior_unless_asked(x):
    model = build(MLP, dropout=0.5)
    calculator = BayesGradCalculator(model, class_index=0)
    posterior = EnsemblePosterior([model])
    samples = calculator.compute(x, M=2, posterior=posterior, seed=0)
    assert_array_equal(samples[0], samples[1])
    mean = calculator.compute_aggregate(x, M=2, posterior=posterior, seed=0)
    assert_allclose(mean, samples[0])
    with_dropout = calculator.compute(x, M=2, posterior=posterior, train=True, seed=0)
    assert np.abs(with_dropout[0] - with_dropout[1]).max() > 0.01
    assert_allclose(with_dropout, calculator.compute(x, M=2, seed=0), rtol=1e-9)


def test_the_predicted_class_is_that_of_the_trained_model(x):
    # The outputs of the network of sample 1 are all the same, and it has no argmax.
    model = build(MLP)
    samples = GradientCalculator(model, class_index="argmax").compute(
        x, M=2, posterior=Flat(model)
    )
    assert_array_equal(samples[0], 0)
    by_hand = build(MLP)
    for parameter in by_hand.params():
        parameter.array[...] = 1
    classes = model(x).array.argmax(axis=1)
    alone = GradientCalculator(by_hand, class_index=classes).compute(x)
    assert_allclose(samples[1], alone[0], rtol=1e-9)


def test_one_seed_one_result(x):
    model = build(MLP)
    calculator = GradientCalculator(model, class_index=0)
    first, again, other = (
        calculator.compute(x, M=3, seed=seed, posterior=Walk(model))
        for seed in (1, 1, 2)
    )
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    assert np.abs(first[0] - first[1]).max() > 0.01
    # An example's samples do not depend on those beside it.
    alone = calculator.compute(x[:2], M=3, seed=1, posterior=Walk(model))
    assert_allclose(alone, first[:, :2], rtol=1e-9)
    # Noise does not come from the numbers of the network.
    smooth = SmoothGradCalculator(model, class_index=0)
    noise = smooth.compute(x, M=3, seed=1, posterior=EnsemblePosterior([model]))
    assert_allclose(noise, smooth.compute(x, M=3, seed=1), rtol=1e-9)


def test_a_network_is_drawn_once_for_a_sample_of_a_batch(x):
    class Counting(Walk):
        n_draw = 0

        def draw(self, sample, rng):
            self.n_draw += 1
            return super().draw(sample, rng)

    model, sizes = build(MLP, dropout=0.5), []

    def forward(v):
        sizes.append(len(v))
        return model(v)

    posterior = Counting(model)
    for calculator_class in (GradientCalculator, IntegratedGradientsCalculator):
        calculator = calculator_class(model, eval_fun=forward, class_index=0)
        calculator.compute(x, posterior=posterior, train=True, batchsize=4, **HOW)
        assert posterior.n_draw == 2 * 3
        posterior.n_draw = 0
    assert max(sizes) == 4


def test_attributions_add_up_for_each_network(x):
    model = build(MLP)
    calculator = IntegratedGradientsCalculator(model, class_index=0, steps=32)
    how = {**HOW, "posterior": Walk(model)}
    samples = calculator.compute(x, **how)
    assert np.abs(calculator.convergence_delta(samples, x, **how)).max() < 1e-3
    del how["seed"]
    with pytest.raises(ValueError, match="seed must be the one"):
        calculator.convergence_delta(samples, x, **how)


# --- the promises -----------------------------------------------------------------


@every_calculator_with(every_value, call=CALLS, blows_at=ENDS)
def test_the_model_is_left_as_it_was(new_calculator, call, blows_at, x):
    model = build(MLP, normalize=True, dropout=0.5)
    for parameter in model.params():
        parameter.grad = np.ones_like(parameter.array)
    model.fuse.blows_at = blows_at
    posterior = EnsemblePosterior(members(normalize=True))
    explain = named(call, new_calculator(model, class_index=0))
    before = state_of(model, x)
    kept = pickle.dumps(posterior)
    with blowing(blows_at):
        explain(x, batchsize=2, posterior=posterior, **HOW)
    assert state_of(model, x) == before
    assert pickle.dumps(posterior) == kept


def test_a_forward_that_writes_into_its_parameters_harms_nobody(x):
    class Writing(MLP):
        def forward(self, v):
            self.l1.W.array[...] += 1
            return super().forward(v)

    model = build(Writing)
    networks = members()
    posterior = EnsemblePosterior(networks)
    before = pickle.dumps(posterior)
    GradientCalculator(model, class_index=0).compute(x, posterior=posterior, **HOW)
    assert pickle.dumps(posterior) == before


# --- ensembles --------------------------------------------------------------------


def test_members_may_be_files_and_trainers_snapshots(x, tmp_path):
    networks = members(2, normalize=True)
    paths = [tmp_path / "0.npz", str(tmp_path / "1.npz")]
    for path, network in zip(paths, networks):
        chainer.serializers.save_npz(path, network)
    model = build(MLP, normalize=True)
    calculator = GradientCalculator(model, class_index=0)
    expected = calculator.compute(x, posterior=EnsemblePosterior(networks), **HOW)
    from_files = EnsemblePosterior(paths)
    assert_array_equal(calculator.compute(x, posterior=from_files, **HOW), expected)
    assert len(from_files) == 2
    assert_array_equal(expected[0], expected[2])


def train(model, *, n_epoch, extend=(), out, resume=None):
    """Trains a classifier with Chainer's trainer, and returns it."""
    rng = np.random.default_rng(0)
    data = chainer.datasets.TupleDataset(
        rng.normal(size=(20, 4)), rng.integers(0, 3, 20).astype("i")
    )
    iterator = chainer.iterators.SerialIterator(data, 5, shuffle=False)
    classifier = L.Classifier(model)
    optimizer = chainer.optimizers.SGD(0.1).setup(classifier)
    updater = chainer.training.StandardUpdater(iterator, optimizer)
    trainer = chainer.training.Trainer(updater, (n_epoch, "epoch"), out=str(out))
    for extension in extend:
        trainer.extend(extension)
    if resume is not None:
        chainer.serializers.load_npz(resume, trainer)
    trainer.run()
    return trainer


def test_a_part_of_the_snapshots_of_a_training(x, tmp_path):
    model = build(MLP)
    seen = []
    train(
        model,
        n_epoch=3,
        extend=[
            extensions.snapshot(filename="{.updater.epoch}.npz"),
            chainer.training.make_extension((1, "epoch"))(
                lambda trainer: seen.append(
                    GradientCalculator(model, class_index=0).compute(x)[0]
                )
            ),
        ],
        out=tmp_path,
    )
    posterior = EnsemblePosterior(
        [tmp_path / f"{i}.npz" for i in (1, 2, 3)], path="updater/model:main/predictor"
    )
    samples = GradientCalculator(model, class_index=0).compute(
        x, posterior=posterior, **HOW
    )
    assert_allclose(samples, seen, rtol=1e-9)


def test_a_copy_is_taken_of_links():
    network = build(MLP)
    posterior = EnsemblePosterior([network])
    before = posterior.draw(0, None)["layers/0/W"].copy()
    network.l1.W.array[...] = 7
    assert_array_equal(posterior.draw(0, None)["layers/0/W"], before)


# --- SWAG -------------------------------------------------------------------------


def collected(model, thetas, rank=20):
    swag = SWAGPosterior(model, rank)
    for theta in thetas:
        model.W.array[...] = theta
        swag.collect()
    return swag


@pytest.mark.large
def test_draws_have_the_mean_and_the_covariance_of_the_paper(rng):
    model = L.Linear(2, 2, nobias=True)
    thetas = rng.normal(size=(9, 2, 2)).astype("f")
    swag = collected(model, thetas, rank=4)
    flat = thetas.reshape(9, 4).astype("d")
    # Algorithm 1, written down anew: D holds the differences to the mean so far.
    means = [flat[: i + 1].mean(axis=0) for i in range(9)]
    D = np.array([theta - mean for theta, mean in zip(flat, means)])[-4:]
    diagonal = np.diag((flat**2).mean(axis=0) - flat.mean(axis=0) ** 2)
    covariance = diagonal / 2 + D.T @ D / (2 * (4 - 1))
    draws = np.array([swag.draw(0, rng)["W"].ravel() for _ in range(20000)])
    assert len(swag) == 9
    assert_allclose(draws.mean(axis=0), means[-1], atol=0.03)
    assert_allclose(np.cov(draws.T), covariance, atol=0.04 * covariance.max())


@pytest.mark.large
def test_what_was_collected_less_often_than_the_rank(rng):
    model = L.Linear(2, 2, nobias=True)
    thetas = np.array([np.eye(2), -np.eye(2), np.eye(2)], "f")
    swag = collected(model, thetas, rank=20)
    flat = thetas.reshape(3, 4).astype("d")
    D = np.array([t - flat[: i + 1].mean(axis=0) for i, t in enumerate(flat)])
    covariance = np.diag(flat.var(axis=0)) / 2 + D.T @ D / (2 * (3 - 1))
    draws = np.array([swag.draw(0, rng)["W"].ravel() for _ in range(20000)])
    assert_allclose(np.cov(draws.T), covariance, atol=0.03)


def test_a_training_that_stands_still_draws_its_parameters(x):
    model = build(MLP)
    swag = SWAGPosterior(model)
    swag.collect()
    swag.collect()
    calculator = GradientCalculator(model, class_index=0)
    samples = calculator.compute(x, posterior=swag, **HOW)
    assert_allclose(samples, np.repeat(calculator.compute(x), 3, axis=0), rtol=1e-6)


def test_swag_extends_a_trainer_and_goes_on_where_that_stopped(x, tmp_path):
    whole = build(MLP)
    swag = SWAGPosterior(whole, rank=3)
    train(whole, n_epoch=5, extend=[swag], out=tmp_path)
    assert len(swag) == 5

    first = build(MLP)
    early = SWAGPosterior(first, rank=3)
    trainer = train(first, n_epoch=3, extend=[early], out=tmp_path)
    chainer.serializers.save_npz(tmp_path / "stopped.npz", trainer)
    second = build(MLP, seed=5)
    late = SWAGPosterior(second, rank=3)
    train(
        second, n_epoch=5, extend=[late], out=tmp_path, resume=tmp_path / "stopped.npz"
    )

    results = [
        GradientCalculator(whole, class_index=0).compute(x, posterior=p, **HOW)
        for p in (swag, late)
    ]
    assert_allclose(*results, rtol=1e-6)
    assert np.ptp(results[0], axis=0).max() > 1e-3


def test_swag_is_kept_in_a_file(x, tmp_path):
    model = build(MLP)
    swag = SWAGPosterior(model, rank=3)
    train(model, n_epoch=4, extend=[swag], out=tmp_path)
    chainer.serializers.save_npz(tmp_path / "swag.npz", swag)
    loaded = SWAGPosterior(model, rank=3)
    chainer.serializers.load_npz(tmp_path / "swag.npz", loaded)
    for posterior in (loaded, pickle.loads(pickle.dumps(swag))):
        drawn, expected = (
            p.draw(0, np.random.default_rng(0)) for p in (posterior, swag)
        )
        assert drawn.keys() == expected.keys()
        for name, value in expected.items():
            assert_array_equal(drawn[name], value)
    loaded.collect()
    assert len(loaded) == 5


def test_a_call_with_another_posterior_is_refused(x, tmp_path):
    in_training = build(MLP)
    swag = SWAGPosterior(in_training)
    train(in_training, n_epoch=3, extend=[swag], out=tmp_path)
    calculator = GradientCalculator(build(MLP), class_index=0)
    out = tmp_path / "x.npy"
    first = calculator.compute_aggregate(x, out=out, posterior=swag, **HOW).copy()
    # What is collected is the posterior, not the network that goes on being trained.
    train(in_training, n_epoch=1, out=tmp_path)
    again = calculator.compute_aggregate(x, out=out, posterior=swag, **HOW)
    assert_array_equal(again, first)
    swag.collect()
    with pytest.raises(ValueError, match="posterior is another"):
        calculator.compute_aggregate(x, out=out, posterior=swag, **HOW)


# --- refusals ---------------------------------------------------------------------


class Given(Posterior):
    def __init__(self, network):
        self.network = network

    def draw(self, sample, rng):
        return self.network


def changed(**values):
    network = {k[1:]: p.array for k, p in build(MLP).namedparams()}
    network.update(values)
    return Given({k: v for k, v in network.items() if v is not None})


@pytest.mark.parametrize(
    ("posterior", "error", "message"),
    [
        (changed(**{"layers/0/W": None}), ValueError, "no value .*'layers/0/W'"),
        (changed(**{"layers/7/W": 3}), ValueError, "'layers/7/W', which is no param"),
        (
            changed(**{"layers/0/W": np.zeros((2, 2))}),
            ValueError,
            r"'layers/0/W' of shape \(2, 2\), but the model's is of shape \(6, 4\)",
        ),
        (Given({}), ValueError, "no value for the parameter .*it has none"),
        (changed(**{"layers/0/W": np.full((6, 4), np.nan)}), ValueError, "NaN"),
        ([1, 2], TypeError, r"posterior must be a saliency.Posterior or None, got \[1"),
    ],
)
def test_what_does_not_fit_the_model(posterior, error, message, x):
    model = build(MLP)
    before = state_of(model, x)
    with pytest.raises(error, match=message):
        GradientCalculator(model, class_index=0).compute(x, posterior=posterior)
    assert state_of(model, x) == before


def test_what_has_no_parameters_to_be_drawn(x):
    posterior = EnsemblePosterior([build(MLP)])
    calculator = GradientCalculator(lambda v: v)
    with pytest.raises(TypeError, match=r"posterior needs a model .*got function"):
        calculator.compute(x, posterior=posterior)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ValueError, "members is empty"),
        ("x.npz", TypeError, "members must be a list of files or links, got 'x.npz'"),
        ([3], TypeError, "members must be npz files or links, got int"),
        ([L.Linear(2, 2), L.Linear(2, 2, nobias=True)], ValueError, "'b' is in one"),
    ],
)
def test_what_is_no_ensemble(given, error, message):
    with pytest.raises(error, match=message):
        EnsemblePosterior(given)


def test_a_path_that_is_not_in_the_file(tmp_path):
    chainer.serializers.save_npz(tmp_path / "x.npz", L.Linear(2, 2))
    with pytest.raises(ValueError, match=r"path='predictor/' is not in .*x.npz.* W"):
        EnsemblePosterior([tmp_path / "x.npz"], path="predictor/")


@pytest.mark.parametrize(
    ("model", "rank", "error", "message"),
    [
        (lambda v: v, 20, TypeError, "model must be a chainer.Link, got function"),
        (L.Linear(2, 2), 1, ValueError, "rank must be at least 2, got 1"),
        (L.Linear(2, 2), 2.5, ValueError, "rank must be an int >= 1, got 2.5"),
        (
            chainer.Sequential(L.Linear(2, 2), L.BatchNormalization(2)),
            20,
            ValueError,
            r"without batch normalization.*/1 is a BatchNormalization",
        ),
    ],
)
def test_what_swag_is_not_for(model, rank, error, message):
    with pytest.raises(error, match=message):
        SWAGPosterior(model, rank)


def test_what_swag_cannot_collect_or_draw(x):
    with pytest.raises(ValueError, match="/W is not initialized"):
        SWAGPosterior(L.Linear(None, 2)).collect()
    broken = L.Linear(2, 2)
    broken.W.array[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite parameters"):
        SWAGPosterior(broken).collect()
    model = build(MLP)
    swag = SWAGPosterior(model)
    swag.collect()
    with pytest.raises(ValueError, match=r"at least twice, got 1 times"):
        GradientCalculator(model, class_index=0).compute(x, posterior=swag)

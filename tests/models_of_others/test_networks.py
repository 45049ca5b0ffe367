"""Networks as people write them, each explained as a plain loop explains it."""

from __future__ import annotations

from functools import partial
from itertools import cycle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    BayesGradCalculator,
    DeepLiftCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from saliency.lrp import PRESETS
from tests.models_of_others import images, molecules, recurrent, tables, texts
from tests.models_of_others.cases import CASES, N_EXAMPLE

import chainer

# Paths of two steps are as good as others for what is compared here.
pytestmark = pytest.mark.filterwarnings("ignore:the attributions of")

FAMILIES = [recurrent, texts, images, tables, molecules]

METHODS = {
    "gradient": GradientCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=2),
    "occlusion": partial(OcclusionCalculator, slide_axis=1),
    "lrp": LRPCalculator,
}
#: Of the presets of LRP, those that have most of its rules between them.
FEW_PRESETS = {"epsilon_alpha2_beta1_flat", "deep_taylor"}
#: Those with a rule at the first layer for which 0 is a number like others.
OF_FIRST_LAYER = {
    *("epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box"),
    *("deep_taylor", "zbab", "wwab"),
}
#: The rules with a box want data in it.
BOX = {"low": -40.0, "high": 40.0}
#: How near results are to those of a plain loop, and to those of other passes.
PLAIN = {"d": 1e-12, "f": 1e-6}
NEAR = {"d": 1e-9, "f": 1e-5}
#: With the first, all examples share a pass; with the second, the last one is alone.
TOGETHER, APART = 16, N_EXAMPLE - 1


def marks(case, *checks):
    """Returns the marks of a test that is made of some checks."""
    reasons = [case.without[check] for check in checks if check in case.without]
    return [pytest.mark.skip(reason=reason) for reason in reasons]


def every_network(*checks, cases=CASES):
    """Runs a test with every network that its checks are for."""
    networks = [
        pytest.param(name, marks=marks(case, *checks), id=name)
        for name, case in cases.items()
    ]
    return pytest.mark.parametrize("name", networks)


class Explained:
    """A network with its data, in one dtype."""

    def __init__(self, name, dtype=None):
        self.case = CASES[name]
        self.dtype = dtype or self.case.dtypes[0]
        self.model, self.data = self.case.model(self.dtype), self.case.data(self.dtype)

    def by(self, new, settings=None, data=None, **how):
        """Returns samples by a method, of all examples or some."""
        calculator = self.case.calculator(new, self.model, **(settings or {}))
        data = self.data if data is None else data
        how = {"converter": self.case.converter, "show_progress": False, **how}
        return calculator.compute(data, **how)

    def alone(self, i, new, settings=None):
        """Returns the sample of one example, without any other beside it."""
        return self.by(new, settings, self.data[i : i + 1])

    def assert_near(self, found, expected, rtol=None):
        """Compares samples of which one may be padded further than the other."""
        n = min(found.shape[2:3], expected.shape[2:3])
        kept = (slice(None), slice(None), *map(slice, n))
        rest = (slice(None), slice(None), *(slice(i, None) for i in n))
        assert np.isnan(found[rest]).all()
        assert np.isnan(expected[rest]).all()
        rtol = rtol or NEAR[self.dtype]
        atol = rtol * np.nanmax(np.abs(expected))
        assert_allclose(found[kept], expected[kept], rtol=rtol, atol=atol)

    def check_folding(self, new, batchsizes=(1, APART), **how):
        """Checks that samples differ, and do not depend on which share a pass."""
        samples = partial(self.by, new, M=2, seed=0, **how)
        expected = samples(batchsize=TOGETHER)
        assert np.nanmax(np.ptp(expected, axis=0)) > 0
        for batchsize in batchsizes:
            self.assert_near(samples(batchsize=batchsize), expected)

    def check_presets(self, presets):
        """Checks that no other example has a part in the relevance of one."""
        if "first" in self.case.without:
            presets = presets - OF_FIRST_LAYER
        # The first example and the last one take turns.
        for preset, i in zip(sorted(presets), cycle((0, N_EXAMPLE - 1))):
            settings = {"rule": preset, **BOX}
            together = self.by(LRPCalculator, settings, batchsize=TOGETHER)
            alone = self.alone(i, LRPCalculator, settings)
            self.assert_near(alone, together[:, i : i + 1], 1e-6)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=[pytest.mark.large] * (i > 0))
        for name, case in CASES.items()
        for i, dtype in enumerate(case.dtypes)  # the widest first
    ],
)
def test_the_gradient_is_that_of_a_plain_loop(name, dtype):
    this = Explained(name, dtype)
    found = this.by(GradientCalculator)
    assert found.dtype == np.dtype(dtype)
    assert np.nanmax(abs(found)) > 0
    for i, example in enumerate(this.data):
        _, gradient = this.case.plain(this.case.model(dtype), example)
        expected = gradient.reshape(1, 1, *gradient.shape[-found.ndim + 2 :])
        this.assert_near(found[:, i : i + 1], expected, PLAIN[dtype])


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(
            name,
            method,
            # What they share, the gradient shows.
            marks=[*marks(case, method), *[pytest.mark.large] * (method != "gradient")],
            id=f"{name}-{method}",
        )
        for name, case in CASES.items()
        for method in METHODS
    ],
)
def test_the_batch_changes_nothing(name, method):
    this = Explained(name)
    new = METHODS[method]
    expected = this.by(new, batchsize=TOGETHER)
    this.assert_near(this.by(new, batchsize=APART), expected)
    if method == "gradient":
        # What all methods share is the network's: its state, and how it is padded.
        assert_array_equal(this.by(new, batchsize=TOGETHER), expected)
        this.assert_near(this.by(new, batchsize=1), expected)
        this.assert_near(this.alone(0, new), expected[:, :1])


@pytest.mark.large
@every_network()
def test_noise_is_the_same_however_samples_are_folded(name):
    # Where gradients are constant, noise is seen in what they are multiplied by.
    new = partial(SmoothGradCalculator, multiply_target=True)
    Explained(name).check_folding(new, [APART])


DRAWING = {name: case for name, case in CASES.items() if case.draws}


@every_network(cases=DRAWING)
def test_dropout_is_the_same_however_samples_are_folded(name):
    Explained(name).check_folding(BayesGradCalculator)


@pytest.mark.large
@every_network("lrp", "lrp in training", cases=DRAWING)
def test_relevance_is_the_same_however_samples_are_folded(name):
    noise = GaussianNoiseSampler()
    Explained(name).check_folding(LRPCalculator, train=True, noise_sampler=noise)


@pytest.mark.large
@every_network("lrp", "conservation")
def test_without_biases_all_relevance_gets_to_the_target(name):
    this = Explained(name)
    take_biases(this.model)
    relevance = this.by(LRPCalculator, {"rule": "lrp0"})
    found = np.nansum(relevance.reshape(N_EXAMPLE, -1), axis=1)
    for i, example in enumerate(this.data):
        model = this.case.model(this.dtype)
        take_biases(model)
        expected, _ = this.case.plain(model, example)
        assert found[i] == pytest.approx(expected, NEAR[this.dtype])


def take_biases(model):
    """Sets to zero all that is added to what comes from the input."""
    for path, parameter in model.namedparams():
        name = path.rsplit("/", 1)[1]
        if name == "beta" or name.rstrip("0123456789") == "b":
            parameter.array[...] = 0
    for link in model.links():
        if hasattr(link, "avg_mean"):
            link.avg_mean[...] = 0


#: Networks whose contributions cannot add up, or that DeepLIFT refuses, and why.
NOT_OF_DEEP_LIFT = {
    "ArraysBesideVariables": "a part of x is cut off from the graph",
    "Forgets": "what F.forget hides is not in the graph",
    "Forces": "the functions of a backward pass have no multipliers",
    "SchNetForces": "the functions of a backward pass have no multipliers",
    "GradientPenalty": "the functions of a backward pass have no multipliers",
}
#: Of the others, those that have most kinds of functions between them.
FEW_OF_DEEP_LIFT = {
    *("SqueezeAndExcitation", "SSD", "SpatialTransformer", "TransformerEncoder"),
    *("TreeLSTM", "TextRNN", "GGNN", "Highway", "MixtureOfExperts"),
}
#: How near sums of contributions are to the difference of the scores.
ADD_UP = {"d": 1e-10, "f": 1e-6}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(
            name,
            dtype,
            id=f"{name}-{dtype}",
            marks=[pytest.mark.large] * (name not in FEW_OF_DEEP_LIFT),
        )
        for name, case in CASES.items()
        for dtype in case.dtypes
        if name not in NOT_OF_DEEP_LIFT
    ],
)
def test_the_contributions_of_deep_lift_add_up(name, dtype):
    this = Explained(name, dtype)
    how = {"converter": this.case.converter, "show_progress": False}
    calculator = this.case.calculator(DeepLiftCalculator, this.model, baseline=0.1)
    explanation = calculator.explain(this.data, **how)
    delta = calculator.convergence_delta(explanation.values[None], this.data, **how)
    scores = abs(np.asarray(explanation.scores)).max()
    assert abs(delta).max() <= ADD_UP[dtype] * scores


@every_network(cases={n: c for n, c in CASES.items() if n in NOT_OF_DEEP_LIFT})
def test_what_deep_lift_cannot_explain_is_told(name):
    this = Explained(name)
    if name == "ArraysBesideVariables":
        with pytest.warns(UserWarning, match="cut off from the graph"):
            this.by(DeepLiftCalculator, {"baseline": 0.1})
    else:
        with pytest.raises(ValueError, match="no contribution goes through"):
            this.by(DeepLiftCalculator)


@pytest.mark.large
@every_network("lrp")
def test_relevance_of_an_example_is_its_own(name):
    Explained(name).check_presets(FEW_PRESETS)


#: The other presets, three of them for each network in turn.
_TURNS = cycle(sorted(PRESETS.keys() - FEW_PRESETS))
MORE_PRESETS = {name: {next(_TURNS) for _ in range(3)} for name in CASES}


@pytest.mark.large
@every_network("lrp")
def test_relevance_of_an_example_is_its_own_by_other_presets(name):
    Explained(name).check_presets(MORE_PRESETS[name])


@pytest.mark.large
@every_network()
def test_nothing_is_left_changed(name):
    this = Explained(name, dtype="f")
    before = held(this.model), held(this.data)
    for method, new in METHODS.items():
        if this.case.without.keys().isdisjoint({method, f"{method} in training"}):
            this.by(new, data=this.data[:2], train=this.case.draws, seed=0)
            assert (held(this.model), held(this.data)) == before, method


def held(value):
    """Returns all that a network or data holds, arrays as bytes."""
    if isinstance(value, chainer.Parameter):
        return held(value.array), value.is_initialized and held(value.grad)
    if isinstance(value, chainer.Variable):
        return id(value), held(value.array)
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, chainer.Link):
        return {k: held(v) for k, v in vars(value).items()}
    if isinstance(value, (list, tuple)):
        return [held(v) for v in value]
    if isinstance(value, dict):
        return {k: held(v) for k, v in value.items()}
    return value


def test_there_are_at_least_thirty_networks_and_several_of_each_family():
    networks = {case.network for case in CASES.values()}
    assert len(networks) >= 30
    for family in FAMILIES:
        assert sum(n.__module__ == family.__name__ for n in networks) >= 5

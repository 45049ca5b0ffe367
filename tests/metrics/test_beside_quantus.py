"""Beside Quantus: the same numbers on the same arrays, or by which definition not.

Hedström et al. (2023), "Quantus: an explainable AI toolkit for responsible evaluation
of neural network explanations and beyond", JMLR 24(34). The networks have equal
weights. docs/metrics.md has the differences in a table.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import GradientCalculator
from saliency.calculator.randomness.random_streams import RandomStreams
from saliency.metrics import (
    ROAD,
    Completeness,
    Complexity,
    EfficientModelRandomisation,
    FaithfulnessCorrelation,
    Infidelity,
    LocalisationAUC,
    LocalLipschitz,
    MaxSensitivity,
    ModelRandomisation,
    PixelFlipping,
    PointingGame,
    RandomLogit,
    RelevanceMass,
    RelevanceRank,
    SensitivityN,
    Sparseness,
)
from saliency.metrics.neighbours import Neighbours
from saliency.metrics.randomised_network import RandomisedNetwork

import chainer
import chainer.functions as F
import chainer.links as L

REASON = "Quantus runs beside it where it is: pip install quantus torch"
torch = pytest.importorskip("torch", reason=REASON)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus", reason=REASON)

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Quantus
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 1, 4, 4)).astype("float32")
Y = np.array([0, 1, 2, 1, 0])
SCORES = RNG.standard_normal((5, 1, 4, 4)).astype("float32")
SQUARES = np.arange(4).reshape(1, 2, 2).repeat(2, axis=1).repeat(2, axis=2)
TRUTH = np.concatenate([np.roll(SQUARES == 1, i, axis=2) for i in range(5)])
#: Quantus divides scores by the largest of the batch before, unless it is told not to.
PLAIN = {"normalise": False, "disable_warnings": True}


class Net(chainer.Chain):
    """Two layers."""

    def __init__(self, n_class=3):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(16, 6)
            self.l2 = L.Linear(6, n_class)
        rng = np.random.default_rng(7)
        for _, parameter in sorted(self.namedparams()):
            parameter.array[...] = rng.standard_normal(parameter.shape) / 2

    def forward(self, x):
        return self.l2(F.tanh(self.l1(x)))


class Drawn(torch.nn.Linear):
    """A layer that is reset to what has been drawn for it before."""

    next = None

    def reset_parameters(self):
        for parameter, values in zip((self.weight, self.bias), self.next or ()):
            parameter.data = torch.tensor(values)


class Twin(torch.nn.Module):
    """The same network in PyTorch."""

    def __init__(self, net, next_parameters=None):
        super().__init__()
        for name in ("l1", "l2"):
            link = net[name]
            layer = Drawn(link.W.shape[1], link.W.shape[0])
            layer.next = link.W.array, link.b.array
            layer.reset_parameters()
            if next_parameters is not None:
                layer.next = [next_parameters[f"{name}/{p}"] for p in "Wb"]
            setattr(self, name, layer)
        self.eval()

    def forward(self, x):
        return self.l2(torch.tanh(self.l1(x.flatten(1))))


NET = Net()
TWIN = Twin(NET)
BY_CLASS = {"class_index": Y}


def gradient(model, inputs, targets, **_):
    """Returns the gradients of the scores of classes, as Quantus asks for them."""
    x = torch.tensor(np.asarray(inputs), dtype=torch.float32, requires_grad=True)
    model(x)[torch.arange(len(x)), torch.tensor(targets)].sum().backward()
    return x.grad.numpy()


def theirs(metric, scores=SCORES, model=TWIN, y=Y, x=X, **how):
    a = None if scores is None else scores.copy()  # some change it
    how = {"softmax": False, **how}
    found = metric(model=model, x_batch=x, y_batch=y, a_batch=a, **how)
    return found if isinstance(found, dict) else np.asarray(found)


def of_truth(metric, scores=SCORES):
    return theirs(metric, scores, s_batch=TRUTH[:, None])


def test_the_twin_has_the_same_scores():
    assert_allclose(TWIN(torch.tensor(X)).detach().numpy(), NET(X).array, atol=1e-6)


class TestRemoval:
    @pytest.mark.parametrize("n", [1, 4])
    def test_pixel_flipping(self, n):
        """Their curve lacks the step at which nothing is removed."""
        metric = quantus.PixelFlipping(
            features_in_step=n, perturb_baseline=0.0, **PLAIN
        )
        ours = PixelFlipping(NET, n_steps=16 // n, **BY_CLASS).compute(SCORES, X)
        assert_allclose(theirs(metric), ours.curve[:, 1:], rtol=1e-4, atol=1e-6)
        assert_allclose(ours.values, (ours.curve[:, :1] - ours.curve).mean(axis=1))

    @pytest.mark.parametrize(
        ("theirs_", "ours_"), [("morf", "most"), ("lerf", "least")]
    )
    def test_region_perturbation(self, theirs_, ours_):
        """It is the fall of f, without the first step."""
        metric = quantus.RegionPerturbation(
            patch_size=2, order=theirs_, perturb_baseline=0.0, **PLAIN
        )
        ours = PixelFlipping(NET, order=ours_, groups=SQUARES, **BY_CLASS)
        curve = ours.compute(SCORES, X).curve
        assert_allclose(theirs(metric), curve[:, :1] - curve[:, 1:], atol=1e-5)

    def test_black_is_the_smallest_value_of_an_image(self):
        metric = quantus.PixelFlipping(perturb_baseline="black", **PLAIN)
        smallest = np.broadcast_to(X.min(axis=(1, 2, 3), keepdims=True), X.shape)
        ours = PixelFlipping(NET, reference=smallest, **BY_CLASS).compute(SCORES, X)
        assert_allclose(theirs(metric), ours.curve[:, 1:], rtol=1e-4, atol=1e-6)

    def test_road(self):
        """It is the accuracy at each percentage, and not f."""
        percentages = [25, 50, 75]
        metric = quantus.ROAD(percentages=percentages, noise=0.0, **PLAIN)
        predicted = NET(X).array.argmax(axis=1)
        found = theirs(metric, y=predicted)

        def is_right(x):  # of examples in the order in which they come
            scores = NET(x).array
            return chainer.Variable(np.eye(3, dtype="float32")[scores.argmax(axis=1)])

        ours = ROAD(NET, eval_fun=is_right, noise=0, share=0.75, n_steps=3)
        curve = ours.replace(class_index=predicted).compute(SCORES, X).curve
        assert_allclose([found[p] for p in percentages], curve[:, 1:].mean(axis=0))


class TestSubsets:
    def test_faithfulness_correlation(self):
        """Over 2000 random subsets it is near that over all of them."""
        metric = quantus.FaithfulnessCorrelation(
            nr_runs=2000,
            subset_size=2,
            perturb_baseline=0.0,
            return_aggregate=False,
            **PLAIN,
        )
        np.random.seed(0)
        ours = FaithfulnessCorrelation(NET, share=2 / 16, n_subsets=120, **BY_CLASS)
        expected = ours.compute(SCORES, X, seed=0).values
        assert_allclose(theirs(metric), expected, atol=0.06)

    def test_sensitivity_n_is_another_number(self):
        """Theirs correlates over examples, pixel after pixel in the order of scores.

        The k-th number has what f has lost without the k + 1 first pixels, and the
        score of the last of them alone. Ours correlates over subsets of one size, for
        each example, which gives 1 for the contributions to a linear f.
        """
        metric = quantus.SensitivityN(
            features_in_step=1, perturb_baseline=0.0, return_aggregate=False, **PLAIN
        )
        linear = L.Linear(16, 3)
        linear.W.array[...] = RNG.standard_normal((3, 16))
        twin = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
        twin[1].weight.data = torch.tensor(linear.W.array)
        twin[1].bias.data = torch.tensor(linear.b.array)
        scores = linear.W.array[Y].reshape(X.shape) * X

        curve = PixelFlipping(linear, **BY_CLASS).compute(scores, X).curve
        falls = curve[:, :1] - curve[:, 1:]
        ordered = -np.sort(-scores.reshape(5, 16), axis=1)
        n = int(0.8 * 16)
        expected = [np.corrcoef(falls[:, k], ordered[:, k])[0, 1] for k in range(n)]
        assert_allclose(theirs(metric, scores, twin), expected, atol=1e-4)
        assert min(expected) < 0.9
        ours = SensitivityN(linear, **BY_CLASS).compute(scores, X, seed=0)
        assert_allclose(ours.curve, 1, atol=1e-4)

    def test_infidelity(self):
        """With one patch, which is the image, there is one change."""
        metric = quantus.Infidelity(
            perturb_patch_sizes=[4], perturb_baseline=0.0, n_perturb_samples=1, **PLAIN
        )
        groups = np.zeros((1, 4, 4), int)
        ours = Infidelity(NET, units="gradient", groups=groups, **BY_CLASS)
        found = ours.compute(SCORES, X, seed=0)
        assert_allclose(theirs(metric), found.values, rtol=1e-4)

    def test_infidelity_of_several_patches(self):
        """Theirs removes patch after patch in the order of places, for good.

        Nothing is drawn, so that all of their samples are the same.
        """
        metric = quantus.Infidelity(
            perturb_patch_sizes=[2], perturb_baseline=0.0, n_perturb_samples=2, **PLAIN
        )
        places = np.broadcast_to(-SQUARES, X.shape).astype("float32")
        curve = PixelFlipping(NET, groups=SQUARES, **BY_CLASS).compute(places, X).curve
        said = [(SCORES * X * (k >= SQUARES)).sum(axis=(1, 2, 3)) for k in range(4)]
        expected = np.square(curve[:, :1] - curve[:, 1:] - np.transpose(said))
        assert_allclose(theirs(metric), expected.mean(axis=1), rtol=1e-4)

    def test_completeness_is_a_bool(self):
        """Theirs asks for the same bits; ours is the distance."""
        constant = Net()
        constant.l1.W.array[...] = 0
        exact = np.broadcast_to((-1.0) ** np.arange(4), X.shape).astype("float32")
        off = exact + np.float32(1 / 16)
        metric = quantus.Completeness(perturb_baseline=0.0, **PLAIN)
        ours = Completeness(constant, **BY_CLASS)
        for scores, distance in ((exact, 0), (off, 1)):
            found = theirs(metric, scores, Twin(constant))
            assert_array_equal(found, distance == 0)
            assert_allclose(ours.compute(scores, X).values, distance)


class TestScores:
    """With ``abs`` where ours is absolute; ties and empty sums are another matter."""

    @pytest.mark.parametrize("channels", [1, 2])
    def test_sparseness_and_complexity(self, channels):
        """Theirs adds 1e-7 to each score, and 1e-12 within the logarithm."""
        scores = RNG.standard_normal((5, channels, 4, 4)).astype("float32")
        for kind, metric in (
            (quantus.Sparseness, Sparseness()),
            (quantus.Complexity, Complexity()),
        ):
            found = theirs(kind(abs=True, **PLAIN), scores, x=scores)
            assert_allclose(found, metric.compute(scores).values, rtol=1e-4)

    def test_localisation(self):
        for metric, ours, scores in (
            (quantus.PointingGame(**PLAIN), PointingGame(TRUTH), SCORES),
            (quantus.RelevanceRankAccuracy(**PLAIN), RelevanceRank(TRUTH), SCORES),
            (quantus.AUC(**PLAIN), LocalisationAUC(TRUTH), SCORES),
            (
                quantus.RelevanceMassAccuracy(abs=True, **PLAIN),
                RelevanceMass(TRUTH, transform="absolute"),
                SCORES,
            ),
            (
                quantus.RelevanceMassAccuracy(**PLAIN),
                RelevanceMass(TRUTH),
                np.maximum(SCORES, 0),
            ),
        ):
            found = of_truth(metric, scores)
            assert_allclose(found, ours.compute(scores[:, 0]).values, rtol=1e-5)

    def test_signed_mass_is_no_share(self):
        """Theirs takes the sum of all signs, which may be near 0; ours takes none."""
        found = of_truth(quantus.RelevanceMassAccuracy(**PLAIN))
        inside = (SCORES[:, 0] * TRUTH).sum(axis=(1, 2))
        assert_allclose(found, inside / SCORES.sum(axis=(1, 2, 3)), rtol=1e-4)
        assert ((found < 0) | (found > 1)).any()

    def test_ties(self):
        """A hit among the largest scores is one in theirs, and a share of one in ours.

        Of pixels with the last score that counts, theirs takes some. Maps that are the
        same everywhere are refused.
        """
        tied = np.ones_like(SCORES)
        tied[:, :, 3] = 0  # twelve pixels are tied, of which four matter
        assert_array_equal(of_truth(quantus.PointingGame(**PLAIN), tied), True)
        assert_allclose(PointingGame(TRUTH).compute(tied[:, 0]).values, 1 / 3)
        four_of_them = of_truth(quantus.RelevanceRankAccuracy(**PLAIN), tied) * 4
        assert_array_equal(four_of_them, four_of_them.round())
        assert_allclose(RelevanceRank(TRUTH).compute(tied[:, 0]).values, 1 / 3)
        found = of_truth(quantus.AUC(**PLAIN), tied)
        assert_allclose(found, LocalisationAUC(TRUTH).compute(tied[:, 0]).values)
        with pytest.raises(AssertionError, match="uniformly distributed"):
            of_truth(quantus.AUC(**PLAIN), np.full_like(tied, 2))


def shared_neighbours(radius, seed=0):
    """Returns a function that disturbs examples for Quantus as ours does."""
    streams, calls = RandomStreams(seed), iter(range(10**6))

    def disturbed(arr, **_):
        near = Neighbours(X, radius, streams, next(calls))
        return near.data.reshape(arr.shape)

    return disturbed


class TestExplainedAgain:
    CALCULATOR = GradientCalculator(NET, class_index=Y)

    def test_max_sensitivity(self):
        metric = quantus.MaxSensitivity(
            nr_samples=5, perturb_func=shared_neighbours(0.3), **PLAIN
        )
        found = theirs(metric, None, explain_func=gradient)
        ours = MaxSensitivity(radius=0.3, n_samples=5).compute(
            self.CALCULATOR, X, seed=0
        )
        assert_allclose(found, ours.values, rtol=1e-3)

    def test_local_lipschitz(self):
        settings = {"nr_samples": 5, "disable_warnings": True}
        metric = quantus.LocalLipschitzEstimate(
            perturb_func=shared_neighbours(0.3), normalise=False, **settings
        )
        found = theirs(metric, None, explain_func=gradient)
        ours = LocalLipschitz(radius=0.3, n_samples=5)
        assert_allclose(
            found, ours.compute(self.CALCULATOR, X, seed=0).values, rtol=1e-3
        )

    def test_by_default_theirs_depends_on_the_other_examples(self):
        """Each batch of maps is divided by its largest score."""
        streams, calls = RandomStreams(0), iter(range(5))
        metric = quantus.LocalLipschitzEstimate(
            nr_samples=5, perturb_func=shared_neighbours(0.3), disable_warnings=True
        )
        found = theirs(metric, None, explain_func=gradient)
        a = gradient(TWIN, X, Y)
        expected = np.zeros(5)
        for sample in calls:
            near = Neighbours(X, 0.3, streams, sample)
            b = gradient(TWIN, near.data, Y)
            change = a / abs(a).max() - b / abs(b).max()
            norms = np.sqrt(np.square(change).sum(axis=(1, 2, 3)))
            expected = np.maximum(expected, norms / near.distances)
        assert_allclose(found, expected, rtol=1e-3)

    def test_random_logit(self):
        """Of two classes, the other one is known. Theirs takes SSIM by default."""
        net, y = Net(n_class=2), Y % 2
        metric = quantus.RandomLogit(
            num_classes=2,
            similarity_func=quantus.similarity_func.correlation_spearman,
            **PLAIN,
        )
        twin = Twin(net)
        found = theirs(metric, gradient(twin, X, y), twin, y, explain_func=gradient)
        calculator = GradientCalculator(net, class_index=y)
        assert_allclose(found, RandomLogit().compute(calculator, X).values, atol=1e-6)

    @pytest.mark.parametrize("transform", ["signed", "absolute"])
    def test_model_randomisation(self, transform):
        """With the same draws. Theirs draws as layers are initialized."""
        network = RandomisedNetwork(NET, "normal", 3)
        network.draw_anew(["/l2"])
        network.draw_anew(["/l1"])
        twin = Twin(NET, network.draw(0, RNG))
        metric = quantus.MPRT(
            layer_order="top_down", abs=transform == "absolute", **PLAIN
        )
        found = theirs(metric, gradient(twin, X, Y), twin, explain_func=gradient)
        assert [*found] == ["original", "l2", "l1"]
        assert_allclose(found["original"], 1)
        ours = ModelRandomisation(transform=transform).compute(
            self.CALCULATOR, X, seed=3
        )
        curve = np.transpose([found["l2"], found["l1"]])
        assert_allclose(curve, ours.curve, atol=1e-6)

    def test_efficient_model_randomisation(self):
        network = RandomisedNetwork(NET, "normal", 3)
        network.draw_anew(["/l1", "/l2"])
        twin = Twin(NET, network.draw(0, RNG))
        metric = quantus.EfficientMPRT(complexity_func_kwargs={"n_bins": 10}, **PLAIN)
        how = {"explain_func": gradient, "softmax": True}  # it looks at outputs as well
        found = theirs(metric, gradient(twin, X, Y), twin, **how)
        ours = EfficientModelRandomisation(n_bins=10)
        expected = ours.compute(self.CALCULATOR, X, seed=3).values
        assert_allclose(found, expected, rtol=1e-4)

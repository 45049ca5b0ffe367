"""The article's code, with ``chainer_chemistry.`` dropped from its imports."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

from link_hooks.variable_monitor_link_hook import VariableMonitorLinkHook
from saliency.calculator.common import GaussianNoiseSampler
from saliency.calculator.gradient_calculator import GradientCalculator
from saliency.calculator.integrated_gradients_calculator import (
    IntegratedGradientsCalculator,
)
from saliency.calculator.occlusion_calculator import OcclusionCalculator
from saliency.visualizer.image_visualizer import ImageVisualizer
from tests.calculator.oracles import loop_over_batches
from tests.networks import Tokens, build, of_chainer

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import training
from chainer.datasets import TupleDataset


class MLP(chainer.Chain):
    """The article's network."""

    def __init__(self, n_units, n_out):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(None, n_units)
            self.l2 = L.Linear(None, n_units)
            self.l3 = L.Linear(None, n_out)

    def forward(self, x):
        h = F.relu(self.l1(x))
        h = F.dropout(h, ratio=0.5)
        h = F.relu(self.l2(h))
        return self.l3(h)


@pytest.fixture(scope="module")
def train():
    dataset = load_iris()
    return TupleDataset(
        dataset.data.astype(np.float32), dataset.target.astype(np.int32)
    )


@pytest.fixture(scope="module")
def classifier(train, tmp_path_factory):
    np.random.seed(0)
    model = L.Classifier(MLP(16, 3))
    optimizer = chainer.optimizers.Adam(0.01)
    optimizer.setup(model)
    iterator = chainer.iterators.SerialIterator(train, 32)
    updater = training.StandardUpdater(iterator, optimizer, device=-1)
    trainer = training.Trainer(
        updater, (20, "epoch"), out=str(tmp_path_factory.mktemp("result"))
    )
    trainer.run()
    return model


class TestIris:
    """Section "table": what is explained is the classifier's loss, on (x, t)."""

    def test_vanilla_grad(self, classifier, train):
        gradient_calculator = GradientCalculator(classifier)
        saliency_samples_vanilla = gradient_calculator.compute(train, M=1)
        assert saliency_samples_vanilla.shape == (1, 150, 4)
        saliency_vanilla = gradient_calculator.aggregate(
            saliency_samples_vanilla, ch_axis=None, method="square"
        )
        assert saliency_vanilla.shape == (150, 4)

        def by_hand(x, t):
            v = chainer.Variable(x.copy())
            with chainer.using_config("train", False):
                classifier(v, t).backward()
            return v.grad

        x, t = (np.stack(column) for column in zip(*train))
        expected = loop_over_batches(by_hand, 16, x, t)
        assert_allclose(saliency_vanilla, expected**2, rtol=1e-4, atol=1e-8)

    @pytest.mark.large
    def test_smooth_grad(self, classifier, train):
        M = 30
        gradient_calculator = GradientCalculator(classifier)
        saliency_samples_smooth = gradient_calculator.compute(
            train, M=M, noise_sampler=GaussianNoiseSampler()
        )
        assert saliency_samples_smooth.shape == (30, 150, 4)
        assert saliency_samples_smooth.std(axis=0).max() > 0
        saliency_smooth = gradient_calculator.aggregate(
            saliency_samples_smooth, ch_axis=None, method="square"
        )
        assert saliency_smooth.mean(axis=0).shape == (4,)

    @pytest.mark.large
    def test_bayes_grad(self, classifier, train):
        M = 30
        gradient_calculator = GradientCalculator(classifier)
        saliency_samples_bayes = gradient_calculator.compute(train, M=M, train=True)
        assert saliency_samples_bayes.shape == (30, 150, 4)
        assert saliency_samples_bayes.std(axis=0).max() > 0

    def test_the_labels_reach_eval_fun(self, classifier, train):
        model = classifier.predictor

        def eval_fun(x, t):
            return F.softmax_cross_entropy(model(x), t)

        by_eval_fun = GradientCalculator(model, eval_fun=eval_fun).compute(train)
        by_classifier = GradientCalculator(classifier).compute(train)
        assert_allclose(by_eval_fun, by_classifier, rtol=1e-5, atol=1e-8)


class TestVariableMonitorLinkHook:
    """Section "link hook"."""

    @pytest.fixture
    def model(self, classifier):
        return classifier.predictor

    @pytest.fixture
    def x(self, train):
        return np.stack([x for x, _ in train])[:5]

    def test_get_variable(self, model, x):
        hook = VariableMonitorLinkHook(model.l1, timing="post")
        with hook:
            model(x)
        assert hook.get_variable().shape == (5, 16)
        assert_array_equal(hook.get_variable().array, model.l1(x).array)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_add_process_and_delete_process(self, model, x, in_place):
        def zeros(hook, args, target_variable):
            if in_place:
                target_variable.array[:] = 0
            else:
                target_variable.array = np.zeros_like(target_variable.array)

        hook = VariableMonitorLinkHook(model.l1, timing="post")
        with chainer.using_config("train", False):
            before = model(x).array
            with hook:
                hook.add_process("/process/zeros", zeros)
                without_l1 = model(x).array
                assert_array_equal(hook.get_variable().array, 0)
                hook.delete_process("/process/zeros")
                assert_array_equal(model(x).array, before)
            expected = model.l3(F.relu(model.l2(np.zeros((5, 16), np.float32)))).array
        assert_array_equal(without_l1, expected)


class TestEmbedding:
    """Section "molecules": saliency at the embedding of atom numbers."""

    @pytest.fixture
    def model(self):
        return build(Tokens, dtype=np.float32)

    @pytest.fixture
    def atoms(self, rng):
        return rng.integers(1, 10, (20, 6)).astype(np.int32)

    def test_gradient_with_eval_fun(self, model, atoms):
        def eval_fun(x):
            return F.sum(model(x))

        calculator = GradientCalculator(
            model,
            eval_fun=eval_fun,
            target_extractor=VariableMonitorLinkHook(model.embed, timing="post"),
            device=-1,
        )
        saliency_samples = calculator.compute(atoms, M=1)
        saliency = calculator.aggregate(saliency_samples, ch_axis=3, method="square")
        assert saliency.shape == (20, 6)

    def test_integrated_gradients(self, model, atoms):
        calculator = IntegratedGradientsCalculator(
            model,
            steps=5,
            eval_fun=None,
            target_extractor=VariableMonitorLinkHook(model.embed, timing="post"),
            device=-1,
        )
        saliency_samples = calculator.compute(atoms, M=1)
        assert saliency_samples.shape == (1, 20, 6, 4)
        assert_allclose(
            calculator.convergence_delta(saliency_samples, atoms), 0, atol=1e-3
        )

    def test_occlusion(self, model, atoms):
        calculator = OcclusionCalculator(
            model,
            target_extractor=VariableMonitorLinkHook(model.embed, timing="post"),
            slide_axis=1,
            device=-1,
        )
        saliency_samples = calculator.compute(atoms, M=1)
        assert saliency_samples.shape == (1, 20, 6, 1)
        saliency = calculator.aggregate(saliency_samples, ch_axis=3, method="raw")
        assert saliency.shape == (20, 6)


def test_modules_are_where_the_article_has_them():
    from saliency.calculator import gradient_calculator, occlusion_calculator

    assert gradient_calculator.GradientCalculator is GradientCalculator
    assert occlusion_calculator.OcclusionCalculator is OcclusionCalculator


@pytest.fixture(scope="module")
def predictor():
    model = of_chainer("VGG16Layers")
    for link in model.children():
        # The layers' own first weights would let nothing through to the top.
        link.W.array *= 100 * np.sqrt(2 / (link.W.size // len(link.W)))
    return model


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.normal(0, 50, (2, 3, 224, 224)).astype(np.float32)


@pytest.mark.large
class TestVGG16:
    """Section "image", with random weights in place of the trained ones."""

    @pytest.fixture
    def eval_fun(self, predictor):
        def eval_fun(x):
            result = predictor(x, layers=["fc8"])
            out = result["fc8"]
            xp = chainer.backend.get_array_module(out.array)
            labels_pred = xp.argmax(out.array, axis=1).astype(xp.int32)
            return F.softmax_cross_entropy(-out, labels_pred)

        return eval_fun

    def test_vanilla_grad(self, predictor, images, eval_fun):
        gradient_calculator = GradientCalculator(
            predictor, eval_fun=eval_fun, device=-1
        )
        saliency_samples_vanilla = gradient_calculator.compute(images, M=1, batchsize=2)
        assert saliency_samples_vanilla.shape == (1, 2, 3, 224, 224)
        saliency_vanilla = gradient_calculator.aggregate(
            saliency_samples_vanilla, ch_axis=2, method="square"
        )
        assert saliency_vanilla.shape == (2, 224, 224)
        figure = ImageVisualizer().visualize(
            saliency_vanilla[0], images[0].transpose(1, 2, 0).clip(0, 1)
        )
        assert figure.axes[0].images

    @pytest.mark.parametrize(
        "how",
        [{"noise_sampler": GaussianNoiseSampler()}, {"train": True}],
        ids=["smooth_grad", "bayes_grad"],
    )
    def test_several_samples(self, predictor, images, eval_fun, how):
        gradient_calculator = GradientCalculator(predictor, eval_fun=eval_fun)
        saliency_samples = gradient_calculator.compute(images[:1], M=2, **how)
        assert saliency_samples.shape == (2, 1, 3, 224, 224)
        assert saliency_samples.std(axis=0).max() > 0

"""Several targets at once: inputs, links, or both, explained together."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    DeconvnetCalculator,
    EnsemblePosterior,
    GaussianNoiseSampler,
    GradCAMCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedIntegratedGradientsCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from tests.calculator.oracles import run
from tests.networks import CNN, MLP, TwoInputs, build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import concat_examples


class Joined(chainer.Chain):
    """A network whose input comes in two parts."""

    def __init__(self, network):
        super().__init__()
        with self.init_scope():
            self.network = network

    def forward(self, x, z):
        return self.network(F.concat([x, z], axis=1))


class Pair(chainer.Chain):
    """How well a document answers a query; both are rows of tokens."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.query = L.EmbedID(9, 3)
            self.document = L.EmbedID(9, 4)
            self.match = Match()

    def forward(self, query, document):
        return self.match(self.query(query), self.document(document))


class Match(chainer.Chain):
    """The same for tokens that have been embedded; zeros are padding."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.of_query = L.Linear(3, 5, nobias=True)
            self.of_document = L.Linear(4, 5, nobias=True)
            self.out = L.Linear(5, 1)

    def forward(self, query, document):
        q = F.sum(F.tanh(self.of_query(query, n_batch_axes=2)), axis=1)
        d = F.sum(F.tanh(self.of_document(document, n_batch_axes=2)), axis=1)
        return self.out(F.tanh(q) * F.sigmoid(d))


class ImageAndRow(chainer.Chain):
    """What three scores are made of: an image and a row of a table."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 3, 3, pad=1)
            self.row = L.Linear(6, 3)
            self.out = L.Linear(3, 3)

    def forward(self, image, row):
        seen = F.sum(F.tanh(self.conv(image)), axis=(2, 3))
        return self.out(F.tanh(seen) * F.tanh(self.row(row)))


@pytest.fixture
def data(rng):
    return rng.normal(size=(7, 4)), rng.normal(size=(7, 3))


@pytest.fixture
def tokens(rng):
    return tuple(rng.integers(0, 9, (5, n)).astype(np.int32) for n in (3, 6))


def at_embeddings(model, **settings):
    return [
        VariableMonitorLinkHook(link, **settings)
        for link in (model.query, model.document)
    ]


METHODS = {
    "gradient": GradientCalculator,
    "times_target": partial(GradientCalculator, multiply_target=True),
    "bayes_grad": BayesGradCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=5),
    "expected_gradients": partial(
        IntegratedGradientsCalculator, steps=3, baseline=[0.5, "mean"]
    ),
    "adaptive": partial(IntegratedGradientsCalculator, steps=7, method="adaptive"),
    "guided_paths": partial(
        GuidedIntegratedGradientsCalculator, steps=4, max_distance=0.4, baseline=0.5
    ),
    "lrp_epsilon": LRPCalculator,
    "lrp_alpha_beta": partial(LRPCalculator, rule="alpha2_beta1"),
    "occlusion": partial(OcclusionCalculator, slide_axis=1),
    "guided": GuidedBackpropCalculator,
    "deconvnet": DeconvnetCalculator,
}
every_method = pytest.mark.parametrize(
    "new_calculator", METHODS.values(), ids=list(METHODS)
)


class TestTwinWithOneInput:
    """Where inputs are concatenated first, one target holds them all."""

    @every_method
    @pytest.mark.parametrize("batchsize", [3, 64])
    def test_gives_the_same(self, new_calculator, batchsize, data):
        twin = build(MLP, 7, activation=F.relu, depth=3, dropout=0.3)
        how = {"class_index": 1}
        one = new_calculator(twin, **how)
        two = new_calculator(Joined(twin), targets="all", **how)
        drawn = {"M": 3, "seed": 0, "train": new_calculator is BayesGradCalculator}
        expected = one.compute(np.concatenate(data, axis=1), **drawn)
        found = two.compute(data, batchsize=batchsize, **drawn)
        assert [x.shape for x in found] == [(3, 7, 4), (3, 7, 3)]
        assert_allclose(np.concatenate(found, axis=2), expected, rtol=0, atol=1e-12)

    def test_has_baselines_that_are_concatenated_too(self, data):
        twin = build(MLP, 7)
        x0, z0 = np.arange(4.0), np.full((7, 3), 0.5)
        both = np.concatenate([np.broadcast_to(x0, (7, 4)), z0], axis=1)
        one = IntegratedGradientsCalculator(twin, class_index=0, baseline=both)
        two = IntegratedGradientsCalculator(
            Joined(twin), class_index=0, baseline=(x0, z0), targets="all"
        )
        expected = one.compute(np.concatenate(data, axis=1))
        found = np.concatenate(two.compute(data), axis=2)
        assert_allclose(found, expected, rtol=0, atol=1e-12)

    def test_takes_several_baselines_one_for_each_target(self, data):
        model = build(TwoInputs)
        new = partial(IntegratedGradientsCalculator, model, targets="all")
        pairs = [(0.5, "mean"), (None, lambda z: z / 2)]
        expected = [new(baseline=pair).compute(data) for pair in pairs]
        found = new(baseline=pairs).compute(data)
        for x, parts in zip(found, zip(*expected)):
            assert_allclose(x, sum(parts) / 2, rtol=0, atol=1e-12)

    def test_has_noise_that_is_added_to_both(self, data):
        class Constant:
            def sample(self, array):
                return np.full_like(array, 0.25)

        twin = build(MLP, 7)
        how = {"M": 1, "noise_sampler": Constant()}
        joined = np.concatenate(data, axis=1)
        expected = SmoothGradCalculator(twin, class_index=0).compute(joined, **how)
        two = SmoothGradCalculator(Joined(twin), class_index=0, targets="all")
        found = np.concatenate(two.compute(data, **how), axis=2)
        assert_allclose(found, expected, rtol=0, atol=1e-12)


class TestTargets:
    def test_may_be_inputs_by_position(self, data):
        model = build(TwoInputs)
        of_x = GradientCalculator(model).compute(data)
        of_z = GradientCalculator(model, eval_fun=lambda z, x: model(x, z))
        of_z = of_z.compute(data[::-1])
        found = GradientCalculator(model, targets=(1, 0)).compute(data)
        assert isinstance(found, tuple)
        assert_array_equal(found[0], of_z)
        assert_array_equal(found[1], of_x)
        (alone,) = GradientCalculator(model, targets=[1]).compute(data)
        assert_array_equal(alone, of_z)

    def test_all_leaves_out_what_is_not_of_floats(self, data, rng):
        model = build(TwoInputs)
        numbers = rng.integers(0, 3, 7)
        calculator = GradientCalculator(
            model, eval_fun=lambda n, x, z: model(x, z) * n[:, None], targets="all"
        )
        assert [x.shape for x in calculator.compute((numbers, *data))] == [
            (1, 7, 4),
            (1, 7, 3),
        ]

    @pytest.mark.filterwarnings("ignore:no rectifier")
    @every_method
    def test_may_be_links(self, new_calculator, tokens):
        """The embeddings of two links, beside the network behind them."""
        model = build(Pair)
        embedded = [
            run(link, ids) for link, ids in zip((model.query, model.document), tokens)
        ]
        how = {"class_index": 0}
        calculator = new_calculator(model, at_embeddings(model), **how)
        found = calculator.compute(tokens, seed=0, batchsize=2)
        behind = new_calculator(model.match, targets="all", **how)
        expected = behind.compute(tuple(embedded), seed=0)
        for x, y in zip(found, expected):
            assert_allclose(x, y, rtol=0, atol=1e-12)

    def test_may_be_inputs_and_links(self, data):
        model = build(TwoInputs)
        hook = VariableMonitorLinkHook(model.of_x)
        calculator = GradientCalculator(model, targets=(1, hook), class_index=0)
        of_z, at_hidden = calculator.compute(data)
        (expected,) = GradientCalculator(model, targets=[1]).compute(data)
        assert_array_equal(of_z, expected)
        expected = GradientCalculator(model, hook).compute(data)
        assert_array_equal(at_hidden, expected)

    def test_may_lead_to_each_other_where_they_are_read_alone(self, data):
        model = build(TwoInputs)
        hook = VariableMonitorLinkHook(model.of_x)
        found = GradientCalculator(model, targets=(0, hook)).compute(data)
        assert_array_equal(found[0], GradientCalculator(model).compute(data))
        assert_array_equal(found[1], GradientCalculator(model, hook).compute(data))

    def test_is_one_way_back_for_all(self, data):
        calls = []

        class Output(chainer.FunctionNode):
            def forward(self, inputs):
                return inputs

            def backward(self, indexes, grads):
                calls.append(len(indexes))
                return grads

        model = build(TwoInputs)
        calculator = GradientCalculator(
            model,
            eval_fun=lambda x, z: Output().apply((model(x, z),))[0],
            targets="all",
            multiply_target=True,
        )
        calculator.compute(data, batchsize=4)
        assert calls == [1, 1]  # one for each pass


class TestCompleteness:
    @pytest.mark.parametrize("method", ["gauss_legendre", "adaptive"])
    def test_is_of_all_targets_together(self, method, data):
        model = build(TwoInputs)
        baseline = (np.full(4, 0.5), None)
        calculator = IntegratedGradientsCalculator(
            model, targets="all", baseline=baseline, steps=32, method=method
        )
        samples = calculator.compute(data)
        start = np.full((7, 4), 0.5), np.zeros((7, 3))
        difference = run(model, *data)[:, 0] - run(model, *start)[:, 0]
        total = sum(x[0].sum(axis=1) for x in samples)
        assert_allclose(total, difference, rtol=0, atol=1e-9)
        assert abs(samples[1]).max() > 0.1
        delta = calculator.convergence_delta(samples, data)
        assert_allclose(delta[0], total - difference, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("steps", [1, 32])
    def test_a_warning_says_where_they_miss_it_together(self, steps, data):
        calculator = IntegratedGradientsCalculator(
            build(TwoInputs), targets="all", steps=steps, baseline=(-3.0, 3.0)
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            calculator.compute(data)
        assert len(caught) == (steps == 1)
        assert all("f(x) - f(baseline)" in str(one.message) for one in caught)

    def test_convergence_delta_draws_the_same_noise(self, data):
        model = build(TwoInputs)
        calculator = IntegratedGradientsCalculator(model, targets="all", steps=24)
        how = {"M": 3, "noise_sampler": GaussianNoiseSampler(), "seed": 1}
        samples = calculator.compute(data, **how)
        delta = calculator.convergence_delta(samples, data, **how)
        assert delta.shape == (3, 7)
        assert_allclose(delta, 0, atol=1e-8)

    @pytest.mark.parametrize("rule", ["lrp0", "alpha1_beta0"])
    def test_relevance_of_all_targets_is_that_of_the_output(self, rule, data):
        model = Joined(build(MLP, 7, activation=F.relu, depth=3))
        for path, parameter in model.namedparams():
            parameter.array[...] *= not path.endswith("/b")
        calculator = LRPCalculator(model, rule=rule, targets="all")
        samples = calculator.compute(data)
        total = sum(x[0].sum(axis=1) for x in samples)
        assert_allclose(total, run(model, *data).max(axis=1), rtol=1e-9)
        report = calculator.conservation(data)
        assert_allclose(report.start, total.sum(), rtol=1e-9)

    def test_layers_see_the_relevance_of_all_targets(self, data):
        twin = build(MLP, 7, depth=3)
        joined = np.concatenate(data, axis=1)
        expected = LRPCalculator(twin).compute_layers(joined, ["/layers/1"])
        calculator = LRPCalculator(Joined(twin), targets="all")
        found = calculator.compute_layers(data, ["/network/layers/1"])
        assert_allclose(found["/network/layers/1"], expected["/layers/1"], rtol=1e-12)


class Squares(chainer.Link):
    """The gradient tells what the input was."""

    def forward(self, x, z):
        return F.sum(x**2 / 2, axis=1) + F.sum(z**2 / 2, axis=1)


class TestOcclusion:
    @pytest.mark.parametrize("class_index", [1, "all"], ids=str)
    @pytest.mark.parametrize("batchsize", [1, 4, 64])
    def test_covers_one_target_after_the_other(self, class_index, batchsize, rng):
        images, rows = rng.normal(size=(5, 2, 4, 4)), rng.normal(size=(5, 6))
        model = build(ImageAndRow)
        new = partial(OcclusionCalculator, class_index=class_index)
        both = new(
            model,
            targets="all",
            size=((2, 3), 4),
            slide_axis=((2, 3), (1,)),
            stride=((2, 1), None),
            fill=("mean", 0.5),
        )
        of_images = new(model, size=(2, 3), stride=(2, 1), fill="mean")
        of_rows = new(
            model,
            eval_fun=lambda row, image: model(image, row),
            size=4,
            slide_axis=1,
            fill=0.5,
        )
        found = both.compute((images, rows), batchsize=batchsize)
        assert_allclose(found[0], of_images.compute((images, rows)), atol=1e-12)
        assert_allclose(found[1], of_rows.compute((rows, images)), atol=1e-12)

    def test_explains_integers_where_they_are_asked_for(self, data, rng):
        model = build(TwoInputs)
        numbers = rng.integers(1, 4, (7, 3))
        calculator = OcclusionCalculator(model, targets=(0, 1), slide_axis=1)
        scaled = calculator.replace(
            eval_fun=lambda x, n: model(x, n.array.astype("d") / 2)
        )
        found = scaled.compute((data[0], numbers))
        expected = calculator.compute((data[0], numbers / 2))
        for x, y in zip(found, expected):
            assert_allclose(x, y, rtol=0, atol=1e-6)

    def test_a_loss_of_the_batch_is_explained_for_each_example(self, data):
        model = build(TwoInputs)
        how = {"slide_axis": 1, "targets": "all"}
        of_batch = OcclusionCalculator(
            model, eval_fun=lambda x, z: F.sum(model(x, z)), **how
        )
        expected = OcclusionCalculator(model, **how).compute(data)
        for x, y in zip(of_batch.compute(data, batchsize=4), expected):
            assert_allclose(x, y, rtol=0, atol=1e-12)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"slide_axis": (1, (1,), (1,))}, "slide_axis=.* each of 2 targets"),
            (
                {"slide_axis": (2, 3)},
                "target 0: slide_axis must .* one for each target",
            ),
            ({"size": ((2,), (4,))}, "target 1: size must not be larger"),
            ({"fill": (0, 0, 0)}, "fill as a tuple .* each of 2 targets"),
        ],
        ids=str,
    )
    def test_refuses_windows_that_fit_no_target(self, settings, message, data):
        settings = {"slide_axis": 1, **settings}
        calculator = OcclusionCalculator(build(TwoInputs), targets="all", **settings)
        with pytest.raises(ValueError, match=message):
            calculator.compute(data)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"slide_axis": (1, (1, 1))}, "slide_axis must hold different axes"),
            ({"size": (1, (0,))}, "size must be an int >= 1"),
            ({"size": ((1,),) * 3, "stride": ((1,),) * 2}, "stride=.* 3 targets"),
        ],
        ids=str,
    )
    def test_refuses_them_at_the_door(self, settings, message):
        settings = {"slide_axis": 1, **settings}
        with pytest.raises(ValueError, match=message):
            OcclusionCalculator(build(TwoInputs), targets="all", **settings)


class TestNoise:
    def test_is_drawn_for_each_target_by_itself(self, rng):
        x = rng.normal(size=(5, 3))
        how = {"M": 4, "seed": 0, "noise_sampler": GaussianNoiseSampler()}
        of_x, of_z = SmoothGradCalculator(Squares(), targets="all").compute(
            (x, x), **how
        )
        assert (abs(of_x - of_z) > 1e-6).all()
        alone = SmoothGradCalculator(Squares()).compute((x, x), **how)
        assert_array_equal(of_x, alone)

    @pytest.mark.parametrize("batchsize", [1, 3, 64])
    def test_is_the_same_for_a_seed_in_every_batch(self, batchsize, data):
        model = build(TwoInputs)
        calculator = SmoothGradCalculator(model, targets="all")
        expected = calculator.compute(data, M=4, seed=5)
        found = calculator.compute(data, M=4, seed=5, batchsize=batchsize)
        alone = calculator.compute(tuple(x[:2] for x in data), M=4, seed=5)
        for x, y, z in zip(found, expected, alone):
            assert_allclose(x, y, rtol=0, atol=1e-12)
            assert_allclose(z, y[:, :2], rtol=0, atol=1e-12)
        other = calculator.compute(data, M=4, seed=6)
        assert all((x != y).all() for x, y in zip(expected, other))


class TestAggregate:
    @pytest.mark.parametrize("ch_axis", [None, 2, (None, (2,))], ids=str)
    @pytest.mark.parametrize("statistic", ["mean", "std"])
    def test_takes_and_gives_tuples(self, ch_axis, statistic, data):
        calculator = SmoothGradCalculator(build(TwoInputs), targets="all")
        how = {"method": "abs", "ch_axis": ch_axis, "statistic": statistic}
        samples = calculator.compute(data, M=5, seed=0)
        found = calculator.aggregate(samples, **how)
        axes = ch_axis if isinstance(ch_axis, tuple) else (ch_axis, ch_axis)
        for x, of_samples, axis in zip(found, samples, axes):
            how["ch_axis"] = axis
            assert_array_equal(x, calculator.aggregate(of_samples, **how))
        how["ch_axis"] = ch_axis
        at_once = calculator.compute_aggregate(data, M=5, seed=0, batchsize=4, **how)
        assert isinstance(at_once, tuple)
        for x, y in zip(at_once, found):
            assert_allclose(x, y, rtol=0, atol=1e-12)

    def test_takes_a_list_as_well(self, data):
        paths = IntegratedGradientsCalculator(build(TwoInputs), targets="all")
        samples = paths.compute(data)
        found = paths.aggregate(list(samples))
        for x, y in zip(found, paths.aggregate(samples)):
            assert_array_equal(x, y)
        assert_array_equal(paths.aggregate(samples[1]), found[1])
        assert_array_equal(
            paths.convergence_delta(list(samples), data),
            paths.convergence_delta(samples, data),
        )

    def test_axes_are_as_many_as_targets(self, data):
        calculator = GradientCalculator(build(TwoInputs), targets="all")
        samples = calculator.compute(data)
        for call in (
            partial(calculator.aggregate, samples),
            partial(calculator.compute_aggregate, data),
        ):
            with pytest.raises(ValueError, match=r"ch_axis=.* each of 2 targets"):
                call(ch_axis=(None, 2, None))
        alone = GradientCalculator(build(TwoInputs))
        with pytest.raises(ValueError, match="ch_axis must be an int"):
            alone.compute_aggregate(data, ch_axis=(None, (2,)))

    def test_postprocess_fn_gets_and_returns_a_tuple(self, data):
        calculator = GradientCalculator(build(TwoInputs), targets="all")
        samples = calculator.compute(data)

        def halves(of_targets):
            assert [x.shape for x in of_targets] == [(7, 4), (7, 3)]
            return tuple(x / 2 for x in of_targets)

        found = calculator.compute(data, postprocess_fn=halves)
        for x, y in zip(found, samples):
            assert_array_equal(x, y / 2)
        with pytest.raises(TypeError, match=r"postprocess_fn .* 2 arrays in a tuple"):
            calculator.compute(data, postprocess_fn=lambda found: found[0])


class TestExamplesOfDifferentLengths:
    QUERIES, DOCUMENTS = (3, 1, 2, 2), (2, 6, 4, 5)

    @pytest.fixture
    def sequences(self, rng):
        return [
            (rng.normal(size=(n, 3)), rng.normal(size=(m, 4)))
            for n, m in zip(self.QUERIES, self.DOCUMENTS)
        ]

    @pytest.mark.parametrize("batchsize", [1, 3])
    @pytest.mark.parametrize("is_hidden", [False, True])
    @pytest.mark.parametrize(
        "new_calculator",
        [
            GradientCalculator,
            SmoothGradCalculator,
            partial(IntegratedGradientsCalculator, steps=3, baseline=0.5),
            partial(OcclusionCalculator, slide_axis=1),
        ],
        ids=["gradient", "smooth_grad", "integrated_gradients", "occlusion"],
    )
    def test_each_target_has_its_own(
        self, new_calculator, batchsize, is_hidden, sequences
    ):
        model = build(Match)
        targets = "all"
        if is_hidden:
            targets = [
                VariableMonitorLinkHook(link, timing="pre")
                for link in (model.of_query, model.of_document)
            ]
        calculator = new_calculator(model, targets=targets)
        padded = partial(concat_examples, padding=0)
        how = {"seed": 0, "M": 2, "converter": padded, "batchsize": batchsize}
        found = calculator.compute(sequences, **how)
        for lengths in calculator.lengths, self.lengths_of_aggregate(calculator, how):
            assert_array_equal(lengths[0], self.QUERIES)
            assert_array_equal(lengths[1], self.DOCUMENTS)
        assert [x.shape[:3] for x in found] == [(2, 4, 3), (2, 4, 6)]
        first = calculator.compute(sequences[:1], **how)
        for x, alone, lengths in zip(found, first, (self.QUERIES, self.DOCUMENTS)):
            assert_allclose(x[:, :1, : lengths[0]], alone, rtol=1e-9, atol=1e-13)
            for i, n in enumerate(lengths):
                assert np.isfinite(x[:, i, :n]).all()
                assert np.isnan(x[:, i, n:]).all()

    def lengths_of_aggregate(self, calculator, how):
        rng = np.random.default_rng(0)
        data = [
            (rng.normal(size=(n, 3)), rng.normal(size=(m, 4)))
            for n, m in zip(self.QUERIES, self.DOCUMENTS)
        ]
        calculator.compute_aggregate(data, **how)
        return calculator.lengths

    @pytest.mark.parametrize("targets", ["all", None])
    def test_masks_do_not_depend_on_how_far_the_second_is_padded(self, targets, rng):
        """Dropout on attention draws as many numbers as there are pairs of tokens."""
        model = build(Match)

        def attentive(query, document):
            pairs = F.matmul(document, document, transb=True)
            seen = F.matmul(F.dropout(pairs, 0.5), document)
            return model(query, seen)

        data = [
            (rng.normal(size=(2, 3)), rng.normal(size=(n, 4))) for n in self.DOCUMENTS
        ]
        calculator = GradientCalculator(model, eval_fun=attentive, targets=targets)
        how = {"converter": partial(concat_examples, padding=0), "train": True}
        one, all_ = (
            calculator.compute(data, M=2, seed=0, batchsize=n, **how) for n in (1, 16)
        )
        for x, y in zip(one, all_):
            assert_allclose(x, y, rtol=0, atol=1e-12)

    def test_a_mean_over_padding_is_refused(self, sequences):
        padded = partial(concat_examples, padding=0)
        calculator = IntegratedGradientsCalculator(
            build(Match), targets="all", baseline=(0, "mean")
        )
        with pytest.raises(ValueError, match="different lengths"):
            calculator.compute(sequences, converter=padded)


class TestInfluence:
    @pytest.fixture
    def model(self):
        return build(MLP, 4, n_out=1)

    @pytest.mark.parametrize(
        "new_calculator", [GradientCalculator, LRPCalculator, BayesGradCalculator]
    )
    def test_a_target_without_has_zeros_and_a_warning(
        self, new_calculator, model, data
    ):
        model.dropout = 0.5
        calculator = new_calculator(
            model, eval_fun=lambda x, z: model(x), targets="all", class_index=0
        )
        with pytest.warns(UserWarning, match=r"target 1 .* no influence") as caught:
            of_x, of_z = calculator.compute(data, batchsize=2, seed=0)
        assert sum("no influence" in str(one.message) for one in caught) == 1
        assert_array_equal(of_z, np.zeros_like(of_z))
        expected = new_calculator(model, class_index=0).compute(data[0], seed=0)
        assert_allclose(of_x, expected, rtol=1e-12)

    def test_relevance_that_a_gate_does_not_hand_on_is_no_want_of_it(self, rng):
        """Of a product with a sigmoid, the signal gets all."""
        data = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 4))
        calculator = LRPCalculator(build(Match), targets="all")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            of_query, of_document = calculator.compute(data)
        assert of_query.any()
        assert not of_document.any()

    def test_all_without_are_refused(self, model, data):
        y = chainer.Variable(np.zeros((7, 1)))
        calculator = GradientCalculator(
            model, eval_fun=lambda x, z: y[: len(x.array)], targets="all"
        )
        with pytest.raises(ValueError, match="no influence"):
            calculator.compute(data)


class TestDoor:
    @pytest.mark.parametrize(
        ("targets", "error", "message"),
        [
            ([], ValueError, "at least one"),
            ((), ValueError, "at least one"),
            ((0, 0), ValueError, "different targets, got 0 twice"),
            ("every", TypeError, "'all', a list"),
            (1, TypeError, "'all', a list"),
            ([0, -1], ValueError, "counted from 0; got -1"),
            ([0, None], TypeError, "positions of inputs .* got None"),
            ([0, True], TypeError, "positions of inputs .* got True"),
            ([0.5], TypeError, "positions of inputs .* got 0.5"),
            (["all"], TypeError, "positions of inputs .* got 'all'"),
        ],
        ids=str,
    )
    def test_wrong_targets_are_refused(self, targets, error, message):
        with pytest.raises(error, match=f"targets must .*{message}"):
            GradientCalculator(build(TwoInputs), targets=targets)

    def test_an_extractor_twice_is_refused(self):
        model = build(TwoInputs)
        hook = VariableMonitorLinkHook(model.of_x)
        with pytest.raises(ValueError, match="target_extractor must hold different"):
            GradientCalculator(model, [hook, hook])

    def test_one_variable_twice_is_refused(self, data):
        model = build(TwoInputs)
        hook = VariableMonitorLinkHook(model.of_x, timing="pre")
        with pytest.raises(ValueError, match="targets 0 and 1 are one and the same"):
            GradientCalculator(model, targets=(0, hook)).compute(data)

    @pytest.mark.parametrize("as_list", [False, True])
    def test_both_arguments_are_refused(self, as_list):
        model = build(TwoInputs)
        hook = VariableMonitorLinkHook(model.of_x)
        with pytest.raises(ValueError, match="must not be given both"):
            GradientCalculator(model, [hook] if as_list else hook, targets="all")

    def test_a_position_without_an_input_is_refused(self, data):
        calculator = GradientCalculator(build(TwoInputs), targets=(0, 2))
        with pytest.raises(ValueError, match=r"in 0\.\.1 .* got 2"):
            calculator.compute(data)

    def test_all_of_no_floats_is_refused(self, tokens):
        calculator = GradientCalculator(build(Pair), targets="all")
        with pytest.raises(TypeError, match=r"targets='all' .* data has none"):
            calculator.compute(tokens)

    def test_integers_by_position_are_refused(self, tokens):
        calculator = GradientCalculator(build(Pair), targets=(0, 1))
        with pytest.raises(TypeError, match="target 0 is of dtype int32"):
            calculator.compute(tokens)

    def test_a_path_that_leads_to_another_is_refused(self, data):
        model = build(TwoInputs)
        hook = VariableMonitorLinkHook(model.of_x)
        calculator = IntegratedGradientsCalculator(model, targets=(0, hook))
        with pytest.raises(ValueError, match="target 1 is computed from target 0"):
            calculator.compute(data)

    def test_calls_of_a_link_are_asked_for_one_by_one(self, rng):
        model = build(Pair)
        ids = rng.integers(0, 9, (5, 3)).astype(np.int32)

        def twice(query, document):
            h = model.query(document)[:, :, :1]
            return model(query, document) + F.sum(h, axis=1)

        hooks = at_embeddings(model)
        read = GradientCalculator(model, hooks, eval_fun=twice, class_index=0)
        assert len(read.compute((ids, ids))) == 2
        new = partial(
            IntegratedGradientsCalculator, model, eval_fun=twice, class_index=0
        )
        with pytest.raises(ValueError, match=r"target 0 is called 2 times.* call=0"):
            new(hooks).compute((ids, ids))
        hooks[0] = VariableMonitorLinkHook(model.query, call=1)
        assert len(new(hooks).compute((ids, ids))) == 2

    def test_baselines_are_as_many_as_targets(self, data):
        calculator = IntegratedGradientsCalculator(
            build(TwoInputs), targets="all", baseline=(0, 1, 2)
        )
        with pytest.raises(ValueError, match=r"baseline as a tuple .* each of 2 targ"):
            calculator.compute(data)

    def test_a_target_without_a_batch_axis_is_refused(self, data):
        model = build(TwoInputs)
        hook = VariableMonitorLinkHook(
            model.of_x, extract_fn=lambda hook, args: F.sum(args.out, axis=0)
        )
        calculator = GradientCalculator(model, targets=(1, hook))
        with pytest.raises(ValueError, match="axis 0 of target 1 must be the batch"):
            calculator.compute(data)

    def test_out_is_refused(self, data, tmp_path):
        calculator = GradientCalculator(build(TwoInputs), targets="all")
        with pytest.raises(ValueError, match="out must be None for several targets"):
            calculator.compute_aggregate(data, out=tmp_path / "x.npy")

    def test_grad_cam_is_refused(self):
        with pytest.raises(ValueError, match="GradCAMCalculator explains one target"):
            GradCAMCalculator(build(CNN), targets=(0, 1))

    def test_calculators_of_chainer_chemistry_explain_one(self, data):
        class Own(GradientCalculator):
            def _compute_core(self, *inputs):
                return super()._compute_core(*inputs)

        calculator = Own(build(TwoInputs))
        expected = GradientCalculator(build(TwoInputs)).compute(data)
        assert_allclose(calculator.compute(data), expected, rtol=1e-12)
        with pytest.raises(ValueError, match=r"Own, which .* explains one target"):
            Own(build(TwoInputs), targets="all")


def test_a_method_is_written_for_one_target(data):
    """What it overrides sees one after the other."""

    class Doubled(GradientCalculator):
        def change_target(self, origin, this, call):
            this.kept[call] = len(this.targets), this.position
            return 2 * origin

        def contribution(self, this, classes):
            assert this.kept == {0: (0, this.position)}
            assert len(this.targets) == len(this.origins) == 1
            return 2 * super().contribution(this, classes)

    model = build(TwoInputs)
    found = Doubled(model, targets="all").compute(data)
    doubled = tuple(2 * x for x in data)
    expected = GradientCalculator(model, targets="all").compute(doubled)
    for x, y in zip(found, expected):
        assert_array_equal(x, 2 * y)


def test_every_sample_may_have_its_network(data):
    model = build(TwoInputs)
    ensemble = EnsemblePosterior([model, build(TwoInputs, seed=1)])
    calculator = GradientCalculator(model, targets="all")
    found = calculator.compute(data, M=2, posterior=ensemble)
    for m, seed in enumerate((0, 1)):
        other = GradientCalculator(build(TwoInputs, seed=seed), targets="all")
        for x, y in zip(found, other.compute(data)):
            assert_allclose(x[m], y[0], rtol=1e-12)


def test_a_loss_of_the_batch_is_explained_at_all_targets(data):
    twin = build(MLP, 7)
    one = GradientCalculator(twin, eval_fun=lambda x: F.sum(twin(x) ** 2))
    joined = Joined(twin)
    two = GradientCalculator(
        joined, eval_fun=lambda x, z: F.sum(joined(x, z) ** 2), targets="all"
    )
    expected = one.compute(np.concatenate(data, axis=1), batchsize=3)
    found = two.compute(data, batchsize=3)
    assert_allclose(np.concatenate(found, axis=2), expected, rtol=0, atol=1e-12)

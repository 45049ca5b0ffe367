"""How many rows a pass has if batchsize does not say it."""

from __future__ import annotations

import gc
import json
import tracemalloc
import weakref
from collections import UserList
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    EnsemblePosterior,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from tests.calculator.every_calculator import DISTURBANCES, every_calculator_with
from tests.covering import every_value
from tests.networks import (
    CNN,
    MLP,
    OwnNoise,
    Sequence,
    Siamese,
    Tokens,
    TwoInputs,
    build,
    of_chainer,
)

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import DatasetMixin, concat_examples
from chainer.datasets import TupleDataset

# Of what functions are applied to in a pass, in bytes.
ROOM, ROOM_FOR_ALL_ARRAYS = 2 << 30, 512 << 20
N = 70


class Passes:
    """Hands rows through, and keeps how many there were in each pass."""

    def __init__(self):
        self.n_row = []

    def __call__(self, v):
        self.n_row.append(len(v))
        return v * 1


class OneByOne(DatasetMixin):
    """Examples that are made as they are asked for."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def get_example(self, i):
        return self.x[i]


class WithParameters(chainer.Chain):
    """Applies a function to parameters that change nothing, beside another."""

    def __init__(self, forward, n):
        super().__init__()
        self.other = forward
        with self.init_scope():
            self.zeros = chainer.Parameter(np.zeros(n))

    def forward(self, v):
        y = self.other(v)
        return y + F.broadcast_to(F.sum(self.zeros), y.shape)


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(N, 4))


@pytest.fixture
def passes():
    return Passes()


def squares(passes):
    """Returns a function of one value for each row, whose passes are counted."""
    return lambda v: F.sum(passes(v) ** 2, axis=1)


def swollen(passes, n_byte, n_function=1):
    """Returns one that applies functions to so many bytes each for each row."""

    def forward(v):
        v = passes(v)
        # A view, so that it takes no memory.
        large = F.broadcast_to(v[:, :, None], (*v.shape, n_byte // v[0].array.nbytes))
        for _ in range(n_function - 1):
            large = F.identity(large)
        return F.sum(large[:, :, 0] ** 2, axis=1)

    return forward


class TestResult:
    @every_calculator_with(
        every_value, disturbance=DISTURBANCES, batchsize=[1, 3, 16, 1000]
    )
    def test_is_that_of_every_number(self, new_calculator, disturbance, batchsize):
        x = np.random.default_rng(0).normal(size=(21, 4))
        model = build(MLP, dropout=0.5, normalize=True)
        calculator = new_calculator(model, class_index="argmax")
        how = {"M": 2, "seed": 0, **disturbance}
        expected = calculator.compute(x, batchsize=batchsize, **how)
        result = calculator.compute(x, **how)
        assert_allclose(result, expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("batchsize", [1, 3, 1000])
    def test_of_a_convolutional_network(self, batchsize, rng):
        images = rng.normal(size=(40, 2, 6, 6))
        calculator = BayesGradCalculator(build(CNN, dropout=0.5), class_index=0)
        how = {"M": 3, "seed": 0}
        assert_allclose(
            calculator.compute(images, **how),
            calculator.compute(images, batchsize=batchsize, **how),
            rtol=1e-9,
        )

    @pytest.mark.parametrize("model", [MLP, OwnNoise])
    def test_with_networks_of_a_posterior(self, model, table):
        members = [build(model, seed=i) for i in range(3)]
        calculator = GradientCalculator(members[0], class_index=[*range(3)] * 23 + [0])
        how = {"M": 3, "seed": 0, "posterior": EnsemblePosterior(members)}
        expected = calculator.compute(table, batchsize=3, **how)
        assert_allclose(calculator.compute(table, **how), expected, rtol=1e-9)

    @pytest.mark.parametrize("out", [None, "x.npy"])
    def test_of_sequences_that_become_longer(self, out, rng, tmp_path):
        lengths = [1 + i // 8 for i in range(40)]
        sequences = [rng.normal(size=(n, 2)) for n in lengths]
        calculator = SmoothGradCalculator(build(Sequence))
        converter = partial(concat_examples, padding=0)
        how = {"converter": converter, "M": 9, "seed": 0}
        expected = calculator.compute_aggregate(sequences, batchsize=3, **how)
        out = None if out is None else tmp_path / out
        result = calculator.compute_aggregate(sequences, out=out, **how)
        assert_allclose(result, expected, rtol=1e-9)
        assert_array_equal(calculator.lengths, lengths)

    @pytest.mark.parametrize("network", [Siamese, Tokens])
    def test_at_a_link(self, network, rng):
        model = build(network)
        is_of_tokens = network is Tokens
        link = model.embed if is_of_tokens else model.encoder
        x = rng.integers(1, 10, (N, 3)) if is_of_tokens else rng.normal(size=(N, 4))
        calculator = SmoothGradCalculator(
            model, target_extractor=VariableMonitorLinkHook(link)
        )
        how = {"M": 3, "seed": 0}
        expected = calculator.compute(x, batchsize=3, **how)
        assert_allclose(calculator.compute(x, **how), expected, rtol=1e-9)

    def test_at_several_targets(self, table, rng):
        data = (table, rng.normal(size=(N, 3)))
        calculator = IntegratedGradientsCalculator(
            build(TwoInputs), targets="all", steps=4
        )
        expected = calculator.compute(data, batchsize=3)
        for found, one in zip(calculator.compute(data), expected):
            assert_allclose(found, one, rtol=1e-9)

    def test_of_an_explanation(self, table):
        calculator = IntegratedGradientsCalculator(
            build(MLP), class_index="argmax", steps=4
        )
        found, expected = (
            calculator.explain(table, batchsize=batchsize) for batchsize in (None, 3)
        )
        for name in ("values", "scores", "base_values", "data"):
            assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
        assert_array_equal(found.classes, expected.classes)

    def test_where_the_model_calls_a_calculator(self, table, passes):
        inner = GradientCalculator(squares(passes))

        def forward(v):
            found = inner.compute(np.repeat(v.array, 9, axis=0), show_progress=False)
            return F.sum(v * found[0, ::9], axis=1)

        found = GradientCalculator(forward).compute(table)
        assert_allclose(found[0], 2 * table, rtol=1e-12)


class TestPasses:
    def test_of_a_table_are_few(self, passes):
        x = np.random.default_rng(0).normal(size=(40_000, 4))
        GradientCalculator(squares(passes)).compute(x)
        # A trial; full ones; one shows that there is a value for a row.
        assert passes.n_row == [2, 32768, 2, 7232]

    def test_of_windows_are_few(self, passes):
        x = np.random.default_rng(0).normal(size=(10_000, 4))
        OcclusionCalculator(squares(passes), slide_axis=1).compute(x)
        # Of 8,192 examples first, as nobody knows yet how many windows there are.
        assert passes.n_row == [2, 32768, 2, 5 * 8192 - 32768, 5 * (10_000 - 8192)]

    @pytest.mark.large
    def test_of_the_parts_of_a_file_are_alike(self, passes, tmp_path):
        """So are its bytes, whether another part was explained before or not."""
        x = np.random.default_rng(0).normal(size=(64 * 128, 4))
        W = np.random.default_rng(1).normal(size=(4, 1500))

        def forward(v):
            return F.sum(F.matmul(passes(v), W) ** 2, axis=1)

        calculator = OcclusionCalculator(forward, slide_axis=1)
        calculator.compute_aggregate(x, out=tmp_path / "x.npy")
        of_parts = np.reshape([n for n in passes.n_row if n > 2], (64, -1))
        assert of_parts.shape[1] > 1
        assert (of_parts == of_parts[0]).all()

    @pytest.mark.parametrize("n", [5, 16])
    def test_of_few_examples_are_not_tried(self, n, table, passes):
        model = build(MLP)
        calculator = GradientCalculator(lambda v: model(passes(v)), class_index=0)
        calculator.compute(table[:n])
        assert passes.n_row == [n]

    def test_whose_trial_fails_begin_small(self, table, passes):
        def forward(v):
            if len(passes(v)) == 2:
                raise ValueError("at least 3 rows")
            return F.sum(v[:, None] ** 2, axis=2)

        found = GradientCalculator(forward).compute(table)
        assert_allclose(found[0], 2 * table, rtol=1e-12)
        assert passes.n_row == [2, 16, N - 16]

    @pytest.mark.parametrize("form", [list, TupleDataset, tuple])
    def test_of_examples_of_one_shape_are_few(self, form, passes):
        x = np.random.default_rng(0).normal(size=(1000, 4))
        data = {list: [*x], TupleDataset: TupleDataset(x), tuple: (x,)}[form]
        SmoothGradCalculator(squares(passes)).compute(data, M=3, seed=0)
        assert len(passes.n_row) <= 4
        assert sum(passes.n_row) - 2 * 2 == 3000

    def test_of_samples_are_few(self, table, passes):
        SmoothGradCalculator(squares(passes)).compute(table, M=100, seed=0)
        assert len(passes.n_row) <= 6

    @pytest.mark.parametrize("n_byte", [100_000, 500_000, 2_000_000])
    def test_fill_the_cache(self, n_byte, table, passes):
        OcclusionCalculator(swollen(passes, n_byte, 100), slide_axis=1).compute(table)
        assert 3e6 < n_byte * np.median(passes.n_row) < 6e6

    @pytest.mark.parametrize(
        ("n_parameter", "expected"), [(0, 3.5e6), (5e6, 7.5e6), (50e6, 10.5e6)]
    )
    def test_are_larger_where_there_are_many_parameters(
        self, n_parameter, expected, table, passes
    ):
        # 8 bytes each, ten times as much for them, divided among a hundred functions;
        # and no more than that. Parts of a row are made up to whole ones.
        model = WithParameters(swollen(passes, 500_000, 100), int(n_parameter))
        OcclusionCalculator(model, slide_axis=1).compute(table)
        assert_allclose(500_000 * np.median(passes.n_row), expected, atol=6e5)

    @pytest.mark.large
    @pytest.mark.parametrize("n_row", [3, 5])
    @pytest.mark.parametrize(
        ("kind", "room"),
        [
            (partial(OcclusionCalculator, slide_axis=1), ROOM),
            (LRPCalculator, ROOM_FOR_ALL_ARRAYS),
        ],
        ids=["gives back", "holds all"],
    )
    def test_are_no_larger_than_there_is_room(self, kind, room, n_row, table, passes):
        n = room // 2_000_000  # of more than 2 MB each
        forward = swollen(passes, room // (n_row + 1) // n + 1000, n)
        kind(forward).compute(table)
        assert np.median(passes.n_row) == n_row

    def test_are_no_larger_than_asked(self, table, passes):
        SmoothGradCalculator(squares(passes)).compute(table, M=5, batchsize=8, seed=0)
        assert max(passes.n_row) == 8

    def test_are_chosen_without_making_what_nobody_asks_for(self, table):
        hooks = []

        def forward(v):
            # A hook would be given all arrays, and so the results of convolutions that
            # are put off.
            hooks.extend(chainer.get_function_hooks())
            return F.sum(v**2, axis=1)

        GradientCalculator(forward).compute(table)
        assert not hooks

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            (partial(OcclusionCalculator, slide_axis=(2, 3), size=300), 4),
            (LRPCalculator, 2),
        ],
        ids=["gives back", "holds all"],
    )
    def test_of_large_inputs_begin_small(self, kind, expected, passes):
        images = np.zeros((6, 3, 300, 300), np.float32)  # 1 MB each
        forward = swollen(passes, 1 << 25)
        kind(lambda v: forward(v[:, :, 0, 0])).compute(images)
        assert passes.n_row[0] == expected

    def test_that_begin_small_take_a_model_with_labels(self):
        images = np.random.default_rng(0).normal(size=(6, 300_000)).astype(np.float32)
        labels = np.arange(6) % 3

        def loss(v):
            return F.softmax_cross_entropy(v[:, :3], labels)

        found = GradientCalculator(loss).compute(images)
        v = chainer.Variable(images)
        expected = chainer.grad([loss(v)], [v])[0].array
        assert_allclose(found[0], expected, rtol=1e-6)

    @pytest.mark.large
    def test_of_longer_sequences_are_smaller(self, passes):
        """What the first batch took says nothing of them."""
        lengths = [1] * 16 + [400] * 16

        def forward(v):
            every_pair = v.shape[1] ** 2 * (ROOM // 2_000_000)
            F.sum(F.broadcast_to(v.array[:, :1], (len(v), 1, every_pair))[:, 0, :1])
            return F.sum(passes(v) ** 2, axis=(1, 2))

        GradientCalculator(forward).compute(
            [np.ones((n, 1)) for n in lengths],
            M=40,
            converter=partial(concat_examples, padding=0),
        )
        assert max(passes.n_row) > 100
        assert max(passes.n_row[-20:]) <= 16

    def test_of_sequences_that_are_sorted_by_length(self, passes, rng):
        """They can be stacked with those of their length alone."""
        x = [rng.normal(size=1 + i // 32) for i in range(96)]
        found = GradientCalculator(squares(passes)).compute(x)
        for i, one in enumerate(x):
            assert_allclose(found[0, i, : len(one)], 2 * one, rtol=1e-12)
        assert passes.n_row == [2, 32, 2, 32, 32]

    def test_of_one_row_where_the_model_draws_numbers(self, table):
        passes = Passes()
        model = build(OwnNoise)
        calculator = GradientCalculator(lambda v: model(passes(v)), class_index=0)
        calculator.compute(table, seed=0)
        assert max(passes.n_row) == 16
        assert passes.n_row[-N:] == [1] * N

    def test_that_run_out_of_memory_are_halved(self, passes):
        x = np.random.default_rng(0).normal(size=(1000, 4))

        def forward(v):
            if len(v) > 100:
                raise MemoryError
            return F.sum(passes(v) ** 2, axis=1)

        with pytest.warns(UserWarning, match="pass of 1000 rows.*with 62 rows"):
            found = GradientCalculator(forward).compute(x)
        assert_allclose(found[0], 2 * x, rtol=1e-12)
        assert max(passes.n_row) == 62


def peak_of(call):
    """Returns the bytes that a call has at most at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestTrial:
    """It is made once, as long as it would show the same."""

    class Net(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.linear = L.Linear(4, 3)
            self.n_repeated = 1
            # No list, which calculators would put back.
            self.n_row = UserList()

        def forward(self, v):
            self.n_row.append(len(v))
            for _ in range(self.n_repeated):
                v = F.tanh(v)
            return self.linear(v)

    def passes(self, model, table, kind=GradientCalculator, **how):
        model.n_row.clear()
        calculator = kind(model, class_index=0, **how)
        self.result = calculator.compute(table, show_progress=False)
        return list(model.n_row)

    def test_is_not_made_again(self, table):
        model = self.Net()
        assert self.passes(model, table) == [2, N]
        first = self.result
        assert self.passes(model, table) == [N]
        assert_array_equal(self.result, first)

    @pytest.mark.parametrize("what", ["example", "attribute", "function", "method"])
    def test_is_made_again_where_it_may_show_something_else(self, what, table):
        model, how = self.Net(), {}
        self.passes(model, table)
        if what == "example":
            table = table + 1
        elif what == "attribute":
            model.n_repeated = 1000
        elif what == "function":
            how["eval_fun"] = lambda v: model(v)
        else:
            how["kind"] = IntegratedGradientsCalculator
        assert self.passes(model, table, **how)[0] == 2

    def test_of_a_new_model_is_its_own(self, table):
        """Nothing holds a model that nobody else holds."""
        for _ in range(2):
            model = self.Net()
            assert self.passes(model, table) == [2, N]
            reference = weakref.ref(model)
            del model
            gc.collect()
            assert reference() is None


@pytest.mark.large
class TestMemory:
    def test_of_vgg16(self, rng):
        images = rng.normal(size=(8, 3, 224, 224)).astype(np.float32)
        model = of_chainer("VGG16Layers")
        calculator = GradientCalculator(
            model, eval_fun=lambda v: model(v, layers=["fc8"])["fc8"], class_index=0
        )
        calculator.compute(images[:1])
        assert peak_of(lambda: calculator.compute(images)) < ROOM / 2

    def test_of_a_table_of_100000_rows(self, rng):
        x = rng.normal(size=(100_000, 4)).astype(np.float32)
        model = build(MLP, n_hidden=48, depth=3, dtype=np.float32)
        calculator = GradientCalculator(model, class_index="argmax")
        assert peak_of(lambda: calculator.compute(x)) < 50 << 20


class TestBatchesOf16:
    """Where something sees batches, they are what they always were."""

    @pytest.mark.parametrize("out", [None, "x.npy"])
    @pytest.mark.parametrize("n", [5, N])
    def test_for_a_model_with_one_value_for_the_batch(self, n, out, table, tmp_path):
        out = None if out is None else tmp_path / out
        calculator = GradientCalculator(lambda v: F.mean(v**2))
        found = calculator.compute_aggregate(table[:n], out=out)
        sizes = np.repeat([min(n, 16), n % 16 or 16], [n - n % 16, n % 16])
        assert_allclose(found, 2 * table[:n] / sizes[:n, None] / 4, rtol=1e-12)

    @pytest.mark.parametrize("name", ["preprocess_fn", "postprocess_fn"])
    def test_for_functions_of_the_user(self, name, table, passes):
        GradientCalculator(lambda v: F.sum(v**2, axis=1)).compute(
            table, **{name: passes}
        )
        assert passes.n_row == [16] * 4 + [6]

    def test_for_a_converter_of_the_user(self, table, passes):
        def converter(examples, device):
            return passes(concat_examples(examples, device))

        GradientCalculator(lambda v: F.sum(v**2, axis=1)).compute(
            table, converter=converter
        )
        assert passes.n_row == [16] * 4 + [6]

    def test_for_examples_that_are_made_as_they_are_asked_for(self, table, passes):
        GradientCalculator(squares(passes)).compute(OneByOne(table))
        assert passes.n_row[-4:] == [16, 16, 16, 6]

    def test_for_methods_of_chainer_chemistry(self, table):
        passes = Passes()

        class Own(GradientCalculator):
            def _compute_core(self, *inputs):
                passes(inputs[0])
                return super()._compute_core(*inputs)

        Own(lambda v: F.sum(v**2, axis=1)).compute(table)
        assert passes.n_row == [16] * 4 + [6]


class TestStores:
    """What is written together depends on the data, and on nothing else."""

    how = {"M": 2, "seed": 0, "noise_sampler": GaussianNoiseSampler()}  # noqa: RUF012

    def n_batch(self, path):
        record = json.loads(path.with_name(f"{path.name}.progress.json").read_text())
        assert record["call"]["batchsize"] is None
        return len(record["batches"]), record["call"]["rows_together"]

    @pytest.mark.parametrize(
        ("n", "n_feature", "expected"),
        [(5, 4, 16), (1000, 4, 16), (5000, 4, 64), (2048, 16384, 16)],
    )
    def test_at_most_a_64th_of_the_data_and_1_mib(
        self, n, n_feature, expected, tmp_path
    ):
        x = np.broadcast_to(np.float32(1), (n, n_feature))
        calculator = GradientCalculator(lambda v: F.sum(v**2, axis=1))
        path = tmp_path / "x.npy"
        found = calculator.compute_aggregate(x, ch_axis=2, out=path)
        assert_allclose(found, 2 * n_feature, rtol=1e-6)
        assert self.n_batch(path) == (-(-n // expected), expected)

    def test_is_one_pass_after_a_trial(self, passes, tmp_path):
        x = np.random.default_rng(0).normal(size=(5000, 4))
        model = build(MLP)
        calculator = GradientCalculator(lambda v: model(passes(v)), class_index=0)
        calculator.compute_aggregate(x, out=tmp_path / "x.npy")
        assert passes.n_row == [2, 64] * 78 + [8]

    @pytest.mark.large
    def test_is_resumed_with_the_same_bytes(self, tmp_path):
        x = np.random.default_rng(0).normal(size=(2050, 4)).astype(np.float32)
        model = build(MLP, dtype=np.float32)
        calculator = GradientCalculator(model, class_index="argmax")
        whole, path = tmp_path / "whole.npy", tmp_path / "x.npy"
        calculator.compute_aggregate(x, out=whole, **self.how)
        model.fuse.n_call, model.fuse.blows_at = 0, 30
        with pytest.raises(RuntimeError, match="the fuse has blown"):
            calculator.compute_aggregate(x, out=path, **self.how)
        model.fuse.blows_at = None
        calculator.compute_aggregate(x, out=path, **self.how)
        assert path.read_bytes() == whole.read_bytes()
        assert self.n_batch(path) == (65, 32)

    def test_is_not_resumed_with_a_number(self, table, tmp_path):
        calculator = GradientCalculator(build(MLP), class_index=0)
        calculator.compute_aggregate(table, out=tmp_path / "x.npy")
        with pytest.raises(ValueError, match=r"batchsize.*None.*16"):
            calculator.compute_aggregate(table, batchsize=16, out=tmp_path / "x.npy")

    def test_is_the_result_in_memory(self, table, tmp_path):
        pytest.importorskip("zarr")
        calculator = BayesGradCalculator(build(MLP, dropout=0.5), class_index="argmax")
        how = {"M": 30, "seed": 0, "method": "abs"}
        expected = calculator.compute_aggregate(table, batchsize=100, **how)
        for out in (None, tmp_path / "x.npy", tmp_path / "x.zarr"):
            found = calculator.compute_aggregate(table, out=out, **how)
            assert_allclose(np.asarray(found), expected, rtol=1e-9)

"""What is put off, beside Chainer's own code, which puts nothing off."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from link_hooks import RetainOutputHook
from saliency import BayesGradCalculator, GradientCalculator, fast_cpu
from saliency.backprop import gradients
from saliency.cpu import (
    convolution,
    elementwise,
    fused_with_graph,
    fusion,
    products,
)
from tests.covering import every_pair

import chainer
import chainer.functions as F
import chainer.links as L

# Relative to the largest value.
RTOL = {np.dtype("f"): 1e-6, np.dtype("d"): 1e-12}


def normal(*shape: int, seed: int = 0, dtype: str = "f") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(result: Any, wanted: Any, scale: float = 0) -> None:
    assert result.shape == wanted.shape
    assert result.dtype == wanted.dtype
    scale = max(scale, np.abs(wanted).max(initial=0)) or 1
    np.testing.assert_allclose(result, wanted, rtol=0, atol=RTOL[wanted.dtype] * scale)


@pytest.fixture(autouse=True)
def small_ones_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put off elsewhere only where it is large is so here in any case."""
    monkeypatch.setattr(fusion, "_MIN_BYTES", 0)


@pytest.fixture
def convolved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the kernels of all convolutions that are computed, in order."""
    shapes = []
    convolve = convolution.convolve

    def recorded(x: Any, W: Any, *args: Any) -> np.ndarray:
        shapes.append(W.shape)
        return convolve(x, W, *args)

    monkeypatch.setattr(convolution, "convolve", recorded)
    return shapes


class Block(chainer.Chain):
    """A residual block behind a convolution: what is put off, and what is not."""

    def __init__(self, dtype: str = "d") -> None:
        super().__init__()
        with self.init_scope():
            self.stem = L.Convolution2D(3, 32, 3, pad=1, initialW=normal(32, 3, 3, 3))
            self.conv = L.Convolution2D(32, 32, 1, initialW=normal(32, 32, 1, 1))
            self.bn = L.BatchNormalization(32)
        self.conv.b.array[...] = normal(32, seed=1)
        self.bn.gamma.array[...] = normal(32, seed=2)
        self.bn.beta.array[...] = normal(32, seed=3)
        self.bn.avg_mean[...] = normal(32, seed=4)
        self.bn.avg_var[...] = normal(32, seed=5) ** 2
        for link in self.children():
            for name, value in vars(link).items():
                if isinstance(value, np.ndarray):
                    setattr(link, name, value.astype(dtype))
        for parameter in self.params():
            parameter.array = parameter.array.astype(dtype)

    def start(self, x: Any) -> chainer.Variable:
        return F.relu(self.stem(x))

    def forward(self, x: Any) -> chainer.Variable:
        h = self.start(x)
        return F.sum(F.relu(self.bn(self.conv(h)) + h), axis=(1, 2, 3))


# In float64, no difference can be one of rounding.
IMAGES = normal(2, 3, 24, 24, seed=6, dtype="d")


@pytest.fixture(autouse=True)
def evaluated() -> Iterator[None]:
    with chainer.using_config("train", False):
        yield


@pytest.fixture
def block() -> Block:
    return Block()


LAYERS = {
    "1 x 1": (48, 1, {}),
    "Winograd": (48, 3, {"pad": 1}),
    "strided": (24, 3, {"pad": 1, "stride": 2}),
    "dilated": (48, 3, {"pad": 2, "dilate": 2}),
    "groups": (24, 3, {"pad": 1, "groups": 8}),
    "depthwise": (48, 5, {"pad": 2, "groups": 48}),
}
STEPS = ["normalize", "mixed", "add array", "add variable", "relu", "clip", "double"]


@st.composite
def chains(draw: Any) -> tuple[Callable[..., Any], np.dtype]:
    """Draw functions as they follow each other in networks."""
    n_in, k, arguments = LAYERS[draw(st.sampled_from(sorted(LAYERS)))]
    dtype = draw(st.sampled_from("fd"))
    W = normal(48, n_in // arguments.get("groups", 1), k, k, seed=1, dtype=dtype)
    first = normal(n_in, 3, 1, 1, seed=2, dtype=dtype)
    gamma, beta, mean, var, bias = normal(5, 48, seed=3, dtype=dtype)
    b = bias if draw(st.booleans()) else None
    steps = draw(st.lists(st.sampled_from(STEPS), max_size=4))
    side = normal(2, 48, 24, 24, seed=4, dtype=dtype)

    def f(x: Any, see: Callable[[Any], Any] = lambda y: y) -> Any:
        h = F.leaky_relu(F.convolution_2d(x, first))
        y = see(F.convolution_2d(h, W, b, **arguments))
        for step in steps:
            if step == "normalize":
                y = F.fixed_batch_normalization(y, gamma, beta, mean, var**2 + 0.1)
            elif step == "mixed":
                vectors = (v.astype("d") for v in (gamma, beta, mean, var**2 + 0.1))
                y = F.fixed_batch_normalization(y, *vectors)
            elif step == "add array":
                y = y + side[..., : y.shape[2], : y.shape[3]]
            elif step == "add variable":
                y = F.average_pooling_2d(y, 3, 1, 1) + y
            elif step == "relu":
                y = F.relu(y)
            elif step == "clip":
                y = F.clipped_relu(y, 0.7)
            else:
                y = 2 * y
            y = see(y)
        return y

    return f, np.dtype(dtype)


@settings(max_examples=40, deadline=None)
@given(chains(), st.booleans())
def test_values_and_gradients_are_those_of_chainer(
    drawn: tuple[Callable[..., Any], np.dtype], has_graph: bool
) -> None:
    f, dtype = drawn
    x = chainer.Variable(IMAGES.astype(dtype))
    scales = [1.0]

    def see(y: chainer.Variable) -> chainer.Variable:
        scales.append(np.abs(y.array).max())
        return y

    expected = f(x, see).array
    scale = 20 * max(scales)  # what Winograd's algorithm rounds
    with fast_cpu(), fused_with_graph():
        with chainer.using_config("enable_backprop", has_graph):
            y = f(x)
        assert_close(y.array, expected, scale)
        if not has_graph:
            return
        gy = normal(*y.shape, seed=9).astype(y.dtype)
        (gx,) = gradients([y], [x], [gy])
    # Of the same graph: a value beside the bend of a rectifier may be beyond it.
    y.grad = gy
    y.backward()
    assert_close(gx, x.grad, 20 * np.abs(x.grad).max())


@pytest.mark.parametrize("dtype", "fd")
def test_what_is_put_off_has_the_same_bits_as_what_is_not(
    dtype: str, convolved: list[Any]
) -> None:
    block, x = Block(dtype), IMAGES.astype(dtype)

    def outputs() -> list[np.ndarray]:
        with fast_cpu(), chainer.no_backprop_mode():
            h = block.start(x)
            y = F.clipped_relu(block.bn(block.conv(h)) + h, 2.0)
            return [h.array, y.array]

    results = outputs()
    assert len(convolved) == 2
    with chainer.FunctionHook():
        expected = outputs()
    for result, wanted in zip(results, expected):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("n", [1, 3])
def test_convolutions_of_one_axis(dtype: str, n: int, convolved: list[Any]) -> None:
    x = normal(2, 4, 400, seed=1).astype(dtype)
    W, V = normal(2, 16, 4, n, seed=2).astype(dtype)
    vectors = np.abs(normal(4, 16, seed=3)).astype(dtype)

    def f() -> Any:
        y = F.convolution_1d(x, W, vectors[0], pad=n // 2)
        h = F.fixed_batch_normalization(y, *vectors)
        other = F.average_pooling_nd(h, 3, 1, 1)
        return F.relu(F.convolution_1d(other, V, pad=n // 2, groups=4) + other)

    expected = f().array
    with fast_cpu(), chainer.no_backprop_mode():
        assert_close(f().array, expected)


def test_normalization_of_what_has_been_computed_is_one_pass_as_well(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> np.ndarray:
        h = block.start(IMAGES)
        return F.relu(block.bn(F.average_pooling_2d(h, 3, 1, 1)) + h).array

    expected = run()
    passes = []
    for name in ("normalized", "arithmetic", "relu"):
        function = getattr(elementwise, name)

        def counted(*args: Any, name: str = name, function: Any = function) -> Any:
            passes.append(name)
            return function(*args)

        monkeypatch.setattr(elementwise, name, counted)
    with fast_cpu(), chainer.no_backprop_mode():
        assert_close(run(), expected)
    assert passes == ["normalized"]


def test_shapes_and_the_like_are_known_before_it_is_computed(
    block: Block, convolved: list[Any]
) -> None:
    with fast_cpu(), chainer.no_backprop_mode():
        y = block.bn(block.conv(block.start(IMAGES)))
        n_before = len(convolved)
        assert isinstance(y, chainer.Variable)
        assert y.shape == (2, 32, 24, 24)
        assert (y.ndim, y.size, y.dtype, len(y)) == (4, 36864, np.float64, 2)
        assert y.xp is np
        assert y.device == chainer.get_device("@numpy")
        assert y.requires_grad and y.layout is None and y.name is None
        assert len(convolved) == n_before
        array = y.array
    assert len(convolved) == n_before + 1
    assert type(y) is chainer.Variable
    assert y.array is array and y.data is array
    assert array.flags.writeable
    assert_close(array, block.bn(block.conv(block.start(IMAGES))).array)


ASKS = {
    "array": lambda y: y.array,
    "data": lambda y: y.data,
    "copy": lambda y: copy.copy(y).array,
    "deepcopy": lambda y: copy.deepcopy(y).array,
    "pickle": lambda y: pickle.loads(pickle.dumps(y)).array,
    "first": lambda y: y[:].array,
    "sum": lambda y: (F.reshape(y, (-1,)) + 0).array.reshape(y.shape),
    "retain": lambda y: y.retain_data() or y.node.data,
    "raw array": lambda y: y.raw_array,
    "to cpu": lambda y: y.to_cpu() or y.array,
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=list(ASKS))
@pytest.mark.parametrize("is_late", [False, True])
def test_whoever_asks_gets_the_array(
    ask: Callable[[Any], np.ndarray], is_late: bool, block: Block
) -> None:
    expected = block.conv(block.start(IMAGES)).array
    with fast_cpu(), chainer.no_backprop_mode():
        y = block.conv(block.start(IMAGES))
        if is_late:
            F.relu(block.bn(y))
        assert_close(ask(y), expected)


def test_another_array_may_be_put_in(block: Block) -> None:
    with fast_cpu(), chainer.no_backprop_mode():
        y = block.conv(block.start(IMAGES))
        z = block.bn(y)
        other = np.ones_like(IMAGES)
        y.array = other
        assert y.array is other and y.shape == other.shape
        assert y.node.shape == other.shape
    assert_close(z.array, block.bn(block.conv(block.start(IMAGES))).array)


def everything(
    block: Block, convolves: bool, at: int, take: Any, change: Any
) -> list[np.ndarray]:
    """Return all arrays of a block, of which something is changed on the way.

    Args:
        block (Block): The block.
        convolves (bool): Whether it has a convolution.
        at (int): After so many functions.
        take (callable): Takes what is going to be changed, before all of them.
        change (callable): Changes it.
    """
    h = block.start(IMAGES)
    side = block.start(IMAGES)
    taken = take(block, h, side)
    made = [h]
    functions = [
        lambda: block.conv(h),
        lambda: block.bn(made[-1]),
        lambda: made[-1] + side,
        lambda: F.clipped_relu(made[-1], 1.5),
        lambda: F.sum(made[-1]),
    ]
    if not convolves:
        del functions[0]
    for i, function in enumerate(functions):
        made.append(function())
        if i == at:
            change(taken)
    return [y.array for y in made[1:]] + [h.array, side.array]


def double(array: np.ndarray) -> None:
    array *= 2


def double_first(array: np.ndarray) -> None:
    array.reshape(-1)[:7] *= 2


def double_of_variable(variable: chainer.Variable) -> None:
    variable.array *= 2


# What is taken before, and how it is changed.
CHANGES = {
    "input": (lambda block, h, side: h, double_of_variable),
    "array of the input": (lambda block, h, side: h.array, double),
    "view of the input": (lambda block, h, side: h.array[:, :3], double),
    "memory of the input": (
        lambda block, h, side: np.asarray(memoryview(h.array.swapaxes(1, 3))),
        double,
    ),
    "reshaped input": (
        lambda block, h, side: F.reshape(h, (-1,)),
        double_of_variable,
    ),
    "input behind the graph": (lambda block, h, side: h.node, None),
    "other term": (lambda block, h, side: side, double_of_variable),
    "view of the other term": (lambda block, h, side: side.array[0], double),
    "kernels": (lambda block, h, side: block.conv.W.array, double),
    "view of kernels": (lambda block, h, side: block.conv.W.array[:5], double_first),
    "bias": (lambda block, h, side: block.conv.b.array, double),
    "gamma": (lambda block, h, side: block.bn.gamma.array, double_first),
    "beta": (lambda block, h, side: block.bn.beta.array, double),
    "mean": (lambda block, h, side: block.bn.avg_mean, double),
    "variance": (lambda block, h, side: block.bn.avg_var, double_first),
}


@every_pair(
    name=list(CHANGES), at=range(4), has_graph=[False, True], convolves=[False, True]
)
def test_what_is_changed_meanwhile_does_not_matter(
    name: str, at: int, has_graph: bool, convolves: bool
) -> None:
    take, change = CHANGES[name]
    if change is None:

        def change(node: Any) -> None:
            if node.data is not None:
                node.data *= 2

    def run() -> list[np.ndarray]:
        with chainer.using_config("enable_backprop", has_graph):
            return everything(Block(), convolves, at, take, change)

    expected = run()
    with fast_cpu(), fused_with_graph():
        try:
            results = run()
        except ValueError as error:
            # It is at least no wrong number.
            assert "read-only" in str(error)
            assert name in ("reshaped input", "input behind the graph")
            return
    for result, wanted in zip(results, expected):
        assert_close(result, wanted)


def test_the_input_is_writable_again_when_all_is_computed(block: Block) -> None:
    with fast_cpu(), chainer.no_backprop_mode():
        h = block.start(IMAGES)
        y = F.relu(block.bn(block.conv(h)))
        assert type(h) is chainer.Variable
        assert h.array.flags.writeable and y.array.flags.writeable
    with fast_cpu(), fused_with_graph():
        h = block.start(IMAGES)
        y = F.relu(block.bn(block.conv(h)))
        assert type(h) is not chainer.Variable
        del y
        gc.collect()
        assert type(h) is chainer.Variable
        assert h.array.flags.writeable


@pytest.mark.parametrize("has_graph", [False, True])
def test_an_intermediate_result_may_be_changed(has_graph: bool) -> None:
    def run() -> list[np.ndarray]:
        block = Block()
        with chainer.using_config("enable_backprop", has_graph):
            y = block.conv(block.start(IMAGES))
            y.array[:, 3] = 0
            z = block.bn(y)
            y.array[:, 4] = 0
            u = F.relu(z)
            y.array[:, 5] = 0
            z.array[:, 6] = 0
            return [v.array for v in (y, z, u)]

    expected = run()
    with fast_cpu(), fused_with_graph():
        for result, wanted in zip(run(), expected):
            assert_close(result, wanted)


def test_a_result_that_two_functions_take(block: Block) -> None:
    def run() -> list[np.ndarray]:
        y = block.conv(block.start(IMAGES))
        z = block.bn(y)
        u = block.bn(y)
        twice = y + y
        return [v.array for v in (F.relu(z), F.relu(u + z), z * y, twice)]

    expected = run()
    with fast_cpu(), chainer.no_backprop_mode():
        for result, wanted in zip(run(), expected):
            assert_close(result, wanted)


def test_what_nobody_asks_for_is_not_computed(
    block: Block, convolved: list[Any]
) -> None:
    with fast_cpu(), chainer.no_backprop_mode():
        h = block.start(IMAGES)
        n_before = len(convolved)
        block.conv(h)
        F.relu(h)
        y = F.relu(block.bn(block.conv(h)))
        assert len(convolved) == n_before + 1
        del y


def test_what_was_asked_for_late_is_not_put_off_again(
    block: Block, convolved: list[Any]
) -> None:
    def run() -> None:
        y = block.conv(block.start(IMAGES))
        F.relu(block.bn(y))
        assert y.array is not None

    with fast_cpu(), chainer.no_backprop_mode():
        run()
        assert len(convolved) == 3
        run()
        assert len(convolved) == 5
    with fast_cpu(), chainer.no_backprop_mode():
        run()
        assert len(convolved) == 8


def test_what_is_left_at_the_end_of_the_block_is_computed(
    block: Block, convolved: list[Any]
) -> None:
    with fast_cpu(), chainer.no_backprop_mode():
        y = block.conv(block.start(IMAGES))
        n_before = len(convolved)
    assert len(convolved) == n_before + 1
    assert type(y) is chainer.Variable


def test_with_a_graph_for_chainers_own_way_back_nothing_is_put_off(
    block: Block, convolved: list[Any]
) -> None:
    x = chainer.Variable(IMAGES)
    with fast_cpu():
        y = block.conv(block.start(x))
        assert type(y) is chainer.Variable
        assert len(convolved) == 2


def test_masks_of_dropout_are_drawn_beside_it(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    floors = []
    convolve = convolution.convolve

    def recorded(*args: Any) -> np.ndarray:
        floors.append(args[5].floor if len(args) > 5 else None)
        return convolve(*args)

    monkeypatch.setattr(convolution, "convolve", recorded)

    def forward(x: chainer.Variable) -> chainer.Variable:
        h = block.start(x)
        return F.sum(F.dropout(F.relu(block.bn(block.conv(h)) + h)), axis=(1, 2, 3))

    calculator = BayesGradCalculator(block, eval_fun=forward)
    fused = calculator.compute(IMAGES, M=3, seed=0)
    assert 0 in floors
    with chainer.using_config("fast_cpu", False):
        assert_close(calculator.compute(IMAGES, M=3, seed=0), fused)


def test_hooks_of_functions_see_every_array(block: Block) -> None:
    x = chainer.Variable(IMAGES)
    with fast_cpu(), fused_with_graph(), RetainOutputHook() as hook:
        y = block(x)
    functions = [y.creator]
    n_seen = 0
    while functions:
        function = functions.pop()
        for array in (*hook.get_inputs(function), *hook.get_outputs(function)):
            assert type(array) is np.ndarray
            n_seen += 1
        functions += [x.creator for x in function.inputs if x.creator is not None]
    assert n_seen > 15


def test_chainers_own_way_back_gets_what_functions_have_retained(
    block: Block,
) -> None:
    x = chainer.Variable(IMAGES)
    block.cleargrads()
    F.sum(block(x)).backward()
    expected = [x.grad, *(p.grad for _, p in sorted(block.namedparams()))]
    x.cleargrad()
    block.cleargrads()
    with fast_cpu(), fused_with_graph():
        F.sum(block(x)).backward()
    results = [x.grad, *(p.grad for _, p in sorted(block.namedparams()))]
    for result, wanted in zip(results, expected):
        assert_close(result, wanted)


def test_second_derivatives(block: Block) -> None:
    def penalty(x: chainer.Variable) -> np.ndarray:
        h = block.bn(block.conv(F.tanh(block.stem(x))))
        y = F.sum(F.clipped_relu(h, 1.0) ** 2)
        (g,) = chainer.grad([y], [x], enable_double_backprop=True)
        (gg,) = chainer.grad([F.sum(g * g)], [x])
        return gg.array

    x = chainer.Variable(IMAGES)
    expected = penalty(x)
    with fast_cpu(), fused_with_graph():
        result = penalty(x)
    assert_close(result, expected)


def test_the_input_is_not_kept_alive(block: Block) -> None:
    with fast_cpu(), chainer.no_backprop_mode():
        h = block.start(IMAGES)
        freed = []
        weakref.finalize(h, freed.append, "input")
        y = block.conv(h)
        del h
        y = block.bn(y)
        assert freed == ["input"]  # the Variable, whose array is still needed
        y = F.relu(y)
        gc.collect()
        assert y.array.flags.writeable


@pytest.mark.parametrize("has_graph", [False, True])
def test_memory_does_not_grow(
    has_graph: bool, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = normal(2, 3, 64, 64, seed=6, dtype="d")  # a result has 2 MiB

    def peak() -> int:
        graph = chainer.using_config("enable_backprop", has_graph)
        with fast_cpu(), fused_with_graph(), graph:
            block(x)  # makes all that is kept
            tracemalloc.start()
            y = block(x)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            del y
        return found

    of_fused = peak()
    monkeypatch.setattr(fusion, "_MIN_BYTES", 1 << 40)
    assert of_fused <= peak() + (1 << 18)


def test_threads_that_share_a_model(block: Block) -> None:
    expected = block(IMAGES).array
    results = []

    def run() -> None:
        with fast_cpu(), fused_with_graph(), chainer.using_config("train", False):
            results.extend(block(IMAGES).array for _ in range(3))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 9
    for result in results:
        assert_close(result, expected)
    assert all(p.array.flags.writeable for p in block.params())


def test_wrong_inputs_are_chainers_errors(block: Block) -> None:
    cases = [
        lambda y: F.fixed_batch_normalization(y, *normal(4, 31)),
        lambda y: F.convolution_2d(y, normal(4, 31, 1, 1, dtype="d")),
        lambda y: F.convolution_2d(y, *(normal(32, 32, 1, 1, dtype="d"), IMAGES)),
        lambda y: F.convolution_2d(y, normal(9, 32, 35, 35, dtype="d")),
        lambda y: y + normal(2, 31, 24, 24, dtype="d"),
        lambda y: F.relu(F.cast(y, np.int32)),
    ]
    for case in cases:
        with pytest.raises(Exception) as wanted:
            case(block.conv(block.start(IMAGES)))
        errors = pytest.raises(type(wanted.value))
        with fast_cpu(), chainer.no_backprop_mode(), errors as caught:
            case(block.conv(block.start(IMAGES)))
        assert str(caught.value) == str(wanted.value)


def test_calculators_put_off(block: Block, convolved: list[Any]) -> None:
    x = chainer.Variable(IMAGES)
    block.cleargrads()
    F.sum(block(x)).backward()
    result = GradientCalculator(block).compute(IMAGES, show_progress=False)[0]
    # Each convolution once: nothing between is asked for on the way back.
    assert len(convolved) == 2 * len(result)
    assert_close(result, x.grad)


class Layers(chainer.Chain):
    """A residual block of linear layers."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        with chainer.using_config("dtype", np.dtype(dtype)), self.init_scope():
            self.first = L.Linear(32, 64, initialW=normal(64, 32, seed=1))
            self.second = L.Linear(64, 64, initialW=normal(64, 64, seed=2))
            self.bn = L.BatchNormalization(64)
        self.second.b.array[...] = normal(64, seed=3)
        # Not near 0: float32 would tell how the products were summed from the result.
        self.bn.avg_var[...] = 0.5 + normal(64, seed=4) ** 2

    def forward(self, x: Any) -> chainer.Variable:
        h = F.relu(self.first(x))
        return F.clipped_relu(self.bn(self.second(F.dropout(h))) + h, 20.0)


ROWS = normal(200, 32, seed=5, dtype="d")


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("has_graph", [False, True])
def test_linear_layers_are_put_off_with_the_same_bits(
    dtype: str, has_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, x = Layers(dtype), chainer.Variable(ROWS.astype(dtype))
    thens = []
    matmul = products.matmul

    def recorded(a: Any, b: Any, *args: Any) -> np.ndarray:
        thens.append(args[1].floor if len(args) > 1 else None)
        return matmul(a, b, *args)

    monkeypatch.setattr(products, "matmul", recorded)
    with fast_cpu(), fused_with_graph():
        with chainer.using_config("enable_backprop", has_graph):
            y = layers(x)
        assert thens == [0, 0]
        if has_graph:
            gy = normal(*y.shape, seed=6).astype(dtype)
            (gx,) = gradients([y], [x], [gy])
        with chainer.FunctionHook():
            np.testing.assert_array_equal(y.array, layers(x).array)
    wanted = layers(x)
    assert_close(y.array, wanted.array)
    if has_graph:
        wanted.grad = gy
        wanted.backward()
        assert_close(gx, x.grad, 20 * np.abs(x.grad).max())


def test_a_linear_layer_is_not_put_off_again_where_nothing_goes_with_it() -> None:
    first, kinds = Layers("d").first, []
    with fast_cpu(), chainer.no_backprop_mode():
        for _ in range(2):
            h = first(ROWS)
            kinds.append(type(h))
            F.transpose(h)
    assert kinds == [fusion._PendingVariable, chainer.Variable]


@pytest.mark.parametrize("change", ["first.W", "first.b", "x", "view of x"])
def test_what_a_linear_layer_is_computed_from_may_be_changed(change: str) -> None:
    def run() -> np.ndarray:
        layers, x = Layers("d"), F.tanh(ROWS)
        changed = x.array[:9] if change == "view of x" else None
        y = layers.first(x)
        if changed is None:
            owner = x if change == "x" else getattr(layers.first, change[-1])
            changed = owner.array
        changed *= 2
        return F.relu(y).array

    expected = run()
    with fast_cpu(), chainer.no_backprop_mode():
        assert_close(run(), expected)


@pytest.mark.parametrize("mean, deviation", [(2000.0, 3.0), (1e7, 50.0)])
@pytest.mark.parametrize("shape", [(6, 4), (600, 4), (2, 32, 40, 40)])
def test_normalization_by_a_large_mean_keeps_its_digits(
    mean: float, deviation: float, shape: tuple[int, ...]
) -> None:
    n = shape[1]
    bn = L.BatchNormalization(n)
    bn.avg_mean[...], bn.avg_var[...] = mean, deviation**2
    bn.beta.array[...] = np.arange(n) / n
    rng = np.random.default_rng(0)
    x = np.round(mean + deviation * rng.standard_normal(shape)).astype("f")
    in_front = L.Convolution2D(
        n, n, 1, nobias=True, initialW=np.eye(n)[..., None, None]
    )
    beta = bn.beta.array.reshape(-1, *[1] * (x.ndim - 2)).astype("d")
    expected = (x.astype("d") - mean) / np.sqrt(deviation**2 + bn.eps) + beta
    with fast_cpu(), chainer.using_config("train", False), chainer.no_backprop_mode():
        results = [bn(x).array, F.relu(bn(x)).array]
        if x.ndim == 4:  # put off, with a convolution or without
            results += [bn(in_front(x)).array, F.relu(bn(in_front(x))).array]
    for i, result in enumerate(results):
        wanted = np.maximum(expected, 0) if i % 2 else expected
        np.testing.assert_allclose(result, wanted, rtol=2e-6, atol=2e-6)

"""Functions applied within ``light_apply`` beside Chainer's own ``apply``."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import numpy as np
import pytest

from saliency import BayesGradCalculator, GradientCalculator
from saliency.light_apply import light_apply
from tests.lrp.handlers.test_every_function import trials

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.utils import type_check

OWN_APPLY = chainer.FunctionNode.apply

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def graph_below(outputs: Sequence[chainer.Variable]) -> list[Any]:
    """Return all that a graph says of itself, with nodes numbered as they are met."""
    numbers: dict[int, int] = {}
    functions: dict[chainer.FunctionNode, None] = {}
    described: list[Any] = []

    def node(of: Any) -> Any:
        if of is None:
            return None
        data = of.data
        return (
            numbers.setdefault(id(of), len(numbers)),
            *(of.dtype, of.shape, of.name, of.rank, of.requires_grad, of._layout),
            None if data is None else (data.dtype, data.strides, data.tobytes()),
            set(vars(of)),
        )

    def add(function: chainer.FunctionNode | None) -> None:
        if function is not None:
            functions.setdefault(function)

    for y in outputs:
        described.append((node(y.node), variable(y)))
        add(y.creator_node)
    for function in iter_growing(functions):
        described.append(
            (
                type(function),
                function.rank,
                [node(x) for x in function.inputs],
                [node(y()) for y in function.outputs],
                function._input_indexes_to_retain
                and list(function._input_indexes_to_retain),
                function._output_indexes_to_retain
                and list(function._output_indexes_to_retain),
                [y.tobytes() for y in function._retained_output_data or ()],
                function.input_layouts,
                function.output_layouts,
                function._output_count,
                function.lazy_grad_sum,
                set(vars(function)),
            )
        )
        for x in function.inputs:
            add(x.creator_node)
    return described


def iter_growing(items: dict[Any, None]) -> Iterator[Any]:
    """Yield the keys of a dictionary, to which some may be added meanwhile."""
    done: set[Any] = set()
    while len(done) < len(items):
        for item in list(items):
            if item not in done:
                done.add(item)
                yield item


def variable(y: chainer.Variable) -> Any:
    """Return all that a variable says of itself."""
    return (
        type(y),
        set(vars(y)),
        *(y.array.dtype, y.array.strides, y.array.tobytes()),
        *(y.name, y.grad, y.grad_var, y.device, y.requires_grad, y.layout, y.xp),
        *(y._loss_scale, y._grad_valid),
        y.node.get_variable() is y,
    )


def result_of(f: Callable[..., Any], xs: Sequence[np.ndarray], **config: Any) -> Any:
    """Return graph and gradients of a function, or the error that it raises."""
    np.random.seed(0)  # some functions draw from it
    inputs = [chainer.Variable(x) if x.dtype.kind == "f" else x for x in xs]
    try:
        ys = f(*inputs)
    except Exception as error:
        return type(error), str(error)
    ys = [
        chainer.as_variable(y) for y in (ys if isinstance(ys, (tuple, list)) else [ys])
    ]
    found = graph_below(ys)
    for y in ys:
        y.grad = np.ones_like(y.array)
    try:
        chainer.grad(ys, [x for x in inputs if isinstance(x, chainer.Variable)])
        for y in ys:
            y.backward()
    except Exception as error:
        return found, type(error), str(error)
    grads = [x.grad for x in inputs if isinstance(x, chainer.Variable)]
    return found, [None if g is None else g.tobytes() for g in grads]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.large
def test_graphs_values_and_gradients_are_those_of_chainer(train: bool) -> None:
    for f, xs in trials():
        for dtype in "fd":
            cast = [x.astype(dtype) if x.dtype.kind == "f" else x for x in xs]
            with chainer.using_config("train", train):
                expected = result_of(f, cast)
                with light_apply():
                    first = result_of(f, cast)
                    again = result_of(f, cast)
            assert first == expected
            assert again == expected


def wrong(xs: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield inputs like those given, with a wrong one among them."""
    for i, x in enumerate(xs):
        others = [
            x.astype(np.int32),
            x.astype(np.float16),
            x[..., None],
            x[:0],
            x.reshape(-1),
            np.concatenate([x, x], axis=-1) if x.ndim else x,
            x.tolist(),
            None,
        ]
        for other in others:
            yield [*xs[:i], other, *xs[i + 1 :]]


def error_of(f: Callable[..., Any], xs: Sequence[Any]) -> Any:
    np.random.seed(0)
    try:
        f(*(chainer.Variable(x) if isinstance(x, np.ndarray) else x for x in xs))
    except Exception as error:
        return type(error), str(error)
    return None


def test_errors_are_those_of_chainer_also_after_good_calls() -> None:
    n_error = 0
    for f, xs in trials()[::2]:
        good = [x.astype("f") if x.dtype.kind == "f" else x for x in xs]
        for bad in wrong(good):
            expected = error_of(f, bad)
            with light_apply():
                error_of(f, good)
                assert error_of(f, bad) == expected
            n_error += expected is not None
    assert n_error > 300


class Scaled(chainer.FunctionNode):
    """A function of a user's, whose check reads an attribute."""

    def __init__(self, ndim: Any = 2) -> None:
        self.ndim = ndim

    def check_type_forward(self, in_types: Any) -> None:
        type_check.expect(in_types[0].ndim == self.ndim)

    def forward(self, inputs: Any) -> Any:
        return (2 * inputs[0],)

    def backward(self, indexes: Any, grads: Any) -> Any:
        return (2 * grads[0],)


X = np.arange(6, dtype="f").reshape(2, 3)


def test_a_check_is_not_remembered_for_another_value_of_what_it_reads() -> None:
    with light_apply():
        Scaled(2).apply((X,))
        with pytest.raises(type_check.InvalidType, match=r"in_types\[0\].ndim == 3"):
            Scaled(3).apply((X,))
        function = Scaled(2)
        function.apply((X,))
        function.ndim = 1
        with pytest.raises(type_check.InvalidType):
            function.apply((X,))


class Changing:
    """Equal to 2 at first, and of the same hash throughout."""

    value = 2

    def __eq__(self, other: object) -> bool:
        return self.value == other

    def __hash__(self) -> int:
        return hash(2)


@pytest.mark.parametrize("make", [Changing, lambda: np.array(2)])
def test_a_check_is_made_anew_where_an_attribute_can_change(make: Any) -> None:
    ndim = make()
    with light_apply():
        Scaled(ndim).apply((X,))
        if isinstance(ndim, Changing):
            ndim.value = 3
        else:
            ndim[...] = 3
        with pytest.raises(type_check.InvalidType):
            Scaled(ndim).apply((X,))


ALLOWED = {0: 2}


class OfAGlobal(Scaled):
    def check_type_forward(self, in_types: Any) -> None:
        type_check.expect(in_types[0].ndim == ALLOWED[0])


class OfTheConfiguration(Scaled):
    def check_type_forward(self, in_types: Any) -> None:
        type_check.expect(in_types[0].ndim == chainer.config.ndim_of_test)


class OfAMethod(Scaled):
    def check_type_forward(self, in_types: Any) -> None:
        self.check(in_types)

    def check(self, in_types: Any) -> None:
        type_check.expect(in_types[0].ndim == ALLOWED[0])


class OfAProperty(Scaled):
    @property
    def allowed(self) -> int:
        return ALLOWED[0]

    def check_type_forward(self, in_types: Any) -> None:
        type_check.expect(in_types[0].ndim == self.allowed)


class OfTheParent(OfAGlobal):
    def check_type_forward(self, in_types: Any) -> None:
        super().check_type_forward(in_types)


class OfItself(Scaled):
    def check_type_forward(self, in_types: Any) -> None:
        this = self
        type_check.expect(in_types[0].ndim == this.ndim)

    def __getattribute__(self, name: str) -> Any:
        return ALLOWED[0] if name == "ndim" else super().__getattribute__(name)


class OfAnInnerFunction(Scaled):
    def check_type_forward(self, in_types: Any) -> None:
        type_check.expect(*[t.ndim == self.ndim for t in in_types if ALLOWED])

    def __getattribute__(self, name: str) -> Any:
        return ALLOWED[0] if name == "ndim" else super().__getattribute__(name)


CALLS: list[Any] = []


class Counting(Scaled):
    def check_type_forward(self, in_types: Any) -> None:
        CALLS.append(in_types)
        type_check.expect(in_types[0].ndim == ALLOWED[0])


@pytest.mark.parametrize(
    "kind",
    [
        *(OfAGlobal, OfTheConfiguration, OfAMethod, OfAProperty, OfTheParent),
        *(OfItself, OfAnInnerFunction, Counting),
    ],
)
def test_a_check_that_reads_something_else_is_made_each_time(
    kind: type[Scaled], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALLOWED, 0, 2)
    with light_apply(), chainer.using_config("ndim_of_test", 2):
        kind().apply((X,))
        kind().apply((X,))
        ALLOWED[0] = chainer.config.ndim_of_test = 1
        with pytest.raises(type_check.InvalidType):
            kind().apply((X,))


def test_another_check_in_the_place_of_one_that_passed_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: Any, in_types: Any) -> None:
        raise type_check.InvalidType("nothing", "something")

    with light_apply():
        Scaled().apply((X,))
        of_one = Scaled()
        of_one.check_type_forward = lambda in_types: refuse(of_one, in_types)
        with pytest.raises(type_check.InvalidType):
            of_one.apply((X,))
        monkeypatch.setattr(Scaled, "check_type_forward", refuse)
        with pytest.raises(type_check.InvalidType):
            Scaled().apply((X,))


def test_types_are_checked_as_the_configuration_says() -> None:
    a, b = X, X.astype("d")
    with light_apply():
        with chainer.using_config("type_check", False):
            assert F.maximum(a, b).dtype == np.dtype("d")
        with pytest.raises(type_check.InvalidType):
            F.maximum(a, b)
        with chainer.using_config("type_check", False):
            F.maximum(a, b)


def test_no_graph_is_made_where_none_is_wanted() -> None:
    x = chainer.Parameter(X)
    with light_apply():
        with chainer.no_backprop_mode():
            y = 2 * x
            with chainer.force_backprop_mode():
                z = 2 * x
        assert y.creator is None and y.requires_grad
        assert z.creator is not None
        assert F.relu(X).creator is not None
        assert not F.relu(X).requires_grad


def test_debug_mode_is_chainers() -> None:
    with light_apply(), chainer.using_config("debug", True):
        y = F.relu(chainer.Variable(X))
        assert y.creator.stack
        with (
            pytest.raises(RuntimeError, match="NaN is detected"),
            np.errstate(all="ignore"),
        ):
            F.log(-1 - X)


def test_lazy_sums_of_gradients_are_as_configured() -> None:
    with light_apply(), chainer.using_config("lazy_grad_sum", True):
        assert F.relu(chainer.Variable(X)).creator.lazy_grad_sum


class Seen(chainer.FunctionHook):
    name = "seen"

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def forward_preprocess(self, function: Any, in_data: Any) -> None:
        self.calls.append(("before", function.label, len(in_data), function.inputs))

    def forward_postprocess(self, function: Any, in_data: Any) -> None:
        self.calls.append(("after", function.label, len(in_data), function.inputs))


def calls_seen() -> list[Any]:
    of_thread, of_function = Seen(), Seen()
    function = Scaled()
    function.add_hook(of_function, "of one")
    with of_thread:
        (y,) = function.apply((X,))
        F.relu(y + X)
    assert len(of_thread.calls) == 6
    assert len(of_function.calls) == 2
    return [*of_thread.calls, *of_function.calls]


def test_hooks_are_called() -> None:
    expected = calls_seen()
    with light_apply():
        assert calls_seen() == expected


class Raising(chainer.FunctionNode):
    def __init__(self, outputs: Any, elementwise: bool = False) -> None:
        self.is_elementwise = elementwise
        self.outputs_to_return = outputs

    def forward(self, inputs: Any) -> Any:
        if isinstance(self.outputs_to_return, Exception):
            raise self.outputs_to_return
        return self.outputs_to_return


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("outputs", "elementwise"),
    [
        (ValueError("no"), False),
        (X, False),
        ([X], False),
        ((), False),
        ((X, X[0]), True),
        ((X, X), True),
        ((X, None), False),
        ((None,), False),
        ((np.float32(1),), False),
        ((X, "x"), False),
        ((X.view(Subclass),), False),
    ],
)
def test_outputs_that_are_no_arrays_give_what_chainer_gives(
    outputs: Any, elementwise: bool
) -> None:
    def tried() -> Any:
        try:
            ys = Raising(outputs, elementwise).apply((chainer.Variable(X),))
        except Exception as error:
            return type(error), str(error)
        return [(type(y), type(y.array), y.requires_grad, y.rank) for y in ys]

    expected = tried()
    with light_apply():
        assert tried() == expected


@pytest.mark.parametrize(
    "inputs",
    [
        (),
        [X, X],
        (chainer.Variable(),),
        (chainer.Parameter(), X),
        (X, None),
        (X.view(Subclass), X),
        (np.float32(2), X),
        (X.tolist(), X),
    ],
)
def test_inputs_that_are_no_arrays_give_what_chainer_gives(inputs: Any) -> None:
    class Untyped(Scaled):
        def check_type_forward(self, in_types: Any) -> None:
            pass

    def tried() -> Any:
        try:
            return graph_below(Untyped().apply(inputs))[1][1:4]
        except Exception as error:
            return type(error), str(error)

    expected = tried()
    with light_apply():
        assert tried() == expected


def test_a_function_may_be_applied_twice_where_chainer_allows_it() -> None:
    with light_apply():
        function = Scaled()
        first, second = function.apply((X,)), function.apply((X,))
        assert second[0].creator is function and first[0].creator is function
        relu = F.activation.relu.ReLU()
        relu.apply((X,))
        with pytest.raises(AssertionError):
            relu.apply((X,))


class OldStyle(chainer.Function):
    def check_type_forward(self, in_types: Any) -> None:
        type_check.expect(in_types.size() == ALLOWED[0])

    def forward(self, inputs: Any) -> Any:
        return (inputs[0] * inputs[1],)

    def backward(self, inputs: Any, grads: Any) -> Any:
        return grads[0] * inputs[1], grads[0] * inputs[0]


def test_old_style_functions_work_as_before() -> None:
    def old(x: Any) -> Any:
        return OldStyle()(x, 2 * x)

    expected = result_of(old, [X])
    with light_apply():
        assert result_of(old, [X]) == expected
        y = old(chainer.Variable(X))
        assert isinstance(y.creator, OldStyle)
        with pytest.raises(type_check.InvalidType) as caught:
            OldStyle()(X)
    with pytest.raises(type_check.InvalidType) as wanted:
        OldStyle()(X)
    assert str(caught.value) == str(wanted.value)


def test_second_derivatives() -> None:
    def penalty(x: Any) -> Any:
        (g,) = chainer.grad([F.sum(F.tanh(x) ** 3)], [x], enable_double_backprop=True)
        return F.sum(g * g)

    expected = result_of(penalty, [X])
    with light_apply():
        assert result_of(penalty, [X]) == expected


def test_memory_layouts_are_left_to_chainer() -> None:
    layout = chainer.memory_layouts.CUDNN_CHANNEL_LAST_X
    x = chainer.Variable(np.ones((1, 2, 3, 4), "f"))
    with light_apply():
        y = x.as_layout(layout)
        assert y.layout == layout
        with pytest.raises(RuntimeError, match="non-standard layouts"):
            F.sum(y)
        with pytest.raises(RuntimeError, match="mixed memory layouts"):
            F.add(y, x)
        assert F.relu(y).layout == layout


def test_subclasses_of_variables_are_left_to_chainer() -> None:
    class Frozen(chainer.Variable):
        @property
        def requires_grad(self) -> bool:
            return False

    with light_apply():
        assert not F.relu(Frozen(X)).requires_grad


def test_results_are_ordinary_variables() -> None:
    x = chainer.Variable(X)
    with light_apply():
        y = x * x
    y.name = "y"
    y.grad = np.ones_like(X)
    y.backward()
    np.testing.assert_array_equal(x.grad, 2 * X)
    y.array = X
    assert y.node.dtype == X.dtype
    assert "y" in repr(y) and len(y) == 2
    y.unchain()
    assert y.creator is None
    y.to_cpu()
    assert y.device == chainer.get_device("@numpy")


def test_nothing_is_kept_alive() -> None:
    class Local(Scaled):
        pass

    with light_apply():
        x = chainer.Variable(X.copy())
        y = Local().apply((x,))[0] + 1
        references = [weakref.ref(o) for o in (Local, x, y, y.creator, y.node)]
        del Local, x, y
        gc.collect()
        assert [r() for r in references[1:]] == [None] * 4
    gc.collect()
    assert references[0]() is None


def test_chainers_method_is_back_after_nested_blocks_and_errors() -> None:
    with light_apply():
        with pytest.raises(ZeroDivisionError), light_apply():
            assert chainer.FunctionNode.apply is not OWN_APPLY
            raise ZeroDivisionError
        assert chainer.FunctionNode.apply is not OWN_APPLY
        assert Scaled().apply((X,))[0].dtype == X.dtype
    assert chainer.FunctionNode.apply is OWN_APPLY


def test_other_threads_run_chainers_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    check = chainer.FunctionNode._check_data_type_forward

    def checked(self: Any, in_data: Any) -> None:
        threads.append(threading.get_ident())
        check(self, in_data)

    monkeypatch.setattr(chainer.FunctionNode, "_check_data_type_forward", checked)
    with light_apply():
        F.relu(X)
        threads.clear()
        F.relu(X)
        assert not threads  # remembered
        other = threading.Thread(target=F.relu, args=(X,))
        other.start()
        other.join()
        assert threads == [other.ident]


def test_calculators_run_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    model = L.Linear(3, 2)

    def score(x: Any) -> Any:
        seen.append(chainer.FunctionNode.apply is OWN_APPLY)
        return F.sum(F.dropout(F.tanh(model(x))), axis=1)

    GradientCalculator(model, eval_fun=score).compute(X, show_progress=False)
    BayesGradCalculator(model, eval_fun=score).compute(X, M=2, show_progress=False)
    assert seen and not any(seen)
    assert chainer.FunctionNode.apply is OWN_APPLY


@pytest.mark.gpu
def test_on_a_gpu_graphs_and_values_are_those_of_chainer() -> None:
    import cupy

    def on_gpu(x: Any) -> Any:
        return F.sum(F.tanh(F.reshape(cupy.asarray(X) * x, (3, 2))), axis=0)

    def result() -> Any:
        x = chainer.Variable(cupy.asarray(X))
        y = on_gpu(x)
        y.grad = cupy.ones_like(y.array)
        y.backward()
        return y.rank, type(y.array), y.array.tolist(), x.grad.tolist()

    expected = result()
    with light_apply():
        assert result() == expected
        with pytest.raises(TypeError, match="incompatible array types are mixed"):
            F.add(X, cupy.asarray(X))


def test_checks_of_nearly_all_functions_of_chainer_are_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked = set()
    check = chainer.FunctionNode._check_data_type_forward

    def recorded(self: Any, in_data: Any) -> None:
        checked.add(self._impl_name)
        check(self, in_data)

    monkeypatch.setattr(chainer.FunctionNode, "_check_data_type_forward", recorded)
    with light_apply():
        for f, xs in trials():
            result_of(f, xs)
        checked.clear()
        for f, xs in trials():
            result_of(f, xs)
    # Those that read arrays, lists or more than their arguments, or that fail.
    assert 0 < len(checked) < 30

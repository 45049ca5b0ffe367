"""Convolution, batch normalization, sum and rectifier in one pass over the memory.

A convolution or a linear layer whose result is large is put off: its Variable computes
the array when somebody asks for it. Fixed batch normalization of the result, or of
another large array, and a sum with something else, are put off as well. At a rectifier,
or where another function wants the array, all of them are computed at once, and only
the last result is written. What lies between is computed when somebody asks for it
after all.

What a result is computed from must be as it was when it was put off. Kernels and biases
are copied; the input is held (:mod:`saliency.cpu.held`), or copied where it is small.
"""

from __future__ import annotations

import contextlib
import math
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Callable, NamedTuple, Optional, Union

import numpy as np

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.cpu import convolution, elementwise, memory, products
from saliency.cpu.epilogue import NOTHING, Epilogue
from saliency.cpu.geometry import Geometry, windows_of
from saliency.cpu.held import HeldVariable, Hold, WithoutArray, can_be_held, hold
from saliency.cpu.replacements import (
    are_covered,
    as_before,
    as_images,
    is_of_channels,
    prepare_normalization,
    retain_for_linear,
)
from saliency.light_apply import (
    connect,
    is_watched,
    light_apply,
    new_variable,
    variable_of,
)
from saliency.remembered_checks import checks_of

import chainer
from chainer.functions.activation.clipped_relu import ClippedReLU
from chainer.functions.activation.relu import ReLU
from chainer.functions.connection.convolution_2d import Convolution2DFunction
from chainer.functions.connection.convolution_nd import ConvolutionND
from chainer.functions.connection.linear import LinearFunction
from chainer.functions.math.basic_math import Add
from chainer.functions.normalization.batch_normalization import (
    FixedBatchNormalization,
)
from chainer.variable import Parameter, Variable, VariableNode

Results = Optional[tuple[Variable, ...]]

_global_config = chainer.global_config

# Smaller results stay in the cache between one pass over them and the next.
_MIN_BYTES = elementwise.PART


class Pending:
    """A result that is put off: what it starts with, and what is done to that.

    Args:
        source (_Convolution, _Product or _HeldArray): What it starts with.
        scale (numpy.ndarray or None): What its channels are multiplied by.
        shift (numpy.ndarray or None): What is added to them then.
        offset (numpy.ndarray or None): What is added to them before that.
        added (Hold or None): What is added to the result.
    """

    __slots__ = (
        *("__weakref__", "_array", "_lock", "_node", "_source", "_variable"),
        *("added", "dtype", "offset", "scale", "shape", "shift"),
    )

    def __init__(
        self,
        source: _Source,
        scale: np.ndarray | None = None,
        shift: np.ndarray | None = None,
        offset: np.ndarray | None = None,
        added: Hold | None = None,
    ) -> None:
        self.shape, self.dtype = source.shape, source.dtype
        self._source: _Source | None = source
        self.scale, self.shift, self.offset = scale, shift, offset
        self.added = added
        self._array: np.ndarray | None = None
        self._lock = threading.Lock()
        for held in (source.held, added):
            if held is not None:
                held.waiting.append(weakref.ref(self))

    @property
    def source(self) -> _Source:
        """What it starts with, as long as it is put off."""
        assert self._source is not None
        return self._source

    @property
    def is_settled(self) -> bool:
        """Whether the result has been computed."""
        return self._array is not None

    @property
    def is_bare_product(self) -> bool:
        """Whether it is a linear layer and nothing else, and has not been computed."""
        is_bare = self.scale is None and self.added is None
        return is_bare and isinstance(self._source, _Product)

    def variable(self, requires_grad: bool) -> Variable:
        """Return the Variable whose array is put off."""
        variable: Variable = new_variable(
            _PendingVariable, self.shape, self.dtype, requires_grad
        )
        variable.__dict__["_pending"] = self
        self._variable = weakref.ref(variable)
        self._node = weakref.ref(variable._node)
        return variable

    def is_of(self, variable: Any) -> bool:
        """Tell whether this is what a Variable is waiting for."""
        return type(variable) is _PendingVariable and self._variable() is variable

    def retain(self) -> None:
        """Let the place in the graph have the array as well, when it is there."""
        node = self._node()
        node.__dict__["_pending"] = self
        node.__class__ = _PendingNode

    def computed(
        self,
        added: np.ndarray | None = None,
        floor: float | None = None,
        ceiling: float | None = None,
    ) -> np.ndarray:
        """Return the result, and what an epilogue makes of it."""
        if self.added is not None:
            added = self.added.array
        steps = added, floor, ceiling, self.scale, self.shift, self.offset
        is_bare = all(step is None for step in steps)
        return self.source.compute(NOTHING if is_bare else Epilogue(*steps))

    def settle(self) -> np.ndarray:
        """Compute the result, for the Variable and for its place in the graph."""
        with self._lock:
            if self._array is None:
                self._array = self.computed()
                self._hand_over(self._array)
                # Whatever it was computed from may go.
                self._source = self.added = None
        return self._array

    def _hand_over(self, array: np.ndarray) -> None:
        variable, node = self._variable(), self._node()
        if variable is not None and type(variable) is _PendingVariable:
            variable.__dict__["_data"] = [array]
            variable.__class__ = Variable
            del variable.__dict__["_pending"]
        if node is not None and type(node) is _PendingNode:
            node.__dict__["_data"] = array
            node.__class__ = VariableNode
            del node.__dict__["_pending"]


class _PendingVariable(WithoutArray):
    """A Variable whose array is computed when somebody asks for it."""

    @property
    def _data(self) -> list[Any]:
        pending = self.__dict__.get("_pending")
        if pending is not None:
            _ask(pending)
        return self.__dict__["_data"]  # type: ignore[no-any-return]

    def array_for(self, function: chainer.FunctionNode) -> np.ndarray:
        """Return the array."""
        return self._data[0]  # type: ignore[no-any-return]


class _PendingNode(VariableNode):
    """The place of such a Variable in a graph that has retained its array."""

    @property
    def _data(self) -> Any:
        pending = self.__dict__.get("_pending")
        return self.__dict__["_data"] if pending is None else _ask(pending)

    @_data.setter
    def _data(self, array: Any) -> None:
        self.__dict__.pop("_pending", None)
        self.__class__ = VariableNode
        self._data = array


class _Convolution:
    """A convolution, and copies of what it is computed from, or what nobody can change.

    Args:
        function (chainer.FunctionNode): The convolution.
        x (numpy.ndarray): Its input.
        held (Hold or None): What keeps that as it is; None for a copy.
        W (numpy.ndarray): The kernels.
        U (numpy.ndarray or None): The kernels as Winograd's algorithm takes them.
        b (numpy.ndarray or None): The bias.
        geometry (Geometry): Where the windows lie.

    Attributes:
        held (Hold or None): See above.
        shape (tuple of int): Of its result.
        dtype (numpy.dtype): Of its result.
        key (int): Tells it from others.
    """

    __slots__ = (
        *("_U", "_W", "_b", "_function", "_geometry", "_x"),
        *("dtype", "held", "key", "shape"),
    )

    def __init__(
        self,
        function: Any,
        x: np.ndarray,
        held: Hold | None,
        W: np.ndarray,
        U: np.ndarray | None,
        b: np.ndarray | None,
        geometry: Geometry,
    ) -> None:
        self._function, self._geometry = function, geometry
        self._x = x if held is not None else _copy(x)
        self.held = held
        # Where they are transformed, the kernels themselves are not read any more.
        self._W = W if U is not None else _copy(W)
        self._U = U
        self._b = None if b is None else b.copy()
        self.shape = (len(x), len(W), *geometry.out[4 - x.ndim :])
        self.dtype = x.dtype
        self.key = id(W)

    def compute(self, then: Epilogue) -> np.ndarray:
        """Return the result, and what an epilogue makes of it."""
        function = self._function
        if then.added is not None:
            then = replace(then, added=as_images(then.added))
        y = convolution.convolve(
            *(as_images(self._x), as_images(self._W), self._b, self._geometry),
            *(function.groups, then, self._U),
        )
        return as_before(y, function)


class _Product:
    """A linear layer; what it is computed from is copied, or nobody can change it.

    Args:
        x (numpy.ndarray): Its input, ``(n, k)``.
        held (Hold or None): What keeps that as it is; None for a copy.
        W (numpy.ndarray): The weights, ``(m, k)``.
        b (numpy.ndarray or None): The bias.

    Attributes:
        held (Hold or None): See above.
        shape (tuple of int): Of its result.
        dtype (numpy.dtype): Of its result.
        key (int): Tells it from others.
    """

    __slots__ = ("_W", "_b", "_x", "dtype", "held", "key", "shape")

    def __init__(
        self, x: np.ndarray, held: Hold | None, W: np.ndarray, b: np.ndarray | None
    ) -> None:
        self._x = x if held is not None else _copy(x)
        self.held = held
        self._W = _copy(W)
        self._b = None if b is None else b.copy()
        self.shape = (len(x), len(W))
        self.dtype = x.dtype
        self.key = id(W)

    def compute(self, then: Epilogue) -> np.ndarray:
        """Return the result, and what an epilogue makes of it."""
        return products.matmul(self._x, self._W.T, self._b, then)


class _HeldArray:
    """What is normalized and has been computed: an array that nobody can change.

    Args:
        held (Hold): What keeps the array as it is.
        gamma (numpy.ndarray): What the channels are multiplied by, among others.

    Attributes:
        held (Hold): See above.
        shape (tuple of int): Of the array.
        dtype (numpy.dtype): Of the array.
        key (int): Tells it from others.
    """

    __slots__ = ("dtype", "held", "key", "shape")

    def __init__(self, held: Hold, gamma: np.ndarray) -> None:
        self.held = held
        self.shape, self.dtype = held.array.shape, held.array.dtype
        self.key = id(gamma)

    def compute(self, then: Epilogue) -> np.ndarray:
        """Return what an epilogue makes of the array."""
        return elementwise.normalized(self.held.array, then)


_Source = Union[_Convolution, _Product, _HeldArray]


def _copy(array: np.ndarray) -> np.ndarray:
    copied = memory.empty_like(array)
    copied[...] = array
    return copied


class _State(threading.local):
    """What a thread has in its block.

    Attributes:
        is_inside: Whether it is in one.
        last: What was put off last, and may be continued.
        with_graph: Whether convolutions are put off where there is a graph.
        wanted: Keys of sources that are not put off any more: somebody has asked for
            their results late, or a linear layer was followed by nothing that goes in
            one pass with it.
    """

    is_inside = False
    last: weakref.ref[Pending] | None = None
    with_graph = False
    wanted: frozenset[int] = frozenset()


_state = _State()


def _ask(pending: Pending) -> np.ndarray:
    """Compute what was put off, since somebody asks for it."""
    if not pending.is_settled and pending is not _last():
        # It has been continued, and is computed for a second time now.
        _state.wanted |= {pending.source.key}
    return pending.settle()


def _last() -> Pending | None:
    return None if _state.last is None else _state.last()


@contextlib.contextmanager
def fused(meet: Callable[[type], None]) -> Iterator[None]:
    """Let this thread put off convolutions, where there is no graph.

    Args:
        meet (callable): ``meet(cls)`` is called before the first function of a class
            is applied within the block.
    """
    is_outermost = not _state.is_inside
    _state.is_inside = True
    try:
        with light_apply(_apply, meet):
            yield
    finally:
        _settle_last()
        if is_outermost:
            _state.is_inside = False
            _state.wanted = frozenset()


@contextlib.contextmanager
def fused_with_graph() -> Iterator[None]:
    """Let :func:`fused` put off convolutions where there is a graph, too.

    That is for a way back that asks for the arrays that it needs, and for no others.
    Chainer's own asks for all that functions have retained.
    """
    outer = _state.with_graph
    _state.with_graph = True
    try:
        yield
    finally:
        _state.with_graph = outer


def _settle_last() -> None:
    """Compute what was put off last, if it is still waited for."""
    last = _last()
    _state.last = None
    if last is not None:
        last.settle()


def _apply(function: Any, inputs: Any, config: dict[str, Any]) -> Results:
    """Put a function off, or compute it with what was put off before it."""
    last = None if _state.last is None else _state.last()
    put_off = _BEGINNINGS.get(type(function))
    if last is None and put_off is None:
        return None
    continues = _CONTINUATIONS.get(type(function))
    may_fuse = function._output_layouts is None and not is_watched(function)
    if last is not None:
        if continues is not None and may_fuse:
            results = continues(function, inputs, config, last)
            if results is not None:
                return results
        if last.is_bare_product:
            # What follows a layer is most often the same each time.
            _state.wanted |= {last.source.key}
        _settle_last()
    if put_off is not None and may_fuse:
        return put_off(function, inputs, config)
    return None


def _put_off_convolution(function: Any, inputs: Any, config: dict[str, Any]) -> Results:
    """Put a convolution off, if its result is large and nobody can change its input."""
    layer = _Layer.of(inputs, config)
    if layer is None:
        return None
    x, W, b = layer.arrays
    fits = (
        are_covered(x, W, b)
        and x.ndim == W.ndim
        and 3 <= x.ndim <= 4
        and x.shape[1] == W.shape[1] * function.groups
        and len(W) % function.groups == 0
        and not getattr(function, "cudnn_fast", False)
        and id(W) not in _state.wanted
    )
    if not fits:
        return None
    geometry = windows_of(function, x.shape[2:], W.shape[2:])
    if geometry is None:
        return None
    n_byte = len(x) * len(W) * geometry.out[0] * geometry.out[1] * x.itemsize
    if n_byte <= _MIN_BYTES:
        return None
    U = convolution.transformed(as_images(W), geometry, function.groups)
    if U is None and W.nbytes > n_byte:
        return None  # copying the kernels takes longer than what is gained
    if not layer.is_worth_its_input(n_byte):
        return None
    held = layer.checked_and_held(function, config)
    function.retain_inputs((0, 1))
    source = _Convolution(function, x, held, W, U, b, geometry)
    return _pending_result(function, layer.variables, Pending(source), config)


def _put_off_linear(function: Any, inputs: Any, config: dict[str, Any]) -> Results:
    """Put a linear layer off, as a convolution is."""
    if _is_small_product(*inputs[:2]):
        return None
    layer = _Layer.of(inputs, config)
    if layer is None:
        return None
    x, W, b = layer.arrays
    fits = (
        are_covered(x, W, b)
        and x.ndim == W.ndim == 2
        and x.shape[1] == W.shape[1]
        and products.is_large(x, W.T)
        and id(W) not in _state.wanted
    )
    if not fits:
        return None
    n_byte = len(x) * len(W) * x.itemsize
    if W.nbytes > n_byte:
        return None  # copying the weights takes longer than what is gained
    if not layer.is_worth_its_input(n_byte):
        return None
    held = layer.checked_and_held(function, config)
    retain_for_linear(function)
    source = _Product(x, held, W, b)
    return _pending_result(function, layer.variables, Pending(source), config)


def _is_small_product(x: Any, W: Any) -> bool:
    """Tell whether a linear layer has a small result, without asking for arrays."""
    of_x, of_W = (v._node if isinstance(v, Variable) else v for v in (x, W))
    if not (of_x.shape and of_W.shape):  # as of a parameter without a value
        return True
    return bool(of_x.shape[0] * of_W.shape[0] * of_x.dtype.itemsize <= _MIN_BYTES)


class _Layer(NamedTuple):
    """What a convolution or a linear layer is applied to, where it may be put off.

    Attributes:
        variables (list of chainer.Variable): The input, the weights and maybe the bias.
        is_alone (bool): Whether nobody else can change the input.
        arrays (tuple of numpy.ndarray or None): Theirs; None where there is no bias.
    """

    variables: list[Any]
    is_alone: bool
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray | None]

    @classmethod
    def of(cls, inputs: Any, config: dict[str, Any]) -> _Layer | None:
        """Return it; None where a layer is not put off."""
        if _has_graph(config) and not _state.with_graph:
            return None
        variables = _as_variables(inputs)
        if len(variables) not in (2, 3):
            return None
        is_alone = can_be_held(variables[0])  # as long as nothing here refers to it
        arrays = (*map(_array, variables), None)[:3]
        return cls(variables, is_alone, arrays)

    def is_worth_its_input(self, n_byte: int) -> bool:
        """Tell whether a copy of the input, if need be, is small beside the result."""
        return self.is_alone or 2 * self.arrays[0].nbytes <= n_byte

    def checked_and_held(self, function: Any, config: dict[str, Any]) -> Hold | None:
        """Check types, and return what keeps the input as it is; None for a copy."""
        x, W, b = self.arrays
        _check(function, (x, W) if b is None else (x, W, b), config)
        return hold(self.variables[0]) if self.is_alone else None


def _normalize(
    function: Any, inputs: Any, config: dict[str, Any], last: Pending
) -> Results:
    """Put fixed batch normalization off, with the convolution before it."""
    variables = _as_variables(inputs)
    if len(variables) != 5 or not last.is_of(variables[0]):
        return None
    if last.scale is not None or last.added is not None:
        return None
    return _put_off_normalized(function, variables, last.source, config)


def _put_off_normalization(
    function: Any, inputs: Any, config: dict[str, Any]
) -> Results:
    """Put fixed batch normalization of a large array off, if nobody can change it."""
    if _has_graph(config) and not _state.with_graph:
        return None
    variables = _as_variables(inputs)
    if len(variables) != 5 or not can_be_held(variables[0]):
        return None
    x, gamma = _array(variables[0]), _array(variables[1])
    if (
        not are_covered(x, gamma)
        or x.nbytes <= _MIN_BYTES
        or id(gamma) in _state.wanted
    ):
        return None
    source = _HeldArray(hold(variables[0]), gamma)
    return _put_off_normalized(function, variables, source, config)


def _put_off_normalized(
    function: Any, variables: list[Any], source: _Source, config: dict[str, Any]
) -> Results:
    x = _Described(source)
    gamma, beta, mean, var = vectors = tuple(_array(v) for v in variables[1:])
    fits = (
        are_covered(*vectors)
        and gamma.dtype == x.dtype
        and is_of_channels(function, x.ndim, gamma)
        and all(vector.shape == (x.shape[1],) for vector in vectors)
    )
    if not fits:
        return None
    _check(function, (x, *vectors), config)
    scale = prepare_normalization(function, x.ndim, gamma, var)
    pending = Pending(source, scale, beta.copy(), -mean)
    return _pending_result(function, variables, pending, config)


def _add(function: Any, inputs: Any, config: dict[str, Any], last: Pending) -> Results:
    """Put a sum off, with one of its terms, or compute both at once."""
    variables = _as_variables(inputs)
    if len(variables) != 2 or last.added is not None:
        return None
    is_last = [last.is_of(variable) for variable in variables]
    if sum(is_last) != 1:
        return None
    other = variables[is_last[0]]
    is_alone = can_be_held(other)
    array = _array(other)
    x = _Described(last)
    if not (are_covered(array) and array.dtype == x.dtype and array.shape == x.shape):
        return None
    _check(function, (x, x), config)
    if not is_alone:
        # Somebody might write into the other term before the sum is continued.
        y = last.computed(array)
        return _computed_result(function, variables, y, config)
    pending = Pending(last.source, last.scale, last.shift, last.offset, hold(other))
    return _pending_result(function, variables, pending, config)


def _rectify(
    function: Any, inputs: Any, config: dict[str, Any], last: Pending
) -> Results:
    """Compute what was put off, and its rectifier."""
    if len(inputs) != 1 or not last.is_of(inputs[0]):
        return None
    _check(function, (_Described(last),), config)
    ceiling = None
    if type(function) is ClippedReLU:
        ceiling = function.cap
        function.retain_inputs((0,))
    # For the way back through a clipped one, the output tells as much as the input.
    function.retain_outputs((0,))
    y = last.computed(floor=0, ceiling=ceiling)
    return _computed_result(function, list(inputs), y, config)


#: What may be done to what is put off at once with it.
_CONTINUATIONS: dict[type, Callable[..., Results]] = {
    FixedBatchNormalization: _normalize,
    Add: _add,
    ReLU: _rectify,
    ClippedReLU: _rectify,
}
#: What may be put off.
_BEGINNINGS: dict[type, Callable[..., Results]] = {
    Convolution2DFunction: _put_off_convolution,
    ConvolutionND: _put_off_convolution,
    LinearFunction: _put_off_linear,
    FixedBatchNormalization: _put_off_normalization,
}


class _Described:
    """What a check of types may ask of an array that is not there."""

    def __init__(self, source: Pending | _Source) -> None:
        self.shape, self.dtype = source.shape, source.dtype
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)


_VARIABLES = (Variable, Parameter, HeldVariable, _PendingVariable)


def _as_variables(inputs: Any) -> list[Any]:
    """Return inputs as Variables, none of them if there is something special."""
    variables: list[Any] = []
    for x in inputs:
        if type(x) is np.ndarray:
            variables.append(variable_of(x, False))
        elif type(x) in _VARIABLES and x._layout is None:
            variables.append(x)
        else:
            return []
    return variables


def _array(variable: Variable) -> Any:
    """Return the array of a Variable, which stays held if it is."""
    if type(variable) is HeldVariable:
        return variable.__dict__["_data"][0]
    return variable._data[0]


def _has_graph(config: dict[str, Any]) -> bool:
    return bool(config.get("enable_backprop", _global_config.enable_backprop))


def _check(function: Any, arrays: tuple[Any, ...], config: dict[str, Any]) -> None:
    """Check the types of a function's inputs, which are those that it takes."""
    function._input_layouts = (None,) * len(arrays)
    if config.get("type_check", _global_config.type_check):
        checks_of(type(function)).check_types(function, arrays)


def _pending_result(
    function: Any,
    variables: Sequence[Any],
    pending: Pending,
    config: dict[str, Any],
) -> tuple[Variable]:
    """Return the output of a function that is put off."""
    result = pending.variable(any(v._requires_grad for v in variables))
    _put_into_graph(function, variables, result, config)
    _state.last = weakref.ref(pending)
    return (result,)


def _computed_result(
    function: Any, variables: Sequence[Any], y: np.ndarray, config: dict[str, Any]
) -> tuple[Variable]:
    """Return the output of a function that has been computed."""
    result = variable_of(y, any(v._requires_grad for v in variables))
    _put_into_graph(function, variables, result, config)
    if _has_graph(config) and function._output_indexes_to_retain:
        result.retain_data()
        function._retained_output_data = (y,)
    _state.last = None
    return (result,)


def _put_into_graph(
    function: Any, variables: Sequence[Any], result: Variable, config: dict[str, Any]
) -> None:
    function._output_layouts = (None,)
    function._output_count = 1
    if not _has_graph(config):
        return
    connect(function, variables, (result,), config)
    for index in function._input_indexes_to_retain or ():
        variable = variables[index]
        if type(variable) is _PendingVariable:
            variable.__dict__["_pending"].retain()
        else:
            variable._node.data = _array(variable)

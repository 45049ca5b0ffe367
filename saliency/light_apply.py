"""Chainer's functions applied with less work around each of them.

``FunctionNode.apply`` checks the types of its inputs, looks for what most calls do not
have (ChainerX, iDeep, memory layouts, static graphs), enters a device that is there
already, and makes its Variables by a constructor that checks them again. In a network
of many small functions this takes longer than the arithmetic. :func:`light_apply` is a
block in which it is left out where nothing else can come out. What the block does not
cover is left to Chainer's own method.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Callable, Optional

import numpy as np

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.array_types import Array
from saliency.remembered_checks import Checks, checks_of
from saliency.replaced_methods import Method, ReplacedMethods

import chainer
from chainer.backends import cuda
from chainer.variable import Parameter, Variable, VariableNode

__all__ = [
    "Extension",
    "HookOfSome",
    "WatchedVariable",
    "connect",
    "is_watched",
    "light_apply",
    "new_variable",
    "telling_of_inputs",
    "variable_of",
]


class HookOfSome(chainer.FunctionHook):
    """A hook of Chainer's that has an interest in some classes of functions alone.

    What it has no interest in is computed as if it were not there.
    """

    #: These classes, and their subclasses.
    functions: tuple[type, ...]


def is_watched(function: Any) -> bool:
    """Tell whether a hook is to be given what a function is applied to."""
    if function._local_function_hooks:
        return True
    return any(
        not isinstance(hook, HookOfSome) or isinstance(function, hook.functions)
        for hook in chainer.get_function_hooks().values()
    )


class WatchedVariable(Variable):
    """A Variable that notices when somebody asks for its array.

    It makes itself an ordinary Variable by then.
    """

    def array_for(self, function: chainer.FunctionNode) -> Array:
        """Return the array for a function that is applied to it."""
        raise NotImplementedError


#: Takes a function, its inputs, and the configuration of the thread; returns what
#: ``apply`` returns, or None for what it does not cover.
Extension = Callable[[Any, Any, dict[str, Any]], Optional[tuple[Variable, ...]]]


class _State(threading.local):
    """What a thread has in its block.

    Attributes:
        checks: Those of each class met so far; None outside.
        extension: What is asked first.
        meet: What is told of each class before a function of it is applied.
        tell: What is told of the inputs of each function that is applied.
    """

    checks: dict[type, Checks] | None = None
    extension: Extension | None = None
    meet: Callable[[type], None] | None = None
    tell: Callable[[Any], None] | None = None


_state = _State()


class light_apply:  # noqa: N801 (it is called as a function is)
    """A block in which Chainer's functions are applied with less work around each.

    That is for this thread. Results, graphs and errors are those of Chainer's own
    ``FunctionNode.apply``.

    Args:
        extension (callable or None): What is asked first within the block; None leaves
            that of a block around this one.
        meet (callable or None): ``meet(cls)`` is called before the first function of a
            class is applied within the block; None leaves that of a block around this
            one.
    """

    def __init__(
        self,
        extension: Extension | None = None,
        meet: Callable[[type], None] | None = None,
    ) -> None:
        self._extension = extension
        self._meet = meet
        self._replaced = _methods.replaced()

    def __enter__(self) -> None:
        outer = self._outer = _state.checks, _state.extension, _state.meet
        extension, meet = self._extension, self._meet
        self._replaced.__enter__()
        try:
            _state.checks = {} if outer[0] is None or meet is not None else outer[0]
            _state.extension = outer[1] if extension is None else extension
            _state.meet = outer[2] if meet is None else meet
        except BaseException:  # an interrupt
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *error: Any) -> None:
        _state.checks, _state.extension, _state.meet = self._outer
        self._replaced.__exit__(*error)


@contextlib.contextmanager
def telling_of_inputs(tell: Callable[[Any], None]) -> Iterator[None]:
    """Return a block that is told what this thread applies functions to.

    Unlike a hook of Chainer's, it does not make arrays that nobody else asks for. It is
    for within :func:`light_apply`.

    Args:
        tell (callable): ``tell(inputs)`` is called before each function is applied to
            its inputs, which are Variables or arrays.
    """
    outer = _state.tell
    _state.tell = tell
    try:
        yield
    finally:
        _state.tell = outer


def _replaced_apply(original: Method) -> Method:
    @functools.wraps(original)
    def apply(self: Any, inputs: Any) -> Any:
        known = _state.checks
        if known is None:
            return original(self, inputs)
        checks = known.get(self.__class__)
        if checks is None:
            checks = _met(self.__class__, known)
        if _state.tell is not None:
            _state.tell(inputs)
        config = _local_config.__dict__
        if config.get("debug", _global_config.debug) or (
            config.get("schedule_func", _global_config.schedule_func) is not None
        ):
            return original(self, inputs)
        extension = _state.extension
        if extension is not None:
            covered = extension(self, inputs, config)
            if covered is not None:
                return covered
        variables, in_data = _plain(self, inputs)
        if not variables:
            return original(self, inputs)
        self._input_layouts = (None,) * len(in_data)
        if config.get("type_check", _global_config.type_check):
            checks.check_types(self, in_data)
        if not checks.passes_without_layouts:
            self.check_layout_forward(variables)
        outputs = _forward(self, in_data)
        results = _results(variables, outputs, self._output_layouts)
        if config.get("enable_backprop", _global_config.enable_backprop):
            connect(self, variables, results, config)
            _retain(self, variables, in_data, results, outputs)
        return results

    return apply


_methods = ReplacedMethods({(chainer.FunctionNode, "apply"): _replaced_apply})


def _met(cls: type, known: dict[type, Checks]) -> Checks:
    """Return the checks of a class that has not been met in the block so far."""
    if _state.meet is not None:
        _state.meet(cls)
    checks = known[cls] = checks_of(cls)
    return checks


# chainer.config, without its search for each attribute: what the thread has, and what
# all threads have.
_local_config = chainer.config._local
_global_config = chainer.global_config

_ARRAYS = (np.ndarray, cuda.ndarray)


_NOT_PLAIN: tuple[list[Variable], tuple[Array, ...]] = [], ()


def _plain(function: Any, inputs: Any) -> tuple[list[Variable], tuple[Array, ...]]:
    """Return the inputs as Variables, and their arrays; nothing unless all are plain.

    That is of one device's arrays, of no other class, with no memory layout.
    """
    variables, arrays = [], []
    kind = None
    for x in inputs:
        cls = type(x)
        if cls is Variable or cls is Parameter:
            if x._layout is not None or x._has_chainerx_array:
                return _NOT_PLAIN
            variables.append(x)
            x = x._data[0]
            cls = type(x)
        elif cls in _ARRAYS:
            variables.append(variable_of(x, False))
        elif issubclass(cls, WatchedVariable):
            variables.append(x)
            x = x.array_for(function)
            cls = type(x)
        else:
            return _NOT_PLAIN
        if cls is not kind:
            if kind is not None or cls not in _ARRAYS:
                return _NOT_PLAIN
            kind = cls
        arrays.append(x)
    return variables, tuple(arrays)


def _forward(function: Any, in_data: tuple[Array, ...]) -> Any:
    """Compute the outputs of a function, between its hooks."""
    hooks: Any = chainer.get_function_hooks()
    if function._local_function_hooks:
        hooks = {**hooks, **function._local_function_hooks}
    if hooks:
        for hook in hooks.values():
            hook.forward_preprocess(function, in_data)
    function._input_indexes_to_retain = None
    function._output_indexes_to_retain = None
    if type(in_data[0]) is np.ndarray:
        outputs = function.forward(in_data)
    else:
        with chainer.using_device(chainer.backend.get_device_from_array(*in_data)):
            outputs = function.forward(in_data)
    if not (
        type(outputs) is tuple and len(outputs) == 1 and type(outputs[0]) in _ARRAYS
    ):
        _check_outputs(function, outputs)
    if function.is_elementwise:
        assert function._output_layouts is None
    if function._output_layouts is None:
        function._output_layouts = (None,) * len(outputs)
    if hooks:
        for hook in hooks.values():
            hook.forward_postprocess(function, in_data)
    function._output_count = len(outputs)
    return outputs


def _check_outputs(function: Any, outputs: Any) -> None:
    """Raise what Chainer raises for outputs that no graph can have."""
    label = function.label
    if not isinstance(outputs, tuple):
        raise TypeError(
            f"forward output must be a tuple ({label})\nActual: {type(outputs)}"
        )
    if function.is_elementwise and any(y.shape != outputs[0].shape for y in outputs):
        shapes = ", ".join(repr(y.shape) for y in outputs)
        raise RuntimeError(
            "An elementwise function returned outputs with different shapes.\n"
            f"Function: {label}\n"
            f"Input shapes: {shapes}\n"  # those of the outputs in Chainer, too
            f"Output shapes: {shapes}"
        )
    if chainer.is_arrays_compatible(outputs):
        return
    if not all(isinstance(y, chainer.get_array_types()) for y in outputs):
        raise TypeError(
            "forward output must be a tuple of ndarrays.\n"
            f"Function: {label}\n"
            f"Actual output types: {tuple(map(type, outputs))}"
        )
    raise TypeError(
        f"incompatible array types are mixed in the forward output ({label}).\n"
        f"Actual: {', '.join(str(type(y)) for y in outputs)}"
    )


def _results(
    variables: list[Variable], outputs: tuple[Array, ...], layouts: tuple[Any, ...]
) -> tuple[Variable, ...]:
    """Return the outputs as Variables."""
    requires_grad = False
    for x in variables:
        if x._requires_grad:
            requires_grad = True
            break
    results = []
    for y, layout in zip(outputs, layouts):
        if layout is None and type(y) in _ARRAYS:
            results.append(variable_of(y, requires_grad))
        else:
            results.append(Variable(y, requires_grad=requires_grad, layout=layout))
    return tuple(results)


def connect(
    function: Any,
    variables: Sequence[Variable],
    results: Sequence[Variable],
    config: dict[str, Any],
) -> None:
    """Put a function between its inputs and its outputs in the graph.

    Args:
        function (chainer.FunctionNode): The function.
        variables (sequence of chainer.Variable): Its inputs.
        results (sequence of chainer.Variable): Its outputs.
        config (dict): The configuration of the thread.
    """
    nodes, made = [], []
    rank = 0
    for x in variables:
        node = x._node
        nodes.append(node)
        if node._rank > rank:
            rank = node._rank
    function.rank = rank
    for y in results:
        node = y._node
        node._creator_node = function
        node._rank = rank + 1
        made.append(weakref.ref(node))
    function.inputs = tuple(nodes)
    function.outputs = tuple(made)
    function.lazy_grad_sum = config.get("lazy_grad_sum", _global_config.lazy_grad_sum)


def _retain(
    function: Any,
    variables: list[Variable],
    in_data: tuple[Array, ...],
    results: tuple[Variable, ...],
    outputs: tuple[Array, ...],
) -> None:
    """Let nodes keep the arrays that the function wants for its way back."""
    if function._input_indexes_to_retain is not None:
        for index in function._input_indexes_to_retain:
            variables[index]._node.data = in_data[index]
    if function._output_indexes_to_retain is not None:
        retained = []
        for index in function._output_indexes_to_retain:
            results[index]._node.data = outputs[index]
            retained.append(outputs[index])
        function._retained_output_data = tuple(retained)


def variable_of(array: Array, requires_grad: bool) -> Variable:
    """Return what ``Variable(array, requires_grad=...)`` returns.

    Args:
        array (numpy.ndarray or cupy.ndarray): An array.
        requires_grad (bool): Whether its gradient can be wanted.
    """
    variable = new_variable(Variable, array.shape, array.dtype, requires_grad)
    variable._data = [array]
    return variable


def new_variable(
    cls: type, shape: tuple[int, ...], dtype: np.dtype, requires_grad: bool
) -> Any:
    """Return a Variable that has no array yet.

    Args:
        cls (type): Its class.
        shape (tuple of int): The shape that it is going to have.
        dtype (numpy.dtype): And the dtype.
        requires_grad (bool): Whether its gradient can be wanted.
    """
    # In the order in which Chainer sets them: objects with the same attributes in the
    # same order share memory.
    variable: Any = Variable.__new__(cls)
    variable._requires_grad = requires_grad
    variable._loss_scale = None
    variable._grad_var = None
    variable._device = None
    variable._grad_valid = True
    variable._layout = None
    node: Any = VariableNode.__new__(VariableNode)
    node._variable = weakref.ref(variable)
    node.name = None
    node._requires_grad = requires_grad
    node._layout = None
    node.dtype = dtype
    node.shape = shape
    variable._node = node
    variable._grad = None
    return variable

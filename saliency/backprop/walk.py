"""The walk: gradients go from the outputs of a graph back to its targets, as arrays."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.array_types import Array
from saliency.backprop.accumulation import Gradients
from saliency.backprop.gradient import Gradient
from saliency.backprop.padding import right_padding
from saliency.backprop.registry import Known, Memory, Step, known_of
from saliency.settings_of_thread import settings_of_thread

import chainer
from chainer import _backprop_utils, utils
from chainer.backends import intel64

#: A ``chainer.variable.VariableNode``.
Node = Any


def gradients(
    outputs: Sequence[chainer.Variable],
    targets: Sequence[chainer.Variable],
    weights: Sequence[Array | None] | None = None,
) -> list[Array | None]:
    """Return the gradient of the weighted sum of outputs at each target.

    It is what ``chainer.grad(outputs, targets, grad_outputs=weights)`` computes, within
    rounding, without a graph of its own and without Variables: at the functions that
    :func:`~saliency.backprop.registry.vjp` knows, arrays are computed from arrays, at
    others Chainer's own ``backward`` is called. Only what lies on the way from the
    outputs to the targets is computed.

    Where somebody watches (function hooks, ``chainer.config.debug``), and on arrays of
    ChainerX and iDeep, it is :func:`chainer.grad` itself.

    Args:
        outputs (sequence of chainer.Variable): What is differentiated.
        targets (sequence of chainer.Variable): Where.
        weights (sequence of array or None): Of each output, in its shape; None is 1
            everywhere.

    Returns:
        list of array or None: The gradient at each target, None where no output depends
        on it. As those of Chainer, arrays may be views of each other, of the weights
        and of what the graph holds, and are not to be written into.

    Raises:
        ValueError: If there is not one weight for each output.
    """
    if weights is None:
        weights = [None] * len(outputs)
    if len(weights) != len(outputs):
        raise ValueError(
            "weights must have one entry for each of the outputs, got "
            f"{len(weights)} for {len(outputs)}"
        )
    way = None
    if _is_unwatched([*outputs, *targets]):
        way = _way(outputs, targets)
    if way is None:
        return _by_chainer(outputs, targets, weights)
    with settings_of_thread(enable_backprop=False):
        return _walk(outputs, targets, weights, way)


def input_gradients(
    function: chainer.FunctionNode,
    indexes: tuple[int, ...],
    at_outputs: Sequence[Array | None],
) -> list[Array | None]:
    """Return the gradients at some inputs of one function.

    Args:
        function (chainer.FunctionNode): The function, which has been applied.
        indexes (tuple of int): Which inputs, sorted.
        at_outputs (sequence of array or None): The gradients at its outputs; None is
            zero. One of them at least is given.

    Returns:
        list of array or None: The gradients at these inputs, in their order, None for
        zero. They are not to be written into.
    """
    above = [None if g is None else Gradient(g, is_owned=False) for g in at_outputs]
    step = Step(function, indexes, above)
    with settings_of_thread(enable_backprop=False):
        if step.xp is np:
            return _input_gradients(step)
        with _device_of(step):
            return _input_gradients(step)


def _input_gradients(step: Step) -> list[Array | None]:
    """Return them on the current device."""
    function, indexes = step.function, step.indexes
    known = known_of(function)
    results = None if known is None else known.product(step)
    if results is not None:
        return [None if r is None else _gradient(r, False).array for r in results]
    variables = tuple(None if g is None else _variable(g) for g in step.gradients)
    grads = function.backward(indexes, variables)
    if len(grads) == len(function.inputs) != len(indexes):
        grads = [grads[i] for i in indexes]
    return [None if g is None else g.array for g in grads]


def _is_unwatched(variables: Sequence[chainer.Variable]) -> bool:
    """Tell whether the way back is the same with no one but us to see it."""
    return (
        not chainer.get_function_hooks()
        and not chainer.is_debug()
        and chainer.config.schedule_func is None
        and not intel64.should_use_ideep(">=auto")
        and not any(variable._has_chainerx_array for variable in variables)
    )


def _by_chainer(
    outputs: Sequence[chainer.Variable],
    targets: Sequence[chainer.Variable],
    weights: Sequence[Array | None],
) -> list[Array | None]:
    grad_outputs = [
        None if w is None else chainer.Variable(w, requires_grad=False) for w in weights
    ]
    with right_padding():
        grads = chainer.grad(list(outputs), list(targets), grad_outputs=grad_outputs)
    return [None if g is None else g.array for g in grads]


def _way(
    outputs: Sequence[chainer.Variable], targets: Sequence[chainer.Variable]
) -> set[Node] | None:
    """Return the variables between outputs and targets; None if a function is watched.

    It is found as :func:`chainer.grad` finds it: first all that is behind the outputs,
    but for what needs no gradient, and of that what is before the targets.
    """
    for y in outputs:
        y.node._check_old_style_gradient()
    functions = [y.creator_node for y in outputs if y.creator_node is not None]
    seen: set[Any] = set(functions)
    consumers: dict[Node, list[Any]] = {}
    while functions:
        function = functions.pop()
        if function._n_local_function_hooks:
            return None
        for x in function.inputs:
            x._check_old_style_gradient()
            if not x.requires_grad:
                continue
            consumers.setdefault(x, []).append(function)
            creator = x.creator_node
            if creator is not None and creator not in seen:
                seen.add(creator)
                functions.append(creator)
    nodes = [t.node for t in targets]
    found: set[Node] = set()
    seen.clear()
    while nodes:
        node = nodes.pop()
        found.add(node)
        for function in consumers.get(node, ()):
            if function in seen:
                continue
            seen.add(function)
            for ref in function.outputs:
                y = ref()
                if y is not None and y in consumers:
                    nodes.append(y)
    return found


class _Queue:
    """Functions to be visited: after all that use their outputs, each once."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Any]] = []
        self._seen: set[Any] = set()

    def push(self, function: chainer.FunctionNode) -> None:
        if function not in self._seen:
            heapq.heappush(self._heap, (-function.rank, len(self._seen), function))
            self._seen.add(function)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def pop(self) -> chainer.FunctionNode:
        return heapq.heappop(self._heap)[2]


def _walk(
    outputs: Sequence[chainer.Variable],
    targets: Sequence[chainer.Variable],
    weights: Sequence[Array | None],
    way: set[Node],
) -> list[Array | None]:
    found = Gradients()
    queue = _Queue()
    for y, w in zip(outputs, weights):
        if w is None:
            with chainer.using_device(y.device):
                found[y.node] = Gradient(y.xp.ones_like(y.array), is_owned=True)
        else:
            found[y.node] = Gradient(w, is_owned=False)
    for y in outputs:
        if y.creator_node is not None:
            queue.push(y.creator_node)
    wanted = {t.node for t in targets}
    results: dict[Node, Array | None] = {}
    while queue:
        function = queue.pop()
        at_outputs: list[Gradient | None] = []
        for ref in function.outputs:
            node = ref()
            gradient = None
            if node is not None and node.creator_node is not None:
                gradient = found.pop(node, None)
            if node is not None and node in wanted:
                results[node] = None if gradient is None else _shared(gradient)
            at_outputs.append(gradient)
        indexes = tuple([i for i, x in enumerate(function.inputs) if x in way])
        if not indexes:
            continue
        _take(Step(function, indexes, at_outputs), found)
        del at_outputs, gradient  # their memory is used again
        for i in indexes:
            x = function.inputs[i]
            if x.creator_node is not None and x in found:
                queue.push(x.creator_node)
    for node in wanted - results.keys():
        gradient = found.pop(node, None)
        results[node] = None if gradient is None else gradient.array
    return [results[t.node] for t in targets]


def _shared(gradient: Gradient) -> Array:
    """Return the array of a gradient, which others hold as well from now on."""
    array = gradient.array
    gradient.is_owned = False
    return array


def _take(step: Step, found: Gradients) -> None:
    """Take the gradients at a function's outputs to its inputs."""
    if step.xp is np:
        _take_there(step, found)
    else:
        with _device_of(step):
            _take_there(step, found)


def _take_there(step: Step, found: Gradients) -> None:
    """Do so on the current device."""
    known = known_of(step.function)
    if known is None or not _by_product(step, known, found):
        _by_backward(step, found)


def _by_product(step: Step, known: Known, found: Gradients) -> bool:
    """Do so by the product of its class; tell whether that covers it."""
    inputs = step.function.inputs
    if known.adds and len(step.indexes) == 1:
        step.before = found.get(inputs[step.indexes[0]])
    results = known.product(step)
    if results is None:
        return False
    if step.before is not None:
        del found[inputs[step.indexes[0]]]
    is_owned = known.memory is Memory.NEW
    if known.memory is Memory.PASSED_ON:
        is_owned = _are_apart(results) and all(
            g is None or g.is_owned for g in step.gradients
        )
    for i, result in zip(step.indexes, results):
        if result is not None:
            found.add(inputs[i], _gradient(result, is_owned))
    return True


def _gradient(result: Any, is_owned: bool) -> Gradient:
    """Return what a product gave as a gradient."""
    if isinstance(result, Gradient):
        return result
    if not isinstance(result, np.ndarray):
        # Arithmetic makes numbers of arrays without axes.
        result = utils.force_array(result)
    return Gradient(result, is_owned)


def _are_apart(arrays: Sequence[Any]) -> bool:
    """Tell whether no array is there twice."""
    return len(arrays) == 1 or len({id(a) for a in arrays}) == len(arrays)


def _by_backward(step: Step, found: Gradients) -> None:
    """Do so by Chainer's own ``backward``."""
    inputs = [step.function.inputs[i] for i in step.indexes]
    before = {x: found.pop(x, None) for x in dict.fromkeys(inputs)}
    lists = {x: [] if g is None else [_variable(g)] for x, g in before.items()}
    gradients = step.gradients
    if isinstance(step.function, chainer.function.FunctionAdapter):
        gradients = [None if g is None else _to_write_into(g) for g in gradients]
    grad_outputs = tuple(None if g is None else _variable(g) for g in gradients)
    _backprop_utils.backprop_step(
        step.function, step.indexes, grad_outputs, lists, False
    )
    for x, variables in lists.items():
        for variable in variables:
            # Who knows whether the function has kept the array.
            found.add(x, Gradient(variable.array, is_owned=False))


def _to_write_into(gradient: Gradient) -> Gradient:
    """Return a gradient that an old-style function may write into, as some do."""
    array = gradient.array
    return Gradient(array if gradient.is_owned else array.copy(), is_owned=True)


def _variable(gradient: Gradient) -> chainer.Variable:
    return chainer.Variable(gradient.array, requires_grad=False)


def _device_of(step: Step) -> Any:
    """Return a block in which the device of a function is the current one."""
    arrays = [g.raw for g in step.gradients if g is not None]
    return chainer.using_device(chainer.backend.get_device_from_array(*arrays))

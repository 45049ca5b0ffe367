"""Recurrent layers, step by step in Chainer's functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

import numpy as np

from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.operators import Call, Node, on_host, operator

import chainer
import chainer.functions as F

_Function = Callable[[Any], Any]

# Functions with their parameters alpha and beta, and what these are by default.
_ACTIVATIONS: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "relu": (lambda x: F.relu(x), ()),
    "tanh": (lambda x: F.tanh(x), ()),
    "sigmoid": (lambda x: F.sigmoid(x), ()),
    "softsign": (lambda x: x / (F.absolute(x) + 1), ()),
    "softplus": (lambda x: F.softplus(x), ()),
    "affine": (lambda x, a, b: x * a + b, (1.0, 0.0)),
    "leakyrelu": (lambda x, a: F.leaky_relu(x, a), (0.01,)),
    "thresholdedrelu": (lambda x, a: F.where(x.array > a, x, 0 * x.array), (1.0,)),
    "scaledtanh": (lambda x, a, b: F.tanh(x * b) * a, (1.0, 1.0)),
    "hardsigmoid": (lambda x, a, b: F.clip(x * a + b, 0.0, 1.0), (0.2, 0.5)),
    "elu": (lambda x, a: F.elu(x, a), (1.0,)),
}
_DEFAULTS = {
    "RNN": ["Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
}


def _refuse_functions(node: Node) -> Any:
    for name in node.attributes.get("activations", []):
        if name.lower() not in _ACTIVATIONS:
            yield f"its activation {name!r} is not known"
    if node.attributes.get("direction", "forward") not in _DIRECTIONS:
        yield f"its direction {node.attributes['direction']!r} is not known"


_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


class _Direction(NamedTuple):
    """The weights of one direction; the bias is None where there is none."""

    W: Any
    R: Any
    B: Any
    P: Any
    functions: Sequence[_Function]


@dataclass
class _Steps:
    """Steps over time of one direction.

    Attributes:
        call (Call): Where it is.
        xs (Variable): ``(time, n, input)``, in the order in which it is read.
        lengths (array or None): Of each example, where they differ.
    """

    call: Call
    xs: chainer.Variable
    lengths: Any

    def run(
        self,
        inputs: chainer.Variable,
        step: Callable[..., tuple[Any, ...]],
        state: tuple[Any, ...],
    ) -> tuple[chainer.Variable, tuple[Any, ...]]:
        """Return what each step gives, and the last state.

        Args:
            inputs (Variable): ``(time, n, unit)``, what each step takes.
            step (callable): Takes one of them and the state, and returns the next
                state, of which the first is what it gives.
            state (tuple of Variable): The first state.
        """
        outputs = []
        for t in range(inputs.shape[0]):
            new = step(inputs[t], *state)
            if self.lengths is not None:
                goes_on = self.call.array((t < self.lengths)[:, None])
                zero = self.call.xp.zeros_like(new[0].array)
                outputs.append(F.where(goes_on, new[0], zero))
                new = tuple(F.where(goes_on, a, b) for a, b in zip(new, state))
            else:
                outputs.append(new[0])
            state = new
        return F.stack(outputs, axis=0), state


def _recurrent(
    call: Call,
    inputs: Sequence[Any],
    first: Sequence[Any],
    P: Any,
    of_type: Callable[..., tuple[Any, tuple[Any, ...]]],
) -> Any:
    """Return the outputs of a layer, and the last states, in ONNX's layout.

    Args:
        call (Call): Where it is.
        inputs (sequence): X, W, R, B and the lengths.
        first (sequence): The first states, None for zeros.
        P (Variable or array or None): Peepholes.
        of_type (callable): Runs one direction.
    """
    X, W, R, B, lengths = inputs
    options = call.node.attributes
    is_batch_first = options.get("layout", 0)
    xs = variable(call, X)
    xs = F.transpose(xs, (1, 0, 2)) if is_batch_first else xs
    directions = _DIRECTIONS[options.get("direction", "forward")]
    size = R.shape[-1]
    n = xs.shape[1]
    lengths = _lengths(lengths, xs.shape[0])
    given, lasts = [], []
    for i, is_backward in enumerate(directions):
        state = tuple(_first(call, s, i, n, size, xs.dtype) for s in first)
        W_i, R_i, B_i, P_i = (
            None if a is None else variable(call, a)[i] for a in (W, R, B, P)
        )
        direction = _Direction(W_i, R_i, B_i, P_i, _functions(call.node, i))
        order = _order(is_backward, lengths, xs.shape[0], n)
        read = xs if order is None else xs[order]
        steps = _Steps(call, read, lengths)
        ys, last = of_type(steps, direction, state)
        given.append(ys if order is None else ys[order])
        lasts.append(last)
    Y = F.stack(given, axis=1)
    states = [F.stack(list(s), axis=0) for s in zip(*lasts)]
    if is_batch_first:
        Y = F.transpose(Y, (2, 0, 1, 3))
        states = [F.transpose(s, (1, 0, 2)) for s in states]
    return (Y, *states)[: max(call.n_output, 1)]


def _lengths(lengths: Any, n_step: int) -> np.ndarray | None:
    """Return the lengths of the examples where one is shorter than the array."""
    if lengths is None:
        return None
    found = on_host(lengths)
    return None if (found == n_step).all() else found


def _first(
    call: Call, state: Any, i: int, n: int, size: int, dtype: Any
) -> chainer.Variable:
    if state is None:
        return chainer.as_variable(call.xp.zeros((n, size), dtype))
    state = variable(call, state)
    is_batch_first = call.node.attributes.get("layout", 0)
    h = state[:, i] if is_batch_first else state[i]
    # A file that is written for one example has one state.
    return F.broadcast_to(h, (n, size)) if len(h) == 1 != n else h


def _order(is_backward: bool, lengths: np.ndarray | None, n_step: int, n: int) -> Any:
    """Return the index by which time is read backwards; it is its own inverse."""
    if not is_backward:
        return None
    if lengths is None:
        return slice(None, None, -1)
    steps = np.arange(n_step)[:, None]
    backward = np.where(steps < lengths, lengths - 1 - steps, steps)
    return backward, np.arange(n)[None]


def _functions(node: Node, direction: int) -> list[_Function]:
    """Return the activation functions of a direction, with their parameters."""
    defaults = _DEFAULTS[node.type]
    names = node.attributes.get("activations") or defaults * 2
    alphas = iter(node.attributes.get("activation_alpha") or [])
    betas = iter(node.attributes.get("activation_beta") or [])
    every = []
    for name in names:
        function, default = _ACTIVATIONS[name.lower()]
        values = [next(v, d) for v, d in zip((alphas, betas), default)]
        every.append(_with(function, values))
    n = len(defaults)
    start = direction * n if len(every) > n else 0
    return every[start : start + n]


def _with(function: Callable[..., Any], values: Sequence[float]) -> _Function:
    return lambda x: function(x, *values)


def _clipped(call: Call, x: Any) -> Any:
    limit = call.node.attributes.get("clip")
    return x if limit is None else F.clip(x, -float(limit), float(limit))


def _projected(steps: _Steps, W: Any, b: Any) -> chainer.Variable:
    """Return the part of all steps that depends on what is read."""
    return F.linear(steps.xs, W, b, n_batch_axes=2)


@operator("RNN", refuses=_refuse_functions, settings=("sequence_lens",))
def rnn(
    call: Call,
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> Any:
    """A layer of Elman's kind."""
    inputs = (X, W, R, B, sequence_lens)
    return _recurrent(call, inputs, (initial_h,), None, _run_rnn)


def _run_rnn(
    steps: _Steps, d: _Direction, state: tuple[Any, ...]
) -> tuple[Any, tuple[Any, ...]]:
    n = d.R.shape[0]
    b = None if d.B is None else d.B[:n] + d.B[n:]

    def step(x: Any, h: Any) -> tuple[Any, ...]:
        return (d.functions[0](_clipped(steps.call, x + F.linear(h, d.R))),)

    return steps.run(_projected(steps, d.W, b), step, state)


@operator("GRU", refuses=_refuse_functions, settings=("sequence_lens",))
def gru(
    call: Call,
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Any:
    """A layer of gated recurrent units; gates are in the order z, r, h."""
    inputs = (X, W, R, B, sequence_lens)
    return _recurrent(call, inputs, (initial_h,), None, _run_gru)


def _run_gru(
    steps: _Steps, d: _Direction, state: tuple[Any, ...]
) -> tuple[Any, tuple[Any, ...]]:
    call, (f, g) = steps.call, d.functions
    n = d.R.shape[0] // 3
    resets_late = call.node.attributes.get("linear_before_reset", 0)
    of_x = of_h = None
    if d.B is not None:
        of_x, of_h = d.B[: 3 * n], d.B[3 * n :]

    def step(x: Any, h: Any) -> tuple[Any, ...]:
        gates = x[:, : 2 * n] + F.linear(
            h, d.R[: 2 * n], None if of_h is None else of_h[: 2 * n]
        )
        gates = f(_clipped(call, gates))
        z, r = gates[:, :n], gates[:, n:]
        bias = None if of_h is None else of_h[2 * n :]
        if resets_late:
            new = r * F.linear(h, d.R[2 * n :], bias)
        else:
            new = F.linear(r * h, d.R[2 * n :], bias)
        new = g(_clipped(call, x[:, 2 * n :] + new))
        return (F.linear_interpolate(z, h, new),)

    return steps.run(_projected(steps, d.W, of_x), step, state)


@operator("LSTM", refuses=_refuse_functions, settings=("sequence_lens",))
def lstm(
    call: Call,
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    initial_c: Any = None,
    P: Any = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> Any:
    """A layer of long short-term memory; gates are in the order i, o, f, c."""
    inputs = (X, W, R, B, sequence_lens)
    return _recurrent(call, inputs, (initial_h, initial_c), P, _run_lstm)


def _run_lstm(
    steps: _Steps, d: _Direction, state: tuple[Any, ...]
) -> tuple[Any, tuple[Any, ...]]:
    options = steps.call.node.attributes
    if d.P is None and _is_usual(options):
        return _run_usual_lstm(steps, d, state)
    n = d.R.shape[1]
    b = None if d.B is None else d.B[: 4 * n] + d.B[4 * n :]
    f, g, h = d.functions
    peep = [0, 0, 0] if d.P is None else [d.P[k * n : (k + 1) * n] for k in range(3)]

    def step(x: Any, hidden: Any, cell: Any) -> tuple[Any, ...]:
        gates = x + F.linear(hidden, d.R)
        i, o, forget, new = (gates[:, k * n : (k + 1) * n] for k in range(4))
        i = f(_clipped(steps.call, _plus(i, peep[0], cell)))
        forget = f(_clipped(steps.call, _plus(forget, peep[2], cell)))
        if options.get("input_forget", 0):
            forget = 1.0 - i
        cell = forget * cell + i * g(_clipped(steps.call, new))
        o = f(_clipped(steps.call, _plus(o, peep[1], cell)))
        return o * h(cell), cell

    return steps.run(_projected(steps, d.W, b), step, state)


def _is_usual(options: Mapping[str, Any]) -> bool:
    """Tell whether an LSTM has the functions that Chainer's has, and nothing else."""
    names = [name.lower() for name in options.get("activations") or _DEFAULTS["LSTM"]]
    usual = ["sigmoid", "tanh", "tanh"]
    has_more = options.get("clip") is not None or options.get("input_forget", 0)
    return names in (usual, usual * 2) and not has_more


def _plus(gate: Any, weight: Any, cell: Any) -> Any:
    """Return a gate that sees the cell through its peephole, if there is one."""
    if not isinstance(weight, chainer.Variable):
        return gate
    return gate + F.broadcast_to(weight, cell.shape) * cell


def _run_usual_lstm(
    steps: _Steps, d: _Direction, state: tuple[Any, ...]
) -> tuple[Any, tuple[Any, ...]]:
    """Run an LSTM as Chainer's function has it, of which LRP knows the parts."""
    n = d.R.shape[1]
    # Chainer has the new content, i, f and o of one unit side by side.
    order = (np.array([3, 0, 2, 1]) * n + np.arange(n)[:, None]).reshape(-1)
    order = steps.call.array(order)
    b = None if d.B is None else (d.B[: 4 * n] + d.B[4 * n :])[order]
    R = d.R[order]

    def step(x: Any, hidden: Any, cell: Any) -> tuple[Any, ...]:
        cell, hidden = F.lstm(cell, x + F.linear(hidden, R))
        return hidden, cell

    return steps.run(_projected(steps, d.W[order], b), step, state)

"""Operators that run other graphs: as Python does, since Chainer's graph follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.operators import (
    Call,
    Node,
    array_of,
    number,
    on_host,
    operator,
)

import chainer
import chainer.functions as F

# A loop that would run longer is one that has lost its condition.
_MOST_ROUNDS = 1_000_000


@operator("If")
def if_(
    call: Call, cond: Any, *, then_branch: Any = None, else_branch: Any = None
) -> Any:
    """One graph or another, by a condition of the whole batch."""
    branch = "then_branch" if number(cond) else "else_branch"
    return call.bodies[branch]()


@operator("Loop")
def loop(call: Call, M: Any, cond: Any, *v_initial_0: Any, body: Any = None) -> Any:
    """A graph again and again, with what it has given before."""
    n_round = _MOST_ROUNDS if M is None else int(number(M))
    goes_on = cond is None or bool(number(cond))
    carried, scanned = list(v_initial_0), []
    done = 0
    while goes_on and done < n_round:
        goes, *given = call.bodies["body"](np.asarray(done), np.asarray(True), *carried)
        goes_on = bool(number(goes))
        carried = given[: len(carried)]
        scanned.append(given[len(carried) :])
        done += 1
    if done == _MOST_ROUNDS:
        raise ValueError(f"Loop ({call.node.name}) does not end")
    n_scan = call.n_output - len(carried)
    if not scanned and n_scan:
        raise ValueError(f"Loop ({call.node.name}) has no round, and nothing to stack")
    stacked = [_stacked(call, [row[i] for row in scanned], 0) for i in range(n_scan)]
    return (*carried, *stacked)


def _refuse_old(node: Node) -> Any:
    if node.opset < 9:
        yield "before opset 9 it has another meaning"


@operator("Scan", refuses=_refuse_old)
def scan(
    call: Call,
    *inputs_0: Any,
    body: Any = None,
    directions: Sequence[int] | None = None,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None = None,
    scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None,
    scan_output_directions: Sequence[int] | None = None,
) -> Any:
    """A graph for each slice of its inputs, with what it has given before."""
    n_state = len(inputs_0) - num_scan_inputs
    state, sequences = list(inputs_0[:n_state]), inputs_0[n_state:]
    axes = scan_input_axes or [0] * num_scan_inputs
    directions = scan_input_directions or [0] * num_scan_inputs
    n_step = sequences[0].shape[axes[0]]
    rows = []
    for step in range(n_step):
        slices = [
            _slice(x, axis % x.ndim, n_step - 1 - step if backwards else step)
            for x, axis, backwards in zip(sequences, axes, directions)
        ]
        given = call.bodies["body"](*state, *slices)
        state = list(given[:n_state])
        rows.append(given[n_state:])
    n_scan = call.n_output - n_state
    output_axes = scan_output_axes or [0] * n_scan
    backwards = scan_output_directions or [0] * n_scan
    stacked = [
        _stacked(call, [row[i] for row in (rows[::-1] if b else rows)], axis)
        for i, (axis, b) in enumerate(zip(output_axes, backwards))
    ]
    return (*state, *stacked)


def _slice(x: Any, axis: int, i: int) -> Any:
    return x[(slice(None),) * axis + (i,)]


def _stacked(call: Call, values: Sequence[Any], axis: int) -> Any:
    """Return values of one shape along a new axis."""
    if any(isinstance(v, chainer.Variable) for v in values):
        return F.stack([variable(call, v) for v in values], axis=axis)
    return np.stack([on_host(array_of(v)) for v in values], axis=axis)

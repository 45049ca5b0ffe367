"""Errors of a model that inputs of a wrong shape or dtype bring about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

from saliency.calculator.engine.dataset import UserBatch

import chainer
import chainer.links as L
from chainer.utils.type_check import InvalidType

# What operations raise that are given a list in the place of an array.
_OF_LISTS = (TypeError, AttributeError, IndexError, InvalidType)

_CONVOLUTIONS = (L.Convolution2D, L.ConvolutionND, L.DilatedConvolution2D)


class Misfit:
    """An error that a model has raised, seen from its inputs.

    Args:
        error (Exception): The error.
        inputs (sequence): What the model was called with.
        batch (UserBatch): Whose rows they are.
    """

    def __init__(
        self, error: Exception, inputs: Sequence[Any], batch: UserBatch
    ) -> None:
        self._error = error
        self._inputs = inputs
        self._batch = batch

    def what_chainer_says(self) -> str:
        """Return the error in one line, with the shape and dtype of the data."""
        of_inputs = ", ".join(
            f"{self._batch.shape_of_data(i)} and dtype {x.dtype}"
            for i, x in enumerate(self._batch.inputs)
            if isinstance(x, chainer.get_array_types())
        )
        reason = " ".join(str(self._error).split())
        return f"the model does not run on data of shape {of_inputs}: {reason}"

    def what_lists_are_for(self) -> str | None:
        """Return why the model got a list, if its error may come from that."""
        if not isinstance(self._error, _OF_LISTS):
            return None
        reason = " ".join(str(self._error).split())
        return (
            "examples have different lengths, so that the model was called with a "
            f"list of arrays, and failed ({type(self._error).__name__}: {reason}). If "
            "it takes padded arrays, pass a converter that pads, such as "
            "functools.partial(concat_examples, padding=0)"
        )

    def what_to_write(self) -> str | None:
        """Return what is wrong with the data, and what to write instead.

        None if it cannot be told that the data is to blame: that is if the link that
        failed was given something else, or might as well have been given this.
        """
        failed = _failed_link(self._error.__traceback__)
        if failed is None:
            return None
        position = self._position_of(failed.x)
        if position is None:
            return None
        x = self._inputs[position]
        shape = self._batch.shape_of_data(position)
        wanted, advice = "", ""
        if failed.x.dtype.kind != "f":
            wanted, advice = "floats", "pass data.astype(np.float32)"
        elif isinstance(failed.link, L.Linear):
            wanted, advice = _for_linear(failed, shape)
        else:
            wanted, advice = _for_convolution(failed, shape)
        if not wanted:
            return None
        if len(self._inputs) > 1:
            advice = advice.replace("data", f"data[{position}]")
        which = "data" if len(self._inputs) == 1 else f"input {position} of the data"
        kind = type(failed.link).__name__
        return (
            f"{which} has shape {shape} and dtype {x.dtype}, but the model's {kind}, "
            f"which it goes to, wants {wanted}" + (f": {advice}" if advice else "")
        )

    def _position_of(self, x: Any) -> int | None:
        """Return which input an array is, or is a view of."""
        xp = chainer.backend.get_array_module(x)
        for position, given in enumerate(self._inputs):
            array = given.array if isinstance(given, chainer.Variable) else given
            is_alike = isinstance(array, type(x))
            if is_alike and (array is x or xp.may_share_memory(array, x)):
                return position
        return None


class _Failed(NamedTuple):
    """A link in whose forward an error was raised, and the array it was given."""

    link: Any
    x: Any


def _failed_link(traceback: TracebackType | None) -> _Failed | None:
    """Return the innermost link that failed, if its weights say what it takes."""
    failed = None
    while traceback is not None:
        frame = traceback.tb_frame
        link = frame.f_locals.get("self")
        if isinstance(link, chainer.Link) and frame.f_code.co_name == "forward":
            failed = _call(link, frame.f_locals)
        traceback = traceback.tb_next
    return failed


def _call(link: chainer.Link, arguments: dict[str, Any]) -> _Failed | None:
    x = arguments.get("x")
    x = x.array if isinstance(x, chainer.Variable) else x
    is_known = isinstance(link, (L.Linear, *_CONVOLUTIONS))
    if not (is_known and isinstance(x, chainer.get_array_types())):
        return None
    if link.W.array is None or arguments.get("n_batch_axes", 1) != 1:
        return None
    return _Failed(link, x)


def _for_linear(failed: _Failed, shape: tuple[int, ...]) -> tuple[str, str]:
    """Return what a linear link wants, and what to write; empty if that is given."""
    n_wanted = failed.link.W.shape[1]
    n_given = math.prod(failed.x.shape[1:])
    if failed.x.ndim > 1 and n_given == n_wanted:
        return "", ""
    wanted = f"{n_wanted} features of each example"
    if math.prod(shape) == n_wanted:
        return wanted, "for one example without a batch axis pass data[None]"
    if failed.x.ndim == 1:
        if n_wanted == 1:
            return wanted, "pass data[:, None]"
        return wanted, f"pass an array of shape (N, {n_wanted})"
    return f"{wanted} and not {n_given}", "pass the features that it was trained on"


def _for_convolution(failed: _Failed, shape: tuple[int, ...]) -> tuple[str, str]:
    """Return what a convolution wants, and what to write; empty if that is given."""
    W = failed.link.W
    n_channel = W.shape[1] * failed.link.groups
    ndim = W.ndim
    axes = (
        "(N, channel, height, width)"
        if ndim == 4
        else f"{ndim} axes, (N, channel, ...)"
    )
    wanted = f"{axes} with {n_channel} channels" if ndim == 4 else axes
    x = failed.x
    if x.ndim == ndim and x.shape[1] == n_channel:
        return "", ""
    if x.ndim == ndim and x.shape[-1] == n_channel:
        order = (0, ndim - 1, *range(1, ndim - 1))
        return wanted, f"channels are last there, pass data.transpose{order}"
    if x.ndim == ndim - 1 and len(shape) == ndim - 1:
        if shape[0] == n_channel:
            return wanted, "for one example without a batch axis pass data[None]"
        if shape[-1] == n_channel:
            order = (ndim - 2, *range(ndim - 2))
            return wanted, f"for one example pass data.transpose{order}[None]"
        if n_channel == 1:
            return wanted, "pass data[:, None]"
    if x.ndim == ndim - 2 and n_channel == 1:
        return wanted, "for one example without channels pass data[None, None]"
    return wanted, ""

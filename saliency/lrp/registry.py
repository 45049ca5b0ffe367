"""What each function of Chainer is to a rule.

A *kind* names what is done with relevance at a function. The table of
:mod:`saliency.lrp.handlers.refusals` has every function class of ``chainer.functions``;
:func:`register_handler` adds those of the user.
"""

from __future__ import annotations

from typing import Any

from saliency.lrp.affine import channel_scaling
from saliency.lrp.graph import Application, function_of
from saliency.lrp.handlers import recurrent
from saliency.lrp.handlers import sums as handlers
from saliency.lrp.handlers.refusals import function_classes, kinds
from saliency.lrp.handlers.sums import (
    Handler,
    NoRelevance,
    Parts,
    added,
    gated,
    passing,
    pooled,
    routing,
    weighted,
)

import chainer

__all__ = [
    "AFFINE",
    "HANDLERS",
    "SUMS",
    "added",
    "function_classes",
    "gated",
    "handle",
    "is_part_of",
    "kind_of",
    "kinds",
    "passing",
    "pooled",
    "register_handler",
    "routing",
    "weighted",
]

#: What is done with relevance, by kind.
HANDLERS: dict[str, Handler] = {
    "linear": weighted,
    "convolution": weighted,
    "deconvolution": weighted,
    "embedding": handlers.embedded,
    "addition": added,
    "subtraction": handlers.subtracted,
    "added constant": handlers.added_constant,
    "subtracted from constant": handlers.subtracted_from_constant,
    "scattered addition": handlers.scattered,
    "pooling": pooled,
    "sampling": handlers.sampled,
    "unpooling": handlers.unpooled,
    "linear map": handlers.mapped,
    "batch normalization": handlers.batch_normalized,
    "batch normalization (training)": handlers.trained_batch_normalized,
    "layer normalization": handlers.layer_normalized,
    "group normalization": handlers.group_normalized,
    "routing": routing,
    "padding": handlers.padded,
    "elementwise": passing,
    "scaling": passing,
    "concatenated ReLU": handlers.crelu,
    "maximum": handlers.won,
    "maximum over axes": handlers.won_over_axes,
    "product": gated,
    "product of elements": handlers.multiplied_over_axes,
    "cumulative product": handlers.multiplied_up,
    "matrix product": handlers.multiplied_matrices,
    "quotient": handlers.numerator,
    "power": handlers.base,
    "sum of squares": handlers.sum_of_squares,
    "interpolation": recurrent.interpolated,
    "LSTM": recurrent.lstm,
    "S-LSTM": recurrent.slstm,
    "tree LSTM": recurrent.tree_lstm,
    "loss": NoRelevance(
        "it is a loss; explain what the network gives instead (output_extractor)"
    ),
    "index": NoRelevance("its output is an index or a count, without contributions"),
    "random": NoRelevance("its output is random; explain the network without it"),
    "training statistics": NoRelevance(
        "it normalizes by the statistics of the batch; explain the network in "
        "evaluation mode"
    ),
    "matrix function": NoRelevance(
        "no rule for it is known, since its output is no sum of contributions; "
        "register_handler takes one of yours"
    ),
    "cuDNN": NoRelevance(
        "cuDNN runs all its steps as one; set chainer.config.use_cudnn = 'never'"
    ),
    "opaque": NoRelevance(
        "what happens inside is not in the graph; call the functions directly"
    ),
    "backward": NoRelevance("it belongs to the backward pass of another function"),
}

#: The kinds that rules apply to: those with weights ...
AFFINE = ("linear", "convolution", "deconvolution")
#: ... and those without. From the kinds behind the normalizations, which have rules
#: of their own, a rule only says what epsilon is.
SUMS = (
    "addition",
    "subtraction",
    "added constant",
    "subtracted from constant",
    "scattered addition",
    "pooling",
    "sampling",
    "unpooling",
    "batch normalization",
    "batch normalization (training)",
    "layer normalization",
    "group normalization",
    "linear map",
    "matrix product",
    "interpolation",
    "LSTM",
    "S-LSTM",
    "tree LSTM",
)

_registered: dict[type, Handler | str] = {}


def register_handler(function_class: type, handler: Handler | str) -> None:
    """Say what is done with relevance at a function of yours; it stays so.

    Args:
        function_class (type): A subclass of :class:`chainer.FunctionNode` or
            :class:`chainer.Function`; its subclasses are meant, too.
        handler (str or callable): A kind of :data:`HANDLERS` that the function is
            of: ``'elementwise'``, ``'routing'``, ``'pooling'``, ... Or
            ``handler(this, rule)``, which returns the relevance of each input, None
            for those that get none; ``this`` is an
            :class:`~saliency.lrp.graph.Application`, and ``rule`` is None.

    Raises:
        TypeError: If the class is none of functions, or the handler is neither.
        ValueError: If there is no such kind.
    """
    bases = (chainer.FunctionNode, chainer.Function)
    if not (isinstance(function_class, type) and issubclass(function_class, bases)):
        raise TypeError(
            f"function_class must be a class of functions, got {function_class!r}"
        )
    if isinstance(handler, str):
        if handler not in HANDLERS:
            raise ValueError(
                f"handler must be one of {', '.join(HANDLERS)}, or a callable; "
                f"got {handler!r}"
            )
    elif not callable(handler):
        raise TypeError(
            f"handler must be the name of a kind or a callable, got {handler!r}"
        )
    _registered[function_class] = handler


def kind_of(function: Any) -> str:
    """Return the kind of a function node: ``'registered'``, ``'unknown'`` or ours."""
    found = _find(function)
    return found if isinstance(found, str) else "registered"


def handle(this: Application, rule: Any) -> Parts:
    """Return the relevance of the inputs of a function.

    Raises:
        ValueError: If relevance has no meaning there, or nothing is known of it.
    """
    found = _find(this.function)
    if found != "unknown":
        handler = HANDLERS[found] if isinstance(found, str) else found
        return _checked(this, handler(this, rule))
    name = type(function_of(this.function)).__name__
    raise ValueError(
        f"nothing is known of relevance at {this.label}. Say what is done there: "
        f"saliency.lrp.register_handler({name}, 'elementwise') if relevance goes "
        "through unchanged; or another kind, or a handler of yours"
    )


def _checked(this: Application, parts: Parts) -> Parts:
    """Return them as arrays; arithmetic makes numbers of arrays without axes."""
    result = [r if r is None else this.xp.asarray(r) for r in parts]
    found = [r if r is None else r.shape for r in result]
    shapes = [x.shape for x in this.inputs]
    fits = all(f in (None, shape) for f, shape in zip(found, shapes))
    if not fits or len(found) != len(shapes):
        raise ValueError(
            f"the handler of {this.label} must return None or relevance of its shape "
            f"for each input; the shapes are {shapes}, got {found}"
        )
    return result


def is_part_of(upper: Application, lower: Application) -> bool:
    """Tell whether ``upper`` is one with the linear layer or convolution ``lower``.

    That is so for batch normalization, scales and biases of channels, one behind the
    other.
    """
    return kind_of(lower.function) in AFFINE and channel_scaling(upper) is not None


def _find(function: Any) -> Handler | str:
    for cls in type(function_of(function)).__mro__:
        if cls in _registered:
            return _registered[cls]
        if cls in kinds():
            return kinds()[cls]
    return "unknown"

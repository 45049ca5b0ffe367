"""Functions of each element."""

from __future__ import annotations

from typing import Any

from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.operators import DTYPES, Call, Node, number, operator

import chainer
import chainer.functions as F

_PLAIN = {
    "Abs": F.absolute,
    "Acos": F.arccos,
    "Asin": F.arcsin,
    "Atan": F.arctan,
    "Atanh": F.arctanh,
    "Ceil": F.ceil,
    "Cos": F.cos,
    "Cosh": F.cosh,
    "Erf": F.erf,
    "Exp": F.exp,
    "Floor": F.floor,
    "Log": F.log,
    "Sign": F.sign,
    "Sin": F.sin,
    "Sinh": F.sinh,
    "Sqrt": F.sqrt,
    "Tan": F.tan,
}


@operator(*_PLAIN)
def plain(call: Call, input: Any) -> Any:
    """Chainer's function of the same name."""
    return _PLAIN[call.node.type](input)


@operator("Neg")
def negative(call: Call, X: Any) -> Any:
    """``-X``."""
    return -X


@operator("Reciprocal")
def reciprocal(call: Call, X: Any) -> Any:
    """``1 / X``."""
    return 1.0 / X


@operator("Round")
def rounded(call: Call, X: Any) -> Any:
    """The nearest integer, the even one of two."""
    return chainer.as_variable(call.xp.rint(X.array))


@operator("Asinh")
def area_sine(call: Call, input: Any) -> Any:
    """``log(x + sqrt(x^2 + 1))``, with the sign of x."""
    # The sign of 0 is 1 here: with a sign of 0 the slope there would be 0, too.
    sign = call.xp.where(input.array < 0, -1, 1).astype(input.dtype)
    positive = input * sign
    return sign * F.log(positive + F.sqrt(F.square(positive) + 1))


@operator("Acosh")
def area_cosine(call: Call, input: Any) -> Any:
    """``log(x + sqrt(x^2 - 1))``."""
    return F.log(input + F.sqrt(F.square(input) - 1))


@operator("Identity")
def identity(call: Call, input: Any) -> Any:
    """The input."""
    return input


def _refuse_strange_types(node: Node) -> Any:
    if node.attributes.get("to") not in DTYPES:
        yield f"its type {node.attributes.get('to')} is not known"


@operator("Cast", refuses=_refuse_strange_types)
def cast(
    call: Call, input: Any, *, to: int, saturate: int = 1, round_mode: str = "up"
) -> Any:
    """The same numbers in another type."""
    return F.cast(input, DTYPES[to])


@operator("CastLike")
def cast_like(
    call: Call,
    input: Any,
    target_type: Any,
    *,
    saturate: int = 1,
    round_mode: str = "up",
) -> Any:
    """The same numbers in the type of another input."""
    if target_type.dtype.kind == "f":
        return F.cast(variable(call, input), target_type.dtype)
    return call.array(input).astype(target_type.dtype)


@operator("Clip")
def clip(
    call: Call,
    input: Any,
    min: Any = None,
    max: Any = None,
    *,
    min_: float | None = None,
    max_: float | None = None,
) -> Any:
    """The input, or the nearer end of a range."""
    low, high = (
        attribute if value is None else _bound(value)
        for attribute, value in ((min_, min), (max_, max))
    )
    if high is None:
        return input if low is None else _at_least(call, input, low)
    if low is None:
        return F.minimum(input, _full(call, input, high))
    if low == 0 < high:
        return F.clipped_relu(input, high)
    if low >= high:  # ONNX gives the upper end everywhere
        nowhere = call.xp.zeros(input.shape, bool)
        return F.where(nowhere, input, _full(call, input, high))
    return F.clip(input, low, high)


def _bound(value: Any) -> float:
    return float(number(value))


def _at_least(call: Call, x: Any, low: float) -> Any:
    return F.relu(x) if low == 0 else F.maximum(x, _full(call, x, low))


def _full(call: Call, x: Any, value: float) -> Any:
    return call.xp.full((), value, x.dtype)


@operator("Dropout", settings=("ratio", "training_mode", "like"))
def dropout(
    call: Call,
    data: Any,
    ratio: Any = None,
    training_mode: Any = None,
    like: Any = None,
    *,
    ratio_: float = 0.5,
    seed: int | None = None,
) -> Any:
    """Chainer's dropout, which ``chainer.config.train`` turns on."""
    share = ratio_ if ratio is None else float(number(ratio))
    if like is not None:
        return _channel_dropout(call, data, share, like.shape)
    y = F.dropout(data, share)
    if call.n_output == 1:
        return y
    return y, call.xp.ones(data.shape, bool if call.opset >= 10 else data.dtype)


def _channel_dropout(call: Call, x: Any, share: float, shape: tuple[int, ...]) -> Any:
    """Return x without some of its channels; the batch may have another size here."""
    ones = call.xp.ones((len(x), *shape[1:]), x.dtype)
    return x * F.broadcast_to(F.dropout(ones, share), x.shape)

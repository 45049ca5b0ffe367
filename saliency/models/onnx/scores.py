"""Where a graph turns scores into probabilities."""

from __future__ import annotations

from collections.abc import Mapping

from saliency.models.onnx.steps import Step

#: Operators that turn scores into probabilities.
SOFTMAX = ("Softmax", "LogSoftmax", "Sigmoid")
# What may happen to the sums and maxima of a softmax in parts.
_SPREADING = ("Expand", "Max", "Reshape", "Unsqueeze")


def scores_of(name: str, made: Mapping[str, Step]) -> str:
    """Return the name of the scores that probabilities are made from, or itself.

    Args:
        name (str): Of an output.
        made (dict): Steps by the names of what they give.
    """
    for operator in SOFTMAX:
        (scores, *_) = _inputs_of(name, operator, made)
        if scores:
            return scores
    exponential, total, *_ = _inputs_of(name, "Div", made)
    (scores, *_) = _inputs_of(exponential, "Exp", made)
    summed = _inputs_of(_spread(total, made), "ReduceSum", made)[0]
    if not scores or summed != exponential:
        return name
    difference, largest, *_ = _inputs_of(scores, "Sub", made)
    compared = _inputs_of(_spread(largest, made), "ReduceMax", made)[0]
    return difference if difference and compared == difference else scores


def _inputs_of(value: str, operator: str, made: Mapping[str, Step]) -> tuple[str, ...]:
    """Return what an operator has made a value of, empty names if it has not."""
    step = made.get(value)
    return step.inputs if step and step.node.type == operator else ("", "")


def _spread(value: str, made: Mapping[str, Step]) -> str:
    """Return the value that is copied along axes, or held against a constant."""
    while value in made and made[value].node.type in _SPREADING:
        computed = [x for x in made[value].inputs if x in made]
        value = computed[0] if computed else ""
    return value

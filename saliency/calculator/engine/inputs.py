"""In which form a model gets its inputs: as arrays, or as Variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, TypeVar

import chainer

Result = TypeVar("Result")


def _as_arrays(inputs: Sequence[Any], is_target: bool) -> list[Any]:
    """As Chainer's trainers pass them; the target alone is a Variable."""
    first = [_as_variable(inputs[0])] if is_target else list(inputs[:1])
    return [*first, *inputs[1:]]


def _floats_as_variables(inputs: Sequence[Any], is_target: bool) -> list[Any]:
    """Numbers that have a gradient as Variables; ids, masks and counts as arrays."""
    first = [_as_variable(inputs[0])] if is_target else []
    rest = inputs[len(first) :]
    return [*first, *(_as_variable(x) if _is_float(x) else x for x in rest)]


def _as_variables(inputs: Sequence[Any], is_target: bool) -> list[Any]:
    """All as Variables."""
    return [_as_variable(x) for x in inputs]


class InputForms:
    """Finds a form of the inputs in which a model runs, and stays with it.

    Models are written for arrays (``mask != 0``, ``x.astype``), for Variables
    (``x.array``) or for both. Where one form raises a TypeError or an AttributeError,
    the next is tried; if none does, the first error is raised.

    Args:
        is_target (bool): Whether the first input is where saliency is read. Else a link
            in the middle is, and has to be behind Variables.
    """

    def __init__(self, is_target: bool) -> None:
        self._is_target = is_target
        # Where saliency is read at a link, a float input may be all that is before it.
        first = _as_arrays if is_target else _floats_as_variables
        others = [_floats_as_variables, _as_arrays, _as_variables]
        self._forms = [first, *(form for form in others if form is not first)]

    def run(
        self,
        gather: Callable[[], Sequence[Any]],
        model: Callable[[list[Any]], Result],
    ) -> Result:
        """Return what ``model`` gives for the inputs in a form that it takes.

        Args:
            gather (callable): Returns the inputs, arrays or anything else, which stays
                what it is; new ones each time, since the model may write into them.
            model (callable): Is given them in a list, and may be called several times.
        """
        first_error: Exception | None = None
        for form in self._forms:
            try:
                result = model(form(gather(), self._is_target))
            except (TypeError, AttributeError) as error:
                first_error = first_error or error
            else:
                self._forms = [form]
                return result
        assert first_error is not None  # there is at least one form
        raise first_error


def _is_float(x: Any) -> bool:
    return isinstance(x, chainer.get_array_types()) and x.dtype.kind == "f"


def _as_variable(x: Any) -> Any:
    if not isinstance(x, chainer.get_array_types()):
        return x
    return chainer.Variable(x, requires_grad=x.dtype.kind == "f")

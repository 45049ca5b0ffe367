"""In which form a model gets its inputs: as arrays, or as Variables."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Callable, TypeVar

from saliency.calculator.engine.subject import Subject

import chainer

Result = TypeVar("Result")


def _as_arrays(inputs: Sequence[Any], targets: Container[Any]) -> list[Any]:
    """As Chainer's trainers pass them; the targets alone are Variables."""
    return [_as_variable(x) if i in targets else x for i, x in enumerate(inputs)]


def _floats_as_variables(inputs: Sequence[Any], targets: Container[Any]) -> list[Any]:
    """Numbers that have a gradient as Variables; ids, masks and counts as arrays."""
    return [
        _as_variable(x) if i in targets or _is_float(x) else x
        for i, x in enumerate(inputs)
    ]


def _as_variables(inputs: Sequence[Any], targets: Container[Any]) -> list[Any]:
    """All as Variables."""
    return [_as_variable(x) for x in inputs]


class InputForms:
    """Finds a form of the inputs in which a model runs, and stays with it.

    Models are written for arrays (``mask != 0``, ``x.astype``), for Variables
    (``x.array``) or for both. Where one form raises a TypeError or an AttributeError,
    the next is tried; if none does, the first error is raised.

    Args:
        subject (Subject): Says at which inputs saliency is read. A link in the middle,
            where it is read as well, has to be behind Variables.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        # Where saliency is read at a link, a float input may be all that is before it.
        at_links = not all(isinstance(target, (int, str)) for target in subject.targets)
        first = _floats_as_variables if at_links else _as_arrays
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
                inputs = gather()
                result = model(form(inputs, self._subject.targets_of(inputs)))
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

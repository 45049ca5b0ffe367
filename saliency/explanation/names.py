"""Names of features, classes, and of the elements of each example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def checked_names(name: str, given: Any) -> tuple[str, ...] | None:
    """Return names as texts.

    Raises:
        TypeError: If they are no list or array.
    """
    if given is None:
        return None
    if not _is_list(given):
        raise TypeError(f"{name} must be a list or an array of names, got {given!r}")
    return tuple(map(str, given))


def checked_names_of_elements(given: Any) -> tuple[tuple[str, ...], ...] | None:
    """Return the names of the elements of each example, such as its tokens.

    Raises:
        TypeError: If they are no list of lists.
    """
    if given is None:
        return None
    if not _is_list(given):
        raise TypeError(
            "element_names must hold a list of names for each example, got "
            f"{type(given).__name__}"
        )
    found = []
    for of_example in given:
        if not _is_list(of_example):
            raise TypeError(
                "element_names must hold a list of names for each example, such as "
                f"its tokens, got {of_example!r} among them"
            )
        found.append(tuple(map(str, of_example)))
    return tuple(found)


def distinct_names(names: Mapping[int, str]) -> dict[int, str]:
    """Return the names of classes by their numbers, no two the same.

    Where several have one name, as two cranes of ImageNet do, all but the first have
    their number before it.
    """
    found: dict[int, str] = {}
    for number in sorted(names):
        name = names[number]
        found[number] = f"{number}: {name}" if name in found.values() else name
    return found


def _is_list(given: Any) -> bool:
    is_text = isinstance(given, (str, bytes, Mapping))
    return isinstance(given, Iterable) and not is_text


def number_of_leading_axes(classes: np.ndarray | None) -> int:
    """Return how many axes of values come before those of an example's elements.

    They are that of the examples, and that of the classes if ``classes`` has one.
    """
    return 1 if classes is None else classes.ndim


def check_names(
    values: np.ndarray,
    classes: np.ndarray | None,
    feature_names: Sequence[str] | None,
    class_names: Sequence[str] | None,
) -> None:
    """Raise a ValueError unless names fit what they name.

    Args:
        values (numpy.ndarray): ``(N, n_feature)``, or ``(N,)`` for one; with classes
            ``(N, n_class)``, ``(N, n_class, n_feature)``.
        classes (numpy.ndarray or None): The classes that are explained.
        feature_names (sequence of str or None): One for each feature.
        class_names (sequence of str or None): One for each class.
    """
    n_lead = number_of_leading_axes(classes)
    if feature_names is not None and not fit_features(values, feature_names, n_lead):
        shape = "(N, n_feature)" if n_lead == 1 else "(N, n_class, n_feature)"
        raise ValueError(
            f"feature_names must have one name for each feature of values of shape "
            f"{values.shape}, which is {shape}, got {len(feature_names)}"
        )
    if class_names is None or classes is None or classes.size == 0:
        return
    if classes.max() >= len(class_names):
        raise ValueError(
            "class_names must have one name for each class of the output, but class "
            f"{classes.max()} is explained and there are {len(class_names)} names"
        )


def fit_features(values: np.ndarray, names: Sequence[str], n_lead: int) -> bool:
    """Tell whether there is one name for each column of values, or of matrices."""
    n = len(names)
    return values.shape[n_lead:] in ((n,), (n, n), () if n == 1 else None)


def check_names_of_elements(
    values: np.ndarray,
    names: Sequence[Sequence[str]],
    n_lead: int,
    first: int = 0,
    are_atoms: bool = False,
) -> None:
    """Raise a ValueError unless each element of each example has a name.

    Args:
        values (numpy.ndarray): Of some examples, NaN beyond the end of each.
        names (sequence of sequence of str): Those of the elements of each.
        n_lead (int): As in :func:`number_of_leading_axes`.
        first (int): The index of the first of them, for messages.
        are_atoms (bool): Whether names come from molecules, for messages.
    """
    what = "molecules must have an atom" if are_atoms else "element_names must have one"
    if values.ndim <= n_lead:
        raise ValueError(
            f"{what} for each element along axis {n_lead} of values, which have the "
            f"shape {values.shape}"
        )
    for i, (n, of_example) in enumerate(
        zip(numbers_of_elements(values, n_lead), names)
    ):
        if len(of_example) != n:
            raise ValueError(
                f"{what} for each of the {n} elements of example {first + i}, got "
                f"{len(of_example)}"
            )


def numbers_of_elements(values: np.ndarray, n_lead: int) -> list[int]:
    """Return how many elements each example has along the first axis of its own.

    Values are NaN beyond the end of an example, and nowhere else.
    """
    of_examples = np.moveaxis(values, n_lead, 1)
    others = tuple(range(2, of_examples.ndim))
    return [int(n) for n in (~np.isnan(of_examples)).any(axis=others).sum(axis=1)]

"""What is explained: the scores that a calculator takes from a model's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import numpy as np

from saliency.array_types import Array
from saliency.checks import is_int
from saliency.user_warnings import warn_user

import chainer

ClassIndex = Union[
    int, str, Sequence[int], np.ndarray, tuple[Union[int, slice], ...], None
]
# The class of each row; an index into the axes behind the batch axis; or the sum.
Explained = Union[np.ndarray, tuple[Union[int, slice], ...], None]


def checked_class_index(class_index: Any, allows_all: bool = False) -> ClassIndex:
    """Return ``class_index`` if it is one of the allowed values.

    They are an int, a list or array with one int for each example, a tuple of ints and
    slices, ``'argmax'``, ``'sum'`` and None; and ``'all'`` if ``allows_all``. A list
    is returned as an array, so that it is not taken apart batch by batch.

    Raises:
        ValueError: If it is none of these.
    """
    if class_index is None or is_int(class_index):
        value: ClassIndex = class_index
        return value
    if isinstance(class_index, tuple):
        if class_index and all(is_int(i) or type(i) is slice for i in class_index):
            return class_index
        raise ValueError(
            "class_index as a tuple must hold ints and slices, an index into the axes "
            f"behind the batch axis; got {class_index!r}"
        )
    words = ("argmax", "sum", "all") if allows_all else ("argmax", "sum")
    if isinstance(class_index, str) and class_index in words:
        return class_index
    array = np.asarray(class_index)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"class_index must be an int, {', '.join(map(repr, words))}, a list with "
            "one int for each example, an index tuple such as (3, slice(0, 2)) or "
            f"None, got {class_index!r}"
        )
    return array


def class_of_examples(class_index: ClassIndex, index: np.ndarray, n: int) -> Explained:
    """Return the class of the examples ``index``, of ``n`` in the data.

    Returns:
        An int array of ``index``'s shape, or an index tuple as it is, or None where
        classes are summed.
    """
    if class_index is None or isinstance(class_index, tuple):
        return class_index
    classes = np.asarray(class_index)
    if classes.ndim == 0:
        return np.full(len(index), classes)
    if len(classes) != n:
        raise ValueError(
            f"class_index must hold one class for each of the {n} examples, got "
            f"{len(classes)}"
        )
    chosen: np.ndarray = classes[index]
    return chosen


def is_one_value(output: Any, n_row: int) -> bool:
    """Tell whether ``output`` is one value for a whole batch of ``n_row`` rows.

    Raises:
        ValueError: If it is neither that nor one or several values for each row.
    """
    if output.ndim > 0 and output.shape[0] == n_row:
        return False
    if output.size == 1:
        return True
    raise ValueError(
        "the output must hold one row for each example or one value for the whole "
        f"batch, got shape {output.shape} for {n_row} rows"
    )


def weights_of_classes(output: Array, classes: Explained) -> Array:
    """Return the array that is 1 where ``output`` is explained and 0 elsewhere.

    Args:
        output (array): ``(n_row, n_class, ...)``, or one value for the batch.
        classes (numpy.ndarray, tuple or None): Class of each row, or an index into
            the axes behind the batch axis; None counts all.

    Raises:
        ValueError: If a class is out of range.
    """
    xp = chainer.backend.get_array_module(output)
    if classes is None:
        return xp.ones_like(output)
    weights = xp.zeros_like(output)
    weights[_explained_elements(output, classes)] = 1
    return weights


def chosen_scores(output: Array, classes: Explained) -> Array:
    """Return the explained score of each row, or of the batch, in float64.

    Args:
        output (array): ``(n_row, n_class, ...)``, or one value for the batch.
        classes (numpy.ndarray, tuple or None): Class of each row, or an index into
            the axes behind the batch axis; None sums all.

    Returns:
        array: ``(n_row,)``, or ``(1,)`` for the batch.

    Raises:
        ValueError: If a class is out of range.
    """
    if classes is not None:
        output = output[_explained_elements(output, classes)]
    if output.ndim == 1:
        return output.astype("d")
    n_score = len(output) if output.ndim else 1
    return output.reshape(n_score, -1).sum(axis=1, dtype="d")


def _explained_elements(output: Array, classes: np.ndarray | tuple[Any, ...]) -> Any:
    """Return the index of the elements of ``output`` that are explained."""
    if isinstance(classes, tuple):
        _check_index(output, classes)
        return (slice(None), *classes)
    n_class = number_of_classes(output, len(classes))
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= n_class:
        bad = classes[(classes < 0) | (classes >= n_class)]
        raise ValueError(
            f"class_index must be in 0..{n_class - 1} for an output of shape "
            f"{output.shape}, got {int(bad[0])}"
        )
    if n_class == 1:  # one value for each row, or for the batch
        return ...
    if low == high:
        return slice(None), low
    return np.arange(len(classes)), classes


def _check_index(output: Array, index: tuple[Any, ...]) -> None:
    """Raise a ValueError unless an index tuple picks something of each row."""
    axes = output.shape[1:]
    picks = len(index) <= len(axes) and all(
        0 <= i < n if is_int(i) else len(range(*i.indices(n)))
        for i, n in zip(index, axes)
    )
    if not picks:
        raise ValueError(
            f"class_index={index!r} is an index into the axes behind the batch axis of "
            f"an output of shape {output.shape}, and picks nothing there; its ints "
            "must be in range and not negative. One class for each example is a list"
        )


def predicted_classes(output: Any) -> np.ndarray:
    """Return the class of the largest score of each row.

    Raises:
        ValueError: If there are not just rows and classes.
    """
    if output.ndim == 1:
        return np.zeros(len(output), int)
    if output.ndim != 2:
        raise ValueError(
            "class_index='argmax' needs an output of shape (batch, n_class), got "
            f"shape {output.shape}"
        )
    classes: np.ndarray = chainer.cuda.to_cpu(output.argmax(axis=1))
    return classes


def number_of_classes(output: Any, n_row: int) -> int:
    """Return the number of columns of an output; 1 if it has no axis for them."""
    return output.shape[1] if output.ndim > 1 and len(output) == n_row else 1


def warn_of_axes(outputs: Sequence[Any], class_index: Any) -> None:
    """Warn if an int picks along axis 1 of an output that has more axes."""
    shapes = [y.shape for y in outputs if y.ndim > 2 and np.prod(y.shape[2:]) > 1]
    if not shapes or isinstance(class_index, (str, tuple)) or class_index is None:
        return
    warn_user(
        f"class_index picks along axis 1 of an output of shape {shapes[0]}, and what "
        "is behind is summed. Pass a tuple to say what is meant: (c,) for just that, "
        "(c, t) for one element, (slice(None), c) for the sum of class c along axis 1"
    )


def warn_of_sum(outputs: Sequence[Any], n_row: int) -> None:
    """Warn if several columns are about to be summed."""
    n_class = max(number_of_classes(y.array, n_row) for y in outputs)
    if n_class == 1:
        return
    warn_user(
        f"class_index=None explains the sum of the {n_class} columns of the output. "
        "If they are class scores, pass class_index='argmax', an int, or one int for "
        "each example; if the sum is wanted, pass class_index='sum'."
    )

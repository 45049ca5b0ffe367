"""What metrics are given: a calculator, an explanation, or scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Union

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.calculator.engine.data_frames import as_table
from saliency.calculator.engine.dataset import UserBatch, as_dataset
from saliency.checks import check_choice
from saliency.explanation import Explanation

import chainer

#: What is measured: a calculator, which explains; what it explained; or its scores.
Explained = Union[BaseCalculator, Explanation, np.ndarray]

#: How scores are taken: as they are, or without their signs.
TRANSFORMS = ("signed", "absolute")


def check_transform(transform: Any) -> None:
    """Raise a ValueError unless it is one of :data:`TRANSFORMS`."""
    check_choice("transform", transform, TRANSFORMS)


def transformed(scores: np.ndarray, transform: str) -> np.ndarray:
    """Return scores as a transform takes them.

    Args:
        scores (numpy.ndarray): The scores.
        transform (str): ``'signed'``, ``'absolute'``, or ``'positive'``, which takes
            negative scores as 0.
    """
    if transform == "positive":
        scores = np.maximum(scores, 0)
    elif transform == "absolute":
        scores = np.abs(scores)
    return scores


def scores_of(explained: Explained, data: Any, settings: dict[str, Any]) -> np.ndarray:
    """Return one map of scores for each example.

    Args:
        explained: A calculator, whose ``compute_aggregate`` is called; an explanation;
            or an array.
        data: What a calculator explains, or has explained.
        settings (dict): The other arguments of ``compute_aggregate``.

    Returns:
        numpy.ndarray: ``(N,) + shape``; a file that is mapped into memory stays one.

    Raises:
        TypeError: If it is none of these, or a calculator comes without data.
        ValueError: If there are scores of several classes or targets, no axis of
            examples, or settings without a calculator; or an explanation or a table is
            of the columns or rows of the data in another order.
    """
    if isinstance(explained, BaseCalculator):
        if data is None:
            raise TypeError("data must be given with a calculator, got None")
        return _checked(explained.compute_aggregate(data, **settings))
    if settings:
        raise TypeError(
            f"compute() takes {', '.join(settings)} where a calculator explains, which "
            f"takes such arguments; got explained of type {type(explained).__name__}"
        )
    if isinstance(explained, Explanation) and explained.has_class_axis:
        raise ValueError(
            "explained must hold the scores of one class for each example; pass "
            "explanation.of_class(...)"
        )
    check_order(explained, data, "data")
    if isinstance(explained, Explanation):
        explained = explained.values
    elif isinstance(explained, chainer.Variable):
        explained = explained.array
    scores = _checked(explained)
    if data is not None:
        _check_number(scores, len(as_dataset(data)))
    return scores


def check_order(explained: Any, other: Any, name_of_other: str) -> None:
    """Raise a ValueError if names are those of something else in another order.

    Other names say nothing: they may be nicer ones. Nor do numbers in order, which
    pandas gives to scores in a table without names.

    Args:
        explained: What is measured; it has names if it is an explanation or a table.
        other: What it is compared with, such as the examples.
        name_of_other (str): What that is called in the message.
    """
    for what, own, others in zip(
        ("features", "examples"), _names_in(explained), _names_in(other)
    ):
        if own is None or others is None:
            continue
        first, second = list(map(str, own)), list(map(str, others))
        is_numbered = first == list(map(str, range(len(first))))
        if is_numbered and not isinstance(explained, Explanation):
            continue
        if first != second and sorted(first) == sorted(second):
            raise ValueError(
                f"explained must have the {what} of {name_of_other} in the same order, "
                f"{', '.join(second[:8])}; got {', '.join(first[:8])}"
            )


def _names_in(value: Any) -> tuple[Any, Any]:
    """Return the names of features and of examples; None where there are none."""
    if isinstance(value, Explanation):
        return value.feature_names, value.index
    table = as_table(value[0] if isinstance(value, tuple) and value else value)
    return (None, None) if table is None else (table.names, table.index)


def known_array(name: str, given: Any) -> np.ndarray:
    """Return what is known of examples as an array of NumPy.

    Args:
        name (str): What it is called in messages.
        given: An array, a Variable, or a list.

    Raises:
        TypeError: If it is a table, whose columns nothing compares with the scores.
    """
    if isinstance(given, chainer.Variable):
        given = given.array
    if as_table(given) is not None:
        raise TypeError(
            f"{name} must be an array, got a {type(given).__name__}; pass "
            f"{name}.to_numpy(), with the features in the order of the scores"
        )
    is_array = isinstance(given, chainer.get_array_types())
    return np.asarray(chainer.cuda.to_cpu(given) if is_array else given)


def _check_number(scores: np.ndarray, n_example: int) -> None:
    if len(scores) != n_example:
        raise ValueError(
            f"explained must hold one map for each of the {n_example} examples of "
            f"data, (N,) + shape, got shape {scores.shape}. Samples (M, N) + shape are "
            "reduced by calculator.aggregate first"
        )


def _checked(scores: Any) -> np.ndarray:
    """Return scores as an array of NumPy with an axis for the examples."""
    if isinstance(scores, tuple):
        raise ValueError(
            f"explained must hold the scores of one target, got those of {len(scores)}"
        )
    if isinstance(scores, chainer.get_array_types()):
        scores = chainer.cuda.to_cpu(scores)
    array: np.ndarray = np.asanyarray(scores)  # of Zarr, it is read into memory
    if array.dtype.kind not in "fiub":
        raise TypeError(
            "explained must be a calculator, an Explanation or an array of scores, got "
            f"{type(scores).__name__}"
        )
    if array.ndim < 2 or array.size == 0:
        raise ValueError(
            "explained must hold scores (N,) + shape, one map for each example, got "
            f"shape {array.shape}"
        )
    return array


def maps_of_examples(scores: np.ndarray) -> Iterator[np.ndarray]:
    """Give the map of each example in float64, without what is padded by NaN.

    Raises:
        ValueError: If a map holds NaN elsewhere, or infinity, or nothing.
    """
    for i, row in enumerate(scores):
        map_ = np.asarray(row, np.float64)
        is_nan: np.ndarray = np.isnan(map_)
        if is_nan.any():  # or there is no padding
            of_element = np.asarray(is_nan.reshape(len(map_), -1).all(axis=1))
            n_last = int(of_element[::-1].argmin()) if not of_element.all() else 0
            map_ = map_[: len(map_) - n_last]
        _check_finite(map_, i)
        yield map_


def _check_finite(map_: np.ndarray, example: int) -> None:
    if not np.isfinite(map_).all():
        raise ValueError(
            f"the scores of example {example} must be finite (NaN is padding behind "
            "the end of its first axis), got NaN or infinity in them"
        )


class ScoresForData:
    """The scores of the examples of one call, batch by batch.

    Args:
        scores (numpy.ndarray): ``(N,) + shape``, that of the target, or that without
            the axis of its channels.
        transform (str): One of :data:`TRANSFORMS`.
        n_example (int): How many examples the data has.

    Raises:
        ValueError: If there are not as many scores.
    """

    def __init__(self, scores: np.ndarray, transform: str, n_example: int) -> None:
        _check_number(scores, n_example)
        self._scores = scores
        self._transform = transform

    def of_batch(self, batch: UserBatch, shape: tuple[int, ...]) -> np.ndarray:
        """Return the transformed scores of a batch, in float64.

        Args:
            batch (UserBatch): The examples.
            shape (tuple of int): That of its target.

        Returns:
            numpy.ndarray: ``shape``, of length 1 along an axis that was summed over; 0
            where an example is padded.

        Raises:
            ValueError: If they do not fit the target, or are not finite.
        """
        found = np.array(self._scores[batch.index], np.float64)
        if found.ndim == len(shape) - 1 and found.ndim > 1:
            found = np.expand_dims(found, 2 if len(shape) == 3 else 1)
        if found.ndim == len(shape) and np.isnan(found[:, shape[1] :]).all():
            found = found[:, : shape[1]]
        fits = found.ndim == len(shape) and all(
            n in (1, expected) for n, expected in zip(found.shape[1:], shape[1:])
        )
        if not fits:
            raise ValueError(
                f"explained must hold scores of the shape {shape[1:]} of the target, "
                f"or that without its channels, got {self._scores.shape[1:]}"
            )
        lengths = batch.lengths_at(0)
        for i, map_ in enumerate(found):
            if lengths is not None:
                map_[lengths[i] :] = 0
            _check_finite(map_, batch.start + i)
        return transformed(found, self._transform)

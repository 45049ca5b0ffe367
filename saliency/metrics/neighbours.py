"""The base of metrics that explain again, near each example."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from saliency.array_types import Array
from saliency.calculator import BaseCalculator
from saliency.calculator.engine.data_frames import from_table
from saliency.calculator.engine.dataset import as_dataset
from saliency.calculator.randomness.random_streams import (
    METHOD,
    GlobalRandomState,
    RandomStreams,
)
from saliency.checks import check_positive, is_number
from saliency.metrics.again import AgainMetric
from saliency.metrics.predicted import with_fixed_classes
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import check_transform, scores_of, transformed

import chainer


class NeighbourMetric(AgainMetric):
    """Compares the explanation of each example with those of others near it.

    The others are drawn uniformly from a cube around it, the ball of the largest
    change of an element. All explanations have the same seed, so that their noise,
    networks and coalitions are the same; and where a class is predicted, all are of
    that which is predicted for the example itself.

    A constant map is never changed: a good value alone says nothing.

    Args:
        radius (float): By how much each element of the input is changed at most, in
            units of the data.
        n_samples (int): How many others there are for each example.
        transform (str): ``'signed'`` compares scores as they are, ``'absolute'`` those
            without their signs.

    Raises:
        ValueError: If a setting is none of these.

    Of several inputs, the first one is changed. ``compute`` also raises a TypeError if
    it is not of floating-point numbers, and a ValueError if a value is not defined.
    """

    radius: float = 0.02
    n_samples: int = 10
    transform: str = "signed"

    _larger_is_better: ClassVar[bool | None] = False

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        if not (is_number(self.radius) and 0 < self.radius < np.inf):
            raise ValueError(f"radius must be a finite number > 0, got {self.radius!r}")
        check_positive("n_samples", self.n_samples)
        check_transform(self.transform)

    def _compared(
        self,
        calculator: BaseCalculator,
        data: Any,
        seed: int,
        settings: dict[str, Any],
        original: np.ndarray | None = None,
    ) -> MetricResult:
        _check_floats(data)
        streams = RandomStreams(seed)
        calculator = with_fixed_classes(calculator, data, settings)
        if original is None:
            original = scores_of(calculator, data, settings)
        first = transformed(original, self.transform)
        largest = np.zeros(len(first))
        for sample in range(self.n_samples):
            near = Neighbours(data, self.radius, streams, sample)
            others = self._maps(calculator, near.data, settings)
            changes = np.array([norm(b - a) for a, b in zip(first, others)])
            largest = np.maximum(largest, self._ratios(changes, first, near))
        return self._result(largest)

    def _maps(
        self, calculator: BaseCalculator, data: Any, settings: dict[str, Any]
    ) -> np.ndarray:
        return transformed(scores_of(calculator, data, settings), self.transform)

    @abstractmethod
    def _ratios(
        self, changes: np.ndarray, first: np.ndarray, near: Neighbours
    ) -> np.ndarray:
        """Return what the change of each example's explanation counts.

        Args:
            changes (numpy.ndarray): The norms of the changes, ``(N,)``.
            first (numpy.ndarray): The explanations of the examples themselves.
            near (Neighbours): The others, which have been explained.
        """


def norm(map_: np.ndarray) -> float:
    """Return the Euclidean norm of a map, without what is padded by NaN."""
    return float(np.sqrt(np.nansum(np.square(map_, dtype=np.float64))))


class Neighbours:
    """Data each of whose examples is changed a little at its first input.

    Args:
        data: As in ``compute`` of calculators.
        radius (float): By how much an element is changed at most.
        streams (RandomStreams): Draw the changes.
        sample (int): Which of several others of an example it is.

    Attributes:
        data: The changed data, of the same kind.
        distances (numpy.ndarray): How far each example is from the original one, by the
            Euclidean norm, ``(N,)``; known when it has been explained.
    """

    def __init__(
        self, data: Any, radius: float, streams: RandomStreams, sample: int
    ) -> None:
        self._radius = radius
        self._streams = streams
        self._sample = sample
        dataset = as_dataset(data)
        self.distances = np.zeros(len(dataset))
        data = _as_arrays(data)
        first = data[0] if isinstance(data, tuple) else data
        if isinstance(first, chainer.get_array_types()):
            changed: Any = self._array(first)
            self.data: Any = (
                (changed, *data[1:]) if isinstance(data, tuple) else changed
            )
        elif isinstance(data, list):
            self.data = [self.example(i, one) for i, one in enumerate(data)]
        else:
            self.data = _Examples(dataset, self)

    def example(self, i: int, example: Any) -> Any:
        """Return a changed example: an input, or a tuple of several."""
        if isinstance(example, tuple):
            return (self._changed(i, example[0]), *example[1:])
        return self._changed(i, example)

    def _array(self, x: Array) -> Array:
        xp = chainer.backend.get_array_module(x)
        return xp.stack([self._changed(i, row) for i, row in enumerate(x)])

    def _changed(self, i: int, x: Any) -> Array:
        x = _as_array(x)
        xp = chainer.backend.get_array_module(x)
        rng = self._streams.generator(METHOD, self._sample, i)
        change = rng.uniform(-self._radius, self._radius, x.shape)
        changed: Array = x + xp.asarray(change, x.dtype)
        difference = changed.astype(np.float64) - x
        self.distances[i] = norm(chainer.cuda.to_cpu(difference))
        return changed


class _Examples:
    """A data set whose examples are changed when they are asked for."""

    def __init__(self, dataset: Any, near: Neighbours) -> None:
        self._dataset = dataset
        self._near = near

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, i: int) -> Any:
        return self._near.example(i, self._dataset[i])


def _check_floats(data: Any) -> None:
    """Raise a TypeError unless the first input holds floating-point numbers."""
    # A dataset may draw random numbers for its example.
    with GlobalRandomState(chainer.get_device("@numpy")).borrowed(0):
        example = as_dataset(data)[0]
    if isinstance(example, dict):
        raise TypeError(
            "data must hold arrays, or tuples of which the first array is changed, got "
            "dicts; pass the arrays of all inputs in a tuple, in order"
        )
    x = _as_array(example[0] if isinstance(example, tuple) else example)
    if x.dtype.kind != "f":
        raise TypeError(
            "data must hold floating-point numbers, which are changed, got "
            f"{x.dtype}; pass data.astype(np.float32) if these are measurements"
        )


def _as_array(x: Any) -> Array:
    """Return an input of an example as an array, on the device where it is."""
    x = _as_arrays(x)
    return x if isinstance(x, chainer.get_array_types()) else np.asarray(x)


def _as_arrays(data: Any) -> Any:
    """Return data with arrays in the place of Variables and tables."""
    if isinstance(data, tuple):
        return tuple(map(_as_arrays, data))
    if isinstance(data, chainer.Variable):
        return data.array
    return from_table(data)

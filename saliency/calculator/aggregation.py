"""From samples to one saliency: transform, sum over channels, mean over the samples."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from saliency.checks import check_choice, is_int

_TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw": lambda samples: samples,
    "abs": np.abs,
    "square": np.square,
}


class Aggregation:
    """What is done with samples before their mean is taken.

    Args:
        method (str): ``'raw'``, ``'abs'`` or ``'square'``.
        ch_axis (int, tuple of int or None): Axes of samples ``(M, N, ...)`` to sum
            over.

    Raises:
        ValueError: If ``method`` or ``ch_axis`` is none of these.
    """

    def __init__(self, method: str, ch_axis: int | tuple[int, ...] | None) -> None:
        check_choice("method", method, _TRANSFORMS)
        axes = ch_axis if isinstance(ch_axis, tuple) else (ch_axis,)
        if ch_axis is not None and not all(map(is_int, axes)):
            raise ValueError(
                f"ch_axis must be an int, a tuple of int or None, got {ch_axis!r}"
            )
        self.method = method
        self.ch_axis = ch_axis

    def reduce(self, samples: np.ndarray) -> np.ndarray:
        """Return samples ``(n, N, ...)`` transformed and summed, in float64.

        Raises:
            ValueError: If the samples have no such ``ch_axis``.
        """
        values = _TRANSFORMS[self.method](samples.astype(np.float64, copy=False))
        if self.ch_axis is None:
            return values
        self.check_axes(samples.ndim, 1)
        return values.sum(axis=self.ch_axis)

    def summed_shape(self, samples: np.ndarray) -> tuple[int, ...]:
        """Return the lengths of the axes that are summed over."""
        axes = self.ch_axis if isinstance(self.ch_axis, tuple) else (self.ch_axis,)
        return tuple(samples.shape[a] for a in axes if a is not None)

    def check_axes(self, ndim: int, first: int) -> None:
        """Raise a ValueError unless ``ch_axis`` are different ones of ``first`` on."""
        if self.ch_axis is None:
            return
        axes = self.ch_axis if isinstance(self.ch_axis, tuple) else (self.ch_axis,)
        # An axis that is not there stays out, and then the lengths differ.
        found = {a % ndim for a in axes if -ndim <= a < ndim}
        if len(found) < len(axes) or any(axis < first for axis in found):
            raise ValueError(
                f"ch_axis must be an int in {first}..{ndim - 1}, or a tuple of "
                f"different ones, for samples with {ndim} axes (axis 0 holds the "
                f"samples, axis 1 the examples); got {self.ch_axis!r}"
            )


class RunningStatistics:
    """The mean of samples that come one after the other, in float64.

    Welford (1962), "Note on a method for calculating corrected sums of squares and
    products", Technometrics 4(3). Samples may come in blocks of any size: the result
    is the same.

    Attributes:
        count (int): How many samples came.
        mean (numpy.ndarray): Their mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Any = 0.0

    def add(self, samples: np.ndarray) -> None:
        """Take samples ``(n, ...)`` in."""
        for sample in samples:
            self.count += 1
            self.mean = self.mean + (sample - self.mean) / self.count


def mean_dtype(samples: np.ndarray) -> np.dtype:
    """Return the dtype in which the mean of samples is given."""
    return samples.dtype if samples.dtype.kind == "f" else np.dtype(np.float64)

"""From samples to one saliency: transform, sum over channels, mean or spread."""

from __future__ import annotations

import copy
from typing import Any, Callable, Union

import numpy as np

from saliency.checks import check_choice, for_each_target, is_int

_TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw": lambda samples: samples,
    "abs": np.abs,
    "square": np.square,
}

# What 95 % of a normal distribution are within, in standard deviations from its mean.
_INTERVAL = 1.96

_STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": lambda mean, std: mean,
    "std": lambda mean, std: std,
    "lcb": lambda mean, std: mean - _INTERVAL * std,
    "ucb": lambda mean, std: mean + _INTERVAL * std,
    "snr": lambda mean, std: _signal_to_noise(mean, std),
}


#: Axes of samples to sum over; one for each of several targets in a tuple that holds
#: tuples or None.
ChannelAxis = Union[
    int, tuple[int, ...], tuple[Union[int, tuple[int, ...], None], ...], None
]


class Aggregation:
    """What is done with samples, and which statistic of them is taken.

    Args:
        method (str): ``'raw'``, ``'abs'`` or ``'square'``.
        ch_axis (int, tuple or None): Axes of samples ``(M, N, ...)`` to sum over.
        statistic (str): ``'mean'``, ``'std'``, ``'lcb'``, ``'ucb'`` or ``'snr'``.
        M (int): How many samples there are.
        has_targets (bool): Whether ``ch_axis`` may be one for each of several targets.

    Raises:
        ValueError: If ``method``, ``ch_axis`` or ``statistic`` is none of these, or
            one sample is to have a spread.
    """

    def __init__(
        self,
        method: str,
        ch_axis: ChannelAxis,
        statistic: str = "mean",
        M: int = 1,
        has_targets: bool = False,
    ) -> None:
        check_choice("method", method, _TRANSFORMS)
        check_choice("statistic", statistic, _STATISTICS)
        if statistic != "mean" and M < 2:
            raise ValueError(
                f"statistic={statistic!r} needs the spread of at least 2 samples, got "
                f"M={M}"
            )
        of_targets = for_each_target("ch_axis", ch_axis) if has_targets else (ch_axis,)
        if not all(map(_is_ch_axis, of_targets)):
            raise ValueError(
                f"ch_axis must be an int, a tuple of int or None, got {ch_axis!r}"
            )
        self.method = method
        self.ch_axis: Any = ch_axis
        self.statistic = statistic

    def of_target(self, position: int, n_target: int) -> Aggregation:
        """Return the aggregation for one of several targets.

        Raises:
            ValueError: If ``ch_axis`` is one for each of another number of targets.
        """
        axes = for_each_target("ch_axis", self.ch_axis, n_target)
        one = copy.copy(self)
        one.ch_axis = axes[position]
        return one

    def reduce(self, samples: np.ndarray) -> np.ndarray:
        """Return samples ``(n, N, ...)`` transformed and summed, in float64.

        Raises:
            ValueError: If the samples have no such ``ch_axis``.
        """
        values = _TRANSFORMS[self.method](samples.astype(np.float64, copy=False))
        if self.ch_axis is None:
            return values
        self.check_axes(samples.ndim, 1)
        summed: np.ndarray = values.sum(axis=self.ch_axis)
        return summed

    def summed_shape(self, samples: np.ndarray) -> tuple[int, ...]:
        """Return the lengths of the axes that are summed over."""
        axes = self.ch_axis if isinstance(self.ch_axis, tuple) else (self.ch_axis,)
        return tuple(samples.shape[a] for a in axes if a is not None)

    def sums_over(self, axis: int, ndim: int) -> bool:
        """Tell whether samples with so many axes are summed over one of them."""
        axes = self.ch_axis if isinstance(self.ch_axis, tuple) else (self.ch_axis,)
        return any(a is not None and a % ndim == axis for a in axes)

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
                f"samples, axis 1 the examples{', axis 2 the classes' * (first > 2)}); "
                f"got {self.ch_axis!r}"
            )


def _is_ch_axis(ch_axis: Any) -> bool:
    axes = ch_axis if isinstance(ch_axis, tuple) else (ch_axis,)
    return ch_axis is None or all(map(is_int, axes))


class RunningStatistics:
    """A statistic of samples that come one after the other, in float64.

    Welford (1962), "Note on a method for calculating corrected sums of squares and
    products", Technometrics 4(3). Samples may come in blocks of any size: the result
    is the same.

    Args:
        statistic (str): As in :class:`Aggregation`.

    Attributes:
        count (int): How many samples came.
        mean (numpy.ndarray): Their mean.
    """

    def __init__(self, statistic: str) -> None:
        self.count = 0
        self.mean: Any = 0.0
        self._statistic = statistic
        self._squares: Any = 0.0  # the sum of squared differences to the mean

    def add(self, samples: np.ndarray) -> None:
        """Take samples ``(n, ...)`` in."""
        for sample in samples:
            self.count += 1
            step = sample - self.mean
            if self._statistic == "mean":
                step /= self.count
                self.mean = _added(self.mean, step)
            else:
                self.mean = self.mean + step / self.count
                step *= sample - self.mean
                self._squares = _added(self._squares, step)

    def result(self, statistic: str | None = None) -> np.ndarray:
        """Return the statistic; the spread is that of a sample of the population.

        Args:
            statistic (str or None): Another one than that of the constructor, which
                then must not be the mean.

        Raises:
            ValueError: If a mean or a spread is infinite.
        """
        statistic = statistic or self._statistic
        std = np.sqrt(self._squares / max(self.count - 1, 1))
        # NaN is what lies behind the end of a short example.
        if np.isinf(self.mean).any() or np.isinf(std).any():
            raise ValueError(
                "an aggregated saliency is infinite, since the samples are too large: "
                f"their {statistic} overflows in float64. Scale the output down"
            )
        return _STATISTICS[statistic](self.mean, std)


def _added(total: Any, array: np.ndarray) -> np.ndarray:
    """Return the sum, in the memory of the array; it is not needed any longer."""
    array += total
    return array


def _signal_to_noise(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return ``mean / std``, which is 0 where both are and infinite for others."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((mean == 0) & (std == 0), 0.0, mean / std)


def mean_dtype(samples: np.ndarray) -> np.dtype:
    """Return the dtype in which the mean of samples is given."""
    return samples.dtype if samples.dtype.kind == "f" else np.dtype(np.float64)

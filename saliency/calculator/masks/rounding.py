"""Scores that change by no more than rounding makes of them."""

from __future__ import annotations

import numpy as np

from saliency.user_warnings import warn_user

#: So many units in the last place are what rounding in a network makes of one score.
_UNITS = 8


def is_rounding(scores: np.ndarray, dtype: np.dtype, axis: int) -> np.ndarray:
    """Tell where scores along an axis differ by no more than rounding makes of them.

    Args:
        scores (numpy.ndarray): Some of them, in float64.
        dtype (numpy.dtype): In which the network computes.
        axis (int): Along which they are compared.

    Returns:
        numpy.ndarray: Of bool, without that axis. It is true where all are equal.
    """
    low, high = scores.min(axis=axis), scores.max(axis=axis)
    slack = _UNITS * float(np.finfo(dtype).eps) * np.maximum(abs(low), abs(high))
    found: np.ndarray = high - low <= slack
    return found


class RoundingCheck:
    """Warns, once in a call, of examples whose scores hardly change without parts."""

    def __init__(self) -> None:
        self._found: set[int] = set()  # indices in the data
        self._dtype = ""

    def look_at(self, scores: np.ndarray, dtype: np.dtype, index: np.ndarray) -> None:
        """Take note of the examples of a batch for which that is so.

        Where scores do not change at all, values are 0 and say so.

        Args:
            scores (numpy.ndarray): ``(n, size, n_step)`` or ``(n, size, n_step,
                n_class)``.
            dtype (numpy.dtype): In which the network computes.
            index (numpy.ndarray): Index in the data of each example.
        """
        found = is_rounding(scores, dtype, axis=2) & (np.ptp(scores, axis=2) > 0)
        of_examples = np.moveaxis(found, 1, 0).reshape(len(index), -1).any(axis=1)
        self._found.update(index[of_examples].tolist())
        self._dtype = str(dtype)

    def warn(self) -> None:
        """Give the warning, if there are such examples."""
        if self._found:
            warn_user(
                f"the output of {len(self._found)} examples changes by no more than "
                f"rounding in {self._dtype} makes of it, whatever is absent, so that "
                "their values are rounding: explain scores rather than probabilities, "
                "or pass the data and the model in float64"
            )

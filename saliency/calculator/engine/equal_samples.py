"""Notices where M samples are one and the same."""

from __future__ import annotations

import numpy as np

from saliency.calculator.engine.settings import ComputeSettings
from saliency.user_warnings import warn_user

_ROUNDING = 1e-4  # of the largest score; how a pass is laid out changes the last digits
_AT_A_TIME = 1 << 18  # elements; comparing takes some arrays of as many


class EqualSamples:
    """Compares the samples of a batch, one after the other, with the first.

    Args:
        settings (ComputeSettings): How samples are computed.
    """

    def __init__(self, settings: ComputeSettings) -> None:
        self._settings = settings
        self._first: list[np.ndarray] = []
        self._are_equal = settings.M > 1

    def add(self, samples: list[np.ndarray]) -> None:
        """Take samples in, ``(n, ...)`` for each target.

        Nothing is compared once one has differed.
        """
        if not self._are_equal:
            return
        self._first = self._first or [of_target[0].copy() for of_target in samples]
        self._are_equal = all(map(_are_all_close, samples, self._first))

    def warn(self) -> None:
        """Give a warning if all samples have been equal."""
        if not self._are_equal:
            return
        if self._settings.posterior is not None:
            reason = "the posterior gives the same network for each"
        elif self._settings.train:
            reason = (
                "the model applies no dropout, and nothing else in it is random. Pass "
                "noise_sampler or posterior, or take M=1"
            )
        else:
            reason = (
                "nothing in a pass is random. Pass train=True for models with dropout, "
                "noise_sampler or posterior, or take M=1"
            )
        warn_user(f"all M={self._settings.M} samples are equal: {reason}")


def _are_all_close(samples: np.ndarray, first: np.ndarray) -> bool:
    high, low = (f(first, initial=0) for f in (np.nanmax, np.nanmin))
    tolerance = _ROUNDING * max(high, -low)
    return all(_are_close(sample, first, tolerance) for sample in samples)


def _are_close(sample: np.ndarray, first: np.ndarray, tolerance: float) -> bool:
    """Tell whether no element differs by more; where one is NaN, both are."""
    flat, flat_first = sample.reshape(-1), first.reshape(-1)
    return all(
        np.allclose(
            flat[start : start + _AT_A_TIME],
            flat_first[start : start + _AT_A_TIME],
            rtol=0,
            atol=tolerance,
            equal_nan=True,
        )
        for start in range(0, flat.size, _AT_A_TIME)
    )

"""Notices where M samples are one and the same."""

from __future__ import annotations

import numpy as np

from saliency.calculator.engine.settings import ComputeSettings
from saliency.user_warnings import warn_user

_ROUNDING = 1e-4  # of the largest score; how a pass is laid out changes the last digits


class EqualSamples:
    """Compares the samples of a batch, one after the other, with the first.

    Args:
        settings (ComputeSettings): How samples are computed.
    """

    def __init__(self, settings: ComputeSettings) -> None:
        self._settings = settings
        self._first: np.ndarray | None = None
        self._are_equal = settings.M > 1

    def add(self, samples: np.ndarray) -> None:
        """Take samples ``(n, ...)`` in; nothing is compared once one has differed."""
        if not self._are_equal:
            return
        if self._first is None:
            self._first = samples[0].copy()
        size = np.nanmax(np.abs(self._first), initial=0)
        self._are_equal = np.allclose(
            samples, self._first, rtol=0, atol=_ROUNDING * size, equal_nan=True
        )

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

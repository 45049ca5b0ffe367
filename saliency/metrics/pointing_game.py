"""Pointing game: whether the largest score lies where it should."""

from __future__ import annotations

import itertools

import numpy as np

from saliency.checks import check_number
from saliency.metrics.localisation import LocalisationMetric


class PointingGame(LocalisationMetric):
    """Pointing game: whether the element with the largest score is one that matters.

    Zhang et al. (2018), "Top-down neural attention by excitation backprop",
    arXiv:1608.00507, section 4.2: 1 for a hit and 0 for a miss, so that the mean is the
    accuracy. Where several elements share the largest score, it is the share of them
    that hit. A random map has the share of elements that matter, on average.

    Args:
        tolerance (float): How far from the truth a hit may be, in elements. The paper
            allows 15 pixels.

    The other arguments are those of
    :class:`~saliency.metrics.localisation.LocalisationMetric`.
    """

    tolerance: float = 0

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_number("tolerance", self.tolerance, 0, 1000)

    def value(self, scores: np.ndarray, mask: np.ndarray) -> float:
        """Return the share of the largest scores that hit."""
        return float(_widened(mask, self.tolerance)[scores == scores.max()].mean())


def _widened(mask: np.ndarray, distance: float) -> np.ndarray:
    """Return which elements are no farther from a mask than some distance."""
    widened = mask.copy()
    reach = range(-int(distance), int(distance) + 1)
    for shift in itertools.product(reach, repeat=mask.ndim):
        if not 0 < sum(s * s for s in shift) <= distance**2:
            continue
        to = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, mask.shape))
        of = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(shift, mask.shape))
        widened[to] |= mask[of]
    return widened

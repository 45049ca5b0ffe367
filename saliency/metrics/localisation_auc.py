"""Localisation AUC: how well scores tell elements that matter from others."""

from __future__ import annotations

import numpy as np

from saliency.checks import check_choice
from saliency.metrics.localisation import LocalisationMetric

_CURVES = ("roc", "precision_recall")


class LocalisationAUC(LocalisationMetric):
    """Localisation AUC: how well scores tell elements that matter from others.

    With ``curve='roc'`` the probability that an element that matters has a larger score
    than one that does not, where ties count one half: 1/2 for a random or a constant
    map. With ``curve='precision_recall'`` the average precision, the mean precision at
    the elements that matter, where tied elements come together: the share of elements
    that matter for a constant map. It is the stricter one where few elements matter.

    Args:
        curve (str): ``'roc'`` or ``'precision_recall'``.

    The other arguments are those of
    :class:`~saliency.metrics.localisation.LocalisationMetric`.
    """

    curve: str = "roc"

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_choice("curve", self.curve, _CURVES)

    def value(self, scores: np.ndarray, mask: np.ndarray) -> float:
        """Return the area under the curve."""
        # From the largest score down; tied elements are one point of the curve.
        order = np.argsort(-scores, axis=None)
        ordered, hits = scores.ravel()[order], mask.ravel()[order]
        is_last = np.append(ordered[1:] != ordered[:-1], True)
        n_hit = np.cumsum(hits)[is_last].astype(np.float64)
        n_taken = np.arange(1, hits.size + 1)[is_last]
        gained = np.diff(n_hit, prepend=0)
        if self.curve == "precision_recall":
            return float((gained * n_hit / n_taken).sum() / n_hit[-1])
        misses = np.diff(n_taken - n_hit, prepend=0)
        pairs = (misses * (n_hit - gained / 2)).sum()
        return float(pairs / (n_hit[-1] * (hits.size - n_hit[-1])))

"""Relevance mass: which share of the relevance lies where it should."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from saliency.metrics.localisation import LocalisationMetric


class RelevanceMass(LocalisationMetric):
    r"""Relevance mass accuracy: which share of the relevance lies where it should.

    .. math:: \frac{\sum_{i \in T} R_i}{\sum_i R_i}

    Arras, Osman and Samek (2022), "CLEVR-XAI: a benchmark dataset for the ground truth
    evaluation of neural network explanations", arXiv:2003.07258, eq. 4. The relevance
    :math:`R_i` has no signs: it is what speaks for the output, or the absolute score.
    Where all of it is 0, the value is the share of elements that matter, as that of a
    constant map is.

    Args:
        transform (str): ``'positive'`` takes negative scores as 0, ``'absolute'`` takes
            scores without their signs, both before channels are summed.

    The other arguments are those of
    :class:`~saliency.metrics.localisation.LocalisationMetric`.
    """

    transform: str = "positive"

    _transforms: ClassVar[tuple[str, ...]] = ("positive", "absolute")

    def value(self, scores: np.ndarray, mask: np.ndarray) -> float:
        """Return the share of the relevance within the mask."""
        largest = scores.max()
        if largest == 0:
            return float(mask.mean())
        shares = scores / largest  # so that a sum of large numbers stays finite
        return float(shares[mask].sum() / shares.sum())

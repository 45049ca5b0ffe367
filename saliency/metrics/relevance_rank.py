"""Relevance rank: how many of the most relevant elements lie where they should."""

from __future__ import annotations

import numpy as np

from saliency.metrics.localisation import LocalisationMetric


class RelevanceRank(LocalisationMetric):
    r"""Relevance rank accuracy: how many of the top elements lie where they should.

    .. math:: \frac{|P_{\mathrm{top}\,K} \cap T|}{K}, \quad K = |T|

    Arras, Osman and Samek (2022), "CLEVR-XAI: a benchmark dataset for the ground truth
    evaluation of neural network explanations", arXiv:2003.07258, eq. 5. Elements that
    share the K-th score are taken in the share that there is room for, which is the
    mean over their orders. A random map has the share of elements that matter, on
    average.

    The arguments are those of
    :class:`~saliency.metrics.localisation.LocalisationMetric`.
    """

    def value(self, scores: np.ndarray, mask: np.ndarray) -> float:
        """Return the share of the top elements that are in the mask."""
        k = int(mask.sum())
        last = np.partition(scores, -k, axis=None)[-k]
        above, tied = scores > last, scores == last
        room = (k - above.sum()) / tied.sum()
        return float((mask[above].sum() + room * mask[tied].sum()) / k)

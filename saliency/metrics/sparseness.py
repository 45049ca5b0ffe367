"""Sparseness: how few elements have most of an explanation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from saliency.metrics.metric import DescriptionMetric


class Sparseness(DescriptionMetric):
    r"""Sparseness: the Gini index of the absolute scores.

    .. math:: G = 1 - 2 \sum_{k=1}^{d} \frac{a_{(k)}}{\sum_j a_j}
            \cdot \frac{d - k + \frac12}{d}

    where :math:`a_{(1)} \le \ldots \le a_{(d)}` are the absolute scores of the d
    elements of an example. Chalasani et al. (2020), "Concise explanations of neural
    networks using adversarial training", arXiv:1810.06583; the index itself is that of
    Hurley and Rickard (2009), "Comparing measures of sparsity", arXiv:0811.4706.

    It is 0 where all elements have the same absolute score, also where that is 0, and
    1 - 1/d where one element has all of it. Neither the scale nor the signs nor the
    order of the scores matter. It is not a quality by itself: an explanation may be
    concise and wrong.

    Each channel of an image is an element unless the scores are summed over them: pass
    ``ch_axis=2`` with a calculator.
    """

    transform: ClassVar[str] = "absolute"
    _larger_is_better = None

    def value(self, scores: np.ndarray) -> float:
        """Return the Gini index."""
        a = np.sort(np.abs(scores), axis=None)
        if a[-1] == 0:
            return 0.0
        a = a / a[-1]  # so that a sum of large numbers stays finite
        d = a.size
        weights = (d - np.arange(1, d + 1) + 0.5) / d
        # Where all are equal, rounding would leave a trace.
        return max(1 - 2 * float(a @ weights) / float(a.sum()), 0.0)

"""Complexity: over how many elements an explanation is spread."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from saliency.metrics.metric import DescriptionMetric


class Complexity(DescriptionMetric):
    r"""Complexity: the entropy of the shares of the absolute scores.

    .. math:: C = -\sum_i P_i \ln P_i, \quad
            P_i = \frac{|\phi_i|}{\sum_j |\phi_j|}

    Bhatt, Weller and Moura (2020), "Evaluating and aggregating feature-based model
    explanations", arXiv:2005.00631, section 3.3. In nats: 0 where one element has all
    of it, and ln d where all d have the same absolute score, also where that is 0.
    Neither the scale nor the signs nor the order of the scores matter.

    It is not a quality by itself: an explanation may be simple and wrong.

    Each channel of an image is an element unless the scores are summed over them: pass
    ``ch_axis=2`` with a calculator.
    """

    transform: ClassVar[str] = "absolute"
    _larger_is_better = None

    def value(self, scores: np.ndarray) -> float:
        """Return the entropy."""
        a = np.abs(scores).ravel()
        largest = a.max()
        if largest == 0:
            return float(np.log(a.size))
        a = a / largest  # so that a sum of large numbers stays finite
        shares = a[a > 0] / a.sum()
        return float(-(shares @ np.log(shares))) + 0.0  # and not -0

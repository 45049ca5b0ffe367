"""Faithfulness correlation: whether subsets with larger scores matter more."""

from __future__ import annotations

import numpy as np

from saliency.checks import check_number
from saliency.metrics.subsets import CorrelationMetric


class FaithfulnessCorrelation(CorrelationMetric):
    r"""Faithfulness correlation: whether subsets with larger scores matter more.

    .. math:: \operatorname{corr}_{S}\Bigl(\sum_{i \in S} \phi_i,\;
            f(x) - f(x \text{ without } S)\Bigr)

    over random subsets S of one size. Bhatt, Weller and Moura (2020), "Evaluating and
    aggregating feature-based model explanations", arXiv:2005.00631, definition 2. From
    -1 to 1; 1 for the contributions of an additive f. The scale of the scores does not
    matter, and their signs do.

    Args:
        share (float): Which share of the groups is in a subset; one group at least, and
            not all of them.

    The other arguments are those of
    :class:`~saliency.metrics.subsets.CorrelationMetric`.
    """

    share: float = 0.25

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_number("share", self.share, 0, 1)

    def sizes(self, n_group: int) -> np.ndarray:
        """Return the one size of subsets."""
        return np.array([min(max(round(self.share * n_group), 1), n_group - 1)])

"""Sensitivity-n: whether scores add up to what f loses, for subsets of each size."""

from __future__ import annotations

import numpy as np

from saliency.checks import check_positive
from saliency.metrics.subsets import CorrelationMetric

#: The largest subsets, as a share of the groups, as in the paper.
_LARGEST = 0.8


class SensitivityN(CorrelationMetric):
    r"""Sensitivity-n: whether sums of scores go with what f loses, size by size.

    .. math:: \operatorname{corr}_{|S| = n}\Bigl(\sum_{i \in S} \phi_i,\;
            f(x) - f(x \text{ without } S)\Bigr)

    Ancona et al. (2018), "Towards better understanding of gradient-based attribution
    methods for deep neural networks", arXiv:1711.06104, section 4: a method satisfies
    sensitivity-n if the sum is equal to the loss, and the correlation over random
    subsets tells how far it does. The curve has it for each size n, from one group to
    0.8 of them; small n show how scores fare alone, large ones together. The value is
    the mean over the sizes. From -1 to 1; 1 for the contributions of an additive f.

    Args:
        n_sizes (int): How many sizes, evenly spaced; fewer where there are few groups.

    The other arguments are those of
    :class:`~saliency.metrics.subsets.CorrelationMetric`.
    """

    n_sizes: int = 10

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_positive("n_sizes", self.n_sizes)

    def sizes(self, n_group: int) -> np.ndarray:
        """Return the sizes of subsets."""
        last = min(max(round(_LARGEST * n_group), 1), n_group - 1)
        return np.unique(np.round(np.linspace(1, last, self.n_sizes)).astype(int))

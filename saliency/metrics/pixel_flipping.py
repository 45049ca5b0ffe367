"""Pixel flipping: how far the output falls, on average, as features are removed."""

from __future__ import annotations

import numpy as np

from saliency.checks import check_choice, is_number
from saliency.metrics.ranking import Steps, even_numbers
from saliency.metrics.removal import RemovalMetric, ReplacementMetric

_ORDERS = ("most", "least", "difference")


class FlippingMetric(RemovalMetric):
    r"""Removes features in one order or in both, and takes the mean fall of f.

    Args:
        order (str): ``'most'`` removes the most relevant features first: larger values
            are better. ``'least'`` removes the least relevant ones first: smaller ones
            are. ``'difference'`` is the first minus the second, in passes that share
            their ends: larger ones are.
        share (float): Which share of the groups is removed at the last step, above 0.

    The other arguments are those of :class:`~saliency.metrics.removal.RemovalMetric`.
    """

    order: str = "most"
    share: float = 1.0

    @property
    def larger_is_better(self) -> bool:
        """Whether a larger value is better, which depends on the order."""
        return self.order != "least"

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_choice("order", self.order, _ORDERS)
        if not (is_number(self.share) and 0 < self.share <= 1):
            raise ValueError(
                f"share must be a number above 0 and at most 1, got {self.share!r}"
            )

    def _numbers(self, n_group: int) -> np.ndarray:
        """Return how many groups are absent at the points of a curve."""
        return even_numbers(n_group, self.n_steps, self.share)

    def _steps(self, n_group: int) -> Steps:
        n_absent = self._numbers(n_group)
        if self.order != "difference":
            return Steps.of_one_order(n_absent, self.order == "least")
        # Step 0, and the last if all is absent there, are those of both orders.
        stop = len(n_absent) - int(n_absent[-1] == n_group)
        both = np.concatenate([n_absent, n_absent[1:stop]])
        return Steps(both, np.arange(len(both)) >= len(n_absent))

    def _curve(
        self, scores: np.ndarray, n_group: int, steps: Steps
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.order != "difference":
            return scores, steps.n_absent / n_group
        n_point = int((~steps.is_least).sum())
        most, least = scores[:n_point].copy(), scores[:n_point].copy()
        least[1 : 1 + len(scores) - n_point] = scores[n_point:]
        return least - most, steps.n_absent[:n_point] / n_group

    def _value(self, curve: np.ndarray, fractions: np.ndarray) -> float:
        if self.order == "difference":
            return float(curve.mean())
        return float((curve[0] - curve).mean())


class PixelFlipping(FlippingMetric, ReplacementMetric):
    r"""Pixel flipping: the mean fall of f as features are removed one after the other.

    .. math:: \mathrm{AOPC} = \frac{1}{L + 1} \sum_{k=0}^{L}
            \bigl(f(x^{(0)}) - f(x^{(k)})\bigr)

    where :math:`x^{(k)}` lacks the features of the first k steps. Bach et al. (2015),
    "On pixel-wise explanations for non-linear classifier decisions by layer-wise
    relevance propagation", PLOS ONE 10(7); Samek et al. (2017), "Evaluating the
    visualization of what a deep neural network has learned", arXiv:1509.06321, eq. 12:
    the area over the perturbation curve. They remove the most relevant features first
    (``order='most'``), pixels or regions of 9 x 9 pixels, and replace them by random
    values.

    The curve is f at each step; with ``order='difference'``, f without the least
    relevant features minus f without the most relevant ones.

    Args:
        reference: As in :class:`~saliency.metrics.metric.ReferenceMetric`.

    The other arguments are those of :class:`FlippingMetric`.
    """

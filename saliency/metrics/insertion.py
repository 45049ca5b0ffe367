"""Insertion: the area under f as the most relevant features are put back."""

from __future__ import annotations

import numpy as np

from saliency.metrics.ranking import Steps, even_numbers
from saliency.metrics.removal import AreaMetric


class Insertion(AreaMetric):
    r"""Insertion: the area under f as the most relevant features are put back first.

    .. math:: \int_0^1 f\bigl(r \text{ with the share } a
            \text{ of the most relevant groups of } x\bigr)\, da

    Petsiuk, Das and Saenko (2018), "RISE: randomized input sampling for explanation of
    black-box models", arXiv:1806.07421, section 4.1, by the trapezoidal rule. Theirs is
    of the probability, and has a blurred image as reference: pass ``eval_fun=lambda x:
    F.softmax(model(x))`` and ``reference=GaussianBlur(5)``. A larger area is better: f
    rises early.

    For a sum of functions of one group each, a random ranking has (f(x) + f(r)) / 2 on
    average, where r is the reference.

    Args:
        reference: As in :class:`~saliency.metrics.metric.ReferenceMetric`.

    The other arguments are those of
    :class:`~saliency.metrics.removal.RemovalMetric`.
    """

    _larger_is_better = True

    def _steps(self, n_group: int) -> Steps:
        # From the example as it is back to the reference: the least relevant go first.
        n_present = even_numbers(n_group, self.n_steps, 1.0)
        return Steps.of_one_order(n_group - n_present[::-1], is_least=True)

    def _curve(
        self, scores: np.ndarray, n_group: int, steps: Steps
    ) -> tuple[np.ndarray, np.ndarray]:
        return scores[::-1], (n_group - steps.n_absent[::-1]) / n_group

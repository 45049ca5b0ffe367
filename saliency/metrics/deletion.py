"""Deletion: the area under f as the most relevant features are removed."""

from __future__ import annotations

import numpy as np

from saliency.metrics.ranking import Steps, even_numbers
from saliency.metrics.removal import AreaMetric


class Deletion(AreaMetric):
    r"""Deletion: the area under f as the most relevant features are removed first.

    .. math:: \int_0^1 f\bigl(x \text{ without its share } a
            \text{ of the most relevant groups}\bigr)\, da

    Petsiuk, Das and Saenko (2018), "RISE: randomized input sampling for explanation of
    black-box models", arXiv:1806.07421, section 4.1, by the trapezoidal rule. Theirs is
    of the probability, and has a reference of 0: pass ``eval_fun=lambda x:
    F.softmax(model(x))``. A smaller area is better: f falls early.

    For a sum of functions of one group each, a random ranking has (f(x) + f(r)) / 2 on
    average, where r is the reference.

    Args:
        reference: As in :class:`~saliency.metrics.metric.ReferenceMetric`.

    The other arguments are those of
    :class:`~saliency.metrics.removal.RemovalMetric`.
    """

    _larger_is_better = False

    def _steps(self, n_group: int) -> Steps:
        n_absent = even_numbers(n_group, self.n_steps, 1.0)
        return Steps.of_one_order(n_absent, is_least=False)

    def _curve(
        self, scores: np.ndarray, n_group: int, steps: Steps
    ) -> tuple[np.ndarray, np.ndarray]:
        return scores, steps.n_absent / n_group

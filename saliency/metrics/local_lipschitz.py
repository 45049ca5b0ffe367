"""Local Lipschitz estimate: how steeply an explanation changes near an example."""

from __future__ import annotations

import numpy as np

from saliency.metrics.neighbours import NeighbourMetric, Neighbours


class LocalLipschitz(NeighbourMetric):
    r"""Local Lipschitz estimate: how steeply an explanation changes near an example.

    .. math:: \max_{\|y - x\|_\infty \le r}
            \frac{\|\Phi(y) - \Phi(x)\|_2}{\|y - x\|_2}

    Alvarez-Melis and Jaakkola (2018), "On the robustness of interpretability methods",
    arXiv:1806.08049, eq. 2, estimated by the largest of ``n_samples`` draws. It has the
    units of the scores: methods whose scores have other units cannot be compared.

    Args:
        radius (float): r.

    The other arguments are those of
    :class:`~saliency.metrics.neighbours.NeighbourMetric`.
    """

    def _ratios(
        self, changes: np.ndarray, first: np.ndarray, near: Neighbours
    ) -> np.ndarray:
        if not near.distances.all():
            raise ValueError(
                f"radius={self.radius!r} does not change example "
                f"{int((near.distances == 0).argmax())}, since it is less than what "
                "its dtype tells apart; pass a larger one, or data.astype(np.float64)"
            )
        return changes / near.distances

"""Max-sensitivity: how far an explanation changes, at most, near an example."""

from __future__ import annotations

import numpy as np

from saliency.metrics.neighbours import NeighbourMetric, Neighbours, norm


class MaxSensitivity(NeighbourMetric):
    r"""Max-sensitivity: how far an explanation changes, at most, near an example.

    .. math:: \max_{\|y - x\|_\infty \le r}
            \frac{\|\Phi(y) - \Phi(x)\|}{\|\Phi(x)\|}

    Yeh et al. (2019), "On the (in)fidelity and sensitivity of explanations",
    arXiv:1901.09392, definition 3.1, estimated by the largest of ``n_samples`` draws.
    The division by the norm of the explanation, which makes methods of different units
    comparable, is that of their experiments and of Captum.

    Args:
        relative (bool): Whether the change is divided by the norm of the explanation.
        radius (float): r.

    The other arguments are those of
    :class:`~saliency.metrics.neighbours.NeighbourMetric`. A relative change of an
    explanation that is 0 at the example is an error, unless it is 0 nearby as well.
    """

    relative: bool = True

    def _ratios(
        self, changes: np.ndarray, first: np.ndarray, near: Neighbours
    ) -> np.ndarray:
        if not self.relative:
            return changes
        norms = np.array([norm(map_) for map_ in first])
        is_undefined = (norms == 0) & (changes > 0)
        if is_undefined.any():
            raise ValueError(
                f"the scores of example {int(is_undefined.argmax())} are all 0, and "
                "change nearby, so that there is no relative change; pass "
                "relative=False"
            )
        return changes / np.where(norms > 0, norms, 1)

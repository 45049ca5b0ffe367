"""XGrad-CAM: Grad-CAM whose weights are means over where the maps are active."""

from __future__ import annotations

from saliency.array_types import Array
from saliency.calculator.grad_cam_calculator import GradCAMCalculator

import chainer


class XGradCAMCalculator(GradCAMCalculator):
    r"""XGrad-CAM: Grad-CAM whose weights are means over where the maps are active.

    .. math::
        \alpha_k^c = \sum_{i, j} \frac{A_{ij}^k}{\sum_{a, b} A_{ab}^k}
            \frac{\partial y^c}{\partial A_{ij}^k}, \quad
        L^c = \mathrm{ReLU}\left(\sum_k \alpha_k^c A^k\right)

    Fu et al. (2020), "Axiom-based Grad-CAM: towards accurate visualization and
    explanation of CNNs", arXiv:2008.02312. With these weights, the sum of a map times
    its weight is that of the map times its gradient, so that nothing is lost by the
    mean. Where the gradient of each map is the same everywhere, as behind global
    average pooling, it is Grad-CAM. A map that adds up to 0 has the weight 0.

    The maps :math:`A^k`, the arguments and what is raised are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`.
    """

    def weighted(self, A: Array, gradients: Array) -> Array:
        """Return the sum over channels of the maps times their weights."""
        xp = chainer.backend.get_array_module(A)
        places = tuple(range(2, A.ndim))
        total = A.sum(axis=places, keepdims=True)
        alpha = (A * gradients).sum(axis=places, keepdims=True)
        alpha = xp.where(total == 0, 0, alpha / xp.where(total == 0, 1, total))
        maps: Array = (alpha * A).sum(axis=1)
        return maps

"""Grad-CAM++: Grad-CAM with weights that see each of several objects."""

from __future__ import annotations

from saliency.array_types import Array
from saliency.calculator.grad_cam_calculator import GradCAMCalculator


class GradCAMPlusPlusCalculator(GradCAMCalculator):
    r"""Grad-CAM++: Grad-CAM with weights that see each of several objects.

    .. math::
        w_k^c = \sum_{i, j} \alpha_{ij}^{kc}
            \mathrm{ReLU}\left(\frac{\partial S^c}{\partial A_{ij}^k}\right), \quad
        \alpha_{ij}^{kc} = \frac{(\partial S^c / \partial A_{ij}^k)^2}
            {2 (\partial S^c / \partial A_{ij}^k)^2
             + \sum_{a, b} A_{ab}^k (\partial S^c / \partial A_{ij}^k)^3}, \quad
        L^c = \mathrm{ReLU}\left(\sum_k w_k^c A^k\right)

    Chattopadhay et al. (2018), "Grad-CAM++: generalized gradient-based visual
    explanations for deep convolutional networks", arXiv:1710.11063; the closed form of
    :math:`\alpha` is eq. 19, where :math:`Y^c = \exp(S^c)` is explained and the score
    :math:`S^c` is piecewise linear in the maps. The gradient of :math:`Y^c` is that of
    the score times :math:`\exp(S^c)`, which is the same for the whole map of an image.
    It is left out here, as in most implementations: it overflows for large scores, and
    pictures are scaled anyway. So explain scores rather than probabilities.

    The maps :math:`A^k`, the arguments and what is raised are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`. ``compute``
    also raises a ValueError where a denominator of :math:`\alpha` is not positive,
    which maps without a ReLU may lead to.
    """

    def weighted(self, A: Array, gradients: Array) -> Array:
        """Return the sum of the maps times their weights (eqs. 5, 19)."""
        places = tuple(range(2, A.ndim))
        positive = gradients.clip(min=0)
        # The denominator of eq. 19, divided by the square of the gradient. Where that
        # is 0 or less, the pixel has no part in the sum.
        denominator = 2 + positive * A.sum(axis=places, keepdims=True)
        if bool((denominator <= 0).any()):
            raise ValueError(
                "Grad-CAM++ has no weights for the maps of layer: one adds up to less "
                "than 0, and the denominator of its alpha is not positive; choose a "
                "layer with a ReLU behind it, or another method, such as LayerCAM"
            )
        w = (positive / denominator).sum(axis=places, keepdims=True)
        maps: Array = (w * A).sum(axis=1)
        return maps

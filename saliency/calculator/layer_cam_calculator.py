"""LayerCAM: each pixel of the feature maps with the positive part of its gradient."""

from __future__ import annotations

from saliency.array_types import Array
from saliency.calculator.grad_cam_calculator import GradCAMCalculator


class LayerCAMCalculator(GradCAMCalculator):
    r"""LayerCAM: each pixel of the feature maps with its gradient's positive part.

    .. math::
        L^c = \mathrm{ReLU}\left(\sum_k
            \mathrm{ReLU}\left(\frac{\partial y^c}{\partial A^k}\right)
            \odot A^k\right)

    Jiang et al. (2021), "LayerCAM: exploring hierarchical class activation maps for
    localization", IEEE Transactions on Image Processing 30, doi:10.1109/TIP.2021.
    3089943. It is made for layers near the input as well, whose maps are fine: there
    the mean gradient that Grad-CAM takes says little of a single pixel. Pass several
    layers, ``layer=['conv3_3', 'conv4_3', 'conv5_3']``, for the mean of their maps.

    The maps :math:`A^k`, the arguments and what is raised are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`.
    """

    def weighted(self, A: Array, gradients: Array) -> Array:
        """Return the sum over channels of the maps times their positive gradients."""
        maps: Array = (gradients.clip(min=0) * A).sum(axis=1)
        return maps

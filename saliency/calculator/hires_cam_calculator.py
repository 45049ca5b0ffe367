"""HiResCAM: each pixel of the feature maps with its own gradient."""

from __future__ import annotations

from saliency.array_types import Array
from saliency.calculator.grad_cam_calculator import GradCAMCalculator


class HiResCAMCalculator(GradCAMCalculator):
    r"""HiResCAM: each pixel of the feature maps with its own gradient.

    .. math::
        L^c = \mathrm{ReLU}\left(
            \sum_k \frac{\partial y^c}{\partial A^k} \odot A^k\right)

    Draelos and Carin (2020), "Use HiResCAM instead of Grad-CAM for faithful
    explanations of convolutional neural networks", arXiv:2011.08891. The mean over the
    map that Grad-CAM takes of the gradient may move what speaks for a class to places
    that the network did not use; here nothing is moved. Behind global average pooling
    and a linear layer, the gradient is the same everywhere, and both methods give the
    same. The paper's sum keeps its sign; the ReLU is that of Grad-CAM.

    The maps :math:`A^k`, the arguments and what is raised are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`.
    """

    def weighted(self, A: Array, gradients: Array) -> Array:
        """Return the sum over channels of the maps times their gradients."""
        maps: Array = (gradients * A).sum(axis=1)
        return maps

"""Gradient of the output with respect to the target (VanillaGrad)."""

from __future__ import annotations

from typing import Any

from saliency.array_types import Array
from saliency.calculator.ancestor import gradient_core
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.checks import check_bool
from saliency.configured import positional


class GradientCalculator(BaseCalculator):
    r"""The gradient of the output with respect to the target (VanillaGrad).

    .. math:: \partial f_c(x) / \partial x

    Simonyan, Vedaldi and Zisserman (2013), "Deep inside convolutional networks:
    visualising image classification models and saliency maps", arXiv:1312.6034,
    eq. 3-4; for units, Erhan et al. (2009), "Visualizing higher-layer features of a
    deep network".

    With ``noise_sampler`` it is SmoothGrad, with ``train=True`` BayesGrad: see
    :class:`~saliency.calculator.smooth_grad_calculator.SmoothGradCalculator` and
    :class:`~saliency.calculator.bayes_grad_calculator.BayesGradCalculator`.

    Args:
        multiply_target (bool): Whether to multiply the gradient by the target,
            :math:`x \odot \partial f_c(x) / \partial x` (Shrikumar et al. 2016,
            arXiv:1605.01713).

    Raises:
        ValueError: If ``multiply_target`` is not a bool.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    multiply_target: bool = positional(default=False)
    device: Any = positional(default=None)

    shares_start = True

    def check(self) -> None:
        """Raise a ValueError if ``multiply_target`` is not a bool."""
        super().check()
        check_bool("multiply_target", self.multiply_target)

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the gradient of each row, summed over the calls of the target."""
        grads = this.gradients(classes)
        if self.multiply_target:
            grads = [g * this.by_row(x) for g, x in zip(grads, this.origins)]
        return this.of_explained_call(grads)

    def _compute_core(self, *inputs: Any) -> tuple[Array]:
        return gradient_core(self, inputs)

"""SmoothGrad: the gradient, sampled in a neighbourhood of the target."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from saliency.calculator.base_calculator import OWN
from saliency.calculator.common import GaussianNoiseSampler
from saliency.calculator.engine.settings import check_noise_sampler
from saliency.calculator.gradient_calculator import GradientCalculator


class SmoothGradCalculator(GradientCalculator):
    r"""SmoothGrad: the gradient at noisy targets.

    .. math:: \partial f_c(x + \epsilon) / \partial x

    The mean over samples is SmoothGrad: Smilkov et al. (2017), "SmoothGrad:
    removing noise by adding noise", arXiv:1706.03825, section 2.

    Args:
        noise_sampler: Draws :math:`\epsilon`. ``None`` is
            :class:`~saliency.calculator.common.GaussianNoiseSampler` with its
            defaults: 15 % of each example's range of values.

    :meth:`compute` draws 30 samples unless it is told otherwise, and a
    ``noise_sampler`` that it is given takes the place of the calculator's. The other
    arguments are those of
    :class:`~saliency.calculator.gradient_calculator.GradientCalculator`.
    """

    noise_sampler: Any = GaussianNoiseSampler()

    call_defaults = MappingProxyType({"M": 30, "noise_sampler": OWN})

    def check(self) -> None:
        """Raise a TypeError if ``noise_sampler`` draws no noise."""
        super().check()
        check_noise_sampler(self.noise_sampler)

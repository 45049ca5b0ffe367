"""BayesGrad: the gradient, sampled over the posterior of the parameters."""

from __future__ import annotations

from types import MappingProxyType

from saliency.calculator.base_calculator import OWN
from saliency.calculator.gradient_calculator import GradientCalculator


class BayesGradCalculator(GradientCalculator):
    r"""BayesGrad: the gradient of networks drawn from the dropout posterior.

    Sample m is :math:`\partial f_c(x; W^{(m)}) / \partial x` with
    :math:`W^{(m)} \sim p(W | D)` approximated by dropout: Akita et al. (2018),
    "BayesGrad: explaining predictions of graph convolutional networks",
    arXiv:1807.01985. Pass a ``noise_sampler`` to :meth:`compute` for BayesSmoothGrad.

    The model must have been trained with dropout; without, all samples are equal, and
    a warning says so. Or pass another ``posterior`` to :meth:`compute`: an ensemble, or
    SWAG. 30 samples are drawn unless :meth:`compute` is told otherwise. The arguments
    are those of :class:`~saliency.calculator.gradient_calculator.GradientCalculator`.
    """

    call_defaults = MappingProxyType({"M": 30, "train": OWN})

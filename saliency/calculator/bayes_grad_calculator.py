"""BayesGrad: the gradient, sampled over the posterior of the parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.calculator.gradient_calculator import GradientCalculator


class BayesGradCalculator(GradientCalculator):
    r"""Gradients of networks drawn from the dropout posterior.

    Sample m is :math:`\partial f_c(x; W^{(m)}) / \partial x` with
    :math:`W^{(m)} \sim p(W | D)` approximated by dropout: Akita et al. (2018),
    "BayesGrad: explaining predictions of graph convolutional networks",
    arXiv:1807.01985. Pass a ``noise_sampler`` to :meth:`compute` for BayesSmoothGrad.

    The model must have been trained with dropout; without, all samples are alike. Or
    pass another ``posterior`` to :meth:`compute`: an ensemble, or SWAG.
    The arguments are those of
    :class:`~saliency.calculator.gradient_calculator.GradientCalculator`.
    """

    def compute(  # type: ignore[override]
        self, data: Any, M: int = 30, batchsize: int = 16, **settings: Any
    ) -> np.ndarray:
        """Compute M samples, each with parameters of its own.

        ``settings`` are the other arguments of
        :meth:`~saliency.calculator.base_calculator.BaseCalculator.compute`, where
        ``train`` is True unless it or a ``posterior`` is given.
        """
        settings.setdefault("train", settings.get("posterior") is None)
        return super().compute(data, M, batchsize, **settings)

    def compute_aggregate(
        self,
        data: Any,
        M: int = 30,
        method: str = "raw",
        ch_axis: int | tuple[int, ...] | None = None,
        **settings: Any,
    ) -> Any:
        """Compute the mean of M samples, each with parameters of its own.

        ``settings`` are as in :meth:`compute`, with those of
        :meth:`~saliency.calculator.base_calculator.BaseCalculator.compute_aggregate`.
        """
        settings.setdefault("train", settings.get("posterior") is None)
        return super().compute_aggregate(data, M, method, ch_axis, **settings)

"""SmoothGrad: the gradient, sampled in a neighbourhood of the target."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.common import GaussianNoiseSampler
from saliency.calculator.engine.explained_output import ClassIndex
from saliency.calculator.gradient_calculator import GradientCalculator


class SmoothGradCalculator(GradientCalculator):
    r"""Gradients at noisy targets, :math:`\partial f_c(x + \epsilon) / \partial x`.

    Their mean over samples is SmoothGrad: Smilkov et al. (2017), "SmoothGrad:
    removing noise by adding noise", arXiv:1706.03825, section 2.

    Args:
        noise_sampler: Draws :math:`\epsilon`. ``None`` is
            :class:`~saliency.calculator.common.GaussianNoiseSampler` with its
            defaults: 15 % of each example's range of values.

    The other arguments are those of
    :class:`~saliency.calculator.gradient_calculator.GradientCalculator`.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        target_extractor: VariableMonitorLinkHook | None = None,
        output_extractor: VariableMonitorLinkHook | None = None,
        eval_fun: Callable[..., Any] | None = None,
        class_index: ClassIndex = None,
        device: Any = None,
        *,
        multiply_target: bool = False,
        noise_sampler: Any = None,
    ) -> None:
        super().__init__(
            model,
            target_extractor,
            output_extractor,
            eval_fun,
            class_index,
            device,
            multiply_target=multiply_target,
        )
        self.noise_sampler = noise_sampler or GaussianNoiseSampler()

    def compute(  # type: ignore[override]
        self, data: Any, M: int = 30, batchsize: int = 16, **settings: Any
    ) -> np.ndarray:
        """Compute M samples, each with noise of its own.

        ``settings`` are the other arguments of
        :meth:`~saliency.calculator.base_calculator.BaseCalculator.compute`; a
        ``noise_sampler`` among them takes the place of the calculator's.
        """
        settings.setdefault("noise_sampler", self.noise_sampler)
        return super().compute(data, M, batchsize, **settings)

    def compute_aggregate(
        self,
        data: Any,
        M: int = 30,
        method: str = "raw",
        ch_axis: int | tuple[int, ...] | None = None,
        **settings: Any,
    ) -> Any:
        """Compute the mean of M samples, each with noise of its own.

        ``settings`` are as in :meth:`compute`, with those of
        :meth:`~saliency.calculator.base_calculator.BaseCalculator.compute_aggregate`.
        """
        settings.setdefault("noise_sampler", self.noise_sampler)
        return super().compute_aggregate(data, M, method, ch_axis, **settings)

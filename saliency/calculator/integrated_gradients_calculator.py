"""Integrated Gradients: the gradient along the way from a baseline to the target."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import ClassIndex
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import Layout, whole_batch_one_changed
from saliency.calculator.engine.runner import ForwardRunner
from saliency.calculator.paths import quadrature
from saliency.calculator.paths.adaptive_paths import AdaptivePaths
from saliency.calculator.paths.reference import Reference
from saliency.checks import check_choice, check_positive

import chainer


class IntegratedGradientsCalculator(BaseCalculator):
    r"""Integrated Gradients.

    .. math::
        IG_i(x) = (x_i - x'_i) \int_0^1
            \frac{\partial f_c(x' + \alpha (x - x'))}{\partial x_i} d\alpha

    Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks",
    arXiv:1703.01365, eq. 1. The attributions of an example add up to
    :math:`f_c(x) - f_c(x')` (completeness) but for the error of the quadrature, which
    :meth:`convergence_delta` measures.

    Which quadrature depends on the network. Gauss-Legendre is made for smooth ones
    (tanh, sigmoid, softplus): there the attributions of 32 steps are right to many
    digits. The gradient of a ReLU network jumps along the path, and the error of every
    rule with fixed points falls only like 1 / steps; ``'adaptive'`` looks for the
    jumps. At 32 steps its attributions are 100 times nearer to the integral with few
    kinks on the path, and 3 times with 50; given some 16 steps, they add up as they
    must but for rounding. That is by construction, so it does not show how near they
    are: to see that, compare with more steps. It takes 1 to 2 times as long where
    passes are large, and up to 10 times where the network is so small that the choice
    of points counts. Explain class scores rather than probabilities, which saturate.

    Args:
        baseline: :math:`x'`. ``None`` is 0; or a number; an array of the shape of one
            example's target, or one per example; ``'mean'`` of the data; a callable
            that is given targets ``(n_row,) + shape``; or a list of these, over which
            the attributions are averaged (expected gradients, Erion et al. 2021).
        steps (int): Number of points on the path from each baseline.
        method (str): Quadrature: ``'gauss_legendre'``, ``'midpoint'``,
            ``'trapezoid'``, or ``'right'``, the Riemann sum of the article's eq. 3; or
            ``'adaptive'``, for which see
            :class:`~saliency.calculator.paths.adaptive_quadrature.AdaptiveQuadrature`. Its
            points depend on those before, so that fewer rows can be run together, and
            while a path is under way the gradients at its points are kept.

    Raises:
        ValueError: If ``baseline``, ``steps`` or ``method`` is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
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
        baseline: Any = None,
        steps: int = 25,
        method: str = "gauss_legendre",
    ) -> None:
        super().__init__(
            model, target_extractor, output_extractor, eval_fun, class_index, device
        )
        check_positive("steps", steps)
        check_choice("method", method, [*quadrature.RULES, "adaptive"])
        self.steps = steps
        self._adaptive = AdaptivePaths(steps) if method == "adaptive" else None
        if self._adaptive is None:
            self._alpha, self._weight = quadrature.RULES[method](steps)
        baselines = baseline if isinstance(baseline, (list, tuple)) else [baseline]
        if not baselines:
            raise ValueError("baseline is an empty list; it must hold at least one")
        self.baselines = [
            Reference("baseline", 0 if value is None else value) for value in baselines
        ]

    def prepare(self, batches: Batches, runner: ForwardRunner) -> None:
        """Take means over the data where they are baselines."""
        if self._adaptive is not None:
            self._adaptive.clear()
        for baseline in self.baselines:
            baseline.prepare(batches, runner)

    def number_of_steps(self, batch: UserBatch, runner: ForwardRunner) -> int:
        """Return the number of points on the paths from all baselines."""
        return self.steps * len(self.baselines)

    def layout(self) -> Layout:
        """Return the layout in rounds if points depend on those before."""
        return super().layout() if self._adaptive is None else self._adaptive.in_rounds

    def change_target(self, origin: Any, this: ForwardPass) -> Any:
        r"""Return the point of the path, :math:`x' + \alpha (x - x')`."""
        which, point = np.divmod(this.rows.step, self.steps)
        baseline = self.baseline_of_rows(which, origin, this)
        way = origin - baseline
        if this.lengths is not None:
            for row, length in zip(way, this.lengths):
                row[length:] = 0  # padding stays what it is
        this.notes.append(way)
        if self._adaptive is None:
            alpha = self._alpha[point]
        else:
            alpha = self._adaptive.nodes(this.rows)
        return baseline + self._for_rows(alpha, origin) * way

    def contribution(self, this: ForwardPass, classes: np.ndarray | None) -> Any:
        """Return each point's weighted gradient times the way from the baseline."""
        terms = this.of_explained_call(
            [way * grad for way, grad in zip(this.notes, this.gradients(classes))]
        )
        if self._adaptive is None:
            weight = self._weight[this.rows.step % self.steps]
            parts = self._for_rows(weight, terms) * terms
        else:
            parts = self._adaptive.integrals(this, this.scores(classes), terms)
        return parts / len(self.baselines)

    def convergence_delta(
        self, saliency_samples: np.ndarray, data: Any, **settings: Any
    ) -> np.ndarray:
        """Return by how much the attributions miss completeness.

        Args:
            saliency_samples (numpy.ndarray): What ``compute(data, ...)`` returned.
            data: The same data.
            settings: The settings of that call; with ``train``, ``noise_sampler`` or
                ``posterior`` its ``seed`` is needed, so that the samples are the same.

        Returns:
            numpy.ndarray: ``(M, N)``, the sum of the attributions minus
            :math:`f_c(x) - f_c(x')`, in float64.

        Raises:
            ValueError: If the samples are not of this data, or can not be drawn again
                for want of a seed.
        """
        is_random = settings.get("train") or any(
            settings.get(name) is not None for name in ("noise_sampler", "posterior")
        )
        if is_random and settings.get("seed") is None:
            raise ValueError(
                "seed must be the one that compute was called with, to draw the same "
                "noise and networks again; got None"
            )
        settings["M"] = len(saliency_samples)
        difference = _Difference(self).compute(data, **settings)
        if saliency_samples.shape[:2] != difference.shape:
            raise ValueError(
                "saliency_samples must be what compute(data, ...) returned, with "
                f"{difference.shape[1]} examples, got shape {saliency_samples.shape}"
            )
        axes = tuple(range(2, saliency_samples.ndim))
        return np.nansum(saliency_samples, axis=axes, dtype="d") - difference

    def baseline_of_rows(
        self, which: np.ndarray, origin: Any, this: ForwardPass
    ) -> Any:
        """Return for each row the baseline ``which`` says, of ``origin``'s shape."""
        xp = chainer.backend.get_array_module(origin)
        result = xp.empty_like(origin)
        for k in set(which.tolist()):
            values = xp.broadcast_to(self.baselines[k].at(origin, this), origin.shape)
            result[which == k] = values[which == k]
        return result

    def _for_rows(self, values: np.ndarray, array: Any) -> Any:
        """Return one value for each row, broadcastable to ``array``, in its dtype."""
        shape = (-1,) + (1,) * (array.ndim - 1)
        return self.device.send(values.astype(array.dtype).reshape(shape))


class _Difference(BaseCalculator):
    """The difference of scores :math:`f_c(x) - f_c(x')`, averaged over baselines."""

    needs_gradient = False

    def __init__(self, paths: IntegratedGradientsCalculator) -> None:
        super().__init__(
            paths.model,
            paths.target_extractor,
            paths.output_extractor,
            paths.eval_fun,
            paths.class_index,
            paths.device,
        )
        self._paths = paths

    def prepare(self, batches: Batches, runner: ForwardRunner) -> None:
        self._paths.prepare(batches, runner)

    def number_of_steps(self, batch: UserBatch, runner: ForwardRunner) -> int:
        return 1 + len(self._paths.baselines)

    def layout_for_one_value(self) -> Layout:
        return whole_batch_one_changed

    def change_target(self, origin: Any, this: ForwardPass) -> Any:
        step = this.rows.step
        which = np.maximum(step - 1, 0)
        changed = self._paths.baseline_of_rows(which, origin, this)
        changed[step == 0] = origin[step == 0]
        return changed

    def contribution(self, this: ForwardPass, classes: np.ndarray | None) -> Any:
        sign = np.where(this.rows.step == 0, 1, -1 / len(self._paths.baselines))
        return chainer.cuda.to_cpu(this.scores(classes)) * sign

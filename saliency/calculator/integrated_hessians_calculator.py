"""Integrated Hessians: what pairs of features add together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.backprop.padding import right_padding
from saliency.calculator.base_calculator import Samples
from saliency.calculator.baseline_calculator import run_of
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.integrated_gradients_calculator import PathCalculator, Paths
from saliency.calculator.paths import quadrature
from saliency.calculator.paths.completeness import Completeness
from saliency.calculator.paths.reference import ReferenceForData
from saliency.calculator.planes import Wiring
from saliency.checks import is_number
from saliency.configured import takes_settings_of
from saliency.lrp.graph import function_of
from saliency.replaced_methods import MethodsOfThread

import chainer
import chainer.functions as F


class IntegratedHessiansCalculator(PathCalculator):
    r"""Integrated Hessians: what pairs of features add together, for tables.

    Integrated Gradients, explained by Integrated Gradients:
    :math:`\Gamma_{ij} = IG_i(IG_j)(x)`. Janizek, Sturmfels and Lee (2021), "Explaining
    explanations: axiomatic feature interactions for deep networks", JMLR 22. The double
    integral over :math:`\alpha` and :math:`\beta` there is one over their product t,
    which has the density :math:`-\ln t`, so that with :math:`\Delta = x - x'`

    .. math::
        \Gamma_{ij} = \int_0^1 (-\ln t) \left(
            t \Delta_i \Delta_j
            \frac{\partial^2 f_c(x' + t \Delta)}{\partial x_i \partial x_j}
            + [i = j]\, \Delta_i \frac{\partial f_c(x' + t \Delta)}{\partial x_i}
        \right) dt

    The result is a matrix for each example, ``(M, N, n_feature, n_feature)``. It is
    symmetric; its rows add up to the attributions of Integrated Gradients, and all of
    it to :math:`f_c(x) - f_c(x')`. An interaction is the part off the diagonal, where a
    pair counts twice. Each point of the path takes a backward pass for each feature.

    There must be a second derivative. That of ReLU and its kin is 0 but for the kinks,
    which hold all interactions: they are refused, as are SELU and each ELU but that of
    alpha=1, which miss a part. With ``softplus=beta``, each ReLU is
    explained as if it were the smooth :math:`\frac{1}{\beta} \ln(1 + e^{\beta x})`, as
    in the paper. That is another network, the nearer the larger beta is; it then takes
    more steps.

    Args:
        baseline: :math:`x'`, as in :class:`~saliency.IntegratedGradientsCalculator`.
        steps (int): Number of points on the path from each baseline.
        softplus (float or None): Beta, such as 10. None leaves the network as it is.

    Raises:
        ValueError: If ``baseline``, ``steps`` or ``softplus`` is not allowed, or there
            are several targets; in a call, if the target is not of shape
            ``(N, n_feature)``, or a function on the way has no second derivative.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    softplus: float | None = None
    holds_all_arrays = True

    def check(self) -> None:
        """Raise a ValueError if a setting is not allowed."""
        super().check()
        self._subject().refuse_several_targets(type(self).__name__)
        if self.softplus is not None and not (
            is_number(self.softplus) and 0 < self.softplus < np.inf
        ):
            raise ValueError(
                f"softplus must be a number > 0 or None, got {self.softplus!r}"
            )

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        """Return the paths."""
        baselines = [r.for_data(batches, passes) for r in self.references()]
        return _Ways(baselines, self.steps)

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of points on the paths from all baselines."""
        for shape in passes.target_shapes(batch):
            if len(shape) != 2:
                raise ValueError(
                    "Integrated Hessians needs a table, a target of shape (N, "
                    f"n_feature), got shape {tuple(shape)}"
                )
        return super().number_of_steps(run, batch, passes)

    def watch_forward(self, run: Run) -> contextlib.AbstractContextManager[Any]:
        """Return a block in which ReLU is a softplus, if that is asked for."""
        if self.softplus is None:
            return super().watch_forward(run)
        return softened(self.softplus)

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the weighted integrand at each row, ``(n_row, n, n)``."""
        paths = run_of(this.run, _Ways)
        way, alpha = this.kept[0]
        which = this.rows.step // paths.n_point
        scores = this.scores(classes)
        paths.completeness.add(this, alpha, which, scores)
        if not paths.needs_graph(this.rows):
            xp = chainer.backend.get_array_module(way)
            return xp.zeros((*way.shape, way.shape[1]), way.dtype)
        if not paths.has_looked:
            _check_second_derivatives(this)
            paths.has_looked = True

        def terms(at: ForwardPass) -> Array:
            weights = at.weights(classes)
            pairs = zip(at.targets, at.kept.values())
            return at.of_explained_call(
                [_integrand(at.outputs, weights, x, *kept) for x, kept in pairs]
            )

        return paths.integrals(this, terms, scores)

    @takes_settings_of(PathCalculator.convergence_delta)
    def convergence_delta(
        self, saliency_samples: Samples, data: Any, **settings: Any
    ) -> np.ndarray:
        """Return by how much the matrices miss completeness.

        Args:
            saliency_samples (numpy.ndarray): What ``compute(data, ...)`` returned.
            data: The same data.

        Returns:
            numpy.ndarray: ``(M, N)``, the sum of each matrix minus
            :math:`f_c(x) - f_c(x')`, in float64.
        """
        with softened(self.softplus):
            return super().convergence_delta(saliency_samples, data, **settings)


class _Ways(Paths):
    """The paths of one call, with the density of the product of two uniform numbers.

    Args:
        baselines (list of ReferenceForData): Where they begin.
        steps (int): Number of points on each.

    Attributes:
        has_looked (bool): Whether all functions on the way have second derivatives.
    """

    def __init__(self, baselines: list[ReferenceForData], steps: int) -> None:
        super().__init__(baselines, "gauss_legendre", steps)
        self._points = quadrature.with_ends(*quadrature.log_weighted(steps))
        self.completeness = Completeness(
            len(baselines),
            f"Pass more steps than {steps}, or another baseline if the output jumps "
            "at this one, and explain scores rather than probabilities",
        )
        self.has_looked = False


def _integrand(
    outputs: list[Any], weights: list[Array], x: Any, way: Array, t: np.ndarray
) -> Array:
    """Return the integrand at each row, without its density."""
    xp = chainer.backend.get_array_module(way)
    n = way.shape[1]
    hessian = xp.zeros((*way.shape, n), way.dtype)
    with chainer.using_config("enable_backprop", True), right_padding():
        (gradient,) = chainer.grad(
            outputs,
            [x],
            grad_outputs=[chainer.Variable(w) for w in weights],
            enable_double_backprop=True,
        )
        if gradient is None:
            return hessian
        for i in range(n):
            (row,) = chainer.grad([F.sum(gradient[:, i])], [x])
            if row is not None:
                hessian[:, i] = row.array
    device = chainer.backend.get_device_from_array(way)
    t_of_rows = device.send(t.astype(way.dtype))[:, None, None]
    integrand = t_of_rows * way[:, :, None] * way[:, None] * hessian
    diagonal = xp.arange(n)
    integrand[:, diagonal, diagonal] += way * gradient.array
    return integrand


# Functions whose derivative jumps: what it is beside the kinks misses interactions.
_WITH_KINKS = (
    F.activation.clipped_relu.ClippedReLU,
    F.activation.crelu.CReLU,
    F.activation.hard_sigmoid.HardSigmoid,
    F.activation.leaky_relu.LeakyReLU,
    F.activation.prelu.PReLUFunction,
    F.activation.relu.ReLU,
    F.activation.rrelu.RReLU,
    F.loss.absolute_error.AbsoluteError,
    F.loss.mean_absolute_error.MeanAbsoluteError,
    F.math.basic_math.Absolute,
    F.math.clip.Clip,
    F.math.maximum.Maximum,
    F.math.minimum.Minimum,
    F.math.minmax.Max,
    F.math.minmax.Min,
    F.pooling.max_pooling_nd.MaxPoolingND,
)


def _check_second_derivatives(this: ForwardPass) -> None:
    """Raise a ValueError if a function between target and output has none."""
    for function in Wiring(this.outputs).functions_above(this.targets):
        inner = function_of(function)
        name = type(inner).__name__
        if isinstance(inner, _WITH_KINKS):
            instead = "replace it by a smooth function"
            if isinstance(inner, F.activation.relu.ReLU):
                instead = "pass softplus=10, which smooths each ReLU"
            raise ValueError(
                f"Integrated Hessians needs second derivatives, and that of {name} is "
                f"0 beside its kinks, which hold all interactions; {instead}"
            )
        # Its slope at 0 is alpha from the left, and 1 from the right.
        if isinstance(inner, F.activation.elu.ELU) and inner.alpha != 1:
            raise ValueError(
                "Integrated Hessians needs second derivatives, but the slope of ELU "
                f"with alpha={inner.alpha:.4g} jumps at 0, where interactions would be "
                "missed, as those of SELU; choose alpha=1, or a smooth function"
            )
        if isinstance(inner, chainer.Function):
            raise ValueError(
                "Integrated Hessians needs second derivatives, but Chainer takes none "
                f"of {name}, an old-style Function; make it a FunctionNode"
            )


class _Beta(threading.local):
    value: float = 1.0


_beta = _Beta()


def _as_softplus(relu: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (F.softplus(inputs[0], _beta.value),)


_softplus_for_relu = MethodsOfThread({(F.activation.relu.ReLU, "apply"): _as_softplus})


@contextlib.contextmanager
def softened(beta: float | None) -> Iterator[None]:
    """Return a block in which this thread applies softplus in the place of ReLU.

    Args:
        beta (float or None): That of the softplus; None leaves ReLU as it is.
    """
    if beta is None:
        yield
        return
    outer = _beta.value
    _beta.value = beta
    try:
        with _softplus_for_relu.replaced():
            yield
    finally:
        _beta.value = outer

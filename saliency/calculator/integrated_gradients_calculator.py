"""Integrated Gradients: the gradient along the way from a baseline to the target."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import numpy as np

from saliency.array_types import Array
from saliency.calculator.baseline_calculator import (
    BaselineCalculator,
    baseline_of_rows,
    run_of,
)
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import PassPlan, Rows, folded_apart
from saliency.calculator.engine.run import Run
from saliency.calculator.paths import quadrature
from saliency.calculator.paths.adaptive_paths import AdaptivePaths
from saliency.calculator.paths.completeness import Completeness, CompleteRun
from saliency.calculator.paths.reference import ReferenceForData
from saliency.calculator.paths.straight import for_rows, way_from
from saliency.checks import check_choice, check_positive
from saliency.configured import positional

import chainer


class PathCalculator(BaselineCalculator):
    r"""Integrates along the straight ways from baselines to the target.

    Args:
        steps (int): Number of points on the path from each baseline.

    The other arguments are those of
    :class:`~saliency.calculator.baseline_calculator.BaselineCalculator`.
    """

    steps: int = positional(default=25)
    device: Any = positional(default=None)

    def check(self) -> None:
        """Raise a ValueError if ``steps`` is not allowed."""
        super().check()
        check_positive("steps", self.steps)

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of points on the paths from all baselines."""
        self.check_list(batch, passes)
        paths = run_of(run, Paths)
        paths.completeness.begin(batch.start, batch.size)
        return paths.n_point * len(paths.baselines)

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        r"""Return the point of the path, :math:`x' + \alpha (x - x')`."""
        paths = run_of(this.run, Paths)
        which = this.rows.step // paths.n_point
        baseline = baseline_of_rows(paths.baselines, which, origin, this, call)
        way = way_from(baseline, origin, this)
        alpha = paths.alpha(this.rows)
        this.kept[call] = way, alpha
        return baseline + for_rows(alpha, origin) * way


class IntegratedGradientsCalculator(PathCalculator):
    r"""Integrated Gradients: what each element adds, compared with a baseline.

    .. math::
        IG_i(x) = (x_i - x'_i) \int_0^1
            \frac{\partial f_c(x' + \alpha (x - x'))}{\partial x_i} d\alpha

    Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks",
    arXiv:1703.01365, eq. 1. The attributions of an example add up to
    :math:`f_c(x) - f_c(x')` (completeness) but for the error of the quadrature, which
    :meth:`convergence_delta` measures. Several targets move together, from their
    baselines to their values, and it is the attributions of all of them that add up.
    Where the output jumps along the path, no gradient tells of the jump, and they do
    not: layer normalization and ``F.normalize`` jump at a baseline of zeros. Where
    attributions are far from adding up, one warning names the example that is furthest
    off. For that the scores at both ends of each path are computed, which takes two
    forward passes besides ``steps`` (none for methods that have nodes at both ends).

    Which quadrature depends on the network. Gauss-Legendre is made for smooth ones
    (tanh, sigmoid, softplus): there the attributions of 32 steps are right to many
    digits. The gradient of a ReLU network jumps along the path, and the error of every
    rule with fixed points falls only like 1 / steps; ``'adaptive'`` looks for the
    jumps. At 32 steps its attributions are 100 times nearer to the integral with few
    kinks on the path, and 3 times with 50; given some 16 steps, they add up as they
    must but for rounding, if the output does not jump. The weights of the points are
    chosen so, which does not show how near the attributions are: to see that, compare
    with more steps. It takes 1 to 2 times as long where
    passes are large, and up to 10 times where the network is so small that the choice
    of points counts. Explain class scores rather than probabilities, which saturate.

    Args:
        baseline: :math:`x'`. ``None`` is 0; or a number; an array of the shape of one
            example's target, or one per example; ``'mean'`` of the data; a callable
            that is given targets ``(n_row,) + shape``; or a list of these, over which
            the attributions are averaged (expected gradients, Erion et al. 2021). A
            list of as many numbers as a target has elements is refused, since it may be
            meant as an array. With several targets, a tuple has one for each of them.
        steps (int): Number of points on the path from each baseline.
        method (str): Quadrature: ``'gauss_legendre'``, ``'midpoint'``,
            ``'trapezoid'``, or ``'right'``, the Riemann sum of the article's eq. 3; or
            ``'adaptive'``, for which see the module
            ``saliency.calculator.paths.adaptive_quadrature``. Its
            points depend on those before, so that fewer rows can be run together, and
            while a path is under way the gradients at its points are kept.

    Raises:
        ValueError: If ``baseline``, ``steps`` or ``method`` is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    method: str = "gauss_legendre"

    def check(self) -> None:
        """Raise a ValueError if a setting of the paths is not allowed."""
        super().check()
        check_choice("method", self.method, [*quadrature.RULES, "adaptive"])
        _points(self.method, self.steps)

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        """Return the paths, with means over the data where they are baselines."""
        baselines = [r.for_data(batches, passes) for r in self.references()]
        return Paths(baselines, self.method, self.steps)

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return each point's weighted gradient times the way from the baseline."""
        paths = run_of(this.run, Paths)
        _, alpha = this.kept[0]
        which = this.rows.step // paths.n_point
        scores = this.once("scores", lambda: this.scores(classes))
        this.once(
            "completeness", lambda: paths.completeness.add(this, alpha, which, scores)
        )
        if not paths.needs_graph(this.rows):
            way, _ = this.kept[0]
            return chainer.backend.get_array_module(way).zeros_like(way)

        def terms(at: ForwardPass) -> Array:
            grads = at.gradients(classes)
            ways = [way for way, _ in at.kept.values()]
            return at.of_explained_call([way * g for way, g in zip(ways, grads)])

        return paths.integrals(this, terms, scores)


class Paths(CompleteRun):
    """The paths of one call, and how well their integrals add up.

    Both ends of a path are among its points, also where the quadrature has no node
    there. Then they weigh nothing, and need no gradient: the scores there tell what the
    attributions must add up to.

    Args:
        baselines (list of ReferenceForData): Where they begin.
        method (str): Quadrature.
        steps (int): Number of points on each that it needs.

    Attributes:
        baselines (list of ReferenceForData): Where they begin.
        n_point (int): Number of points on each path, with both ends.
    """

    def __init__(
        self, baselines: list[ReferenceForData], method: str, steps: int
    ) -> None:
        self._points = points = _points(method, steps)
        plan: PassPlan
        if isinstance(points, AdaptivePaths):
            plan = points.in_rounds
            self.n_point = steps
        else:
            plan = partial(folded_apart, self._weigh_nothing)
            self._points = points = quadrature.with_ends(*points)
            self.n_point = len(points[0])
        self.baselines = baselines
        more = f"more steps than {steps}"
        if method != "adaptive":
            more += " or method='adaptive'"
        advice = (
            "If the output jumps at the baseline (a normalization of zeros does) or on "
            "the way from there, no gradient tells of that: pass another baseline. If "
            f"not, pass {more}, and explain scores rather than probabilities"
        )
        super().__init__(Completeness(len(baselines), advice), plan)

    def needs_graph(self, rows: Rows) -> bool:
        """Tell whether a pass of these rows keeps its graph."""
        return not self._weigh_nothing(rows).all()

    def alpha(self, rows: Rows) -> np.ndarray:
        """Return where on its path each row is, from 0 to 1."""
        if isinstance(self._points, AdaptivePaths):
            return self._points.nodes(rows)
        nodes, _ = self._points
        alpha: np.ndarray = nodes[rows.step % self.n_point]
        return alpha

    def integrals(
        self, this: ForwardPass, terms: Callable[[ForwardPass], Array], scores: Array
    ) -> Array:
        """Return what each row adds to the mean of the integrals over all paths.

        Args:
            this (ForwardPass): The pass.
            terms (callable): Gives the integrand at each row, ``(n_row,) + shape``, for
                the target that a pass is seen from.
            scores (array): The explained score of each row.
        """
        points = self._points
        if isinstance(points, AdaptivePaths):
            # All targets go along one path, whose points depend on all.
            of_targets = this.once(
                "integrals",
                lambda: points.integrals(
                    this,
                    scores,
                    [terms(this.at_target(i)) for i in range(this.n_target)],
                ),
            )
            parts = of_targets[this.position]
        else:
            _, weights = points
            weight = weights[this.rows.step % self.n_point]
            integrand = terms(this)
            parts = for_rows(weight, integrand) * integrand
        return parts / len(self.baselines)

    def _weigh_nothing(self, rows: Rows) -> np.ndarray:
        """Tell for each row whether it is an end that the quadrature has no node at."""
        if isinstance(self._points, AdaptivePaths):
            return np.zeros(len(rows), bool)
        _, weights = self._points
        weigh_nothing: np.ndarray = weights[rows.step % self.n_point] == 0
        return weigh_nothing


def _points(method: str, steps: int) -> quadrature.NodesAndWeights | AdaptivePaths:
    """Return the nodes and weights of a method, or what chooses them on the way."""
    if method == "adaptive":
        return AdaptivePaths(steps)
    return quadrature.nodes_and_weights(method, steps)

"""Guided IG: a path that the model chooses, on which noise has less to say."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

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
from saliency.calculator.engine.run import Run
from saliency.calculator.paths.adaptive_paths import in_rounds, paths_of
from saliency.calculator.paths.completeness import Completeness, CompleteRun
from saliency.calculator.paths.increments import Increments, Path
from saliency.calculator.paths.reference import ReferenceForData
from saliency.calculator.paths.straight import way_from
from saliency.checks import check_positive, is_number
from saliency.configured import positional

import chainer


class GuidedIntegratedGradientsCalculator(BaselineCalculator):
    r"""Guided IG: Integrated Gradients on a path that the model chooses.

    .. math::
        GIG_i(x) = \int_0^1 \frac{\partial f_c(\gamma(\alpha))}{\partial \gamma_i}
            \frac{\partial \gamma_i}{\partial \alpha} d\alpha

    Kapishnikov et al. (2021), "Guided Integrated Gradients: an adaptive path method for
    removing noise", arXiv:2106.09788, algorithm 1. Each step takes the path
    :math:`\gamma` nearer to the target by the same share of the distance
    :math:`\|x - x'\|_1`, and moves those features first to which the output is the
    least sensitive, so that the path keeps away from where large gradients add noise.
    No feature is ever further than ``max_distance`` from the straight path.

    The attributions of an example add up to :math:`f_c(x) - f_c(x')` but for the error
    of the sum, in which each step counts with the mean of the gradients at both its
    ends; where they are far from that, a warning says so. Of a linear function they are
    those of Integrated Gradients.

    Args:
        baseline: :math:`x'`, as in :class:`~saliency.IntegratedGradientsCalculator`.
        steps (int): Into how many steps the path from each baseline is divided.
        fraction (float): Which share of the features is moved at a time, those with the
            smallest gradients.
        max_distance (float): By how much of its way a feature may be ahead of the
            straight path or behind it, from 0 to 1. With 0, the path is straight.

    Raises:
        ValueError: If one of them is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    steps: int = positional(default=50)
    fraction: float = 0.25
    max_distance: float = 0.02

    def check(self) -> None:
        """Raise a ValueError if a setting of the path is not allowed."""
        super().check()
        check_positive("steps", self.steps)
        for name, low in (("fraction", "above 0"), ("max_distance", "from 0")):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value <= 1) or (
                value == 0 and name == "fraction"
            ):
                raise ValueError(f"{name} must be a number {low} to 1, got {value!r}")

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        """Return the paths, with means over the data where they are baselines."""
        baselines = [r.for_data(batches, passes) for r in self.references()]
        step = Step(self.steps, self.fraction, self.max_distance)
        return GuidedPaths(baselines, step)

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of points on the paths from all baselines."""
        self.check_list(batch, passes)
        paths = run_of(run, GuidedPaths)
        paths.begin(batch)
        return paths.n_point * len(paths.baselines)

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the point of each path, the first of which is the baseline."""
        paths = run_of(this.run, GuidedPaths)
        which = this.rows.step // paths.n_point
        baseline = baseline_of_rows(paths.baselines, which, origin, this, call)
        way = way_from(baseline, origin, this)
        point = paths.points(this, baseline, origin)
        this.kept[call] = way, point
        return point.astype(origin.dtype)

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return what each step of a path adds, in the row at its end."""
        paths = run_of(this.run, GuidedPaths)
        gradients = this.once("gradients", lambda: self._advance(this, classes))
        _, points = zip(*this.kept.values())
        point = this.of_explained_call(list(points))
        of_rows = [(this.position, *p) for p in paths_of(this.rows, paths.n_point)]
        t = this.rows.step % paths.n_point
        parts = paths.increments.add(of_rows, t, point, gradients[this.position])
        return parts / len(paths.baselines)

    def _advance(self, this: ForwardPass, classes: Explained) -> list[Array]:
        """Take each path to its next point; return the gradients of all targets."""
        paths = run_of(this.run, GuidedPaths)
        which, t = np.divmod(this.rows.step, paths.n_point)
        paths.completeness.add(this, t / self.steps, which, this.scores(classes))
        ways, gradients = [], []
        for position in range(this.n_target):
            at = this.at_target(position)
            of_calls, _ = zip(*at.kept.values())
            ways.append(at.of_explained_call(list(of_calls)))
            gradients.append(at.of_explained_call(at.gradients(classes)))
        paths.advance(this, ways, gradients)
        return gradients


#: Of the whole distance; less than that is not missing.
_ROUNDING = 1e-12


class Step:
    """How a path goes on.

    Args:
        n_step (int): Into how many steps it is divided.
        fraction (float): Which share of the features is moved at a time.
        max_distance (float): How far from the straight path a feature may be.

    Attributes:
        n_step (int): The same.
    """

    def __init__(self, n_step: int, fraction: float, max_distance: float) -> None:
        self.n_step = n_step
        self._fraction = fraction
        self._max_distance = max_distance

    def next_points(
        self, t: int, x: np.ndarray, way: np.ndarray, gradient: np.ndarray
    ) -> np.ndarray:
        """Return the points of some paths after these, by algorithm 1.

        Args:
            t (int): Which points they are, from 0.
            x (numpy.ndarray): How far from the baseline each is, ``(n, n_feature)``, in
                float64.
            way (numpy.ndarray): How far the target is.
            gradient (numpy.ndarray): Of the score at the point.

        Returns:
            numpy.ndarray: How far from the baseline the next ones are.
        """
        alpha = (t + 1) / self.n_step
        low = max(alpha - self._max_distance, 0) * way
        high = min(alpha + self._max_distance, 1) * way
        x = np.where(abs(x) < abs(low), low, x)  # what has fallen too far behind
        total = abs(way).sum(axis=1)
        nth = int(self._fraction * (x.shape[1] - 1))
        under_way = np.arange(len(x))
        while True:
            here, end = x[under_way], high[under_way]
            missing = abs(way[under_way] - here).sum(axis=1)
            missing -= (1 - alpha) * total[under_way]
            may_move = abs(here) < abs(end)
            goes_on = (missing > _ROUNDING * total[under_way]) & may_move.any(axis=1)
            if not goes_on.any():
                return x
            under_way, missing = under_way[goes_on], missing[goes_on]
            here, end, may_move = here[goes_on], end[goes_on], may_move[goes_on]
            sensitivity = np.where(may_move, abs(gradient[under_way]), np.inf)
            limit = np.partition(sensitivity, nth, axis=1)[:, nth, None]
            moved = may_move & (sensitivity <= limit)
            room = (abs(end - here) * moved).sum(axis=1)
            share = np.minimum(missing / room, 1)[:, None]
            # Exactly to the end where it is the end, so that it is not chosen again.
            goal = np.where(share == 1, end, here + share * (end - here))
            x[under_way] = np.where(moved, goal, here)
            under_way = under_way[share[:, 0] == 1]


class GuidedPaths(CompleteRun):
    """The paths of one call, each with the point that it has come to.

    Args:
        baselines (list of ReferenceForData): Where they begin.
        step (Step): How they go on.

    Attributes:
        baselines (list of ReferenceForData): The same.
        n_point (int): Number of points on each path, with both ends.
        increments (Increments): Adds up what the steps give.
    """

    def __init__(self, baselines: list[ReferenceForData], step: Step) -> None:
        advice = (
            "If the output jumps at the baseline or on the way from there, no gradient "
            "tells of that: pass another baseline. If not, pass more steps than "
            f"{step.n_step}"
        )
        self.n_point = step.n_step + 1
        plan = partial(in_rounds, [1] * self.n_point)
        super().__init__(Completeness(len(baselines), advice), plan)
        self.baselines = baselines
        self.increments = Increments()
        self._step = step
        # How far from its baseline each path has come in each target, in float64.
        self._come: dict[Path, dict[int, np.ndarray]] = {}

    def begin(self, batch: UserBatch) -> None:
        """Get ready for a batch."""
        self.completeness.begin(batch.start, batch.size)
        self.increments.clear()
        self._come.clear()

    def points(self, this: ForwardPass, baseline: Array, origin: Array) -> Array:
        """Return the point of each row's path in a target, in float64.

        Args:
            this (ForwardPass): The pass.
            baseline (array): Where each begins.
            origin (array): The target, where each ends.
        """
        xp = chainer.backend.get_array_module(origin)
        points = baseline.astype(np.float64)
        for row, path in enumerate(paths_of(this.rows, self.n_point)):
            t = this.rows.step[row] % self.n_point
            if t == 0:
                come = np.zeros(origin.shape[1:])
                self._come.setdefault(path, {})[this.position] = come
            elif t + 1 < self.n_point:
                points[row] += xp.asarray(self._come[path][this.position])
            else:
                points[row] = origin[row]
        return points

    def advance(
        self, this: ForwardPass, ways: list[Array], gradients: list[Array]
    ) -> None:
        """Take each row's path to its next point.

        Args:
            this (ForwardPass): The pass.
            ways (list of array): From the baseline of each path to each target.
            gradients (list of array): At the point that it has come to.
        """
        ways, gradients = (
            [chainer.cuda.to_cpu(array).astype(np.float64) for array in of_targets]
            for of_targets in (ways, gradients)
        )
        paths = paths_of(this.rows, self.n_point)
        points = (this.rows.step % self.n_point).tolist()
        alike = defaultdict(list)
        for row, (path, t, *ends) in enumerate(zip(paths, points, *_ends(this))):
            if t + 2 >= self.n_point:  # the next point, if any, is the target
                self._come.pop(path, None)
            else:
                alike[(t, *ends)].append(row)
        for (t, *ends), rows in alike.items():
            parts = [(position, slice(end)) for position, end in enumerate(ends)]
            come = [
                np.stack([self._come[paths[row]][position][part] for row in rows])
                for position, part in parts
            ]
            # All targets are one.
            joined = (
                np.concatenate([array.reshape(len(rows), -1) for array in arrays], 1)
                for arrays in (
                    come,
                    [ways[position][rows, part] for position, part in parts],
                    [gradients[position][rows, part] for position, part in parts],
                )
            )
            found = self._step.next_points(t, *joined)
            stops = np.cumsum([array[0].size for array in come])[:-1]
            of_targets = np.split(found, stops, axis=1)
            for (position, part), array, old in zip(parts, of_targets, come):
                for row, point in zip(rows, array.reshape(old.shape)):
                    self._come[paths[row]][position][part] = point


def _ends(this: ForwardPass) -> list[list[int | None]]:
    """Return for each target where each row ends: what is behind takes no part."""
    lengths = [this.at_target(position).lengths for position in range(this.n_target)]
    return [[None] * len(this.rows) if one is None else one.tolist() for one in lengths]

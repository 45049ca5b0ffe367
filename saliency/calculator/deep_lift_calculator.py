"""DeepLIFT: what each element of the target brings, compared with a baseline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from link_hooks import RetainOutputHook
from saliency.array_types import Array
from saliency.calculator.baseline_calculator import (
    AdditiveCalculator,
    BaselineSettings,
    baseline_of_rows,
    run_of,
)
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.graph_calculator import GraphCalculator, GraphRun
from saliency.calculator.paths.background import Background
from saliency.calculator.paths.completeness import Completeness, CompleteRun
from saliency.calculator.paths.reference import ReferenceForData
from saliency.deep_lift.walk import walk
from saliency.lrp.graph import Graph, Relevances

# Sums of contributions are exact but for rounding: what misses them by more than this
# share of the difference got lost where the graph is cut.
_FAR = 0.01
_ADVICE = (
    "Something that depends on the target is cut off from the graph (.array, argmax, "
    "a condition), and differs at the baseline: keep it in the graph, or pass another "
    "baseline"
)


class ByMultipliers(AdditiveCalculator, GraphCalculator):
    """Compares passes at x with those at references, function by function.

    The arguments are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    # A constant state brings nothing, whether it is part of a variable or not.
    reads_graph = False

    def start(self, batches: Batches, passes: CleanPasses) -> DeepLiftRun:
        """Return the baselines, with means over the data where they are asked for."""
        return DeepLiftRun([r.for_data(batches, passes) for r in self.references()])

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of baselines."""
        self.check_list(batch, passes)
        own = run_of(run, DeepLiftRun)
        own.completeness.begin(batch.start, batch.size)
        return len(own.baselines)

    @contextlib.contextmanager
    def watch_forward(self, run: Run) -> Iterator[None]:
        """Keep what the functions of a pass are applied to, at x or at the baseline."""
        hook = run_of(run, DeepLiftRun).hook_of_pass
        hook.clear()
        with hook:
            yield

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target itself, or the baseline in the pass that has it."""
        run = run_of(this.run, DeepLiftRun)
        if not run.is_at_baseline:
            return origin
        return baseline_of_rows(run.baselines, this.rows.step, origin, this, call)

    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        """Return the contributions of the targets, over the number of baselines."""
        run = run_of(this.run, DeepLiftRun)
        assert this.again is not None  # the engine has given it
        with run.at_baseline():
            there = this.again()
            for alpha, at in ((1, this), (0, there)):
                ends = np.full(len(at.rows), alpha)
                run.completeness.add(at, ends, at.rows.step, at.scores(classes))
            weights = this.weights(classes)
            found = walk(graph, weights, this.outputs, there.outputs, run.hook0)
        # By node, since a link may be given one and the same variable twice.
        arrays = {
            x.node: (x.array, x0.array)
            for x, x0 in zip(this.all_targets, there.all_targets)
        }
        for node, (x, x0) in arrays.items():
            m = found.by_node.get(node)
            if m is not None:
                share = m.dtype.type(1 / len(run.baselines))
                found.by_node[node] = (x - x0) * m * share
        return found


class DeepLiftCalculator(BaselineSettings, ByMultipliers):
    r"""DeepLIFT, Rescale rule: finite differences instead of gradients.

    .. math:: \phi_i = m_i \, (x_i - x_i'), \quad \sum_i \phi_i = f_c(x) - f_c(x')

    Shrikumar, Greenside and Kundaje (2017), "Learning important features through
    propagating activation differences", arXiv:1704.02685, eq. 1 to 3 and section 3.5.1.
    The multipliers m go from the output to the target by the chain rule, as gradients
    do. At each function they are what brings its difference: at an affine one the
    gradient; at an activation :math:`\Delta y / \Delta x`, so that a saturated unit
    passes on what it did between the baseline and here; at a product the mean of the
    other factor; at a maximum all goes to the element that made the difference.
    ``docs/deep_lift_functions.md`` has all of them.

    Functions are found in the graph, however they were written: functional and reused
    ReLU, residual sums, gates, attention, cells of an LSTM. Contributions add up to the
    difference of the scores within rounding; what depends on the target through an
    array that is not in the graph is missing, and one warning says so
    (:meth:`convergence_delta` says by how much). The model is run at x and at x', where
    it must apply the same functions.

    Args:
        baseline: :math:`x'`. ``None`` is 0; or a number; an array of the shape of one
            example's target, or one per example; ``'mean'`` of the data; a callable
            that is given targets ``(n_row,) + shape``; or a list of these, over which
            contributions are averaged, which takes one pass more for each. With several
            targets, a tuple has one for each of them.

    Raises:
        ValueError: If ``baseline`` is none of these. ``compute`` also raises it where a
            function has no multipliers, which it names.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """


class DeepLiftRun(GraphRun, CompleteRun):
    """What one call of DeepLIFT holds.

    Args:
        baselines (list of ReferenceForData): What targets are compared with.

    Attributes:
        hook0 (RetainOutputHook): Has what the functions were applied to at the
            baselines.
        is_at_baseline (bool): Whether the pass under way is that of the baselines.
        background (Background or None): What the baselines are the rows of, if any.
    """

    def __init__(self, baselines: list[ReferenceForData]) -> None:
        super().__init__(Completeness(len(baselines), _ADVICE, _FAR))
        self.baselines = baselines
        self.hook0 = RetainOutputHook()
        self.is_at_baseline = False
        self.background: Background | None = None

    @property
    def hook_of_pass(self) -> RetainOutputHook:
        """The hook of the pass under way."""
        return self.hook0 if self.is_at_baseline else self.hook

    @contextlib.contextmanager
    def at_baseline(self) -> Iterator[None]:
        """Return a block in which passes have the baselines for targets."""
        self.is_at_baseline = True
        try:
            yield
        finally:
            self.is_at_baseline = False
            self.hook0.clear()

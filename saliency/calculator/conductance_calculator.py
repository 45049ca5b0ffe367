"""Conductance: what the output gains through hidden units along a path."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator.baseline_calculator import AdditiveCalculator, run_of
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.hidden_paths import (
    HiddenPaths,
    HiddenPathsCalculator,
    HiddenQuadratureCalculator,
    check_lengths,
    gradient_at,
)
from saliency.calculator.paths.adaptive_paths import paths_of
from saliency.calculator.paths.completeness import Completeness, CompleteRun
from saliency.calculator.paths.increments import Increments
from saliency.calculator.paths.quadrature import NodesAndWeights
from saliency.calculator.paths.straight import for_rows
from saliency.calculator.planes import Wiring
from saliency.checks import check_choice, is_int


class ConductanceCalculator(HiddenPathsCalculator, AdditiveCalculator):
    r"""Conductance of a layer: what the output gains through each of its units.

    .. math::
        Cond_j(x) = \sum_i (x_i - x'_i) \int_0^1
            \frac{\partial f_c(x' + \alpha (x - x'))}{\partial y_j}
            \frac{\partial y_j}{\partial x_i} d\alpha
            = \int_0^1 \frac{\partial f_c}{\partial y_j}
            \frac{d y_j}{d \alpha} d\alpha

    Dhamdhere, Sundararajan and Yan (2018), "How important is a neuron?",
    arXiv:1805.12233, eqs. 2 and 3. As the second form shows, the gradient at the unit
    is integrated over the way of its own activation, which is how Shrikumar et al.
    (2018), "Computationally efficient measures of internal neuron importance",
    arXiv:1807.09946, compute it: no derivative of the layer is needed.

    If all ways from the target to the output lead through the layer, its conductances
    add up to :math:`f_c(x) - f_c(x')`; where they are far from that, a warning says so.
    The saliency has the shape of what the layer gives, ``(M, N) + layer shape``. With
    several targets, all move together, and there is one result.

    Args:
        layer (str, chainer.Link or VariableMonitorLinkHook): Whose units: those that a
            link gives, which may be named by its path in the model, as in ``'l1'``; or
            what a hook reads at its link, which may be its input as well
            (``timing='pre'``) or one of several calls (``call=0``). Activation
            functions are no links: units behind them are the input of the next link.
        baseline: :math:`x'`, of the target; as in
            :class:`~saliency.IntegratedGradientsCalculator`.
        steps (int): Into how many steps the way from each baseline is divided.
        method (str): ``'trapezoid'`` takes the mean of the gradients at both ends of a
            step; ``'left'`` that at its beginning alone, as Captum does.

    Raises:
        TypeError: If ``layer`` is missing, or none of these.
        ValueError: If ``layer``, ``baseline``, ``steps`` or ``method`` is none of
            these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`. ``compute`` also
    raises a ValueError where the layer is called several times and it is not said which
    call is meant.
    """

    method: str = "trapezoid"

    is_of_target = False
    tells_targets_apart = False

    def check(self) -> None:
        """Raise unless the settings are allowed."""
        super().check()
        check_choice("method", self.method, ["trapezoid", "left"])

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        """Return the ways, with means over the data where they are baselines."""
        baselines = [r.for_data(batches, passes) for r in self.references()]
        nodes = np.linspace(0, 1, self.steps + 1)
        points = nodes, np.ones(len(nodes))
        return ConductancePaths(
            baselines, points, self._hook(), Increments(self.method == "left")
        )

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return what each step of a way adds, in the row at its end."""
        paths = run_of(this.run, ConductancePaths)
        h = paths.hidden(this)
        check_lengths(h, this)
        paths.look_at(h, this)
        rows = this.rows
        point, which = rows.step % paths.n_point, rows.step // paths.n_point
        scores = this.scores(classes)
        paths.completeness.add(this, paths.alpha(this), which, scores)
        gradient = gradient_at(h, this, classes)
        of_rows = paths_of(rows, paths.n_point)
        parts = paths.increments.add(of_rows, point, h.array, gradient)
        return for_rows(paths.weight(this), parts) * parts


class ConductancePaths(HiddenPaths, CompleteRun):
    """The ways of one call, and whether conductances add up.

    Args:
        baselines (list of ReferenceForData): Where the ways begin.
        points (tuple of numpy.ndarray): Their points, as in ``HiddenPaths``.
        hook (VariableMonitorLinkHook): Reads the hidden variable.
        increments (Increments): Adds up what the steps give.

    Attributes:
        increments (Increments): The same.
    """

    def __init__(
        self, baselines: Any, points: NodesAndWeights, hook: Any, increments: Increments
    ) -> None:
        advice = (
            "If the output jumps on the way from the baseline, no gradient tells of "
            "that: pass another baseline. If not, pass more steps than "
            f"{len(points[0]) - 1}"
        )
        completeness = Completeness(len(baselines), advice)
        super().__init__(baselines, points, hook, completeness=completeness)
        self.increments = increments
        self._is_cut: bool | None = None  # whether all ways lead through the layer

    def begin(self, batch: UserBatch) -> None:
        """Get ready for a batch."""
        self.completeness.begin(batch.start, batch.size)
        self.increments.clear()

    def look_at(self, h: Any, this: ForwardPass) -> None:
        """See whether all ways from the target to the output lead through the layer."""
        if self._is_cut is None:
            wiring = Wiring(this.outputs)
            self._is_cut = not wiring.leads_around(this.all_targets, h)

    def mean_ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return f(baseline) and f(x) of each example, if all ways lead through."""
        return super().mean_ends() if self._is_cut else None

    def conclude(self) -> None:
        """Give a warning if conductances must add up, and are far from it."""
        if self._is_cut:
            super().conclude()


class NeuronConductanceCalculator(HiddenQuadratureCalculator):
    r"""Conductance of a neuron: what the output gains from each input through it.

    .. math::
        Cond_i^j(x) = (x_i - x'_i) \int_0^1
            \frac{\partial f_c(x' + \alpha (x - x'))}{\partial y_j}
            \frac{\partial y_j}{\partial x_i} d\alpha

    Dhamdhere, Sundararajan and Yan (2018), "How important is a neuron?",
    arXiv:1805.12233, eq. 2. The sum over the inputs is the conductance that
    :class:`ConductanceCalculator` gives for the neuron; that over all neurons of a
    layer is Integrated Gradients, if all ways lead through the layer. The saliency has
    the shape of the target.

    Args:
        layer: As in :class:`ConductanceCalculator`.
        neuron (int or tuple): Which of its units: an index into the axes of what the
            layer gives, behind the batch axis. A tuple of ints and slices is one into
            several axes, as ``(3, slice(None), slice(None))`` for a whole channel,
            whose units are summed.
        baseline: As in :class:`ConductanceCalculator`.
        steps (int): Number of points on the path from each baseline.
        method (str): Quadrature: ``'gauss_legendre'``, ``'midpoint'``,
            ``'trapezoid'`` or ``'right'``, as in
            :class:`~saliency.IntegratedGradientsCalculator`.

    Raises:
        TypeError: If ``layer`` or ``neuron`` is missing, or none of these.
        ValueError: If an argument has none of these values.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    neuron: int | tuple[int | slice, ...]

    def check(self) -> None:
        """Raise unless the settings are allowed."""
        super().check()
        index = self.neuron if isinstance(self.neuron, tuple) else (self.neuron,)
        if not index or not all(is_int(i) or isinstance(i, slice) for i in index):
            raise TypeError(
                "neuron must be an int, or a tuple of ints and slices, got "
                f"{self.neuron!r}"
            )

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return each point's weighted gradient through the neuron times the way."""
        paths = run_of(this.run, HiddenPaths)
        h, through = this.once("neuron", lambda: self._through(this, classes))
        grads = this.gradients_of(h, through)
        terms = this.of_explained_call(
            [way * gradient for way, gradient in zip(this.kept.values(), grads)]
        )
        return for_rows(paths.weight(this), terms) * terms

    def _through(self, this: ForwardPass, classes: Explained) -> tuple[Any, Array]:
        """Return the hidden variable, and the gradient at it that the neuron has."""
        h = run_of(this.run, HiddenPaths).hidden(this)
        index = self.neuron if isinstance(self.neuron, tuple) else (self.neuron,)
        gradient = gradient_at(h, this, classes)
        through = h.xp.zeros_like(gradient)
        try:
            through[(slice(None), *index)] = gradient[(slice(None), *index)]
        except IndexError:
            raise ValueError(
                f"neuron={self.neuron!r} is no index into what the layer gives for an "
                f"example, of shape {h.shape[1:]}"
            ) from None
        return h, through

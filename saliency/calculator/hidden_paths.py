"""Paths of the target that are watched at a hidden variable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Union

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.array_types import Array
from saliency.backprop import gradients
from saliency.calculator.baseline_calculator import (
    BaselineSettings,
    baseline_of_rows,
    run_of,
)
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.grad_cam_calculator import find_layer
from saliency.calculator.paths.quadrature import (
    RULES,
    NodesAndWeights,
    nodes_and_weights,
)
from saliency.calculator.paths.reference import ReferenceForData
from saliency.calculator.paths.straight import for_rows, way_from
from saliency.calculator.planes import Wiring
from saliency.checks import check_choice, check_positive, no_influence
from saliency.configured import positional

import chainer

#: A link, its path in the model, or what reads a variable at it.
HiddenLayer = Union[str, chainer.Link, VariableMonitorLinkHook]


class HiddenPathsCalculator(BaselineSettings):
    """Moves the target on straight ways, and watches a hidden variable.

    The arguments are those of
    :class:`~saliency.ConductanceCalculator`.
    """

    steps: int = positional(default=25)
    layer: HiddenLayer

    def check(self) -> None:
        """Raise unless ``layer``, ``baseline`` and ``steps`` are allowed."""
        super().check()
        self.references()
        check_positive("steps", self.steps)
        self._hook()

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of points on the ways from all baselines."""
        self.check_list(batch, passes)
        paths = run_of(run, HiddenPaths)
        paths.begin(batch)
        return paths.n_point * len(paths.baselines)

    @contextlib.contextmanager
    def watch_forward(self, run: Run) -> Iterator[None]:
        """Catch the hidden variable."""
        with super().watch_forward(run), run_of(run, HiddenPaths).caught():
            yield

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        r"""Return the point of the way, :math:`x' + \alpha (x - x')`."""
        paths = run_of(this.run, HiddenPaths)
        which = this.rows.step // paths.n_point
        baseline = baseline_of_rows(paths.baselines, which, origin, this, call)
        this.kept[call] = way = way_from(baseline, origin, this)
        return baseline + for_rows(paths.alpha(this), origin) * way

    def _hook(self) -> VariableMonitorLinkHook:
        """Return what reads the hidden variable, for one call."""
        name = "saliency/hidden"
        if not isinstance(self.layer, VariableMonitorLinkHook):
            return VariableMonitorLinkHook(find_layer(self.model, self.layer), name)
        given = self.layer
        if given.calls == "stack":
            raise ValueError(
                "layer must read one call of its link, as with call=0, got "
                "calls='stack'"
            )
        return VariableMonitorLinkHook(
            given.target_link, name, given.timing, given.extract_fn, call=given.call
        )


class HiddenQuadratureCalculator(HiddenPathsCalculator):
    """Takes the mean over each way by a quadrature.

    The arguments are those of :class:`~saliency.InternalInfluenceCalculator`.
    """

    method: str = "gauss_legendre"

    def check(self) -> None:
        """Raise unless the settings are allowed."""
        super().check()
        check_choice("method", self.method, RULES)
        nodes_and_weights(self.method, self.steps)

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        """Return the ways, with means over the data where they are baselines."""
        baselines = [r.for_data(batches, passes) for r in self.references()]
        points = nodes_and_weights(self.method, self.steps)
        return HiddenPaths(baselines, points, self._hook())


class HiddenPaths(Run):
    """The ways of one call, and the hidden variable of the pass under way.

    Args:
        baselines (list of ReferenceForData): Where the ways begin.
        points (tuple of numpy.ndarray): Where on each its points are, from 0 to 1, and
            what they weigh.
        hook (VariableMonitorLinkHook): Reads the hidden variable.
        of_run: Arguments of the run behind it, in a subclass that has two bases.

    Attributes:
        baselines (list of ReferenceForData): The same.
        n_point (int): How many points each way has.
    """

    def __init__(
        self,
        baselines: list[ReferenceForData],
        points: NodesAndWeights,
        hook: VariableMonitorLinkHook,
        **of_run: Any,
    ) -> None:
        super().__init__(**of_run)
        self.baselines = baselines
        self.n_point = len(points[0])
        self._nodes, self._weights = points
        self._hook = hook

    def begin(self, batch: UserBatch) -> None:
        """Get ready for a batch; here, there is nothing to do."""

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Return a block for the forward pass, after which the variable is held."""
        self._hook.clear()
        try:
            with self._hook:
                yield
        except BaseException:
            self._hook.clear()
            raise

    def alpha(self, this: ForwardPass) -> np.ndarray:
        """Return where on its way each row of a pass is, from 0 to 1."""
        alpha: np.ndarray = self._nodes[this.rows.step % self.n_point]
        return alpha

    def weight(self, this: ForwardPass) -> np.ndarray:
        """Return what each row of a pass weighs in the mean over all ways."""
        weight: np.ndarray = self._weights[this.rows.step % self.n_point]
        return weight / len(self.baselines)

    def hidden(self, this: ForwardPass) -> Any:
        """Return the hidden variable of a pass, which is not held any longer.

        Raises:
            TypeError: If it is no Variable.
            ValueError: If its link is called several times, it has no row for each of
                the pass, or does not depend on the target.
        """
        hook = self._hook
        name = hook.describe_link()
        try:
            if not hook.variables:
                raise ValueError(
                    f"layer {name} was never called during forward; is it a link of "
                    "this model, and called as link(x) rather than link.forward(x)?"
                )
            if hook.call is None and len(hook.variables) > 1:
                raise ValueError(
                    f"layer {name} is called {len(hook.variables)} times; say which "
                    "call is meant: layer=VariableMonitorLinkHook(link, call=0)"
                )
            h = hook.get_variable(-1 if hook.call is None else hook.call)
        finally:
            hook.clear()
        if not isinstance(h, chainer.Variable):
            raise TypeError(
                f"layer must give a chainer.Variable, but {name} gives "
                f"{type(h).__name__}"
            )
        if h.ndim == 0 or len(h) != len(this.rows):
            raise ValueError(
                f"layer must give a row for each of {len(this.rows)} of the batch, but "
                f"{name} gives shape {h.shape}"
            )
        if h.node not in Wiring(this.outputs).nodes_above(this.all_targets):
            raise ValueError(
                f"what layer {name} gives does not depend on the target, or the output "
                "does not depend on it; choose another layer"
            )
        return h


def check_lengths(h: Any, this: ForwardPass) -> None:
    """Raise a ValueError if examples differ in length, and a hidden variable does not.

    Args:
        h (chainer.Variable): The hidden variable.
        this (ForwardPass): The pass.
    """
    if this.lengths is None:
        return
    shape = this.origins[0].shape
    if h.ndim != len(shape) or h.shape[:2] != shape[:2]:
        raise ValueError(
            f"the examples have different lengths, and the layer gives shape {h.shape} "
            f"for targets of {shape}, so that it cannot be told where examples end in "
            "it; explain them one by one, or choose a layer with the target's axes"
        )


def gradient_at(h: Any, this: ForwardPass, classes: Explained) -> Array:
    """Return the gradient of the scores at a hidden variable.

    Raises:
        ValueError: If no output depends on it.
    """
    (gradient,) = gradients(this.outputs, [h], this.weights(classes))
    if gradient is None:
        raise no_influence()
    return gradient

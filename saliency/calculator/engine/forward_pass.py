"""What one forward pass of a model gave."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Callable, TypeVar

import numpy as np

from saliency.array_types import Array
from saliency.backprop import gradients
from saliency.calculator.engine.explained_output import (
    Explained,
    chosen_scores,
    is_one_value,
    number_of_classes,
    predicted_classes,
    weights_of_classes,
)
from saliency.calculator.engine.rows import NoBatchAxis, Rows
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.shared_start import SharedStart, nodes_behind
from saliency.calculator.engine.stacked_calls import StackedCalls
from saliency.checks import is_finite, no_influence

import chainer

Result = TypeVar("Result")


@dataclass
class Caught:
    """What was caught at one target in a forward pass.

    Attributes:
        lengths (numpy.ndarray or None): Length of each row's target along axis 1,
            where it is padded to that of the longest.
        longest (int or None): That of the longest, in the whole batch.
        stacked (StackedCalls or None): The calls of the target's link, where they are
            one target.
        variables (list of chainer.Variable): Where saliency is read: one variable, or
            one for each call of the target extractor's link.
        origins (list of array): Value of each with its noise, before the calculator
            changed it, ``(n_row,) + shape``. Calls that are stacked are one, with an
            axis for them behind the first.
        kept (dict): What ``change_target`` keeps for ``contribution``, by the number
            of the explained call.
    """

    lengths: np.ndarray | None
    longest: int | None = None
    stacked: StackedCalls | None = None
    variables: list[Any] = field(default_factory=list)
    origins: list[Any] = field(default_factory=list)
    kept: dict[int, Any] = field(default_factory=dict)


@dataclass
class ForwardPass:
    """One forward pass and what was caught in it, seen from one of the targets.

    A method is written for one target: :attr:`targets`, :attr:`origins`, :attr:`kept`
    and :attr:`lengths` are those of the target at :attr:`position`. Where there are
    several, :meth:`at_target` is the same pass seen from another.

    Attributes:
        rows (Rows): The rows that went through.
        index (numpy.ndarray): Index in the data of each row's example.
        run (Run): What this call holds.
        caught (list of Caught): What was caught at each target.
        position (int): Which of the targets this one is.
        outputs (list of chainer.Variable): What is explained; their scores add up.
        drew_random_numbers (bool): Whether the model used the global random state.
        start (SharedStart or None): What the rows of an example share; then targets,
            origins and what is kept have a row for each example instead.
        mean_will_do (bool): Whether gradients of rows that share their start may all
            be their mean.
        again (callable or None): Runs the same rows once more, with the same noise,
            masks and network, and returns that pass; for methods that compare two.
    """

    rows: Rows
    index: np.ndarray
    run: Run
    caught: list[Caught]
    position: int = 0
    outputs: list[Any] = field(default_factory=list)
    drew_random_numbers: bool = False
    start: SharedStart | None = None
    mean_will_do: bool = False
    again: Callable[[], ForwardPass] | None = None
    _of_all_targets: dict[str, Any] = field(default_factory=dict)

    @property
    def targets(self) -> list[Any]:
        """The variables where saliency is read, one for each call of a link."""
        return self.caught[self.position].variables

    @property
    def origins(self) -> list[Any]:
        """Value of each of them with its noise, before the calculator changed it."""
        return self.caught[self.position].origins

    @property
    def kept(self) -> dict[int, Any]:
        """What ``change_target`` keeps for ``contribution``, by number of the call."""
        return self.caught[self.position].kept

    @property
    def lengths(self) -> np.ndarray | None:
        """Length of each row's target along axis 1, where it is padded."""
        return self.caught[self.position].lengths

    @property
    def longest(self) -> int | None:
        """Length of the longest target of the whole batch, where it is padded."""
        return self.caught[self.position].longest

    @property
    def stacked(self) -> StackedCalls | None:
        """The calls of the target's link, where they are one target."""
        return self.caught[self.position].stacked

    @property
    def n_target(self) -> int:
        """How many targets there are."""
        return len(self.caught)

    @property
    def all_targets(self) -> list[Any]:
        """The variables of all targets."""
        return [variable for one in self.caught for variable in one.variables]

    def at_target(self, position: int) -> ForwardPass:
        """Return this pass as seen from another target."""
        if position == self.position:
            return self
        other = copy.copy(self)
        other.position = position
        return other

    def once(self, name: str, compute: Callable[[], Result]) -> Result:
        """Return what ``compute`` returns, which is called for the first target alone.

        Args:
            name (str): What is computed.
            compute (callable): Computes it for all targets.
        """
        if self.n_target == 1:
            return compute()
        if name not in self._of_all_targets:
            self._of_all_targets[name] = compute()
        result: Result = self._of_all_targets[name]
        return result

    @property
    def n_row_of_target(self) -> int:
        """How many rows targets have."""
        return len(self.rows) if self.start is None else len(self.start.examples)

    def check_target(self, target: Any, needs_gradient: bool) -> None:
        """Raise unless saliency can be read at a target, in the next call of its link.

        Args:
            target: What the extractor caught, or the first input.
            needs_gradient (bool): Whether gradients are taken at it.

        Raises:
            TypeError: If it is no Variable, or of a dtype without a gradient.
            NoBatchAxis: If its rows are not those of the pass, as the run lays them.
            ValueError: If its shape is not that of the calls before.
        """
        which = "the target" if self.n_target == 1 else f"target {self.position}"
        if not isinstance(target, chainer.Variable):
            raise TypeError(
                f"{which} must be a chainer.Variable, got "
                f"{type(target).__name__}. Where target_extractor gives it, check its "
                "timing and extract_fn, and that the link is called with a Variable"
            )
        n_row = self.n_row_of_target
        if not self.run.target_layout.fits(target.shape, n_row, self.lengths):
            raise NoBatchAxis(
                f"axis 0 of {which} must be the batch axis: expected "
                f"{n_row} rows, got shape {target.shape}"
            )
        self._check_is_another(target)
        if self.targets and target.shape != self.targets[0].shape:
            raise ValueError(
                "the calls of the target's link have different shapes, "
                f"{self.targets[0].shape} and {target.shape}, so their saliency can be "
                "neither added up nor stacked; ask for one of them with call=0, 1, ... "
                "in target_extractor"
            )
        if target.dtype.kind == "c":
            raise TypeError(
                f"{which} must be of real numbers, got dtype {target.dtype}; pass "
                "data.real and data.imag as features of their own"
            )
        if needs_gradient and target.dtype.kind != "f":
            raise TypeError(
                f"{which} is of dtype {target.dtype}, which has no gradient. If it "
                "holds measurements or pixels, pass data.astype(np.float32). For "
                "discrete inputs (atom numbers, tokens) read saliency at the "
                "embedding: target_extractor=VariableMonitorLinkHook(model.embed)"
            )

    def _check_is_another(self, target: Any) -> None:
        """Raise a ValueError if a target is what another one is."""
        for position, one in enumerate(self.caught):
            if position != self.position and any(target is v for v in one.variables):
                raise ValueError(
                    f"targets {position} and {self.position} are one and the same "
                    "variable, such as the output of a link and the input of the next; "
                    "pass one of them"
                )

    def check_moves_alone(self, target: chainer.Variable) -> None:
        """Raise a ValueError if another target leads to a target of this pass.

        What is put in place of the one changes the other, and there is no path on
        which both move.
        """
        if self.n_target == 1:
            return
        behind = nodes_behind([target])
        for position, one in enumerate(self.caught):
            if any(v.node in behind for v in one.variables):
                raise ValueError(
                    f"targets that change together must not lead to each other, but "
                    f"target {self.position} is computed from target {position}; "
                    "explain them in two calls, or read gradients alone at both"
                )

    def with_batch_axis(self, at_target: Array) -> Array:
        """Return what has a target's shape with its rows on axis 0."""
        layout = self.run.target_layout
        return layout.to_rows(at_target, self.lengths, self.longest)

    def without_batch_axis(self, of_rows: Array) -> Array:
        """Return what has a row for each of the pass with a target's shape."""
        return self.run.target_layout.to_target(of_rows, self.lengths)

    def of_calls(self, of_rows: list[Any]) -> list[Any]:
        """Return what was found at each call as :attr:`origins` are laid out."""
        return of_rows if self.stacked is None else [self.stacked.of_calls(of_rows)]

    def by_row(self, at_target: Any) -> Any:
        """Return what targets have, for each row of the pass."""
        return at_target if self.start is None else at_target[self.start.of_row]

    def sample_and_index(self) -> np.ndarray:
        """Return for each row its sample and the index of its example, (n_row, 2)."""
        return np.stack([self.rows.sample, self.index], axis=1)

    def gives_one_value(self) -> bool:
        """Tell whether the output is one value for the whole batch."""
        return any(is_one_value(y.array, len(self.rows)) for y in self.outputs)

    def predicted_classes(self) -> np.ndarray:
        """Return the class of the largest score of each row."""
        if len(self.outputs) != 1 or self.gives_one_value():
            raise ValueError(
                "class_index='argmax' needs one output with a row for each example"
            )
        return predicted_classes(self.outputs[0].array)

    def weights(self, classes: Explained) -> list[Any]:
        """Return for each output the array that is 1 where it is explained, else 0."""
        return [weights_of_classes(y.array, classes) for y in self.outputs]

    def scores(self, classes: Explained) -> Any:
        """Return the explained score of each row, ``(n_row,)``, in float64.

        A value that stands for the whole batch is the score of all its rows.
        """
        xp = chainer.backend.get_array_module(self.outputs[0].array)
        total = sum(chosen_scores(y.array, classes) for y in self.outputs)
        n_row = len(self.rows)
        return total if len(total) == n_row else xp.broadcast_to(total, (n_row,))

    def is_finite(self, classes: Explained) -> bool:
        """Tell whether the explained scores are; others may be masked by infinity."""
        if all(is_finite(y.array) for y in self.outputs):
            return True
        return is_finite(self.scores(classes))

    def scores_of_all_classes(self) -> Any:
        """Return the scores of each row, ``(n_row, n_class)``.

        They are in float64; or in the output's own dtype if nothing is added up.

        Raises:
            ValueError: If the output has no row for each example.
        """
        if self.gives_one_value():
            raise ValueError(
                "class_index='all' needs an output with a row for each example, got "
                "one value for the batch"
            )
        n_row = len(self.rows)
        of_outputs = [
            y.array.reshape(n_row, number_of_classes(y.array, n_row), -1)
            for y in self.outputs
        ]
        if len(of_outputs) == 1 and of_outputs[0].shape[2] == 1:
            return of_outputs[0][:, :, 0]
        return sum(y.sum(axis=2, dtype="d") for y in of_outputs)

    def gradients(self, classes: Explained) -> list[Any]:
        """Return the gradient of the summed scores at each call of the target.

        Calls that are stacked are one, as in :attr:`origins`.

        Only what lies on the way from the outputs to the targets is computed, and
        that once for all targets.

        Raises:
            ValueError: If no output depends on any target.
        """
        # Kept with the classes, so that their id is not given to others meanwhile.
        _, grads = self.once(
            f"gradients {id(classes)}", lambda: (classes, self._gradients(classes))
        )
        return self._of_own_target(grads)

    def gradients_of(self, variable: Any, weights: Any) -> list[Any]:
        """Return the gradient of another variable than the outputs at each call.

        Args:
            variable (chainer.Variable): It lies between the targets and the outputs.
            weights (array): What each of its elements weighs.

        Raises:
            ValueError: If it depends on no target.
        """
        targets = self.all_targets
        grads = self.once(
            "gradients of a variable",
            lambda: self._with_batch_axes(gradients([variable], targets, [weights])),
        )
        return self._of_own_target(grads)

    def _of_own_target(self, grads: list[Any]) -> list[Any]:
        """Return what was found at each call of the target that this is seen from."""
        first = sum(len(one.variables) for one in self.caught[: self.position])
        own = grads[first : first + len(self.targets)]
        if all(gradient is None for gradient in own):
            self.run.warn_of_no_influence(self.position)
        return self.of_calls(self.or_zeros(own))

    def or_zeros(self, at_calls: list[Any]) -> list[Any]:
        """Return what was found at each call of the target, zeros where it is None.

        A call of the target's link may well be one that the output does not use; and
        so may be all, if there are other targets.
        """
        return [
            self._zeros(t) if array is None else array
            for t, array in zip(self.targets, at_calls)
        ]

    def _zeros(self, target: Any) -> Any:
        shape = self.with_batch_axis(target.array).shape[1:]
        return target.xp.zeros((len(self.rows), *shape), target.dtype)

    def _gradients(self, classes: Explained) -> list[Any]:
        """Return the gradient at each call of all targets, None if it has none."""
        targets = self.all_targets
        weights = self.weights(classes)
        if self.start is not None:
            of_rows = self.start.gradients(
                self.outputs, weights, targets, self.mean_will_do
            )
            if of_rows is None:
                raise no_influence()
            return of_rows
        return self._with_batch_axes(gradients(self.outputs, targets, weights))

    def _with_batch_axes(self, found: list[Any]) -> list[Any]:
        """Return gradients with their rows on axis 0; one of them is there."""
        if all(g is None for g in found):
            raise no_influence()
        return [None if g is None else self.with_batch_axis(g) for g in found]

    def of_explained_call(self, of_calls: list[Any]) -> Any:
        """Return each row's part of what was computed at each call of the target.

        Args:
            of_calls (list of array): ``(n_row, ...)`` for each target.

        Returns:
            array: The part of the call that the row explains, or the sum of all.
        """
        if self.rows.call is None:
            return sum(of_calls)
        xp = chainer.backend.get_array_module(of_calls[0])
        result = xp.zeros_like(of_calls[0])
        for call, array in enumerate(of_calls):
            chosen = self.rows.call == call
            result[chosen] = array[chosen]
        return result

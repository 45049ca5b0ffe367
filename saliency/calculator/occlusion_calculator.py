"""Occlusion: how far the output falls when a window of the target is covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import ClassIndex
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import Layout, whole_batch_one_changed
from saliency.calculator.engine.runner import ForwardRunner
from saliency.calculator.paths.reference import Reference
from saliency.calculator.paths.windows import Window, Windows
from saliency.checks import check_positive

import chainer


class OcclusionCalculator(BaseCalculator):
    r"""Occlusion saliency: :math:`f_c(x) - f_c(x \text{ with a window covered})`.

    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks",
    section 4.2. An element's saliency is the mean over the windows that cover it.
    Where windows do not divide an axis, the last one is moved back to end with it.

    The saliency has length 1 along the axes that the window does not slide along
    (but the batch axis): ``(M, N, 1, h, w)`` for images of ``(N, ch, h, w)``.

    Args:
        class_index: As in every calculator; ``'all'`` computes all columns of the
            output at no further cost, and puts their axis behind the batch axis:
            ``(M, N, n_class) + shape``.
        size (int or tuple of int): Length of the window along each slide axis.
        slide_axis (int or tuple of int): Axes of the target (0 is the batch axis)
            that the window slides along; all others are covered whole.
        stride (int, tuple of int or None): How far the window moves; not more than
            ``size``. ``None`` is 1.
        fill: What covers the window: a number; an array of the shape of one example's
            target, or one per example; ``'mean'`` of the data, element by element; or
            a callable that is given targets ``(n_row,) + shape``.

    Raises:
        ValueError: If one of them is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    needs_gradient = False
    run_state = (*BaseCalculator.run_state, "_windows", "_map_shape")

    def __init__(
        self,
        model: Callable[..., Any],
        target_extractor: VariableMonitorLinkHook | None = None,
        output_extractor: VariableMonitorLinkHook | None = None,
        eval_fun: Callable[..., Any] | None = None,
        class_index: ClassIndex = None,
        device: Any = None,
        *,
        size: int | tuple[int, ...] = 1,
        slide_axis: int | tuple[int, ...] = (2, 3),
        stride: int | tuple[int, ...] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__(
            model, target_extractor, output_extractor, eval_fun, class_index, device
        )
        self.slide_axis = _as_tuple("slide_axis", slide_axis, None)
        n_axis = len(self.slide_axis)
        self.size = _as_tuple("size", size, n_axis)
        self.stride = _as_tuple("stride", 1 if stride is None else stride, n_axis)
        if any(step > length for step, length in zip(self.stride, self.size)):
            raise ValueError(
                f"stride must not be larger than size={size!r}, or elements are left "
                f"out; got {stride!r}"
            )
        self._fill = Reference("fill", fill)
        # For each length of an example in the batch at hand, or for None.
        self._windows: dict[int | None, Windows] = {}
        self._map_shape: tuple[int, ...] = ()

    def check_class_index(self, class_index: Any) -> None:
        """Raise a ValueError if ``class_index`` is none of the allowed values."""
        if not (isinstance(class_index, str) and class_index == "all"):
            super().check_class_index(class_index)

    def prepare(self, batches: Batches, runner: ForwardRunner) -> None:
        """Take the mean over the data if it is the fill."""
        self._fill.prepare(batches, runner)

    def number_of_steps(self, batch: UserBatch, runner: ForwardRunner) -> int:
        """Return the number of windows, and one for the target as it is (step 0)."""
        shape = runner.target_shape(batch)
        self._map_shape = tuple(
            n if axis in self.slide_axis else 1 for axis, n in enumerate(shape) if axis
        )
        lengths = {None} if batch.lengths is None else set(batch.lengths.tolist())
        self._windows = {
            n: Windows(
                shape if n is None else (shape[0], n, *shape[2:]),
                self.slide_axis,
                self.size,
                self.stride,
            )
            for n in lengths
        }
        return 1 + max(len(windows.places) for windows in self._windows.values())

    def layout_for_one_value(self) -> Layout:
        """Return the layout that changes one example of a batch at a time."""
        return whole_batch_one_changed

    def change_target(self, origin: Any, this: ForwardPass) -> Any:
        """Return the target with each row's window covered."""
        xp = chainer.backend.get_array_module(origin)
        fill = xp.broadcast_to(self._fill.at(origin, this), origin.shape)
        covered = origin.copy()
        for rows, _, place in self._rows_by_window(this):
            covered[(rows, *place)] = fill[(rows, *place)]
        return covered

    def contribution(self, this: ForwardPass, classes: np.ndarray | None) -> Any:
        """Return the score of step 0 everywhere, less each window's score there."""
        if isinstance(self.class_index, str) and self.class_index == "all":
            scores = this.scores_of_all_classes()
        else:
            scores = this.scores(classes)
        scores = chainer.cuda.to_cpu(scores)
        scores = scores.reshape(scores.shape + (1,) * len(self._map_shape))
        part = np.zeros(scores.shape[: -len(self._map_shape)] + self._map_shape)
        uncovered = this.rows.step == 0
        part[uncovered] = scores[uncovered]
        for rows, windows, place in self._rows_by_window(this):
            of_rows = part[rows]
            of_rows[(..., *place)] = -scores[rows] / windows.covering[place]
            part[rows] = of_rows
        return part

    def _rows_by_window(
        self, this: ForwardPass
    ) -> Iterator[tuple[np.ndarray, Windows, Window]]:
        """Give the rows that have the same window covered, and which one it is.

        None is covered at step 0, and beyond the last window of a shorter example.
        """
        for length, windows in self._windows.items():
            fits = (
                np.ones(len(this.rows), bool)
                if length is None
                else this.lengths == length
            )
            for step in np.unique(this.rows.step[fits]).tolist():
                if 0 < step <= len(windows.places):
                    rows = np.flatnonzero(fits & (this.rows.step == step))
                    yield rows, windows, windows.places[step - 1]


def _as_tuple(name: str, value: Any, length: int | None) -> tuple[int, ...]:
    """Return ``value`` as ints >= 1, repeated to ``length`` if it is one int."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    for element in values:
        check_positive(name, element)
    if length is None:
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} must hold different axes, got {value!r}")
        return tuple(values)
    if len(values) == 1:
        return tuple(values) * length
    if len(values) != length:
        raise ValueError(
            f"{name} must hold one int for each of the {length} axes of slide_axis, "
            f"got {value!r}"
        )
    return tuple(values)

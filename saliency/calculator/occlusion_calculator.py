"""Occlusion: how far the output falls when a window of the target is covered."""

from __future__ import annotations

import itertools
from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.base_calculator import BaseCalculator, check_positive
from saliency.calculator.dataset import Batches, UserBatch
from saliency.calculator.explained_output import ClassIndex
from saliency.calculator.forward_pass import ForwardPass, ForwardRunner
from saliency.calculator.reference import Reference
from saliency.calculator.sampling import whole_batch_one_changed

import chainer

Window = tuple[slice, ...]  # one for each axis of the target but the batch axis


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
    layout_for_one_value = staticmethod(whole_batch_one_changed)

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
        self._windows: list[Window] = []
        self._covering: np.ndarray = np.empty(0)

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
        self._windows = self._slide(shape)
        self._covering = np.zeros(self._map_shape(shape))
        for window in self._windows:
            self._covering[window] += 1
        return 1 + len(self._windows)

    def change_target(self, origin: Any, this: ForwardPass) -> Any:
        """Return the target with each row's window covered."""
        xp = chainer.backend.get_array_module(origin)
        fill = xp.broadcast_to(self._fill.at(origin, this), origin.shape)
        covered = origin.copy()
        for i, step in enumerate(this.rows.step):
            if step > 0:
                window = (i, *self._windows[step - 1])
                covered[window] = fill[window]
        return covered

    def contribution(self, this: ForwardPass, classes: np.ndarray | None) -> Any:
        """Return the score of step 0 everywhere, less each window's score there."""
        if isinstance(self.class_index, str) and self.class_index == "all":
            scores = this.scores_of_all_classes()
        else:
            scores = this.scores(classes)
        scores = chainer.cuda.to_cpu(scores)
        part = np.zeros(scores.shape + self._covering.shape)
        for row, score, step in zip(part, scores, this.rows.step):
            score = score.reshape(score.shape + (1,) * self._covering.ndim)
            if step == 0:
                row[...] = score
            else:
                place = (..., *self._windows[step - 1])
                row[place] = -score / self._covering[place]
        return part

    def _slide(self, shape: tuple[int, ...]) -> list[Window]:
        starts = []
        for axis, size, stride in zip(self.slide_axis, self.size, self.stride):
            if not 1 <= axis < len(shape):
                raise ValueError(
                    f"slide_axis must be in 1..{len(shape) - 1} for a target of shape "
                    f"{shape} (axis 0 is the batch axis), got {self.slide_axis}"
                )
            if size > shape[axis]:
                raise ValueError(
                    f"size must not be larger than the target, which has length "
                    f"{shape[axis]} along axis {axis}; got {size}"
                )
            last = shape[axis] - size
            starts.append([*range(0, last, stride), last])
        windows = []
        for corner in itertools.product(*starts):
            window = [slice(None)] * (len(shape) - 1)
            for axis, size, start in zip(self.slide_axis, self.size, corner):
                window[axis - 1] = slice(start, start + size)
            windows.append(tuple(window))
        return windows

    def _map_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        # A window covers the other axes whole, and its slices fit length 1 as well.
        return tuple(
            length if axis in self.slide_axis else 1
            for axis, length in enumerate(shape)
            if axis > 0
        )


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

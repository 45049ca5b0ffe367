"""Occlusion: how far the output falls when a window of the target is covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.paths.reference import Reference, ReferenceForData
from saliency.calculator.paths.windows import Window, Windows
from saliency.checks import check_positive, narrowed
from saliency.configured import positional
from saliency.user_warnings import warn_user

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
            output in the same passes, and puts their axis behind the batch axis:
            ``(M, N, n_class) + shape``. Next to the result, memory holds a number for
            each window and class.
        enable_backprop (bool): Taken for the sake of code written for Chainer
            Chemistry, and without effect, which a warning says if it is True: a model
            that takes gradients in its forward gets a graph without being told.
        size (int or tuple of int): Length of the window along each slide axis.
        slide_axis (int or tuple of int): Axes of the target (0 is the batch axis)
            that the window slides along; all others are covered whole.
        stride (int, tuple of int or None): How far the window moves; not more than
            ``size``. ``None`` is 1.
        fill: What covers the window: a number; an array of the shape of one example's
            target, or one per example; ``'mean'`` of the data, element by element; or
            a callable that is given targets ``(n_row,) + shape``. Where the target is
            of integers, it must be a number of their dtype.

    Raises:
        ValueError: If one of them is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    device: Any = positional(default=None)
    enable_backprop: bool = positional(default=False)
    size: int | tuple[int, ...] = positional(default=1)
    slide_axis: int | tuple[int, ...] = positional(default=(2, 3))
    stride: int | tuple[int, ...] | None = None
    fill: Any = 0

    needs_gradient = False
    changes_one_example = True
    explains_all_classes = True
    keeps_steps = True

    def check(self) -> None:
        """Raise a ValueError if a setting of the windows is not allowed."""
        super().check()
        self._geometry()
        Reference("fill", self.fill)
        if self.enable_backprop:
            self.enable_backprop = False
            warn_user(
                "enable_backprop has no effect: a model that takes gradients in its "
                "forward gets a graph without being told, and others need none. Leave "
                "it out"
            )

    def start(self, batches: Batches, passes: CleanPasses) -> Covers:
        """Return the fill, which may be the mean over the data."""
        return Covers(Reference("fill", self.fill).for_data(batches, passes))

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of windows, and one for the target as it is (step 0)."""
        assert isinstance(run, Covers)  # what start has returned
        run.lay_windows(passes.target_shape(batch), batch.lengths, *self._geometry())
        return 1 + max(len(windows.places) for windows in run.windows.values())

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target with each row's window covered."""
        covers = _covers_of(this)
        xp = chainer.backend.get_array_module(origin)
        fill = xp.broadcast_to(covers.fill.at(origin, this, call), origin.shape)
        covered = origin.copy()
        for rows, place in covers.rows_by_window(this):
            covered[(rows, *place)] = fill[(rows, *place)]
        return covered

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the scores, of which the run makes maps when it has all of them."""
        if isinstance(self.class_index, str) and self.class_index == "all":
            return this.scores_of_all_classes()
        return this.scores(classes)

    def _geometry(
        self,
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return the axes, and along each of them size and stride, checked."""
        slide_axis = _as_tuple("slide_axis", self.slide_axis, None)
        size = _as_tuple("size", self.size, len(slide_axis))
        given = 1 if self.stride is None else self.stride
        stride = _as_tuple("stride", given, len(slide_axis))
        if any(step > length for step, length in zip(stride, size)):
            raise ValueError(
                f"stride must not be larger than size={self.size!r}, or elements are "
                f"left out; got {self.stride!r}"
            )
        return slide_axis, size, stride


#: Maps are made in float64 and some at a time: as many as this many bytes hold, or as
#: are a small part of all.
_BYTES_AT_A_TIME = 1 << 20
_PARTS_OF_ALL = 16


class Covers(Run):
    """What covers the targets of one call, and the windows of the batch at hand.

    It holds the score with each window covered until a sample is complete, and makes
    the map then: there are far more elements of all maps than scores.

    Args:
        fill (ReferenceForData): What covers a window.

    Attributes:
        windows (dict): For each length of an example in the batch, or for None.
        map_shape (tuple of int): Shape of the saliency of an example.
    """

    def __init__(self, fill: ReferenceForData) -> None:
        super().__init__()
        self.fill = fill
        self.windows: dict[int | None, Windows] = {}
        self.map_shape: tuple[int, ...] = ()
        self._lengths_of_batch: np.ndarray | None = None

    def lay_windows(
        self,
        shape: tuple[int, ...],
        lengths: np.ndarray | None,
        slide_axis: tuple[int, ...],
        size: tuple[int, ...],
        stride: tuple[int, ...],
    ) -> None:
        """Lay out the windows of a batch.

        Args:
            shape (tuple of int): Shape of the batch's target.
            lengths (numpy.ndarray or None): Length of each of its examples.
            slide_axis (tuple of int): Axes that windows slide along.
            size (tuple of int): Length of a window along each of them.
            stride (tuple of int): How far it moves along each of them.
        """
        self._lengths_of_batch = lengths
        self.map_shape = tuple(
            n if axis in slide_axis else 1 for axis, n in enumerate(shape) if axis
        )
        self.windows = {
            n: Windows(
                shape if n is None else (shape[0], n, *shape[2:]),
                slide_axis,
                size,
                stride,
            )
            for n in ([None] if lengths is None else set(lengths.tolist()))
        }

    def rows_by_window(self, this: ForwardPass) -> Iterator[tuple[np.ndarray, Window]]:
        """Give the rows that have the same window covered, and which one it is.

        None is covered at step 0, and beyond the last window of a shorter example.
        """
        for length, windows in self.windows.items():
            fits = (
                np.ones(len(this.rows), bool)
                if length is None or this.lengths is None
                else this.lengths == length
            )
            for step in np.unique(this.rows.step[fits]).tolist():
                if 0 < step <= len(windows.places):
                    rows = np.flatnonzero(fits & (this.rows.step == step))
                    yield rows, windows.places[step - 1]

    def put_together(self, sums: np.ndarray, dtype: np.dtype, first: int) -> np.ndarray:
        """Return the maps of samples of which all scores are known.

        Args:
            sums (numpy.ndarray): ``(n, size, n_step)`` or ``(n, size, n_step,
                n_class)``: the score of the target as it is, and behind it those with
                each window covered.
            dtype (numpy.dtype): Of the maps.
            first (int): Which of the M samples is the first of them.

        Returns:
            numpy.ndarray: ``(n, size) + map_shape`` or ``(n, size, n_class) +
            map_shape``.

        Raises:
            ValueError: If a finite value is beyond the largest of ``dtype``.
        """
        n_sample, n_example, n_step, *n_class = sums.shape
        scores = sums.reshape(n_sample * n_example, n_step, -1)
        maps = np.zeros((len(scores), scores.shape[2], *self.map_shape), dtype)
        lengths = [None] * n_example
        if self._lengths_of_batch is not None:
            lengths = self._lengths_of_batch.tolist()
        for length, windows in self.windows.items():
            chosen = np.flatnonzero([n == length for n in lengths * n_sample])
            until_end: Any = tuple(slice(n) for n in windows.covering.shape)
            for rows, classes in _some_at_a_time(chosen, maps):
                some = windows.mean_fall(scores[rows, :, classes])
                narrow = narrowed(some, dtype, "a saliency")
                maps[(rows, classes, *until_end)] = narrow
        return maps.reshape(n_sample, n_example, *n_class, *self.map_shape)


def _some_at_a_time(
    chosen: np.ndarray, maps: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the row and the class of as many maps as are made at a time.

    Args:
        chosen (numpy.ndarray): The rows that are wanted.
        maps (numpy.ndarray): ``(n_row, n_class) + map_shape``.
    """
    n_class = maps.shape[1]
    n_map, n_byte = maps.shape[0] * n_class, 8 * maps[0, 0].size
    n = max(1, n_map // _PARTS_OF_ALL, _BYTES_AT_A_TIME // n_byte)
    for start in range(0, len(chosen) * n_class, n):
        stop = min(start + n, len(chosen) * n_class)
        row, of_class = np.divmod(np.arange(start, stop), n_class)
        yield chosen[row], of_class


def _covers_of(this: ForwardPass) -> Covers:
    assert isinstance(this.run, Covers)  # what start has returned
    return this.run


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

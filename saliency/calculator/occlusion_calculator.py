"""Occlusion: how far the output falls when a window of the target is covered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Union

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
from saliency.checks import check_positive, for_each_target, narrowed
from saliency.configured import positional
from saliency.user_warnings import warn_user

import chainer

#: An int, one for each axis, or one of these for each of several targets.
Lengths = Union[int, tuple[int, ...], tuple[Union[int, tuple[int, ...], None], ...]]


class OcclusionCalculator(BaseCalculator):
    r"""Occlusion: how far the output falls when a window of the target is covered.

    .. math:: f_c(x) - f_c(x \text{ with a window covered})

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
        targets: As in every calculator. Windows slide over one target after the other,
            and the others are left as they are. ``size``, ``slide_axis`` and
            ``stride`` are those of all, or a tuple of tuples has one for each, as
            ``slide_axis=((2, 3), (1,))`` for images and tables; so may ``fill``.
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
    size: Lengths = positional(default=1)
    slide_axis: Lengths = positional(default=(2, 3))
    stride: Lengths | None = None
    fill: Any = 0

    needs_gradient = False
    changes_one_example = True
    explains_all_classes = True
    keeps_steps = True

    def check(self) -> None:
        """Raise a ValueError if a setting of the windows is not allowed."""
        super().check()
        self._geometries()
        self._fill()
        if self.enable_backprop:
            self.enable_backprop = False
            warn_user(
                "enable_backprop has no effect: a model that takes gradients in its "
                "forward gets a graph without being told, and others need none. Leave "
                "it out"
            )

    def start(self, batches: Batches, passes: CleanPasses) -> Covers:
        """Return the fill, which may be the mean over the data."""
        return Covers(self._fill().for_data(batches, passes))

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of windows, and one for the target as it is (step 0)."""
        assert isinstance(run, Covers)  # what start has returned
        shapes = passes.target_shapes(batch)
        lengths = [batch.lengths_at(position) for position in range(len(shapes))]
        run.lay_windows(shapes, lengths, self._geometries(len(shapes)))
        return 1 + sum(of_target.n_step for of_target in run.of_targets)

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target with each row's window covered."""
        covers = _covers_of(this)
        fill = covers.fill.at(origin, this, call)
        if fill.ndim:
            xp = chainer.backend.get_array_module(origin)
            fill = xp.broadcast_to(fill, origin.shape)
        covered = origin.copy()
        for rows, place in covers.rows_by_window(this):
            window = (rows, *place)
            covered[window] = fill[window] if fill.ndim else fill
        return covered

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the scores, of which the run makes maps when it has all of them."""
        if isinstance(self.class_index, str) and self.class_index == "all":
            return this.once("scores", this.scores_of_all_classes)
        return this.once("scores", lambda: this.scores(classes))

    def _fill(self) -> Reference:
        return Reference("fill", self.fill, self._gives_tuple)

    def _geometries(self, n_target: int | None = None) -> list[Geometry]:
        """Return how windows lie on each target, checked.

        Args:
            n_target (int or None): How many targets there are, if that is known.
        """
        names = ("slide_axis", "size", "stride")
        given = [getattr(self, name) for name in names]
        if not self._gives_tuple:
            return [_geometry(*given)]
        of_names = [
            for_each_target(name, value, n_target) for name, value in zip(names, given)
        ]
        n = n_target or max(map(len, of_names))
        for name, value, found in zip(names, given, of_names):
            if len(found) not in (1, n):
                raise ValueError(
                    f"{name}={value!r} must be one for each of {n} targets, as others "
                    "of slide_axis, size and stride are, or one for all"
                )
        return [
            _geometry(*(found[i % len(found)] for found in of_names)) for i in range(n)
        ]


#: Rows of a pass.
SomeRows = Union[slice, np.ndarray]


class Geometry(NamedTuple):
    """How windows lie on a target.

    Attributes:
        slide_axis (tuple of int): Axes that they slide along.
        size (tuple of int): Length of a window along each of them.
        stride (tuple of int): How far it moves along each of them.
    """

    slide_axis: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]


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
        of_targets (list of TargetWindows): The windows of each target.
    """

    def __init__(self, fill: ReferenceForData) -> None:
        super().__init__()
        self.fill = fill
        self.of_targets: list[TargetWindows] = []

    def lay_windows(
        self,
        shapes: Sequence[tuple[int, ...]],
        lengths: Sequence[np.ndarray | None],
        geometries: Sequence[Geometry],
    ) -> None:
        """Lay out the windows of a batch; those of a target follow the ones before.

        Args:
            shapes (sequence of tuple): Shape of each target of the batch.
            lengths (sequence of numpy.ndarray or None): Length of each of its
                examples, for each target.
            geometries (sequence of Geometry): How windows lie on each.

        Raises:
            ValueError: If they do not fit a target.
        """
        self.of_targets = []
        n_before = 0
        for position, of_target in enumerate(zip(shapes, lengths, geometries)):
            try:
                windows = TargetWindows(n_before, *of_target)
            except ValueError as reason:
                if len(shapes) == 1:
                    raise
                raise ValueError(
                    f"target {position}: {reason}. A tuple of tuples has one for each "
                    "target, as slide_axis=((2, 3), (1,))"
                ) from None
            self.of_targets.append(windows)
            n_before += windows.n_step

    def rows_by_window(self, this: ForwardPass) -> Iterator[tuple[SomeRows, Window]]:
        """Give the rows that have the same window covered, and which one it is."""
        return self.of_targets[this.position].rows_by_window(this)

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return the maps of samples of which all scores are known.

        Args:
            of_targets (list of numpy.ndarray): The same scores for each target,
                ``(n, size, n_step)`` or ``(n, size, n_step, n_class)``: with the
                targets as they are, and behind it those with each window covered.
            dtypes (list of numpy.dtype): Of the maps of each.
            first (int): Which of the M samples is the first of them.

        Returns:
            list of numpy.ndarray: For each target ``(n, size) + map_shape`` or
            ``(n, size, n_class) + map_shape``.

        Raises:
            ValueError: If a finite value is beyond the largest of its dtype.
        """
        return [
            windows.maps(scores, dtype)
            for windows, scores, dtype in zip(self.of_targets, of_targets, dtypes)
        ]


class TargetWindows:
    """The windows of a batch's target, for examples of each length.

    Args:
        n_before (int): How many steps are those of the targets before.
        shape (tuple of int): Shape of the target.
        lengths (numpy.ndarray or None): Length of each of its examples.
        geometry (Geometry): How windows lie on it.

    Attributes:
        map_shape (tuple of int): Shape of the saliency of an example.
        n_step (int): How many steps there are for its windows.
    """

    def __init__(
        self,
        n_before: int,
        shape: tuple[int, ...],
        lengths: np.ndarray | None,
        geometry: Geometry,
    ) -> None:
        self._n_before = n_before
        self._lengths = lengths
        self.map_shape = tuple(
            n if axis in geometry.slide_axis else 1
            for axis, n in enumerate(shape)
            if axis
        )
        self._by_length = {
            n: Windows(shape if n is None else (shape[0], n, *shape[2:]), *geometry)
            for n in ([None] if lengths is None else set(lengths.tolist()))
        }
        self.n_step = max(len(windows.places) for windows in self._by_length.values())

    def rows_by_window(self, this: ForwardPass) -> Iterator[tuple[SomeRows, Window]]:
        """Give the rows that have the same window covered, and which one it is.

        None is covered at step 0, where another target is covered, and beyond the last
        window of a shorter example. A window may come several times, for some of its
        rows each.
        """
        steps = this.rows.step - self._n_before
        for length, windows in self._by_length.items():
            fits = None
            if length is not None and this.lengths is not None:
                fits = this.lengths == length
            for rows, step in _rows_by_step(steps, fits, len(windows.places)):
                if 0 < step <= len(windows.places):
                    yield rows, windows.places[step - 1]

    def maps(self, scores: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return the maps of this target, ``(n, size, ...) + map_shape``.

        Args:
            scores (numpy.ndarray): ``(n, size, n_step)`` or ``(n, size, n_step,
                n_class)``, with the windows of all targets.
            dtype (numpy.dtype): Of the maps.

        Raises:
            ValueError: If a finite value is beyond the largest of ``dtype``.
        """
        if self._n_before:
            own = scores[:, :, 1 + self._n_before :]
            scores = np.concatenate([scores[:, :, :1], own], axis=2)
        n_sample, n_example, n_step, *n_class = scores.shape
        scores = scores.reshape(n_sample * n_example, n_step, -1)
        maps = np.zeros((len(scores), scores.shape[2], *self.map_shape), dtype)
        for length, windows in self._by_length.items():
            chosen = np.arange(len(scores))
            if self._lengths is not None:
                chosen = chosen[np.tile(self._lengths == length, n_sample)]
            until_end: Any = tuple(slice(n) for n in windows.covering.shape)
            for rows, classes in _some_at_a_time(chosen, maps):
                some = windows.mean_fall(scores[rows, :, classes])
                narrow = narrowed(some, dtype, "a saliency")
                maps[(rows, classes, *until_end)] = narrow
        return maps.reshape(n_sample, n_example, *n_class, *self.map_shape)


def _rows_by_step(
    steps: np.ndarray, fits: np.ndarray | None, n_step: int
) -> Iterator[tuple[SomeRows, int]]:
    """Give rows that are of the same step, and which one it is.

    Args:
        steps (numpy.ndarray): The step of each row.
        fits (numpy.ndarray or None): Which rows are meant; None is all of them.
        n_step (int): How many steps there are, more or less.
    """
    if fits is None:
        fits = np.ones(len(steps), bool)
        ends = np.flatnonzero(steps[1:] != steps[:-1]) + 1
        if len(ends) <= n_step:  # rows of a step stand in a row, as in large batches
            starts = [0, *ends.tolist()]
            for start, stop in zip(starts, [*starts[1:], len(steps)]):
                yield slice(start, stop), int(steps[start])
            return
    for step in np.unique(steps[fits]).tolist():
        yield np.flatnonzero(fits & (steps == step)), step


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


def _geometry(slide_axis: Any, size: Any, stride: Any) -> Geometry:
    """Return the axes, and along each of them size and stride, checked."""
    axes = _as_tuple("slide_axis", slide_axis, None)
    sizes = _as_tuple("size", size, len(axes))
    strides = _as_tuple("stride", 1 if stride is None else stride, len(axes))
    if any(step > length for step, length in zip(strides, sizes)):
        raise ValueError(
            f"stride must not be larger than size={size!r}, or elements are left out; "
            f"got {stride!r}"
        )
    return Geometry(axes, sizes, strides)


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

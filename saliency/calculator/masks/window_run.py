"""Windows that slide over the targets of a batch, and the maps that follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Union

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.masks.channels_last import LayoutCheck
from saliency.calculator.masks.mask_run import MaskRun
from saliency.calculator.masks.windows import Window, Windows
from saliency.calculator.paths.reference import ReferenceForData
from saliency.checks import check_positive, for_each_target, narrowed

import chainer

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

    def within(self, length: int) -> Geometry:
        """Return it for an example of some length along axis 1.

        One that is shorter than a window, such as a sentence of one word, is covered
        whole.
        """
        pairs = zip(self.slide_axis, self.size)
        size = tuple(min(n, length) if axis == 1 else n for axis, n in pairs)
        return self._replace(size=size)


class Geometries:
    """How windows lie on all targets, as the user says it.

    Args:
        slide_axis: Axes that windows slide along.
        size: Length of a window along each of them.
        stride: How far it moves along each of them; None is 1.
        has_targets (bool): Whether each may be one for each of several targets.
    """

    def __init__(
        self, slide_axis: Any, size: Any, stride: Any, has_targets: bool
    ) -> None:
        self._given = {"slide_axis": slide_axis, "size": size, "stride": stride}
        self._has_targets = has_targets

    def of(self, n_target: int | None) -> list[Geometry]:
        """Return how windows lie on each target, checked.

        Args:
            n_target (int or None): How many targets there are, if that is known.

        Raises:
            ValueError: If something is not allowed.
        """
        if not self._has_targets:
            return [_geometry(**self._given)]
        of_names = {
            name: for_each_target(name, value, n_target)
            for name, value in self._given.items()
        }
        n = n_target or max(map(len, of_names.values()))
        for name, found in of_names.items():
            if len(found) not in (1, n):
                raise ValueError(
                    f"{name}={self._given[name]!r} must be one for each of {n} "
                    "targets, as others of slide_axis, size and stride are, or one "
                    "for all"
                )
        return [
            _geometry(**{name: one[i % len(one)] for name, one in of_names.items()})
            for i in range(n)
        ]


#: Maps are made in float64 and some at a time: as many as this many bytes hold, or as
#: are a small part of all.
_BYTES_AT_A_TIME = 1 << 20
_PARTS_OF_ALL = 16


class WindowRun(MaskRun):
    """The windows of the batch at hand, and what covers them.

    Args:
        fill (ReferenceForData): What covers a window.
        geometries (Geometries): How windows lie on the targets.
        may_be_ragged (bool): Whether examples may have lengths of their own.
    """

    def __init__(
        self, fill: ReferenceForData, geometries: Geometries, may_be_ragged: bool
    ) -> None:
        super().__init__()
        self._fill = fill
        self._geometries = geometries
        self._may_be_ragged = may_be_ragged
        self._of_targets: list[TargetWindows] = []
        self._layout = LayoutCheck("slide_axis=(1, 2)")
        self._index = np.zeros(0, int)  # of each example in the data

    def lay_out(self, batch: UserBatch, passes: CleanPasses) -> int:
        """Lay out the windows of a batch; those of a target follow the ones before."""
        shapes = passes.target_shapes(batch)
        self._index = batch.index
        self._of_targets = []
        n_step = 1
        for position, geometry in enumerate(self._geometries.of(len(shapes))):
            lengths = batch.lengths_at(position)
            if self._may_be_ragged and len(shapes[position]) > 1:
                geometry = geometry.within(shapes[position][1])
            if geometry.slide_axis == (2, 3):
                self._layout.look_at(batch, passes, position)
            try:
                windows = TargetWindows(n_step - 1, shapes[position], lengths, geometry)
            except ValueError as reason:
                if len(shapes) == 1:
                    raise
                raise ValueError(
                    f"target {position}: {reason}. A tuple of tuples has one for each "
                    "target, as slide_axis=((2, 3), (1,))"
                ) from None
            self._of_targets.append(windows)
            n_step += windows.n_step
        return n_step

    def masked(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target with each row's window covered."""
        fill = self._fill.at(origin, this, call)
        if fill.ndim:
            xp = chainer.backend.get_array_module(origin)
            fill = xp.broadcast_to(fill, origin.shape)
        covered = origin.copy()
        for rows, place in self._of_targets[this.position].rows_by_window(this):
            window = (rows, *place)
            covered[window] = fill[window] if fill.ndim else fill
        return covered

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return for each element the mean fall over the windows that cover it."""
        self.rounding.look_at(of_targets[0], dtypes[0], self._index)
        return [
            windows.maps(scores, dtype)
            for windows, scores, dtype in zip(self._of_targets, of_targets, dtypes)
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
        self._by_length: dict[int | None, Windows] = {}
        if lengths is None:
            self._by_length[None] = Windows(shape, *geometry)
        for n in () if lengths is None else set(lengths.tolist()):
            of_length = shape[0], n, *shape[2:]
            self._by_length[n] = Windows(of_length, *geometry.within(n))
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
            chosen = None
            if self._lengths is not None:
                chosen = np.flatnonzero(np.tile(self._lengths == length, n_sample))
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
    chosen: np.ndarray | None, maps: np.ndarray
) -> Iterator[tuple[SomeRows, np.ndarray | int]]:
    """Give the row and the class of as many maps as are made at a time.

    Args:
        chosen (numpy.ndarray or None): The rows that are wanted; None is all of them.
        maps (numpy.ndarray): ``(n_row, n_class) + map_shape``.
    """
    n_row, n_class = maps.shape[:2]
    n_byte = 8 * max(maps[0, 0].size, 1)  # of texts without words there is none
    n = max(1, n_row * n_class // _PARTS_OF_ALL, _BYTES_AT_A_TIME // n_byte)
    n_wanted = (n_row if chosen is None else len(chosen)) * n_class
    for start in range(0, n_wanted, n):
        stop = min(start + n, n_wanted)
        if chosen is None and n_class == 1:  # without a copy
            yield slice(start, stop), 0
            continue
        row, of_class = np.divmod(np.arange(start, stop), n_class)
        yield row if chosen is None else chosen[row], of_class


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

"""Soft masks at random, as RISE has them, and the maps that follow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.masks.channels_last import LayoutCheck
from saliency.calculator.masks.design import units_of_parts
from saliency.calculator.masks.mask_run import MaskRun, number_of_parts
from saliency.calculator.paths.reference import ReferenceForData
from saliency.checks import check_positive, for_each_target, narrowed

import chainer

#: Masks are made some at a time, as many as this many bytes hold.
_BYTES_AT_A_TIME = 8 << 20
#: Maps are made in float64, of as many classes as this many bytes hold.
_BYTES_OF_MAPS = 128 << 20
#: Masks of so many samples and lengths are kept.
_MASKS_AT_MOST = 8
#: Into how many parts the masks of a sample are divided to tell its standard error.
_PARTS_AT_MOST = 16


class Grid(NamedTuple):
    """How the masks of a target are drawn.

    Attributes:
        n_masks (int): How many.
        p (float): With which probability a cell is present.
        axes (tuple of int): Axes of the target that masks differ along, in order.
        cells (tuple of int): Number of cells along each of them.
    """

    n_masks: int
    p: float
    axes: tuple[int, ...]
    cells: tuple[int, ...]


class MaskSettings:
    """How the masks of all targets are drawn, as the user says it.

    Args:
        n_masks (int): How many.
        p (float): With which probability a cell is present.
        axes: Axes that masks differ along.
        grid: Number of cells along each of them.
        subtracts_mean (bool): Whether the mean of the scores is subtracted from each.
        has_targets (bool): Whether these may be one for each of several targets.
    """

    def __init__(
        self,
        n_masks: int,
        p: float,
        axes: Any,
        grid: Any,
        subtracts_mean: bool,
        has_targets: bool,
    ) -> None:
        self.n_masks = n_masks
        self._p = p
        self.subtracts_mean = subtracts_mean
        self._axes, self._grid = axes, grid
        self._has_targets = has_targets

    def of(self, n_target: int | None) -> list[Grid]:
        """Return how masks are drawn for each target, checked.

        Args:
            n_target (int or None): How many targets there are, if that is known.

        Raises:
            ValueError: If something is not allowed.
        """
        if not self._has_targets:
            return [_grid(self.n_masks, self._p, self._axes, self._grid)]
        axes = for_each_target("axes", self._axes, n_target)
        grids = for_each_target("grid", self._grid, n_target)
        n = n_target or max(len(axes), len(grids))
        return [
            _grid(self.n_masks, self._p, axes[i % len(axes)], grids[i % len(grids)])
            for i in range(n)
        ]


def _grid(n_masks: int, p: float, axes: Any, grid: Any) -> Grid:
    of_axes = axes if isinstance(axes, (tuple, list)) else (axes,)
    for axis in of_axes:
        check_positive("axes", axis)
    if not of_axes or len(set(of_axes)) < len(of_axes):
        raise ValueError(f"axes must hold different axes, got {axes!r}")
    cells = grid if isinstance(grid, (tuple, list)) else (grid,) * len(of_axes)
    for one in cells:
        check_positive("grid", one)
    if len(cells) != len(of_axes):
        raise ValueError(
            f"grid must hold one int for each of the {len(of_axes)} axes, got {grid!r}"
        )
    in_order = sorted(zip(of_axes, cells))
    return Grid(
        n_masks, p, tuple(a for a, _ in in_order), tuple(n for _, n in in_order)
    )


class SoftMasks:
    """Masks of one shape: small grids at random, enlarged and moved.

    Petsiuk, Das and Saenko (2018), "RISE: randomized input sampling for explanation of
    black-box models", arXiv:1806.07421, section 3.2. A grid of h cells is enlarged to
    (h + 1) C elements by linear interpolation, where C is H / h, and H of them are cut
    out, beginning at a random one from 0 to C. (C is rounded up, so that there are
    enough.)

    Args:
        lengths (sequence of int): H, along each axis that masks differ along.
        grid (Grid): How they are drawn.
        rng (numpy.random.Generator): Draws them.
    """

    def __init__(self, lengths: Sequence[int], grid: Grid, rng: Any) -> None:
        n = grid.n_masks
        self._lengths = lengths
        # One cell without elements is that of a sentence without words.
        cells = [max(min(h, length), 1) for h, length in zip(grid.cells, lengths)]
        self._grids = rng.random((n, *cells), np.float32) < grid.p
        self._cells = cells
        self._sizes = [-(-length // h) for length, h in zip(lengths, cells)]
        self._shifts = rng.integers(0, self._sizes, (n, len(cells)), endpoint=True)

    def __len__(self) -> int:
        return len(self._grids)

    def of(self, which: np.ndarray) -> np.ndarray:
        """Return some of the masks, ``(n,) + lengths``, in float32."""
        masks = self._grids[which].astype(np.float32)
        for axis, (n_cell, size) in enumerate(zip(self._cells, self._sizes)):
            weights = self._interpolation(n_cell, size, self._lengths[axis])
            moved = np.moveaxis(masks, axis + 1, -1)
            shape = moved.shape
            moved = moved.reshape(len(which), -1, n_cell)
            own = weights[self._shifts[which, axis]]
            moved = moved @ own.transpose(0, 2, 1)
            masks = np.moveaxis(moved.reshape(*shape[:-1], -1), -1, axis + 1)
        found: np.ndarray = masks
        return found

    @staticmethod
    def _interpolation(n_cell: int, size: int, length: int) -> np.ndarray:
        """Return the weight of cells at elements, for each shift.

        Returns:
            numpy.ndarray: ``(size + 1, length, n_cell)``.
        """
        element = np.arange(size + 1)[:, None] + np.arange(length)
        at = (element + 0.5) * n_cell / ((n_cell + 1) * size) - 0.5
        at = at.clip(0, n_cell - 1)
        distance = abs(at[..., None] - np.arange(n_cell))
        weights: np.ndarray = np.maximum(1 - distance, 0).astype(np.float32)
        return weights


class SoftMaskRun(MaskRun):
    r"""The masks of the batch at hand, and the maps that follow.

    .. math:: S(\lambda) = \frac{1}{p N} \sum_{i=1}^N f(I \odot M_i) \, M_i(\lambda)

    (eq. 6 of the paper). Examples of one shape share the masks of a sample.

    Args:
        reference (ReferenceForData): What stands where a mask is 0.
        settings (MaskSettings): How masks are drawn.
    """

    def __init__(self, reference: ReferenceForData, settings: MaskSettings) -> None:
        super().__init__()
        self._reference = reference
        self._settings = settings
        self._of_targets: list[MasksOfTarget] = []
        self._masks: dict[tuple[Any, ...], SoftMasks] = {}
        self._gives_parts = False
        self._layout = LayoutCheck("axes=(1, 2)")

    def lay_out(self, batch: UserBatch, passes: CleanPasses) -> int:
        """Take note of the shapes of a batch, and return how many steps it has."""
        shapes = passes.target_shapes(batch)
        grids = self._settings.of(len(shapes))
        for position, grid in enumerate(grids):
            if grid.axes == (2, 3):
                self._layout.look_at(batch, passes, position)
        self._of_targets = [
            MasksOfTarget(shape, batch.lengths_at(position), grid)
            for position, (shape, grid) in enumerate(zip(shapes, grids))
        ]
        return 1 + self._settings.n_masks

    def masked(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target as far as each row's mask lets it through."""
        if origin.dtype.kind != "f":
            raise TypeError(
                f"the target is of dtype {origin.dtype}, of which a mask cannot let "
                "through a part. If it holds measurements or pixels, pass "
                "data.astype(np.float32); if it is discrete, read saliency at its "
                "embedding: target_extractor=VariableMonitorLinkHook(model.embed)"
            )
        xp = chainer.backend.get_array_module(origin)
        of_target = self._of_targets[this.position]
        masks = np.ones((len(this.rows), *of_target.map_shape), origin.dtype)
        for sample in set(this.rows.sample.tolist()):
            for length, examples in of_target.examples_by_length():
                drawn = self._masks_of(sample, this.position, length)
                is_of_them = (this.rows.sample == sample) & (this.rows.step > 0)
                rows = np.flatnonzero(is_of_them & examples[this.rows.example])
                if len(rows) == 0:
                    continue
                which, place = np.unique(this.rows.step[rows] - 1, return_inverse=True)
                own = of_target.in_place(drawn.of(which))[place.reshape(-1)]
                window: Any = (rows, *of_target.window(length))
                masks[window] = own
        masks = xp.asarray(masks)
        baseline = self._reference.at(origin, this, call)
        masked: Array = origin * masks + baseline * (1 - masks)
        return masked

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return the sums of masks times scores, over p and their number."""
        scores = of_targets[0][:, :, 1:].astype(np.float64)
        has_classes = scores.ndim == 4
        scores = scores.reshape(*scores.shape[:3], -1)
        if self._settings.subtracts_mean:
            scores -= scores.mean(axis=2, keepdims=True)
        found = []
        for position, dtype in enumerate(dtypes):
            if self._gives_parts:
                parts = self._maps_of_parts(scores[0], position)
                maps = narrowed(parts, dtype, "a saliency")
            else:
                samples = range(first, first + len(scores))
                maps = np.stack(
                    [
                        self._narrow_maps(own, sample, position, dtype)
                        for own, sample in zip(scores, samples)
                    ]
                )
            found.append(maps if has_classes else maps[:, :, 0])
        return found

    def give_parts(self) -> bool:
        """Give the parts of a sample in its place, if there are enough masks."""
        # Of two scores less their mean, one is the other with another sign.
        least = 3 if self._settings.subtracts_mean else 2
        self._gives_parts = self._settings.n_masks >= least
        return self._gives_parts

    def _maps_of_parts(self, scores: np.ndarray, position: int) -> np.ndarray:
        """Return the maps of some masks each, for the one sample that there is."""
        n_example, n_mask, n_class = scores.shape
        shape = (n_example, n_class, *self._of_targets[position].map_shape)
        n_part = number_of_parts(shape, min(_PARTS_AT_MOST, n_mask))
        units = units_of_parts(n_mask, n_part)
        sums = np.stack([self._maps(scores, 0, position, some) for some in units])
        if self._settings.subtracts_mean:
            # The mean score moves with each mask: what one of them contributes is its
            # score times how far it is from the mean mask. The sum stays the same.
            mean_mask = self._maps(np.ones((n_example, n_mask, 1)), 0, position)
            of_parts = np.stack([scores[:, some].sum(axis=1) for some in units])
            of_parts /= n_mask
            sums -= of_parts.reshape(*of_parts.shape, *[1] * len(shape[2:])) * mean_mask
        whole = sums.sum(axis=0)
        shares = np.array([len(some) for some in units])
        weights = shares.reshape((-1,) + (1,) * whole.ndim) / n_mask
        parts: np.ndarray = whole + (sums - weights * whole) * n_part
        return parts

    def _narrow_maps(
        self, scores: np.ndarray, sample: int, position: int, dtype: np.dtype
    ) -> np.ndarray:
        """Return the maps of a sample in their dtype; they are made some at a time.

        Args:
            scores (numpy.ndarray): ``(size, n_mask, n_class)``.
            sample (int): The sample.
            position (int): Which target.
            dtype (numpy.dtype): Of the maps.
        """
        map_shape = self._of_targets[position].map_shape
        n_example, _, n_class = scores.shape
        maps = np.empty((n_example, n_class, *map_shape), dtype)
        n_byte = 8 * n_example * math.prod(map_shape)
        at_a_time = max(_BYTES_OF_MAPS // max(n_byte, 1), 1)
        for start in range(0, n_class, at_a_time):
            some = slice(start, start + at_a_time)
            wide = self._maps(scores[:, :, some], sample, position)
            maps[:, some] = narrowed(wide, dtype, "a saliency")
        return maps

    def _maps(
        self,
        scores: np.ndarray,
        sample: int,
        position: int,
        some: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the maps that masks of a sample make, ``(size, n_class) + map_shape``.

        Args:
            scores (numpy.ndarray): ``(size, n_mask, n_class)``.
            sample (int): The sample.
            position (int): Which target.
            some (numpy.ndarray or None): Which of the masks; None is all.
        """
        of_target = self._of_targets[position]
        n_example, n_mask, n_class = scores.shape
        some = np.arange(n_mask) if some is None else some
        maps = np.zeros((n_example, n_class, *of_target.map_shape))
        n_byte = 8 * int(np.prod(of_target.map_shape))
        at_a_time = max(_BYTES_AT_A_TIME // max(n_byte, 1), 1)
        for length, is_of_them in of_target.examples_by_length():
            examples = np.flatnonzero(is_of_them)
            drawn = self._masks_of(sample, position, length)
            for start in range(0, len(some), at_a_time):
                which = some[start : start + at_a_time]
                own = of_target.in_place(drawn.of(which))
                part = np.tensordot(scores[examples][:, which], own, (1, 0))
                window: Any = (examples, slice(None), *of_target.window(length))
                maps[window] += part
        maps /= of_target.grid.p * n_mask
        return maps

    def _masks_of(self, sample: int, position: int, length: int | None) -> SoftMasks:
        """Return the masks of a sample, for examples of a length."""
        of_target = self._of_targets[position]
        lengths = of_target.lengths_of_masks(length)
        key = (sample, position, lengths)
        if key not in self._masks:
            assert self.streams is not None  # whoever runs passes has written them
            rng = self.streams.of_design(sample, 0, position)
            while len(self._masks) >= _MASKS_AT_MOST:
                self._masks.pop(next(iter(self._masks)))
            self._masks[key] = SoftMasks(lengths, of_target.grid, rng)
        return self._masks[key]


class MasksOfTarget:
    """Where the masks of a batch's target lie.

    Args:
        shape (tuple of int): Shape of the target.
        lengths (numpy.ndarray or None): Length of each of its examples.
        grid (Grid): How masks are drawn.

    Raises:
        ValueError: If the target has no such axes.

    Attributes:
        grid (Grid): How masks are drawn.
        map_shape (tuple of int): Shape of the map of an example: of length 1 along the
            axes that masks do not differ along.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        lengths: np.ndarray | None,
        grid: Grid,
    ) -> None:
        axes = grid.axes
        if not all(1 <= axis < len(shape) for axis in axes):
            allowed = f"in 1..{len(shape) - 1}" if len(shape) > 1 else "an axis"
            raise ValueError(
                f"axes must be {allowed} for a target of shape {shape} (axis 0 is the "
                f"batch axis), got {axes}. If the data is one example, pass data[None]"
            )
        self.grid = grid
        self.map_shape = tuple(
            n if axis in axes else 1 for axis, n in enumerate(shape) if axis
        )
        self._size = shape[0]
        self._lengths = lengths if 1 in axes else None

    def examples_by_length(self) -> Iterator[tuple[int | None, np.ndarray]]:
        """Give for each length which examples have it, in bool ``(size,)``."""
        if self._lengths is None:
            yield None, np.ones(self._size, bool)
            return
        for length in set(self._lengths.tolist()):
            yield length, self._lengths == length

    def lengths_of_masks(self, length: int | None) -> tuple[int, ...]:
        """Return the lengths of masks, for examples of a length."""
        lengths = [self.map_shape[axis - 1] for axis in self.grid.axes]
        if length is not None:
            lengths[self.grid.axes.index(1)] = length
        return tuple(lengths)

    def in_place(self, masks: np.ndarray) -> np.ndarray:
        """Return masks with an axis for each of the target."""
        lengths = dict(zip(self.grid.axes, masks.shape[1:]))
        axes = range(1, len(self.map_shape) + 1)
        return masks.reshape(len(masks), *(lengths.get(axis, 1) for axis in axes))

    @staticmethod
    def window(length: int | None) -> tuple[slice, ...]:
        """Return the part of a map that is not padding."""
        return () if length is None else (slice(length),)

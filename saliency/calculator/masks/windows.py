"""Windows that slide over a target."""

from __future__ import annotations

import itertools

import numpy as np

Window = tuple[slice, ...]  # one slice for each axis of the target but the batch axis


class Windows:
    """All places of a window on one example's target.

    Where the stride does not divide an axis, the last window is moved back to end
    with it, so that all windows are of one size and no element is left out.

    Args:
        shape (tuple of int): Shape of a batch's target; axis 0 is that of the batch.
        slide_axis (tuple of int): Axes that the window slides along; it covers the
            others whole.
        size (tuple of int): Length of the window along each of them.
        stride (tuple of int): How far it moves along each of them.

    Raises:
        ValueError: If there is no such axis, or the window is larger than the target.

    Attributes:
        places (list of tuple of slice): The windows.
        covering (numpy.ndarray): How many windows cover each element; of length 1
            along the axes that they cover whole, where their slices fit as well.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        slide_axis: tuple[int, ...],
        size: tuple[int, ...],
        stride: tuple[int, ...],
    ) -> None:
        starts = []
        for axis, length, step in zip(slide_axis, size, stride):
            if not 1 <= axis < len(shape):
                allowed = f"in 1..{len(shape) - 1}" if len(shape) > 1 else "an axis"
                raise ValueError(
                    f"slide_axis must be {allowed} for a target of shape "
                    f"{shape} (axis 0 is the batch axis), got {slide_axis}. If the "
                    "data is one example, pass data[None]"
                )
            if length > shape[axis]:
                raise ValueError(
                    "size must not be larger than the target, which has length "
                    f"{shape[axis]} along axis {axis}; got {length}"
                )
            last = shape[axis] - length
            starts.append([*range(0, last, step), last])
        self.places: list[Window] = []
        for corner in itertools.product(*starts):
            window = [slice(None)] * (len(shape) - 1)
            for axis, length, start in zip(slide_axis, size, corner):
                window[axis - 1] = slice(start, start + length)
            self.places.append(tuple(window))
        self.covering = np.zeros(
            [n if axis in slide_axis else 1 for axis, n in enumerate(shape) if axis]
        )
        for place in self.places:
            self.covering[place] += 1

    def mean_fall(self, scores: np.ndarray) -> np.ndarray:
        """Return by how much scores fall where windows cover an element, on average.

        Args:
            scores (numpy.ndarray): ``(n, n_step)``: what a score is without a window,
                and behind it what it is with each of them. More steps do not count.

        Returns:
            numpy.ndarray: ``(n,) + covering.shape`` in float64.
        """
        of_steps = scores.astype(np.float64).T.reshape(
            scores.shape[1], len(scores), *[1] * self.covering.ndim
        )
        maps = np.empty((len(scores), *self.covering.shape))
        maps[...] = of_steps[0]
        for place, covered in zip(self.places, of_steps[1:]):
            covered_maps = maps[(slice(None), *place)]
            covered_maps -= covered / self.covering[place]
        return maps

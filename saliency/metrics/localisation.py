"""The base of metrics that compare scores with a known truth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from saliency.checks import check_choice, is_int
from saliency.configured import positional
from saliency.metrics.metric import ScoreMetric
from saliency.metrics.scores import (
    TRANSFORMS,
    known_array,
    maps_of_examples,
    transformed,
)


class LocalisationMetric(ScoreMetric):
    """Compares scores with the elements that are known to matter.

    Where nothing tells elements apart, as in a constant map, the value is that of
    chance: the mean over all orders of what is tied.

    Args:
        truth (array): Which elements matter, of bool: ``(N,) + shape``, one mask for
            each example, or one of the shape of a map for all of them. A map of
            ``(channel, height, width)`` with a mask of ``(height, width)`` is summed
            over its channels, as is one of ``(atom, channel)`` with a mask of
            ``(atom,)``. :func:`saliency.metrics.masks_of_boxes` and
            :func:`saliency.metrics.masks_of_atoms` make masks.
        transform (str): ``'signed'`` takes scores as they are, ``'absolute'`` without
            their signs, before channels are summed.

    Raises:
        TypeError: If ``truth`` is no array of bool, or of 0 and 1.
        ValueError: If ``transform`` is none of these.
    """

    truth: Any = positional()
    transform: str = "signed"

    _transforms: ClassVar[tuple[str, ...]] = TRANSFORMS
    _larger_is_better = True

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        check_choice("transform", self.transform, self._transforms)
        self._masks()

    def _masks(self) -> np.ndarray:
        """Return the truth as an array of bool."""
        array = known_array("truth", self.truth)
        is_mask = array.dtype.kind in "biu" and bool(np.isin(array, (0, 1)).all())
        if not (is_mask and array.ndim):
            raise TypeError(
                "truth must be an array of bool, or of 0 and 1, got "
                f"{array.dtype} of shape {array.shape}"
            )
        return array.astype(bool)

    def _values(self, scores: np.ndarray) -> np.ndarray:
        masks = self._masks()
        is_of_examples = (
            masks.ndim == scores.ndim
            or (
                masks.ndim == scores.ndim - 1
                and len(masks) == len(scores)
                # As many examples as channels, or features: a mask for each channel of
                # images is nothing that anybody has, but one for each feature is.
                and (masks.shape != scores.shape[1:] or scores.ndim == 4)
            )
        )
        if masks.ndim == 2 and masks.shape == scores.shape[1:] == scores.shape[:2]:
            raise ValueError(
                f"truth of the shape {masks.shape} may be one mask for each of "
                f"{len(scores)} examples, without channels, or one for all of them. If "
                "it is one for all, pass np.broadcast_to(truth, scores.shape); else "
                "pass scores that are summed over channels"
            )
        if is_of_examples and len(masks) != len(scores):
            raise ValueError(
                f"truth must hold one mask for each of the {len(scores)} examples, got "
                f"shape {masks.shape}"
            )
        values = []
        for i, map_ in enumerate(maps_of_examples(scores)):
            mask = masks[i] if is_of_examples else masks
            taken = transformed(map_, self.transform)
            values.append(self.value(*_fitted(taken, mask, i)))
        return np.array(values)

    @abstractmethod
    def value(self, scores: np.ndarray, mask: np.ndarray) -> float:
        """Return the value of an example.

        Args:
            scores (numpy.ndarray): Those of its elements, in float64; finite.
            mask (numpy.ndarray): Which of them matter, of bool and of the same shape;
                some do, and some do not.
        """


def _fitted(
    map_: np.ndarray, mask: np.ndarray, example: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a map without channels and its mask, of one shape."""
    if map_.ndim == mask.ndim + 1:
        map_ = map_.sum(axis=1 if map_.ndim == 2 else 0)
    if map_.ndim == mask.ndim and not mask[len(map_) :].any():
        mask = mask[: len(map_)]  # behind it, the example is padded
    if map_.shape != mask.shape:
        raise ValueError(
            f"truth must have the shape of a map, or that without its channels; got "
            f"{mask.shape} for example {example}, whose map is {map_.shape}"
        )
    if mask.all() or not mask.any():
        which = "all" if mask.all() else "none"
        raise ValueError(
            f"truth must name some elements of each example, but not all; of example "
            f"{example} it names {which}"
        )
    return map_, mask


def masks_of_boxes(boxes: Any, shape: tuple[int, int]) -> np.ndarray:
    """Return masks of images, true within boxes.

    Args:
        boxes: For each example a box ``(left, top, right, bottom)`` in pixels, or a
            list of several. The columns from ``left`` on, up to ``right``, which is not
            in it, as slices have it; rows likewise.
        shape (tuple of int): Height and width.

    Returns:
        numpy.ndarray: Of bool, ``(N, height, width)``.

    Raises:
        ValueError: If a box is no four ints, is empty, or does not lie in the image.
    """
    height, width = shape
    masks = np.zeros((len(boxes), height, width), bool)
    for i, of_example in enumerate(boxes):
        several = np.atleast_2d(np.asarray(of_example))
        if several.ndim != 2 or several.shape[1] != 4 or several.dtype.kind not in "iu":
            raise ValueError(
                "boxes must hold (left, top, right, bottom) in ints, or a list of "
                f"these, for each example; got {of_example!r}"
            )
        for left, top, right, bottom in several.tolist():
            if not (0 <= left < right <= width and 0 <= top < bottom <= height):
                raise ValueError(
                    f"boxes must lie in images of {height} rows and {width} columns, "
                    f"and not be empty; got {(left, top, right, bottom)}"
                )
            masks[i, top:bottom, left:right] = True
    return masks


def masks_of_atoms(atoms: Sequence[Sequence[int]], n_atom: int) -> np.ndarray:
    """Return masks of molecules or texts, true at some of their atoms or tokens.

    Args:
        atoms (sequence of sequence of int): For each example the positions of those
            that matter.
        n_atom (int): How many the longest example has.

    Returns:
        numpy.ndarray: Of bool, ``(N, n_atom)``.

    Raises:
        ValueError: If there is no such position.
    """
    masks = np.zeros((len(atoms), n_atom), bool)
    for mask, positions in zip(masks, atoms):
        for position in positions:
            if not (is_int(position) and 0 <= position < n_atom):
                raise ValueError(
                    f"atoms must hold positions in 0..{n_atom - 1}, got {position!r}"
                )
            mask[position] = True
    return masks

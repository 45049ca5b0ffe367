"""What the rows of a pass contribute, and what cannot be a contribution."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass

import chainer

_FLOAT16_ENDS = (
    ". The largest number in float16 is 65504: compute in float32, with a model and "
    "data of that dtype"
)


class Contribution(NamedTuple):
    """What the rows of a pass contribute to the saliency of a target.

    Attributes:
        of_rows (numpy.ndarray): ``(n_row,) + shape``.
        dtype (numpy.dtype): In which samples are given.
        target_ndim (int): Number of axes of the target, with that of the batch.
    """

    of_rows: np.ndarray
    dtype: np.dtype
    target_ndim: int


def as_long_as_batch(of_rows: np.ndarray, longest: int, origin: Any) -> np.ndarray:
    """Return contributions with room for the longest example of the batch.

    A model that pads by itself does so to the longest of the pass.

    Args:
        of_rows (numpy.ndarray): ``(n_row,) + shape``, maybe with an axis of steps.
        longest (int): The length of the longest example.
        origin (array): The target of the pass, ``(n_row, length, ...)``.
    """
    axis = of_rows.ndim - (origin.ndim - 1)
    if axis < 1 or not of_rows.shape[axis] == origin.shape[1] < longest:
        return of_rows
    room = [(0, 0)] * of_rows.ndim
    room[axis] = (0, longest - origin.shape[1])
    return np.pad(of_rows, room)


def check_samples(samples: np.ndarray, batch: UserBatch, first: int) -> None:
    """Raise a ValueError for samples that are not finite.

    Args:
        samples (numpy.ndarray): ``(n, size) + target shape``.
        batch (UserBatch): The examples.
        first (int): Which of the M samples is the first of them.
    """
    finite = np.isfinite(samples)
    if finite.all():
        return
    sample, example = np.argwhere(~finite)[0][:2]
    raise ValueError(
        f"the saliency of example {batch.start + example} (sample {first + sample}) is "
        "NaN or infinite although the data is finite; the model's output or its "
        "gradient overflows or is undefined there"
        + _FLOAT16_ENDS
        * (samples.dtype == np.float16)
    )


def scores_not_finite(
    batch: UserBatch, this: ForwardPass, explained: Explained, where: str
) -> ValueError:
    """Return the error for a pass whose scores are not finite.

    Args:
        batch (UserBatch): The examples.
        this (ForwardPass): The pass.
        explained (numpy.ndarray, tuple or None): What of the output is explained.
        where (str): The link that first gave such a number.
    """
    scores = chainer.cuda.to_cpu(this.scores(explained))
    row = int(np.argmin(np.isfinite(scores)))
    example = batch.start + this.rows.example[row]
    is_half = any(y.dtype == np.float16 for y in this.outputs)
    return ValueError(
        f"the explained output is {scores[row]:g} for example {example} (sample "
        f"{this.rows.sample[row]}) although the data is finite; "
        + where
        + _FLOAT16_ENDS * is_half
    )

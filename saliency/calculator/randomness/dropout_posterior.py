"""Draws of a network's parameters from its dropout posterior, for BayesGrad."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from saliency.calculator.randomness.random_streams import DROPOUT, RandomStreams
from saliency.calculator.randomness.row_streams import RowStreams
from saliency.light_apply import HookOfSome

import chainer
from chainer.functions.noise.dropout import Dropout
from chainer.link_hooks import SpectralNormalization
from chainer.links import BatchNormalization, DecorrelatedBatchNormalization


class DropoutPosterior:
    """Training mode that draws dropout masks and does nothing else.

    A network trained with dropout approximates a Gaussian process; running it with
    dropout draws its parameters from the approximate posterior (Gal and Ghahramani
    2016, "Dropout as a Bayesian approximation"). Batch and spectral normalization
    stay in evaluation mode: their statistics are no part of that posterior, and
    training them would mix examples and change the model.

    The mask of an example depends on the seed, the sample, the example and the
    position of the dropout in the network (the first one that is applied, the second,
    ...), so all passes of one sample share it. Its numbers follow each other along the
    axes behind that of the batch, so that a token has the same mask however much
    padding is behind its text, and wherever its text stands among others that are
    concatenated.

    Args:
        streams (RandomStreams): Where the masks come from.
    """

    def __init__(self, streams: RandomStreams) -> None:
        self._masks = _DropoutMaskHook(streams)
        self._normalization = _EvaluationModeHook()

    @property
    def knows_batch_axes(self) -> bool:
        """Whether it was learned which dropout functions see the batch on axis 0."""
        return self._masks.sees_batch is not None

    @property
    def has_drawn(self) -> bool:
        """Whether a mask that lets not everything through has been drawn."""
        return self._masks.has_drawn

    @contextlib.contextmanager
    def learning_batch_axes(self) -> Iterator[list[tuple[int, ...]]]:
        """Learn it from the pass within the block, which must be of one row.

        There the axis of the batch has length 1. In a larger pass it would be taken
        for another that happens to be as long, for example that of time. The block is
        given a list, for the shape of what each dropout function sees.
        """
        shapes: list[tuple[int, ...]] = []
        self._masks.shapes = shapes
        yield shapes
        self._masks.shapes = None
        self._masks.sees_batch = [shape[0] == 1 for shape in shapes]
        n_packed = self._masks.n_packed
        self._masks.sees_packed = [shape[0] == n_packed for shape in shapes]

    def start_pass(self, rows: np.ndarray, packed: np.ndarray | None = None) -> None:
        """Say what the rows of the next pass are.

        Args:
            rows (numpy.ndarray): Sample and example of each, ``(n_row, 2)``.
            packed (numpy.ndarray or None): Length of each, where the targets of all
                are concatenated.
        """
        self._masks.start_pass(rows, packed)
        self._normalization.start_pass()

    def __enter__(self) -> DropoutPosterior:
        self._masks.__enter__()
        self._normalization.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._normalization.__exit__(exc_type, exc, traceback)
        self._masks.__exit__(exc_type, exc, traceback)


def draw_same_masks() -> None:
    """Let dropout draw the masks of the pass under way again, from the first one on.

    For code that runs the network several times in one pass. Where no masks are
    drawn, nothing is done.
    """
    hook = chainer.get_function_hooks().get(_DropoutMaskHook.name)
    if isinstance(hook, _DropoutMaskHook):
        hook.start_over()


class _DropoutMaskHook(HookOfSome):
    """Gives each dropout function its mask before it draws one of its own."""

    name = "saliency/dropout_mask"
    functions = (Dropout,)

    def __init__(self, streams: RandomStreams) -> None:
        self.shapes: list[tuple[int, ...]] | None = None  # of each, while learning
        self.sees_batch: list[bool] | None = None
        self.sees_packed: list[bool] = []
        self.has_drawn = False
        self._streams = streams
        self._rows = np.zeros((0, 2), int)
        self._packed: np.ndarray | None = None
        self._n_call = 0

    @property
    def n_packed(self) -> int | None:
        """Length of what is concatenated in this pass."""
        return None if self._packed is None else int(self._packed.sum())

    def start_pass(self, rows: np.ndarray, packed: np.ndarray | None) -> None:
        self._rows = rows
        self._packed = packed
        self.start_over()

    def start_over(self) -> None:
        self._n_call = 0

    def forward_preprocess(self, function: Any, in_data: tuple[Any, ...]) -> None:
        # A mask that the model chose itself is left alone. Where it is not known which
        # rows axis 0 holds, the function draws from the global state: the pass notices.
        if not isinstance(function, Dropout) or function.mask is not None:
            return
        x, ratio = in_data[0], function.dropout_ratio
        if self.shapes is not None:
            self.shapes.append(x.shape)
        lengths = self._lengths_of_rows(x)
        if ratio == 0:
            function.mask = chainer.backend.get_array_module(x).ones_like(x)
        elif lengths is not None:
            function.mask = self._draw_mask(x, ratio, lengths)
        self._n_call += 1

    def _lengths_of_rows(self, x: Any) -> Sequence[int] | None:
        """Return how many elements of axis 0 are of each row; None if unknown."""
        n_row, k = len(self._rows), self._n_call
        if n_row == 1:
            return [len(x)]  # whatever axis it is
        if self.sees_batch is None:
            return [1] * n_row if len(x) == n_row else None
        if k >= len(self.sees_batch):
            return None
        if self.sees_batch[k] and len(x) == n_row:
            return [1] * n_row
        if self._packed is not None and self.sees_packed[k] and len(x) == self.n_packed:
            lengths: list[int] = self._packed.tolist()
            return lengths
        return None

    def _draw_mask(self, x: Any, ratio: float, lengths: Sequence[int]) -> Any:
        self.has_drawn = True
        streams = RowStreams(self._streams, DROPOUT, self._rows, self._n_call)
        of_rows = np.multiply(lengths, math.prod(x.shape[1:]))
        n = int(of_rows.max())
        keep = streams.bits(n) >= np.uint32(min(round(ratio * 2**32), 2**32 - 1))
        if (of_rows != n).any():
            keep = keep[np.arange(n) < of_rows[:, None]]
        mask = keep.reshape(x.shape) * x.dtype.type(1 / (1 - ratio))
        return chainer.backend.get_device_from_array(x).send(mask)


class _EvaluationModeHook(chainer.LinkHook):
    """Runs normalization with statistics in evaluation mode, within training mode."""

    name = "saliency/evaluation_mode"

    def __init__(self) -> None:
        self._modes: list[bool] = []

    def start_pass(self) -> None:
        self._modes = []

    def forward_preprocess(self, args: Any) -> None:
        if keeps_statistics(args.link):
            self._modes.append(chainer.config.train)
            chainer.config.train = False

    def forward_postprocess(self, args: Any) -> None:
        # If the link raised, the surrounding using_config puts train back.
        if keeps_statistics(args.link):
            chainer.config.train = self._modes.pop()


def keeps_statistics(link: chainer.Link) -> bool:
    """Tell whether a link normalizes by statistics that training moves."""
    if isinstance(link, (BatchNormalization, DecorrelatedBatchNormalization)):
        return True
    hooks = link.local_link_hooks.values()
    return any(isinstance(hook, SpectralNormalization) for hook in hooks)

"""The paths under way of Integrated Gradients whose points depend on those before."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Callable, TypeVar, cast

import numpy as np

from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import Extent, Rows, RowsOfPass
from saliency.calculator.paths.adaptive_quadrature import (
    AdaptiveQuadrature,
    nodes_per_round,
)

import chainer

Method = TypeVar("Method", bound=Callable[..., Any])


def _quietly(method: Method) -> Method:
    """Decorate a method that takes logarithms of zero and the like.

    What is not finite is refused in the end.
    """

    @functools.wraps(method)
    def quiet(*arguments: Any) -> Any:
        # One for each call: threads must not share what it remembers.
        with np.errstate(all="ignore"):
            return method(*arguments)

    return cast(Method, quiet)


class AdaptivePaths:
    """Adaptive quadrature along many paths at once, a pass at a time.

    There is a path for each sample, call of the target, baseline and example, and its
    points are as many rows. Where the output is one value for the batch, the batch
    goes along one path. The integral is what the last row of a path contributes.

    Args:
        n_point (int): Points of each path.

    Raises:
        ValueError: If there are less than 2.
    """

    def __init__(self, n_point: int) -> None:
        if n_point < 2:
            raise ValueError(
                f"steps must be at least 2 for method='adaptive', got {n_point}"
            )
        self._n_point = n_point
        self._under_way: dict[tuple[int, ...], AdaptiveQuadrature] = {}

    def in_rounds(self, extent: Extent, rows_of_pass: RowsOfPass) -> Iterator[Rows]:
        """Lay out passes round after round, for as many paths as fill a pass."""
        return in_rounds(nodes_per_round(self._n_point), extent, rows_of_pass)

    @_quietly
    def nodes(self, rows: Rows) -> np.ndarray:
        """Return for each row where on its path it is, from 0 to 1."""
        alpha = np.empty(len(rows))
        points = (rows.step % self._n_point).tolist()
        for i, (path, point) in enumerate(zip(paths_of(rows, self._n_point), points)):
            if point == 0:
                self._under_way[path] = AdaptiveQuadrature(self._n_point)
            alpha[i] = self._under_way[path].node(point)
        return alpha

    @_quietly
    def integrals(self, this: ForwardPass, scores: Any, of_targets: list[Any]) -> Any:
        """Take what a pass gave; return the integral in the last row of each path.

        Args:
            this (ForwardPass): The pass.
            scores (array): ``(n_row,)``, the explained scores.
            of_targets (list of array): ``(n_row,) + shape`` for each target, the
                gradients times the ways.

        Returns:
            list of array: ``(n_row,) + shape`` for each target in float64, 0 in the
            rows that are not last.
        """
        if len(of_targets) == 1:
            return [self._integrals(this, scores, of_targets[0])]
        xp = chainer.backend.get_array_module(of_targets[0])
        n_row = len(this.rows)
        flat = [terms.reshape(n_row, -1) for terms in of_targets]
        ends = np.cumsum([terms.shape[1] for terms in flat])
        joined = self._integrals(this, scores, xp.concatenate(flat, axis=1))
        parts = xp.split(joined, ends[:-1].tolist(), axis=1)
        return [part.reshape(t.shape) for part, t in zip(parts, of_targets)]

    def _integrals(self, this: ForwardPass, scores: Any, terms: Any) -> Any:
        """Return the integrals for the terms of all targets, as one array."""
        xp = chainer.backend.get_array_module(terms)
        axes = tuple(range(1, terms.ndim))
        score, slope, size = chainer.cuda.to_cpu(
            xp.stack(
                [
                    scores,
                    terms.sum(axis=axes, dtype="d"),
                    abs(terms).sum(axis=axes, dtype="d"),
                ]
            )
        )
        eps = max(np.finfo(y.dtype).eps for y in (terms, *this.outputs))
        paths = paths_of(this.rows, self._n_point)
        point = (this.rows.step % self._n_point).tolist()
        is_last = [i + 1 == self._n_point for i in point]
        result = xp.zeros(terms.shape, "d")
        if this.gives_one_value():
            one = self._under_way[paths[0]]
            self._under_way.update(dict.fromkeys(paths, one))
            digit = eps * max(abs(score[0]), size.sum())
            one.add(point[0], score[0], slope.sum(), terms, digit)
            if is_last[0]:
                result = one.integral()
        else:
            digit = eps * np.maximum(abs(score), size)
            for i, path in enumerate(paths):
                self._under_way[path].add(
                    point[i], score[i], slope[i], terms[i], digit[i]
                )
                if is_last[i]:
                    result[i] = self._under_way[path].integral()
        for i in np.flatnonzero(is_last).tolist():
            del self._under_way[paths[i]]
        return result


def in_rounds(
    rounds: Sequence[int], extent: Extent, rows_of_pass: RowsOfPass
) -> Iterator[Rows]:
    """Lay out passes round after round, for as many paths as fill a pass.

    Points of a path that depend on those before come in a later pass.

    Args:
        rounds (sequence of int): How many points of a path each round has, the most in
            the last.
        extent (Extent): The rows.
        rows_of_pass (callable): Says how many rows the next pass may have.
    """
    ends = np.cumsum(rounds).tolist()
    n_point = ends[-1]
    n_baseline = extent.n_step // n_point
    shape = (extent.n_sample, extent.n_call or 1, n_baseline, extent.n_example)
    n_path = int(np.prod(shape))
    last = 0
    while last < n_path:
        n_row = rows_of_pass()
        first, last = last, min(last + max(1, n_row // rounds[-1]), n_path)
        paths = np.arange(first, last)
        sample, call, baseline, example = np.unravel_index(paths, shape)
        for start, end in zip([0, *ends], ends):
            n = end - start
            point = np.repeat(np.arange(start, end), len(paths))
            rows = Rows(
                extent.first_sample + np.tile(sample, n),
                None if extent.n_call is None else np.tile(call, n),
                np.tile(baseline * n_point, n) + point,
                np.tile(example, n),
                np.arange(len(point)),
            )
            for at in range(0, len(rows), n_row):
                yield rows.cut(at, at + n_row)


def paths_of(rows: Rows, n_point: int) -> list[tuple[int, ...]]:
    """Return for each row what tells its path from others.

    Args:
        rows (Rows): The rows of a pass.
        n_point (int): How many points each path has.
    """
    call = np.zeros_like(rows.step) if rows.call is None else rows.call
    of_rows = (rows.sample, call, rows.step // n_point, rows.example)
    return list(zip(*(array.tolist() for array in of_rows)))

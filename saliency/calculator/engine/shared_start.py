"""One run of what is the same for all samples, before the first dropout."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.backprop import gradients
from saliency.replaced_methods import Method, ReplacedMethods

import chainer
from chainer.functions.noise.dropout import Dropout


class SharedStart:
    """The start of a pass, run once for each example, and its rows behind it.

    With nothing but dropout to tell the samples of an example apart, a network does
    the same for all of them until the first dropout. Up to there it is given one row
    for each example; what dropout is given then is copied for all rows of the pass.
    The graph is cut there: gradients go to the copies first, and from them, sample by
    sample or added up, to the target.

    Args:
        example (numpy.ndarray): The example of each row.
        sample (numpy.ndarray): The sample of each row.
    """

    def __init__(self, example: np.ndarray, sample: np.ndarray) -> None:
        self.examples, self.of_row = np.unique(example, return_inverse=True)
        self._sample = sample
        self._originals: list[Any] = []
        self._copies: list[Any] = []

    def begin(self) -> None:
        """Forget the dropout functions of a forward that is run again."""
        self._originals.clear()
        self._copies.clear()

    @property
    def saves_rows(self) -> bool:
        """Whether there are examples with several rows."""
        return len(self.examples) < len(self.of_row)

    def copied(self, x: Any) -> Any:
        """Return what a dropout function is to be applied to in place of x."""
        if len(x) != len(self.examples):
            return x
        self._originals.append(chainer.as_variable(x))
        self._copies.append(chainer.Variable(self._originals[-1].array[self.of_row]))
        return self._copies[-1]

    def gradients(
        self, outputs: list[Any], weights: list[Any], targets: list[Any], mean: bool
    ) -> list[Any | None] | None:
        """Return the gradient of the summed scores at each target, row by row.

        Args:
            outputs (list of chainer.Variable): What is explained.
            weights (list of array): What gradients start with.
            targets (list of chainer.Variable): One row for each example.
            mean (bool): Whether each row may be given the mean of the rows of its
                example, so that there is one way back for all.

        Returns:
            list of array or None: ``(n_row,) + shape`` for each target, None where
            the outputs do not depend on it; or None if they depend on none.
        """
        at_copies = gradients(outputs, self._copies, weights)
        found = [(x, g) for x, g in zip(self._originals, at_copies) if g is not None]
        if not found:
            return None
        results: list[Any | None] = [None] * len(targets)
        for rows in [slice(None)] if mean else self._rows_of_samples():
            at_originals = [self._added_up(g, rows, mean) for _, g in found]
            grads = gradients([x for x, _ in found], targets, at_originals)
            if all(g is None for g in grads):
                return None
            for i, g in enumerate(grads):
                if g is None:
                    continue
                if results[i] is None:
                    shape = len(self.of_row), *targets[i].shape[1:]
                    results[i] = targets[i].xp.zeros(shape, targets[i].dtype)
                result: Any = results[i]
                result[rows] = g[self.of_row[rows]]
        return results

    def _rows_of_samples(self) -> list[np.ndarray]:
        return [np.flatnonzero(self._sample == m) for m in np.unique(self._sample)]

    def _added_up(self, at_copies: Any, rows: Any, mean: bool) -> Any:
        """Return for each example the sum or mean of its rows."""
        xp = chainer.backend.get_array_module(at_copies)
        of_row = self.of_row[rows]
        total = xp.zeros((len(self.examples), *at_copies.shape[1:]), at_copies.dtype)
        if not mean:
            total[of_row] = at_copies[rows]
            return total
        of_samples = self._rows_of_samples()
        if len(of_samples) < len(self.examples):
            for chosen in of_samples:  # in which no example is twice
                total[of_row[chosen]] += at_copies[chosen]
        else:
            for k in range(len(self.examples)):
                total[k] = at_copies[of_row == k].sum(axis=0)
        counts = np.bincount(of_row, minlength=len(self.examples))
        total /= xp.asarray(counts.reshape(-1, *[1] * (total.ndim - 1)), total.dtype)
        return total

    def sizes(
        self, outputs: list[Any], targets: list[Any]
    ) -> tuple[float, float] | None:
        """Return how many elements the graph holds for each example and each row.

        None says that the start is not shared: no way from the outputs to the targets
        goes through a dropout function, one goes around all of them, or the model made
        one row for each example out of the copies, and so lost those of the others.
        """
        of_targets = {t.node for t in targets}
        before, behind = nodes_behind(self._originals), nodes_behind(outputs)
        if behind & of_targets or not before & of_targets:
            return None
        if before & {copy.node for copy in self._copies}:
            return None
        return (
            _n_element(before) / len(self.examples),
            _n_element(behind) / len(self.of_row),
        )


@contextlib.contextmanager
def sharing(start: SharedStart | None) -> Iterator[None]:
    """Return a block for a model's forward, in which its rows share their start.

    With None they do not, also where the model calls a calculator whose rows do.
    """
    outer = _local.start
    if start is None and outer is None:
        yield
        return
    with _methods.replaced():
        _local.start = start
        try:
            yield
        finally:
            _local.start = outer


def nodes_behind(variables: list[Any]) -> set[Any]:
    """Return all variable nodes of the graph that ends at the variables."""
    found: set[Any] = set()
    todo = [variable.node for variable in variables]
    while todo:
        node = todo.pop()
        if node in found:
            continue
        found.add(node)
        if node.creator_node is not None:
            todo += [x for x in node.creator_node.inputs if x.requires_grad]
    return found


def _n_element(nodes: set[Any]) -> int:
    return sum(math.prod(n.shape) for n in nodes if n.creator_node is not None)


class _Local(threading.local):
    start: SharedStart | None = None


_local = _Local()


def _apply(original: Method) -> Method:
    def apply(self: Any, inputs: tuple[Any, ...]) -> Any:
        if _local.start is not None:
            inputs = (_local.start.copied(inputs[0]),)
        return original(self, inputs)

    return apply


_methods = ReplacedMethods({(Dropout, "apply"): _apply})

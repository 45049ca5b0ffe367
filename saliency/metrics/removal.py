"""The base of metrics that remove features in the order of their relevance."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Callable

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, Converter
from saliency.checks import check_positive
from saliency.configured import names_typos
from saliency.metrics.metric import ModelMetric, ReferenceMetric
from saliency.metrics.passes import Passes
from saliency.metrics.ranking import RankedRun, Steps
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import ScoresForData, check_transform

from chainer.dataset import concat_examples


class RemovalMetric(ModelMetric):
    """Removes groups of features in the order of their relevance.

    The relevance of a group is the sum of the scores of its elements. Groups of equal
    relevance are removed in a random order, another one for each example; so a constant
    map is a random ranking.

    Args:
        transform (str): ``'signed'`` removes what speaks for the output first, and what
            speaks against it last; ``'absolute'`` takes scores without their signs,
            before they are summed.
        n_steps (int): In so many even steps are the groups removed; examples with fewer
            groups have a step for each.

    The other arguments are those of :class:`~saliency.metrics.metric.ModelMetric`.
    """

    transform: str = "signed"
    n_steps: int = 32

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_transform(self.transform)
        check_positive("n_steps", self.n_steps)

    @names_typos
    def of_random(
        self,
        data: Any,
        *,
        n_orders: int = 10,
        batchsize: int | None = None,
        converter: Converter = concat_examples,
        preprocess_fn: Callable[..., Any] | None = None,
        seed: int | None = None,
        show_progress: bool = True,
    ) -> MetricResult:
        """Return what a random ranking gets: the floor for all others.

        Args:
            data: The examples, as in ``compute`` of calculators.
            n_orders (int): Over how many random orders of each example the mean is
                taken.
            batchsize (int or None): As there.
            converter (callable): As there.
            preprocess_fn (callable or None): As there.
            seed (int or None): One seed, one result.
            show_progress (bool): Whether to show a progress bar.

        Returns:
            MetricResult: The mean value of each example, and the mean curve.

        Raises:
            ValueError: If ``n_orders`` is not positive; and as ``compute``.
        """
        self.check()
        check_positive("n_orders", n_orders)
        how = {
            "batchsize": batchsize,
            "converter": converter,
            "preprocess_fn": preprocess_fn,
            "seed": seed,
            "show_progress": show_progress,
        }
        return self._measured(None, data, {**how, "M": n_orders})

    def _measured(
        self, scores: np.ndarray | None, data: Any, how: dict[str, Any]
    ) -> MetricResult:
        def start(batches: Batches, passes: CleanPasses) -> RankedRun:
            ranked = None
            if scores is not None:
                ranked = ScoresForData(scores, self.transform, batches.n_example)
            return self._start(batches, passes, ranked)

        found = self._passes(Passes, start).compute(data, **how).mean(axis=0)
        n_group, at_steps = found[:, 0].astype(int), found[:, 1:]
        steps = {n: self._steps(n) for n in set(n_group.tolist())}
        of_examples = [
            self._curve(row[: len(steps[n].n_absent)], n, steps[n])
            for n, row in zip(n_group.tolist(), at_steps)
        ]
        shape = (len(found), max(len(curve) for curve, _ in of_examples))
        curves, fractions = np.full(shape, np.nan), np.full(shape, np.nan)
        for i, (curve, fraction) in enumerate(of_examples):
            curves[i, : len(curve)], fractions[i, : len(curve)] = curve, fraction
        values = np.array([self._value(*one) for one in of_examples])
        name = type(self).__name__ + ", random" * (scores is None)
        return self._result(values, curves, fractions, name)

    @abstractmethod
    def _start(
        self, batches: Batches, passes: CleanPasses, scores: ScoresForData | None
    ) -> RankedRun:
        """Return what a call holds."""

    @abstractmethod
    def _steps(self, n_group: int) -> Steps:
        """Return what is removed at each step."""

    @abstractmethod
    def _curve(
        self, scores: np.ndarray, n_group: int, steps: Steps
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the curve of an example, and where its points are.

        Args:
            scores (numpy.ndarray): Those of all steps.
            n_group (int): How many groups the example has.
            steps (Steps): What was removed at each.
        """

    @abstractmethod
    def _value(self, curve: np.ndarray, fractions: np.ndarray) -> float:
        """Return the value of an example."""


class AreaMetric(RemovalMetric, ReferenceMetric):
    """Removes all features in the end; the value is the area under the curve.

    The arguments are those of :class:`RemovalMetric` and
    :class:`~saliency.metrics.metric.ReferenceMetric`.
    """

    def _start(
        self, batches: Batches, passes: CleanPasses, scores: ScoresForData | None
    ) -> RankedRun:
        reference = self._reference_for(batches, passes)
        return RankedRun(self._groups_for(batches), reference, scores, self._steps)

    def _value(self, curve: np.ndarray, fractions: np.ndarray) -> float:
        return _area(curve, fractions)


def _area(curve: np.ndarray, fractions: np.ndarray) -> float:
    """Return the area under a curve, by the trapezoidal rule."""
    return float((np.diff(fractions) * (curve[1:] + curve[:-1])).sum() / 2)

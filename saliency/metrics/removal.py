"""The base of metrics that remove features in the order of their relevance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, Converter
from saliency.checks import check_positive
from saliency.configured import names_typos
from saliency.metrics.metric import Metric, ModelMetric, ReferenceMetric
from saliency.metrics.passes import Passes
from saliency.metrics.ranking import MakesSteps, RankedRun, Steps, united
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import ScoresForData, check_transform

from chainer.dataset import concat_examples

#: Settings that decide about the steps alone.
_OF_STEPS = ("n_steps", "order", "share")


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
        (result,) = measured_together([self], scores, data, how)
        return result

    def result_of_steps(
        self, at_steps: list[np.ndarray], n_group: Sequence[int], is_random: bool
    ) -> MetricResult:
        """Return the values and curves that belong to the scores of all steps.

        Args:
            at_steps (list of numpy.ndarray): f at each step of each example.
            n_group (sequence of int): How many groups each example has.
            is_random (bool): Whether the order was random.
        """
        of_examples = [
            self._curve(row, n, self._steps(n)) for n, row in zip(n_group, at_steps)
        ]
        shape = (len(at_steps), max(len(curve) for curve, _ in of_examples))
        curves, fractions = np.full(shape, np.nan), np.full(shape, np.nan)
        for i, (curve, fraction) in enumerate(of_examples):
            curves[i, : len(curve)], fractions[i, : len(curve)] = curve, fraction
        values = np.array([self._value(*one) for one in of_examples])
        name = type(self).__name__ + ", random" * is_random
        return self._result(values, curves, fractions, name)

    @abstractmethod
    def _start(
        self,
        batches: Batches,
        passes: CleanPasses,
        scores: ScoresForData | None,
        steps: MakesSteps,
    ) -> RankedRun:
        """Return what a call holds, for steps that are more than the metric's own."""

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


class ReplacementMetric(RemovalMetric, ReferenceMetric):
    """Removes features by putting a reference in their place.

    The arguments are those of :class:`RemovalMetric` and
    :class:`~saliency.metrics.metric.ReferenceMetric`.
    """

    def _start(
        self,
        batches: Batches,
        passes: CleanPasses,
        scores: ScoresForData | None,
        steps: MakesSteps,
    ) -> RankedRun:
        reference = self._reference_for(batches, passes)
        return RankedRun(self._groups_for(batches), reference, scores, steps)

    def shares_passes(self, other: Metric) -> bool:
        """Tell whether two metrics remove the same, so that passes serve for both."""
        if not isinstance(other, ReplacementMetric):
            return False
        own, others = self.settings(), other.settings()
        return all(
            _is_same(own[name], others[name])
            for name in own.keys() & others.keys()
            if name not in _OF_STEPS
        )


class AreaMetric(ReplacementMetric):
    """Removes all features in the end; the value is the area under the curve.

    The arguments are those of :class:`ReplacementMetric`.
    """

    def _value(self, curve: np.ndarray, fractions: np.ndarray) -> float:
        return _area(curve, fractions)


def measured_together(
    metrics: Sequence[RemovalMetric],
    scores: np.ndarray | None,
    data: Any,
    how: dict[str, Any],
) -> list[MetricResult]:
    """Return what metrics find in passes that they share.

    Args:
        metrics (sequence of RemovalMetric): They differ in their steps alone, as
            :meth:`ReplacementMetric.shares_passes` tells.
        scores (numpy.ndarray or None): ``(N,) + shape``; None ranks at random.
        data: The examples.
        how (dict): Arguments of ``compute`` of calculators.
    """
    first = metrics[0]

    def steps_of(n_group: int) -> tuple[Steps, list[np.ndarray]]:
        return united([one._steps(n_group) for one in metrics], n_group)

    def start(batches: Batches, passes: CleanPasses) -> RankedRun:
        ranked = None
        if scores is not None:
            ranked = ScoresForData(scores, first.transform, batches.n_example)
        return first._start(batches, passes, ranked, lambda n: steps_of(n)[0])

    found = first._passes(Passes, start).compute(data, **how).mean(axis=0)
    n_group, at_steps = found[:, 0].astype(int).tolist(), found[:, 1:]
    places = {n: steps_of(n)[1] for n in set(n_group)}
    return [
        metric.result_of_steps(
            [row[places[n][k]] for n, row in zip(n_group, at_steps)],
            n_group,
            scores is None,
        )
        for k, metric in enumerate(metrics)
    ]


def _is_same(a: Any, b: Any) -> bool:
    """Tell whether two settings are the same object, or equal numbers or texts."""
    is_plain = isinstance(a, (str, int, float)) and type(a) is type(b)
    return a is b or (is_plain and bool(a == b))


def _area(curve: np.ndarray, fractions: np.ndarray) -> float:
    """Return the area under a curve, by the trapezoidal rule."""
    return float((np.diff(fractions) * (curve[1:] + curve[:-1])).sum() / 2)

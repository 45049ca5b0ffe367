"""The work of an evaluation: explanations, and what metrics find of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.metrics.again import AgainMetric
from saliency.metrics.agreement import Agreement
from saliency.metrics.evaluation.naming import Caution, Naming, warn_of
from saliency.metrics.evaluation.random_scores import Template
from saliency.metrics.evaluation.rows import Row
from saliency.metrics.evaluation.table import RANDOM
from saliency.metrics.metric import Metric, ModelMetric
from saliency.metrics.removal import (
    RemovalMetric,
    ReplacementMetric,
    measured_together,
)
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import scores_of

#: Arguments of ``compute_aggregate`` that say how data becomes batches.
_OF_DATA = ("batchsize", "converter", "preprocess_fn")
#: Scores, or the file that they are in.
Stored = Union[np.ndarray, Path]
#: Calls a method of the work by its name; what it returns is given to other calls.
Submit = Callable[..., Any]


class Pair(NamedTuple):
    """A place in the table.

    Attributes:
        method (str): The name of its row.
        metric (str): The name of its column.
    """

    method: str
    metric: str


class Found(NamedTuple):
    """What metrics have found.

    Attributes:
        results (list of MetricResult): One for each metric.
        cautions (list of Caution): The warnings there were.
    """

    results: list[MetricResult]
    cautions: list[Caution]


class Work:
    """What is to be explained and measured.

    Args:
        rows (sequence of Row): The methods.
        metrics (dict): The metrics by their names.
        data: The examples.
        common (dict): Arguments of ``compute_aggregate`` that calculators share, with
            ``batchsize``, ``converter`` and ``preprocess_fn``.
        seed (int): That of all that is drawn.
        out (Path or None): A folder for scores; None keeps those of one method at a
            time in memory.
        n_random (int): How many random rankings of each example there are.
        added_gradient (bool): Whether the last row is the gradient that was added.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        metrics: Mapping[str, Metric],
        data: Any,
        common: Mapping[str, Any],
        seed: int,
        out: Path | None,
        n_random: int,
        added_gradient: bool,
    ) -> None:
        self.rows = rows
        self.metrics = metrics
        self.out = out
        self._data = data
        self._common = dict(common)
        self._how = {name: common[name] for name in _OF_DATA}
        self._shared: dict[str, Any] = {"seed": seed, "show_progress": False}
        self._n_random = n_random
        self._added_gradient = added_gradient
        self._others: dict[int, np.ndarray] = {}  # what Agreement compares with

    @property
    def pairs(self) -> list[Pair]:
        """All places of the table for which there is a value, row by row."""
        found = [Pair(row.name, name) for row in self.rows for name in self.metrics]
        if self._n_random:
            found += [Pair(RANDOM, name) for name in self._names_at_random]
        return found

    @property
    def _names_at_random(self) -> list[str]:
        """The metrics that a random ranking has a value of."""
        return [name for name, one in self.metrics.items() if _takes_scores(one)]

    @property
    def _needs_scores(self) -> bool:
        """Whether scores are needed before metrics are."""
        return any(map(_is_given_scores, self.metrics.values()))

    @property
    def _draws_scores(self) -> bool:
        """Whether a metric of a random ranking needs random scores."""
        measured = (self.metrics[name] for name in self._names_at_random)
        is_needed = any(not isinstance(one, RemovalMetric) for one in measured)
        return is_needed and self._n_random > 0

    @property
    def _groups(self) -> list[list[str]]:
        """The names of the metrics, those together that share passes."""
        found: list[list[str]] = []
        for name, metric in self.metrics.items():
            for names in found:
                first = self.metrics[names[0]]
                if isinstance(first, ReplacementMetric) and first.shares_passes(metric):
                    names.append(name)
                    break
            else:
                found.append([name])
        return found

    def plan(self, submit: Submit) -> Iterator[tuple[list[Pair], Any]]:
        """Yield places, and what the call for them has returned, a :class:`Found`.

        Args:
            submit (callable): Calls a method by its name.
        """
        template = None
        # The gradient comes first, since it may not exist.
        numbers = [*range(len(self.rows))]
        for number in numbers[::-1] if self._added_gradient else numbers:
            row = self.rows[number]
            scores = submit("scores", number) if self._needs_scores else None
            if number == 0 and self._draws_scores:
                template = submit("template", scores)
            for names in self._groups:
                given = scores if _is_given_scores(self.metrics[names[0]]) else None
                pairs = [Pair(row.name, name) for name in names]
                yield pairs, submit("measured", number, names, given)
            del scores, given  # before those of the next row are computed
        if not self._n_random:
            return
        drawn = None if template is None else submit("random_scores", template)
        for names in self._groups:
            metric = self.metrics[names[0]]
            if _takes_scores(metric):
                given = None if isinstance(metric, RemovalMetric) else drawn
                pairs = [Pair(RANDOM, name) for name in names]
                yield pairs, submit("measured_at_random", names, given)

    def scores(self, number: int) -> Stored:
        """Return the scores of a row."""
        row = self.rows[number]
        if not row.explains:
            return scores_of(row.explained, self._data, {})
        settings = {**self._how, **row.settings, **self._shared}
        path = None
        if self.out is not None:
            settings["out"] = path = self.out / f"{file_name(row.name)}.npy"
        with self._naming(row) as naming:
            scores = scores_of(row.explained, self._data, settings)
        warn_of(naming.cautions)
        return scores if path is None else path

    def measured(
        self, number: int, names: Sequence[str], stored: Stored | None
    ) -> Found:
        """Return what metrics find of a row.

        Args:
            number (int): The row.
            names (sequence of str): The metrics, which share passes if they are
                several.
            stored (numpy.ndarray, Path or None): Its scores; None if the metric
                explains them itself.
        """
        row, first = self.rows[number], self.metrics[names[0]]
        scores = None if stored is None else opened(stored)
        with self._naming(row, " and ".join(names)) as naming:
            if isinstance(first, AgainMetric):
                results = [self._again(first, row, scores)]
            else:
                assert scores is not None
                results = self._of_scores(names, scores)
        return Found(results, naming.cautions)

    def _again(
        self, metric: AgainMetric, row: Row, scores: np.ndarray | None
    ) -> MetricResult:
        """Return what a metric finds that explains again."""
        settings = {**self._how, **row.settings, **self._shared}
        calculator: Any = row.explained
        seed = self._shared["seed"]
        return metric._compared(calculator, self._data, seed, settings, scores)

    def _of_scores(
        self, names: Sequence[str], scores: np.ndarray
    ) -> list[MetricResult]:
        metrics: list[Any] = [self.metrics[name] for name in names]
        how = dict(self._shared)
        if isinstance(metrics[0], ModelMetric):
            how.update(self._how)
        if len(metrics) > 1:
            return measured_together(metrics, scores, self._data, how)
        if isinstance(metrics[0], Agreement):
            return [self._agreement(metrics[0], scores)]
        return [metrics[0].compute(scores, self._data, **how)]

    def _agreement(self, metric: Agreement, scores: np.ndarray) -> MetricResult:
        """Return how far scores agree with others, which are explained once."""
        other, settings = metric.other, {**self._common, **self._shared}
        if isinstance(other, BaseCalculator):
            if id(other) not in self._others:
                self._others[id(other)] = scores_of(other, self._data, settings)
            other = self._others[id(other)]
        compared = metric.replace(other=other)
        result = compared.compute(scores, self._data, **self._shared)
        return replace(result, settings=repr(metric))

    def template(self, stored: Stored) -> Template:
        """Return what random scores have in common with those of a row."""
        return Template.of(opened(stored))

    def random_scores(self, template: Template) -> list[Stored]:
        """Return the scores of each of the random rankings."""
        found: list[Stored] = []
        for order in range(self._n_random):
            path = None
            if self.out is not None:
                path = self.out / f"{random_file_name(order)}.npy"
            drawn = template.draw(self._shared["seed"], order, path)
            found.append(drawn if path is None else path)
        return found

    def measured_at_random(
        self, names: Sequence[str], drawn: Sequence[Stored] | None
    ) -> Found:
        """Return what metrics find of random rankings: the means.

        Args:
            names (sequence of str): The metrics, which share passes if they are
                several.
            drawn (list or None): Random scores; None where metrics have a ranking of
                their own.
        """
        with Naming(f"{' and '.join(names)} of a random ranking") as naming:
            if drawn is None:
                metrics: list[Any] = [self.metrics[name] for name in names]
                how = {**self._how, **self._shared, "M": self._n_random}
                results = measured_together(metrics, None, self._data, how)
            else:
                of_each = [self._of_scores(names, opened(one))[0] for one in drawn]
                results = [_mean_of_random(of_each)]
        return Found(results, naming.cautions)

    def _naming(self, row: Row, name: str | None = None) -> Naming:
        """Return a block whose errors and warnings say which method they are about."""
        what = row.name if name is None else f"{name} of {row.name}"
        if self._added_gradient and row is self.rows[-1]:
            what += ", which with_gradient=False leaves out"
        return Naming(what)


def _mean_of_random(results: Sequence[MetricResult]) -> MetricResult:
    """Return the mean of the results of several random rankings."""
    first = results[0]
    curves = [one.curve for one in results if one.curve is not None]
    return replace(
        first,
        metric=f"{first.metric}, random",
        values=np.mean([one.values for one in results], axis=0),
        curve=np.mean(curves, axis=0) if curves else None,
    )


def _is_given_scores(metric: Metric) -> bool:
    return _takes_scores(metric) or getattr(metric, "takes_original", False)


def _takes_scores(metric: Metric) -> bool:
    return not isinstance(metric, AgainMetric)


def opened(stored: Stored) -> np.ndarray:
    """Return scores; those in a file are read as they are needed."""
    if isinstance(stored, Path):
        found: np.ndarray = np.load(stored, mmap_mode="r", allow_pickle=False)
        return found
    return stored


def file_name(name: str) -> str:
    """Return the name of the file for the scores of a method, without its suffix."""
    return re.sub(r"[^\w.+-]+", "_", name)


def random_file_name(order: int) -> str:
    """Return the name of the file for random scores, without its suffix."""
    return f"{RANDOM}-{order}"

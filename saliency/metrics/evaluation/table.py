"""What an evaluation found, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any, ClassVar

import numpy as np

from saliency.checks import is_number, no_choice
from saliency.explanation.packages import imported
from saliency.metrics.evaluation.intervals import paired_interval
from saliency.metrics.result import BETTER, MetricResult
from saliency.tables import PrintedTable

#: What a clear difference is called, by whether larger is better and whether it is so.
_VERDICTS = {
    (True, True): "better",
    (True, False): "worse",
    (False, True): "worse",
    (False, False): "better",
    (None, True): "larger",
    (None, False): "smaller",
}
_NOTHING = "-"
#: The name of the row of random rankings.
RANDOM = "random"
#: Numbers that have more are printed by their significant digits: at least and at most
#: so many, and in between those that their spread leaves them.
_MOST_DECIMALS = 5
_LEAST_DIGITS, _MOST_DIGITS = 3, 15


@dataclass(frozen=True, eq=False, repr=False)
class Differences(PrintedTable):
    """By how much methods differ from the first one, on the same examples.

    A cell has the mean difference and its confidence interval, and a word where the
    interval does not hold 0. Each interval is for itself: of twenty methods that are
    all the same, one is likely to be told apart at a confidence of 95 %.

    Args:
        first (str): The method that is subtracted.
        methods (sequence of str): The others.
        metrics (sequence of str): The metrics.
        means (numpy.ndarray): Mean differences, ``(n_method - 1, n_metric)``; NaN where
            a method has no value.
        lows (numpy.ndarray): The lower ends of the intervals, of the same shape; NaN
            where there is one example.
        highs (numpy.ndarray): The upper ends.
        larger_is_better (sequence of bool or None): For each metric.
        confidence (float): That of the intervals.
    """

    first: str
    methods: Sequence[str]
    metrics: Sequence[str]
    means: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    larger_is_better: Sequence[bool | None]
    confidence: float

    n_text_column: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the table is about."""
        return (
            f"Differences to {self.first}, with paired "
            f"{100 * self.confidence:g} % confidence intervals"
        )

    def verdict(self, method: int, metric: int) -> str:
        """Return what a clear difference is: better, worse, larger or smaller.

        Args:
            method (int): The number of the method among those that differ.
            metric (int): The number of the metric.

        Returns:
            str: Empty where the interval holds 0, or there is none.
        """
        low, high = self.lows[method, metric], self.highs[method, metric]
        if not (low > 0 or high < 0):
            return ""
        return _VERDICTS[self.larger_is_better[metric], bool(low > 0)]

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("method", *_heads(self.metrics, self.larger_is_better))
        columns = range(len(self.metrics))
        return [
            head,
            *(
                (name, *(self._cell(row, column) for column in columns))
                for row, name in enumerate(self.methods)
            ),
        ]

    def _cell(self, method: int, metric: int) -> str:
        at = method, metric
        if np.isnan(self.means[at]):
            return _NOTHING
        low, high = self.lows[at], self.highs[at]
        text = _number(self.means[at], high - low, "+")
        if not np.isnan(low):
            text += f" [{_number(low, high - low)}, {_number(high, high - low)}]"
        return f"{text} {self.verdict(*at)}".rstrip()


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(PrintedTable):
    """Methods by metrics: means, their standard errors, and paired differences.

    It prints as two tables, of means and of differences to the first method.

    Args:
        results (dict): The :class:`~saliency.metrics.MetricResult` of each pair
            ``(method, metric)``, all of the same examples. A pair may be missing where
            a metric does not apply.
        confidence (float): That of the intervals of differences, between 0 and 1.

    Raises:
        ValueError: If there are no results, the number of examples differs, or
            ``confidence`` is not between 0 and 1.
    """

    results: Mapping[tuple[str, str], MetricResult]
    confidence: float = 0.95

    n_text_column: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("results must hold at least one, got none")
        numbers = {len(result) for result in self.results.values()}
        if len(numbers) > 1:
            raise ValueError(
                "results must be of the same examples, got those of "
                f"{' and '.join(map(str, sorted(numbers)))} examples"
            )
        check_confidence(self.confidence)

    @cached_property
    def methods(self) -> list[str]:
        """The names of the methods: the rows."""
        return [*dict.fromkeys(method for method, _ in self.results)]

    @cached_property
    def metrics(self) -> list[str]:
        """The names of the metrics: the columns."""
        return [*dict.fromkeys(metric for _, metric in self.results)]

    @property
    def n_example(self) -> int:
        """The number of examples."""
        return len(next(iter(self.results.values())))

    @cached_property
    def larger_is_better(self) -> list[bool | None]:
        """Whether larger is better, for each metric; None if it is no quality."""
        return [of_one.larger_is_better for of_one in self._of_metrics]

    @cached_property
    def means(self) -> np.ndarray:
        """The mean over the examples, ``(n_method, n_metric)``; NaN where none is."""
        return self._array(lambda result: result.mean)

    @cached_property
    def standard_errors(self) -> np.ndarray:
        """The standard errors of the means, ``(n_method, n_metric)``; NaN likewise."""
        return self._array(lambda result: result.standard_error)

    @cached_property
    def differences(self) -> Differences:
        """By how much the other methods differ from the first one."""
        first, *others = self.methods
        shape = (len(others), len(self.metrics))
        means, lows, highs = (np.full(shape, np.nan) for _ in range(3))
        for column, metric in enumerate(self.metrics):
            base = self.results.get((first, metric))
            for row, method in enumerate(others):
                result = self.results.get((method, metric))
                if base is None or result is None:
                    continue
                found = paired_interval(result.values, base.values, self.confidence)
                means[row, column], lows[row, column], highs[row, column] = found
        return Differences(
            *(first, others, self.metrics, means, lows, highs),
            *(self.larger_is_better, self.confidence),
        )

    @property
    def _of_metrics(self) -> list[MetricResult]:
        """A result of each metric, the first."""
        found: dict[str, MetricResult] = {}
        for (_, metric), result in self.results.items():
            found.setdefault(metric, result)
        return [found[metric] for metric in self.metrics]

    def _array(self, of: Any) -> np.ndarray:
        found = np.full((len(self.methods), len(self.metrics)), np.nan)
        for row, method in enumerate(self.methods):
            for column, metric in enumerate(self.metrics):
                result = self.results.get((method, metric))
                value = None if result is None else of(result)
                found[row, column] = np.nan if value is None else value
        return found

    def ranking(self) -> dict[str, Any]:
        """Return what :meth:`saliency.MetricVisualizer.visualize_ranking` draws.

        Returns:
            dict: Its arguments ``values``, ``larger_is_better`` and ``random``.
        """
        values: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.metrics}
        for (method, metric), result in self.results.items():
            values[metric][method] = result.values
        return {
            "values": {
                name: {k: v for k, v in found.items() if k != RANDOM}
                for name, found in values.items()
            },
            "larger_is_better": dict(zip(self.metrics, self.larger_is_better)),
            "random": {
                name: found[RANDOM] for name, found in values.items() if RANDOM in found
            },
        }

    def curves(self, metric: str) -> dict[str, Any]:
        """Return what :meth:`saliency.MetricVisualizer.visualize` draws of a metric.

        Args:
            metric (str): The name of one that has a curve, such as ``'Deletion'``.

        Returns:
            dict: Its arguments ``curves``, ``fractions`` and ``random``.

        Raises:
            ValueError: If there is no such metric, or it has no curve.
        """
        results = {
            name: self.results[name, metric]
            for name in self.methods
            if (name, metric) in self.results
        }
        curves = {k: v.curve for k, v in results.items() if v.curve is not None}
        if not curves:
            having = {
                m for (_, m), one in self.results.items() if one.curve is not None
            }
            raise no_choice("metric", metric, sorted(having))
        random = curves.pop(RANDOM, None)
        fractions = next(iter(results.values())).fractions
        return {"curves": curves, "fractions": fractions, "random": random}

    def tables(self) -> dict[str, list[tuple[str, ...]]]:
        """Return the cells of both tables by their titles, as texts.

        Returns:
            dict: Rows of cells, of which the first one names the columns; the first
            column names the methods.
        """
        found = {"Means over the examples, with their standard errors": self._rows()}
        if len(self.methods) > 1:
            found[self.differences.title] = self.differences._rows()
        return found

    def settings_of_metrics(self) -> dict[str, str]:
        """Return what decides about the values of each metric, by its name."""
        return {
            name: of_one.settings or of_one.metric
            for name, of_one in zip(self.metrics, self._of_metrics)
        }

    def __str__(self) -> str:
        parts = [super().__str__()]
        if len(self.methods) > 1:
            parts += [self.differences.title, str(self.differences)]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Return both tables and the settings of the metrics as HTML, without a page.

        Returns:
            str: Elements that belong within ``<body>``.
        """
        parts = [super()._repr_html_()]
        if len(self.methods) > 1:
            parts.append(f"<p>{escape(self.differences.title)}</p>")
            parts.append(self.differences._repr_html_())
        items = "".join(
            f"<li>{escape(name)}: <code>{escape(settings)}</code></li>"
            for name, settings in self.settings_of_metrics().items()
        )
        return "\n".join([*parts, f"<ul>{items}</ul>"])

    def to_markdown(self) -> str:
        """Return both tables and the settings of the metrics as Markdown.

        Returns:
            str: Tables as GitHub reads them.
        """
        parts = []
        for title, rows in self.tables().items():
            parts += [f"{_plain(title)}:", _markdown(rows)]
        settings = self.settings_of_metrics().items()
        items = (f"- {_plain(name)}: `{text}`" for name, text in settings)
        return "\n\n".join([*parts, "\n".join(items)])

    def to_dataframe(self) -> Any:
        """Return a row for each pair of a method and a metric.

        Returns:
            pandas.DataFrame: With the columns ``method``, ``metric``, ``better``
            (larger, smaller or neither), ``reference``, ``transform``, ``mean``,
            ``standard_error``, ``difference`` (to the first method), ``low`` and
            ``high`` (its confidence interval), and ``examples``.

        Raises:
            ImportError: If pandas is not installed.
        """
        pandas = imported("pandas", "to_dataframe")
        return pandas.DataFrame([*self._records()])

    def _records(self) -> Iterator[dict[str, Any]]:
        differences = self.differences
        for (method, metric), result in self.results.items():
            row, column = self.methods.index(method), self.metrics.index(metric)
            ends: tuple[float, ...] = (np.nan, np.nan, np.nan)
            if row:
                of_pair = (differences.means, differences.lows, differences.highs)
                ends = tuple(float(array[row - 1, column]) for array in of_pair)
            error = self.standard_errors[row, column]
            yield {
                "method": method,
                "metric": metric,
                "better": BETTER[result.larger_is_better],
                "reference": result.reference,
                "transform": result.transform,
                "mean": result.mean,
                "standard_error": float(error),
                **dict(zip(("difference", "low", "high"), ends)),
                "examples": len(result),
            }

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("method", *_heads(self.metrics, self.larger_is_better))
        return [
            head,
            *(
                (name, *map(_cell, means, errors))
                for name, means, errors in zip(
                    self.methods, self.means, self.standard_errors
                )
            ),
        ]


def check_confidence(confidence: Any) -> None:
    """Raise a ValueError unless it is a number between 0 and 1."""
    if not (is_number(confidence) and 0 < confidence < 1):
        raise ValueError(
            f"confidence must be a number between 0 and 1, got {confidence!r}"
        )


def _heads(metrics: Sequence[str], larger: Sequence[bool | None]) -> list[str]:
    return [f"{name} ({BETTER[one]})" for name, one in zip(metrics, larger)]


def _cell(mean: float, error: float) -> str:
    if np.isnan(mean):
        return _NOTHING
    if np.isnan(error):
        return _number(mean, error)
    return f"{_number(mean, error)} ± {_number(error, error)}"


def _number(value: float, spread: float, sign: str = "-") -> str:
    """Return a number with the decimals that its spread leaves it.

    Args:
        value (float): The number.
        spread (float): How far it is uncertain, which keeps two digits; 0 or NaN if
            that is not known.
        sign (str): ``'+'`` has positive numbers begin with it.
    """
    decimals = 1 - math.floor(math.log10(spread)) if spread > 0 else _MOST_DECIMALS + 1
    if decimals > _MOST_DECIMALS:
        digits = _LEAST_DIGITS
        if spread > 0 and value:
            digits = math.floor(math.log10(abs(value))) + 1 + decimals
        digits = min(max(digits, _LEAST_DIGITS), _MOST_DIGITS)
        return f"{value:{sign}.{digits}g}"
    decimals = max(decimals, 0)
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"  # never -0.00


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table of Markdown, whose first column is of text."""
    head, *body = [[_plain(cell).replace("|", "\\|") for cell in row] for row in rows]
    line = [":---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, line, *body))


def _plain(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())

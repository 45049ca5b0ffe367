"""What a metric found: a value for each example, and a curve where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.tables import PrintedTable

#: What ``larger_is_better`` means, in words.
BETTER = {True: "larger", False: "smaller", None: "neither"}


@dataclass(frozen=True, eq=False, repr=False)
class MetricResult(PrintedTable):
    """A value for each example, and a curve where there is one.

    It prints as a table with one row: what decides about the values (the direction,
    the reference, the transform), their mean and its standard error.

    Args:
        metric (str): The metric's name.
        values (numpy.ndarray): One for each example, ``(N,)``, in float64; finite.
        larger_is_better (bool or None): None where the metric describes an explanation
            and is no quality by itself.
        transform (str): What scores were taken as: ``'signed'`` or ``'absolute'``.
        reference (str or None): What took the place of features that were absent.
        settings (str): The metric with its settings.
        curve (numpy.ndarray or None): ``(N, n_point)``, in float64; NaN behind the last
            point of examples that have fewer points than others.
        fractions (numpy.ndarray or None): Where the points of the curve are, of the
            same shape: from 0 to 1.
    """

    metric: str
    values: np.ndarray
    larger_is_better: bool | None
    transform: str
    reference: str | None = None
    settings: str = ""
    curve: np.ndarray | None = None
    fractions: np.ndarray | None = None

    n_text_column: ClassVar[int] = 4

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        """The mean over the examples."""
        return float(self.values.mean())

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean; None where there is one example."""
        n = len(self.values)
        return float(self.values.std(ddof=1) / np.sqrt(n)) if n > 1 else None

    def _rows(self) -> list[tuple[str, ...]]:
        error = self.standard_error
        return [
            (
                *("metric", "better", "reference", "transform"),
                *("mean", "standard error", "examples"),
            ),
            (
                self.metric,
                BETTER[self.larger_is_better],
                self.reference or "-",
                self.transform,
                f"{self.mean:.4g}",
                "-" if error is None else f"{error:.2g}",
                str(len(self)),
            ),
        ]

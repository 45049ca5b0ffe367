"""An account of the relevance: how much there is at every cut, where the rest went."""

from __future__ import annotations

from dataclasses import dataclass

from saliency.lrp.composites import Assignment
from saliency.lrp.graph import Relevances
from saliency.tables import PrintedTable


@dataclass
class Entry:
    """What one function did with the relevance, summed over its elements.

    Attributes:
        layer (str): Path of the link that applied it, or ``'-'``.
        function (str): Name of the function.
        rule (str): The rule it got, or nothing.
        received (float): Relevance of its outputs.
        passed_on (float): Relevance that its inputs got from it.
        bias (float): What stayed with biases and constants.
        cut (float): All relevance that there is once it has been passed.
    """

    layer: str
    function: str
    rule: str
    received: float = 0.0
    passed_on: float = 0.0
    bias: float = 0.0
    cut: float = 0.0

    @property
    def other(self) -> float:
        """What went nowhere: to epsilon, past a zero denominator, into a mask."""
        return self.received - self.passed_on - self.bias


class Conservation(PrintedTable):
    """The entries of all functions, from the output to the target; prints as a table.

    Attributes:
        start (float): Relevance of the explained outputs.
        entries (list of Entry): One for each function that relevance reached.
    """

    n_text_column = 3

    def __init__(self) -> None:
        self.start = 0.0
        self.entries: list[Entry] = []

    def add(self, relevances: Relevances, assignment: Assignment) -> None:
        """Add the walk of one pass, which must have gone over the same functions."""
        cut = relevances.start
        self.start += cut
        for i, this in enumerate(relevances.applications):
            path, rule = assignment.describe(this)
            if i == len(self.entries):
                name = type(this.function).__name__
                self.entries.append(Entry(path, name, rule))
            entry = self.entries[i]
            entry.received += this.received
            entry.passed_on += this.passed_on
            entry.bias += this.taken_by_bias
            cut += this.passed_on - this.received
            entry.cut += cut

    @property
    def end(self) -> float:
        """Relevance that arrived at the target."""
        return self.entries[-1].cut if self.entries else self.start

    def _rows(self) -> list[tuple[str, ...]]:
        numbers_of = ("received", "passed on", "bias", "other", "cut")
        rows: list[tuple[str, ...]] = [
            ("layer", "function", "rule", *numbers_of),
            ("", "output", "", "", "", "", "", f"{self.start:.6g}"),
        ]
        for e in self.entries:
            numbers = (e.received, e.passed_on, e.bias, e.other, e.cut)
            rows.append((e.layer, e.function, e.rule, *(f"{n:.6g}" for n in numbers)))
        return rows

"""Random subsets of groups that are absent, and how scores go with what follows."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from typing import Any, Callable, ClassVar

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.masks.groups import GroupsForData
from saliency.calculator.masks.rounding import is_rounding
from saliency.calculator.paths.reference import ReferenceForData
from saliency.checks import check_at_least
from saliency.metrics.metric import ReferenceMetric
from saliency.metrics.passes import AbsentGroupsRun, Passes, sums_of_groups
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import ScoresForData
from saliency.user_warnings import warn_user

#: Draws tables of what is absent, ``(n_subset, n_group)``, for a number of groups.
Draws = Callable[[int, Any], list[np.ndarray]]

#: What differs by no more, relative to the largest, is constant but for rounding.
_ROUNDING = 1e-12


def subsets_of_size(n_group: int, size: int, n_subset: int, rng: Any) -> np.ndarray:
    """Return random subsets of some size, or all if there are no more.

    Args:
        n_group (int): How many groups there are.
        size (int): How many are in a subset.
        n_subset (int): How many subsets, at most.
        rng (numpy.random.Generator): Draws them.

    Returns:
        numpy.ndarray: Which group is in which subset, of bool, ``(n, n_group)``.
    """
    if math.comb(n_group, size) <= n_subset:
        all_of_them = list(itertools.combinations(range(n_group), size))
        table = np.zeros((len(all_of_them), n_group), bool)
        np.put_along_axis(table, np.array(all_of_them), True, axis=1)
        return table
    places = np.argsort(rng.random((n_subset, n_group)), axis=1)
    table = places < size
    return table


class SubsetRun(AbsentGroupsRun):
    """Subsets of groups that are absent, which examples with as many groups share.

    Args:
        groups (GroupsForData): What belongs together.
        reference (ReferenceForData or None): What takes the place of what is absent.
        scores (ScoresForData): Those of elements.
        draws (callable): Draws the subsets.
    """

    def __init__(
        self,
        groups: GroupsForData,
        reference: ReferenceForData | None,
        scores: ScoresForData,
        draws: Draws,
    ) -> None:
        super().__init__(groups, reference)
        self.scores = scores
        self._draws = draws
        self.sums = np.zeros((0, 0))  # of the scores of each group
        self.tables: dict[int, list[np.ndarray]] = {}

    def number_of_steps(self, shape: tuple[int, ...]) -> int:
        """Draw the subsets of a batch, and return how many steps there are."""
        self.sums = sums_of_groups(self.scores, self.batch, self.of_target, shape)
        n_step = 0
        for n in sorted(set(self.of_target.n_group.tolist())):
            if n not in self.tables:
                assert self.streams is not None  # whoever runs passes has written them
                self.tables[n] = self._draws(n, self.streams.of_design(0, n))
            n_step = max(n_step, 1 + sum(map(len, self.tables[n])))
        return n_step

    def absent(self, this: ForwardPass) -> np.ndarray:
        """Tell which groups are absent in each row."""
        n_group = self.of_target.n_group[this.rows.example]
        absent = np.zeros((len(this.rows), self.sums.shape[1]), bool)
        for n in set(n_group.tolist()):
            table = np.concatenate([np.zeros((1, n), bool), *self.tables[n]])
            rows = np.flatnonzero(n_group == n)
            step = this.rows.step[rows]
            # Beyond the last step of an example with fewer subsets, nothing is absent.
            step = np.where(step < len(table), step, 0)
            absent[rows, :n] = table[step]
        return absent


class CorrelationMetric(ReferenceMetric):
    r"""How sums of scores over random subsets go with what f loses without them.

    .. math:: \operatorname{corr}_{S}\Bigl(\sum_{i \in S} \phi_i,\;
            f(x) - f(x \text{ without } S)\Bigr)

    over subsets S of one size (Pearson). Where one of the two is the same for all
    subsets but for rounding, as with a constant map or a probability that is 1
    whatever is left out, there is no correlation: the value is 0, and a warning says
    for how many examples.

    Args:
        n_subsets (int): How many random subsets of a size; all, if there are no more.

    The other arguments are those of
    :class:`~saliency.metrics.metric.ReferenceMetric`.

    Raises:
        ValueError: If ``n_subsets`` is below 2, or an example has one group alone.
    """

    n_subsets: int = 100

    transform: ClassVar[str] = "signed"
    _larger_is_better = True

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_at_least("n_subsets", self.n_subsets, 2)

    @abstractmethod
    def sizes(self, n_group: int) -> np.ndarray:
        """Return how large subsets of so many groups are, one size after the other."""

    def _draws(self, n_group: int, rng: Any) -> list[np.ndarray]:
        if n_group < 2:
            raise ValueError(
                f"groups must be two or more for {type(self).__name__}, which compares "
                "subsets of one size; an example has one"
            )
        return [
            subsets_of_size(n_group, size, self.n_subsets, rng)
            for size in self.sizes(n_group).tolist()
        ]

    def _correlations(
        self, scores: np.ndarray, data: Any, how: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of groups of each example, and the correlations by size.

        Returns:
            tuple: ``(N,)``, of int; and ``(N, n_size)``, NaN behind the last size.
        """

        def start(batches: Batches, passes: CleanPasses) -> _CorrelationRun:
            return _CorrelationRun(
                self._groups_for(batches),
                self._reference_for(batches, passes),
                ScoresForData(scores, self.transform, batches.n_example),
                self._draws,
            )

        (found,) = self._passes(Passes, start).compute(data, **how)
        n_group, curves = found[:, 0].astype(int), found[:, 1:]
        n_size = np.array([len(self.sizes(n)) for n in n_group.tolist()])
        curves[np.arange(curves.shape[1]) >= n_size[:, None]] = np.nan
        return n_group, curves

    def _measured(
        self, scores: np.ndarray, data: Any, how: dict[str, Any]
    ) -> MetricResult:
        n_group, curves = self._correlations(scores, data, how)
        fractions = np.full(curves.shape, np.nan)
        for i, n in enumerate(n_group.tolist()):
            sizes = self.sizes(n)
            fractions[i, : len(sizes)] = sizes / n
        return self._result(np.nanmean(curves, axis=1), curves, fractions)


class _CorrelationRun(SubsetRun):
    """Correlations over the subsets of each size."""

    _n_undefined = 0  # examples, for which one is

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return how many groups there are, and the correlation for each size."""
        (scores,) = of_targets[0].astype(np.float64)  # of the one sample
        n_size = max(len(tables) for tables in self.tables.values())
        found = np.zeros((1, len(scores), 1 + n_size))
        for i, (row, n) in enumerate(zip(scores, self.of_target.n_group.tolist())):
            found[0, i, 0] = n
            stop, is_undefined = 1, False
            for k, table in enumerate(self.tables[n]):
                start, stop = stop, stop + len(table)
                without = row[start:stop]
                value = None
                if not is_rounding(without, dtypes[0], axis=0):
                    sums = table @ self.sums[i, :n]
                    value = _correlation(sums, row[0] - without)
                is_undefined = is_undefined or value is None
                found[0, i, 1 + k] = value or 0
            self._n_undefined += is_undefined
        return [found]

    def conclude(self) -> None:
        """Warn of correlations that there are none of."""
        if self._n_undefined:
            warn_user(
                f"the correlation is taken as 0 for {self._n_undefined} examples: "
                "their scores, or what the output loses, are the same for all subsets, "
                "but for rounding"
            )


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return the Pearson correlation of two vectors; None if one is constant."""
    centred = []
    for values in (a, b):
        largest = np.abs(values).max()
        if np.ptp(values) <= _ROUNDING * largest:
            return None
        values = values / largest
        centred.append(values - values.mean())
    x, y = centred
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))

"""Groups that are absent in the order of their scores, and the curves that follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple

import numpy as np

from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.masks.groups import GroupsForData
from saliency.calculator.paths.reference import ReferenceForData
from saliency.calculator.randomness.random_streams import METHOD
from saliency.metrics.passes import AbsentGroupsRun, sums_of_groups
from saliency.metrics.scores import ScoresForData


class Steps(NamedTuple):
    """What is absent at each step, for examples with some number of groups.

    Attributes:
        n_absent (numpy.ndarray): How many groups, ``(n_step,)``; 0 at step 0.
        is_least (numpy.ndarray): Whether these are the least relevant ones instead of
            the most relevant ones, ``(n_step,)``.
    """

    n_absent: np.ndarray
    is_least: np.ndarray

    @classmethod
    def of_one_order(cls, n_absent: np.ndarray, is_least: bool) -> Steps:
        """Return steps of one order."""
        return cls(n_absent, np.full(len(n_absent), is_least))


#: Returns the steps for a number of groups.
MakesSteps = Callable[[int], Steps]


def united(several: Sequence[Steps], n_group: int) -> tuple[Steps, list[np.ndarray]]:
    """Return steps that hold those of several metrics, and where each has its own.

    Args:
        several (sequence of Steps): Those of each metric.
        n_group (int): How many groups there are.

    Returns:
        tuple: The steps, each once; and for each metric the places of its steps, in
        their order.
    """
    if len(several) == 1:
        return several[0], [np.arange(len(several[0].n_absent))]
    n_absent, is_least = (np.concatenate(parts) for parts in zip(*several))
    is_least = is_least & (n_absent < n_group) & (n_absent > 0)  # else of both orders
    found, places = np.unique(2 * n_absent + is_least, return_inverse=True)
    stops = np.cumsum([len(one.n_absent) for one in several])[:-1]
    steps = Steps(found // 2, found % 2 == 1)
    return steps, np.split(places.reshape(-1), stops)


def even_numbers(n_group: int, n_steps: int, share: float) -> np.ndarray:
    """Return how many groups are absent after each of some even steps, from 0 on.

    Args:
        n_group (int): How many groups there are.
        n_steps (int): How many steps; fewer where there are fewer groups.
        share (float): Which share of the groups is absent at the last step; at least
            one group is.
    """
    last = max(round(share * n_group), 1)
    return np.unique(np.round(np.linspace(0, last, n_steps + 1)).astype(int))


class RankedRun(AbsentGroupsRun):
    """Groups that are absent in the order of their scores.

    Groups of equal scores are in a random order, which each sample and each example has
    for itself. So all-zero scores are a random ranking.

    Args:
        groups (GroupsForData): What belongs together.
        reference (ReferenceForData): What takes the place of what is absent.
        scores (ScoresForData or None): Those of elements; None ranks at random.
        steps (callable): Returns the steps for a number of groups.
    """

    def __init__(
        self,
        groups: GroupsForData,
        reference: ReferenceForData | None,
        scores: ScoresForData | None,
        steps: MakesSteps,
    ) -> None:
        super().__init__(groups, reference)
        self._scores = scores
        self._steps = steps
        self._sums = np.zeros((0, 0))  # of the scores of each group
        self._has_ties: list[bool] = []
        self._n_absent = np.zeros((0, 0), int)  # of each example at each step
        self._is_least = np.zeros((0, 0), bool)
        self._ranks: dict[tuple[int, int], np.ndarray] = {}  # of the pass before

    def number_of_steps(self, shape: tuple[int, ...]) -> int:
        """Rank the groups of a batch, and return how many steps there are."""
        n_group = self.of_target.n_group
        if self._scores is None:
            self._sums = np.zeros((len(n_group), int(n_group.max())))
        else:
            self._sums = sums_of_groups(self._scores, self.batch, self.of_target, shape)
        self._has_ties = [
            len(np.unique(sums[:n])) < n for sums, n in zip(self._sums, n_group)
        ]
        self._ranks = {}
        of_numbers = {n: self._steps(n) for n in set(n_group.tolist())}
        n_step = max(len(steps.n_absent) for steps in of_numbers.values())
        # Beyond the last step of an example with fewer groups, nothing is absent.
        self._n_absent = np.zeros((len(n_group), n_step), int)
        self._is_least = np.zeros((len(n_group), n_step), bool)
        for i, n in enumerate(n_group.tolist()):
            steps = of_numbers[n]
            self._n_absent[i, : len(steps.n_absent)] = steps.n_absent
            self._is_least[i, : len(steps.n_absent)] = steps.is_least
        return n_step

    def absent(self, this: ForwardPass) -> np.ndarray:
        """Tell which groups are absent: the first ones, or the last ones."""
        example, step = this.rows.example, this.rows.step
        n_absent = self._n_absent[example, step][:, None]
        is_least = self._is_least[example, step][:, None]
        n_group = self.of_target.n_group[example][:, None]
        ranks = self._ranks_of(this.rows.sample, example)
        absent: np.ndarray = np.where(
            is_least, ranks >= n_group - n_absent, ranks < n_absent
        )
        return absent

    def _ranks_of(self, sample: np.ndarray, example: np.ndarray) -> np.ndarray:
        """Return the rank of each group in some rows; 0 is that of the largest sum."""
        pairs = [
            (m if self._has_ties[i] else 0, i)
            for m, i in zip(sample.tolist(), example.tolist())
        ]
        # Only those of the pass before are kept, since there may be many large ones.
        self._ranks = {
            pair: self._ranks[pair] if pair in self._ranks else self._ranked(*pair)
            for pair in dict.fromkeys(pairs)
        }
        return np.stack([self._ranks[pair] for pair in pairs])

    def _ranked(self, sample: int, example: int) -> np.ndarray:
        """Return the rank of each group of an example in one sample."""
        n = int(self.of_target.n_group[example])
        sums = self._sums[example]
        ties = np.zeros(n)
        if self._has_ties[example]:
            assert self.streams is not None  # whoever runs passes has written them
            index = int(self.batch.index[example])
            ties = self.streams.generator(METHOD, sample, index).random(n)
        ranks = np.arange(len(sums))  # places beyond the groups of the example stay
        ranks[np.lexsort((ties, -sums[:n]))] = np.arange(n)
        return ranks

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return how many groups there are, and the scores of all steps."""
        scores = of_targets[0].astype(np.float64)
        n_group = np.broadcast_to(
            self.of_target.n_group[:, None], (*scores.shape[:2], 1)
        )
        return [np.concatenate([n_group, scores], axis=2)]

"""Groups that are present or absent, and what follows for each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Union

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.masks.absence import Absence, put_in
from saliency.calculator.masks.design import Design, Designer, NoGroups
from saliency.calculator.masks.groups import GroupsForData, GroupsOfTarget
from saliency.calculator.masks.kept_ends import KeptEnds
from saliency.calculator.masks.mask_run import MaskRun, number_of_parts

#: Designs that are kept are dropped, the oldest first, where there are more of them.
_DESIGNS_AT_MOST = 16

#: Into so many parts a sample is divided to tell its standard error.
_PARTS_AT_MOST = 64

_SomeRows = Union[slice, np.ndarray]


class GroupRun(MaskRun):
    """The groups of the batch at hand, and the designs of its samples.

    Examples with as many groups share the design of a sample, so that it is made, and
    solved, once for all of them.

    Args:
        groups (GroupsForData): What belongs together.
        absence (Absence): What takes the place of a group that is absent.
        designer (callable): Makes designs.
        per (str): How elements get the values of groups.
    """

    def __init__(
        self, groups: GroupsForData, absence: Absence, designer: Designer, per: str
    ) -> None:
        super().__init__()
        self._groups = groups
        self._absence = absence
        self._designer = designer
        self._per = per
        self._designs: dict[tuple[int, int], Design] = {}
        self._of_targets: list[GroupsOfTarget] = []
        self._n_group = np.zeros(0, int)  # of each example, in all targets
        self._is_alike = False  # whether examples have as many groups
        self._index = np.zeros(0, int)  # of each example in the data
        self._gives_parts = False
        self._n_part = 0  # as long as no batch has shown it
        self._has_classes = False
        self._ends: KeptEnds | None = None

    def lay_out(self, batch: UserBatch, passes: CleanPasses) -> int:
        """Find the groups of a batch, and return how many steps its designs have."""
        self._index = batch.index
        self._of_targets = self._groups.of_batch(batch, passes)
        self._n_group = self._of_targets[-1].stop
        numbers = set(self._n_group.tolist())
        self._is_alike = len(numbers) == 1
        return max(self._design(0, n).n_step for n in numbers)

    def masked(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target with the groups absent that a step lacks."""
        of_target = self._of_targets[this.position]
        parts = [
            (rows, *self._of_rows(design, of_target, this, rows))
            for rows, design in self._rows_by_design(this)
        ]
        if len(parts) == 1:
            _, present, which = parts[0]
        else:
            shape = (len(this.rows), *of_target.numbers.shape[1:])
            present, which = np.empty(shape, bool), np.zeros(len(this.rows), int)
            for rows, some, some_which in parts:
                present[rows], which[rows] = some, some_which
        absent = self._absence.at(origin, this, call, which)
        return put_in(present, origin, absent)

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return what follows from the scores for the elements of each group."""
        scores = of_targets[0].astype(np.float64, copy=False)
        self.rounding.look_at(scores, dtypes[0], self._index)
        has_classes = scores.ndim == 4
        scores = scores.reshape(*scores.shape[:3], -1)
        self._has_classes = has_classes
        if self._gives_parts:
            values = self._values_of_parts(scores[0])
        else:
            values = self._values(scores, first)
        if self._ends is not None:
            sums = values.mean(axis=0, keepdims=True) if self._gives_parts else values
            self._ends.add(self._index, sums.sum(axis=2), scores[:, :, 0])
        maps = self._maps(values, dtypes)
        return maps if has_classes else [one[:, :, 0] for one in maps]

    def _maps(self, values: np.ndarray, dtypes: list[np.dtype]) -> list[np.ndarray]:
        """Return what the elements of each target get of the values of groups."""
        return [
            of_target.maps(values, self._per, dtype)
            for of_target, dtype in zip(self._of_targets, dtypes)
        ]

    def give_parts(self) -> bool:
        """Give the parts of a sample in its place, if they tell its standard error."""
        self._gives_parts = self._designer.has_errors
        return self._gives_parts

    def keep_ends(self, n_example: int) -> None:
        """Keep the scores that values add up to the difference of, if they do."""
        if self._designer.adds_up and self._per == "element":
            self._ends = KeptEnds(n_example)

    def look_at(self, this: ForwardPass) -> None:
        """Take note of what tells whose scores they are."""
        if self._ends is not None:
            self._ends.look_at(this)

    def mean_ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return v(none) and f(x) of each example, ``(N,)`` or ``(N, n_class)``."""
        found = None if self._ends is None else self._ends.means()
        if found is None or self._has_classes:
            return found
        return found[0][:, 0], found[1][:, 0]

    def _values(self, scores: np.ndarray, first: int) -> np.ndarray:
        """Return the value of each group, ``(n, size, n_group, n_class)``."""
        n_sample, n_example, _, n_class = scores.shape
        n_most = int(self._n_group.max())
        values = np.zeros((n_sample, n_example, n_most, n_class))
        for n, examples in self._examples_by_number():
            for sample in range(n_sample):
                design = self._design(first + sample, n)
                own = scores[sample, examples, : design.n_step]
                values[sample, examples, :n] = design.values(own)
        return values

    def _values_of_parts(self, scores: np.ndarray) -> np.ndarray:
        """Return the values of the parts of the one sample that there is.

        Args:
            scores (numpy.ndarray): ``(size, n_step, n_class)``.

        Returns:
            numpy.ndarray: ``(n_part, size, n_group, n_class)``. There are as many for
            all examples of a call.
        """
        n_example, _, n_class = scores.shape
        n_part = self._n_part = self._n_part or self._number_of_parts(n_class)
        n_most = int(self._n_group.max())
        values = np.zeros((n_part, n_example, n_most, n_class))
        for n, examples in self._examples_by_number():
            design = self._design(0, n)
            own = scores[examples, : design.n_step]
            whole = design.values(own)
            values[:, examples, :n] = whole
            n_own = min(n_part, design.n_unit)
            if n_own < 2:
                continue
            # Where there are fewer parts, they stand for those that are the whole.
            scale = math.sqrt(n_part * (n_part - 1) / (n_own * (n_own - 1)))
            for part, of_part in enumerate(design.parts(own, n_own)):
                values[part, examples, :n] += (of_part - whole) * scale
        return values

    def _number_of_parts(self, n_class: int) -> int:
        """Return how many parts of a sample a call gives, as the first batch shows."""
        n_element = sum(math.prod(one.shape) for one in self._of_targets)
        shape = (len(self._n_group), n_class, n_element)
        return number_of_parts(shape, _PARTS_AT_MOST)

    def _examples_by_number(self) -> Iterator[tuple[int, _SomeRows]]:
        """Give the examples that have as many groups, and how many they have."""
        numbers = set(self._n_group.tolist())
        if len(numbers) == 1:
            yield numbers.pop(), slice(None)
            return
        for n in sorted(numbers):
            yield n, np.flatnonzero(self._n_group == n)

    def _rows_by_design(self, this: ForwardPass) -> Iterator[tuple[_SomeRows, Design]]:
        """Give the rows that have the same design, and which one it is."""
        sample = this.rows.sample
        if self._is_alike and (sample == sample[0]).all():
            yield slice(None), self._design(int(sample[0]), int(self._n_group[0]))
            return
        n_group = self._n_group[this.rows.example]
        pairs = set(zip(sample.tolist(), n_group.tolist()))
        for m, n in pairs:
            rows: _SomeRows = slice(None)
            if len(pairs) > 1:
                rows = np.flatnonzero((sample == m) & (n_group == n))
            yield rows, self._design(m, n)

    def _of_rows(
        self,
        design: Design,
        of_target: GroupsOfTarget,
        this: ForwardPass,
        rows: _SomeRows,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what is present in rows, and which row of the background they take.

        Beyond the last step of an example with fewer groups than others, all is.
        """
        step = this.rows.step[rows]
        if not self._is_alike:
            step = np.where(step < design.n_step, step, 0)
        numbers = of_target.of_rows(this.rows.example[rows])
        present = design.present(step, numbers)
        if not self._absence.n_row:
            return present, np.zeros(len(step), int)
        return present, design.background(step, this.index[rows])

    def _design(self, sample: int, n_group: int) -> Design:
        """Return the design of a sample for examples with so many groups."""
        key = (sample if self._designer.is_random else 0, n_group)
        if key not in self._designs:
            assert self.streams is not None  # whoever runs passes has written them
            rng = self.streams.of_design(sample, n_group)
            design: Design = NoGroups()
            if n_group:
                design = self._designer(n_group, self._absence.n_row, rng)
            while len(self._designs) >= _DESIGNS_AT_MOST:
                self._designs.pop(next(iter(self._designs)))
            self._designs[key] = design
        return self._designs[key]

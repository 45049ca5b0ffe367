"""Permutation: how far the output falls with the features of other rows of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.rows import NoBatchAxis
from saliency.calculator.mask_calculator import MaskCalculator
from saliency.calculator.masks.group_run import GroupRun
from saliency.calculator.masks.groups import Groups, check_per
from saliency.calculator.masks.leave_one_out import Permutation
from saliency.calculator.paths.background import Background
from saliency.checks import check_positive

import chainer

#: So many rows of the data are drawn from at most, or as many as take so much memory.
_ROWS_OF_DATA = 1000
_BYTES_OF_DATA = 128 << 20


class PermutationCalculator(MaskCalculator):
    r"""Permutation: how far the output falls with a feature of other rows of the data.

    .. math:: \phi_g = f_c(x) - \frac{1}{D} \sum_{d=1}^D
            f_c(x \text{ with group } g \text{ of row } z_d)

    Breiman (2001), "Random forests", section 10; Fisher, Rudin and Dominici (2019),
    "All models are wrong, but many are useful", arXiv:1801.01489. They shuffle a column
    and ask by how much the loss of a data set rises; here it is the score of each
    example. For theirs, let ``eval_fun`` return the loss of each example, whose negated
    values have the mean that they call importance.

    What takes the place of a group is a value that does occur, unlike a baseline, but
    it may not go with the other columns. In each of the D draws, every row of the data
    lends its values once. A sample has draws of its own. With one sample, ``explain``
    finds how far values are by chance from the mean over all rows, and returns these
    standard errors as ``errors``.

    Args:
        n_draws (int): D, for each example.
        background: The rows that are drawn from: an array ``(n_row,) + target shape``
            or a table; with several targets, a tuple of one for each. None: the data
            that is explained; of more than 1,000 rows (or 128 MB) as many that are
            spread over it.
        groups: Which elements belong together, as in
            :class:`~saliency.FeatureAblationCalculator`. None: the columns of a table,
            the positions of a sequence, the pixels of an image.
        per (str): ``'element'`` divides the value of a group evenly among its elements,
            so that their sum is the value; ``'group'`` gives all of it to each.
        class_index: As in every calculator; ``'all'`` computes all columns of the
            output in the same passes, and puts their axis behind the batch axis.
        targets: As in every calculator. One group after the other is drawn, in one
            target after the other; ``groups`` may be a tuple of one for each.

    Raises:
        TypeError, ValueError: If one of them is none of these; or there is one row to
            draw from, or rows of different lengths.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    n_draws: int = 10
    background: Any = None
    groups: Any = None
    per: str = "element"

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_positive("n_draws", self.n_draws)
        check_per(self.per)
        self._groups()
        if self.background is not None:
            self._background()

    def start(self, batches: Batches, passes: CleanPasses) -> GroupRun:
        """Return the groups, and the rows that are drawn from."""
        if self.background is None:
            absence = Background.of_data("background", _rows_of_data(batches, passes))
        else:
            absence = self._background()
        groups = self._groups().for_data(batches)
        return GroupRun(groups, absence, Permutation(self.n_draws), self.per)

    def _background(self) -> Background:
        return Background("background", self.background, self._gives_tuple)

    def _groups(self) -> Groups:
        return Groups(self.groups, self._gives_tuple)


def _rows_of_data(batches: Batches, passes: CleanPasses) -> list[np.ndarray]:
    """Return the targets of rows that are spread over the data, for each call."""
    n = batches.n_example
    if n == 1:
        raise ValueError(
            "background=None draws from the data, which is one example here; pass rows "
            "that are like it as background"
        )
    chosen = np.zeros(0, int)
    found: list[list[np.ndarray]] = []
    for start in range(0, n, batches.batchsize):
        stop = min(start + batches.batchsize, n)
        inside = chosen[(start <= chosen) & (chosen < stop)] - start
        if found and not len(inside):
            continue
        targets = _targets_of(batches.load(start, stop), passes)
        if not found:
            of_row = sum(target[0].nbytes for target in targets)
            n_row = min(n, _ROWS_OF_DATA, max(_BYTES_OF_DATA // max(of_row, 1), 2))
            chosen = np.linspace(0, n - 1, n_row).astype(int)
            inside = chosen[chosen < stop]
        found.append([chainer.cuda.to_cpu(target[inside]) for target in targets])
    shapes = {tuple(target.shape[1:] for target in targets) for targets in found}
    if len(shapes) > 1:
        raise _cannot_draw("examples have different shapes")
    return [np.concatenate(parts) for parts in zip(*found)]


def _targets_of(batch: UserBatch, passes: CleanPasses) -> list[Array]:
    """Return the targets of a batch, which have to be of one shape."""
    try:
        targets = passes.targets(batch)
    except NoBatchAxis as error:
        raise _cannot_draw(str(error)) from None
    if passes.has_ragged_targets(batch):
        raise _cannot_draw("examples have different lengths")
    return targets


def _cannot_draw(reason: str) -> ValueError:
    return ValueError(
        f"background=None draws from the data, but {reason}; pass rows as background"
    )

"""What the values of each example add up to, for explanations that start from there."""

from __future__ import annotations

import numpy as np

from saliency.calculator.engine.forward_pass import ForwardPass


class KeptEnds:
    """The scores of examples as they are, and with all of their groups absent.

    Args:
        n_example (int): How many examples the data has.
    """

    def __init__(self, n_example: int) -> None:
        self._n_example = n_example
        self._totals: np.ndarray | None = None  # (2, n_example, n_class)
        self._n_sample = np.zeros((n_example, 1))
        self._n_call = 1
        self._is_of_batch = False

    def look_at(self, this: ForwardPass) -> None:
        """Take note of whether a pass has a score for each row, and of its calls."""
        self._is_of_batch = self._is_of_batch or this.gives_one_value()
        self._n_call = 1 if this.rows.call is None else len(this.targets)

    def add(self, index: np.ndarray, sums: np.ndarray, scores: np.ndarray) -> None:
        """Take what the values of a batch add up to.

        Args:
            index (numpy.ndarray): Index of each example in the data.
            sums (numpy.ndarray): The sums of their values, ``(n, size, n_class)``.
            scores (numpy.ndarray): Their scores with all groups present, of the same
                shape; those of all calls of the target's link added up.
        """
        if self._totals is None:
            self._totals = np.zeros((2, self._n_example, sums.shape[2]))
        self._totals[0, index] += sums.sum(axis=0)
        self._totals[1, index] += scores.sum(axis=0) / self._n_call
        self._n_sample[index] += len(sums)

    def means(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the scores with no group and with all, ``(N, n_class)`` each.

        They are means over samples. None where one score stands for a whole batch.
        """
        if self._totals is None or self._is_of_batch:
            return None
        sums, scores = self._totals / self._n_sample
        return scores - sums, scores

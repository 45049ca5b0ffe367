"""Do attributions add up to the difference of the scores at the ends of their path?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import PassPlan, folded
from saliency.calculator.engine.run import Run
from saliency.user_warnings import warn_user

import chainer

#: Attributions that are off by more than this share of the range of the score along
#: their path are far from adding up. Of the class scores of trained networks without
#: jumps, no example reaches it with 20 Gauss-Legendre steps.
_FAR = 0.2
#: Rounding errors of a network, in multiples of the last digit of its scores.
_ROUNDING = 64


class Completeness:
    r"""Compares sums of attributions with :math:`f(x) - f(x')`; knows the worst.

    How far they are off is measured by the range of the score along the path, or by
    what that is for the examples of the call on average, if it is more. Neither
    vanishes where the score at both ends happens to be nearly the same.

    Args:
        n_baseline (int): Number of baselines, over which attributions are averaged.
        advice (str): Sentences of the warning that say what to do.
        far (float): Attributions that are off by more than this share are far from
            adding up.
    """

    def __init__(self, n_baseline: int, advice: str, far: float = _FAR) -> None:
        self._n_baseline = n_baseline
        self._advice = advice
        self._far = far
        self._first_example = 0
        self._n_example = 0
        self._is_of_batch = False  # the score is one value for the batch
        self._digit = 0.0
        self._of_samples: dict[int, _Scores] = {}  # those under way
        self._n_compared = 0
        self._squares = 0.0  # of the extents
        self._worst: _Miss | None = None
        self._has_warned = False
        # Sums over samples of the scores at both ends, and the number of samples; for
        # each example of the data, if they are kept.
        self._ends: np.ndarray | None = None

    def keep_ends(self, n_example: int) -> None:
        """Keep the scores at both ends of the paths from now on.

        Args:
            n_example (int): How many examples the data has.
        """
        self._ends = np.zeros((3, n_example))

    def mean_ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return f(reference) and f(x) of each example, as means over samples.

        Where paths lead from several baselines, or to several calls, the first is what
        the attributions of an example lack of the second. None where scores were not
        kept, or stand for a whole batch.
        """
        if self._ends is None or self._is_of_batch:
            return None
        differences, scores, n_sample = self._ends
        return (scores - differences) / n_sample, scores / n_sample

    def begin(self, first_example: int, n_example: int) -> None:
        """Get ready for a batch.

        Args:
            first_example (int): Index of its first example in the data.
            n_example (int): How many it has.
        """
        self._first_example = first_example
        self._n_example = n_example
        self._of_samples.clear()

    def add(
        self, this: ForwardPass, alpha: np.ndarray, baseline: np.ndarray, scores: Array
    ) -> None:
        """Take the scores of a pass.

        Args:
            this (ForwardPass): The pass.
            alpha (numpy.ndarray): Where on its path each row is, from 0 to 1.
            baseline (numpy.ndarray): From which baseline it comes.
            scores (array): The explained score of each row.
        """
        rows = this.rows
        self._is_of_batch = this.gives_one_value()
        self._digit = max(float(np.finfo(y.dtype).eps) for y in this.outputs)
        of_rows = chainer.cuda.to_cpu(scores)
        call = np.zeros(len(rows), int) if rows.call is None else rows.call
        n_call = 1 if rows.call is None else len(this.targets)
        for sample in set(rows.sample.tolist()):
            if sample not in self._of_samples:
                shape = n_call, self._n_baseline, self._n_example
                self._of_samples[sample] = _Scores.of_shape(shape)
            at = rows.sample == sample
            paths = call[at], baseline[at], rows.example[at]
            self._of_samples[sample].add(paths, alpha[at], of_rows[at])

    def check(self, attributions: list[np.ndarray], first: int) -> None:
        """Compare samples that are complete.

        Args:
            attributions (list of numpy.ndarray): ``(n, size) + shape`` for each target.
            first (int): Which of the M samples is the first of them.
        """
        of_targets = [
            a.sum(axis=tuple(range(2, a.ndim)), dtype="d") for a in attributions
        ]
        totals = np.sum(of_targets, axis=0)
        for sample, total in enumerate(totals, first):
            scores = self._of_samples.pop(sample)
            difference, extent = scores.difference, scores.extent
            if self._ends is not None:
                stop = self._first_example + len(difference)
                at_end = scores.ends[1].mean(axis=(0, 1))
                ends = difference, at_end, np.ones(len(difference))
                self._ends[:, self._first_example : stop] += ends
            if self._is_of_batch:
                total, difference, extent = (
                    total.sum()[None],
                    difference[:1],
                    extent[:1],
                )
            self._squares += np.square(extent[np.isfinite(extent)]).sum()
            self._n_compared += len(extent)
            delta = total - difference
            is_rounding = abs(delta) <= _ROUNDING * self._digit * scores.largest
            # Where f is not finite at the baseline, nothing adds up.
            off = np.where(is_rounding, 0, np.nan_to_num(abs(delta), nan=np.inf))
            share = off / np.maximum(extent, self._usual_extent)
            i = int(np.nan_to_num(share, nan=0).argmax())
            if self._worst is None or share[i] > self._share(self._worst):
                example = self._first_example + i
                self._worst = _Miss(off[i], extent[i], example, delta[i], difference[i])

    def warn(self) -> None:
        """Give a warning, once, if the worst is far from adding up."""
        worst = self._worst
        if self._has_warned or worst is None or self._share(worst) <= self._far:
            return
        self._has_warned = True
        example = f"example {worst.example}"
        if self._is_of_batch:
            example = f"the batch that begins with {example}"
        relative = ""
        if worst.difference and np.isfinite(worst.difference):
            relative = f", {worst.delta / worst.difference:+.0%}"
        warn_user(
            f"the attributions of {example} miss f(x) - f(baseline) = "
            f"{worst.difference:.3g} by {worst.delta:+.3g}{relative}; of all they miss "
            f"it furthest. {self._advice}. convergence_delta says how far each example "
            "is off"
        )

    @property
    def _usual_extent(self) -> float:
        """The root mean square of the extents so far."""
        return float(np.sqrt(self._squares / self._n_compared)) or 1.0

    def _share(self, miss: _Miss) -> float:
        """Return how far an example is off, by what is usual in this call."""
        return float(miss.off / np.fmax(miss.extent, self._usual_extent))


class CompleteRun(Run):
    """What one call holds whose attributions add up, and how well they do.

    A method gives ``completeness`` the scores of each pass.

    Args:
        completeness (Completeness): Compares sums with differences of scores.
        plan (callable): How passes are laid out where rows are independent.

    Attributes:
        completeness (Completeness): The same.
    """

    def __init__(self, completeness: Completeness, plan: PassPlan = folded) -> None:
        super().__init__(plan)
        self.completeness = completeness

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return the attributions of samples that are complete, and check them."""
        self.completeness.check(of_targets, first)
        return super().put_together(of_targets, dtypes, first)

    def keep_ends(self, n_example: int) -> None:
        """Keep the scores at both ends of the paths from now on."""
        self.completeness.keep_ends(n_example)

    def mean_ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return f(baseline) and f(x) of each example, as means over samples."""
        return self.completeness.mean_ends()

    def conclude(self) -> None:
        """Give a warning if attributions are far from adding up."""
        self.completeness.warn()


class _Scores(NamedTuple):
    """The scores along the paths of a sample.

    There is a path for each call of the target, baseline and example.

    Attributes:
        ends (numpy.ndarray): ``(2, n_call, n_baseline, n_example)``, at 0 and at 1.
        low (numpy.ndarray): The smallest on each path.
        high (numpy.ndarray): The largest.
    """

    ends: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of_shape(shape: tuple[int, ...]) -> _Scores:
        """Return those of paths without a score."""
        ends = np.full((2, *shape), np.nan)
        return _Scores(ends, np.full(shape, np.inf), np.full(shape, -np.inf))

    def add(self, paths: Any, alpha: np.ndarray, scores: np.ndarray) -> None:
        """Take scores at points of paths."""
        for end in (0, 1):
            at = alpha == end
            self.ends[(end, *(axis[at] for axis in paths))] = scores[at]
        np.minimum.at(self.low, paths, scores)
        np.maximum.at(self.high, paths, scores)

    @property
    def difference(self) -> np.ndarray:
        """What the attributions of each example must add up to."""
        return self._of_examples(self.ends[1] - self.ends[0])

    @property
    def extent(self) -> np.ndarray:
        """How large the range of the scores along the paths of each example is."""
        return self._of_examples(self.high - self.low)

    @property
    def largest(self) -> float:
        """The largest absolute score."""
        return float(max(abs(self.low).max(), abs(self.high).max()))

    @staticmethod
    def _of_examples(of_paths: np.ndarray) -> np.ndarray:
        of_examples: np.ndarray = of_paths.mean(axis=1).sum(axis=0)
        return of_examples


class _Miss(NamedTuple):
    """How far the attributions of an example are from adding up.

    Attributes:
        off (float): The absolute difference; 0 if it may come from rounding.
        extent (float): The range of the score along its path.
        example (int): Its index in the data.
        delta (float): Their sum minus what it should be.
        difference (float): What it should be.
    """

    off: float
    extent: float
    example: int
    delta: float
    difference: float

"""Agreement: whether two explanations name the same features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.calculator.randomness.random_streams import METHOD, RandomStreams
from saliency.checks import check_choice, check_positive
from saliency.configured import names_typos, positional
from saliency.explanation import Explanation
from saliency.metrics.metric import Metric, seed_of_all
from saliency.metrics.rank_correlation import rank_correlations
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import (
    Explained,
    check_order,
    check_transform,
    maps_of_examples,
    scores_of,
    transformed,
)

_MEASURES = ("top", "rank", "sign", "signed_rank", "correlation")


class Agreement(Metric):
    r"""Agreement: whether two explanations name the same features.

    Krishna et al. (2022), "The disagreement problem in explainable machine learning: a
    practitioner's perspective", arXiv:2202.01602, section 3.2. Of the k features with
    the largest scores of one explanation,

    - ``'top'``: the share that is among the first k of the other one (feature
      agreement);
    - ``'rank'``: the share that has the same rank there (rank agreement);
    - ``'sign'``: the share that is among them and has the same sign (sign agreement);
    - ``'signed_rank'``: the share with the same rank and the same sign (signed rank
      agreement);
    - ``'correlation'``: Spearman's correlation of the ranks of all features (rank
      correlation).

    Features of equal scores are ranked in a random order, another one in each of the
    two; in the correlation they share their mean rank. Two explanations may agree and
    both be wrong: it is not a quality by itself.

    Args:
        other: What is compared with: scores ``(N,) + shape``, an
            :class:`saliency.Explanation`, or a calculator, which explains the same
            data.
        measure (str): One of those above.
        k (int): How many features; not for ``'correlation'``.
        transform (str): ``'absolute'`` ranks features by their scores without the
            signs, as in the paper; ``'signed'`` by the scores as they are.

    Raises:
        ValueError: If a setting is none of these.
    """

    other: Any = positional()
    measure: str = "top"
    k: int = 5
    transform: str = "absolute"

    _larger_is_better: ClassVar[bool | None] = None

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        check_choice("measure", self.measure, _MEASURES)
        check_positive("k", self.k)
        check_transform(self.transform)

    @names_typos
    def compute(
        self,
        explained: Explained,
        data: Any = None,
        *,
        seed: int | None = None,
        show_progress: bool = True,
        **settings: Any,
    ) -> MetricResult:
        """Return how far two explanations of each example agree.

        Args:
            explained: A calculator, which explains ``data``; an
                :class:`saliency.Explanation`; or scores ``(N,) + shape``.
            data: The examples, for calculators.
            seed (int or None): One seed, one result.
            show_progress (bool): Whether to show a progress bar.
            settings: For calculators, the other arguments of their
                ``compute_aggregate``.

        Returns:
            MetricResult: The values, ``(N,)``.

        Raises:
            TypeError: If one of the two is none of these.
            ValueError: If they do not have the same shape, or explanations the same
                features, or examples in the same order; scores are not finite, or an
                example has fewer than k features.
        """
        self.check()
        seed = seed_of_all(seed, settings)
        pair = []
        of_calculators = {"seed": seed, "show_progress": show_progress, **settings}
        any_explains = isinstance(explained, BaseCalculator) or isinstance(
            self.other, BaseCalculator
        )
        for one in (explained, self.other):
            explains = isinstance(one, BaseCalculator)
            how = of_calculators if explains else {} if any_explains else settings
            pair.append(scores_of(one, data, how))
        first, second = pair
        if first.shape != second.shape:
            raise ValueError(
                f"explained must have the shape {second.shape} of other, got "
                f"{first.shape}"
            )
        _check_features(explained, self.other)
        check_order(explained, self.other, "other")
        if self.measure == "correlation":
            taken = (transformed(one, self.transform) for one in pair)
            return self._result(rank_correlations(*taken))
        streams = RandomStreams(seed)
        maps = zip(maps_of_examples(first), maps_of_examples(second))
        values = [self._agreement(i, *ab, streams) for i, ab in enumerate(maps)]
        return self._result(np.array(values))

    def _agreement(
        self, i: int, a: np.ndarray, b: np.ndarray, streams: RandomStreams
    ) -> float:
        """Return how far the first k features of two maps agree."""
        if a.size < self.k:
            raise ValueError(
                f"k must be at most the number of features, {a.size} in example {i}, "
                f"got {self.k}"
            )
        rng = streams.generator(METHOD, 0, i)
        top_a, top_b = self._top(a, rng), self._top(b, rng)
        if self.measure in ("top", "sign"):
            shared = np.intersect1d(top_a, top_b)
        else:
            shared = top_a[top_a == top_b]
        if self.measure in ("sign", "signed_rank"):
            signs = np.sign(a.ravel()[shared]) == np.sign(b.ravel()[shared])
            shared = shared[signs]
        return len(shared) / self.k

    def _top(self, map_: np.ndarray, rng: Any) -> np.ndarray:
        """Return the first k features, those that are tied in a random order."""
        values = transformed(map_.ravel(), self.transform)
        return np.lexsort((rng.random(values.size), -values))[: self.k]


def _check_features(explained: Any, other: Any) -> None:
    """Raise a ValueError if two explanations say that their features are others."""
    of_both = [
        one.feature_names
        for one in (explained, other)
        if isinstance(one, Explanation) and one.feature_names is not None
    ]
    if len(set(of_both)) > 1:
        first, second = (", ".join(names[:8]) for names in of_both)
        raise ValueError(
            "explained must have the features of other in the same order, "
            f"{second}; got {first}"
        )

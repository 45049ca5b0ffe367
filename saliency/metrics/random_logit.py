"""Random logit: whether the explanation of another class looks alike."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.calculator.randomness.random_streams import METHOD, RandomStreams
from saliency.metrics.again import AgainMetric
from saliency.metrics.predicted import classes_of
from saliency.metrics.rank_correlation import rank_correlations
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import check_transform, scores_of, transformed


class RandomLogit(AgainMetric):
    """Random logit: how like the explanations of two classes are.

    Sixt, Granz and Landgraf (2020), "When explanations lie: why many modified BP
    attributions fail", arXiv:1912.09818, section 4: the class that is explained is
    compared with another one, drawn at random for each example. They compare by SSIM;
    here it is Spearman's rank correlation, which needs no image: 1 for maps that do not
    depend on the class. A smaller value is better, but two classes may have much in
    common, and a random map is near 0. Maps that are the same everywhere have 0, and a
    warning says so.

    Args:
        transform (str): ``'signed'`` compares scores as they are, ``'absolute'``
            without their signs. With two classes whose scores are opposite, signed maps
            have -1 and absolute ones 1.

    Raises:
        ValueError: If ``transform`` is none of these.

    The calculator's ``class_index`` says the first class. ``compute`` also raises a
    ValueError if it explains no single class, or there is one class alone.
    """

    transform: str = "signed"

    _larger_is_better: ClassVar[bool | None] = False

    def check(self) -> None:
        """Raise a ValueError if a setting is not allowed."""
        check_transform(self.transform)

    def _compared(
        self,
        calculator: BaseCalculator,
        data: Any,
        seed: int,
        settings: dict[str, Any],
        original: np.ndarray | None = None,
    ) -> MetricResult:
        classes, n_class = classes_of(calculator, data, settings)
        streams = RandomStreams(seed)
        others = []
        for i, (one, n) in enumerate(zip(classes.tolist(), n_class.tolist())):
            drawn = int(streams.generator(METHOD, 0, i).integers(1, n))
            others.append((one + drawn) % n)

        def scores_of_class(which: np.ndarray) -> np.ndarray:
            return scores_of(calculator.replace(class_index=which), data, settings)

        if original is None:
            original = scores_of_class(classes)
        pair = (original, scores_of_class(np.array(others)))
        maps = (transformed(scores, self.transform) for scores in pair)
        return self._result(rank_correlations(*maps))

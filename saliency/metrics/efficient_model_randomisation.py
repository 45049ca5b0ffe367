"""Efficient model randomisation: whether an untrained network has wilder maps."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.checks import check_positive
from saliency.metrics.again import AgainMetric
from saliency.metrics.randomised_network import (
    RandomisedNetwork,
    check_draw,
    checked_network,
    keeps_dropout,
    layers_of,
)
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import (
    check_transform,
    maps_of_examples,
    scores_of,
    transformed,
)


class EfficientModelRandomisation(AgainMetric):
    r"""Efficient model randomisation: how much wilder maps of a random network are.

    .. math:: \frac{H(\hat e) - H(e)}{H(e)}

    where e is the explanation of the network and :math:`\hat e` that of the network all
    of whose layers are drawn anew, and H the entropy of the histogram of the scores of
    an example. Hedström et al. (2024), "Sanity checks revisited: an exploration to
    repair the model parameter randomisation test", arXiv:2401.06465, section 4
    (eMPRT). Two explanations take the place of the cascade of
    :class:`~saliency.metrics.ModelRandomisation`, and no similarity is needed, which
    noise makes small. A larger value is better: what a network has learned makes its
    maps simpler.

    The same class is explained, with the same seed. The model is never changed.

    Args:
        n_bins (int): How many bins a histogram has, from the smallest to the largest
            score.
        transform (str): ``'signed'`` counts scores as they are; ``'absolute'`` without
            their signs.
        draw (str): As in :class:`~saliency.metrics.ModelRandomisation`.

    Raises:
        ValueError: If a setting is none of these.

    ``compute`` also raises a TypeError if the model is no :class:`chainer.Link`, and a
    ValueError if there is a posterior, or the scores of an example are all in one bin,
    so that there is no relative rise.
    """

    n_bins: int = 100
    transform: str = "signed"
    draw: str = "normal"

    _larger_is_better: ClassVar[bool | None] = True

    def check(self) -> None:
        """Raise a ValueError if a setting is not allowed."""
        check_positive("n_bins", self.n_bins)
        check_transform(self.transform)
        check_draw(self.draw)

    def _compared(
        self,
        calculator: BaseCalculator,
        data: Any,
        seed: int,
        settings: dict[str, Any],
        original: np.ndarray | None = None,
    ) -> MetricResult:
        model = checked_network(calculator, settings)
        keeps_dropout(calculator, settings)
        if original is None:
            original = scores_of(calculator, data, settings)
        before = self._entropies(original)
        if not before.all():
            raise ValueError(
                f"the scores of example {int((before == 0).argmax())} are the same at "
                "all elements, so that their entropy is 0 and has no relative rise"
            )
        network = RandomisedNetwork(model, self.draw, seed)
        network.draw_anew([*layers_of(model)])
        again = scores_of(calculator, data, {**settings, "posterior": network})
        after = self._entropies(again)
        return self._result((after - before) / before)

    def _entropies(self, scores: np.ndarray) -> np.ndarray:
        """Return the entropy of the histogram of each example's scores."""
        entropies = []
        for map_ in maps_of_examples(scores):
            values = transformed(map_, self.transform)
            largest = np.abs(values).max() or 1.0  # so that all widths are normal
            counts, _ = np.histogram(values / largest, self.n_bins)
            shares = counts[counts > 0] / values.size
            entropies.append(abs(float(shares @ np.log(shares))))
        return np.array(entropies)

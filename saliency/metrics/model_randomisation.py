"""Model randomisation: whether explanations depend on what the network has learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.configured import names_typos
from saliency.metrics.again import AgainMetric
from saliency.metrics.randomised_network import (
    LayersCalled,
    RandomisedNetwork,
    check_draw,
    checked_network,
    keeps_dropout,
    layers_of_steps,
)
from saliency.metrics.rank_correlation import rank_correlations
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import check_transform, scores_of, transformed


class Cascade(NamedTuple):
    """Maps of examples while the layers of a network are drawn anew.

    Attributes:
        layers (tuple of tuple of str): The paths of the links that are drawn anew at
            each step, beside those of the steps before.
        maps (numpy.ndarray): ``(N, 1 + n_step) + shape``: those of the trained network,
            and those after each step.
        similarities (numpy.ndarray): The rank correlation of each with the first,
            ``(N, n_step)``.
    """

    layers: tuple[tuple[str, ...], ...]
    maps: np.ndarray
    similarities: np.ndarray


class ModelRandomisation(AgainMetric):
    """Model randomisation: how like explanations are when layers are drawn anew.

    Adebayo et al. (2018), "Sanity checks for saliency maps", arXiv:1810.03292, section
    3.1: the layers of the network lose what they have learned, from the output down to
    the input, one after the other and for good (cascading randomisation). After each,
    the explanation is compared with the original one by Spearman's rank correlation.
    The curve has all of them; the value is the last, with all layers drawn anew.

    An explanation that hardly changes does not depend on the network. One that does
    change has not passed anything by that: a random map changes as well. The same class
    is explained, that of the trained network, with the same seed. Maps that are the
    same everywhere have a correlation of 0, and a warning says so.

    The model is never changed: calculators run it with other parameters. Statistics of
    batch normalization stay as they are.

    Args:
        transform (str): ``'signed'`` compares scores as they are, ``'absolute'``
            without their signs. The paper has both, which may differ much.
        draw (str): ``'normal'`` draws each parameter anew from a normal distribution
            of its own mean and standard deviation; ``'permuted'`` shuffles its values.
        layers (sequence of str or None): The paths of the links that are drawn anew, in
            this order: ``('/fc8', '/fc7')``. None is all that have parameters, in the
            reverse of the order in which they give their outputs.

    Raises:
        ValueError: If a setting is none of these.

    ``compute`` returns the curve as ``(N, n_layer)``, over the share of layers that are
    drawn anew. It also raises a TypeError if the model is no :class:`chainer.Link`, and
    a ValueError if ``layers`` are none of the model's, or it has none, or there is a
    posterior. :meth:`cascade` returns the maps themselves.
    """

    # The passes of the first explanations show in which order layers are called.
    takes_original: ClassVar[bool] = False
    transform: str = "signed"
    draw: str = "normal"
    layers: Sequence[str] | None = None

    _larger_is_better: ClassVar[bool | None] = False

    def check(self) -> None:
        """Raise a ValueError if a setting is not allowed."""
        check_transform(self.transform)
        check_draw(self.draw)

    @names_typos
    def cascade(
        self,
        explained: BaseCalculator,
        data: Any,
        *,
        seed: int | None = None,
        **settings: Any,
    ) -> Cascade:
        """Return the maps themselves, to be looked at.

        They are all in memory, so give it a few examples.
        :meth:`saliency.ImageVisualizer.visualize_cascade` draws them.

        Args:
            explained (BaseCalculator): As in ``compute``.
            data: As there.
            seed (int or None): As there.
            settings: As there.

        Returns:
            Cascade: The maps as they are compared, the layers, and the similarities
            that the curve of ``compute`` has for the same arguments.

        Raises:
            TypeError, ValueError: As ``compute``.
        """
        seed, settings = self._checked(explained, seed, settings)
        layers, maps = zip(*self._steps(explained, data, seed, settings))
        original, *others = maps
        similarities = [rank_correlations(original, one) for one in others]
        return Cascade(
            tuple(layers[1:]), np.stack(maps, axis=1), np.stack(similarities, axis=1)
        )

    def _compared(
        self,
        calculator: BaseCalculator,
        data: Any,
        seed: int,
        settings: dict[str, Any],
        original: np.ndarray | None = None,
    ) -> MetricResult:
        steps = self._steps(calculator, data, seed, settings)
        _, original = next(steps)
        curves = np.stack([rank_correlations(original, maps) for _, maps in steps], 1)
        n_layer = curves.shape[1]
        fractions = np.broadcast_to(np.arange(1, n_layer + 1) / n_layer, curves.shape)
        return self._result(curves[:, -1], curves, fractions)

    def _steps(
        self,
        calculator: BaseCalculator,
        data: Any,
        seed: int,
        settings: dict[str, Any],
    ) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """Give the layers that are drawn anew at each step, and the maps after it.

        The first step draws none.
        """
        model = checked_network(calculator, settings)
        called = LayersCalled()
        if self.layers is not None:
            layers_of_steps(model, called, self.layers)  # before anything is run
        keeps_dropout(calculator, settings)
        with called:
            original = self._maps(calculator, data, settings)
        yield (), original
        network = RandomisedNetwork(model, self.draw, seed)
        for layers in layers_of_steps(model, called, self.layers):
            network.draw_anew(layers)
            maps = self._maps(calculator, data, {**settings, "posterior": network})
            yield tuple(layers), maps

    def _maps(
        self, calculator: BaseCalculator, data: Any, settings: dict[str, Any]
    ) -> np.ndarray:
        return transformed(scores_of(calculator, data, settings), self.transform)

"""Expected Gradients: Integrated Gradients in expectation over a background."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.paths.background import Background
from saliency.calculator.paths.straight import for_rows, way_from
from saliency.calculator.randomness.random_streams import METHOD
from saliency.calculator.randomness.row_streams import RowStreams
from saliency.checks import check_positive


class ExpectedGradientsCalculator(BaseCalculator):
    r"""Expected Gradients: Integrated Gradients in expectation over a background.

    .. math::
        EG_i(x) = \mathbb{E}_{x' \sim D,\, \alpha \sim U(0, 1)} \left[(x_i - x'_i)
            \frac{\partial f_c(x' + \alpha (x - x'))}{\partial x_i}\right]

    Erion et al. (2021), "Improving performance of deep learning models with axiomatic
    attribution priors and expected gradients", arXiv:1906.10670. Others call it
    GradientShap. Each step draws an example :math:`x'` of the background and a point
    :math:`\alpha` of the way from there, and a sample is the mean over ``steps`` of
    them. It is right in expectation: the attributions of an example then add up to
    :math:`f_c(x)` less the mean score of the background, and are the Shapley values
    where the output is a sum of functions of one feature each. Draw several samples,
    ``M``, to see how sure that is: ``aggregate(..., statistic='std')``, divided by the
    square root of ``M``, is the standard error of their mean. What is drawn for an
    example depends on the seed and the sample alone.

    With a small background, :class:`~saliency.IntegratedGradientsCalculator` takes the
    same mean without chance: ``baseline=list(background)`` follows the way from each of
    them, with ``steps`` points each.

    Args:
        background: The examples :math:`D`, as an array ``(n_background,) + shape`` of
            targets, or a table. Their shape is that of an example's target, or can be
            broadcast to it. With several targets, a tuple has one for each of them,
            whose rows belong together.
        steps (int): How many points are drawn for each sample.

    Raises:
        TypeError: If there is no ``background``, or it holds no numbers.
        ValueError: If ``steps`` is not positive, or ``background`` is empty or not
            finite.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    background: Any
    steps: int = 50

    def check(self) -> None:
        """Raise unless ``background`` and ``steps`` are allowed."""
        super().check()
        check_positive("steps", self.steps)
        self._background()

    def start(self, batches: Batches, passes: CleanPasses) -> DrawnPoints:
        """Return what draws the points of the ways."""
        return DrawnPoints(self._background(), self.steps)

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return how many points there are."""
        return _points_of(run).n_point

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        r"""Return the point of the way, :math:`x' + \alpha (x - x')`."""
        points = _points_of(this.run)
        alpha, which = points.drawn(this)
        from_there = points.background.at(origin, this, call, which)
        this.kept[call] = way = way_from(from_there, origin, this)
        return from_there + for_rows(alpha, origin) * way

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the gradient at each point times the way, as part of the mean."""
        pairs = zip(this.kept.values(), this.gradients(classes))
        terms = [way * gradient for way, gradient in pairs]
        return this.of_explained_call(terms) / _points_of(this.run).n_point

    def _background(self) -> Background:
        return Background("background", self.background, self._gives_tuple)


class DrawnPoints(Run):
    """What one call holds.

    Args:
        background (Background): Where the ways begin.
        n_point (int): How many points are drawn for each sample.

    Attributes:
        background (Background): The same.
        n_point (int): The same.
    """

    def __init__(self, background: Background, n_point: int) -> None:
        super().__init__()
        self.background = background
        self.n_point = n_point

    def drawn(self, this: ForwardPass) -> tuple[np.ndarray, np.ndarray]:
        """Return for each row where on its way it is, and from which row that leads."""
        assert self.streams is not None  # whoever runs passes has written them
        # All points of an example in a sample are drawn at once.
        drawn, row = np.unique(this.sample_and_index(), axis=0, return_inverse=True)
        numbers = RowStreams(self.streams, METHOD, drawn, 0).random(
            (len(drawn), self.n_point, 2)
        )
        alpha, which = numbers[row.reshape(-1), this.rows.step].T
        n_row = self.background.n_row
        return alpha, np.minimum((which * n_row).astype(int), n_row - 1)


def _points_of(run: Run) -> DrawnPoints:
    assert isinstance(run, DrawnPoints)  # what start has returned
    return run

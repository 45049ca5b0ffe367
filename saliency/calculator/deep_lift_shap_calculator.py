"""DeepLIFT averaged over a background: approximate Shapley values."""

from __future__ import annotations

from typing import Any

from saliency.array_types import Array
from saliency.calculator.baseline_calculator import run_of
from saliency.calculator.deep_lift_calculator import ByMultipliers, DeepLiftRun
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.paths.background import Background
from saliency.calculator.paths.reference import Reference


class DeepLiftShapCalculator(ByMultipliers):
    r"""DeepLiftSHAP: the mean of DeepLIFT over a background data set.

    .. math:: \phi_i = \frac1B \sum_b m_i(x, x^{(b)}) \, (x_i - x_i^{(b)})

    Lundberg and Lee (2017), "A unified approach to interpreting model predictions",
    arXiv:1705.07874, section 4.2: DeepLIFT's contributions are the Shapley values of a
    network whose functions are replaced by their differences, and the background is
    the distribution of what is absent. They add up to :math:`f_c(x)` minus the mean of
    :math:`f_c` over the background. Where the output is a sum of functions of one
    element each, they are the exact Shapley values.

    Each example is compared with each row of the background by a pass of its own, so
    that the time is that of
    :class:`~saliency.calculator.deep_lift_calculator.DeepLiftCalculator` times the
    number of rows. Some ten to a hundred rows of the training data will do.

    Args:
        background: The rows that the target is compared with, as an array ``(B,) +
            shape`` of targets, or a table. Their shape is that of an example's target,
            or can be broadcast to it. With several targets, a tuple has one for each of
            them, whose rows belong together.

    Raises:
        TypeError: If there is no ``background``, or it holds no numbers.
        ValueError: If ``background`` is empty or not finite. ``compute`` also raises it
            where it has the shape of one example's target, without the axis of rows, or
            where a function has no multipliers, which it names.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    background: Any

    def check(self) -> None:
        """Raise unless ``background`` is allowed."""
        super().check()
        self.references()

    def references(self) -> list[Reference]:
        """Return the rows of the background."""
        return self._background().references()

    def start(self, batches: Batches, passes: CleanPasses) -> DeepLiftRun:
        """Return the rows of the background, which are to fit the targets."""
        run = super().start(batches, passes)
        run.background = self._background()
        return run

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target itself, or the row in the pass that has it."""
        background = run_of(this.run, DeepLiftRun).background
        assert background is not None  # start has set it
        background.check_rows(origin, this, call)
        return super().change_target(origin, this, call)

    def _background(self) -> Background:
        return Background("background", self.background, self._gives_tuple)

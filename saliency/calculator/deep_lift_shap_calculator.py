"""DeepLIFT averaged over a background: approximate Shapley values."""

from __future__ import annotations

from typing import Any

from saliency.calculator.deep_lift_calculator import ByMultipliers
from saliency.calculator.paths.reference import Reference
from saliency.configured import positional

import chainer


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
        background: The rows that the target is compared with: an array ``(B,) +
            shape``, where the shape is that of one example's target; a list of such
            arrays; or a table with numeric columns. For the output of an embedding,
            they are rows of vectors. With several targets, a tuple has one for each of
            them, of the same length.

    Raises:
        ValueError: If ``background`` is none of these, or empty. ``compute`` also
            raises it where a function has no multipliers, which it names.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    background: Any = positional(default=None)

    def references(self) -> list[Reference]:
        """Return the rows of the background, checked."""
        several = self._gives_tuple and isinstance(self.background, tuple)
        of_targets = [
            _rows_of(one) for one in (self.background if several else [self.background])
        ]
        lengths = {len(rows) for rows in of_targets}
        if len(lengths) > 1:
            raise ValueError(
                "background must have as many rows for each target, got "
                f"{[len(rows) for rows in of_targets]}"
            )
        rows_of_all = zip(*of_targets)
        return [
            Reference("background", rows if several else rows[0], several)
            for rows in rows_of_all
        ]


def _rows_of(background: Any) -> Any:
    """Return the rows of a background."""
    rows = background
    if hasattr(rows, "to_numpy"):
        rows = rows.to_numpy()
    if isinstance(rows, chainer.Variable):
        rows = rows.array
    is_array = isinstance(rows, chainer.get_array_types()) and rows.ndim > 0
    if not (is_array or isinstance(rows, (list, tuple))):
        raise ValueError(
            "background must be an array (B,) + shape of an example's target, a list "
            f"of such arrays, or a table, got {background!r}"
        )
    if len(rows) == 0:
        raise ValueError("background is empty; it must have at least one row")
    return rows

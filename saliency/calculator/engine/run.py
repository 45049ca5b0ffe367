"""What one call holds."""

from __future__ import annotations

import numpy as np

from saliency.calculator.engine.rows import PassPlan, Rows, folded
from saliency.checks import narrowed


class Run:
    """All that one call needs and leaves behind; no calculator holds any of it.

    A method that has to remember something from pass to pass adds it in a subclass,
    which its :meth:`~saliency.calculator.engine.recipe.Recipe.start` returns. Between
    batches a run can be pickled.

    Args:
        plan (callable): How passes are laid out where rows are independent.

    Attributes:
        inputs (tuple of numpy.ndarray or None): What the model was called with, if
            that was asked for.
        lengths (numpy.ndarray or None): The true lengths of examples that differ in
            it.
        is_whole_target (bool or None): Whether the target of each pass is that of one
            example, without a batch axis: concatenated tokens, nodes of a graph. None
            until an example has been looked at.
        padding_moves_masks (bool or None): Whether the dropout masks of an example
            depend on how far it is padded, so that each has to go through alone. None
            until two examples have been looked at.
    """

    def __init__(self, plan: PassPlan = folded) -> None:
        self.plan = plan
        self.inputs: tuple[np.ndarray, ...] | None = None
        self.lengths: np.ndarray | None = None
        self.is_whole_target: bool | None = None
        self.padding_moves_masks: bool | None = None

    def needs_graph(self, rows: Rows) -> bool:
        """Tell whether a pass of these rows keeps its graph; here, each does.

        It is not asked where the method needs no gradient.
        """
        return True

    def put_together(self, sums: np.ndarray, dtype: np.dtype, first: int) -> np.ndarray:
        """Return the saliency of samples that are complete; here, the sums.

        Args:
            sums (numpy.ndarray): ``(n, size) + shape``, what the steps of each sample
                and example contributed; ``(n, size, n_step) + shape`` where the method
                keeps its steps.
            dtype (numpy.dtype): Of the saliency.
            first (int): Which of the M samples is the first of them.

        Raises:
            ValueError: If a finite value is beyond the largest of ``dtype``.
        """
        return narrowed(sums, dtype, "a saliency")

    def conclude(self) -> None:
        """Warn of what the call has shown, now that all examples are explained."""

"""What one call holds."""

from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np

from saliency.calculator.engine.rows import PassPlan, Rows, folded
from saliency.calculator.engine.target_layout import BATCH_FIRST, TargetLayout
from saliency.calculator.randomness.random_streams import RandomStreams
from saliency.checks import narrowed
from saliency.user_warnings import warn_user

#: Lengths of examples; None where they do not differ. A tuple for several targets.
Lengths = Union[np.ndarray, tuple[Optional[np.ndarray], ...], None]


class Run:
    """All that one call needs and leaves behind; no calculator holds any of it.

    A method that has to remember something from pass to pass adds it in a subclass,
    which its :meth:`~saliency.calculator.engine.recipe.Recipe.start` returns. Between
    batches a run can be pickled.

    Args:
        plan (callable): How passes are laid out where rows are independent.

    Attributes:
        inputs (tuple or None): What the model was called with, if that was asked for:
            for each input an array, or a list.
        lengths (numpy.ndarray, tuple or None): The true lengths of examples that
            differ in it; in a tuple for each of several targets.
        feature_names (list of str or None): What the data calls the columns of the
            input that is explained.
        explains_scores (bool): Whether what is explained is a score of the model, or a
            sum of scores.
        target_layout (TargetLayout): How the targets of a pass's rows lie in the
            variable that is caught.
        is_whole_output (bool): Whether the output of each pass is that of one example,
            without a batch axis: a score for each token.
        lacks_batch_axis (bool or None): Whether axis 0 of the target of one example is
            another one than that of the batch. None until it has been looked at.
        reads_padding (bool): Whether what is said of an example depends on what a layer
            gives behind its end, so that no example is padded.
        padding_moves_masks (bool or None): Whether the dropout masks of an example
            depend on how far it is padded, so that each has to go through alone. None
            until two examples have been looked at.
        streams (RandomStreams or None): Where random numbers of the method's own come
            from; whoever runs passes writes it here.
    """

    def __init__(self, plan: PassPlan = folded) -> None:
        self.plan = plan
        self.inputs: tuple[Any, ...] | None = None
        self.lengths: Lengths = None
        self.feature_names: list[str] | None = None
        self.explains_scores = True
        self.target_layout: TargetLayout = BATCH_FIRST
        self.is_whole_output = False
        self.lacks_batch_axis: bool | None = None
        self.reads_padding = False
        self.padding_moves_masks: bool | None = None
        self.streams: RandomStreams | None = None
        self._without_influence: set[int] = set()

    @property
    def is_whole_target(self) -> bool:
        """Whether targets have no batch axis, as tokens or nodes in a row have none."""
        return self.target_layout is not BATCH_FIRST

    def needs_graph(self, rows: Rows) -> bool:
        """Tell whether a pass of these rows keeps its graph; here, each does.

        It is not asked where the method needs no gradient.
        """
        return True

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return the saliency of samples that are complete; here, the sums.

        Args:
            of_targets (list of numpy.ndarray): For each target ``(n, size) + shape``,
                what the steps of each sample and example contributed; ``(n, size,
                n_step) + shape`` where the method keeps its steps.
            dtypes (list of numpy.dtype): Of the saliency of each.
            first (int): Which of the M samples is the first of them.

        Raises:
            ValueError: If a finite value is beyond the largest of its dtype.
        """
        return [
            narrowed(s, dtype, "a saliency") for s, dtype in zip(of_targets, dtypes)
        ]

    def give_parts(self) -> bool:
        """Give parts of a sample in its place, where there is one sample.

        Parts are independent, and their mean is the sample, so that their spread tells
        its standard error. From now on :meth:`put_together` returns them, as if they
        were samples.

        Returns:
            bool: Whether it does. Here, there are none.
        """
        return False

    def keep_ends(self, n_example: int) -> None:
        """Keep the scores at both ends of paths from now on; here, there are none."""

    def mean_ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return f(reference) and f(x), ``(N,)`` each, as means over the samples.

        None where the method has no paths, or one score stands for a whole batch.
        """
        return None

    def conclude(self) -> None:
        """Warn of what the call has shown, now that all examples are explained."""

    def warn_of_no_influence(self, position: int) -> None:
        """Warn, once in a call, of one of several targets that has no influence."""
        if position in self._without_influence:
            return
        self._without_influence.add(position)
        warn_user(
            f"target {position} (of several, counted from 0) has no influence on the "
            "output, so that its saliency is 0. Is it used by the model (or the "
            "eval_fun), and is the way between them free of .array, argmax and "
            "no_backprop_mode?"
        )

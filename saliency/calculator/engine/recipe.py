"""What a method says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run


class Recipe(ABC):
    """How a method explains; all that the engine knows of a calculator.

    A method has to say what each row of a pass contributes to the saliency
    (:meth:`contribution`). It is written for one target: where there are several, it
    is asked for each, with the pass as seen from that one. The method may override
    these as well, and nothing else:

    =========================  =====================================================
    :meth:`check`              are the settings allowed?
    :meth:`start`              the state of one call, after a look at the whole data
    :meth:`number_of_steps`    passes that each sample needs (points, windows)
    :meth:`watch_forward`      a block around the model's forward, for hooks
    :meth:`change_target`      what takes the target's place in a pass
    :meth:`contribution`       what each row of a pass adds to the saliency
    :meth:`predicted_classes`  what ``class_index='argmax'`` means
    =========================  =====================================================

    Attributes:
        needs_gradient (bool): Whether passes keep their graph.
        shares_start (bool): Whether rows of an example may share a pass up to the
            first dropout. They may if they differ by noise and dropout alone, and
            :meth:`contribution` reads of a pass's graph nothing but
            ``this.gradients``; what ``this.targets`` and ``this.origins`` hold it must
            then take by ``this.by_row``.
        changes_one_example (bool): Whether no more than one example of a batch may be
            changed in a pass where the output is one value for the batch. Step 0 must
            then leave the target as it is.
        tells_calls_apart (bool): Whether, where targets are changed or noisy, each call
            of the target's link is explained by itself.
        tells_targets_apart (bool): Whether, where there are several targets,
            :meth:`contribution` is asked for each of them, with the pass seen from it.
            Otherwise it is asked once, and there is one result.
        is_of_target (bool): Whether the elements of the saliency are those of the
            target, which names of the data's columns then name.
        reads_graph (bool): Whether :meth:`contribution` depends on how the graph was
            made, and not on values and gradients alone. The state that a sequence
            begins with is a constant where it is alone, and part of a variable where
            it is run with a longer one. So packed sequences go one by one.
        holds_all_arrays (bool): Whether a pass holds all arrays of the graph, and more
            like them, until it is over. Fewer rows have room then.
        explains_all_classes (bool): Whether ``class_index='all'`` is allowed.
        keeps_steps (bool): Whether what the steps contribute is kept apart instead of
            added up, and :meth:`~saliency.calculator.engine.run.Run.put_together` of
            the run makes the saliency of it; for methods whose steps contribute a few
            numbers to a large map.
        is_of_examples (bool): Whether the result holds numbers of each example as a
            whole, and not of its elements, so that none of them is padding.
        none_means (str): What ``class_index=None`` stands for: ``'sum'`` or
            ``'argmax'``.
    """

    needs_gradient: ClassVar[bool] = True
    shares_start: ClassVar[bool] = False
    changes_one_example: ClassVar[bool] = False
    tells_calls_apart: ClassVar[bool] = True
    tells_targets_apart: ClassVar[bool] = True
    is_of_target: ClassVar[bool] = True
    reads_graph: ClassVar[bool] = False
    holds_all_arrays: ClassVar[bool] = False
    explains_all_classes: ClassVar[bool] = False
    keeps_steps: ClassVar[bool] = False
    is_of_examples: ClassVar[bool] = False
    none_means: ClassVar[str] = "sum"

    @property
    def changes_target(self) -> bool:
        """Whether passes run with anything else than the target itself."""
        return type(self).change_target is not Recipe.change_target

    def check(self) -> None:  # noqa: B027 (a method may have no settings)
        """Raise a TypeError or ValueError if a setting is not allowed."""

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        """Return what this call holds.

        Args:
            batches (Batches): The whole data, for those that take a mean over it.
            passes (CleanPasses): Runs the trained model on it as it is.
        """
        return Run()

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return how many passes each sample of a batch needs.

        Each row of a pass says which step it is, in ``this.rows.step``; what the
        steps contribute is added up.
        """
        return 1

    def watch_forward(self, run: Run) -> AbstractContextManager[Any]:
        """Return a block that is active around the forward of each pass."""
        return nullcontext()

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return what takes the target's place in a pass; here, the target itself.

        Args:
            origin (array): The target's value, with noise if any. Not to be changed.
            this (ForwardPass): The pass, with its rows and ``this.run``.
            call (int): Which of the explained calls of the target's link it is.
        """
        return origin

    @abstractmethod
    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return what each row of a pass adds to the saliency.

        Args:
            this (ForwardPass): The pass.
            classes (numpy.ndarray, tuple or None): Class of each row, or an index into
                the axes of the output behind the batch axis; None sums all.

        Returns:
            array: ``(n_row,) + shape`` on the model's device. The shape is that of the
            saliency of an example, unless the method keeps its steps.
        """

    def predicted_classes(self, this: ForwardPass) -> np.ndarray | None:
        """Return the class that ``class_index='argmax'`` means for each row."""
        return this.predicted_classes()

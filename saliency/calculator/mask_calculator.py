"""The base of methods that look at scores without a part of the target."""

from __future__ import annotations

from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.masks.mask_run import MaskRun


class MaskCalculator(BaseCalculator):
    """The base of methods that look at scores without a part of the target.

    A method is a design and a solution: the design says what is absent at each step,
    the solution what follows from the scores of all steps. A method declares its
    settings and says in ``start`` which
    :class:`~saliency.calculator.masks.mask_run.MaskRun` holds both. What is absent
    takes no gradient, so that models need none, and all steps of all examples are rows
    of large passes.
    """

    needs_gradient = False
    changes_one_example = True
    explains_all_classes = True
    keeps_steps = True

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of masks, and one for the target as it is (step 0)."""
        assert isinstance(run, MaskRun)  # what start has returned
        return run.lay_out(batch, passes)

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target without what is absent in each row."""
        assert isinstance(this.run, MaskRun)  # what start has returned
        return this.run.masked(origin, this, call)

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the scores, of which the run makes maps when it has all of them."""
        assert isinstance(this.run, MaskRun)  # what start has returned
        this.run.look_at(this)
        if isinstance(self.class_index, str) and self.class_index == "all":
            return this.once("scores", this.scores_of_all_classes)
        return this.once("scores", lambda: this.scores(classes))

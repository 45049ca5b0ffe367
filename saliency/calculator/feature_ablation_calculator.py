"""Feature ablation: how far the output falls when a group of features is absent."""

from __future__ import annotations

from typing import Any

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.mask_calculator import MaskCalculator
from saliency.calculator.masks.absence import Baseline
from saliency.calculator.masks.group_run import GroupRun
from saliency.calculator.masks.groups import Groups, check_per
from saliency.calculator.masks.leave_one_out import Ablation
from saliency.calculator.paths.reference import Reference


class FeatureAblationCalculator(MaskCalculator):
    r"""Feature ablation: how far the output falls when a group of features is absent.

    .. math:: \phi_g = f_c(x) - f_c(x \text{ with group } g \text{ at the baseline})

    The groups divide the target, other than the windows of
    :class:`~saliency.OcclusionCalculator`, which may overlap. What two groups give
    only together counts for both of them or for neither:
    :class:`~saliency.ShapleyCalculator` divides it.

    The value of a group is divided evenly among its elements, so that sums over
    elements are values of groups: those of the channels of a pixel, or of the columns
    that ``explain(groups=...)`` sums.

    Args:
        groups: Which elements belong together:

            - None: each by itself; the columns of a table, the positions of
              ``(N, length, ch)`` (tokens, atoms) with all channels, the pixels of an
              image ``(N, ch, h, w)`` with theirs;
            - an array of int of the shape of one example's target, or of that for each
              example: elements with the same number are a group, as in Captum's
              ``feature_mask``, and negative numbers are in none. An axis may have
              length 1: ``(1, h, w)`` is for all channels of an image.
              :func:`saliency.atom_groups` makes such an array for molecules;
            - a dict: the columns of each group of a table by its name, as
              :func:`saliency.one_hot_groups` returns it. Columns are names of the
              table that is explained, or positions; those in no group are by
              themselves;
            - a callable that is given targets ``(n_row,) + shape`` and returns such an
              array, as :class:`saliency.Superpixels` does.
        baseline: What takes the place of a group: a number; an array of the shape of
            one example's target, or one per example; ``'mean'`` of the data, element
            by element; or a callable that is given targets, as
            :class:`saliency.GaussianBlur`.
        per (str): ``'element'`` divides the value of a group evenly among its elements.
            ``'group'`` gives all of it to each, as Captum does: for pictures and for
            reading it off; then sums over elements count it several times.
        class_index: As in every calculator; ``'all'`` computes all columns of the
            output in the same passes, and puts their axis behind the batch axis.
        targets: As in every calculator. One group after the other is absent, in one
            target after the other; ``groups`` and ``baseline`` may be a tuple of one
            for each.

    Raises:
        TypeError, ValueError: If one of them is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    groups: Any = None
    baseline: Any = 0
    per: str = "element"

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_per(self.per)
        self._groups()
        self._reference()

    def start(self, batches: Batches, passes: CleanPasses) -> GroupRun:
        """Return the groups, and what takes their place."""
        absence = Baseline(self._reference().for_data(batches, passes))
        groups = self._groups().for_data(batches)
        return GroupRun(groups, absence, Ablation(), self.per)

    def _groups(self) -> Groups:
        return Groups(self.groups, self._gives_tuple)

    def _reference(self) -> Reference:
        return Reference("baseline", self.baseline, self._gives_tuple)

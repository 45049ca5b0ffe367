"""Shapley values: what each group of features adds to the others, on average."""

from __future__ import annotations

from typing import Any

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.mask_calculator import MaskCalculator
from saliency.calculator.masks import shapley
from saliency.calculator.masks.absence import Baseline
from saliency.calculator.masks.design import Designer
from saliency.calculator.masks.group_run import GroupRun
from saliency.calculator.masks.groups import Groups, GroupsForData, check_per
from saliency.calculator.paths.background import Background
from saliency.calculator.paths.reference import Reference
from saliency.checks import check_choice, check_positive

_METHODS = ("exact", "kernel", "sampling")


class GameCalculator(MaskCalculator):
    """Explains the game in which groups of features join each other, or are absent.

    The arguments are those of :class:`ShapleyCalculator`.
    """

    baseline: Any = None
    background: Any = None
    groups: Any = None

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting of the game is not allowed."""
        super().check()
        if self.baseline is not None and self.background is not None:
            raise ValueError(
                "baseline and background must not be given both: absent groups are "
                "either at the baseline, or those of rows of the background"
            )
        self._groups()
        self._background_or_reference()

    def absence(self, batches: Batches, passes: CleanPasses) -> Background | Baseline:
        """Return what takes the place of groups that are absent."""
        found = self._background_or_reference()
        if isinstance(found, Background):
            return found
        return Baseline(found.for_data(batches, passes))

    def groups_of(self, batches: Batches) -> GroupsForData:
        """Return the groups for the examples of one call."""
        return self._groups().for_data(batches)

    def _groups(self) -> Groups:
        return Groups(self.groups, self._gives_tuple)

    def _background_or_reference(self) -> Background | Reference:
        if self.background is not None:
            return Background("background", self.background, self._gives_tuple)
        baseline = 0 if self.baseline is None else self.baseline
        return Reference("baseline", baseline, self._gives_tuple)


class ShapleyCalculator(GameCalculator):
    r"""Shapley values: what each group of features adds to the others, on average.

    .. math::
        \phi_i = \sum_{S \subseteq N \setminus \{i\}}
            \frac{|S|!\, (n - |S| - 1)!}{n!} \bigl(v(S \cup \{i\}) - v(S)\bigr)

    v(S) is the score with the groups of S as they are and all others absent. Lundberg
    and Lee (2017), "A unified approach to interpreting model predictions",
    arXiv:1705.07874. The values of an example add up to f(x) - v(none), whatever the
    method and the number of coalitions.

    A sample is one random choice of coalitions, which examples with as many groups
    share; M samples are independent. With one sample, ``explain`` finds how far values
    are from the exact ones by chance, and returns these standard errors as ``errors``.

    Args:
        method (str): How the sum is computed:

            - ``'kernel'``: KernelSHAP, weighted least squares. The smallest and the
              largest coalitions are all run, and of the others some are drawn in
              pairs. With 11 groups or fewer, the default runs all, and values are
              exact. Where few are drawn, values have a bias, which is smaller than
              their standard error with 4 n coalitions or more;
            - ``'sampling'``: what groups add in random orders, in pairs of an order
              and its reverse. Without bias for any number of coalitions. Standard
              errors are upper bounds where fewer pairs than rows of ``background`` are
              run;
            - ``'exact'``: all :math:`2^n` coalitions, of 16 groups at most.
        n_coalitions (int or None): How many coalitions are run for each example, with
            ``'kernel'`` and ``'sampling'``. None is 2 n + 2048, as in shap.
        baseline: What takes the place of a group that is absent: a number; an array of
            the shape of one example's target, or one per example; ``'mean'`` of the
            data, element by element; or a callable that is given targets, as
            :class:`saliency.GaussianBlur`. None is 0.
        background: Rows like those of the data, which take that place instead: v(S) is
            then a mean over them (interventional Shapley values), and the values of an
            example add up to f(x) minus the mean score of the background. An array
            ``(n_row,) + target shape`` or a table. ``'kernel'`` and ``'exact'`` run all
            rows for each coalition. ``'sampling'`` draws one for each pair of orders,
            and values add up to f(x) minus the mean score of the rows drawn.
        groups: Which elements belong together, as in
            :class:`~saliency.FeatureAblationCalculator`. None: the columns of a table,
            the positions of a sequence, the pixels of an image.
        per (str): ``'element'`` divides the value of a group evenly among its elements,
            so that all of them add up; ``'group'`` gives all of it to each.
        class_index: As in every calculator; ``'all'`` computes all columns of the
            output in the same passes, and puts their axis behind the batch axis.
        targets: As in every calculator. The groups of all targets are in one game;
            ``groups``, ``baseline`` and ``background`` may be a tuple of one for each.

    Raises:
        TypeError, ValueError: If one of them is none of these, or there are too many
            groups, or too few coalitions for them.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    method: str = "kernel"
    n_coalitions: int | None = None
    per: str = "element"

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_choice("method", self.method, _METHODS)
        check_positive("n_coalitions", self.n_coalitions, or_none=True)
        if self.method == "exact" and self.n_coalitions is not None:
            raise ValueError(
                "n_coalitions must be None for method='exact', which runs all of them, "
                f"got {self.n_coalitions}"
            )
        check_per(self.per)

    def start(self, batches: Batches, passes: CleanPasses) -> GroupRun:
        """Return the groups, what takes their place, and what makes designs."""
        absence = self.absence(batches, passes)
        return GroupRun(self.groups_of(batches), absence, self._designer(), self.per)

    def _designer(self) -> Designer:
        if self.method == "exact":
            return shapley.Exact()
        if self.method == "kernel":
            return shapley.Kernel(self.n_coalitions)
        return shapley.Sampling(self.n_coalitions)

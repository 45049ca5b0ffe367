"""LIME: the linear model that is most like the network near an example."""

from __future__ import annotations

from typing import Any

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.mask_calculator import MaskCalculator
from saliency.calculator.masks.absence import Baseline
from saliency.calculator.masks.group_run import GroupRun
from saliency.calculator.masks.groups import Groups, check_per
from saliency.calculator.masks.lime import Lime
from saliency.calculator.paths.reference import Reference
from saliency.checks import check_number, check_positive


class LimeCalculator(MaskCalculator):
    r"""LIME: the linear model that is most like the network near an example.

    .. math::
        \phi = \arg\min_w \sum_{z'} e^{-D(1, z')^2 / \sigma^2}
            \bigl(f_c(z) - w_0 - w \cdot z'\bigr)^2 + \alpha |w|^2

    Ribeiro, Singh and Guestrin (2016), "'Why should I trust you?' Explaining the
    predictions of any classifier", arXiv:1602.04938, eq. 1 and section 3.4. z' says
    which groups are present (1) and which are at the baseline (0), in the example z.
    The number of absent groups is drawn uniformly, and then which they are. D is the
    cosine distance. All groups keep their coefficient, where the paper chooses K.

    A coefficient is by how much the score rises with the group, in the neighbourhood
    that ``kernel_width`` says. For a linear network it is the weight times the
    difference to the baseline, but for ``alpha``, which draws coefficients towards 0.
    They do not add up to f(x) - f(baseline). A sample is one draw of coalitions, which
    examples with as many groups share. With one sample, ``explain`` finds how far
    coefficients are by chance from those of many coalitions, and returns these standard
    errors as ``errors``.

    Args:
        n_samples (int): How many coalitions are drawn; the example itself is another.
        kernel_width (float): :math:`\sigma`; 0.25 is that of the authors' code.
        alpha (float): The penalty, 1 in the authors' code.
        groups: Which elements belong together, as in
            :class:`~saliency.FeatureAblationCalculator`. None: the columns of a table,
            the positions of a sequence, the pixels of an image.
        baseline: What takes the place of a group, as there.
        per (str): ``'element'`` divides the coefficient of a group evenly among its
            elements, so that their sum is the coefficient; ``'group'`` gives all of it
            to each.
        class_index: As in every calculator; ``'all'`` computes all columns of the
            output in the same passes, and puts their axis behind the batch axis.
        targets: As in every calculator. The groups of all targets are in one
            regression; ``groups`` and ``baseline`` may be a tuple of one for each.

    Raises:
        TypeError, ValueError: If one of them is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    n_samples: int = 1000
    kernel_width: float = 0.25
    alpha: float = 1.0
    groups: Any = None
    baseline: Any = 0
    per: str = "element"

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_positive("n_samples", self.n_samples)
        check_number("kernel_width", self.kernel_width, 1e-6, 1e6)
        check_number("alpha", self.alpha, 0, 1e300)
        check_per(self.per)
        self._groups()
        self._reference()

    def start(self, batches: Batches, passes: CleanPasses) -> GroupRun:
        """Return the groups, what takes their place, and what makes designs."""
        absence = Baseline(self._reference().for_data(batches, passes))
        groups = self._groups().for_data(batches)
        designer = Lime(self.n_samples, self.kernel_width, self.alpha)
        return GroupRun(groups, absence, designer, self.per)

    def _groups(self) -> Groups:
        return Groups(self.groups, self._gives_tuple)

    def _reference(self) -> Reference:
        return Reference("baseline", self.baseline, self._gives_tuple)

"""Shapley interactions: what pairs of groups of features add together."""

from __future__ import annotations

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.masks.shapley_interactions import (
    INDEXES,
    InteractionRun,
    Interactions,
)
from saliency.calculator.shapley_calculator import GameCalculator
from saliency.checks import check_choice


class ShapleyInteractionCalculator(GameCalculator):
    r"""Shapley interactions: what pairs of groups of features add together.

    Of a pair, what counts is
    :math:`\delta_{ij} v(S) = v(S \cup ij) - v(S \cup i) - v(S \cup j) + v(S)`, where
    v(S) is the score with the groups of S as they are and all others absent. The result
    is a symmetric matrix for each example, ``(M, N, n_group, n_group)``; a pair is in
    two cells, with half of it in each. All of a matrix adds up to f(x) - v(none).

    With ``index='shapley'``, the index of Grabisch and Roubens (1999), "An axiomatic
    approach to the concept of interaction among players in cooperative games", with the
    diagonal of Lundberg, Erion and Lee (2018), "Consistent individualized feature
    attribution for tree ensembles", arXiv:1802.03888 (SHAP interaction values):

    .. math::
        \Phi_{ij} = \frac{1}{2} \sum_{S \subseteq N \setminus ij}
            \frac{|S|!\, (n - |S| - 2)!}{(n - 1)!}\, \delta_{ij} v(S), \quad
        \Phi_{ii} = \phi_i - \sum_{j \neq i} \Phi_{ij}

    With ``index='taylor'``, the Shapley-Taylor index of order two, Sundararajan,
    Dhamdhere and Agarwal (2020), "The Shapley Taylor interaction index", ICML:

    .. math::
        \Phi_{ij} = \frac{1}{n} \sum_{S \subseteq N \setminus ij}
            \binom{n - 1}{|S|}^{-1} \delta_{ij} v(S), \quad
        \Phi_{ii} = v(i) - v(\emptyset)

    so that the diagonal is what each group does alone. With both, rows add up to the
    Shapley values :math:`\phi`. All :math:`2^n` coalitions are run, of 16 groups at
    most. No gradient is needed, and the network may be of any kind; for many features
    of a smooth one, Integrated Hessians take fewer passes.

    Args:
        index (str): ``'shapley'`` or ``'taylor'``.
        baseline: What takes the place of a group that is absent, as in
            :class:`~saliency.ShapleyCalculator`. None is 0.
        background: Rows that take that place instead, as there.
        groups: Which elements belong together, as there; as many in every example. None
            is the columns of a table.
        class_index: As in every calculator; ``'all'`` puts an axis of classes behind
            the batch axis.
        targets: As in every calculator; the groups of all targets are in one game, and
            there is one matrix.

    Raises:
        TypeError, ValueError: If one of them is none of these, or there are too many
            groups.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    index: str = "shapley"

    tells_targets_apart = False

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_choice("index", self.index, INDEXES)

    def start(self, batches: Batches, passes: CleanPasses) -> InteractionRun:
        """Return the groups, what takes their place, and what makes designs."""
        absence = self.absence(batches, passes)
        designer = Interactions(self.index)
        return InteractionRun(self.groups_of(batches), absence, designer, "element")

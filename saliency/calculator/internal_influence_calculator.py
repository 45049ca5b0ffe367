"""Internal influence: the mean gradient at a hidden variable along a path."""

from __future__ import annotations

from saliency.array_types import Array
from saliency.calculator.baseline_calculator import run_of
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.hidden_paths import (
    HiddenPaths,
    HiddenQuadratureCalculator,
    check_lengths,
    gradient_at,
)
from saliency.calculator.paths.straight import for_rows


class InternalInfluenceCalculator(HiddenQuadratureCalculator):
    r"""Internal influence: the mean gradient at a hidden variable along a path.

    .. math::
        \chi_j(x) = \int_0^1
            \frac{\partial f_c(x' + \alpha (x - x'))}{\partial y_j} d\alpha

    Leino et al. (2018), "Influence-directed explanations for deep convolutional
    networks", arXiv:1802.03788, definition 1, where the distribution of interest is
    that of the points on the way from a baseline to the target. It says in which
    direction each unit :math:`y_j` of a layer pushes the output, and how hard for each
    of its own units; :class:`~saliency.ConductanceCalculator` says how much it does
    push.

    The saliency has the shape of what the layer gives, ``(M, N) + layer shape``. With
    several targets, all move together, and there is one result.

    Args:
        layer: As in :class:`~saliency.ConductanceCalculator`.
        baseline: As there.
        steps (int): Number of points on the path from each baseline.
        method (str): Quadrature: ``'gauss_legendre'``, ``'midpoint'``,
            ``'trapezoid'`` or ``'right'``, as in
            :class:`~saliency.IntegratedGradientsCalculator`.

    Raises:
        TypeError: If ``layer`` is missing, or none of these.
        ValueError: If ``layer``, ``baseline``, ``steps`` or ``method`` is none of
            these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    is_of_target = False
    tells_targets_apart = False

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the weighted gradient of each point at the hidden variable."""
        paths = run_of(this.run, HiddenPaths)
        h = paths.hidden(this)
        check_lengths(h, this)
        gradient = gradient_at(h, this, classes)
        return for_rows(paths.weight(this), gradient) * gradient

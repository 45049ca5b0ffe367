"""Guided backpropagation and deconvnet: the gradient with another answer at ReLU."""

from __future__ import annotations

from collections.abc import Sequence

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.graph_calculator import GraphCalculator, GraphRun
from saliency.lrp.graph import Application, Graph, Relevances, function_of
from saliency.lrp.registry import kind_of
from saliency.user_warnings import warn_user

import chainer
import chainer.functions as F


class GuidedRun(GraphRun):
    """What one call of guided backpropagation holds.

    Attributes:
        n_rectifier (int): How many rectifiers the walks have met so far.
        has_warned (bool): Whether it was said that there are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_rectifier = 0
        self.has_warned = False


class GuidedBackpropCalculator(GraphCalculator):
    """Guided backpropagation: at ReLU, negative gradients are cut off as well.

    Springenberg et al. (2014), "Striving for simplicity: the all convolutional net",
    arXiv:1412.6806, section 3.4.

    The paper has ReLU alone. Here the same is done at all rectifiers, which are
    recognized in the graph, wherever they are applied: ``relu``, ``clipped_relu``,
    ``crelu``, ``leaky_relu``, ``prelu``, ``rrelu``, and those written as
    ``maximum(h, 0)``, ``where(h > 0, h, 0)`` and ``clip(h, 0, b)``. The negative part
    of what comes from above is cut off, and the rest is multiplied by the rectifier's
    own derivative, so that a leaky one hands on a share where it is not active.
    (``where`` is one in the examples in which it leaves something negative out; in
    others it may as well be a mask.) Zennit
    does so at every activation, Captum at ReLU alone. At functions that are smooth
    (``elu``, ``softplus``, ``swish``, ``tanh``) it is the gradient. Where no rectifier
    is on the way from the target to the output, the result is the plain gradient, and
    a warning says so.

    The arguments are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`. ``compute`` also
    raises a ValueError where the way leads through a function that hides others, as
    :func:`chainer.functions.forget` does.
    """

    def start(self, batches: Batches, passes: CleanPasses) -> GuidedRun:
        """Return what holds the hook, and whether there are rectifiers."""
        return GuidedRun()

    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        """Walk with the gradient, and :meth:`at_relu`."""
        run = this.run
        assert isinstance(run, GuidedRun)  # what start has returned

        def handle(application: Application) -> Sequence[Array | None]:
            _check_is_open(application)
            rows = _rectified_rows(application)
            if not (_is_rectifier(application) if rows is None else rows.any()):
                return application.gradient()
            run.n_rectifier += 1
            guided = self.at_relu(application, application.output_relevance)
            if rows is None or rows.all():
                return guided
            pairs = zip(guided, application.gradient())
            return [None if g is None else _in_rows(rows, g, h) for g, h in pairs]

        found = graph.walk(this.weights(classes), handle, keeps_account=False)
        if not (run.n_rectifier or run.has_warned):
            run.has_warned = True
            warn_user(
                "no rectifier (relu, leaky_relu, ...) is on the way from the target to "
                f"the output, so that {type(self).__name__} gives the plain gradient"
            )
        return found

    def at_relu(self, relu: Application, gradient: Array) -> Sequence[Array | None]:
        """Return what goes on below a rectifier, given what came from above."""
        return relu.gradient([gradient.clip(min=0)])


class DeconvnetCalculator(GuidedBackpropCalculator):
    """Deconvnet: at ReLU, the gradient itself goes through a ReLU.

    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks",
    section 2.1. Max pooling sends back to the winners ("switches"). The arguments, and
    which functions are treated as ReLU, are those of
    :class:`GuidedBackpropCalculator`.
    """

    def at_relu(self, relu: Application, gradient: Array) -> Sequence[Array | None]:
        """Return the positive part of what came from above."""
        positive = gradient.clip(min=0)
        function = function_of(relu.function)
        if isinstance(function, F.activation.crelu.CReLU):
            # The ReLU of x, and that of -x.
            first, second = relu.xp.split(positive, 2, axis=function.axis)
            positive = first - second
        return relu.at_active([positive])


_RECTIFIERS = (
    F.activation.clipped_relu.ClippedReLU,
    F.activation.crelu.CReLU,
    F.activation.leaky_relu.LeakyReLU,
    F.activation.prelu.PReLUFunction,
    F.activation.relu.ReLU,
    F.activation.rrelu.RReLU,
)


def _is_rectifier(this: Application) -> bool:
    """Tell whether a function is ReLU or one of its kin, in all rows."""
    function = function_of(this.function)
    if isinstance(function, F.math.clip.Clip):
        return function.x_min is not None and bool(function.x_min == 0)
    return isinstance(function, _RECTIFIERS)


def _rectified_rows(this: Application) -> Array | None:
    """Return in which rows a maximum, or ``where``, is the rectifier of a signal.

    That is told from values, and from those of the row itself: what is done with an
    example must not depend on others. Beside the signal there must be zeros. The graph
    has the condition of ``where`` as an array, which must choose the signal exactly
    where that is positive. A mask that lets everything through is not mistaken for
    that, since something negative must have been left out.

    Args:
        this (Application): Any function.

    Returns:
        array or None: One bool for each row; None if this is no function of one signal
        and something else.
    """
    function = function_of(this.function)
    is_where = isinstance(function, F.array.where.Where)
    if not (is_where or isinstance(function, F.math.maximum.Maximum)):
        return None
    active = this.active_indexes
    if len(active) != 1:
        return None
    (signal,) = active
    x, other = this.inputs[signal], this.inputs[1 - signal]
    if x.shape != this.output_relevance.shape:
        return None
    inner = tuple(range(1, x.ndim))
    rows: Array = ~this.xp.broadcast_to(other, x.shape).any(axis=inner)
    if is_where:
        condition = this.xp.broadcast_to(function.condition, x.shape)
        is_chosen = condition if signal == 0 else ~condition
        agrees = (is_chosen == (x > 0)) | (x == 0)
        rows &= agrees.all(axis=inner) & (x < 0).any(axis=inner)
    return rows


def _in_rows(rows: Array, yes: Array, no: Array) -> Array:
    """Return one array in the rows that are chosen, and another one in all others."""
    xp = chainer.backend.get_array_module(yes)
    return xp.where(rows.reshape(-1, *(1,) * (yes.ndim - 1)), yes, no)


def _check_is_open(this: Application) -> None:
    """Raise a ValueError if a function hides those that are applied within it."""
    kind = kind_of(this.function)
    if kind is not None and kind.name == "opaque":
        raise ValueError(
            f"the rectifiers within {this.label} are not in the graph, and their "
            "gradients cannot be cut off; call the functions directly"
        )

"""Guided backpropagation and deconvnet: the gradient with another answer at ReLU."""

from __future__ import annotations

from collections.abc import Sequence

from saliency.array_types import Array
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.graph_calculator import GraphCalculator
from saliency.lrp.graph import Application, Graph, Relevances, function_of

import chainer.functions as F


class GuidedBackpropCalculator(GraphCalculator):
    """Guided backpropagation: at ReLU, negative gradients are cut off as well.

    Springenberg et al. (2014), "Striving for simplicity: the all convolutional net",
    arXiv:1412.6806, section 3.4. ReLU is recognized in the graph, so functional and
    in-line use counts. The arguments are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        """Walk with the gradient, and :meth:`at_relu`."""
        return graph.walk(this.weights(classes), self._handle)

    def at_relu(self, relu: Application, gradient: Array) -> Sequence[Array | None]:
        """Return what goes on below a ReLU, given what came from above."""
        return relu.gradient([gradient.clip(min=0)])

    def _handle(self, application: Application) -> Sequence[Array | None]:
        if isinstance(function_of(application.function), _RELUS):
            return self.at_relu(application, application.relevance[0])
        return application.gradient()


class DeconvnetCalculator(GuidedBackpropCalculator):
    """Deconvnet: at ReLU, the gradient goes through a ReLU of its own instead.

    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks",
    section 2.1. Max pooling sends back to the winners ("switches"). The arguments are
    those of :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    def at_relu(self, relu: Application, gradient: Array) -> Sequence[Array | None]:
        """Return the positive part of what came from above."""
        return [gradient.clip(min=0)]


_RELUS = (F.activation.relu.ReLU, F.activation.clipped_relu.ClippedReLU)

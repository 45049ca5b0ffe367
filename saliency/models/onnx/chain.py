"""The chain that a file becomes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saliency.checks import checked_text
from saliency.models.onnx.inputs import Input
from saliency.models.onnx.links import SharedParameters
from saliency.models.onnx.running import Run
from saliency.models.onnx.scores import SOFTMAX, scores_of
from saliency.models.onnx.steps import Plan

import chainer

#: What no link may be called.
RESERVED = frozenset({*dir(chainer.Chain()), "inputs", "node_names", "_plan"})


class OnnxChain(chainer.Chain):
    """A network from an ONNX file; :func:`~saliency.load_onnx` makes it.

    It is called with the file's inputs, in their order, and returns its output, or a
    tuple of several. Floating-point tensors are variables; integers are arrays.

    Each node on the way of such variables is a link, named after it: ``model["fc"]`` or
    ``model.fc``. Those of layers are Chainer's own (``Convolution2D``, ``Linear``,
    ``EmbedID``, ...), or subclasses.

    Attributes:
        inputs (tuple of Input): What it is given.
        link_names (dict): The names of links by those of the nodes that they run.
        node_names (dict): The names of nodes by that of their link, a tuple for each.
    """

    def __init__(
        self,
        plan: Plan,
        inputs: Sequence[Input],
        links: Mapping[str, chainer.Link],
        node_names: Mapping[str, Iterable[str]],
    ) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.node_names = {link: tuple(nodes) for link, nodes in node_names.items()}
        self._plan = plan
        with self.init_scope():
            for name, link in links.items():
                setattr(self, name, link)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The file's names of its inputs."""
        return tuple(i.name for i in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The file's names of its outputs, in the order in which it returns them."""
        return self._plan.outputs

    @property
    def link_names(self) -> dict[str, str]:
        """The names of links by those of the nodes that they run."""
        return {n: link for link, nodes in self.node_names.items() for n in nodes}

    def forward(self, *inputs: Any) -> Any:
        """Return the output for inputs, a tuple of outputs if there are several.

        Args:
            inputs (Variable or array): One for each of :attr:`input_names`.

        Raises:
            TypeError: If there are more or fewer of them, or they are other numbers
                (integers rather than floating-point numbers).
            ValueError: If the shape of one does not fit, or the file is written for
                batches of another size and no way is known to free it.
        """
        if len(inputs) != len(self.inputs):
            raise TypeError(
                f"the model takes {len(self.inputs)} inputs "
                f"({', '.join(self.input_names)}), got {len(inputs)}"
            )
        values = [i.checked(x) for i, x in zip(self.inputs, inputs)]
        run = Run(self, self._plan, values)
        outputs = run.outputs(self._plan, run.values)
        run.check_growth(self._plan.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    def select(self, outputs: str | Iterable[str]) -> OnnxChain:
        """Return a model of other outputs, which shares its parameters with this one.

        Args:
            outputs (str or iterable of str): Names of values or nodes in the file, or
                of links.

        Returns:
            OnnxChain: With no more links than these outputs need.

        Raises:
            TypeError: If a name is no text.
            ValueError: If there is no such value.
        """
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        if not outputs:
            raise ValueError("outputs must name one output or more, got none")
        plan = self._plan.selected(self._value_name(name) for name in outputs)
        model: OnnxChain = self.copy(mode="share")
        model._plan = plan
        model.node_names = {k: v for k, v in self.node_names.items() if k in plan.links}
        for name in [child.name for child in model.children()]:
            if name not in plan.links and not _is_needed(model[name], plan):
                delattr(model, name)
        return model

    def before_softmax(self) -> OnnxChain:
        """Return a model that gives the scores from which probabilities are made.

        It shares its parameters with this one. An output that is made by a Softmax, a
        LogSoftmax or a Sigmoid is replaced by what goes into that; others stay. Some
        exporters write a softmax as exp(x) / sum(exp(x)), which counts as well.

        Raises:
            ValueError: If no output is made by one of these.
        """
        made = {name: s for s in self._plan.steps for name in s.outputs}
        outputs = [scores_of(name, made) for name in self.output_names]
        if outputs == list(self.output_names):
            ends = [made[o].node.type if o in made else "a constant" for o in outputs]
            raise ValueError(
                f"no output is made by {', '.join(SOFTMAX)}; they are made by "
                f"{', '.join(ends)}"
            )
        return self.select(outputs)

    def _value_name(self, name: str) -> str:
        """Return the name of the value that a user means."""
        checked_text("outputs", name)
        values = {o: o for s in self._plan.steps for o in s.outputs if o}
        nodes = {s.node.name: s.outputs[0] for s in self._plan.steps}
        links = {s.link: s.outputs[0] for s in self._plan.steps if s.link}
        known = {**links, **nodes, **values}
        if name not in known:
            near = difflib.get_close_matches(name, known, 3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(
                f"outputs must name values of the model, got {name!r}{hint}"
            )
        return known[name]


def _is_needed(link: chainer.Link, plan: Plan) -> bool:
    """Tell whether a link has parameters that several steps use."""
    return isinstance(link, SharedParameters) and not plan.needs.isdisjoint(link.names)

"""The chain that a file becomes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.checks import checked_text
from saliency.models.onnx.batch_axes import axis_behind, cannot_grow
from saliency.models.onnx.families import OPERATORS
from saliency.models.onnx.folding import evaluate
from saliency.models.onnx.links import OperatorLink, SharedParameters
from saliency.models.onnx.operators import Call, Growth, array_of, on_host
from saliency.models.onnx.steps import Plan, Step

import chainer

# What turns scores into probabilities.
_SOFTMAX = ("Softmax", "LogSoftmax", "Sigmoid")


#: What no link may be called.
RESERVED = frozenset({*dir(chainer.Chain()), "inputs", "node_names", "_plan"})


class Input(NamedTuple):
    """What a model is given.

    Attributes:
        name (str): The file's name of it.
        dtype (numpy.dtype): Of its numbers.
        shape (tuple of int or None): None for what is free; None if all of it is.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...] | None


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
        values = [_checked(i, x) for i, x in zip(self.inputs, inputs)]
        run = _Run(self, self._plan, values)
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
        LogSoftmax or a Sigmoid is replaced by what goes into that; others stay.

        Raises:
            ValueError: If no output is made by one of these.
        """
        made = {name: s for s in self._plan.steps for name in s.outputs}
        outputs, ends = [], []
        for name in self.output_names:
            ends.append(made[name].node.type if name in made else "a constant")
            is_softmax = ends[-1] in _SOFTMAX
            outputs.append(made[name].inputs[0] if is_softmax else name)
        if outputs == list(self.output_names):
            raise ValueError(
                f"no output is made by {', '.join(_SOFTMAX)}; they are made by "
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


def _checked(expected: Input, value: Any) -> Any:
    """Return an input as steps take it: a variable if it has floating-point numbers.

    Raises:
        TypeError: If it has another kind of numbers than the file says.
        ValueError: If its shape does not fit.
    """
    array = array_of(value)
    if not hasattr(array, "__array_function__"):  # a number, or a list of them
        array = np.asarray(array)
    if array.dtype.kind != expected.dtype.kind and not (
        array.dtype.kind in "iu" and expected.dtype.kind in "iu"
    ):
        raise TypeError(
            f"input {expected.name!r} must have the dtype {expected.dtype}, got "
            f"{array.dtype}"
        )
    _check_shape(expected, array.shape)
    if array.dtype.kind == "f":
        return chainer.as_variable(
            value if isinstance(value, chainer.Variable) else array
        )
    return array.astype(expected.dtype, copy=False)


def _check_shape(expected: Input, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless a shape fits; the batch may be of another size."""
    wanted = expected.shape
    if wanted is None:
        return
    text = tuple("any" if n is None else n for n in wanted)
    other = [i for i, (n, m) in enumerate(zip(wanted, shape)) if n not in (None, m)]
    if len(shape) != len(wanted) or other[1:] or (other and other != _batch(expected)):
        raise ValueError(
            f"input {expected.name!r} must have the shape {text}, got {shape}"
        )


def _batch(expected: Input) -> list[int]:
    """Return the axis whose size the file gives as that of its batch, if any."""
    shape = expected.shape or ()
    if not shape or shape[0] is None:
        return []
    ones = [i for i, n in enumerate(shape) if n == 1]
    return [0] if shape[0] == 1 or not ones else ones[:1]


class _Run:
    """One call of a model.

    Args:
        model (OnnxChain): What is called.
        plan (Plan): Its steps.
        inputs (sequence): Variables and arrays.

    Attributes:
        values (dict): Variables and arrays by their names in the file.
    """

    def __init__(self, model: OnnxChain, plan: Plan, inputs: Sequence[Any]) -> None:
        self._model = model
        self.values: dict[str, Any] = dict(zip(plan.inputs, inputs))
        for link in model.children():
            if isinstance(link, SharedParameters):
                self.values.update(link.values())
        self._growth = _growth(model.inputs, inputs)
        # The axis of the batch of each value that depends on it, None where it is lost.
        self._axes: dict[str, int | None] = {}
        if self._growth is not None:
            for expected in model.inputs:
                free = [0] if expected.shape and expected.shape[0] is None else []
                axes = _batch(expected) or free
                self._axes.update((expected.name, axis) for axis in axes)

    def outputs(self, plan: Plan, values: dict[str, Any]) -> tuple[Any, ...]:
        """Return what a plan gives, and add what it computes to the values."""
        values.update(plan.constants)
        for step in plan.steps:
            outputs = self._step(step, values)
            self._follow(step, values, outputs)
            values.update((k, v) for k, v in zip(step.outputs, outputs) if k)
            for name in step.last_used:
                values.pop(name, None)
        return tuple(values[name] for name in plan.outputs)

    def _step(self, step: Step, values: dict[str, Any]) -> tuple[Any, ...]:
        inputs = [
            values[name] if name else None
            for i, name in enumerate(step.inputs)
            if i not in step.held
        ]
        if step.link is not None:
            return self._call_link(step, inputs)
        operator = OPERATORS[step.node.type]
        if step.bodies or operator.gives_arrays:
            call = Call(step.node, self._model.xp, None, self._bodies(step, values))
            return operator.apply(call, inputs)
        return evaluate(step.node, [x if x is None else on_host(x) for x in inputs])

    def _call_link(self, step: Step, inputs: Sequence[Any]) -> tuple[Any, ...]:
        link = self._model[step.link]
        if isinstance(link, OperatorLink):
            growth = self._growth_at(step)
            keywords = {} if growth is None else {"growth": growth}
            found = link(*inputs, **keywords)
        else:
            found = link(*[x if x is None else self._on_device(x) for x in inputs])
        return found if isinstance(found, tuple) else (found,)

    def _on_device(self, value: Any) -> Any:
        is_variable = isinstance(value, chainer.Variable)
        return value if is_variable else self._model.xp.asarray(value)

    def _bodies(self, step: Step, values: dict[str, Any]) -> dict[str, Any]:
        """Return the graphs within a node as functions."""

        def function_of(body: Plan) -> Any:
            def call(*inputs: Any) -> tuple[Any, ...]:
                inner = {**values, **dict(zip(body.inputs, inputs))}
                return self.outputs(body, inner)

            return call

        return {name: function_of(body) for name, body in step.bodies.items()}

    def _growth_at(self, step: Step) -> Growth | None:
        if self._growth is None:
            return None
        known = (self._axes[x] for x in step.inputs if self._axes.get(x) is not None)
        return self._growth._replace(axis=next(known, None))

    def _follow(
        self, step: Step, values: Mapping[str, Any], outputs: Sequence[Any]
    ) -> None:
        """Note where the batch is in what a step gives."""
        if self._growth is None:
            return
        inputs = [
            (values[name].shape, self._axes.get(name))
            for i, name in enumerate(step.inputs)
            if name and i not in step.held
        ]
        if step.needs.isdisjoint(self._axes):
            return
        for name, output in zip(step.outputs, outputs):
            if name and isinstance(output, chainer.Variable):
                self._axes[name] = axis_behind(step.node, inputs, output.shape)

    def check_growth(self, outputs: Iterable[str]) -> None:
        """Raise a ValueError if the batch is not that of the file, and gets lost."""
        for name in outputs:
            if self._growth is not None and self._axes.get(name, 0) is None:
                raise cannot_grow(f"output {name!r}", self._growth)


def _growth(expected: Sequence[Input], inputs: Sequence[Any]) -> Growth | None:
    """Return how the batch differs from that of the file, if it does."""
    for i, x in zip(expected, inputs):
        for axis in _batch(i):
            written = (i.shape or ())[axis]
            if written is not None and written != x.shape[axis]:
                return Growth(None, x.shape[axis], written)
    return None

"""From a graph of ONNX to the steps and links of a chain."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import ChainMap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto

from saliency.models.onnx.families import OPERATORS
from saliency.models.onnx.folding import anonymous, check_size, evaluate, n_byte_of
from saliency.models.onnx.functions import is_of_onnx, is_quantised
from saliency.models.onnx.links import OperatorLink, SharedParameters
from saliency.models.onnx.names import link_name, value_name
from saliency.models.onnx.operators import MakeLink, Node, Operator, number
from saliency.models.onnx.protos import (
    attribute_value,
    constant_names,
    has_graphs,
    names_made,
    names_used,
    needed_nodes,
    text_of,
)
from saliency.models.onnx.steps import Plan, Step
from saliency.models.onnx.tensors import Tensors
from saliency.models.onnx.weights import Weights

import chainer

#: The name of the link of parameters that several links use.
SHARED = "shared"

#: ONNX's types of the numbers that variables of Chainer have.
FLOATS = frozenset(
    {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
)

_QUANTISED = "it is quantised; load the file from before quantisation"
# What is drawn at random is not computed beforehand.
_RANDOM = frozenset(
    (
        *("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike"),
        *("RandomUniform", "RandomUniformLike"),
    )
)


class Compiler:
    """Makes the plan of a graph, and its links.

    Args:
        opset (int): The version of ONNX that the graph is written in.
        tensors (Tensors): Reads its arrays.
        taken (iterable of str): Names that no link may have.

    Attributes:
        links (dict): Links by their names.
        node_names (dict): The names of nodes by those of their links.
        problems (list of str): Why nodes cannot be loaded.
    """

    def __init__(self, opset: int, tensors: Tensors, taken: Iterable[str]) -> None:
        self.links: dict[str, chainer.Link] = {}
        self.node_names: dict[str, list[str]] = {}
        self.problems: list[str] = []
        self._opset = opset
        self._tensors = tensors
        self._taken = {*taken, SHARED}
        self._constants: dict[str, np.ndarray] = {}
        self._variables: set[str] = set()
        # What values are called, by their names in the graph at hand and those around.
        self._scope: ChainMap[str, str] = ChainMap()
        self._value_names: set[str] = set()  # of all graphs
        self._n_byte = 0  # of arrays that were computed
        self._weights = Weights()

    def plan(self, graph: onnx.GraphProto) -> Plan:
        """Return the plan of a graph, without links where there are problems."""
        drafts = self._drafts(graph)
        if self.problems:
            return drafts
        finished = self._with_links(drafts)
        shared = self._weights.shared
        if shared:
            self.links[SHARED] = SharedParameters(
                {name: self._constants[name] for name in sorted(shared)}
            )
        return finished

    def _drafts(self, graph: onnx.GraphProto) -> Plan:
        """Return the plan of a graph without links, computing what is constant."""
        with self._within(graph):
            self._read_constants(graph)
            constants = set(constant_names(graph))
            given = [i for i in graph.input if i.name not in constants]
            inputs = self._sources(i.name for i in given)
            self._variables.update(x for x, i in zip(inputs, given) if _is_float(i))
            steps = tuple(self._steps(graph))
            outputs = self._sources(o.name for o in graph.output)
        return Plan(inputs, outputs, steps, {})

    @contextlib.contextmanager
    def _within(self, graph: onnx.GraphProto) -> Iterator[None]:
        """Give what a graph makes names that are those of nothing in other graphs.

        Graphs side by side, such as the branches of an If, do not see each other, and
        may have the same names for different things.
        """
        scope = {}
        for name in dict.fromkeys(names_made(graph)):
            scope[name] = value_name(name, self._value_names)
            self._value_names.add(scope[name])
        self._scope = self._scope.new_child(scope)
        yield
        self._scope = self._scope.parents

    def _read_constants(self, graph: onnx.GraphProto) -> None:
        used = {name for node in needed_nodes(graph) for name in names_used(node)}
        used.update(output.name for output in graph.output)
        for tensor in graph.initializer:
            if tensor.name not in used:
                continue
            name = self._source(tensor.name)
            try:
                self._constants[name] = self._tensors.read(tensor)
            except ValueError as reason:
                self.problems.append(str(reason))
                self._constants[name] = np.zeros(0)
        for sparse in graph.sparse_initializer:
            self.problems.append(f"tensor {sparse.values.name!r} is sparse")
            self._constants[self._source(sparse.values.name)] = np.zeros(0)

    def _steps(self, graph: onnx.GraphProto) -> list[Step]:
        """Return the steps of a graph's nodes, without links."""
        return [step for node in needed_nodes(graph) for step in self._draft(node)]

    def _refuse(self, node: Node, problem: str) -> None:
        self.problems.append(f"{node.type} ({node.name}): {problem}")

    def _source(self, name: str) -> str:
        """Return what the value is called that a name of the file means here."""
        return self._scope.get(name, name)

    def _sources(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._source(name) for name in names)

    def _draft(self, proto: onnx.NodeProto) -> list[Step]:
        """Return the step of a node, without its link; none if it is done with."""
        inputs = self._sources(proto.input)
        node = self._node(proto, inputs)
        if node.type not in OPERATORS and self._fold(proto, node, inputs):
            return []
        problems = _problems(proto, node)
        if problems:
            for problem in problems:
                self._refuse(node, problem)
            # Whatever else is wrong behind it is to be told as well.
            self._variables.update(self._sources(proto.output))
            return []
        if node.type == "Identity" and inputs[0]:
            self._scope[proto.output[0]] = inputs[0]
            return []
        if node.type == "If" and 0 in node.constants:
            return self._branch(proto, node)
        if self._fold(proto, node, inputs):
            return []
        return [self._step(proto, node, inputs)]

    def _branch(self, proto: onnx.NodeProto, node: Node) -> list[Step]:
        """Return the steps of the branch of an If whose condition is constant."""
        taken = "then_branch" if number(node.constants[0]) else "else_branch"
        graph = next(a.g for a in proto.attribute if a.name == taken)
        with self._within(graph):
            self._read_constants(graph)
            steps = self._steps(graph)
            outputs = self._sources(output.name for output in graph.output)
        self._scope.update(zip(proto.output, outputs))
        return steps

    def _node(self, proto: onnx.NodeProto, inputs: tuple[str, ...]) -> Node:
        outputs = [name for name in self._sources(proto.output) if name]
        name = text_of(proto.name or (outputs or [""])[0])
        attributes: dict[str, Any] = {}
        for attribute in proto.attribute:
            try:
                attributes[attribute.name] = attribute_value(attribute, self._tensors)
            except ValueError as reason:
                self.problems.append(f"{proto.op_type} ({name}): {reason}")
                # The node is looked at further, for whatever else is wrong with it.
                attributes[attribute.name] = np.zeros(0)
        constants = {
            i: self._constants[value]
            for i, value in enumerate(inputs)
            if value in self._constants
        }
        return Node(
            name,
            proto.op_type,
            attributes,
            self._opset,
            constants,
            frozenset(constants),
            len(inputs),
            len(proto.output),
            b"" if has_graphs(proto) else anonymous(proto),
        )

    def _fold(self, proto: onnx.NodeProto, node: Node, inputs: tuple[str, ...]) -> bool:
        """Compute a node now if it depends on constants alone; tell whether it is."""
        is_constant = all(not name or name in self._constants for name in inputs)
        is_plain = is_of_onnx(proto) and not has_graphs(proto)
        if not (is_constant and is_plain) or node.type in _RANDOM:
            return False
        try:
            if node.type == "Constant":
                values: Iterable[Any] = [_constant(node)]
            else:
                values = self._evaluated(node, inputs)
        except (ValueError, MemoryError) as reason:
            if node.type not in OPERATORS:
                return False
            self.problems.append(str(reason))
            values = [np.zeros(0)] * len(proto.output)
        for name, value in zip(self._sources(proto.output), values):
            if name and value is not None:
                self._constants[name] = value
        return True

    def _evaluated(self, node: Node, inputs: tuple[str, ...]) -> Iterable[Any]:
        """Return what a node gives, unless all such arrays together have over 2 GB."""
        arrays = [self._constants.get(name) for name in inputs]
        self._n_byte += n_byte_of(node, arrays)
        check_size(node, self._n_byte)
        return evaluate(node, arrays)

    def _step(self, proto: onnx.NodeProto, node: Node, inputs: tuple[str, ...]) -> Step:
        """Return the step of a node that depends on the model's inputs."""
        operator = OPERATORS[node.type]
        bodies = {
            attribute.name: self._drafts(attribute.g)
            for attribute in proto.attribute
            if attribute.type == AttributeProto.GRAPH
        }
        if bodies:
            attributes = {k: v for k, v in node.attributes.items() if k not in bodies}
            node = dataclasses.replace(node, attributes=attributes)
        step = Step(node, inputs, self._sources(proto.output), bodies=bodies)
        if bodies:
            self._variables.update(self._variables_of(step))
        elif self._is_variable(operator, node, inputs):
            self._variables.update(name for name in step.outputs if name)
            self._weights.count(operator, step)
        return step

    def _variables_of(self, step: Step) -> set[str]:
        """Return those outputs that variables within the node's graphs become."""
        found = set()
        for body in step.bodies.values():
            # A loop's graph has its condition as the first output.
            outputs = body.outputs[1:] if step.node.type == "Loop" else body.outputs
            found |= {o for o, i in zip(step.outputs, outputs) if i in self._variables}
        return found - {""}

    def _is_variable(
        self, operator: Operator, node: Node, inputs: tuple[str, ...]
    ) -> bool:
        """Tell whether what a node gives can have a gradient."""
        if operator.gives_arrays or not _gives_floats(node):
            return False
        is_one = any(name in self._variables for name in inputs)
        return is_one or (operator.link is not None and operator.link(node) is not None)

    def _with_links(self, plan: Plan) -> Plan:
        """Return a plan with a link for each step that can have a gradient."""
        steps = [self._linked(step) for step in plan.steps]
        constants = {
            name: self._constants[name]
            for name in set(plan.outputs).union(*(step.needs for step in steps))
            if name in self._constants and name not in self._weights.shared
        }
        whole = Plan(plan.inputs, plan.outputs, tuple(steps), constants)
        return whole.selected(plan.outputs)

    def _linked(self, step: Step) -> Step:
        if step.bodies:
            bodies = {k: self._with_links(body) for k, body in step.bodies.items()}
            return dataclasses.replace(step, bodies=bodies)
        operator = OPERATORS[step.node.type]
        if not self._is_variable(operator, step.node, step.inputs):
            return dataclasses.replace(step, node=_without_constants(step.node))
        key = self._weights.key_of(step)
        name, held = self._weights.links.get(key, ("", frozenset()))
        if not name:
            link, held = self._link(operator, step)
            name = link_name(step.node.name, step.node.type, self._taken)
            self._taken.add(name)
            self.links[name] = link
            self.node_names[name] = []
            if key:
                self._weights.links[key] = name, held
        self.node_names[name].append(step.node.name)
        node = _without_constants(step.node)
        return dataclasses.replace(step, node=node, link=name, held=held)

    def _link(
        self, operator: Operator, step: Step
    ) -> tuple[chainer.Link, frozenset[int]]:
        """Return the link of a step, and the positions of the inputs that it holds."""
        shared = self._weights.shared
        own = {
            i: value
            for i, value in step.node.constants.items()
            if step.inputs[i] not in shared
        }
        node = dataclasses.replace(step.node, constants=own)
        make: MakeLink | None = operator.link(node) if operator.link else None
        if make is not None:
            # Chainer's links have parameters of this dtype, whatever is put into them.
            dtypes = [v.dtype for v in own.values() if v.dtype.kind == "f"]
            try:
                with chainer.using_config("dtype", dtypes[0]):
                    link, held = make()
                return link, frozenset(held)
            except Exception as reason:  # of as many kinds as there are mistakes
                self._refuse(node, f"no link can be made of it: {reason}")
        return OperatorLink(node), frozenset(own)


def _without_constants(node: Node) -> Node:
    return dataclasses.replace(node, constants={})


def _problems(proto: onnx.NodeProto, node: Node) -> list[str]:
    """Return why a node cannot be loaded; nothing if it can."""
    if not is_of_onnx(proto):
        return [f"the operator is one of {proto.domain}"]
    if node.type not in OPERATORS:
        return [_QUANTISED if is_quantised(node.type) else "no such operator is known"]
    return OPERATORS[node.type].problems(node)


def _constant(node: Node) -> np.ndarray:
    """Return what a Constant node holds."""
    dtypes = {"value_float": np.float32, "value_floats": np.float32}
    ((name, value),) = node.attributes.items()
    if name == "value":
        return np.asarray(value)
    return np.asarray(value, dtypes.get(name, np.int64))


def _gives_floats(node: Node) -> bool:
    """Tell whether a node gives floating-point numbers if it is given some."""
    if node.type != "Cast":
        return True
    return node.attributes["to"] in FLOATS


def _is_float(info: onnx.ValueInfoProto) -> bool:
    return info.type.tensor_type.elem_type in FLOATS

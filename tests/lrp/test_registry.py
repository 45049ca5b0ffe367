"""Functions of the user, and declarations of kinds."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import LRPCalculator
from saliency.lrp import Composite, Zero, ZPlus, register_handler, registry
from saliency.lrp.graph import function_of
from saliency.lrp.handlers import sums
from saliency.lrp.handlers.elementwise import elementwise
from saliency.lrp.registry import KINDS, kind_of
from saliency.lrp.rules import SumRule
from tests.lrp.walked import Walked, normal

import chainer
import chainer.functions as F
import chainer.links as L

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Cubed(chainer.FunctionNode):
    def forward(self, inputs):
        self.retain_inputs((0,))
        return (inputs[0] ** 3,)

    def backward(self, indexes, grads):
        (x,) = self.get_retained_inputs()
        return (3 * x**2 * grads[0],)


class OldCubed(chainer.Function):
    def forward(self, inputs):
        return (inputs[0] ** 3,)

    def backward(self, inputs, grads):
        return (3 * inputs[0] ** 2 * grads[0],)


def twin_of(cls):
    """Returns a class that works like one of Chainer, and is unrelated to it."""
    return type("Twin", cls.__bases__, dict(vars(cls)))


def apply(cls, x):
    f = cls()
    return f(x) if isinstance(f, chainer.Function) else f.apply((x,))[0]


@pytest.mark.usefixtures("own_registry")
class TestFunctionsOfTheUser:
    @pytest.mark.parametrize("cls", [Cubed, OldCubed])
    def test_an_unknown_one_is_named_with_its_link_and_the_line_that_helps(self, cls):
        class Layer(chainer.Link):
            def forward(self, x):
                return apply(cls, x)

        with chainer.using_config("dtype", np.float64):
            model = chainer.Sequential(L.Linear(3, 3), Layer())
        with pytest.raises(ValueError) as info:
            Walked(model, normal(2, 3))
        message = str(info.value)
        assert f"at {cls.__name__} (in link '1', Layer)" in message
        assert f"saliency.lrp.register_handler({cls.__name__}, kind)" in message
        for kind in ("elementwise", "gate", "scaling", "routing", "pooling", "product"):
            assert f"'{kind}': " in message

    @pytest.mark.parametrize("cls", [Cubed, OldCubed])
    def test_the_line_of_the_message_helps(self, cls):
        register_handler(cls, "elementwise")
        for _ in range(2):
            walked = Walked(lambda x: apply(cls, x), normal(2, 3))
            assert_allclose(walked.relevance[0], walked.start[0])

    def test_a_handler_gets_the_arrays_and_stays(self):
        seen = []

        def handler(this, rule):
            seen.append(this)
            return [2 * this.relevance[0]]

        register_handler(Cubed, handler)
        x = normal(2, 3)
        for _ in range(2):
            walked = Walked(lambda v: apply(Cubed, v), x)
            assert_allclose(walked.relevance[0], 2 * walked.start[0])
        assert len(seen) == 2
        assert_allclose(seen[1].inputs[0], x)
        assert_allclose(seen[1].outputs[0], x**3)

    def test_subclasses_are_meant_too(self):
        class Special(Cubed):
            pass

        register_handler(Cubed, elementwise)
        walked = Walked(lambda x: apply(Special, x), normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])

    def test_a_subclass_of_a_function_of_chainer_is_known(self):
        class MyReLU(F.activation.relu.ReLU):
            pass

        walked = Walked(lambda x: apply(MyReLU, x), normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])

    def test_a_function_of_chainer_may_be_given_another_answer(self):
        register_handler(F.activation.relu.ReLU, lambda this, rule: this.gradient())
        x = normal(2, 3)
        walked = Walked(F.relu, x)
        assert_allclose(walked.relevance[0], walked.start[0] * (x > 0))

    @pytest.mark.parametrize(
        ("handler", "f"),
        [
            (sums.weighted_sum, lambda x: F.linear(x, normal(4, 3))),
            (sums.pooling, lambda x: F.sum(x, axis=1)),
            (sums.addition, lambda x: F.add(x, x[::-1])),
        ],
    )
    def test_the_handlers_of_the_project_work_without_a_rule(self, handler, f):
        expected = Walked(f, normal(2, 3))
        register_handler(type(f(chainer.Variable(normal(2, 3))).creator_node), handler)
        found = Walked(f, normal(2, 3), rule=None)
        assert_allclose(found.relevance[0], expected.relevance[0])

    def test_what_an_old_style_one_keeps_from_forward_stays(self):
        class Summed(chainer.Function):
            def forward(self, inputs):
                self.seen = inputs[0]
                return (inputs[0].sum(axis=1),)

            def backward(self, inputs, grads):
                return (np.repeat(grads[0][:, None], self.seen.shape[1], axis=1),)

        register_handler(Summed, "pooling")
        x = normal(2, 3)
        walked = Walked(lambda v: apply(Summed, v), x, rule=ZPlus())
        expected = Walked(lambda v: F.sum(v, axis=1), x, rule=ZPlus())
        assert_allclose(walked.relevance[0], expected.relevance[0])
        assert function_of(walked.graph.functions[0]).seen is x

    @pytest.mark.parametrize("wrong", [[np.ones(3)], [np.ones((2, 3))] * 2, []])
    def test_what_does_not_fit_the_inputs_is_an_error(self, wrong):
        register_handler(Cubed, lambda this, rule: wrong)
        with pytest.raises(ValueError, match=r"Cubed .*shapes are \[\(2, 3\)\], got"):
            Walked(lambda x: apply(Cubed, x), normal(2, 3))

    def test_what_is_no_class_of_functions_is_refused(self):
        for wrong in (F.relu, Cubed(), "Cubed", L.Linear, None):
            with pytest.raises(TypeError, match="function_class must be"):
                register_handler(wrong, "elementwise")

    def test_what_is_no_handler_is_refused(self):
        with pytest.raises(TypeError, match="handler must be"):
            register_handler(Cubed, None)
        with pytest.raises(ValueError, match=r"elementwise.*got 'elemental'"):
            register_handler(Cubed, "elemental")
        assert kind_of(Cubed()) is None

    def test_a_gate_with_another_handler_is_still_a_gate(self):
        register_handler(F.activation.sigmoid.Sigmoid, lambda this, rule: [None])
        walked = Walked(lambda x, g: x * F.sigmoid(g), normal(2, 3), normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])


X, Y = normal(2, 3), normal(2, 3, seed=2)
MATH = F.math.basic_math
# Functions of the kinds that the error for an unknown function has a hint for: kind ->
# (function, inputs).
HINTED = {
    "linear": (F.connection.linear.LinearFunction(), [X, normal(4, 3), normal(4)]),
    "addition": (MATH.Add(), [X, Y]),
    "subtraction": (MATH.Sub(), [X, Y]),
    "pooling": (F.math.sum.Sum(axis=1), [X]),
    "linear map": (F.math.fft.FFT("fft"), [X, Y]),
    "routing": (F.array.transpose.Transpose(), [X]),
    "elementwise": (F.activation.relu.ReLU(), [X]),
    "gate": (F.activation.sigmoid.Sigmoid(), [X]),
    "scaling": (MATH.Neg(), [X]),
    "maximum": (F.math.maximum.Maximum(), [X, Y]),
    "product": (MATH.Mul(), [X, Y]),
    "matrix product": (F.math.matmul.MatMul(transb=True), [X, Y]),
    "quotient": (MATH.Div(), [X, Y]),
    "power": (MATH.PowVarVar(), [abs(X), Y]),
}


@pytest.mark.usefixtures("own_registry")
class TestHints:
    def test_are_all_tried_here(self):
        assert set(HINTED) == {kind.name for kind in KINDS.values() if kind.hint}

    @pytest.mark.parametrize("kind", HINTED)
    def test_a_function_of_the_user_is_handled_like_that_of_chainer(self, kind):
        function, arrays = HINTED[kind]
        twin = copy.copy(function)
        twin.__class__ = twin_of(type(function))
        targets = arrays[:1] if kind == "linear" else arrays

        def walked(f):
            return Walked(
                lambda *xs: copy.copy(f).apply([*xs, *arrays[len(xs) :]]),
                *targets,
                rule=ZPlus(),
            )

        with pytest.raises(ValueError, match="nothing is known of relevance at Twin"):
            walked(twin)
        register_handler(type(twin), kind)
        for found, expected in zip(walked(twin).relevance, walked(function).relevance):
            assert (found is None) == (expected is None)
            if found is not None:
                assert_allclose(found, expected)


class TestDeclarations:
    @pytest.fixture(autouse=True)
    def own_declarations(self):
        tables = (registry._kinds, registry._declared)
        before = [dict(table) for table in tables]
        yield
        for table, entries in zip(tables, before):
            table.clear()
            table.update(entries)

    def test_a_kind_is_declared_once(self):
        registry.handles("tripled", Cubed)(lambda this, rule: [None])
        with pytest.raises(ValueError, match="once, got 'tripled' again"):
            registry.handles("tripled")(lambda this, rule: [None])

    def test_a_class_is_of_one_kind(self):
        registry.handles("tripled", Cubed)(lambda this, rule: [None])
        with pytest.raises(ValueError, match="Cubed is declared as 'tripled' and as"):
            registry.handles("cubed", Cubed)(lambda this, rule: [None])

    def test_one_declaration_is_all_that_a_new_function_needs(self):
        @registry.handles("cubed", Cubed, hint="the third power of each element")
        def cubed(this, rule):
            """A third of the relevance."""
            return [this.output_relevance / 3]

        walked = Walked(lambda x: apply(Cubed, x), X)
        assert_allclose(walked.relevance[0], walked.start[0] / 3)
        assert registry.kind_of(Cubed()).what_is_done == "A third of the relevance"
        with pytest.raises(ValueError, match="'cubed': the third power of"):
            Walked(lambda x: apply(OldCubed, x), X)

    def test_a_composite_knows_a_new_kind_that_takes_rules(self):
        @registry.handles("tripled", Cubed, rule=SumRule)
        def tripled(this, rule):
            return [this.output_relevance * (3 if isinstance(rule, ZPlus) else 1)]

        def calculator(**settings):
            return LRPCalculator(
                lambda x: F.sum(apply(Cubed, x), axis=1),
                rule=Composite(Zero(), **settings),
                class_index=0,
            )

        x = abs(X)
        once = calculator().compute(x)
        thrice = calculator(by_kind={"tripled": ZPlus()}).compute(x)
        assert_allclose(once, [x**3])
        assert_allclose(thrice, 3 * once)

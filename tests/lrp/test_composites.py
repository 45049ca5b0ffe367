"""Composites: which rule every layer of a network gets."""

from __future__ import annotations

import numpy as np
import pytest

from link_hooks import RetainOutputHook
from saliency import GradientCalculator, LRPCalculator
from saliency.lrp import (
    PRESETS,
    AlphaBeta,
    Box,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Graph,
    Norm,
    Pass,
    WinnerTakesAll,
    WSquare,
    Zero,
    ZPlus,
    composite,
)
from saliency.lrp.composites import Assignment
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L


class CNN(chainer.Chain):
    """Two convolutions and a deconvolution, one residual, then two linear layers."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(2, 4, 3, pad=1)
            self.norm = L.BatchNormalization(4)
            self.conv2 = L.Convolution2D(4, 4, 3, pad=1)
            self.up = L.Deconvolution2D(4, 4, 2, stride=2)
            self.head = chainer.ChainList(L.Linear(16, 5), L.Linear(5, 3))

    def forward(self, x):
        h = F.relu(self.norm(self.conv1(x)))
        h = h + F.relu(self.conv2(h))
        h = F.max_pooling_2d(F.relu(self.up(h)), 4)
        h = F.relu(self.head[0](F.average_pooling_2d(h, 1)))
        return self.head[1](h)


# From the output down; normalization is one with the convolution below it.
LAYERS = [
    "/head/1",
    "/head/0",
    "average_pooling",
    "max_pooling",
    "/up",
    "addition",
    "/conv2",
    "/norm",
    "/conv1",
]


def assigned(rules, model=None, is_walked=False):
    """Returns the assignment of a composite in a model, by default the CNN."""
    model = model or build(CNN)
    x = chainer.Variable(np.random.default_rng(0).normal(size=(2, 2, 4, 4)))
    with RetainOutputHook() as hook, chainer.using_config("train", False):
        y = model(x)
    graph = Graph([y], [x], hook)
    paths = {id(link): path for path, link in model.namedlinks()}
    applications = [graph.application(function) for function in graph.functions]
    assignment = Assignment(rules, applications, paths)
    if is_walked:
        graph.walk([y.array], assignment.handle, assignment.is_part_of)
    return assignment


def rules_of(rules):
    """Returns what each of :data:`LAYERS` got, as text."""
    layers = assigned(rules).layers
    assert len(layers) == len(LAYERS)
    return dict(zip(LAYERS, (repr(rule) for _, rule in layers)))


AFFINE = ["/head/1", "/head/0", "/up", "/conv2", "/conv1"]
SUMS = ["average_pooling", "addition"]


def expected(linear, convolution, first=None, sums=None):
    """Returns what each layer should get, as text."""
    result = dict.fromkeys(["/head/1", "/head/0"], linear)
    result.update(dict.fromkeys(["/up", "/conv2", "/conv1"], convolution))
    result["/conv1"] = first or convolution
    result.update(dict.fromkeys(SUMS, sums or Norm()))
    result["/norm"] = Zero() if isinstance(sums, Zero) else Norm()
    result["max_pooling"] = WinnerTakesAll()
    return {layer: repr(result[layer]) for layer in LAYERS}


BOX = Box(-2.0, 3.0)
EPSILON, AB, PLUS = Epsilon(), AlphaBeta(2, -1), ZPlus()
AS_PLUS = Gamma(np.inf)

ASSIGNMENTS = {
    "lrp0": expected(Zero(), Zero(), sums=Zero()),
    "epsilon": expected(EPSILON, EPSILON),
    "alpha2_beta1": expected(AB, AB),
    "alpha1_beta0": expected(AlphaBeta(1, 0), AlphaBeta(1, 0), sums=AS_PLUS),
    "zplus": expected(PLUS, PLUS, sums=AS_PLUS),
    "gamma": expected(Gamma(), Gamma()),
    "epsilon_plus": expected(EPSILON, PLUS, sums=AS_PLUS),
    "epsilon_plus_flat": expected(EPSILON, PLUS, Flat(), AS_PLUS),
    "epsilon_alpha2_beta1": expected(EPSILON, AB),
    "epsilon_alpha2_beta1_flat": expected(EPSILON, AB, Flat()),
    "epsilon_gamma_box": expected(EPSILON, Gamma(), BOX),
    "deep_taylor": expected(PLUS, PLUS, BOX, AS_PLUS),
    "zbab": expected(AB, AB, BOX),
    "wwab": expected(AB, AB, WSquare()),
    "attn_lrp": expected(EPSILON, EPSILON),
    "excitation_backprop": expected(
        ZPlus("ignore"), ZPlus("ignore"), sums=Gamma(np.inf, "ignore")
    ),
}


class TestPresets:
    def test_all_are_here(self):
        assert set(ASSIGNMENTS) == set(PRESETS)

    @pytest.mark.parametrize("preset", list(PRESETS))
    def test_give_every_layer_its_rule(self, preset):
        assert rules_of(composite(preset, -2.0, 3.0)) == ASSIGNMENTS[preset]

    @pytest.mark.parametrize("name", ["epsilom", "", None, 3])
    def test_of_another_name_there_are_none(self, name):
        with pytest.raises(ValueError, match=r"rule must be one of 'lrp0', 'epsilon'"):
            composite(name)


class TestByPosition:
    def test_the_first_layer_is_next_to_the_target(self):
        found = rules_of(Composite(Zero(), first=Flat()))
        assert [layer for layer, rule in found.items() if rule == "Flat()"] == [
            "/conv1"
        ]

    def test_there_may_be_several_first_layers(self):
        class Branches(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.left = L.Convolution2D(2, 2, 1)
                    self.right = L.Convolution2D(2, 2, 1)
                    self.both = L.Convolution2D(4, 2, 1)

            def forward(self, x):
                h = F.concat([self.left(F.relu(x)), self.right(x * 2)], axis=1)
                return self.both(h)

        layers = assigned(Composite(Zero(), first=Flat()), build(Branches)).layers
        found = {layer.path: str(rule) for layer, rule in layers}
        assert found == {"/left": "Flat()", "/right": "Flat()", "/both": "Zero()"}

    @pytest.mark.parametrize("n_last", [1, 2, 3, 99])
    def test_the_last_layers_are_next_to_the_output(self, n_last):
        found = rules_of(Composite(Zero(), last=Epsilon(), n_last=n_last))
        assert [layer for layer, rule in found.items() if "Epsilon" in rule] == [
            *AFFINE[:n_last]
        ]

    def test_of_a_layer_that_is_both_it_is_the_first(self):
        rules = Composite(Zero(), first=Flat(), last=Epsilon(), n_last=9)
        assert rules_of(rules)["/conv1"] == "Flat()"


class TestByKind:
    def test_only_layers_of_the_kind_are_meant(self):
        by_kind = {"linear": Epsilon(), "deconvolution": Gamma(), "addition": Pass()}
        found = rules_of(Composite(ZPlus(), by_kind=by_kind))
        assert found["/head/0"] == found["/head/1"] == repr(Epsilon())
        assert found["/up"] == repr(Gamma())
        assert found["/conv2"] == found["/conv1"] == "ZPlus()"
        assert found["addition"] == "Pass()"
        assert found["average_pooling"] == "Norm()"

    def test_a_maximum_has_its_own(self):
        assert rules_of(Composite(Zero()))["max_pooling"] == "WinnerTakesAll()"
        for settings in ({"maximum": Gradient()}, {"by_kind": {"maximum": Gradient()}}):
            found = rules_of(Composite(Zero(), **settings))
            assert found["max_pooling"] == "Gradient()"


class TestByLink:
    @pytest.mark.parametrize(
        ("pattern", "meant"),
        [
            ("/conv1", ["/conv1"]),
            ("/conv*", ["/conv2", "/conv1"]),
            ("/head/*", ["/head/1", "/head/0"]),
            ("*/1", ["/head/1"]),
            ("/norm", ["/norm"]),
        ],
    )
    def test_a_star_stands_for_anything(self, pattern, meant):
        found = rules_of(Composite(Zero(), by_link={pattern: Flat()}))
        assert [layer for layer, rule in found.items() if rule == "Flat()"] == meant

    def test_the_first_that_fits_counts(self):
        by_link = {"/conv1": Flat(), "/conv*": WSquare()}
        found = rules_of(Composite(Zero(), by_link=by_link))
        assert (found["/conv1"], found["/conv2"]) == ("Flat()", "WSquare()")

    def test_it_comes_before_position_and_kind(self):
        rules = Composite(
            Zero(),
            by_link={"/conv1": Gamma()},
            first=Flat(),
            by_kind={"convolution": ZPlus()},
        )
        assert rules_of(rules)["/conv1"] == repr(Gamma())

    def test_a_rule_for_sums_passes_by_a_maximum(self):
        found = rules_of(Composite(Zero(), by_link={"*": Flat()}))
        assert found["max_pooling"] == "WinnerTakesAll()"
        assert found["addition"] == "Flat()"

    @pytest.mark.parametrize("pattern", ["/conv9", "conv1", "/head/*/*"])
    def test_there_must_be_such_a_link(self, pattern):
        with pytest.raises(ValueError, match=r"by_link.*such as /, /conv1.*got '"):
            rules_of(Composite(Zero(), by_link={pattern: Flat()}))

    def test_a_function_that_is_no_link_has_none(self):
        rules = Composite(Zero(), by_link={"/conv": Flat()})
        with pytest.raises(ValueError, match=r"by_link.*it is no Link"):
            LRPCalculator(lambda v: 2 * v, rule=rules).compute(np.ones((2, 3)))


class TestByChoice:
    def test_it_comes_first_and_may_say_nothing(self):
        def choose(layer):
            return Flat() if layer.kind == "convolution" and layer.n_above > 2 else None

        rules = Composite(Zero(), choose=choose, by_link={"/conv*": Gamma()})
        found = rules_of(rules)
        assert found["/conv1"] == found["/conv2"] == "Flat()"
        assert found["/up"] == "Zero()"

    def test_it_sees_the_function(self):
        def choose(layer):
            has_stride = getattr(layer.application.function, "sy", 1) > 1
            return ZPlus() if layer.is_affine and has_stride else None

        found = rules_of(Composite(Zero(), choose=choose))
        assert [layer for layer, rule in found.items() if rule == "ZPlus()"] == ["/up"]

    def test_what_it_returns_must_be_a_rule(self):
        rules = Composite(Zero(), choose=lambda layer: "epsilon")
        with pytest.raises(TypeError, match=r"choose.*Linear.*got 'epsilon'"):
            rules_of(rules)

    def test_a_rule_must_be_one_for_the_layer(self):
        rules = Composite(Zero(), choose=lambda layer: WinnerTakesAll())
        with pytest.raises(TypeError, match=r"choose.*sums.*got WinnerTakesAll"):
            rules_of(rules)
        rules = Composite(
            Zero(), choose=lambda layer: Flat() if layer.is_maximum else None
        )
        with pytest.raises(TypeError, match=r"choose.*WinnerTakesAll.*got Flat"):
            rules_of(rules)


# How a linear layer may be written, by its weights; None is the link itself.
WAYS = {
    "link": None,
    "matmul": lambda h, W: F.matmul(h, W, transb=True),
    "@": lambda h, W: h @ W.T,
    "einsum": lambda h, W: F.einsum(
        "oc,bpc->bpo" if h.ndim == 3 else "oc,bc->bo", W, h
    ),
}


class InLine(chainer.Chain):
    """Two layers, for tokens or for vectors; these are scaled between them."""

    def __init__(self, way):
        super().__init__()
        self.product = WAYS[way]
        with self.init_scope():
            self.one = L.Linear(3, 5)
            self.two = L.Linear(5, 2)
            self.scale = chainer.Parameter(1.5, (5,))

    def layer(self, link, h):
        if self.product is None:
            return link(h, n_batch_axes=h.ndim - 1)
        return self.product(h, link.W) + link.b

    def forward(self, x):
        h = self.layer(self.one, x)
        y = self.layer(self.two, F.relu(h * self.scale if x.ndim == 2 else h))
        return y if x.ndim == 2 else F.sum(y, axis=1)


class TestProductsWithParameters:
    """What is written in line is the layer that it is, under every rule."""

    @pytest.mark.parametrize("shape", [(2, 4, 3), (6, 3)])
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("preset", PRESETS)
    def test_are_linear_layers(self, way, preset, shape, rng):
        model = build(InLine, "link", dtype=np.float64)
        model.one.b.array[:], model.two.b.array[:] = rng.normal(size=5), 0.3
        other = build(InLine, way, dtype=np.float64)
        other.copyparams(model)
        x = rng.normal(size=shape)
        settings = {"rule": preset, "class_index": 1, "low": -4, "high": 4}
        expected = LRPCalculator(model, **settings).compute(x)
        found = LRPCalculator(other, **settings).compute(x)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)

    def test_have_the_rules_of_such(self, rng):
        model = build(InLine, "@", dtype=np.float64)
        x = rng.normal(size=(1, 4, 3))
        rules = Composite(Epsilon(), first=Flat(), by_kind={"linear": ZPlus()})
        table = str(LRPCalculator(model, rule=rules, class_index=0).assignment(x))
        lines = [line.split() for line in table.splitlines() if "MatMul" in line]
        assert [line[-1] for line in lines] == ["ZPlus()", "Flat()"]

    @pytest.mark.parametrize("rule", [ZPlus(), Gamma(), AlphaBeta(), Flat()])
    def test_others_take_a_rule_by_their_kind(self, rule, rng):
        """An array that is no parameter, as an adjacency matrix, is data."""
        x, A = rng.normal(size=(2, 4)), rng.normal(size=(4, 3))
        layer = chainer.Sequential(L.Linear(4, 3, nobias=True))
        layer[0].W.array = A.T.copy()
        expected = LRPCalculator(layer, rule=rule, class_index=0).compute(x)

        def model(v):
            return F.matmul(v, A)

        rules = Composite(Epsilon(), by_kind={"matrix product": rule})
        found = LRPCalculator(model, rule=rules, class_index=0).compute(x)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        # Else it is a sum, as of the neighbours in a graph.
        usual = LRPCalculator(model, rule=rule, class_index=0).compute(x)
        in_proportion = LRPCalculator(model, rule=Norm(), class_index=0).compute(x)
        np.testing.assert_allclose(usual, in_proportion)


class TestFunctionsWithoutWeights:
    """They pass relevance on in proportion, and would not do what other rules say."""

    @pytest.mark.parametrize(
        "kind", ["LSTM", "S-LSTM", "tree LSTM", "interpolation", "linear map"]
    )
    def test_take_no_rule_for_weights(self, kind):
        for rule in (Epsilon(0.1), Zero(), Norm()):
            Composite(ZPlus(), by_kind={kind: rule})
        for rule in (ZPlus(), Flat(), Gamma(), Gradient(), Pass()):
            with pytest.raises(TypeError, match=rf"'{kind}'.*in proportion.*Zero\(\)"):
                Composite(ZPlus(), by_kind={kind: rule})

    def test_nor_do_products_of_two_signals(self, rng):
        x = rng.normal(size=(2, 3, 3))
        rules = Composite(Epsilon(), by_kind={"matrix product": ZPlus()})
        square = lambda v: F.sum(F.matmul(v, v), axis=2)  # noqa: E731
        calculator = LRPCalculator(square, rule=rules, class_index=0)
        with pytest.raises(TypeError, match=r"product'\] for MatMul.*in proportion"):
            calculator.compute(x)
        calculator.rule = Composite(Epsilon(), choose=lambda layer: ZPlus())
        with pytest.raises(TypeError, match=r"choose returns for MatMul.*proportion"):
            calculator.compute(x)

    def test_sums_of_another_rule_are_not_theirs(self, rng):
        model = chainer.Sequential(L.LSTM(3, 4), L.Linear(4, 2))
        calculator = LRPCalculator(model, class_index=0)
        calculator.rule = Composite(Epsilon(), sums=ZPlus(), by_link={"/0*": ZPlus()})
        table = str(calculator.assignment(rng.normal(size=(1, 3)).astype("f")))
        (line,) = (line for line in table.splitlines() if " LSTM " in line)
        assert line.endswith("Norm()")


class TestErrors:
    @pytest.mark.parametrize("rule", ["epsilon", None, Epsilon, 0.1, WinnerTakesAll()])
    @pytest.mark.parametrize("where", ["rule", "first", "last", "sums", "by_kind"])
    def test_what_is_no_rule_for_sums(self, rule, where):
        settings = {"rule": Zero(), where: rule}
        if where == "by_kind":
            settings["by_kind"] = {"linear": rule}
        if rule is None and where in ("first", "last", "sums"):
            Composite(**settings)
            return
        with pytest.raises(TypeError, match=f"{where}.*must be a rule"):
            Composite(**settings)

    @pytest.mark.parametrize("rule", ["winner", WinnerTakesAll, Epsilon(), Pass()])
    def test_what_is_no_rule_for_maxima(self, rule):
        for settings in ({"maximum": rule}, {"by_kind": {"maximum": rule}}):
            with pytest.raises(TypeError, match=r"maximum.*WinnerTakesAll.*Gradient"):
                Composite(Zero(), **settings)

    def test_what_is_no_rule_for_a_link(self):
        with pytest.raises(TypeError, match=r"by_link\['/fc'\].*got 'epsilon'"):
            Composite(Zero(), by_link={"/fc": "epsilon"})

    def test_an_unknown_kind(self):
        with pytest.raises(ValueError, match=r"by_kind.*'linear'.*got 'conv'"):
            Composite(Zero(), by_kind={"conv": ZPlus()})

    @pytest.mark.parametrize("n_last", [0, -1, 1.5, "2"])
    def test_a_number_of_last_layers_that_is_none(self, n_last):
        with pytest.raises(ValueError, match="n_last must be an int >= 1"):
            Composite(Zero(), last=Epsilon(), n_last=n_last)

    def test_a_choice_that_cannot_be_called(self):
        with pytest.raises(TypeError, match="choose must be callable"):
            Composite(Zero(), choose=Epsilon())


class TestText:
    def test_of_a_composite_says_what_was_set(self):
        rules = Composite(
            Epsilon(0.5), first=Flat(), by_kind={"convolution": ZPlus()}, n_last=3
        )
        assert repr(rules) == (
            "Composite(rule=Epsilon(epsilon=0.5), first=Flat(), "
            "by_kind={'convolution': ZPlus()}, sums=Norm())"
        )

    def test_of_a_composite_has_the_number_of_last_layers(self):
        text = repr(Composite(Zero(), last=Flat(), n_last=3, maximum=Gradient()))
        assert "last=Flat(), n_last=3" in text
        assert "maximum=Gradient()" in text

    def test_of_an_assignment_is_a_table_of_layers(self):
        rules = composite("epsilon_plus_flat")
        lines = str(assigned(rules, is_walked=True)).splitlines()
        assert lines[0].split() == ["layer", "function", "rule"]
        assert [line.split() for line in lines[1:]] == [
            ["/head/1", "LinearFunction", "Epsilon(epsilon=1e-06)"],
            ["/head/0", "LinearFunction", "Epsilon(epsilon=1e-06)"],
            ["/", "AveragePooling2D", "Gamma(gamma=inf)"],
            ["/", "MaxPoolingND", "WinnerTakesAll()"],
            ["/up", "Deconvolution2DFunction", "ZPlus()"],
            ["/", "Add", "Gamma(gamma=inf)"],
            ["/conv2", "Convolution2DFunction", "ZPlus()"],
            ["/norm", "FixedBatchNormalization", "one", "with", "/conv1"],
            ["/conv1", "Convolution2DFunction", "Flat()"],
        ]
        assert len({line.index(line.split()[2]) for line in lines}) == 1


class TestMaxima:
    """Where several elements are the largest, the two rules differ."""

    @pytest.fixture
    def x(self):
        return np.array([[3.0, 3, 1], [0, 2, 2]])

    def relevance(self, maximum, x):
        rules = Composite(Zero(), maximum=maximum)
        return LRPCalculator(lambda v: F.max(v, axis=1), rule=rules).compute(x)[0]

    def test_winners_share_equally(self, x):
        expected = [[1.5, 1.5, 0], [0, 1, 1]]
        np.testing.assert_allclose(self.relevance(WinnerTakesAll(), x), expected)

    def test_the_gradient_goes_to_each(self, x):
        expected = [[3, 3, 0], [0, 2, 2]]
        np.testing.assert_allclose(self.relevance(Gradient(), x), expected)


class TestGradientBehindALayer:
    """With the gradient as rule, a normalization behind a layer keeps its scale."""

    @pytest.mark.parametrize("behind", ["normalization", "scale", "bias", "parameter"])
    def test_relevance_of_an_affine_network_is_its_gradient(self, behind):
        class Affine(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.layer = L.Linear(4, 3)
                    self.normalization = L.BatchNormalization(3)
                    self.scale = L.Scale(1, (3,))
                    self.bias = L.Bias(1, (3,))
                    self.factor = chainer.Parameter(0.5, (1, 3))
                    self.out = L.Linear(3, 2)

            def parameter(self, h):
                return h * F.broadcast_to(self.factor, h.shape)

            def forward(self, x):
                return self.out(getattr(self, behind)(self.layer(x)))

        model = build(Affine)
        x = np.random.default_rng(0).normal(size=(3, 4))
        rule = Composite(Gradient())
        found = LRPCalculator(model, rule=rule, relevance=1.0, class_index=1).compute(x)
        expected = GradientCalculator(model, class_index=1).compute(x)
        np.testing.assert_allclose(found, expected, rtol=1e-9)

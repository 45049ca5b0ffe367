"""Settings can be read, changed, printed and copied; no run leaves anything there."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import pydoc
import re
import threading
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    DeconvnetCalculator,
    FullGradCalculator,
    GaussianNoiseSampler,
    GradCAMCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    UniformNoiseSampler,
)
from saliency.lrp import AlphaBeta
from tests.calculator.kinds_of_calls import Network, Subject, images
from tests.calculator.test_promises import state_of
from tests.covering import every_pair, every_value
from tests.networks import Sequence, build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples

# With the settings that have no default.
CALCULATORS = {
    GradientCalculator: {},
    SmoothGradCalculator: {},
    BayesGradCalculator: {},
    IntegratedGradientsCalculator: {},
    OcclusionCalculator: {},
    GradCAMCalculator: {"layer": "conv2"},
    GuidedBackpropCalculator: {},
    DeconvnetCalculator: {},
    GuidedGradCAMCalculator: {"layer": "conv2"},
    LRPCalculator: {},
    FullGradCalculator: {},
}
every_class = pytest.mark.parametrize(
    "calculator", CALCULATORS, ids=lambda c: c.__name__
)
HOW = {"M": 2, "seed": 0, "batchsize": 4, "show_progress": False}


@pytest.fixture(scope="module")
def model():
    # With a seed for which maps that are cut off at zero are not zero everywhere.
    return build(Network, counts=False, seed=37)


@pytest.fixture(scope="module")
def x():
    return images(0, 3)


def new(calculator, model, /, **settings):
    """Returns a calculator, by default of class 0, and with few steps."""
    default = {"model": model, "class_index": 0, **CALCULATORS[calculator]}
    if calculator is IntegratedGradientsCalculator:
        default["steps"] = 4
    return calculator(**{**default, **settings})


# --- settings are live --------------------------------------------------------------


class Setting(NamedTuple):
    """A value that a setting is given later.

    Attributes:
        calculator: The class.
        name (str): Of the setting.
        value: ``value(model)`` returns it.
        others (dict): The other settings, from the beginning on.
        is_seen (bool): Whether it makes a difference here.
    """

    calculator: Any
    name: str
    value: Callable[[Any], Any]
    others: Mapping[str, Any] = MappingProxyType({})
    is_seen: bool = True


def always(value):
    return lambda model: value


SETTINGS = [
    *(
        setting
        for calculator in CALCULATORS
        for setting in (
            Setting(calculator, "model", lambda m: build(Network, False, seed=8)),
            Setting(calculator, "eval_fun", lambda m: lambda v: m(v * 2)),
            # The maps of Grad-CAM do not depend on where saliency is read.
            Setting(
                calculator,
                "target_extractor",
                lambda m: VariableMonitorLinkHook(m.conv1),
                is_seen=calculator is not GradCAMCalculator,
            ),
            Setting(
                calculator,
                "output_extractor",
                lambda m: VariableMonitorLinkHook(m.hidden),
            ),
            Setting(calculator, "class_index", always([2, 1, 0])),
            Setting(calculator, "device", always("@numpy"), is_seen=False),
        )
    ),
    Setting(GradientCalculator, "class_index", always(1)),
    Setting(GradientCalculator, "class_index", always("argmax")),
    Setting(GradientCalculator, "device", always(-1), is_seen=False),
    *(
        Setting(calculator, "multiply_target", always(True))
        for calculator in (
            GradientCalculator,
            SmoothGradCalculator,
            BayesGradCalculator,
        )
    ),
    Setting(SmoothGradCalculator, "noise_sampler", always(UniformNoiseSampler())),
    Setting(IntegratedGradientsCalculator, "baseline", always(0.5)),
    Setting(IntegratedGradientsCalculator, "baseline", always("mean")),
    Setting(IntegratedGradientsCalculator, "baseline", always([None, 0.5, "mean"])),
    Setting(IntegratedGradientsCalculator, "steps", always(3)),
    Setting(IntegratedGradientsCalculator, "steps", always(9)),
    Setting(IntegratedGradientsCalculator, "steps", always(7), {"method": "adaptive"}),
    Setting(IntegratedGradientsCalculator, "method", always("right")),
    Setting(IntegratedGradientsCalculator, "method", always("adaptive")),
    Setting(
        IntegratedGradientsCalculator,
        "method",
        always("midpoint"),
        {"method": "adaptive"},
    ),
    Setting(OcclusionCalculator, "size", always(2)),
    Setting(OcclusionCalculator, "size", always((1, 3))),
    Setting(OcclusionCalculator, "slide_axis", always(2)),
    Setting(OcclusionCalculator, "slide_axis", always((1, 2, 3))),
    Setting(OcclusionCalculator, "stride", always(2), {"size": 2}),
    Setting(OcclusionCalculator, "fill", always(0.5)),
    Setting(OcclusionCalculator, "fill", always("mean")),
    Setting(OcclusionCalculator, "class_index", always("all")),
    Setting(GradCAMCalculator, "layer", always("conv1")),
    Setting(GradCAMCalculator, "layer", lambda m: m.conv1),
    Setting(GradCAMCalculator, "layer", always(["conv1", "conv2"])),
    Setting(GradCAMCalculator, "reshape", always(lambda maps: maps[:, :1])),
    Setting(GradCAMCalculator, "resize", always(False)),
    Setting(GradCAMCalculator, "resize", always((3, 4))),
    Setting(GuidedGradCAMCalculator, "layer", always("conv1")),
    Setting(LRPCalculator, "rule", always("epsilon_plus_flat")),
    Setting(LRPCalculator, "rule", always(AlphaBeta(2, -1))),
    Setting(LRPCalculator, "relevance", always(1.0)),
    Setting(LRPCalculator, "relevance", always(np.array([1.0, -1.0, 0.5]))),
    Setting(LRPCalculator, "conditions", always({"/conv1": [0, 2]})),
    Setting(LRPCalculator, "low", always(-4.0), {"rule": "epsilon_gamma_box"}),
    Setting(LRPCalculator, "high", always(4.0), {"rule": "epsilon_gamma_box"}),
]
# The box that a preset of LRP has by default does not hold the data.
outside_a_box = pytest.mark.filterwarnings("ignore:the z.B rule")


@pytest.mark.large
@outside_a_box
@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda s: f"{s.calculator.__name__}.{s.name}"
)
def test_a_setting_may_be_changed(setting, model, x):
    """To what gives the result of a calculator that was made so, and back again."""
    calculator, name, value, others, is_seen = setting
    value = value(model)
    expected = new(calculator, model, **{**others, name: value}).compute(x, **HOW)
    changed = new(calculator, model, **others)
    before = changed.compute(x, **HOW)
    first = getattr(changed, name)
    setattr(changed, name, value)
    after = changed.compute(x, **HOW)
    assert after.tobytes() == expected.tobytes()
    assert is_seen == (after.tobytes() != before.tobytes())
    setattr(changed, name, first)
    assert changed.compute(x, **HOW).tobytes() == before.tobytes()


def test_no_class_is_the_predicted_one_in_lrp(model, x):
    calculator = new(LRPCalculator, model)
    calculator.class_index = None
    expected = LRPCalculator(model).compute(x, **HOW)
    assert calculator.compute(x, **HOW).tobytes() == expected.tobytes()


def test_what_else_a_calculator_computes_follows_its_settings(model, x):
    paths = new(IntegratedGradientsCalculator, model)
    paths.baseline, paths.class_index, paths.steps = [0.5, "mean"], 1, 7
    expected = IntegratedGradientsCalculator(
        model, class_index=1, baseline=[0.5, "mean"], steps=7
    )
    samples = expected.compute(x, **HOW)
    assert (
        paths.convergence_delta(samples, x).tobytes()
        == expected.convergence_delta(samples, x).tobytes()
    )
    relevance = new(LRPCalculator, model)
    relevance.rule, relevance.class_index, relevance.relevance = "zplus", 1, 2.0
    expected = LRPCalculator(model, rule="zplus", class_index=1, relevance=2.0)
    assert (
        relevance.compute_layers(x, ["/hidden"])["/hidden"].tobytes()
        == expected.compute_layers(x, ["/hidden"])["/hidden"].tobytes()
    )
    assert str(relevance.conservation(x)) == str(expected.conservation(x))
    assert str(relevance.assignment(x)) == str(expected.assignment(x))


REFUSED_BY_ALL = [
    ("model", 3),
    ("eval_fun", 3),
    ("target_extractor", "hidden"),
    ("targets", "nonsense"),
    ("output_extractor", 3),
    ("class_index", "nonsense"),
    ("class_index", 1.5),
    ("device", "nonsense"),
]
REFUSED = [
    *(
        (calculator, *REFUSED_BY_ALL[i % len(REFUSED_BY_ALL)])
        for i, calculator in enumerate(CALCULATORS)
    ),
    (GradientCalculator, "multiply_target", 2),
    (GradientCalculator, "multiply_target", "yes"),
    (SmoothGradCalculator, "noise_sampler", 3),
    (IntegratedGradientsCalculator, "steps", 0),
    (IntegratedGradientsCalculator, "steps", 2.5),
    (IntegratedGradientsCalculator, "method", "simpson"),
    (IntegratedGradientsCalculator, "baseline", []),
    (IntegratedGradientsCalculator, "baseline", "median"),
    (IntegratedGradientsCalculator, "baseline", np.nan),
    (OcclusionCalculator, "size", 0),
    (OcclusionCalculator, "size", (1, 2, 3)),
    (OcclusionCalculator, "slide_axis", (2, 2)),
    (OcclusionCalculator, "stride", 2),  # with a size of 1
    (OcclusionCalculator, "fill", "median"),
    (GradCAMCalculator, "layer", "conv7"),
    (GradCAMCalculator, "layer", 3),
    (GradCAMCalculator, "call", -1),
    (GradCAMCalculator, "reshape", (2, 0)),
    (GradCAMCalculator, "resize", (2.5,)),
    (GuidedGradCAMCalculator, "layer", "conv7"),
    (LRPCalculator, "rule", "nonsense"),
    (LRPCalculator, "rule", 3),
    (LRPCalculator, "relevance", "nonsense"),
]


@every_value(
    refused={
        f"{c.__name__}.{name}={value!r}": (c, name, value) for c, name, value in REFUSED
    },
    call=["compute", "compute_aggregate"],
)
def test_a_value_that_is_wrong_is_refused(refused, call, model, x):
    calculator, name, value = refused
    changed = new(calculator, model)
    expected = changed.compute(x, **HOW)
    first, before = getattr(changed, name), state_of(model, x)

    def change_and_call():
        setattr(changed, name, value)
        getattr(changed, call)(x, **HOW)

    with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b"):
        change_and_call()
    assert state_of(model, x) == before
    setattr(changed, name, first)
    assert changed.compute(x, **HOW).tobytes() == expected.tobytes()


# --- printed, copied, and left alone ------------------------------------------------


def explained(v):
    return F.sum(v**2, axis=(1, 2))


PRINTED = [
    (GradientCalculator, {}),
    (GradientCalculator, {"class_index": "argmax"}),
    (GradientCalculator, {"multiply_target": True, "eval_fun": explained}),
    (SmoothGradCalculator, {"noise_sampler": GaussianNoiseSampler(scale=0.3)}),
    (BayesGradCalculator, {"multiply_target": True}),
    (IntegratedGradientsCalculator, {"steps": 7, "method": "adaptive"}),
    (IntegratedGradientsCalculator, {"baseline": "mean"}),
    (OcclusionCalculator, {"size": 2, "stride": 2, "fill": "mean"}),
    (OcclusionCalculator, {"slide_axis": (1, 2, 3), "class_index": "all"}),
    (GradCAMCalculator, {"layer": "conv1", "resize": False}),
    (GuidedBackpropCalculator, {"class_index": 2}),
    (DeconvnetCalculator, {"class_index": 2}),
    (GuidedGradCAMCalculator, {"layer": "conv2"}),
    (LRPCalculator, {"rule": "epsilon_gamma_box", "low": -5.0, "high": 5.5}),
    (LRPCalculator, {"relevance": 1.0, "rule": AlphaBeta(2, -1)}),
]
every_printed = pytest.mark.parametrize(("calculator", "settings"), PRINTED)

OWN_SETTINGS = {
    GradientCalculator: {"multiply_target": False},
    SmoothGradCalculator: {
        "multiply_target": False,
        "noise_sampler": SmoothGradCalculator.noise_sampler,
    },
    BayesGradCalculator: {"multiply_target": False},
    IntegratedGradientsCalculator: {
        "baseline": None,
        "steps": 25,
        "method": "gauss_legendre",
    },
    OcclusionCalculator: {
        "enable_backprop": False,
        "size": 1,
        "slide_axis": (2, 3),
        "stride": None,
        "fill": 0,
    },
    GradCAMCalculator: {"layer": None, "call": None, "reshape": None, "resize": True},
    GuidedBackpropCalculator: {},
    DeconvnetCalculator: {},
    GuidedGradCAMCalculator: {"layer": None, "call": None, "reshape": None},
    LRPCalculator: {
        "rule": "epsilon",
        "relevance": "output",
        "low": 0.0,
        "high": 1.0,
        "conditions": None,
    },
    FullGradCalculator: {},
}
COMMON = [
    *("target_extractor", "output_extractor", "eval_fun", "class_index", "device"),
    "targets",
]


# Those that follow by position, in the order in which Chainer Chemistry takes them.
BY_POSITION = {
    GradientCalculator: ["multiply_target", "device"],
    SmoothGradCalculator: ["multiply_target", "device"],
    BayesGradCalculator: ["multiply_target", "device"],
    IntegratedGradientsCalculator: ["baseline", "steps", "device"],
    OcclusionCalculator: ["device", "enable_backprop", "size", "slide_axis"],
}


def arguments_in(text):
    return set(re.findall(r"\b(\w+)=", text))


@every_printed
def test_prints_as_a_call_with_what_is_not_by_default(calculator, settings, model):
    required = CALCULATORS[calculator]
    text = repr(calculator(model, **{**required, **settings}))
    assert text.startswith(f"{calculator.__name__}(")
    assert text.endswith(")")
    assert "Network" in text
    assert not re.search(r"0x[0-9a-f]+", text)  # an address tells nobody anything
    names = {*COMMON, *OWN_SETTINGS[calculator]}
    assert arguments_in(text) & names == {*required, *settings}
    for name, value in settings.items():
        if isinstance(value, (int, float, str, tuple)):
            assert f"{name}={value!r}" in text


def test_prints_what_was_set_later(model):
    calculator = GradientCalculator(model)
    calculator.class_index = "argmax"
    assert "class_index='argmax'" in repr(calculator)
    calculator.class_index = None
    assert "class_index" not in repr(calculator)


def test_prints_extractors_and_functions_without_an_address(model):
    monitor = VariableMonitorLinkHook(model.hidden)
    calculator = GradientCalculator(
        model, monitor, output_extractor=monitor, eval_fun=lambda v: model(v)
    )
    assert arguments_in(repr(calculator)) >= {
        "target_extractor",
        "output_extractor",
        "eval_fun",
    }
    assert not re.search(r"0x[0-9a-f]+", repr(calculator))
    assert not re.search(r"0x[0-9a-f]+", repr(GradientCalculator(lambda v: v)))


def pickled(calculator):
    return pickle.loads(pickle.dumps(calculator))


def content_of(value):
    """Returns all that a value holds in a form that can be compared.

    Models are left out, and what each thread has of its own (lengths, say).
    """
    if isinstance(value, logging.Logger):
        return value.name
    if isinstance(value, (chainer.Link, threading.local)):
        return id(value)
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return {key: content_of(v) for key, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [content_of(v) for v in value]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return type(value), content_of(vars(value))
    return value


COPIES = {"pickled": pickled, "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.mark.large
@every_pair(
    printed={f"{c.__name__}-{list(s)}": (c, s) for c, s in PRINTED},
    copied=COPIES,
    at=["input", "hidden"],
    was_used={"new": False, "used": True},
)
def test_copies_print_and_compute_the_same(printed, copied, at, was_used, model, x):
    calculator, settings = printed
    settings = {"class_index": 0, **CALCULATORS[calculator], **settings}
    if at == "hidden" and "eval_fun" not in settings:
        settings["target_extractor"] = VariableMonitorLinkHook(model.conv1)
    original = calculator(model, **settings)
    if was_used:
        original.compute(x, retain_inputs=True, **HOW)
    copy_ = copied(original)
    assert repr(copy_) == repr(original)
    assert copy_.inputs is None
    expected = original.compute(x, **HOW)
    assert copy_.compute(x, **HOW).tobytes() == expected.tobytes()


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_is_changed_by_itself(copied, model, x):
    original = new(IntegratedGradientsCalculator, model)
    expected = original.compute(x, **HOW)
    other = copied(original)
    other.steps, other.baseline = 3, "mean"
    assert other.compute(x, **HOW).tobytes() != expected.tobytes()
    assert original.compute(x, **HOW).tobytes() == expected.tobytes()


@every_pair(
    calculator={c.__name__: c for c in CALCULATORS},
    call=["compute", "compute_aggregate"],
    settings={
        "plain": {},
        "train_and_noise": {"train": True, "noise_sampler": GaussianNoiseSampler()},
        "posterior": {"posterior": True},
    },
)
def test_nothing_is_left_on_the_calculator(calculator, call, settings, x):
    subject = Subject()
    settings = dict(settings)
    if "posterior" in settings:
        settings["posterior"] = subject.posterior
    used = new(
        calculator,
        subject.model,
        target_extractor=VariableMonitorLinkHook(subject.model.conv1),
    )
    before, identities = content_of(used), {k: id(v) for k, v in vars(used).items()}
    getattr(used, call)(x, **HOW, **settings)
    assert {k: id(v) for k, v in vars(used).items()} == identities
    assert content_of(used) == before


@pytest.mark.parametrize(
    "settings",
    [
        (IntegratedGradientsCalculator, {"baseline": ["mean", 0.5]}),
        (IntegratedGradientsCalculator, {"method": "adaptive", "steps": 5}),
        (OcclusionCalculator, {"fill": "mean"}),
        (LRPCalculator, {"relevance": np.array([1.0, 2.0, 3.0])}),
        (GradientCalculator, {"class_index": "argmax"}),
    ],
    ids=["means", "adaptive", "fill", "relevance", "argmax"],
)
def test_nor_what_a_run_learns(settings, model, x):
    calculator, settings = settings
    used = new(calculator, model, **settings)
    before = content_of(used)
    used.compute(x, **HOW)
    if calculator is IntegratedGradientsCalculator:
        used.convergence_delta(used.compute(x, **HOW), x, seed=0)
    if calculator is LRPCalculator:
        used.compute_layers(x, ["/hidden"])
        used.conservation(x)
        used.assignment(x)
    assert content_of(used) == before


def test_nor_inputs_and_lengths(rng):
    used = GradientCalculator(build(Sequence))
    before = content_of(used)
    data = [rng.normal(size=(n, 2)) for n in (2, 5)]
    converter = partial(concat_examples, padding=0)
    used.compute(data, converter=converter, retain_inputs=True)
    assert used.lengths.tolist() == [2, 5]
    assert used.inputs[0].shape == (2, 5, 2)
    assert content_of(used) == before


# --- signatures ---------------------------------------------------------------------

EMPTY = inspect.Parameter.empty
OF_COMPUTE = {
    "M": 1,
    "batchsize": None,
    "converter": concat_examples,
    "retain_inputs": False,
    "preprocess_fn": None,
    "postprocess_fn": None,
    "train": False,
    "noise_sampler": None,
    "show_progress": True,
    "seed": None,
    "posterior": None,
}
OF_COMPUTE_AGGREGATE = {
    "M": 1,
    "method": "raw",
    "ch_axis": None,
    "statistic": "mean",
    "out": None,
    "repair": False,
    "workers": None,
    **{k: v for k, v in OF_COMPUTE.items() if k not in ("M", "retain_inputs")},
}
SAMPLERS = (SmoothGradCalculator, BayesGradCalculator)
# What they draw unless they are told is a matter of the calculator.
DRAWN = {"train", "noise_sampler"}


def parameters_of(function):
    found = dict(inspect.signature(function).parameters)
    kinds = {p.kind for p in found.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert inspect.Parameter.VAR_POSITIONAL not in kinds
    found.pop("self", None)
    return found


@every_class
def test_the_signature_of_the_class(calculator):
    parameters = parameters_of(calculator)
    by_position = ["model", *COMMON[:3], *BY_POSITION.get(calculator, [])]
    assert list(parameters)[: len(by_position)] == by_position
    for name in by_position:
        assert parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    expected = {
        "model": EMPTY,
        **dict.fromkeys(COMMON),
        **OWN_SETTINGS[calculator],
    }
    assert {k: p.default for k, p in parameters.items()} == expected
    for name in expected.keys() - by_position:
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


@every_class
@pytest.mark.parametrize(
    ("method", "expected"),
    [("compute", OF_COMPUTE), ("compute_aggregate", OF_COMPUTE_AGGREGATE)],
)
def test_the_signatures_of_its_methods(calculator, method, expected):
    expected = {"data": EMPTY, **expected}
    if calculator in SAMPLERS:
        expected["M"] = 30
    parameters = parameters_of(getattr(calculator, method))
    assert parameters.keys() == expected.keys()
    defaults = {k: p.default for k, p in parameters.items()}
    if calculator in SAMPLERS:
        for name in DRAWN:
            assert defaults.pop(name) is not EMPTY
            del expected[name]
    assert defaults == expected
    # So that each can take the place of its base.
    names = ["data", "M", *("batchsize", "converter")]
    if method == "compute_aggregate":
        names = ["data", "M", "method", "ch_axis"]
    assert list(parameters)[: len(names)] == names


OTHER_METHODS = [
    (LRPCalculator, "compute_layers", ["data", "links"]),
    (LRPCalculator, "reference_examples", ["data", "layer"]),
    (FullGradCalculator, "decomposition", ["data"]),
    (LRPCalculator, "conservation", ["data"]),
    (LRPCalculator, "assignment", ["data"]),
    (
        IntegratedGradientsCalculator,
        "convergence_delta",
        ["saliency_samples", "data"],
    ),
]
every_other_method = pytest.mark.parametrize(
    ("calculator", "method", "required"), OTHER_METHODS, ids=lambda v: str(v)
)


@every_other_method
def test_the_signatures_of_other_methods(calculator, method, required):
    parameters = parameters_of(getattr(calculator, method))
    assert [k for k, p in parameters.items() if p.default is EMPTY] == required
    assert list(parameters)[: len(required)] == required
    # A check computes as many samples as it is given, and has no use for some others.
    optional = {"M", "retain_inputs", "postprocess_fn"}
    defaults = {k: p.default for k, p in parameters.items() if k in OF_COMPUTE}
    assert OF_COMPUTE.keys() - optional <= defaults.keys()
    for name in defaults.keys() - optional:
        assert defaults[name] == OF_COMPUTE[name]


@every_class
def test_arguments_may_be_given_by_position(calculator, model, x):
    called = new(calculator, model)
    how = {"seed": 0, "show_progress": False}
    by_name = called.compute(x, M=2, batchsize=3, **how)
    assert called.compute(x, 2, 3, **how).tobytes() == by_name.tobytes()
    in_order = called.compute(x, 2, 3, concat_examples, True, **how)
    assert in_order.tobytes() == by_name.tobytes()
    assert len(called.inputs[0]) == len(x)
    by_name = called.compute_aggregate(x, M=2, method="abs", ch_axis=None, **how)
    in_order = called.compute_aggregate(x, 2, "abs", None, **how)
    assert in_order.tobytes() == by_name.tobytes()


@every_class
@pytest.mark.parametrize("method", ["compute", "compute_aggregate"])
def test_an_unknown_argument_is_named_with_the_one_that_is_meant(
    calculator, method, model, x
):
    called = new(calculator, model)
    with pytest.raises(TypeError, match=r"batch_size.*[Dd]id you mean 'batchsize'"):
        getattr(called, method)(x, batch_size=3)
    with pytest.raises(TypeError, match="nonsense"):
        getattr(called, method)(x, nonsense=3)


@every_other_method
def test_so_it_is_in_other_methods(calculator, method, required, model, x):
    called = new(calculator, model)
    given = {"data": x, "links": ["/hidden"], "layer": "/hidden"}
    given["saliency_samples"] = called.compute(x)
    arguments = [given[name] for name in required]
    with pytest.raises(TypeError, match=r"batch_size.*[Dd]id you mean 'batchsize'"):
        getattr(called, method)(*arguments, batch_size=3)


@every_class
@pytest.mark.parametrize("method", ["compute", "compute_aggregate"])
def test_help_tells_of_every_argument(calculator, method):
    function = getattr(calculator, method)
    text = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert "**settings" not in text
    described = set(re.findall(r"^ +(\w+)(?: \([^)]*\))?: ", text, re.MULTILINE))
    assert described >= inspect.signature(function).parameters.keys() - {"self"}
    assert "As for" not in text  # it has to be read elsewhere


@every_other_method
def test_help_tells_of_every_argument_of_other_methods(calculator, method, required):
    function = getattr(calculator, method)
    text = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert "**settings" not in text
    for name in inspect.signature(function).parameters.keys() - {"self"}:
        assert re.search(rf"^ +{name}\b.*:", text, re.MULTILINE), name

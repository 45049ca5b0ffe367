"""Wrong arguments of everything public: an error that names the argument, at once.

``CASES`` has a call that is right, and for each of its arguments values that are wrong.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from PIL import Image
from rdkit import Chem
from sklearn.neural_network import MLPClassifier

import saliency
from link_hooks import VariableMonitorLinkHook
from saliency import lrp
from tests.networks import CNN, MLP, build

import chainer.links as L

NOTHING = object()
FLAG = ["no", 2, -1, NOTHING, 1.5]
COUNT = [0, -1, 1.5, "3", NOTHING, [2]]
NUMBER = ["a", NOTHING, np.nan, [1, "2"]]
FUNCTION = [3, "f", NOTHING]
CHOICE = ["nope", 3, NOTHING, ["raw"]]
TEXT = [3.5, NOTHING, ["a"]]

model = build(MLP)
images = build(CNN)
x = np.random.default_rng(0).normal(size=(5, 4))
fitted = MLPClassifier((2,), solver="sgd", max_iter=9, n_iter_no_change=1, tol=9.0)
fitted.fit(x, [0, 1, 0, 1, 0])
pictures = np.random.default_rng(1).random((2, 2, 6, 6))


def returning(value):
    return lambda *args: value


class Sampler:
    def __init__(self, noise):
        self.noise = noise

    def sample(self, array):
        return self.noise


def explained(calculator, data=x, **settings):
    """Makes a calculator and computes, for arguments of its constructor."""
    settings = {"model": model, "class_index": 0, **settings}
    return calculator(**settings).compute(data, show_progress=False)


def computed(method="compute", **settings):
    settings = {"data": x, "show_progress": False, **settings}
    return getattr(saliency.GradientCalculator(model, class_index=0), method)(
        **settings
    )


def monitored(**settings):
    hook = VariableMonitorLinkHook(**{"target_link": model.layers[0], **settings})
    return explained(saliency.GradientCalculator, target_extractor=hook)


def aggregated(**settings):
    samples = np.ones((3, 5, 4))
    settings = {"saliency_arrays": samples, **settings}
    return saliency.GradientCalculator(model).aggregate(**settings)


def drawn(visualizer, method="visualize", **arguments):
    return functools.partial(getattr(visualizer(), method), **arguments)


ethanol = Chem.MolFromSmiles("CCO")
IMAGE = Image.fromarray(np.zeros((8, 8, 3), np.uint8))

CASES = {
    "GradientCalculator": (
        functools.partial(explained, saliency.GradientCalculator),
        {
            "model": [3, None, "m", NOTHING],
            "target_extractor": [3, "l1", NOTHING, model.layers[0]],
            "output_extractor": [3, NOTHING, model.layers[1]],
            "eval_fun": FUNCTION,
            "class_index": ["nope", 1.5, NOTHING, {}, [1.5], np.nan, (1, "a"), -7, 99],
            "device": ["@nope", NOTHING, "gpu", 1.5],
            "multiply_target": FLAG,
        },
    ),
    "IntegratedGradientsCalculator": (
        functools.partial(explained, saliency.IntegratedGradientsCalculator),
        {
            "steps": COUNT,
            "baseline": ["nope", NOTHING, [], {}, np.nan, np.zeros(3), ["a"]],
            "method": CHOICE,
        },
    ),
    "ExpectedGradientsCalculator": (
        functools.partial(
            explained, saliency.ExpectedGradientsCalculator, background=x
        ),
        {
            "background": ["mean", 3.0, None, NOTHING, [], {}, np.zeros((2, 3)), ["a"]],
            "steps": COUNT,
        },
    ),
    "BlurIntegratedGradientsCalculator": (
        functools.partial(
            explained, saliency.BlurIntegratedGradientsCalculator, axes=1
        ),
        {
            "max_sigma": [*NUMBER, 0, -1.0, np.inf],
            "steps": COUNT,
            "axes": [0, 5, -1, "1", NOTHING, 1.5, (), (1, "a"), [1]],
        },
    ),
    "GuidedIntegratedGradientsCalculator": (
        functools.partial(explained, saliency.GuidedIntegratedGradientsCalculator),
        {
            "baseline": ["nope", NOTHING, []],
            "steps": COUNT,
            "fraction": [*NUMBER, 0, -0.1, 1.1],
            "max_distance": [*NUMBER, -0.1, 1.1],
        },
    ),
    "ConductanceCalculator": (
        functools.partial(explained, saliency.ConductanceCalculator, layer=model.l1),
        {
            "layer": [3, None, "nope", NOTHING, [], L.Linear(2, 2)],
            "steps": COUNT,
            "method": [*CHOICE, "gauss_legendre"],
        },
    ),
    "NeuronConductanceCalculator": (
        functools.partial(
            explained, saliency.NeuronConductanceCalculator, layer=model.l1, neuron=1
        ),
        {"neuron": [None, 1.5, "a", (), 99, (0, 0), [1]], "method": CHOICE},
    ),
    "xrai": (
        functools.partial(
            saliency.xrai, np.ones((2, 4, 4)), segments=np.eye(4, dtype=int)
        ),
        {
            "attributions": [
                None,
                3,
                "a",
                NOTHING,
                np.ones(3),
                np.full((1, 4, 4), "a"),
            ],
            "segments": [None, 3, "a", NOTHING, np.ones((4, 4)), np.eye(3, dtype=int)],
            "min_pixels": COUNT,
        },
    ),
    "SmoothGradCalculator": (
        functools.partial(explained, saliency.SmoothGradCalculator),
        {"noise_sampler": FUNCTION},
    ),
    "OcclusionCalculator": (
        functools.partial(explained, saliency.OcclusionCalculator, slide_axis=1),
        {
            "slide_axis": [0, 5, -1, "1", NOTHING, 1.5, (1, 1), ()],
            "size": [*COUNT[:-1], 99, (1, 2)],
            "stride": COUNT[:-1],
            "fill": ["nope", NOTHING, np.nan, np.zeros(3), {}],
        },
    ),
    "LRPCalculator": (
        functools.partial(explained, saliency.LRPCalculator, rule="zbab"),
        {"rule": ["nope", 3, NOTHING, None, [lrp.Epsilon()]], "low": NUMBER[:3]},
    ),
    "LRPCalculator.conditions": (
        functools.partial(
            explained, saliency.LRPCalculator, data=pictures, model=images
        ),
        {
            "conditions": [
                *(3, "/conv", NOTHING, ["/conv"], {3: 0}, {"/nope": 0}),
                *({"/conv": c} for c in ("a", 1.5, None, [], NOTHING, 99, (0, "a"))),
            ]
        },
    ),
    "LRPCalculator.reference_examples": (
        functools.partial(
            saliency.LRPCalculator(images, class_index=0).reference_examples,
            data=pictures,
            layer="/conv",
            show_progress=False,
        ),
        {
            "data": [None, 3, NOTHING, []],
            "layer": [3, None, NOTHING, "nope", ""],
            "k": COUNT,
            "channels": ["a", 1.5, NOTHING, [], [99], [-1]],
            "reduce": CHOICE,
            "ch_axis": [*COUNT[:-1], 9],
        },
    ),
    "FullGradCalculator.decomposition": (
        functools.partial(
            saliency.FullGradCalculator(model, class_index=0).decomposition,
            data=x,
            show_progress=False,
        ),
        {"data": [None, 3, NOTHING, []], "M": COUNT, "batchsize": COUNT},
    ),
    "IntegratedHessiansCalculator": (
        functools.partial(explained, saliency.IntegratedHessiansCalculator),
        {
            "baseline": ["nope", NOTHING, [], {}, np.nan, np.zeros(3), ["a"]],
            "steps": COUNT,
            "softplus": [*NUMBER, 0, -1.0, np.inf, True],
        },
    ),
    "ShapleyInteractionCalculator": (
        functools.partial(explained, saliency.ShapleyInteractionCalculator),
        {
            "index": CHOICE,
            "baseline": ["nope", NOTHING, np.nan, np.zeros(3)],
            "background": ["mean", 3.0, NOTHING, [], np.zeros((2, 3))],
            "groups": [NOTHING, "a", 1.5, [0, 1], {"a": "b"}],
        },
    ),
    "GradCAMCalculator": (
        functools.partial(
            explained, saliency.GradCAMCalculator, data=pictures, model=images
        ),
        {
            "layer": [3, "nope", NOTHING, []],
            "reshape": ["a", NOTHING, (0, 2), (2,), 3.5],
            "call": [-3, "a", 1.5, 99],
        },
    ),
    "compute": (
        computed,
        {
            "data": [
                *(None, 3, "x", NOTHING, [], {}, np.zeros((0, 4)), [NOTHING, NOTHING]),
                *(np.full((2, 4), np.nan), np.array(["a"]), np.zeros((2, 4), "c8")),
            ],
            "M": [*COUNT, 10**9, 10**12],
            "batchsize": COUNT,
            "converter": [*FUNCTION, None, *map(returning, (None, "a", {}))],
            "preprocess_fn": [*FUNCTION, *map(returning, (None, "a", {}))],
            "postprocess_fn": [*FUNCTION, *map(returning, (None, "a", {}))],
            "train": FLAG,
            "noise_sampler": [*FUNCTION, *map(Sampler, (None, "a", x[:1]))],
            "seed": [-1, 1.5, "a", NOTHING, np.nan],
            "posterior": [*FUNCTION, model],
            "show_progress": FLAG,
            "retain_inputs": FLAG,
        },
    ),
    "compute_aggregate": (
        functools.partial(computed, "compute_aggregate"),
        {
            "M": [10**12],
            "method": CHOICE,
            "ch_axis": [0, 1, 9, "a", 1.5, NOTHING, (2, 2)],
            "statistic": CHOICE,
            "out": [3, NOTHING, "x.txt", np.zeros(3), ""],
            "workers": [0, -1, 1.5, "a", NOTHING],
        },
    ),
    "aggregate": (
        aggregated,
        {
            "saliency_arrays": [None, 3, "a", NOTHING, np.zeros(3), [], np.array("a")],
            "method": CHOICE,
            "ch_axis": [0, 9, "a", 1.5, NOTHING, (2, 2)],
            "statistic": CHOICE,
        },
    ),
    "VariableMonitorLinkHook": (
        monitored,
        {
            "target_link": [None, 3, NOTHING, "a"],
            "name": TEXT,
            "timing": CHOICE,
            "extract_fn": FUNCTION,
            "call": [1.5, "a", NOTHING],
        },
    ),
    "GaussianNoiseSampler": (
        saliency.GaussianNoiseSampler,
        {"mode": CHOICE, "scale": [*NUMBER, -1, np.inf, None]},
    ),
    "UniformNoiseSampler": (
        saliency.UniformNoiseSampler,
        {"mode": CHOICE, "scale": [*NUMBER, -1, np.inf, None]},
    ),
    "GaussianBlur": (
        saliency.GaussianBlur,
        {"sigma": [*NUMBER, -1, 0, np.inf, None]},
    ),
    "cut_to_lengths": (
        functools.partial(
            saliency.cut_to_lengths, saliency=np.zeros((2, 5)), lengths=[2, 3]
        ),
        {"lengths": [3, [1], [9, 9], ["a", "b"], [-1, 2], [1.5, 2]]},
    ),
    "EnsemblePosterior": (
        saliency.EnsemblePosterior,
        {"members": [None, 3, [], "x.npz", [3], [NOTHING]]},
    ),
    "SWAGPosterior": (
        functools.partial(saliency.SWAGPosterior, model=model),
        {"model": [None, 3, NOTHING]},
    ),
    "normalize_scaler": (
        functools.partial(saliency.normalize_scaler, np.arange(4.0)),
        {"axis": ["a", NOTHING, np.nan]},
    ),
    "heatmap": (
        functools.partial(saliency.heatmap, np.ones((2, 2))),
        {
            "ch_axis": ["a", NOTHING],
            "reduce": CHOICE,
            "cmap": ["nope", NOTHING],
        },
    ),
    "Box": (lrp.Box, {"low": ["a", NOTHING, None], "high": ["a", NOTHING, -3]}),
    "Epsilon": (lrp.Epsilon, {"epsilon": [*NUMBER, None]}),
    "Gamma": (lrp.Gamma, {"gamma": [*NUMBER, None]}),
    "TableVisualizer": (
        drawn(saliency.TableVisualizer, saliency=np.arange(4.0)),
        {
            "saliency": ["a", NOTHING, None],
            "feature_names": [3, ["a"], NOTHING],
            "title": TEXT,
            "num_visualize": ["a", 1.5, NOTHING],
            "save_filepath": [3, NOTHING],
            "limit": ["a", 0, -1, np.nan, NOTHING],
            "signed": FLAG,
        },
    ),
    "TableVisualizer.visualize_grid": (
        drawn(
            saliency.TableVisualizer,
            "visualize_grid",
            saliency={"a": np.arange(4.0), "b": np.ones(4)},
        ),
        {
            "saliency": [None, NOTHING, {}, np.ones(4), {"a": [1], "b": [1, 2]}],
            "errors": [3, NOTHING, {"c": np.ones(4)}, {"a": -np.ones(4)}],
            "scaler": FUNCTION,
            "sort": CHOICE,
            "n_column": COUNT,
            "signed": FLAG,
        },
    ),
    "TableVisualizer.visualize_mean": (
        drawn(saliency.TableVisualizer, "visualize_mean", saliency=x),
        {
            "saliency": ["a", NOTHING, None, {}, np.ones(4), np.full((2, 2), np.nan)],
            "sort": CHOICE,
            "magnitudes": FLAG,
            "n_column": COUNT,
            "xlabel": TEXT,
            "ax": [3, NOTHING],
        },
    ),
    "TableVisualizer.visualize_summary": (
        drawn(saliency.TableVisualizer, "visualize_summary", saliency=x, features=x),
        {"features": ["a", NOTHING, None, x[:2], {"a": x}], "n_column": COUNT},
    ),
    "TableVisualizer.visualize_waterfall": (
        drawn(
            saliency.TableVisualizer,
            "visualize_waterfall",
            saliency=np.arange(4.0),
            score=6.0,
        ),
        {
            "saliency": ["a", NOTHING, None, x],
            "score": ["a", NOTHING, None, np.nan, 7.0, [1, 2]],
            "base_value": ["a", NOTHING, None, np.inf, 1.0],
            "features": ["a", NOTHING, [1, 2]],
            "num_visualize": ["a", 1.5, NOTHING, 0],
        },
    ),
    "TableVisualizer.visualize_decision": (
        drawn(
            saliency.TableVisualizer,
            "visualize_decision",
            saliency=x,
            scores=x.sum(axis=1),
        ),
        {
            "scores": ["a", NOTHING, None, 7.0, [1, 2], {"a": 1}],
            "base_values": ["a", NOTHING, None, 7.0, [1, 2], {"a": 1}],
            "num_visualize": ["a", 1.5, NOTHING, 0],
        },
    ),
    "TableVisualizer.visualize_dependence": (
        drawn(
            saliency.TableVisualizer,
            "visualize_dependence",
            saliency=x,
            features=x,
            feature=0,
        ),
        {
            "features": ["a", NOTHING, None, x[:2]],
            "feature": ["a", NOTHING, None, 4, 1.5, [0]],
            "color_by": ["a", NOTHING, 4, 1.5, [0]],
            "n_column": COUNT,
        },
    ),
    "TableVisualizer.visualize_heatmap": (
        drawn(saliency.TableVisualizer, "visualize_heatmap", saliency=x),
        {
            "scores": ["a", NOTHING, 3, [1, 2], {"a": 1}],
            "order": CHOICE,
            "percentile": [*NUMBER, -1, 101],
            "limit": ["a", 0, np.nan],
            "signed": FLAG,
        },
    ),
    "TableVisualizer.visualize_interactions": (
        drawn(
            saliency.TableVisualizer, "visualize_interactions", interactions=np.eye(3)
        ),
        {
            "interactions": ["a", NOTHING, None, 3, np.ones(3), np.ones((2, 3))],
            "feature_names": [3, ["a"], NOTHING],
            "num_visualize": ["a", 1.5, NOTHING, 0],
            "limit": ["a", 0, np.nan],
            "signed": FLAG,
            "show_values": FLAG,
            "title": TEXT,
            "xlabel": TEXT,
            "ax": [3, NOTHING],
        },
    ),
    "ImageVisualizer.visualize_rows": (
        drawn(
            saliency.ImageVisualizer,
            "visualize_rows",
            images=np.ones((2, 3, 4, 4)),
            saliency=np.ones((2, 3, 4, 4)),
        ),
        {
            "images": [None, 3, "a", NOTHING, [], [[]], np.ones((2, 2, 4, 4))],
            "saliency": ["a", 3, NOTHING, np.ones((2, 3))],
            "captions": ["a", 3, NOTHING, [["a"]], [["a"]] * 2],
            "row_titles": [3, NOTHING, ["a"]],
            "scale": CHOICE,
            "mode": CHOICE,
            "show_colorbar": FLAG,
            "title": TEXT,
        },
    ),
    "ImageVisualizer": (
        drawn(
            saliency.ImageVisualizer, saliency=np.ones((8, 8)), image=np.ones((8, 8, 3))
        ),
        {
            "saliency": ["a", NOTHING, None],
            "image": ["a", NOTHING],
            "title": TEXT,
            "show_colorbar": FLAG,
            "limits": [NOTHING, 3, "ab", (1, 0), (0, np.nan), ("a", "b")],
            "cmap": ["nope", NOTHING],
        },
    ),
    "ImageVisualizer.visualize_cascade": (
        drawn(
            saliency.ImageVisualizer,
            "visualize_cascade",
            saliency=np.ones((2, 3, 4, 4)),
            layers=["fc", ("conv", "bn")],
        ),
        {
            "saliency": [None, 3, "a", NOTHING, [], np.ones((2, 2, 4, 4))],
            "layers": [None, 3, "a", NOTHING, [], ["fc"]],
            "images": [3, "a", NOTHING, [], [[[1.0]]]],
            "similarities": [3, "a", NOTHING, np.ones((2, 3)), [[np.nan] * 2] * 2],
            "max_maps": [*COUNT, 1],
            "measure": TEXT,
            "title": TEXT,
        },
    ),
    "MetricVisualizer": (
        drawn(
            saliency.MetricVisualizer,
            curves={"a": np.ones((2, 3))},
            fractions=[0, 0.5, 1],
        ),
        {
            "curves": [
                *(None, 3, "a", NOTHING, {}, np.ones((2, 3)), {"a": "b"}),
                *(
                    {"a": one}
                    for one in (np.ones(3), np.ones((2, 4)), [[1, np.nan, 2]])
                ),
            ],
            "fractions": [
                "a",
                NOTHING,
                None,
                [],
                [0, 0, 1],
                [1, np.nan, 2],
                [[0, 1, 2]],
            ],
            "random": ["a", NOTHING, np.ones(3), np.full((1, 3), np.inf)],
            "band": CHOICE,
            "together": FLAG,
            "n_column": COUNT,
            "title": TEXT,
            "xlabel": TEXT,
            "ylabel": TEXT,
            "ax": [3, NOTHING],
        },
    ),
    "MetricVisualizer.visualize_ranking": (
        drawn(
            saliency.MetricVisualizer,
            "visualize_ranking",
            values={"m": {"a": [1.0, 2.0]}},
            larger_is_better={"m": None},
        ),
        {
            "values": [
                *(None, 3, "a", NOTHING, {}, {"m": {}}, {"m": [1.0]}),
                *({"m": {"a": one}} for one in ("b", 3.0, [], [np.nan], [[1.0]])),
            ],
            "larger_is_better": [
                None,
                3,
                NOTHING,
                {},
                {"m": 1},
                {"m": True, "n": True},
            ],
            "random": [3, NOTHING, {"n": [1.0]}, {"m": 1.0}, {"m": [np.inf]}],
            "sort": CHOICE,
            "n_column": COUNT,
            "title": TEXT,
        },
    ),
    "MolVisualizer": (
        drawn(saliency.MolVisualizer, saliency=np.arange(3.0), mol=ethanol),
        {
            "saliency": ["a", NOTHING, None],
            "mol": [3, "CCO", None],
            "show_colorbar": FLAG,
            "mode": CHOICE,
            "visualize_ratio": NUMBER,
        },
    ),
    "SmilesVisualizer": (
        drawn(saliency.SmilesVisualizer, saliency=np.arange(3.0), smiles="CCO"),
        {
            "smiles": [3, "nope", None],
            "add_Hs": FLAG,
            "use_canonical_smiles": FLAG,
        },
    ),
    "TextVisualizer": (
        drawn(saliency.TextVisualizer, saliency=np.arange(3.0), tokens=["a", "b", "c"]),
        {
            "tokens": [3, NOTHING, ["a"]],
            "show_key": FLAG,
            "key_labels": [3, NOTHING, "ab", ("a",)],
            "title": TEXT,
            "separator": TEXT,
        },
    ),
    "TextVisualizer.html": (
        drawn(
            saliency.TextVisualizer, "html", saliency=np.arange(2.0), tokens=["a", "b"]
        ),
        {"tokens": [3, ["a"]], "show_key": FLAG, "title": TEXT},
    ),
    "FilterVisualizer": (
        drawn(saliency.FilterVisualizer, filters=np.ones((4, 3, 3))),
        {
            "filters": ["a", NOTHING],
            "title": TEXT,
            "labels": [3, NOTHING, ["a"]],
            "show_colorbar": FLAG,
        },
    ),
    "load_pretrained": (
        functools.partial(saliency.load_pretrained, name="vgg16", path="no.npz"),
        {"name": [*CHOICE[:3]], "path": [3, NOTHING]},
    ),
    "from_sklearn": (
        functools.partial(saliency.from_sklearn, estimator=fitted),
        {"estimator": [3, NOTHING, None, "MLPClassifier", MLPClassifier]},
    ),
    "load_onnx": (
        functools.partial(saliency.load_onnx, model=b""),
        {"model": [3, NOTHING, b"", ["model.onnx"]]},
    ),
    "top_classes": (
        functools.partial(saliency.top_classes, scores=np.arange(1000.0)),
        {"scores": [NOTHING, np.zeros((2, 3))], "k": COUNT, "labels": ["a", ["a"]]},
    ),
    "class_index_of": (
        saliency.class_index_of,
        {"name": ["no class has this name", *TEXT]},
    ),
}


def problem_of(call, name, value, folder):
    """Returns what is wrong with the error of a wrong argument, or ``None``."""
    try:
        call(**{name: value})
    except Exception as error:
        # A number of samples may be right, and too large for the memory.
        is_allowed = isinstance(error, (ValueError, TypeError)) or (
            name == "M" and isinstance(error, MemoryError)
        )
        message = str(error)
        if not is_allowed:
            return f"{type(error).__name__}: {message}"
        if name not in message and not isinstance(error, MemoryError):
            return f"the error does not name it: {message}"
        if len(message) >= 1000:
            return f"the error is long: {message}"
        return "files are left behind" if list(folder.iterdir()) else None
    return "there is no error"


@pytest.mark.parametrize("where", CASES)
def test_the_error_names_the_argument(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, arguments = CASES[where]
    problems = {
        (name, repr(value)): problem_of(call, name, value, tmp_path)
        for name, values in arguments.items()
        for value in values
    }
    assert {k: problem for k, problem in problems.items() if problem} == {}


def test_there_are_at_least_200_of_them():
    wrong = [v for _, arguments in CASES.values() for v in arguments.values()]
    assert sum(map(len, wrong)) >= 200


def test_a_layer_that_is_not_one_of_the_model(tmp_path):
    with pytest.raises(ValueError, match="never called"):
        explained(
            saliency.GradCAMCalculator,
            data=pictures,
            model=images,
            layer=L.Convolution2D(2, 2, 1),
        )

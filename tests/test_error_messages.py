"""The errors that docs/errors.md quotes are those that are raised."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import saliency
from saliency import (
    DeepLiftCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    VariableMonitorLinkHook,
)
from saliency.lrp import AlphaBeta

import chainer
import chainer.functions as F
import chainer.links as L

PAGE = Path(saliency.__file__).parents[1] / "docs" / "errors.md"
QUOTED = dict(
    re.findall(
        r"^### (.+?)\n\n```text\n(.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL | re.M
    )
)
X = np.random.default_rng(0).random((6, 4), "float32")


def network(*middle: Callable[..., chainer.Variable]) -> chainer.Sequential:
    return chainer.Sequential(L.Linear(4, 8), *(middle or (F.relu,)), L.Linear(8, 3))


class Tokens(chainer.Chain):
    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(5, 3)

    def forward(self, tokens):
        return F.sum(self.embed(tokens), axis=1)


class Swish(chainer.FunctionNode):
    def forward(self, inputs):
        return (inputs[0] / (1 + np.exp(-inputs[0])),)


def changes_its_mind(x: chainer.Variable) -> chainer.Variable:
    return F.tanh(x) if x.array.any() else F.relu(x)


def chainer_first() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import chainer"], capture_output=True, text=True
    )
    if done.returncode == 0:
        pytest.skip("Chainer can be imported by itself with this NumPy")
    name, _, message = done.stderr.strip().splitlines()[-1].partition(": ")
    if name != "AttributeError":
        pytest.skip("Without setuptools, Chainer fails before it meets NumPy")
    raise AttributeError(message)


def link_of_another_model() -> None:
    hook = VariableMonitorLinkHook(L.Linear(4, 3))
    GradientCalculator(network(), target_extractor=hook, class_index=0).compute(X)


def losses() -> None:
    model = network()
    calculator = GradientCalculator(None, eval_fun=lambda v: F.sum(model(v), axis=0))
    calculator.compute(X[:3])


def written_input() -> None:
    model = network()

    def forward(v):
        v.array[...] = 0
        return model(v)

    GradientCalculator(forward, class_index=0).compute(X)


def jump() -> None:
    # A normalization jumps at zeros.
    model = chainer.Sequential(F.normalize, network())
    IntegratedGradientsCalculator(model, class_index=0, steps=4).compute(X)


def another_call() -> None:
    for class_index in (0, 1):
        calculator = GradientCalculator(network(), class_index=class_index)
        calculator.compute_aggregate(X, out="x.npy", seed=0)


def compute(calculator_class, model, data=X, **settings) -> None:
    calculator_class(model, **settings).compute(data)


CASES: dict[str, Callable[[], object]] = {
    "Chainer was imported first": chainer_first,
    "A single example without a batch axis": lambda: compute(
        GradientCalculator, network(), X[0], class_index=0
    ),
    "Integers have no gradient": lambda: compute(
        GradientCalculator, Tokens(), np.array([[1, 2]], "int32"), class_index=0
    ),
    "The model is a Classifier": lambda: compute(
        GradientCalculator, L.Classifier(network())
    ),
    "The model was not trained": lambda: compute(
        GradientCalculator, L.Linear(None, 3), class_index=0
    ),
    "No such class": lambda: compute(GradientCalculator, network(), class_index=5),
    "No usable GPU": lambda: compute(
        GradientCalculator, network(), class_index=0, device="@cupy:99"
    ),
    "Data that is not finite": lambda: compute(
        GradientCalculator, network(), np.where(X > 0.9, np.nan, X), class_index=0
    ),
    "Data with masked elements": lambda: compute(
        GradientCalculator, network(), np.ma.masked_array(X, X > 0.9), class_index=0
    ),
    "The target has no influence on the output": lambda: compute(
        GradientCalculator, network(lambda h: h.array), class_index=0
    ),
    "The link was never called": link_of_another_model,
    "Values for the batch instead of each example": losses,
    "The model writes into its input": written_input,
    "The sum of all classes was explained": lambda: compute(
        GradientCalculator, network()
    ),
    "All samples are equal": lambda: GradientCalculator(
        network(), class_index=0
    ).compute(X, M=3, train=True),
    "Attributions do not add up": jump,
    "No rectifier on the way": lambda: compute(
        GuidedBackpropCalculator, network(F.tanh), class_index=0
    ),
    "Data outside the box of z^B": lambda: compute(
        LRPCalculator, network(), 3 * X, class_index=0, rule="deep_taylor"
    ),
    "A function without a rule": lambda: compute(
        LRPCalculator, network(lambda h: Swish().apply((h,))[0]), class_index=0
    ),
    "Another way at the baseline": lambda: compute(
        DeepLiftCalculator, changes_its_mind, class_index=0, baseline=0
    ),
    "Another convention of alpha and beta": lambda: AlphaBeta(2, 1),
    "Contributions that a waterfall cannot add up": lambda: (
        GradientCalculator(network(), class_index=0).explain(X)[0].plot("waterfall")
    ),
    "The file was begun by another call": another_call,
}


def test_each_quotation_is_of_a_case() -> None:
    assert set(QUOTED) == set(CASES)


@pytest.mark.parametrize("heading", CASES)
def test_the_quoted_message_is_that_which_is_shown(
    heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.random.seed(0)  # Chainer draws weights
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(Exception) as caught:
            CASES[heading]()
    shown = " ".join(f"{caught.type.__name__}: {caught.value}".split())
    quoted = " ".join(QUOTED[heading].split())
    pattern = ".*".join(map(re.escape, quoted.split("...")))
    assert re.fullmatch(pattern, shown), shown

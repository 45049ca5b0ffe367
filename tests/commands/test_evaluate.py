"""Tables of methods and metrics from the command line."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path

import numpy as np
import pytest

import saliency
from saliency import IntegratedGradientsCalculator, load_onnx
from saliency.commands import main
from saliency.commands.arguments import METRICS
from saliency.metrics import Deletion
from tests.commands.files import SMILES


def run(line: str) -> int:
    return main(["evaluate", *shlex.split(line)])


def test_a_table_is_that_of_the_metrics(folder: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    out = tmp_path / "new" / "iris.csv"
    line = (
        "iris.csv --drop species --model iris.onnx --class 1 --limit 8 --steps 64 "
        "--set method=midpoint --baseline 0 --metric deletion --metric max-sensitivity "
        f"--set-metric n_samples=1 --set-metric reference=0 --quiet --out {out}"
    )
    assert run(line) == 0
    frame = pandas.read_csv(out).set_index(["method", "metric"])
    assert [*frame.index.get_level_values(0).unique()] == [
        *("integrated-gradients", "gradient", "random")
    ]
    model = load_onnx("iris.onnx").before_softmax()
    calculator = IntegratedGradientsCalculator(
        model, class_index=1, steps=64, method="midpoint"
    )
    x = pandas.read_csv("iris.csv").drop(columns="species")[:8]
    expected = Deletion(model, class_index=1).compute(
        calculator, x, seed=0, show_progress=False
    )
    found = frame.loc["integrated-gradients", "deletion"]
    np.testing.assert_allclose(found["mean"], expected.mean, rtol=1e-5)


def test_what_suits_photographs_and_molecules(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, text = tmp_path / "photographs.html", tmp_path / "molecules.md"
    what = "--model networks_of_a_user:Bright --method occlusion --method gradient"
    metrics = "--metric deletion --metric completeness --superpixels 4 --softmax"
    assert run(f"photographs {what} {metrics} --n-random 0 --out {page}") == 0
    html = page.read_text(encoding="utf-8")
    assert "<title>networks_of_a_user:Bright: 2 examples</title>" in html
    assert "GaussianBlur(sigma=1.6)" in html
    assert "random" not in html
    assert "deletion (smaller)" in capsys.readouterr().out
    pytest.importorskip("rdkit")
    words = " ".join(map(shlex.quote, SMILES[:3]))
    assert run(f"{words} --model logp-ggnn --no-gradient --out {text}") == 0
    lines = text.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# logp-ggnn: 3 examples"
    assert not [line for line in lines if line.startswith("| gradient")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--metric deletions", "did you mean deletion?"),
        ("--metric pointing-game", "there is no such metric; metrics are completeness"),
        ("--metric infidelity", "infidelity needs --set-metric units=gradient or"),
        ("--set-metric references=0", "no setting references; did you mean reference?"),
        ("--set-metric reference", "--set-metric must be NAME=VALUE"),
        ("--metric deletion --metric deletion", "--metric: deletion is named twice"),
        ("--method lrp --method lrp", "--method: the same method is named twice"),
        ("--class all", "--class all: metrics measure one class of each"),
        ("--superpixels 4", "--superpixels is for images, got rows.npy"),
        ("--out table.txt", "must end with one of md, html, htm, csv"),
    ],
)
def test_wrong_lines(
    folder: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"rows.npy --model networks_of_a_user:linear {line}") == 2
    assert message in capsys.readouterr().err


def test_every_metric_that_needs_no_truth_is_there() -> None:
    found = set()
    for name in saliency.metrics.__all__:
        one = getattr(saliency.metrics, name)
        if isinstance(one, type) and issubclass(one, saliency.metrics.Metric):
            parameters = inspect.signature(one).parameters.values()
            needed = {p.name for p in parameters if p.default is p.empty}
            if one is not saliency.metrics.Metric and needed <= {"model", "units"}:
                found.add(name.lower())
    assert {name.replace("-", "") for name in METRICS} == found

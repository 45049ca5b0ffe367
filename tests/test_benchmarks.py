"""What the benchmarks write, without running them."""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

import saliency  # noqa: F401  (before chainer)

import chainer.functions as F

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("table")


def test_a_section_takes_the_place_of_the_old_one_alone(table, tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("# Results\n\nby hand\n", encoding="utf-8")
    table.write_section(path, "first", r"one \1")
    table.write_section(path, "second", "two")
    table.write_section(path, "first", "three")
    assert path.read_text(encoding="utf-8") == (
        "# Results\n\nby hand\n\n"
        "<!-- first -->\nthree\n<!-- /first -->\n\n"
        "<!-- second -->\ntwo\n<!-- /second -->\n"
    )


def test_standard_errors_are_about_one_for_equal_means_and_large_for_others(table):
    rng = np.random.default_rng(0)
    ours = rng.standard_normal((40, 2, 500))
    same = rng.standard_normal((40, 2, 500)).mean(axis=0)
    text = table.in_standard_errors({"ours": ours, "a": same, "b": same + 1})
    a, b = (float(part.split()[1]) for part in text.split("; "))
    assert 0.9 < a < 1.1
    assert b > 4


def test_difference_is_relative_to_the_length_of_the_second(table):
    assert table.difference(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == "1e-01"


@pytest.mark.filterwarnings("ignore:the attributions of")  # at few steps
@pytest.mark.parametrize(
    ("name", "subject"),
    [("mlp", "Table"), ("ggnn", "Molecules")],
)
def test_ours_and_the_loop_agree_without_pytorch(table, monkeypatch, name, subject):
    for module in ("torch", "captum", "zennit"):
        monkeypatch.setitem(sys.modules, module, None)
    made = getattr(importlib.import_module(name), subject)(5, np.float64)
    rows = {row.name: row for row in made.rows()}
    for row in (rows["vanilla"], rows["ig"]):
        ours, loop = (row.sides[side].run(16, 4) for side in ("ours", "loop"))
        # The loop is written for float32.
        np.testing.assert_allclose(ours[0], loop, rtol=1e-4, atol=1e-6)


def test_sizes_grow_to_the_last(table):
    scale = importlib.import_module("scale")
    assert scale.sizes_up_to(5_000) == [5_000]
    assert scale.sizes_up_to(250_000) == [10_000, 30_000, 100_000, 250_000]


def test_what_a_step_took_is_without_the_steps_within_it(table, monkeypatch):
    scale = importlib.import_module("scale")
    now = [0.0]
    monkeypatch.setattr(scale.time, "process_time", lambda: now[0])

    class Work:
        def whole(self):
            now[0] += 1
            self.part()
            now[0] += 2

        def part(self):
            now[0] += 4

    with scale.Steps() as steps:
        steps.watch(Work, "whole", "whole")
        steps.watch(Work, "part", "part")
        Work().whole()
        Work().part()
    Work().whole()
    assert steps.seconds == {"part": 8.0, "whole": 3.0}


def test_what_a_call_costs_is_measured(table, tmp_path):
    for package in ("psutil", "zarr"):
        pytest.importorskip(package)
    scale = importlib.import_module("scale")
    np.save(tmp_path / "x.npy", np.zeros((70, 8), "f"))
    args = argparse.Namespace(
        subject="rows",
        way="steps",
        n=64,
        workers=1,
        data=tmp_path / "x.npy",
        out=tmp_path / "out.zarr",
        how={"batchsize": 16},
    )
    found = scale.measure(args)
    assert found.cpu > 0 and found.driver > 0 and found.workers == []
    assert np.isclose(sum(found.steps.values()), found.cpu)
    assert found.steps["explaining"] > found.steps["fingerprint of call and data"] > 0


def test_both_ways_back_are_measured(table):
    way_back = importlib.import_module("way_back")
    x = np.ones((2, 3), np.float32)
    case = way_back.Case("scaled", lambda x: 2 * x, x)
    for way in (way_back.by_chainer, way_back.on_arrays):
        _, gradient = way_back.measured(case, way)
        np.testing.assert_array_equal(gradient, [[2, 0, 0]] * 2)
    assert way_back.line(case, 1).startswith("| scaled | ")


def test_what_is_done_is_kept_for_the_same_settings_alone(table, tmp_path):
    faithfulness = importlib.import_module("faithfulness")
    parts = faithfulness.Parts(tmp_path / "parts", "images=2")
    assert parts.read("Guided IG") is None
    areas = {"insertion of regions": np.ones(2), "deletion of regions": np.zeros(2)}
    parts.write("Guided IG", areas)
    assert parts.read("Guided IG").keys() == areas.keys()
    other = faithfulness.Parts(tmp_path / "parts", "images=3")
    assert other.read("Guided IG") is None
    row = faithfulness.line("Guided IG", parts.read("Guided IG"))
    cells = ["Guided IG", "1.000 ± 0.000", "0.000 ± 0.000", "1.000 ± 0.000"]
    assert row == f"| {' | '.join(cells)} |"


def test_areas_of_regions_are_those_of_a_loop(table):
    faithfulness = importlib.import_module("faithfulness")
    rng = np.random.default_rng(0)
    x, blurred = rng.random((2, 1, 3, 32, 32)).astype("f")
    w = rng.normal(0, 0.05, (2, 3, 32, 32)).astype("f")

    def forward(x):
        return F.tensordot(x, w, axes=((1, 2, 3), (1, 2, 3)))

    network = argparse.Namespace(model=forward, forward=forward)
    map_ = rng.random((1, 32, 32))
    order = np.argsort(-map_.reshape(8, 4, 8, 4).sum(axis=(1, 3)), axis=None)
    for start, end, name in ((blurred, x, "insertion"), (x, blurred, "deletion")):
        curve, image = [], start.copy()
        for k in range(0, 65, 2):
            for region in order[max(k - 2, 0) : k]:
                i, j = 4 * (region // 8), 4 * (region % 8)
                image[..., i : i + 4, j : j + 4] = end[..., i : i + 4, j : j + 4]
            curve.append(F.softmax(forward(image)).array[0, 1])
        expected = (np.sum(curve) - (curve[0] + curve[-1]) / 2) / 32
        metrics = faithfulness.metrics_of(network, np.array([1]), blurred)
        metric = metrics[f"{name} of regions"]
        found = metric.compute(map_, x, seed=0, show_progress=False)
        np.testing.assert_allclose(found.values, expected, rtol=1e-5)


def test_the_best_are_those_that_are_not_told_apart(table):
    study = importlib.import_module("study")
    values = np.array([1.0, 2, 3, 4])
    of_methods = {
        "best": values,
        "the same but for noise": values + np.array([0.1, -0.2, 0.1, -0.1]),
        "worse": values - np.array([0.5, 0.4, 0.5, 0.6]),
    }
    record = {
        "larger": {"a": True, "b": False, "c": None},
        "title": "A set",
        "about": "4 examples.",
        "date": "today",
        "sizes": {"M": 4},
        "values": {
            name: {"a": one.tolist(), "b": (-one).tolist(), "c": [0.0] * 4}
            for name, one in of_methods.items()
        },
    }
    found = study.Found(record)
    for metric in "ab":
        assert found.best(metric) == ["best", "the same but for noise"]
    lines = found.section().splitlines()
    assert lines[4] == "| method | a (larger) | b (smaller) | c (neither) |"
    assert [line.split("|")[1].strip() for line in lines[6:]] == [*of_methods]
    assert lines[6].count("**") == 4
    assert lines[8].count("**") == 0


def test_modules_of_examples_with_the_same_name_are_told_apart(table, monkeypatch):
    study = importlib.import_module("study")
    monkeypatch.setitem(sys.modules, "training", argparse)
    of_lrp = study.module_of("lrp", "training")
    assert hasattr(of_lrp, "add_rule")
    assert sys.modules["training"] is argparse

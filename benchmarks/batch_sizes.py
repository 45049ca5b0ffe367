"""Rows in a pass as chosen by the toolkit, beside numbers of rows that are given.

Each call is made with ``batchsize=None``, the default, and with several numbers, in
turn. What is compared is CPU time on one thread.

    python benchmarks/batch_sizes.py
"""

from __future__ import annotations

import argparse
import datetime
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import table
from ggnn import Molecules
from mlp import Table
from resnet50 import ResNet50
from sampling_speed import CNN
from vgg16 import VGG16

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    GradientCalculator,
    LRPCalculator,
    SmoothGradCalculator,
)

# Computes a saliency with a batchsize.
Call = Callable[[Any], Any]

NAME = "batch_sizes"


def small_tables() -> list[tuple[str, Call]]:
    """Return calls that explain a table by a small network."""
    subject = Table(1000, np.float32)
    iris, model = subject.x[:150], subject.model
    how = {"class_index": "argmax"}
    return [
        (
            "MLP, 150 rows, BayesGrad, M = 100",
            calling(BayesGradCalculator(model, **how), iris, M=100),
        ),
        (
            "MLP, 1,000 rows, VanillaGrad",
            calling(GradientCalculator(model, **how), subject.x),
        ),
        (
            "MLP, 1,000 rows, SmoothGrad, M = 30",
            calling(SmoothGradCalculator(model, **how), subject.x, M=30),
        ),
    ]


def digits_and_graphs() -> list[tuple[str, Call]]:
    """Return calls that explain small images and graphs."""
    np.random.seed(0)
    digits = np.random.rand(150, 1, 28, 28).astype(np.float32)
    graphs = Molecules(100, np.float32)
    return [
        (
            "CNN, 150 digits, SmoothGrad, M = 8",
            calling(SmoothGradCalculator(CNN(28), class_index=0), digits, M=8),
        ),
        (
            "GGNN, 100 graphs, SmoothGrad, M = 8",
            calling(
                SmoothGradCalculator(
                    graphs.model,
                    target_extractor=VariableMonitorLinkHook(graphs.model.embed),
                    class_index=0,
                ),
                (graphs.atoms, graphs.adjacency),
                M=8,
            ),
        ),
    ]


def photographs() -> list[tuple[str, Call]]:
    """Return calls that explain photographs."""
    calls = []
    for make in (VGG16, ResNet50):
        subject = make(8, np.float32)
        how: dict[str, Any] = {"eval_fun": subject.forward, "class_index": 0}
        for kind in (GradientCalculator, LRPCalculator):
            calculator = kind(subject.model, **how)
            method = "LRP" if kind is LRPCalculator else "VanillaGrad"
            title = f"{make.__name__}, 8 images, {method}"
            calls.append((title, calling(calculator, subject.x)))
    return calls


def calling(calculator: Any, x: Any, M: int = 1) -> Call:
    """Return a call of which nothing but the batchsize is open."""

    def call(batchsize: Any) -> Any:
        return calculator.compute_aggregate(
            x, M=M, batchsize=batchsize, seed=0, show_progress=False
        )

    return call


def line(title: str, call: Call, sizes: tuple[int, ...], rounds: int) -> str:
    """Return a row of the table, from rounds in which each size has its turn."""
    seconds: dict[Any, list[float]] = {size: [] for size in (None, *sizes)}
    for _ in range(rounds):
        for size, found in seconds.items():
            start = time.process_time()
            call(size)
            found.append(time.process_time() - start)
    ratios = [table.ratio(seconds[None], seconds[size]) for size in sizes]
    cells = [title, f"{np.median(seconds[None]):.3g}", *ratios]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=table.RESULTS)
    options = parser.parse_args()
    table.limit_threads(1)
    parts = []
    for make, sizes in (
        (small_tables, (16, 256, 4096)),
        (digits_and_graphs, (16, 100, 500)),
        (photographs, (1, 3, 8)),
    ):
        titles = [f"default / {size} rows" for size in sizes]
        head = f"| call | default (s) | {' | '.join(titles)} |"
        parts += ["", head, "|---" * (len(sizes) + 2) + "|"]
        print(*parts[-3:], sep="\n", flush=True)
        for title, call in make():
            parts.append(line(title, call, sizes, options.rounds))
            print(parts[-1], flush=True)
    text = (
        "## The default number of rows in a pass\n\n"
        "`benchmarks/batch_sizes.py`. Networks are those of the other tables, with "
        f"random weights. {datetime.date.today()}; {table.hardware(1)}; CPU time; "
        f"medians of {options.rounds} rounds, in brackets the smallest and the largest "
        "ratio.\n" + "\n".join(parts)
    )
    table.write_section(options.out, NAME, text)


if __name__ == "__main__":
    main()

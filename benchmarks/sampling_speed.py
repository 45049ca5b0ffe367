"""SmoothGrad and BayesGrad: this toolkit beside the straightforward loop, in one run.

The straightforward loop is what one writes with Chainer alone, and what
chainer-chemistry does: for each sample and each batch, add noise or let dropout draw
masks, run forward, call ``backward()`` on the sum of the predicted classes' scores.
Both are timed in turn, and the ratio is taken pair by pair.

    python benchmarks/sampling_speed.py
    OMP_NUM_THREADS=1 python benchmarks/sampling_speed.py --cpu-time --only MLP
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import numpy as np

from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    SmoothGradCalculator,
)

import chainer
import chainer.functions as F
import chainer.links as L


class MLP(chainer.Chain):
    """A network for tables: two layers of 48 units with dropout, 3 classes."""

    def __init__(self, n_feature: int) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(n_feature, 48)
            self.l2 = L.Linear(48, 48)
            self.l3 = L.Linear(48, 3)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.dropout(F.relu(self.l1(x)), 0.5)
        return self.l3(F.dropout(F.relu(self.l2(h)), 0.5))


class CNN(chainer.Chain):
    """A small network for digits: two convolutions and two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        with self.init_scope():
            self.c1 = L.Convolution2D(1, 16, 3, pad=1)
            self.c2 = L.Convolution2D(16, 32, 3, pad=1)
            self.l1 = L.Linear(32 * (width // 4) ** 2, 128)
            self.l2 = L.Linear(128, 10)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.max_pooling_2d(F.relu(self.c1(x)), 2)
        h = F.max_pooling_2d(F.relu(self.c2(h)), 2)
        return self.l2(F.relu(self.l1(h)))


class Job(NamedTuple):
    """What both sides compute.

    Attributes:
        method (str): SmoothGrad or BayesGrad.
        model (chainer.Chain): The network.
        x (numpy.ndarray): The examples.
        M (int): Number of samples.
        batchsize (int): Rows in a pass, of the loop no more than there are examples.
    """

    method: str
    model: chainer.Chain
    x: np.ndarray
    M: int
    batchsize: int


def straightforward(job: Job) -> np.ndarray:
    """Return samples, ``(M,) + x.shape``, by the plain loop."""
    model, x = job.model, job.x
    rng = np.random.default_rng(0)
    samples = np.empty((job.M, *x.shape), x.dtype)
    with chainer.using_config("train", False):
        classes = model(x).array.argmax(axis=1)
    with chainer.using_config("train", job.method == "BayesGrad"):
        for m in range(job.M):
            for start in range(0, len(x), job.batchsize):
                rows = slice(start, start + job.batchsize)
                part = x[rows]
                if job.method == "SmoothGrad":
                    axes = tuple(range(1, part.ndim))
                    scale = part.max(axes, keepdims=True)
                    scale -= part.min(axes, keepdims=True)
                    noise = rng.standard_normal(part.shape, dtype=np.float32)
                    part = part + 0.15 * scale * noise
                target = chainer.Variable(part)
                model.cleargrads()
                scores = F.select_item(model(target), classes[rows])
                F.sum(scores).backward()
                samples[m, rows] = target.grad
    return samples


def ours(job: Job) -> np.ndarray:
    """Return samples, ``(M,) + x.shape``, by the calculator."""
    calculator: Any
    if job.method == "BayesGrad":
        calculator = BayesGradCalculator(job.model, class_index="argmax")
    else:
        calculator = SmoothGradCalculator(
            job.model,
            class_index="argmax",
            noise_sampler=GaussianNoiseSampler(scale=0.15),
        )
    samples: np.ndarray = calculator.compute(
        job.x, job.M, job.batchsize, show_progress=False, seed=0
    )
    return samples


def timed_pair(job: Job, clock: Callable[[], float]) -> tuple[float, float]:
    """Return the seconds that the loop and the calculator take, one after the other."""
    start = clock()
    straightforward(job)
    middle = clock()
    ours(job)
    return middle - start, clock() - middle


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far two means over samples are apart, in standard errors.

    The random numbers differ, so the expected value is about 0.8.
    """
    error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a)) + 1e-6
    return float(np.abs((a.mean(axis=0) - b.mean(axis=0)) / error).mean())


def jobs(only: str) -> Iterator[tuple[str, Job]]:
    """Give what is timed, with the name of the network that has ``only`` in it."""
    few = (1, 16), (4, 16), (150, 16), (150, 256)
    many = (1, 16), (1000, 256), (1000, 1000), (1000, 4000)
    networks = (
        ("MLP, 4 features", "SmoothGrad", MLP(4), (4,), 30, few),
        ("MLP, 30 features", "SmoothGrad", MLP(30), (30,), 100, many),
        ("MLP, 30 features", "BayesGrad", MLP(30), (30,), 100, many),
        ("CNN, 8 x 8 digits", "SmoothGrad", CNN(8), (1, 8, 8), 30, few),
        ("CNN, 28 x 28 digits", "SmoothGrad", CNN(28), (1, 28, 28), 30, few),
    )
    for name, method, model, shape, M, sizes in networks:
        for n_row, batchsize in sizes if only in name else ():
            x = np.random.rand(n_row, *shape).astype(np.float32)
            yield name, Job(method, model, x, M, batchsize)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9, help="timed pairs of each row")
    parser.add_argument("--only", default="", help="a part of a network's name")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="take the time of the processor, as for a machine that is shared",
    )
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    np.random.seed(0)
    print(
        f"NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} cores, "
        f"{'CPU time' if args.cpu_time else 'wall time'}\n"
    )
    columns = ("network", "method", "M", "rows", "batchsize", "loop (ms)", "ours (ms)")
    print(f"| {' | '.join(columns)} | loop / ours | apart |")
    print("|---" * (len(columns) + 2) + "|")
    for name, job in jobs(args.only):
        apart = distance(straightforward(job), ours(job))
        pairs = np.array([timed_pair(job, clock) for _ in range(args.repeat)])
        ratios = pairs[:, 0] / pairs[:, 1]
        loop, our = np.median(pairs, axis=0) * 1000
        print(
            f"| {name} | {job.method} | {job.M} | {len(job.x)} | {job.batchsize} | "
            f"{loop:.1f} | {our:.1f} | {np.median(ratios):.1f} "
            f"({ratios.min():.1f} to {ratios.max():.1f}) | {apart:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""SmoothGrad, M = 30: this toolkit beside the straightforward loop, in one run.

The straightforward loop is what one writes with Chainer alone, and what
chainer-chemistry does: for each sample and each batch, add noise, run forward, call
``backward()`` on the sum of the predicted classes' scores. Both are timed in turn, and
the ratio is taken pair by pair.

    python benchmarks/sampling_speed.py
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from typing import Any

import numpy as np

from saliency import GaussianNoiseSampler, SmoothGradCalculator

import chainer
import chainer.functions as F
import chainer.links as L

M = 30


class MLP(chainer.Chain):
    """The iris network: 4 features, two layers of 48 units, 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 48)
            self.l2 = L.Linear(48, 48)
            self.l3 = L.Linear(48, 3)

    def forward(self, x: Any) -> chainer.Variable:
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))


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


def straightforward(model: chainer.Chain, x: np.ndarray, batchsize: int) -> np.ndarray:
    """Return SmoothGrad samples, ``(M,) + x.shape``, by the plain loop."""
    rng = np.random.default_rng(0)
    samples = np.empty((M, *x.shape), x.dtype)
    with chainer.using_config("train", False):
        classes = model(x).array.argmax(axis=1)
        for m in range(M):
            for start in range(0, len(x), batchsize):
                rows = slice(start, start + batchsize)
                part = x[rows]
                axes = tuple(range(1, part.ndim))
                scale = part.max(axes, keepdims=True) - part.min(axes, keepdims=True)
                noise = rng.standard_normal(part.shape, dtype=np.float32)
                target = chainer.Variable(part + 0.15 * scale * noise)
                model.cleargrads()
                scores = F.select_item(model(target), classes[rows])
                F.sum(scores).backward()
                samples[m, rows] = target.grad
    return samples


def ours(model: chainer.Chain, x: np.ndarray, batchsize: int) -> np.ndarray:
    """Return SmoothGrad samples, ``(M,) + x.shape``, by the calculator."""
    calculator = SmoothGradCalculator(
        model, class_index="argmax", noise_sampler=GaussianNoiseSampler(scale=0.15)
    )
    return calculator.compute(x, M, batchsize, show_progress=False, seed=0)


def timed_pair(*job: Any) -> tuple[float, float]:
    """Return the seconds that the loop and the calculator take, one after the other."""
    start = time.perf_counter()
    straightforward(*job)
    middle = time.perf_counter()
    ours(*job)
    return middle - start, time.perf_counter() - middle


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far two means over samples are apart, in standard errors.

    The noise differs, so the expected value is about 0.8.
    """
    error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / M) + 1e-6
    return float(np.abs((a.mean(axis=0) - b.mean(axis=0)) / error).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9, help="timed pairs of each row")
    repeat = parser.parse_args().repeat
    np.random.seed(0)
    print(
        f"SmoothGrad, M = {M}; NumPy {np.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores\n"
    )
    columns = "network", "rows", "batchsize", "loop (ms)", "ours (ms)", "loop / ours"
    print(f"| {' | '.join(columns)} | apart |")
    print("|---" * (len(columns) + 1) + "|")
    networks = (
        ("MLP, 4 features", MLP(), (4,)),
        ("CNN, 8 x 8 digits", CNN(8), (1, 8, 8)),
        ("CNN, 28 x 28 digits", CNN(28), (1, 28, 28)),
    )
    for name, model, shape in networks:
        for n_row, batchsize in ((1, 16), (4, 16), (150, 16), (150, 256)):
            x = np.random.rand(n_row, *shape).astype(np.float32)
            job = (model, x, batchsize)
            apart = distance(straightforward(*job), ours(*job))
            pairs = np.array([timed_pair(*job) for _ in range(repeat)])
            ratios = pairs[:, 0] / pairs[:, 1]
            loop, our = np.median(pairs, axis=0) * 1000
            print(
                f"| {name} | {n_row} | {batchsize} | {loop:.1f} | "
                f"{our:.1f} | {np.median(ratios):.1f} "
                f"({ratios.min():.1f} to {ratios.max():.1f}) | {apart:.2f} |"
            )


if __name__ == "__main__":
    main()

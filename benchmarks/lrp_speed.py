"""LRP beside one forward and backward pass of the same network, in one run.

The baseline is the least that any backward method costs: forward, and the gradient of
the predicted class's score with respect to the input. Both are timed in turn, and the
ratio is taken pair by pair.

    python benchmarks/lrp_speed.py
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from typing import Any

import numpy as np

from saliency import GradientCalculator, LRPCalculator

import chainer
import chainer.functions as F
import chainer.links as L

RULES = ("epsilon", "zplus", "alpha2_beta1", "epsilon_gamma_box")


class CNN(chainer.Chain):
    """The network of examples/lrp/mnist.py."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, 50, 3)
            self.conv2 = L.Convolution2D(50, 100, 3)
            self.out = L.Linear(3600, 10)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.max_pooling_2d(F.relu(self.conv1(x)), 2)
        h = F.max_pooling_2d(F.relu(self.conv2(h)), 2)
        return self.out(h)


class VGG16(chainer.Chain):
    """The convolutions of VGG16, and one linear layer, on 64 x 64 images."""

    WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            n_in = 3
            for i, n_out in enumerate(self.WIDTHS):
                if n_out:
                    setattr(self, f"conv{i}", L.Convolution2D(n_in, n_out, 3, pad=1))
                    n_in = n_out
            self.out = L.Linear(512 * 4, 1000)

    def forward(self, x: Any) -> chainer.Variable:
        h = x
        for i, n_out in enumerate(self.WIDTHS):
            if n_out:
                h = F.relu(getattr(self, f"conv{i}")(h))
            else:
                h = F.max_pooling_2d(h, 2)
        return self.out(F.max_pooling_2d(h, 2))


def seconds(calculator: Any, x: np.ndarray) -> float:
    start = time.perf_counter()
    calculator.compute(x, show_progress=False)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="timed pairs of each row")
    repeat = parser.parse_args().repeat
    np.random.seed(0)
    print(
        f"LRP; NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} cores\n"
    )
    print("| network | rule | forward + backward (ms) | LRP (ms) | ratio |")
    print("|---|---|---|---|---|")
    networks = (
        ("CNN, 16 images of 28 x 28", CNN(), (16, 1, 28, 28)),
        ("VGG16, 2 images of 64 x 64", VGG16(), (2, 3, 64, 64)),
    )
    for name, model, shape in networks:
        x = np.random.rand(*shape).astype(np.float32)
        gradient = GradientCalculator(model, class_index="argmax")
        for rule in RULES:
            lrp = LRPCalculator(model, rule=rule)
            seconds(gradient, x), seconds(lrp, x)  # warm up
            pairs = np.array(
                [(seconds(gradient, x), seconds(lrp, x)) for _ in range(repeat)]
            )
            ratios = pairs[:, 1] / pairs[:, 0]
            base, ours = np.median(pairs, axis=0) * 1000
            print(
                f"| {name} | {rule} | {base:.0f} | {ours:.0f} | "
                f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f}) |"
            )


if __name__ == "__main__":
    main()

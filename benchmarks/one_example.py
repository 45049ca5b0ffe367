"""One explained example of a small network, beside the loop that one writes by hand.

What a call costs beside the network shows here.

python benchmarks/one_example.py --cpu-time
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np
import table
from peers import loop

from saliency import (
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)

import chainer
import chainer.functions as F
import chainer.links as L

#: Of SmoothGrad's noise.
SIGMA = 0.1
STEPS = 16
CLASS = 1


class MLP(chainer.Chain):
    """Two hidden layers of 32 units, and 3 classes."""

    def __init__(self, n_feature: int) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(n_feature, 32)
            self.l2 = L.Linear(32, 32)
            self.l3 = L.Linear(32, 3)

    def forward(self, x: Any) -> chainer.Variable:
        """Return the scores of the classes."""
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))

    def layers(self) -> list[Callable[[Any], chainer.Variable]]:
        """Return its layers, each with what is between it and the one before."""
        return [self.l1, *(_behind_relu(link) for link in (self.l2, self.l3))]


class CNN(chainer.Chain):
    """Two convolutions on images of 8 x 8, and 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, 8, 3)
            self.conv2 = L.Convolution2D(8, 16, 3)
            self.out = L.Linear(64, 10)

    def forward(self, x: Any) -> chainer.Variable:
        """Return the scores of the classes."""
        h = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.out(F.max_pooling_2d(h, 2))

    def layers(self) -> list[Callable[[Any], chainer.Variable]]:
        """Return its layers, each with what is between it and the one before."""
        return [
            self.conv1,
            _behind_relu(self.conv2),
            lambda h: self.out(F.max_pooling_2d(F.relu(h), 2)),
        ]


def _behind_relu(link: chainer.Link) -> Callable[[Any], chainer.Variable]:
    return lambda h: link(F.relu(h))


class OneExample(table.Subject):
    """A row for each network and method."""

    name = "one_example"
    title = "One example of a small network, beside the plain loop"
    about = "`benchmarks/one_example.py`. Weights are random, the same on both sides."
    rounds = (9, 9)

    def __init__(self, images: int | None, dtype: Any = np.float32) -> None:
        super().__init__(images, dtype)
        np.random.seed(0)  # Chainer initializes with it
        self._rng = np.random.default_rng(0)

    def rows(self) -> list[table.Row]:
        """Return the rows of all networks."""
        networks = {
            "mlp4": (MLP(4), (4,), {"slide_axis": 1}),
            "mlp30": (MLP(30), (30,), {"slide_axis": 1}),
            "cnn": (CNN(), (1, 8, 8), {"size": 2, "stride": 2}),
        }
        return [
            row
            for network, (model, shape, windows) in networks.items()
            for row in self._rows_of(network, model, shape, windows)
        ]

    def _rows_of(
        self, network: str, model: Any, shape: tuple[int, ...], windows: dict[str, Any]
    ) -> list[table.Row]:
        """Return the rows of a network.

        Args:
            network (str): What ``--rows`` calls it.
            model (chainer.Chain): The network.
            shape (tuple of int): Shape of an example.
            windows (dict): The settings of Occlusion.
        """
        x = self._rng.standard_normal((1, *shape)).astype(self.dtype)
        classes = np.array([CLASS])

        def row(
            name: str, title: str, kind: Any, by_hand: Any, M: int = 1, **given: Any
        ) -> table.Row:
            made = kind(model, class_index=CLASS, **given)
            sides = {
                "ours": table.Side(
                    lambda *_: made.compute(x, M=M, seed=0, show_progress=False)
                ),
                "loop": table.Side(lambda *_: by_hand()),
            }
            return table.Row(
                f"{network}-{name}",
                f"{type(model).__name__} on {' x '.join(map(str, shape))}, {title}",
                sides,
                _unknown if kind is SmoothGradCalculator else table.same,
            )

        def smooth_grad(M: int) -> table.Row:
            sampler = GaussianNoiseSampler("absolute", SIGMA)
            return row(
                f"smoothgrad{M}",
                f"SmoothGrad, M = {M}",
                SmoothGradCalculator,
                lambda: loop.smooth_grad(model, model, x, classes, M, SIGMA),
                M,
                noise_sampler=sampler,
            )

        return [
            row(
                "vanilla",
                "VanillaGrad",
                GradientCalculator,
                lambda: loop.vanilla_grad(model, model, x, classes),
            ),
            *(smooth_grad(M) for M in (1, 4, 16)),
            row(
                "ig",
                f"IntegratedGradients, {STEPS} steps",
                IntegratedGradientsCalculator,
                lambda: loop.integrated_gradients(model, model, x, classes, STEPS),
                steps=STEPS,
            ),
            row(
                "occlusion",
                "Occlusion",
                OcclusionCalculator,
                lambda: loop.occlusion(model, x, classes, _places(shape, windows)),
                **windows,
            ),
            row(
                "epsilon",
                "LRP epsilon",
                LRPCalculator,
                lambda: loop.lrp_epsilon(model.layers(), x, classes),
            ),
        ]


def _unknown(results: dict[str, np.ndarray]) -> str:
    """Return nothing: both sides draw noise of their own."""
    return ""


def _places(shape: Sequence[int], windows: dict[str, Any]) -> list[tuple[slice, ...]]:
    """Return where the windows of Occlusion are, which do not overlap."""
    size = windows.get("size", 1)
    starts = [range(0, n, size) if n > 1 else [0] for n in shape]
    return [
        tuple(slice(i, i + size) for i in at)
        for at in np.array(np.meshgrid(*starts, indexing="ij"))
        .reshape(len(shape), -1)
        .T.tolist()
    ]


if __name__ == "__main__":
    table.main(OneExample)

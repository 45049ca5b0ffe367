"""ResNet50 at 224 x 224: ours beside the plain loop, Captum and Zennit.

python benchmarks/resnet50.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import table
from subjects import ArraySubject

from saliency.lrp import Composite, Epsilon, ZPlus

import chainer
import chainer.links as L


class ResNet50(ArraySubject):
    name = "resnet50"
    title = "ResNet50 at 224 x 224, beside Captum, Zennit and the plain loop"
    about = (
        "`benchmarks/resnet50.py`. Weights are random, the same on all sides; the "
        "statistics of batch normalization are those of two of the images. Zennit "
        "shares the relevance of residual sums in proportion to both terms, whatever "
        "their signs; the row is a composite of ours that does the same. Our preset "
        "`epsilon_plus` gives nothing to a term against the sign of its sum."
    )
    sigma = 0.6
    sizes = (1, 4, 10)
    n_costly = 1

    def __init__(self, images: int | None, dtype: Any) -> None:
        super().__init__(images, dtype)
        np.random.seed(0)  # Chainer initializes with it
        rng = np.random.default_rng(0)
        self.x = rng.uniform(-2, 2, (max(images or 3, 2), 3, 224, 224)).astype("f")
        self.model = L.ResNet50Layers(pretrained_model=None)
        norms = [
            link
            for link in self.model.links()
            if isinstance(link, L.BatchNormalization)
        ]
        for link in norms:
            link.decay = 0.0
            link.gamma.array[...] = rng.uniform(0.5, 1.0, link.gamma.shape)
            link.beta.array[...] = rng.uniform(-0.2, 0.2, link.beta.shape)
        with chainer.using_config("train", True), chainer.no_backprop_mode():
            self.forward(self.x[:2])
        for link in norms:
            link.decay = 0.9
        self.x = self.x[: images or 3].astype(dtype)
        self.cast()

    def forward(self, x: Any) -> chainer.Variable:
        return self.model(x, layers=["fc6"])["fc6"]

    def make_twin(self) -> Any:
        from peers import twins

        return twins.resnet50(self.model)

    def rows(self) -> list[table.Row]:
        def canonizers() -> list[Any]:
            from peers import with_zennit

            return with_zennit.residual_canonizers()

        convolutions = {"convolution": ZPlus()}
        return [
            self.vanilla_grad(),
            self.smooth_grad(M=10, trial=10),
            self.integrated_gradients(steps=50, trial=10),
            self.lrp(
                "epsilon_plus",
                rule=Composite(Epsilon(), by_kind=convolutions),
                title="LRP epsilon_plus, sums as in Zennit",
                canonizers=canonizers,
            ),
        ]


if __name__ == "__main__":
    table.main(ResNet50)

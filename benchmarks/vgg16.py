"""VGG16 at 224 x 224: ours beside the plain loop, Captum and Zennit.

python benchmarks/vgg16.py
python benchmarks/vgg16.py --rows smoothgrad,ig --repeats 3 --peers captum,loop
"""

from __future__ import annotations

from typing import Any

import numpy as np
import table
from subjects import ArraySubject

import chainer
import chainer.links as L


class VGG16(ArraySubject):
    name = "vgg16"
    title = "VGG16 at 224 x 224, beside Captum, Zennit and the plain loop"
    about = (
        "`benchmarks/vgg16.py`. Weights are random, of He's scale, the same on all "
        "sides. Each row explains 3 images."
    )
    sigma = 0.6
    sizes = (1, 4, 10)
    n_costly = 3

    def __init__(self, images: int | None, dtype: Any) -> None:
        super().__init__(images, dtype)
        rng = np.random.default_rng(0)
        self.x = rng.uniform(-2, 2, (images or 3, 3, 224, 224)).astype(dtype)
        self.model = L.VGG16Layers(pretrained_model=None)
        for link in self.model.children():
            n_in = link.W.size // len(link.W)
            rng.standard_normal(out=link.W.array, dtype=np.float32)
            link.W.array *= np.float32(np.sqrt(2 / n_in))
            rng.standard_normal(out=link.b.array, dtype=np.float32)
            link.b.array *= np.float32(0.1)
        self.cast()

    def forward(self, x: Any) -> chainer.Variable:
        return self.model(x, layers=["fc8"])["fc8"]

    def make_twin(self) -> Any:
        from peers import twins

        return twins.vgg16(self.model)

    def rows(self) -> list[table.Row]:
        return [
            self.vanilla_grad(),
            self.smooth_grad(M=30, trial=10),
            self.bayes_grad(M=30, trial=10),
            self.integrated_gradients(steps=50, trial=10),
            self.occlusion(
                "Occlusion, window 32, stride 16", (3, 32, 32), (3, 16, 16), trial=2
            ),
            self.lrp("epsilon"),
            self.lrp("zplus"),
            self.lrp("alpha2_beta1"),
            self.lrp("epsilon_gamma_box", low=-2, high=2),
        ]


if __name__ == "__main__":
    table.main(VGG16)

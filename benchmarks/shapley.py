"""Shapley values of a network for tables: ours beside shap and Captum.

python benchmarks/shapley.py
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import table
from mlp import MLP
from subjects import ArraySubject
from table import Row, Side

from saliency import ShapleyCalculator

N_FEATURE = 20
COLUMN = 1
#: Coalitions of a row that come next to all of them.
N_ACCURATE = 100_000
#: Rows whose values are compared with accurate ones.
N_COMPARED = 20


class Table(ArraySubject):
    name = "shapley"
    title = "Shapley values, 1,000 rows of 20 features, beside shap and Captum"
    about = (
        "`benchmarks/shapley.py`. The network of `mlp.py` with random weights, "
        "the same on all sides; absent features are 0. Values are drawn at random: "
        "*apart* is how far those of each side are from accurate ones, as a root mean "
        f"square, for {N_COMPARED} rows."
    )
    rounds = (5, 1)
    sizes = (1000, 2000, 4000, 8000)

    def __init__(self, images: int | None, dtype: Any) -> None:
        super().__init__(images, dtype)
        np.random.seed(0)  # Chainer initializes with it
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((images or 1000, N_FEATURE)).astype(dtype)
        self.model = MLP(N_FEATURE)
        for link in self.model.children():
            link.b.array[...] = rng.uniform(-0.2, 0.2, link.b.shape)
        self.cast()

    def make_twin(self) -> Any:
        from peers import twins

        return twins.mlp(self.model)

    @cached_property
    def accurate(self) -> np.ndarray:
        """Values of the first rows by far more coalitions than any side runs."""
        return self._ours(self.x[:N_COMPARED], "kernel", N_ACCURATE)

    def rows(self) -> list[Row]:
        classes = np.full(len(self.x), COLUMN)

        def kernel(size: Any, n: int) -> np.ndarray:
            return self._ours(self.x, "kernel", n)

        def of_shap(size: Any, n: int) -> np.ndarray:
            from peers import with_shap

            return with_shap.kernel(self.twin, self.x, COLUMN, n)

        def orders(n_coalitions: int) -> Any:
            return lambda size, n: self._ours(self.x, "sampling", n_coalitions)

        def of_captum(size: Any, n: int) -> np.ndarray:
            from peers import with_captum

            return with_captum.shapley_sampling(self.twin, self.x, classes, n, size)

        captum = Side(of_captum, self.sizes)
        return [
            Row(
                "kernel",
                "KernelSHAP, 2,088 coalitions",
                {"ours": Side(kernel, (None,)), "shap": Side(of_shap)},
                self.errors,
                amount=2088,
                trial=200,
                is_costly=True,
            ),
            Row(
                "orders",
                "random orders, 2,090 coalitions",
                {"ours": Side(orders(2090), (None,)), "captum": captum},
                self.errors,
                amount=110,
                trial=10,
            ),
            Row(
                "accuracy",
                "random orders, as accurate: 950 coalitions, and 110 orders",
                {"ours": Side(orders(950), (None,)), "captum": captum},
                self.errors,
                amount=110,
                trial=10,
            ),
        ]

    def errors(self, results: dict[str, np.ndarray]) -> str:
        """Return how far the values of each side are from accurate ones."""
        n = len(self.accurate)
        return "; ".join(
            f"{side} {np.sqrt(((found[:n] - self.accurate) ** 2).mean()):.1e}"
            for side, found in results.items()
        )

    def _ours(self, x: np.ndarray, method: str, n: int) -> np.ndarray:
        calculator = ShapleyCalculator(
            self.model, class_index=COLUMN, method=method, n_coalitions=n
        )
        return calculator.compute(x, seed=0, show_progress=False)[0]


if __name__ == "__main__":
    table.main(Table)

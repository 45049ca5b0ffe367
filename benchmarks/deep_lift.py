"""DeepLIFT and DeepLiftSHAP of VGG16 and a network for tables: ours beside Captum.

python benchmarks/deep_lift.py
python benchmarks/deep_lift.py --rows mlp_deep_lift --repeats 5 --cpu-time
"""

from __future__ import annotations

import warnings
from functools import cached_property, partial
from typing import Any

import numpy as np
import table
from mlp import Table
from subjects import ArraySubject
from vgg16 import VGG16

from saliency import DeepLiftCalculator, DeepLiftShapCalculator

import chainer


class DeepLift(table.Subject):
    name = "deep_lift"
    title = "DeepLIFT and DeepLiftSHAP, beside Captum"
    about = (
        "`benchmarks/deep_lift.py`. The networks are those of `vgg16.py` and `mlp.py`, "
        "the baseline is 0, and the background is drawn at random. *Missed* says by "
        "how much contributions miss the difference of the scores that they must add "
        "up to, as a share of it; Captum's do so where ReLU meets max pooling."
    )
    rounds = (7, 3)

    @cached_property
    def subjects(self) -> tuple[ArraySubject, ArraySubject]:
        """The networks."""
        return VGG16(self.images, self.dtype), Table(None, self.dtype)

    @cached_property
    def twin(self) -> tuple[Any, Any]:
        """The twins of both, on the device on which Captum computes."""
        vgg16, mlp = self.subjects
        return vgg16.twin, mlp.twin

    def rows(self) -> list[table.Row]:
        """Return the rows of both networks."""
        vgg16, mlp = self.subjects
        return [
            deep_lift(vgg16, "VGG16", vgg16.x[:3]),
            deep_lift_shap(vgg16, "VGG16", vgg16.x[:1], n_row=4),
            deep_lift(mlp, "MLP", mlp.x),
            deep_lift_shap(mlp, "MLP", mlp.x, n_row=20),
        ]


def deep_lift(subject: ArraySubject, network: str, x: np.ndarray) -> table.Row:
    """Return the row of DeepLIFT from 0."""
    classes = subject.all_classes[: len(x)]
    calculator = subject.calculator(DeepLiftCalculator, classes)
    return table.Row(
        f"{network.lower()}_deep_lift",
        subject.titled(f"{network}, DeepLIFT", x),
        {
            "ours": table.Side(partial(_ours, calculator, x), (None,)),
            "captum": table.Side(
                lambda size, _: _captum().deep_lift(subject.twin, x, classes)
            ),
        },
        partial(_missed, subject, x, classes, np.zeros_like(x[:1])),
        is_costly=x[0].size > 100,
    )


def deep_lift_shap(
    subject: ArraySubject, network: str, x: np.ndarray, n_row: int
) -> table.Row:
    """Return the row of DeepLiftSHAP, over a background of some rows."""
    classes = subject.all_classes[: len(x)]
    rng = np.random.default_rng(3)
    background = rng.uniform(-2, 2, (n_row, *x.shape[1:])).astype(x.dtype)
    calculator = subject.calculator(
        DeepLiftShapCalculator, classes, background=background
    )
    return table.Row(
        f"{network.lower()}_deep_lift_shap",
        subject.titled(f"{network}, DeepLiftSHAP, background of {n_row}", x),
        {
            "ours": table.Side(partial(_ours, calculator, x), (None,)),
            "captum": table.Side(
                lambda size, _: _captum().deep_lift_shap(
                    subject.twin, x, classes, background
                )
            ),
        },
        partial(_missed, subject, x, classes, background),
        is_costly=True,
    )


def _ours(calculator: Any, x: np.ndarray, size: int | None, _: int) -> np.ndarray:
    samples: np.ndarray = calculator.compute(x, batchsize=size, show_progress=False)
    return samples


def _missed(
    subject: ArraySubject,
    x: np.ndarray,
    classes: np.ndarray,
    background: np.ndarray,
    results: dict[str, np.ndarray],
) -> str:
    """Return how far results are apart, and by how much each does not add up."""
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        at_x, there = (subject.forward(v).array.astype("d") for v in (x, background))
    difference = (at_x - there.mean(axis=0))[np.arange(len(x)), classes]
    texts = [table.same(results)]
    for side, result in results.items():
        of_rows = result.reshape(-1, len(x), x[0].size).mean(axis=0)
        total = of_rows.sum(axis=1, dtype="d")
        share = np.linalg.norm(total - difference) / np.linalg.norm(difference)
        texts.append(f"missed by {side} {share:.0e}")
    return "; ".join(text for text in texts if text)


def _captum() -> Any:
    """Return the module that runs Captum; only where a row asks for it."""
    from peers import with_captum

    warnings.filterwarnings("ignore", "Setting forward, backward hooks")
    warnings.filterwarnings("ignore", "Input Tensor 0 did not already require")
    return with_captum


if __name__ == "__main__":
    table.main(DeepLift)

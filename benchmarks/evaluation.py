"""How long it takes to evaluate fourteen methods by four metrics on CIFAR-10.

python benchmarks/evaluation.py
python benchmarks/evaluation.py --workers 2
python benchmarks/evaluation.py --images 4 --one-by-one

Insertion, deletion, sparseness and max-sensitivity of the usual methods of the image
examples, by ``saliency.metrics.evaluate``; with ``--one-by-one`` also the time of the
same numbers where each metric is given the calculator. CIFAR-10 is taken from Chainer's
data folder (CHAINER_DATASET_ROOT).
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from table import RESULTS, write_section

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    BaseCalculator,
    BayesGradCalculator,
    DeconvnetCalculator,
    GaussianBlur,
    GaussianNoiseSampler,
    GradCAMCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from saliency.metrics import (
    Deletion,
    Evaluation,
    Insertion,
    MaxSensitivity,
    Metric,
    Sparseness,
    evaluate,
)

import chainer
import chainer.functions as F

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "image"))

from methods import SQUARES, blur
from network import Network, load

PRESETS = ("epsilon", "zplus", "deep_taylor", "epsilon_gamma_box")
CHANNELS = 2  # the axis of the channels in samples (M, N, ch, h, w)


class Counted:
    """The network of a process, with a count of its rows."""

    def __init__(self, network: Network) -> None:
        self._forward = network.forward
        self.n_row = 0

    def __call__(self, x: Any) -> Any:
        self.n_row += len(x)
        return self._forward(x)

    def probability(self, x: Any) -> Any:
        """Return the probabilities of the classes."""
        return F.softmax(self(x))


def usual_methods(network: Network, forward: Counted, M: int) -> dict[str, Any]:
    """Return the calculators of the examples' usual methods, with their settings."""
    what = {"eval_fun": forward, "class_index": "argmax"}
    size, model = network.size // 8, network.model
    # Neighbours of an image are a little outside of what images can be.
    margin = MaxSensitivity.radius
    bounds = {"low": network.low - margin, "high": network.high + margin}

    def of(make: type[BaseCalculator], method: str, **settings: Any) -> Any:
        in_call = {"method": method, "ch_axis": CHANNELS}
        if "M" in make.call_defaults:
            in_call["M"] = M
        return make(model, **what, **settings), in_call

    cam = GradCAMCalculator(model, layer=network.layer, **what)
    bayes, in_call = of(BayesGradCalculator, "abs")
    noisy = {**in_call, "noise_sampler": GaussianNoiseSampler()}
    lrp = {
        f"LRP {one}": of(LRPCalculator, "raw", rule=one, **bounds) for one in PRESETS
    }
    return {
        "VanillaGrad": of(GradientCalculator, "abs"),
        "SmoothGrad": of(SmoothGradCalculator, "abs"),
        "BayesGrad": (bayes, in_call),
        "BayesSmoothGrad": (bayes, noisy),
        "IntegratedGradients": of(
            IntegratedGradientsCalculator, "raw", baseline=blur(network), steps=32
        ),
        "Occlusion": of(
            OcclusionCalculator, "raw", size=2 * size, stride=size, fill=blur(network)
        ),
        "GradCAM": cam,
        "GuidedGradCAM": of(GuidedGradCAMCalculator, "abs", layer=network.layer),
        "GuidedBackprop": of(GuidedBackpropCalculator, "abs"),
        "Deconvnet": of(DeconvnetCalculator, "abs"),
        **lrp,
    }


def four_metrics(network: Network, forward: Counted) -> list[Metric]:
    """Return the metrics; regions are removed for a blurred image."""
    settings = {
        "eval_fun": forward.probability,
        "class_index": "argmax",
        "groups": SQUARES,
        "reference": GaussianBlur(5),
    }
    return [
        Insertion(network.model, **settings),
        Deletion(network.model, **settings),
        Sparseness(),
        MaxSensitivity(),
    ]


def one_by_one(
    methods: dict[str, Any], metrics: list[Metric], x: np.ndarray, seed: int
) -> None:
    """Let each metric measure each method by itself."""
    how = {"seed": seed, "show_progress": False}
    for given in methods.values():
        calculator, own = given if isinstance(given, tuple) else (given, {})
        for metric in metrics:
            metric.compute(calculator, x, **own, **how)
    for metric in metrics[:2]:
        metric.of_random(x, n_orders=1, **how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--M", type=int, default=30, help="samples of Smooth/BayesGrad")
    parser.add_argument("--workers", type=int, help="processes; none by default")
    parser.add_argument("--one-by-one", action="store_true", help="time that as well")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to write")
    args = parser.parse_args()

    network = load("cifar")
    forward = Counted(network)
    _, test = chainer.datasets.get_cifar10(scale=2.0, withlabel=False)
    x = test[: args.images] - 1
    methods = usual_methods(network, forward, args.M)
    metrics = four_metrics(network, forward)
    start, before = time.perf_counter(), time.process_time()
    found = evaluate(methods, x, metrics, seed=args.seed, workers=args.workers)
    seconds, of_cpu = time.perf_counter() - start, time.process_time() - before
    said = f"{seconds / 60:.1f} minutes"
    if args.workers is None:  # the rows of other processes are not counted here
        said += f" ({of_cpu / 60:.1f} of CPU), {forward.n_row:,} rows in passes"
    else:
        said += f" on {args.workers} processes"
    if args.one_by_one:
        n_row, before = forward.n_row, time.process_time()
        one_by_one(methods, metrics, x, args.seed)
        of_loop = time.process_time() - before
        rows = forward.n_row - n_row
        said += f"; one by one {of_loop / 60:.1f} of CPU, {rows:,} rows"
    print(said)
    text = _section(found, args, said)
    print(text)
    write_section(args.out, "evaluation", text)


def _section(found: Evaluation, args: argparse.Namespace, said: str) -> str:
    """Return what is written into RESULTS.md."""
    return "\n".join(
        [
            "## Fourteen methods by four metrics on CIFAR-10",
            "",
            f"`benchmarks/evaluation.py --images {args.images}`, "
            f"{datetime.date.today()}: {said}. The network of `examples/image`, M = "
            f"{args.M}, 64 regions of 4 x 4 pixels, a blurred image as reference; "
            "max-sensitivity by ten neighbours of each image.",
            "",
            found.to_markdown(),
        ]
    )


if __name__ == "__main__":
    main()

"""Which explanation is right? Every method on every truth set, and on real networks.

python benchmarks/study.py --workers 2                   # all of it, some hours
python benchmarks/study.py --n 40 --images 16 --M 10 --quick   # about 15 minutes
python benchmarks/study.py --minutes 60                  # as often as it takes
python benchmarks/study.py --sets patches,logp

The sets of `saliency.metrics.truths` come first, where it is known what decides. On the
CIFAR-10 network of `examples/image` and on EfficientNet-Lite0 nothing is known, and
what is measured is whether regions matter to the network: how its output changes as
they are replaced, with several replacements. The tables go into `docs/study.md`, whose
words are not written by this script.

CIFAR-10 is taken from Chainer's data folder (CHAINER_DATASET_ROOT). The photographs are
the two that come with scikit-learn, and those of --photographs. A set whose data or
weights are missing is left out, and the script says so.

What a set gave, or some images of it, is kept in --parts, so that a run that was
interrupted, or ended by --minutes, goes on with what is left. A file there is used as
long as the sizes and the seed are the same; delete it to measure a method that was
changed.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import importlib
import json
import sys
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import numpy as np
from table import write_section
from threadpoolctl import threadpool_limits

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    DeepLiftCalculator,
    DeepLiftShapCalculator,
    ExpectedGradientsCalculator,
    FeatureAblationCalculator,
    GaussianBlur,
    GradientCalculator,
    GuidedIntegratedGradientsCalculator,
    IntegratedGradientsCalculator,
    LimeCalculator,
    LRPCalculator,
    PermutationCalculator,
    ShapleyCalculator,
    SmoothGradCalculator,
    Superpixels,
    read_photograph,
)
from saliency.download import written_whole
from saliency.metrics import (
    ROAD,
    FaithfulnessCorrelation,
    Metric,
    PixelFlipping,
    Sparseness,
    evaluate,
    truths,
)
from saliency.metrics.evaluation.intervals import paired_interval

import chainer
import chainer.functions as F

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "study.md"
PARTS = ROOT / "results" / "study"
#: Of these, each image takes a thousand passes, or one for each map of a layer.
COSTLY = ("Shapley", "LIME", "RISE", "ScoreCAM", "AblationCAM")
#: Images of a set that are explained and kept together; other sets are kept as a whole.
TOGETHER = {"cifar": 25, "photographs": 2}


@dataclass
class Setting:
    """What is compared in one table.

    Attributes:
        title (str): The heading.
        about (str): What it is a table of; ``{n}`` is the number of examples.
        methods (dict): As :func:`saliency.metrics.evaluate` takes them.
        data: The examples.
        metrics (dict): By their names in the table.
        settings (dict): The other arguments of ``evaluate``.
    """

    title: str
    about: str
    methods: Mapping[str, Any]
    data: Any
    metrics: Mapping[str, Metric]
    settings: Mapping[str, Any] = field(default_factory=dict)


@cache
def module_of(folder: str, name: str) -> ModuleType:
    """Returns a module of a folder of examples; others have modules of such names."""
    path = ROOT / "examples" / folder
    names = [file.stem for file in path.glob("*.py")]
    others = {key: sys.modules.pop(key) for key in names if key in sys.modules}
    sys.path.insert(0, str(path))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(path))
        for key in names:
            sys.modules.pop(key, None)
        sys.modules.update(others)


# Tables


def table_methods(found: truths.TruthSet, args: argparse.Namespace) -> dict[str, Any]:
    """Returns what explains a function of a table, with several references."""
    new, r, x = found.calculator, found.reference, found.data
    return {
        "gradient": new(GradientCalculator),
        "gradient x input": new(GradientCalculator, multiply_target=True),
        "SmoothGrad": (new(SmoothGradCalculator), {"M": args.M}),
        "IntegratedGradients": new(IntegratedGradientsCalculator, baseline=r),
        "IntegratedGradients from 0": new(IntegratedGradientsCalculator),
        "IntegratedGradients from the mean": new(
            IntegratedGradientsCalculator, baseline="mean"
        ),
        "ExpectedGradients of all": new(ExpectedGradientsCalculator, background=x),
        "GuidedIG": new(
            GuidedIntegratedGradientsCalculator, baseline=r, max_distance=1
        ),
        "DeepLIFT": new(DeepLiftCalculator, baseline=r),
        "DeepLIFT from 0": new(DeepLiftCalculator),
        "DeepLiftShap of 20": new(DeepLiftShapCalculator, background=x[:20]),
        "LRP epsilon": new(LRPCalculator, rule="epsilon"),
        "FeatureAblation": new(FeatureAblationCalculator, baseline=r),
        "FeatureAblation to 0": new(FeatureAblationCalculator),
        "Permutation": new(PermutationCalculator, background=x),
        "Shapley": new(ShapleyCalculator, baseline=r),
        "Shapley from 0": new(ShapleyCalculator),
        "Shapley of 20": new(
            ShapleyCalculator, background=x[:20], method="sampling", n_coalitions=500
        ),
        "LIME": new(LimeCalculator, baseline=r),
        "LIME to 0": new(LimeCalculator),
    }


def of_table(
    name: str, make: Callable[..., truths.TruthSet], args: argparse.Namespace
) -> Setting:
    found = make(args.n, seed=args.seed)
    return Setting(
        name,
        f"{found.doc} "
        f"{len(found)} rows of 12 columns. Methods compare with the reference of the "
        "truth, unless their name says otherwise.",
        table_methods(found, args),
        found.data,
        found.metrics,
        {"with_gradient": False},
    )


# Planted in images


def network_of(found: truths.TruthSet) -> Any:
    """Returns a planted network as the image examples take networks."""
    x = found.data
    network = module_of("image", "network")
    return network.Network(
        *(found.model, found.model, None, x.shape[-1], found.layer),
        *(float(x.min()), float(x.max()), (), None),
    )


def image_maps(
    network: Any, x: np.ndarray, classes: np.ndarray, args: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Returns the maps of every method of the image examples, and of two more."""
    methods = module_of("image", "methods")
    black = partial(IntegratedGradientsCalculator, baseline=network.low, steps=32)
    black_deep_lift = partial(DeepLiftCalculator, baseline=network.low)
    chosen = {
        **methods.EVERY,
        "IntegratedGradients from black": partial(methods.of_signs, black),
        "DeepLIFT from black": partial(methods.of_signs, black_deep_lift),
        "Gradient, signed": partial(methods.of_signs, GradientCalculator),
    }
    maps = {}
    for name, method in chosen.items():
        if not (args.quick and network.size > 32 and name in COSTLY):
            start = time.monotonic()
            maps[name] = method(network, x, classes, args.M, args.seed)
            print(f"  {name}: {time.monotonic() - start:.1f} s", flush=True)
    return maps


def of_planted(
    name: str, make: Callable[..., truths.TruthSet], args: argparse.Namespace
) -> Setting:
    found = make(args.n, seed=args.seed)
    network = network_of(found)
    classes = np.broadcast_to(found.class_index, len(found)).astype(np.int32)
    maps = image_maps(network, found.data, classes, args)
    new, without = found.calculator, found.without
    for method, kind in (
        ("IntegratedGradients", IntegratedGradientsCalculator),
        ("DeepLIFT", DeepLiftCalculator),
    ):
        calculator = new(kind, baseline=without)
        maps[f"{method} from the image without it"] = calculator.compute_aggregate(
            found.data, ch_axis=2, seed=args.seed, show_progress=False
        )
    return Setting(
        name,
        f"{found.doc} "
        f"{len(found)} images of {network.size} x {network.size} pixels that the "
        f"network was not trained on; it decides by what was planted in "
        f"{found.learned:.0%} of them. Chance is {chance(found):.3f} but for the ROC "
        "area.",
        maps,
        found.data,
        found.metrics,
        {"with_gradient": False},
    )


def chance(found: truths.TruthSet) -> float:
    """Returns the share of elements that decide, on average over the examples."""
    return float(np.mean([np.nanmean(scores) for scores in found.true_scores]))


# Molecules


def of_molecules(
    name: str, make: Callable[..., truths.TruthSet], args: argparse.Namespace
) -> Setting:
    found = make(args.n, seed=args.seed)
    methods = module_of("molecule", "methods")
    calculators = methods.signed_calculators(found.model, found.reference)
    if not args.quick:
        background = methods.atom_embeddings(found.model, found.data)
        calculators.update(methods.slow_calculators(found.model, background))
    rows: dict[str, Any] = {
        key: (calculator, {"M": args.M if wants_samples else 1})
        for key, (calculator, wants_samples) in calculators.items()
    }
    gradient = calculators["VanillaGrad"][0]
    rows["VanillaGrad, squared"] = (gradient, {"method": "square"})
    rows["BayesGrad, squared"] = (
        gradient,
        {"method": "square", "train": True, "M": args.M},
    )
    how = "R2 on molecules that it does not know is"
    if found.masks is not None:
        how = "the share of new molecules for which the group decides is"
    return Setting(
        name,
        f"{found.doc} "
        f"{len(found)} molecules; {how} {found.learned:.3f}. Methods compare with the "
        "mean embedding of atoms, unless their name says otherwise."
        + (f" Chance is {chance(found):.3f}." if found.masks is not None else ""),
        rows,
        found.data,
        found.metrics,
        {"with_gradient": False, **found.settings},
    )


# Networks of which nothing is known


def removal_metrics(
    network: Any, x: np.ndarray, classes: np.ndarray, is_quick: bool
) -> dict[str, Metric]:
    """Returns what is measured without a truth: removal, with several references.

    A large network takes longer for a row, and ROAD for the pixels of a photograph.
    """
    is_large = network.size > 32
    settings: dict[str, Any] = {
        "model": network.model,
        "eval_fun": lambda v: F.softmax(network.forward(v)),
        "class_index": classes,
        "groups": Superpixels(64, method="grid"),
    }
    blurred = GaussianBlur(5 * network.size / 32)(x)
    colours = np.broadcast_to(x.mean(axis=(2, 3), keepdims=True), x.shape)
    n_steps = 8 if is_quick or is_large else 32
    both = {"order": "difference", "n_steps": n_steps, **settings}
    metrics = {
        "blur": PixelFlipping(reference=blurred, **both),
        "black": PixelFlipping(reference=network.low, **both),
        "mean colour": PixelFlipping(reference=colours, **both),
        "sparseness": Sparseness(),
    }
    if is_large:
        return metrics
    return {
        **metrics,
        "ROAD": ROAD(**both),
        "blur, absolute": PixelFlipping(
            reference=blurred, transform="absolute", **both
        ),
        "faithfulness correlation": FaithfulnessCorrelation(
            reference=blurred, n_subsets=30, **settings
        ),
    }


def of_network(
    title: str, about: str, network: Any, x: np.ndarray, args: argparse.Namespace
) -> Setting:
    classes = module_of("image", "network").class_scores(network, x).argmax(axis=1)
    return Setting(
        title,
        f"{{n}} {about}. By how much lower the probability of the predicted class "
        "is where the most relevant of 64 squares are removed first than where the "
        "least relevant ones are, on average over the way; a column says what takes "
        "their place.",
        image_maps(network, x, classes, args),
        x,
        removal_metrics(network, x, classes, args.quick),
        {"with_gradient": False},
    )


def of_cifar(args: argparse.Namespace) -> Setting:
    network = module_of("image", "network").load("cifar")
    _, test = chainer.datasets.get_cifar10(scale=2.0)
    x, _ = chainer.dataset.concat_examples(test[args.part.start : args.part.stop])
    return of_network(
        "CIFAR-10, the network of `examples/image`",
        "test images",
        *(network, x - 1, args),
    )


def of_photographs(args: argparse.Namespace) -> Setting:
    network = module_of("image", "network").load("efficientnet-lite0")
    from sklearn.datasets import load_sample_images

    every = [*load_sample_images().images, *args.photographs]
    photographs = [
        np.asarray(read_photograph(one) if isinstance(one, Path) else one)
        for one in every[args.part.start : args.part.stop]
    ]
    crops = [network.crop(photograph, network.size) for photograph in photographs]
    x = np.stack([network.prepare(crop) for crop in crops])
    return of_network(
        *("EfficientNet-Lite0, photographs", "photographs", network, x, args),
    )


#: The sets, by the names that --sets takes.
SETS: dict[str, Callable[[argparse.Namespace], Setting]] = {
    "linear": partial(of_table, "Linear table", truths.linear_table),
    "additive": partial(of_table, "Additive table", truths.additive_table),
    "interactions": partial(of_table, "Interaction table", truths.interaction_table),
    "patches": partial(of_planted, "Planted patches", truths.planted_patches),
    "watermark": partial(of_planted, "Planted watermark", truths.planted_watermark),
    "substructures": partial(
        of_molecules, "Planted substructures", truths.planted_substructures
    ),
    "logp": partial(of_molecules, "logP", truths.logp),
    "cifar": of_cifar,
    "photographs": of_photographs,
}


# What was found, on the page


class Found:
    """The values of the methods of a set, and how they are told apart.

    Args:
        record (dict): What :meth:`of` returns, which is kept in a file.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.larger: dict[str, bool | None] = record["larger"]
        self.values = {
            method: {name: np.array(values) for name, values in of_metrics.items()}
            for method, of_metrics in record["values"].items()
        }

    @classmethod
    def of(cls, setting: Setting, args: argparse.Namespace) -> Found:
        """Returns what evaluate finds of a set."""
        with warnings.catch_warnings():
            # Constant maps have no correlation; few steps miss completeness a little.
            warnings.simplefilter("ignore", UserWarning)
            evaluation = evaluate(
                setting.methods,
                setting.data,
                setting.metrics,
                n_random=5,
                seed=args.seed,
                **setting.settings,
            )
        values: dict[str, dict[str, list[float]]] = {}
        for (method, metric), result in evaluation.results.items():
            values.setdefault(method, {})[metric] = result.values.tolist()
        larger = dict(zip(evaluation.metrics, evaluation.larger_is_better))
        record = {
            "sizes": sizes(args),
            "date": datetime.date.today().isoformat(),
            "title": setting.title,
            "about": setting.about,
            "larger": larger,
            "values": values,
        }
        return cls(record)

    @classmethod
    def joined(cls, parts: list[Found]) -> Found:
        """Returns what was found of the parts of a set, as one."""
        first = parts[0].record
        values = {
            method: {
                metric: [v for part in parts for v in part.values[method][metric]]
                for metric in of_metrics
            }
            for method, of_metrics in first["values"].items()
        }
        date = max(part.record["date"] for part in parts)
        return cls({**first, "values": values, "date": date})

    def best(self, metric: str) -> list[str]:
        """Returns the best method by a metric, and those not told apart from it.

        That is, the 95 % interval of the mean difference on the same examples holds 0,
        or it differs by a ten-thousandth of what the methods are apart.
        """
        sign = 1 if self.larger[metric] else -1
        means = {key: sign * one[metric].mean() for key, one in self.values.items()}
        first = max(means, key=lambda key: means[key])
        small = 1e-4 * (max(means.values()) - min(means.values()))
        found = []
        for method, of_metrics in self.values.items():
            interval = paired_interval(
                of_metrics[metric], self.values[first][metric], 0.95
            )
            is_same = interval.low <= 0 <= interval.high
            if method == first or is_same or abs(interval.mean) <= small:
                found.append(method)
        return found

    def _order(self, method: str) -> list[float]:
        """Returns what methods are sorted by: the first metric, ties by the next."""
        signs = {True: 1, False: -1, None: 0}
        return [
            round(signs[self.larger[name]] * values.mean(), 3)
            for name, values in self.values[method].items()
        ]

    def section(self) -> str:
        """Returns the table with its heading, the best methods first."""
        metrics = [*self.larger]
        best = {
            name: self.best(name) for name in metrics if self.larger[name] is not None
        }
        ranked = sorted(self.values, key=self._order, reverse=True)
        better = {True: "larger", False: "smaller", None: "neither"}
        heads = [f"{name} ({better[self.larger[name]]})" for name in metrics]
        n = len(self.values[ranked[0]][metrics[0]])
        about = self.record["about"].replace("{n}", str(n))
        lines = [
            f"### {self.record['title']}",
            "",
            f"{about} M = {self.record['sizes']['M']}; {self.record['date']}.",
            "",
            f"| method | {' | '.join(heads)} |",
            f"|---|{'---:|' * len(metrics)}",
        ]
        for method in ranked:
            cells = [
                cell(self.values[method][name], method in best.get(name, ()))
                for name in metrics
            ]
            lines.append(f"| {method} | {' | '.join(cells)} |")
        return "\n".join(lines)


def cell(values: np.ndarray, is_best: bool) -> str:
    error = values.std(ddof=1) / np.sqrt(len(values))
    text = f"{values.mean():.3f} ± {error:.3f}"
    return f"**{text}**" if is_best else text


def sizes(args: argparse.Namespace) -> dict[str, Any]:
    """Returns what the numbers depend on."""
    names = ("n", "M", "seed", "quick")
    found: dict[str, Any] = {name: getattr(args, name) for name in names}
    found["part"] = [args.part.start, args.part.stop]
    found["photographs"] = [path.name for path in args.photographs]
    return found


def parts_of(name: str, args: argparse.Namespace) -> list[argparse.Namespace]:
    """Returns the arguments for each part of a set: its images, and a seed for it."""
    n = {"cifar": args.images, "photographs": 2 + len(args.photographs)}.get(name, 1)
    step = TOGETHER.get(name, 1)
    parts = []
    for start in range(0, n, step):
        part = copy.copy(args)
        part.part = range(start, min(start + step, n))
        part.seed = args.seed + start
        part.photographs = args.photographs if name == "photographs" else ()
        parts.append(part)
    return parts


def file_of(name: str, args: argparse.Namespace) -> Path:
    """Returns where what is found of a part is kept."""
    folder: Path = args.parts
    return folder / f"{name}-{args.part.start}.json"


def kept(name: str, args: argparse.Namespace) -> Found | None:
    """Returns what a file holds of a part, if it is of the same sizes."""
    path = file_of(name, args)
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return Found(record) if record["sizes"] == sizes(args) else None


def measure(name: str, args: argparse.Namespace, end: float | None) -> None:
    """Measures a part of a set, unless it is kept or the time is over."""
    if kept(name, args) is not None:
        return
    began = time.time()
    what = f"{name}, from {args.part.start} on,"
    if end is not None and began > end:
        print(f"{what} is left for the next run", flush=True)
        return
    try:
        setting = SETS[name](args)
    except (ImportError, OSError, SystemExit) as error:
        print(f"{what} is left out: {error}", flush=True)
        return
    found = Found.of(setting, args)
    with written_whole(file_of(name, args)) as file:
        file.write(json.dumps(found.record).encode())
    print(f"{what} took {time.time() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--sets", type=lambda text: text.split(","), default=[*SETS], help="some alone")
    add("--n", type=int, default=100, help="examples of each truth set")
    add("--images", type=int, default=100, help="images of CIFAR-10")
    add("--photographs", type=Path, nargs="+", default=(), help="more of them")
    add("--M", type=int, default=20, help="samples of SmoothGrad and BayesGrad")
    add("--seed", type=int, default=0)
    add("--quick", action="store_true", help="without what takes minutes")
    add("--workers", type=int, default=1, help="processes, of one thread each")
    add("--minutes", type=float, help="begin no other part after so many minutes")
    add("--parts", type=Path, default=PARTS, help="where what is done is kept")
    add("--out", type=Path, default=PAGE, help="the page to write")
    args = parser.parse_args()
    unknown = set(args.sets) - set(SETS)
    if unknown:
        parser.error(f"--sets: must be of {', '.join(SETS)}, got {', '.join(unknown)}")
    end = time.time() + 60 * args.minutes if args.minutes else None
    jobs = [(name, part, end) for name in args.sets for part in parts_of(name, args)]
    if args.workers == 1:
        for job in jobs:
            measure(*job)
    else:
        context = get_context("spawn")
        with ProcessPoolExecutor(
            args.workers, context, threadpool_limits, (1,)
        ) as processes:
            for done in [processes.submit(measure, *job) for job in jobs]:
                done.result()
    for name in args.sets:
        parts = [found for part in parts_of(name, args) if (found := kept(name, part))]
        if parts:
            section = Found.joined(parts).section()
            print(f"\n{section}\n", flush=True)
            write_section(args.out, name, section)


if __name__ == "__main__":
    main()

"""What do single units see, and which of them are needed?

On CIFAR-10: relevance 1 on one unit of the last pooling layer is passed back to the
image, to its mirror image, and to a copy with other hues. The units are ranked by how
well their relevance separates a class from the others, and the accuracy is reported
when those that separate least are removed:

    python examples/lrp/units.py
    python examples/lrp/units.py --weights results/lrp_units/model.npz
    python examples/lrp/units.py --maps 300 --images 50000 --epoch 40 --device @cupy:0

The default is a quick setting, of 64 maps in each convolution. The last line is that
of the study, with 300, which is for a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from data import Images, load_colour_images
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from matplotlib.figure import Figure
from networks import N_CLASS, UnitNet
from pictures import draw_grid
from tqdm.auto import trange
from training import add_weights, begin, parser, scores_of, trained

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import LRPCalculator
from saliency.command_line import at_least
from saliency.lrp import AlphaBeta, Box, Composite, Epsilon

from chainer.datasets import TransformDataset, TupleDataset

# The same rules whether the walk begins at the class scores or at the units.
RULES = Composite(
    Epsilon(),
    by_link={"/convs/0": Box(-1, 1)},
    by_kind={"convolution": AlphaBeta(2, -1)},
)
HUE_SHIFT = 1 / 3  # of the circle
N_ORDER = 10  # random orders of removal
SHOWN = 4  # images, and units
N_CANDIDATE = 20  # for each image that is shown: the one with most colour


def mirrored_or_not(pair: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
    """Return an image, or its mirror image, with its class."""
    x, t = pair
    return (x[:, :, ::-1] if np.random.rand() < 0.5 else x), t


def in_other_hues(x: np.ndarray) -> np.ndarray:
    """Return images ``(n, 3, h, w)`` in [-1, 1] with all hues shifted."""
    hsv = rgb_to_hsv(np.moveaxis((x + 1) / 2, 1, -1))
    hsv[..., 0] = (hsv[..., 0] + HUE_SHIFT) % 1
    return np.moveaxis(hsv_to_rgb(hsv) * 2 - 1, -1, 1).astype(x.dtype)


def colourfulness(x: np.ndarray) -> float:
    """Return the mean difference of an image's largest and smallest channel."""
    return float(np.ptp(x, axis=0).mean())


def relevance_of_units(model: UnitNet, units: np.ndarray, c: int) -> np.ndarray:
    """Return the relevance of all units for one class's score, ``(n, n_unit)``."""
    calculator = LRPCalculator(
        model, eval_fun=model.classify, class_index=c, rule=RULES
    )
    return calculator.compute(units, batchsize=1000, show_progress=False)[0]


def separation(model: UnitNet, units: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return how well each unit's relevance separates each class from the others.

    That is the difference of the mean relevance for the class's score between images
    of the class and others, in standard deviations within the two groups.

    Args:
        model (UnitNet): The network.
        units (array): What the last pooling layer gave, ``(n, n_unit)``.
        t (array): Classes, ``(n,)``.

    Returns:
        array: ``(n_unit, n_class)``.
    """
    result = np.empty((units.shape[1], N_CLASS))
    for c in trange(N_CLASS, desc="separation of classes", disable=None):
        r = relevance_of_units(model, units, c).astype(np.float64)
        of_class, others = r[t == c], r[t != c]
        spread = np.sqrt((of_class.var(axis=0) + others.var(axis=0)) / 2)
        difference = of_class.mean(axis=0) - others.mean(axis=0)
        # A unit that is never active has no spread.
        result[:, c] = difference / np.where(spread > 0, spread, np.inf)
    return result


def least_needed_first(separations: np.ndarray) -> np.ndarray:
    """Return the units in the order of their best place among all for some class.

    So the last ten are those that separate each class best, and no class that is hard
    to separate loses its units before the others.
    """
    places = (-separations).argsort(axis=0).argsort(axis=0)
    # Among equals, by how well they separate the class that they separate best.
    return np.lexsort((separations.max(axis=1), -places.min(axis=1)))


def accuracy_without(
    model: UnitNet, units: np.ndarray, t: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Return the accuracy when none, one, two, ... units are removed in an order."""
    left = units.copy()
    result = []
    for unit in (None, *order):
        if unit is not None:
            left[:, unit] = 0
        scores = scores_of(model.classify, left, batchsize=5000)
        result.append((scores.argmax(axis=1) == t).mean())
    return np.array(result)


def inject(model: UnitNet, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Return the relevance of pixels for given relevance of units.

    Args:
        model (UnitNet): The network.
        x (array): Images, ``(n, 3, h, w)``.
        relevance (array): Relevance of the units for each image, ``(n, n_unit)``.

    Returns:
        array: Summed over the colours, ``(n, h, w)``.
    """
    calculator = LRPCalculator(
        model, eval_fun=model.units, relevance=relevance, rule=RULES
    )
    return calculator.compute(x)[0].sum(axis=1)


def check_linearity(model: UnitNet, x: np.ndarray, c: int) -> None:
    """Print how far the sum over all units is from the ordinary heatmap of an image."""
    whole = LRPCalculator(model, class_index=c, rule=RULES).compute(x)[0].sum(axis=1)
    of_units = relevance_of_units(model, scores_of(model.units, x), c)
    n = of_units.shape[1]
    each = inject(model, np.repeat(x, n, axis=0), np.diag(of_units[0]))
    difference = np.abs(each.sum(axis=0, dtype="d") - whole[0]).max()
    print(
        "heatmaps of all units, each with its own relevance, added up: the ordinary "
        f"heatmap within {difference / np.abs(whole).max():.1e} of its largest value"
    )


def show_units(
    model: UnitNet, images: Images, separations: np.ndarray, path: Path
) -> None:
    """Draw what the best units of some classes see in an image of each class."""
    classes = separations.max(axis=0).argsort()[::-1][:SHOWN]
    units = []
    for c in classes:  # a unit that is best for two classes is shown once
        ranked = separations[:, c].argsort()[::-1]
        units.append(next(unit for unit in ranked if unit not in units))
    is_right = scores_of(model, images.x_test).argmax(axis=1) == images.t_test
    chosen = []
    for c in classes:
        of_class = np.flatnonzero(images.t_test == c)
        right_first = of_class[np.argsort(~is_right[of_class], kind="stable")]
        candidates = right_first[:N_CANDIDATE]
        chosen.append(max(candidates, key=lambda i: colourfulness(images.x_test[i])))

    x = images.x_test[chosen]
    variants = np.stack([x, x[:, :, :, ::-1], in_other_hues(x)], axis=1)
    variants = variants.reshape(-1, *x.shape[1:])  # three of one image in turn
    heatmaps, of_units = {}, scores_of(model.units, variants)
    for unit, c in zip(units, classes):
        one = np.zeros_like(of_units)
        one[:, unit] = 1
        title = f"unit {unit}\n{images.classes[c]}"
        heatmaps[title] = inject(model, variants, one)
    names = [
        name for c in classes for name in (images.classes[c], "mirrored", "other hues")
    ]
    draw_grid(
        (variants + 1) / 2,
        heatmaps,
        names,
        "Relevance 1 on one unit of the last pooling layer.\n"
        "Red: for that unit; blue: against it. One scale for all.\n"
        "Above: the unit, and the class that it separates",
        path,
        scale="all",
    )
    maps = np.stack(list(heatmaps.values()), axis=1)
    maps = maps.reshape(len(x), 3, SHOWN, *x.shape[2:])
    original, mirrored, hues = maps.swapaxes(0, 1)
    for name, other in (("mirrored back", mirrored[..., ::-1]), ("other hues", hues)):
        pairs = zip(original.reshape(-1, x[0, 0].size), other.reshape(-1, x[0, 0].size))
        r = [np.corrcoef(a, b)[0, 1] for a, b in pairs if a.any() and b.any()]
        print(
            f"correlation of a unit's map with that of the image {name}: "
            f"mean {np.mean(r):.2f}, from {np.min(r):.2f} to {np.max(r):.2f}"
        )


def show_removal(curves: dict[str, np.ndarray], path: Path) -> None:
    """Draw accuracy over the share of units removed; several curves as a band."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.add_subplot()
    for (name, of_orders), color in zip(curves.items(), ("C0", "0.5", "C3")):
        share = np.linspace(0, 100, of_orders.shape[1])
        mean = 100 * of_orders.mean(axis=0)
        ax.plot(share, mean, color=color, label=name)
        if len(of_orders) > 1:
            sd = 100 * of_orders.std(axis=0, ddof=1)
            ax.fill_between(share, mean - sd, mean + sd, color=color, alpha=0.2)
    ax.set_xlabel("units removed, %")
    ax.set_ylabel("test accuracy, %")
    ax.set_xlim(0, 100)
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)
    ax.legend(title="removed first")
    figure.savefig(path, dpi=110)


def main() -> None:
    arguments = parser(__doc__, "lrp_units", data="cifar10")
    add_weights(arguments)
    add = arguments.add_argument
    add("--epoch", type=at_least(1), default=8, help="epochs of training")
    add("--maps", type=at_least(SHOWN), default=64, help="maps of each convolution")
    add("--images", type=at_least(1), default=15_000, help="to train on, at most")
    args = arguments.parse_args()
    begin(args)

    images = load_colour_images(args.data)
    images = images._replace(
        x_train=images.x_train[: args.images], t_train=images.t_train[: args.images]
    )
    model = UnitNet(args.maps)
    augmented: Any = TransformDataset(
        TupleDataset(images.x_train, images.t_train), mirrored_or_not
    )
    trained(model, images, args, augmented)

    units = scores_of(model.units, images.x_train)
    separations = separation(model, units, images.t_train)
    ranked = least_needed_first(separations)
    print("\nunits that separate a class best:")
    for unit in ranked[::-1][:N_CLASS]:
        c = separations[unit].argmax()
        name = images.classes[c]
        print(f"  unit {unit}: {name}, {separations[unit, c]:.2f} standard deviations")

    rng = np.random.default_rng(args.seed)
    units = scores_of(model.units, images.x_test)
    orders = {
        "least relevant": [ranked],
        "random": [rng.permutation(ranked) for _ in range(N_ORDER)],
        "most relevant": [ranked[::-1]],
    }
    curves = {
        name: np.array(
            [accuracy_without(model, units, images.t_test, order) for order in some]
        )
        for name, some in orders.items()
    }
    print(f"\ntest accuracy without some of the {len(ranked)} units:")
    print(f"{'removed':>8}  least relevant  random ({N_ORDER} orders)  most relevant")
    for share in (0, 0.1, 0.25, 0.5, 0.75, 0.9):
        n = round(share * len(ranked))
        least, random, most = (curve[:, n] for curve in curves.values())
        spread = f"{random.mean():.3f} ± {random.std(ddof=1):.3f}"
        print(f"{n:8}  {least[0]:14.3f}  {spread:>18}  {most[0]:13.3f}")
    show_removal(curves, args.out / "removal.png")

    print("\nWhere the relevance of four predictions goes:")
    calculator = LRPCalculator(model, rule=RULES)
    print(calculator.conservation(images.x_test[:4], show_progress=False), end="\n\n")
    check_linearity(model, images.x_test[:1], int(images.t_test[0]))
    show_units(model, images, separations, args.out / "units.png")
    print(f"\nPictures: {args.out / 'units.png'} and {args.out / 'removal.png'}")


if __name__ == "__main__":
    main()

"""How sure is a saliency map? Three posteriors of the same network, on digits.

Trains a multilayer perceptron with dropout on scikit-learn's 8 x 8 digits, and explains
its predictions with BayesGrad by dropout, by SWAG (fitted in the last epochs of that
training), and by an ensemble of networks that were trained from other initializations:

    python examples/table/posteriors.py
    python examples/table/posteriors.py --n-member 10 --epoch 60 --out results/ten

For each posterior it prints how good the mean prediction of its networks is (accuracy
and negative log-likelihood), which share of the scores can be told from zero
(|mean| > 1.96 std), and how the spreads of the posteriors agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm.auto import tqdm

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    BaseCalculator,
    BayesGradCalculator,
    EnsemblePosterior,
    ImageVisualizer,
    SWAGPosterior,
    TableVisualizer,
)
from saliency.command_line import Parser, at_least

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.datasets import TupleDataset

N_DRAWN = 5  # digits in the picture
N_PIXEL = 12  # pixels in the other one
SWAG_SHARE = 0.5  # of the epochs, at the end, that SWAG is fitted in


class MLP(chainer.Chain):
    """Two hidden layers with dropout."""

    def __init__(self, n_unit: int = 64) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(64, n_unit)
            self.l2 = L.Linear(n_unit, n_unit)
            self.l3 = L.Linear(n_unit, 10)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.dropout(F.relu(self.l1(x)), 0.2)
        h = F.dropout(F.relu(self.l2(h)), 0.2)
        return self.l3(h)


def train(data: TupleDataset, epoch: int, device: Any) -> tuple[MLP, SWAGPosterior]:
    """Train with a constant learning rate, as SWAG wants it."""
    model = MLP()
    model.to_device(device)
    swag = SWAGPosterior(model)
    optimizer = chainer.optimizers.MomentumSGD(0.05).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(5e-4))
    iterator = chainer.iterators.SerialIterator(data, 32)
    first = epoch - int(SWAG_SHARE * epoch)
    while iterator.epoch < epoch:
        x, t = chainer.dataset.concat_examples(iterator.next(), device)
        optimizer.update(lambda x=x, t=t: F.softmax_cross_entropy(model(x), t))
        if iterator.is_new_epoch and iterator.epoch > first:
            swag.collect()
    return model, swag


class ProbabilityCalculator(BaseCalculator):
    """The class probabilities of each sample's network, ``(M, N, 10)``."""

    needs_gradient = False

    def contribution(self, this: Any, classes: np.ndarray | None) -> Any:
        return F.softmax(this.outputs[0]).array


def report(
    probabilities: dict[str, np.ndarray],
    snr: dict[str, np.ndarray],
    std: dict[str, np.ndarray],
    t: np.ndarray,
) -> None:
    """Print how good predictions are, and how sure scores."""
    print(f"\n{'posterior':20}{'accuracy':>10}{'NLL':>8}{'told from 0':>14}")
    for name, p in probabilities.items():
        accuracy = (p.argmax(axis=1) == t).mean()
        nll = -np.log(p[np.arange(len(t)), t] + 1e-12).mean()
        sure = f"{(np.abs(snr[name]) > 1.96).mean():.0%}" if name in snr else "-"
        print(f"{name:20}{accuracy:10.3f}{nll:8.3f}{sure:>14}")
    print("\nSpearman correlation of the spreads (std), mean over the digits:")
    names = list(std)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            values = [spearmanr(s, u).statistic for s, u in zip(std[a], std[b])]
            print(f"  {a} and {b}: {np.mean(values):.2f}")


def draw(
    mean: dict[str, np.ndarray],
    std: dict[str, np.ndarray],
    x: np.ndarray,
    t: np.ndarray,
    predicted: np.ndarray,
    path: Path,
) -> None:
    """Draw digits beside the scores that can be told from zero."""
    maps = {
        name: np.where(np.abs(mean[name]) > 1.96 * std[name], mean[name], 0)
        for name in mean
    }
    some = [int(np.flatnonzero(t == digit)[0]) for digit in range(N_DRAWN)]
    ImageVisualizer().visualize_grid(
        {name: of_all[some].reshape(-1, 8, 8) for name, of_all in maps.items()},
        [x[i].reshape(8, 8) for i in some],
        path,
        title="Gradients that can be told from zero, by three posteriors",
        mode="heatmap",
        scale="row",
        row_titles=[f"true {t[i]}, predicted {predicted[i]}" for i in some],
        percentile=100,
    )


def draw_pixels(
    mean: dict[str, np.ndarray], std: dict[str, np.ndarray], path: Path
) -> None:
    """Draw the strongest pixels of the first digit, with the interval of each score."""
    TableVisualizer().visualize_grid(
        {name: of_all[0] for name, of_all in mean.items()},
        [f"row {i // 8 + 1}, column {i % 8 + 1}" for i in range(64)],
        path,
        num_visualize=N_PIXEL,
        scaler=None,
        title="Strongest pixels of the first test digit, and how sure they are",
        xlabel="gradient, with the interval that holds 95 % of its posterior",
        errors={name: 1.96 * of_all[0] for name, of_all in std.items()},
    )


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    # SWAG is fitted in the second half of the epochs, and needs two of them.
    add("--epoch", type=at_least(4), default=40, help="epochs of each training")
    add("--n-member", type=at_least(2), default=5, help="networks of the ensemble")
    add("--M", type=at_least(2), default=30, help="samples of the other posteriors")
    parser.add_common_arguments(out="results/posteriors")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.device.use()

    x, t = load_digits(return_X_y=True)
    x_train, x_test, t_train, t_test = train_test_split(
        (x / 16).astype("f"), t.astype("i"), test_size=0.3, random_state=args.seed
    )
    data = TupleDataset(x_train, t_train)
    trained = []
    for member in tqdm(range(args.n_member), "training", unit="network", disable=None):
        np.random.seed(args.seed + member)
        trained.append(train(data, args.epoch, args.device))
    model, swag = trained[0]

    posteriors: dict[str, dict[str, Any]] = {
        "dropout": {"M": args.M, "train": True},
        "SWAG": {"M": args.M, "posterior": swag},
        f"ensemble of {args.n_member}": {
            "M": args.n_member,
            "posterior": EnsemblePosterior([network for network, _ in trained]),
        },
    }
    how = {"batchsize": 512, "seed": args.seed, "show_progress": False}
    scores = ProbabilityCalculator(model, class_index=0)
    explain = BayesGradCalculator(model, class_index="argmax")
    probabilities = {"the network alone": scores.compute(x_test, **how)[0]}
    statistics: dict[str, dict[str, np.ndarray]] = {"mean": {}, "std": {}, "snr": {}}
    for name, posterior in posteriors.items():
        drawn = scores.compute(x_test, **posterior, **how)
        probabilities[name] = scores.aggregate(drawn)
        samples = explain.compute(x_test, **posterior, **how)
        for statistic, of_posteriors in statistics.items():
            of_posteriors[name] = explain.aggregate(samples, statistic=statistic)
    report(probabilities, statistics["snr"], statistics["std"], t_test)
    paths = [args.out / "posteriors.png", args.out / "pixels.png"]
    predicted = probabilities["the network alone"].argmax(axis=1)
    draw(statistics["mean"], statistics["std"], x_test, t_test, predicted, paths[0])
    draw_pixels(statistics["mean"], statistics["std"], paths[1])
    print("\nPictures:", *paths, sep="\n  ")


if __name__ == "__main__":
    main()

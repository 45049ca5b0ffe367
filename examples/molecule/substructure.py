"""Does the network look at the pyridine ring when it says that there is one?

The experiment of Akita et al. (2018), "BayesGrad: explaining predictions of graph
convolutional networks", arXiv:1807.01985, section 4.1: trains a graph network on few
molecules to tell whether a molecule contains pyridine, explains test molecules that
do, and measures how well the scores tell the atoms of the ring from the others. This
is repeated with other molecules and other first weights, and the methods are compared
run by run.

    python examples/molecule/substructure.py                      # RDKit's NCI file
    python examples/molecule/substructure.py --data tox21.csv.gz  # as in the paper
    python examples/molecule/substructure.py --n-train 200 --run 2 --M 5  # a short one
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from methods import atom_scores
from molecules import (
    N_ELEMENT,
    Graph,
    from_smiles,
    is_in_match,
    nci_molecules,
    need_drawing,
    read_column,
    to_graph,
)
from rdkit import Chem
from scipy.stats import ttest_rel
from sklearn.metrics import precision_recall_curve, roc_auc_score
from sklearn.model_selection import train_test_split
from training import predict, train

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    GaussianNoiseSampler,
    GradientCalculator,
    MolVisualizer,
    VariableMonitorLinkHook,
)
from saliency.command_line import Parser, as_file, as_ratio, at_least
from saliency.metrics import LocalisationAUC
from saliency.models.ggnn import GGNN

import chainer
import chainer.functions as F

PYRIDINE = Chem.MolFromSmarts("c1ccncc1")
#: For each method, what ``compute_aggregate`` is called with; M if there are samples.
METHODS: dict[str, dict[str, Any]] = {
    "VanillaGrad": {},
    "SmoothGrad": {"noise_sampler": GaussianNoiseSampler()},
    "BayesGrad": {"train": True},
    "BayesSmoothGrad": {"train": True, "noise_sampler": GaussianNoiseSampler()},
}
RECALL = np.linspace(0, 1, 101)  # where precision is averaged over runs
#: How each method's curve is drawn: colours of Okabe and Ito (2008), "Color universal
#: design", which differ in lightness as well, and a dash of its own.
LINES = {
    "VanillaGrad": ("#000000", "-"),
    "SmoothGrad": ("#e69f00", "--"),
    "BayesGrad": ("#0072b2", "-"),
    "BayesSmoothGrad": ("#56b4e9", "-."),
}


class Molecules(NamedTuple):
    """Molecules, and in each which atoms are in a pyridine ring."""

    mols: Sequence[Chem.Mol]
    graphs: Sequence[Graph]
    is_in_ring: Sequence[np.ndarray]

    @property
    def t(self) -> np.ndarray:
        """Whether each has one, int32."""
        return np.array([mask.any() for mask in self.is_in_ring], np.int32)


class Run(NamedTuple):
    """What came out of one training."""

    roc_auc: float
    precision: dict[str, np.ndarray]  # at RECALL, for each method
    prc_auc: dict[str, float]
    scores: dict[str, list[np.ndarray]]
    explained: np.ndarray  # indices of the molecules that have these scores


def load(data: Path | None) -> Molecules:
    mols = (
        nci_molecules() if data is None else from_smiles(read_column(data, "smiles"))[1]
    )
    masks = [is_in_match(mol, PYRIDINE) for mol in mols]
    print(f"{sum(mask.any() for mask in masks)} of them contain pyridine\n")
    return Molecules(mols, [to_graph(mol) for mol in mols], masks)


def run_once(
    molecules: Molecules, n_train: int, seed: int, args: argparse.Namespace
) -> Run:
    """Train on some molecules, explain others, compare with the truth."""
    np.random.seed(seed)  # Chainer draws its first weights from the global state
    t = molecules.t
    of_train, of_test = train_test_split(
        np.arange(len(t)), train_size=n_train, stratify=t, random_state=seed
    )
    model = train(
        GGNN(n_kind=N_ELEMENT, n_unit=32, dropout=args.dropout),
        [(*molecules.graphs[i], t[i : i + 1]) for i in of_train],
        F.sigmoid_cross_entropy,
        (args.iteration, "iteration"),
        args.out / f"n{n_train}_seed{seed}",
        args.device,
    )
    tested = of_test[:1000]
    y = predict(model, [molecules.graphs[i] for i in tested])[:, 0]
    explained = of_test[t[of_test] == 1][: args.n_explain]
    scores = explain(model, [molecules.graphs[i] for i in explained], args.M, seed)
    truth = np.concatenate([molecules.is_in_ring[i] for i in explained])
    precision, prc_auc = {}, {}
    for name, of_molecules in scores.items():
        # Each molecule on a scale of its own: what counts is where in it one looks.
        found = np.concatenate([s / s.max() for s in of_molecules])
        precision[name], prc_auc[name] = precision_recall(truth, found)
    return Run(roc_auc_score(t[tested], y), precision, prc_auc, scores, explained)


def explain(
    model: chainer.Chain, graphs: Sequence[Graph], M: int, seed: int
) -> dict[str, list[np.ndarray]]:
    """Return for each method the squared gradient at each atom's embedding."""
    calculator = GradientCalculator(
        model, target_extractor=VariableMonitorLinkHook(model.embed)
    )
    return {
        name: atom_scores(
            calculator,
            graphs,
            M if settings else 1,
            "square",
            seed=seed,
            show_progress=False,
            **settings,
        )
        for name, settings in METHODS.items()
    }


def precision_recall(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the precision at :data:`RECALL`, and the area under the curve.

    The precision is the highest that can be had at a recall of at least that. The area
    is the average precision, which takes no advantage of that.
    """
    precision, recall, _ = precision_recall_curve(truth, found)
    highest = np.array([precision[recall >= r].max() for r in RECALL])
    of_all = LocalisationAUC(truth, curve="precision_recall")  # as of one molecule
    return highest, of_all.compute(found[None]).mean


def print_runs(runs: Sequence[Run], n_train: int) -> None:
    """Print the area of each method, and its difference from VanillaGrad's.

    The spread is the standard deviation over runs; the interval is that of the mean
    difference in the same run (Student's t).
    """
    areas = {name: np.array([run.prc_auc[name] for run in runs]) for name in METHODS}
    vanilla = areas["VanillaGrad"]
    roc = np.array([run.roc_auc for run in runs])
    print(
        f"\n{n_train} training molecules, {len(runs)} runs; ROC-AUC of the networks "
        f"{roc.mean():.3f} (standard deviation {roc.std(ddof=1):.3f})"
    )
    print(
        "\n| method | PRC-AUC | standard deviation | above VanillaGrad | 95 % | runs |"
    )
    print("|---|---|---|---|---|---|")
    for name, of_runs in areas.items():
        row = f"| {name} | {of_runs.mean():.3f} | {of_runs.std(ddof=1):.3f} |"
        if name == "VanillaGrad":
            print(f"{row} | | |")
            continue
        low, high = ttest_rel(of_runs, vanilla).confidence_interval(0.95)
        print(
            f"{row} {(of_runs - vanilla).mean():+.3f} | {low:+.3f} to {high:+.3f} | "
            f"{(of_runs > vanilla).sum()} of {len(runs)} |"
        )


def draw_curves(of_sizes: dict[int, list[Run]], chance: float, path: Path) -> None:
    """Draw the mean precision over runs at each recall, with standard deviations."""
    figure = Figure(figsize=(5.2 * len(of_sizes), 4.4), layout="constrained")
    all_axes = figure.subplots(1, len(of_sizes), sharey=True, squeeze=False)[0]
    for ax, (n_train, runs) in zip(all_axes, of_sizes.items()):
        for k, name in enumerate(METHODS):
            curves = np.array([run.precision[name] for run in runs])
            area = np.mean([run.prc_auc[name] for run in runs])
            color, dash = LINES[name]
            ax.errorbar(
                RECALL[1:],
                curves.mean(axis=0)[1:],
                curves.std(axis=0, ddof=1)[1:],
                color=color,
                linestyle=dash,
                errorevery=(3 + 3 * k, 12),
                capsize=2,
                elinewidth=1,
                label=f"{name} ({area:.3f})",
            )
        ax.axhline(chance, color="0.6", linestyle=":", label=f"chance ({chance:.3f})")
        ax.set(
            title=f"{n_train} training molecules, {len(runs)} runs",
            xlabel="recall of the atoms of the ring",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        ax.legend(title="method (area)", fontsize=9)
    all_axes[0].set_ylabel("precision")
    figure.savefig(path, dpi=120)


def draw_molecules(molecules: Molecules, run: Run, path: Path) -> None:
    """Draw the truth and the scores of some molecules, each on a scale of its own."""
    sizes = np.array([molecules.mols[i].GetNumAtoms() for i in run.explained])
    shown = np.flatnonzero((sizes >= 10) & (sizes <= 20))[:4]
    truth = [molecules.is_in_ring[i].astype(float) for i in run.explained]
    columns = {"pyridine": truth, **run.scores}
    MolVisualizer().visualize_grid(
        {name: [of[i] for i in shown] for name, of in columns.items()},
        [molecules.mols[i] for i in run.explained[shown]],
        path,
        scale="separate",
        title="Squared gradients of a network that looks for pyridine",
    )


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--data", type=as_file, help="tox21.csv.gz; else RDKit's NCI molecules")
    sizes = [200, 1000]
    add(
        "--n-train",
        type=at_least(2),
        nargs="+",
        default=sizes,
        help="molecules to train on",
    )
    add("--run", type=at_least(2), default=10, help="number of runs")
    add("--iteration", type=at_least(1), default=1000, help="updates of each training")
    add("--dropout", type=as_ratio, default=0.3, help="ratio of dropout")
    add("--n-explain", type=at_least(1), default=100, help="molecules to explain")
    add("--M", type=at_least(1), default=20, help="samples of Smooth/BayesGrad")
    parser.add_common_arguments(
        "results/substructure", seed_help="seed of the first run"
    )
    args = parser.parse_args()
    need_drawing()
    args.out.mkdir(parents=True, exist_ok=True)

    molecules = load(args.data)
    of_sizes = {}
    for n_train in args.n_train:
        seeds = range(args.seed, args.seed + args.run)
        runs = [run_once(molecules, n_train, seed, args) for seed in seeds]
        print_runs(runs, n_train)
        of_sizes[n_train] = runs
    with_ring = [mask for mask in molecules.is_in_ring if mask.any()]
    chance = np.concatenate(with_ring).mean()
    draw_curves(of_sizes, chance, args.out / "precision_recall.png")
    draw_molecules(molecules, runs[-1], args.out / "molecules.png")
    print(f"\nPictures in {args.out}/:")
    for name in ("precision_recall.png", "molecules.png"):
        print(f"  {args.out / name}")


if __name__ == "__main__":
    main()

"""Which atoms push logP up or down? Here the truth is known.

A graph network predicts Crippen's logP, which is a sum of contributions of the atoms,
for molecules of the NCI file that comes with RDKit. The script explains molecules that
the network was not trained on by several methods, and compares each atom's score with
its true contribution: Spearman's rank correlation within each molecule, averaged.

    python examples/molecule/logp.py                        # all 490 test molecules
    python examples/molecule/logp.py --n-explain 100 --M 8  # some of them
    python examples/molecule/logp.py --slow                 # Shapley, LIME, ...
    python examples/molecule/logp.py --train --network nfp --split scaffold

The network that comes along (train_logp.py made it) is explained, or with --train one
that is trained first. Nothing is downloaded. The network sees of an atom its element,
how many hydrogens it has, and its bonds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from logp_network import (
    NETWORKS,
    Molecules,
    load_molecules,
    load_network,
    load_record,
    predict_test,
    r2_of,
    train_network,
)
from methods import (
    atom_embeddings,
    atom_scores,
    signed_calculators,
    slow_calculators,
)
from molecules import Graph, need_drawing

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import MolVisualizer
from saliency.command_line import Parser, at_least
from saliency.metrics import TruthCorrelation
from saliency.metrics.truths.molecules import padded

import chainer

#: What --network, --split and --epoch are by default.
TRAINING = {"network": "ggnn", "split": "random", "epoch": 30}
UNCERTAIN = "BayesGrad x input"  # atoms that its samples do not agree on are grey
DRAWN = ("IntegratedGradients", "Occlusion", "LRP (gamma)", UNCERTAIN)


def explain(
    model: chainer.Chain,
    graphs: Sequence[Graph],
    background: np.ndarray,
    M: int,
    seed: int,
    with_slow: bool,
) -> dict[str, list[np.ndarray]]:
    """Return for each method the scores of the atoms of each molecule."""
    calculators = signed_calculators(model, background.mean(axis=0))
    if with_slow:
        calculators.update(slow_calculators(model, background))
    scores = {}
    for name, (calculator, wants_samples) in calculators.items():
        start = time.perf_counter()
        n_sample = M if wants_samples else 1
        scores[name] = atom_scores(calculator, graphs, n_sample, seed=seed)
        print(f"{name}: {time.perf_counter() - start:.0f} s")
    rng = np.random.default_rng(seed)
    scores["random"] = [rng.standard_normal(len(atoms)) for atoms, *_ in graphs]
    return scores


def rank_correlations(
    scores: Sequence[np.ndarray], truth: Sequence[np.ndarray]
) -> np.ndarray:
    """Return Spearman's correlation in each molecule that it is defined for.

    Those whose atoms all contribute the same have no order that could be found. Equal
    scores find none, and count as 0.
    """
    pairs = [(s, t) for s, t in zip(scores, truth) if np.ptp(t) > 1e-9]
    found, true = (padded(column) for column in zip(*pairs))
    return TruthCorrelation(true).compute(found).values


def print_table(
    scores: dict[str, list[np.ndarray]], truth: Sequence[np.ndarray]
) -> None:
    print("\n| method | mean Spearman | its standard error | molecules above 0.5 |")
    print("|---|---|---|---|")
    for name, of_molecules in scores.items():
        rho = rank_correlations(of_molecules, truth)
        error = rho.std(ddof=1) / np.sqrt(len(rho))
        print(f"| {name} | {rho.mean():.3f} | {error:.3f} | {(rho > 0.5).mean():.0%} |")
    print(f"({len(rho)} molecules)")


def drawn_molecules(truth: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Return the indices of the first molecules of legible size, with both signs."""
    fits = [10 <= len(t) <= 18 and t.min() < -0.3 and t.max() > 0.3 for t in truth]
    return np.flatnonzero(fits)[:n]


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line, which are checked first."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--n-explain", type=at_least(2), help="test molecules to explain; else all")
    add("--M", type=at_least(1), default=30, help="samples of Smooth/BayesGrad")
    add(
        "--slow",
        action="store_true",
        help="also Shapley values, LIME and Expected Gradients: minutes",
    )
    parser.add_common_arguments("results/logp")
    training = parser.add_argument_group("a network of your own")
    training.add_argument(
        "--train",
        action="store_true",
        help="train a network instead of taking the one that comes along",
    )
    options: dict[str, dict[str, Any]] = {
        "network": {"choices": NETWORKS, "help": "network to train"},
        "split": {"choices": ("random", "scaffold"), "help": "of the molecules"},
        "epoch": {"type": at_least(1), "help": "largest number of epochs"},
    }
    for name, option in options.items():
        option["help"] += f" (default: {TRAINING[name]})"
        training.add_argument(f"--{name}", **option)
    args = parser.parse_args()
    for name, default in TRAINING.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
        elif not args.train:
            parser.error(f"--{name} is for a network that is trained: add --train")
    return args


def network_and_molecules(
    args: argparse.Namespace,
) -> tuple[chainer.Chain, Molecules]:
    """Return the network that is explained, with the molecules in the same split."""
    if args.train:
        molecules = load_molecules(args.split, args.seed)
        model = train_network(
            args.network, molecules, args.epoch, args.seed, args.device, args.out
        )
        return model, molecules
    record = load_record()
    molecules = load_molecules(record["split"], record["seed"])
    n_then = sum(record[f"n_{part}"] for part in ("train", "validation", "test"))
    if len(molecules.mols) != n_then:
        print(
            f"RDKit reads {len(molecules.mols)} molecules here, and {n_then} where the "
            "network was trained. So the split is another one, and the network knows "
            "some of the molecules that it is tested on; --train trains one that does "
            "not."
        )
    model = load_network()
    model.to_device(args.device)
    return model, molecules


def main() -> None:
    args = arguments()
    need_drawing()
    args.out.mkdir(parents=True, exist_ok=True)

    model, molecules = network_and_molecules(args)
    mols, graphs, truth = molecules.mols, molecules.graphs, molecules.truth
    predicted = predict_test(model, molecules)
    print(
        f"\ntest R2: {r2_of(predicted, molecules):.3f} "
        f"({len(molecules.test)} molecules, {args.split} split)\n"
    )

    explained = molecules.test[: args.n_explain]
    seen = np.concatenate([molecules.training, molecules.validation])
    background = atom_embeddings(model, [graphs[i] for i in seen])
    of_explained = [graphs[i] for i in explained]
    true_scores = [truth[i] for i in explained]
    scores = explain(model, of_explained, background, args.M, args.seed, args.slow)
    print_table(scores, true_scores)

    shown = drawn_molecules(true_scores, 4)
    spread = atom_scores(
        signed_calculators(model, background.mean(axis=0))[UNCERTAIN][0],
        [of_explained[i] for i in shown],
        max(2, args.M),
        statistic="std",
        seed=args.seed,
        show_progress=False,
    )
    columns = {"truth": true_scores, **{name: scores[name] for name in DRAWN}}
    titles = [
        f"logP {true_scores[i].sum():.2f}\npredicted {predicted[i]:.2f}" for i in shown
    ]
    path = args.out / "grid.png"
    MolVisualizer().visualize_grid(
        {name: [of[i] for i in shown] for name, of in columns.items()},
        [mols[i] for i in explained[shown]],
        path,
        errors={UNCERTAIN: spread},
        scale="column",
        percentile=95,
        row_titles=titles,
        show_colorbar=True,
        key_labels=("lowers logP", "raises logP"),
        title="What each atom contributes to logP",
    )
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    main()

"""Which atoms push logP up or down? Here the truth is known.

Trains a graph network on the molecules of the NCI file that comes with RDKit to
predict Crippen's logP, which is a sum of contributions of the atoms. It then explains
molecules of a test set by several methods, and compares each atom's score with its
true contribution: Spearman's rank correlation within each molecule, averaged.

    python examples/molecule/logp.py                      # the full setting
    python examples/molecule/logp.py --epoch 5 --n-explain 100 --M 8      # a short one

Nothing is downloaded. The network sees of an atom its element, how many hydrogens it
has, and its bonds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ggnn import GGNN
from methods import atom_scores, mean_embedding, signed_calculators
from molecules import (
    N_UNITED_ATOM,
    Graph,
    logp_contributions,
    nci_molecules,
    need_drawing,
    split,
    to_graph,
)
from nfp import NFP
from scipy.stats import spearmanr
from sklearn.metrics import r2_score
from training import predict, train

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import MolVisualizer

import chainer
import chainer.functions as F

NETWORKS = {"ggnn": GGNN, "nfp": NFP}
UNCERTAIN = "BayesGrad x input"  # atoms that its samples do not agree on are grey
DRAWN = ("IntegratedGradients", "Occlusion", "LRP (gamma)", UNCERTAIN)


def explain(
    model: chainer.Chain,
    graphs: Sequence[Graph],
    baseline: np.ndarray,
    M: int,
    seed: int,
) -> dict[str, list[np.ndarray]]:
    """Return for each method the scores of the atoms of each molecule."""
    scores = {}
    for name, (calculator, wants_samples) in signed_calculators(
        model, baseline
    ).items():
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
    return np.array(
        [
            spearmanr(s, t)[0] if np.ptp(s) > 0 else 0.0
            for s, t in zip(scores, truth)
            if np.ptp(t) > 1e-9
        ]
    )


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="ggnn")
    parser.add_argument("--split", choices=("random", "scaffold"), default="random")
    parser.add_argument("--epoch", type=int, default=30)
    parser.add_argument("--n-explain", type=int, help="default: the whole test set")
    parser.add_argument("--M", type=int, default=30, help="samples of Smooth/BayesGrad")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="@numpy", help="'@cupy:0' for a GPU")
    parser.add_argument("--out", type=Path, default=Path("results/logp"))
    args = parser.parse_args()
    need_drawing()
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)  # Chainer draws its first weights from the global state

    mols = nci_molecules()
    graphs = [to_graph(mol, count_hydrogens=True) for mol in mols]
    truth = [logp_contributions(mol) for mol in mols]
    examples = [
        (*graph, np.array([of_atoms.sum()], np.float32))
        for graph, of_atoms in zip(graphs, truth)
    ]
    rest, test = split(mols, args.split, 0.1, args.seed)
    of_rest, of_validation = split([mols[i] for i in rest], args.split, 0.1, args.seed)
    model = train(
        NETWORKS[args.network](n_kind=N_UNITED_ATOM, dropout=0.1),
        [examples[i] for i in rest[of_rest]],
        F.mean_squared_error,
        (args.epoch, "epoch"),
        args.out,
        args.device,
        [examples[i] for i in rest[of_validation]],
    )
    predicted = predict(model, [graphs[i] for i in test])[:, 0]
    r2 = r2_score([examples[i][2][0] for i in test], predicted)
    print(f"\ntest R2: {r2:.3f} ({len(test)} molecules, {args.split} split)\n")

    explained = test[: args.n_explain]
    baseline = mean_embedding(model, [graphs[i] for i in rest])
    of_explained = [graphs[i] for i in explained]
    true_scores = [truth[i] for i in explained]
    scores = explain(model, of_explained, baseline, args.M, args.seed)
    print_table(scores, true_scores)

    shown = drawn_molecules(true_scores, 4)
    spread = atom_scores(
        signed_calculators(model, baseline)[UNCERTAIN][0],
        [of_explained[i] for i in shown],
        max(2, args.M),
        statistic="std",
        seed=args.seed,
        show_progress=False,
    )
    columns = {"truth": true_scores, **{name: scores[name] for name in DRAWN}}
    legends = {
        "truth": [f"logP {true_scores[i].sum():.2f}" for i in shown],
        DRAWN[0]: [f"predicted {predicted[i]:.2f}" for i in shown],
    }
    path = args.out / "grid.png"
    MolVisualizer().visualize_grid(
        {name: [of[i] for i in shown] for name, of in columns.items()},
        [mols[i] for i in explained[shown]],
        path,
        legends=legends,
        errors={UNCERTAIN: spread},
        scale="column",
        title="Contributions to logP; grey: within a standard deviation from 0",
        show_colorbar=True,
    )
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    main()

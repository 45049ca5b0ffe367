"""Which groups make a molecule dissolve in water?

Trains a graph network on the ESOL data, with cross-validation, and explains every
molecule by Integrated Gradients of the network that has not seen it. Prints the root
mean square error of the folds, and what OH groups and alkyl chains contribute on
average.

    python examples/molecule/solubility.py --data delaney-processed.csv
    python examples/molecule/solubility.py           # downloads the data, once

Delaney (2004), "ESOL: estimating aqueous solubility directly from molecular
structure", J. Chem. Inf. Comput. Sci. 44(3): the logarithm of the solubility in mol/l
of 1,128 molecules.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from methods import atom_scores
from molecules import (
    N_UNITED_ATOM,
    from_smiles,
    is_in_match,
    need_drawing,
    read_column,
    split,
    to_graph,
)
from rdkit import Chem
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import KFold
from training import predict, train

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    IntegratedGradientsCalculator,
    SmilesVisualizer,
    VariableMonitorLinkHook,
)
from saliency.command_line import Parser, as_file, at_least
from saliency.download import download
from saliency.models.ggnn import GGNN

import chainer
import chainer.functions as F

URL = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/delaney-processed.csv"
CHECKSUM = "sha256:8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189"
COLUMN = "measured log solubility in mols per litre"

#: SMARTS of the atoms whose contributions are compared.
GROUPS = {
    "O of OH groups": "[OX2H]",
    "C of alkyl chains": "[CX4;!R;!$(C~[!#6])]",
}
N_DRAWN = 12


def find_data(data: Path | None, url: str = URL, checksum: str = CHECKSUM) -> Path:
    """Return the path of the data: that given, or in Chainer's folder of data sets."""
    if data is not None:
        return data
    folder = chainer.dataset.get_dataset_directory("saliency/molecules", False)
    try:
        return download(url, Path(folder) / "delaney-processed.csv", checksum)
    except OSError as error:
        raise SystemExit(f"{error}, or name it with --data") from None


def explain(
    model: GGNN, graphs: Sequence[Any], steps: int, seed: int
) -> list[np.ndarray]:
    """Return what each atom contributes to the solubility of each molecule."""

    def eval_fun(atoms: Any, adjacency: Any) -> chainer.Variable:
        return F.sum(model(atoms, adjacency))

    calculator = IntegratedGradientsCalculator(
        model,
        target_extractor=VariableMonitorLinkHook(model.embed, timing="post"),
        eval_fun=eval_fun,
        steps=steps,
    )
    return atom_scores(calculator, graphs, seed=seed)


def print_groups(mols: Sequence[Chem.Mol], scores: Sequence[np.ndarray]) -> None:
    """Print what the atoms of each group contribute, averaged over all of them."""
    print("\n| atoms | number | mean contribution | standard error | positive |")
    print("|---|---|---|---|---|")
    for name, smarts in GROUPS.items():
        pattern = Chem.MolFromSmarts(smarts)
        found = np.concatenate(
            [s[is_in_match(m, pattern)] for m, s in zip(mols, scores)]
        )
        error = found.std(ddof=1) / np.sqrt(len(found))
        print(
            f"| {name} | {len(found)} | {found.mean():+.3f} | {error:.3f} | "
            f"{(found > 0).mean():.0%} |"
        )


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--data", type=as_file, help="delaney-processed.csv; else downloaded")
    add("--fold", type=at_least(2), default=5, help="number of folds")
    add("--epoch", type=at_least(1), default=80, help="largest number of epochs")
    add("--steps", type=at_least(1), default=16, help="steps of Integrated Gradients")
    parser.add_common_arguments(out="results/solubility")
    args = parser.parse_args()
    need_drawing()
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)  # Chainer draws its first weights from the global state

    path = find_data(args.data)
    smiles, measured = read_column(path, "smiles"), read_column(path, COLUMN)
    lines, mols = from_smiles(smiles)
    smiles = [smiles[i] for i in lines]
    y = np.array([float(measured[i]) for i in lines], np.float32)
    graphs = [to_graph(mol, count_hydrogens=True) for mol in mols]
    examples = [(*graph, t) for graph, t in zip(graphs, y[:, None])]

    errors = []
    predicted = np.empty(len(mols))
    scores: list[Any] = [None] * len(mols)
    folds = KFold(args.fold, shuffle=True, random_state=args.seed)
    for fold, (rest, test) in enumerate(folds.split(mols)):
        of_rest, of_validation = split(rest, "random", 0.1, args.seed)
        model = train(
            GGNN(n_kind=N_UNITED_ATOM, dropout=0.1),
            [examples[i] for i in rest[of_rest]],
            F.mean_squared_error,
            (args.epoch, "epoch"),
            args.out / f"fold{fold}",
            args.device,
            [examples[i] for i in rest[of_validation]],
        )
        predicted[test] = predict(model, [graphs[i] for i in test])[:, 0]
        errors.append(np.sqrt(mean_squared_error(y[test], predicted[test])))
        print(f"\nfold {fold}: test RMSE {errors[-1]:.3f} ({len(test)} molecules)\n")
        of_test = explain(model, [graphs[i] for i in test], args.steps, args.seed)
        for i, of_molecule in zip(test, of_test):
            scores[i] = of_molecule
    print(
        f"\ntest RMSE over {args.fold} folds: {np.mean(errors):.3f} "
        f"(standard deviation {np.std(errors, ddof=1):.3f})"
    )
    print_groups(mols, scores)

    fits = np.flatnonzero([6 <= mol.GetNumAtoms() <= 22 for mol in mols])
    shown = fits[np.linspace(0, len(fits) - 1, N_DRAWN).astype(int)]
    picture = args.out / "molecules.png"
    SmilesVisualizer().visualize_grid(
        [scores[i] for i in shown],
        [smiles[i].strip() for i in shown],
        picture,
        legends=[f"predicted {predicted[i]:.1f}, measured {y[i]:.1f}" for i in shown],
        percentile=97,
        show_colorbar=True,
        key_labels=("less soluble", "more soluble"),
        title="What each atom adds to the logarithm of the solubility (mol/l)",
    )
    print(f"\nPicture: {picture}")


if __name__ == "__main__":
    main()

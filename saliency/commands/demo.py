"""Train a small network for iris flowers and explain it, then explain molecules.

It takes a few seconds and downloads nothing. The folder --out gets pictures, and the
files for the commands that are suggested at the end.
"""

from __future__ import annotations

import argparse
import csv
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import saliency
from saliency.command_line import as_folder_to_write, as_seed
from saliency.commands.printing import program, tell
from saliency.exclusive import seeded

#: Molecules that many know, as SMILES.
MOLECULES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "glucose": "OCC1OC(O)C(O)C(O)C1O",
    "naphthalene": "c1ccc2ccccc2c1",
}
_UPDATES = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the result goes."""
    parser.add_argument(
        "--out",
        type=as_folder_to_write,
        default="saliency-demo",
        help="folder to write into",
    )
    parser.add_argument(
        "--seed", type=as_seed, default=0, help="seed of all random numbers"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def iris_network() -> Any:
    """Return the network of the demo, untrained: from four measures to three scores."""
    import chainer
    import chainer.functions as F
    import chainer.links as L

    return chainer.Sequential(
        L.Linear(4, 48), F.relu, F.dropout, L.Linear(48, 48), F.relu, L.Linear(48, 3)
    )


def run(args: argparse.Namespace) -> None:
    """Explain flowers and molecules, and say what to try next."""
    args.out.mkdir(parents=True, exist_ok=True)
    for path in _explain_flowers(args):
        tell(args, f"written: {path}")
    flowers = words_for_flowers(args.out)
    words = [
        ["explain", *flowers, "--method", "lrp", "--out", str(args.out / "lrp")],
        ["report", *flowers, "--out", str(args.out / "flowers.html")],
    ]
    if find_spec("rdkit"):
        tell(args, f"written: {_explain_molecules(args)}")
        words.append(["explain", *words_for_molecules(args.out)])
    else:
        tell(args, "Molecules need RDKit: pip install rdkit")
    tell(args, "\nTry next:")
    tell(args, *(f"  {program()} {shlex.join(some)}" for some in words))


def words_for_flowers(out: Path) -> list[str]:
    """Return what to type after a command to explain the flowers again."""
    return [
        *(str(out / "iris.csv"), "--model", f"{__name__}:iris_network"),
        *("--weights", str(out / "iris.npz"), "--classes", str(out / "species.txt")),
        *("--class", "virginica"),
    ]


def words_for_molecules(out: Path) -> list[str]:
    """Return what to type after ``explain`` to explain another molecule."""
    smiles = "CC12CCC3c4ccc(O)cc4CCC3C1CCC2O"
    return [smiles, "--model", "logp-ggnn", "--out", str(out / "estradiol")]


def _explain_flowers(args: argparse.Namespace) -> Iterator[Path]:
    """Train a network, explain it, and yield the files that are written."""
    try:
        from sklearn.datasets import load_iris
    except ImportError:
        raise ImportError(
            "the demo needs scikit-learn, which has the data: pip install scikit-learn"
        ) from None
    iris = load_iris()
    x, t = iris.data.astype(np.float32), iris.target.astype(np.int32)
    model = _trained(x, t, args.seed)
    yield from _save(args.out, model, iris, x)
    explanation = saliency.IntegratedGradientsCalculator(
        model, class_index="argmax", baseline="mean", method="adaptive"
    ).explain(
        x,
        feature_names=iris.feature_names,
        class_names=iris.target_names,
        batchsize=256,
        show_progress=False,
    )
    assert explanation.classes is not None  # those that are predicted
    share = (explanation.classes == t).mean()
    tell(args, f"The network recognizes {share:.0%} of 150 flowers.")
    for kind in ("beeswarm", "bar"):
        path = args.out / f"{kind}.png"
        explanation.plot(kind, save_filepath=path)
        yield path
    path = args.out / "waterfall.png"
    explanation[100].plot("waterfall", save_filepath=path)
    yield path


def _trained(x: np.ndarray, t: np.ndarray, seed: int) -> Any:
    """Return the network of the demo, trained, and leave the random state as it was."""
    import chainer
    import chainer.functions as F

    with seeded(seed):
        model = iris_network()
        optimizer = chainer.optimizers.Adam(alpha=0.01).setup(model)
        for _ in range(_UPDATES):
            optimizer.update(lambda: F.softmax_cross_entropy(model(x), t))
    return model


def _save(out: Path, model: Any, iris: Any, x: np.ndarray) -> Iterator[Path]:
    """Write the table, the weights and the names of the classes; yield the paths."""
    import chainer

    path = out / "iris.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(iris.feature_names)
        rows.writerows(x.tolist())
    yield path
    path = out / "iris.npz"
    chainer.serializers.save_npz(path, model)
    yield path
    path = out / "species.txt"
    path.write_text("\n".join(iris.target_names) + "\n", encoding="utf-8")
    yield path


def _explain_molecules(args: argparse.Namespace) -> Path:
    """Explain the logP of molecules, and return the picture's path."""
    model = saliency.load_logp_network()
    explanation = saliency.IntegratedGradientsCalculator(
        model, target_extractor=saliency.VariableMonitorLinkHook(model.embed)
    ).explain(
        [model.prepare(smiles) for smiles in MOLECULES.values()],
        converter=model.converter,
        ch_axis=3,
        molecules=list(MOLECULES.values()),
        show_progress=False,
    )
    assert explanation.scores is not None  # the logP that the network predicts
    legends = [f"{n}, logP {s:.2f}" for n, s in zip(MOLECULES, explanation.scores)]
    path: Path = args.out / "molecules.png"
    explanation.plot(
        save_filepath=path,
        title="What each atom adds to logP",
        legends=legends,
        key_labels=("lowers logP", "raises logP"),
    )
    return path

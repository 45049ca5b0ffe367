"""Trains the small network for logP that the molecule examples come with.

    python examples/molecule/train_logp.py --out results/logp_ggnn

The molecules are those of the NCI file that comes with RDKit; nothing is downloaded.
The weights go to ``--out``, with a record of how they were made and of what they reach
on molecules that were held out.
"""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from datetime import date
from importlib.metadata import version

import numpy as np
from logp_network import (
    RECORD,
    WEIGHTS,
    load_molecules,
    predict_test,
    r2_of,
    train_network,
)

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency.command_line import Parser, at_least

import chainer

SCRIPT = "examples/molecule/train_logp.py"
PACKAGES = ("chainer", "numpy", "rdkit", "scikit-learn")


def main() -> None:
    parser = Parser(__doc__)
    epochs = "largest number of epochs"
    parser.add_argument("--epoch", type=at_least(1), default=80, help=epochs)
    parser.add_common_arguments("results/logp_ggnn")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    molecules = load_molecules("random", args.seed)
    start = time.perf_counter()
    model = train_network(
        "ggnn", molecules, args.epoch, args.seed, args.device, args.out
    )
    model.to_device("@numpy")
    minutes = (time.perf_counter() - start) / 60
    weights = args.out / WEIGHTS.name
    chainer.serializers.save_npz(weights, model)
    truth = np.array([molecules.truth[i].sum() for i in molecules.test])
    predicted = predict_test(model, molecules)
    record = {
        "script": SCRIPT,
        "command": shlex.join(
            ["python", "examples/molecule/train_logp.py", *sys.argv[1:]]
        ),
        "date": date.today().isoformat(),
        "test_r2": round(r2_of(predicted, molecules), 4),
        "test_rmse": round(float(np.sqrt(np.mean((predicted - truth) ** 2))), 4),
        "split": "random",
        "n_train": len(molecules.training),
        "n_validation": len(molecules.validation),
        "n_test": len(molecules.test),
        "minutes": round(minutes, 1),
        "epoch": args.epoch,
        "seed": args.seed,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }
    (args.out / RECORD.name).write_text(json.dumps(record, indent=2) + "\n")
    print(f"\n{record}\nWeights: {weights}")


if __name__ == "__main__":
    main()

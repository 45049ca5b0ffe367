"""SmoothGrad of 10,000 images into a Zarr store, killed in the middle and restarted.

Shows what ``compute_aggregate`` promises: peak memory that does not grow with M, and a
store that is the same, byte by byte, whether or not the process that wrote it was
killed (SIGKILL, at a time drawn at random) and started again. Images are those of
CIFAR-10 where CHAINER_DATASET_ROOT has them, and random numbers otherwise.

    python benchmarks/restart.py
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from saliency import SmoothGradCalculator

import chainer
import chainer.functions as F
import chainer.links as L


class CNN(chainer.Chain):
    """Two convolutions and a linear layer, with the same parameters in each process."""

    def __init__(self) -> None:
        super().__init__()
        np.random.seed(0)
        with self.init_scope():
            self.c1 = L.Convolution2D(3, 16, 3, pad=1)
            self.c2 = L.Convolution2D(16, 16, 3, pad=1)
            self.out = L.Linear(16 * 8 * 8, 10)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.max_pooling_2d(F.relu(self.c1(x)), 2)
        return self.out(F.max_pooling_2d(F.relu(self.c2(h)), 2))


def images(n: int) -> np.ndarray:
    """Returns ``(n, 3, 32, 32)`` in float32."""
    root = os.environ.get("CHAINER_DATASET_ROOT")
    if root and any(Path(root).rglob("cifar-10*")):
        train, _ = chainer.datasets.get_cifar10(withlabel=False)
        return train[:n]
    return np.random.default_rng(0).random((n, 3, 32, 32), np.float32)


def explain(args: argparse.Namespace) -> None:
    """Does what the processes do that are started, measured and killed."""
    data = images(args.images)
    SmoothGradCalculator(CNN(), class_index="argmax").compute_aggregate(
        data,
        args.samples,
        "abs",
        ch_axis=2,
        batchsize=args.batchsize,
        seed=0,
        out=args.out,
        show_progress=False,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{peak / 1024:.1f}")


def start(n_image: int, n_sample: int, batchsize: int, out: Path | None) -> Any:
    numbers = [f"--images={n_image}", f"--samples={n_sample}"]
    command = [sys.executable, __file__, *numbers, f"--batchsize={batchsize}"]
    to = [f"--out={out}"] if out else []
    return subprocess.Popen(
        [*command, *to, "--explain"], stdout=subprocess.PIPE, text=True
    )


def peak_of(*what: Any) -> float:
    """Returns the peak memory of a process, in MiB."""
    process = start(*what)
    printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return float(printed)


def compare_memory() -> None:
    few, many = (peak_of(3, m, 16, None) for m in (10, 300))
    print("SmoothGrad of 3 images, peak memory of the process")
    print(f"  M = 10: {few:.1f} MiB, M = 300: {many:.1f} MiB, ratio {many / few:.3f}")


def files_of(store: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(store)): p.read_bytes()
        for p in store.rglob("*")
        if p.is_file()
    }


def compare_stores(args: argparse.Namespace, folder: Path) -> None:
    what = args.images, args.samples, args.batchsize
    begin = time.perf_counter()
    peak = peak_of(*what, folder / "whole.zarr")
    took = time.perf_counter() - begin
    print(f"{args.images} images, M = {args.samples}: {took:.0f} s, {peak:.0f} MiB")
    for i in range(args.kills):
        process = start(*what, folder / "killed.zarr")
        wait = random.uniform(0.1, 0.9) * took / args.kills
        time.sleep(wait)
        process.kill()
        process.wait()
        n_chunk = len(files_of(folder / "killed.zarr"))
        print(f"  kill {i + 1} after {wait:.1f} s, {n_chunk} files in the store")
    peak_of(*what, folder / "killed.zarr")
    whole, killed = (files_of(folder / f"{n}.zarr") for n in ("whole", "killed"))
    n_byte = sum(map(len, whole.values()))
    same = "the same" if whole == killed else "DIFFERENT"
    print(f"  restarted to the end: {len(whole)} files, {n_byte} bytes, {same}")
    if whole != killed:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--batchsize", type=int, default=64)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--out", help="where --explain writes")
    parser.add_argument(
        "--explain", action="store_true", help="explain, and print the peak memory"
    )
    args = parser.parse_args()
    if args.explain:
        explain(args)
        return
    compare_memory()
    folder = Path(tempfile.mkdtemp())
    try:
        compare_stores(args, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

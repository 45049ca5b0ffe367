"""Random calls with random faults, against what they give when nothing happens.

python benchmarks/soak.py --minutes 10
python benchmarks/soak.py --minutes 1 --seed 3

Each case draws a call (method, samples, noise, data, batch size) and a fault:

- kill: a process that writes a store is killed, and its call made again;
- interrupt: Ctrl-C at a random moment of a call, after which nothing may be changed;
- damage: a random byte of a finished store is changed or cut off;
- full disk: a store on a file system that is too small, where one may be mounted;
- not finite: NaN or infinity in the data, a parameter, the noise or an output;
- threads: four threads make the call with one calculator.

A case is a difference if a result has other bytes than the undisturbed one, if
something is left changed, or if what had to be an error was none.
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import datetime
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
from table import RESULTS, write_section

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)

import chainer
import chainer.functions as F
import chainer.links as L

METHODS = {
    "gradient": GradientCalculator,
    "smoothgrad": SmoothGradCalculator,
    "bayesgrad": BayesGradCalculator,
    "integrated gradients": IntegratedGradientsCalculator,
    "occlusion": lambda model, **how: OcclusionCalculator(model, slide_axis=1, **how),
    "lrp": LRPCalculator,
}
QUIET: dict[str, Any] = {"show_progress": False}


class Network(chainer.Chain):
    """Has normalization, dropout, and a hidden state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.n_call = 0
        with self.init_scope():
            self.l1 = L.Linear(6, 16)
            self.norm = L.BatchNormalization(16)
            self.l2 = L.Linear(16, 3)

    def forward(self, x: Any) -> chainer.Variable:
        self.n_call += 1
        return self.l2(F.dropout(F.relu(self.norm(self.l1(x)))))


@dataclass(frozen=True)
class Call:
    """A call of ``compute_aggregate`` that can be made again in another process."""

    method: str
    n_row: int
    M: int
    batchsize: int
    seed: int
    noise: bool
    train: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Call:
        """Returns a random call."""
        return cls(
            method=str(rng.choice(list(METHODS))),
            n_row=int(rng.integers(5, 120)),
            M=int(rng.integers(1, 5)),
            batchsize=int(rng.integers(1, 40)),
            seed=int(rng.integers(1000)),
            noise=bool(rng.integers(2)),
            train=bool(rng.integers(2)),
        )

    def network(self) -> Network:
        """Returns the trained network; the same each time."""
        network = Network()
        rng = np.random.default_rng(self.seed)
        for parameter in network.params():
            parameter.array[...] = rng.normal(0, 0.4, parameter.shape)
        return network

    def data(self) -> np.ndarray:
        """Returns the data; the same each time."""
        rng = np.random.default_rng(self.seed + 1)
        return rng.normal(size=(self.n_row, 6)).astype("f")

    def settings(self) -> dict[str, Any]:
        """Returns the arguments of ``compute_aggregate`` but for the data."""
        noise = GaussianNoiseSampler() if self.noise else None
        how = {"noise_sampler": noise, "train": self.train, "seed": self.seed}
        return {"M": self.M, "batchsize": self.batchsize, **how, **QUIET}

    def run(self, network: Network | None = None, **changes: Any) -> np.ndarray:
        """Makes the call."""
        network = self.network() if network is None else network
        calculator = METHODS[self.method](network, class_index=0)
        how = {"data": self.data(), **self.settings(), **changes}
        return np.asarray(calculator.compute_aggregate(**how))


class Difference(Exception):
    """Something is not as it has to be."""


def compare(found: np.ndarray, expected: np.ndarray) -> None:
    """Raises a Difference unless two results have the same bytes."""
    if found.tobytes() != expected.tobytes():
        raise Difference(f"the largest difference is {abs(found - expected).max():g}")


def state_of(network: Network) -> tuple[Any, ...]:
    """Returns what a call must not change, as far as it can be compared."""
    return (
        [p.array.tobytes() for p in network.params()],
        network.norm.avg_mean.tobytes(),
        network.n_call,
        str(np.random.get_state()),
        dict(vars(chainer.config._local)),
        list(chainer.get_function_hooks()),
        list(chainer._get_link_hooks()),
    )


def kill(call: Call, folder: Path, rng: np.random.Generator) -> str:
    """Kills processes that write a store until one is left to finish."""
    out = folder / str(rng.choice(["x.npy", "x.zarr"]))
    expected = call.run()
    command = [sys.executable, __file__, "--call", repr(asdict(call)), "--out", out]
    n_kill = int(rng.integers(1, 4))
    for _ in range(n_kill):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it has imported all that it needs
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    compare(call.run(out=out), expected)
    return f"kill, {out.suffix}"


def interrupt(call: Call, folder: Path, rng: np.random.Generator) -> str:
    """Interrupts a call, looks at what is left, and makes it again."""
    network = call.network()
    start = time.perf_counter()
    expected = call.run(network)
    duration = time.perf_counter() - start
    before = state_of(network)

    def send() -> None:
        time.sleep(rng.uniform(0, duration))
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=send)
    name = "interrupt, too late"
    try:
        thread.start()
        call.run(network)
        thread.join()
        time.sleep(0.001)
    except KeyboardInterrupt:
        name = "interrupt"
    thread.join()
    if state_of(network) != before:
        raise Difference("an interrupt has left something changed")
    compare(call.run(network), expected)
    return name


def damage(call: Call, folder: Path, rng: np.random.Generator) -> str:
    """Damages a finished store, which has to be noticed, and repaired if asked for."""
    out = folder / str(rng.choice(["x.npy", "x.zarr"]))
    expected = call.run(out=out).copy()
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]
    files = [p for p in files if p.stat().st_size]
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content)))
    if rng.integers(2):
        content[at] ^= 1 << int(rng.integers(8))
    else:
        del content[at:]
    path.write_bytes(content)
    try:
        compare(call.run(out=out), expected)
    except (ValueError, OSError, TypeError):
        # A record that cannot be read stays an error: nothing is known without it.
        with contextlib.suppress(ValueError, OSError):
            compare(call.run(out=out, repair=True), expected)
    return f"damage, {out.suffix}"


def full_disk(call: Call, folder: Path, rng: np.random.Generator) -> str:
    """Writes a store where there is no room for it."""
    with small_disk(folder, 16) as disk:
        out = disk / str(rng.choice(["x.npy", "x.zarr"]))
        try:
            Call(**{**asdict(call), "n_row": 5000, "M": 1, "batchsize": 500}).run(
                out=out
            )
        except OSError:
            return f"full disk, {out.suffix}"
    raise Difference("a full disk was no error")


def not_finite(call: Call, folder: Path, rng: np.random.Generator) -> str:
    """Puts something that is not finite somewhere, which has to be an error."""
    network, data = call.network(), call.data()
    bad = float(rng.choice([np.nan, np.inf, -np.inf]))
    changes: dict[str, Any] = {}
    where = str(rng.choice(["data", "parameter", "persistent", "noise"]))
    if where == "data":
        data[rng.integers(len(data)), rng.integers(6)] = bad
        changes["data"] = data
    elif where == "parameter":
        parameters = list(network.params())
        array = parameters[rng.integers(len(parameters))].array
        array.flat[rng.integers(array.size)] = bad
    elif where == "persistent":
        network.norm.avg_mean[rng.integers(16)] = bad
    else:
        changes["noise_sampler"] = _Bad(bad)
    try:
        call.run(network, **changes)
    except ValueError:
        return f"not finite: {where}"
    raise Difference(f"{bad} in the {where} was no error")


class _Bad:
    def __init__(self, value: float) -> None:
        self.value = value

    def sample(self, array: np.ndarray) -> np.ndarray:
        noise = np.zeros_like(array)
        noise[0, 0] = self.value
        return noise


def threads(call: Call, folder: Path, rng: np.random.Generator) -> str:
    """Makes the call in four threads, with one network."""
    network = call.network()
    expected, found = call.run(network), []
    workers = [
        threading.Thread(target=lambda: found.append(call.run(network)))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if len(found) < len(workers):
        raise Difference("a thread failed")
    for result in found:
        compare(result, expected)
    return "threads"


@contextlib.contextmanager
def small_disk(folder: Path, n_kib: int) -> Iterator[Path]:
    """Mounts a file system of some KiB in memory.

    Raises:
        OSError: If this process may not mount any.
    """
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={n_kib}k", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        raise PermissionError("no file system may be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def can_mount() -> bool:
    """Tells whether a small file system may be mounted here."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 16):
                return True
        except OSError:
            return False


def soak(minutes: float, seed: int) -> tuple[collections.Counter[str], list[str]]:
    """Runs cases until the time is over; returns how many of each, and differences."""
    faults: list[Callable[[Call, Path, np.random.Generator], str]]
    faults = [kill, interrupt, damage, not_finite, threads]
    faults += [full_disk] if can_mount() else []
    counts: collections.Counter[str] = collections.Counter()
    differences = []
    end = time.monotonic() + 60 * minutes
    case = 0
    while time.monotonic() < end:
        rng = np.random.default_rng((seed, case))
        call, fault = Call.draw(rng), faults[case % len(faults)]
        folder = Path(tempfile.mkdtemp())
        try:
            counts[fault(call, folder, rng)] += 1
        except Difference as difference:
            counts[fault.__name__] += 1
            differences.append(f"case {case}, {fault.__name__}, {call}: {difference}")
            print(differences[-1], flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        case += 1
    return counts, differences


def table(counts: collections.Counter[str], differences: list[str], args: Any) -> str:
    """Returns the results as Markdown."""
    rows = "\n".join(f"| {name} | {n} |" for name, n in sorted(counts.items()))
    mounted = (
        ""
        if any("full" in name for name in counts)
        else (" No file system could be mounted, so there is no full disk.")
    )
    return (
        "## Random calls with random faults\n\n"
        f"`benchmarks/soak.py --minutes {args.minutes:g} --seed {args.seed}`, "
        f"{datetime.date.today()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}. {sum(counts.values())} cases, "
        f"{len(differences)} differences.{mounted}\n\n"
        f"| fault | cases |\n|---|---|\n{rows}\n"
    )


def main() -> int:
    """Runs the soak, or one call of it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--call", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    args = parser.parse_args()
    # Equal samples, outputs of several columns and the like are no faults here.
    warnings.simplefilter("ignore", UserWarning)
    warnings.simplefilter("ignore", RuntimeWarning)
    # Ignored where a shell has started this in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if args.call:
        print("ready", flush=True)
        Call(**ast.literal_eval(args.call)).run(out=args.out)
        return 0
    counts, differences = soak(args.minutes, args.seed)
    text = table(counts, differences, args)
    print(text)
    write_section(RESULTS, "soak", text)
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())

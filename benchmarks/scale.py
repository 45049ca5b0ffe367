"""Growing data through ``compute_aggregate(out="x.zarr")``: what a row costs.

    python benchmarks/scale.py
    python benchmarks/scale.py --rows 100000 --images 3000 --minutes 3

A table and images of CIFAR's size are explained, of growing sizes, as far as the
minutes go. Each call runs in a process of its own, in three ways by turns:

- one: in one process, which has as many threads as there are workers;
- workers: with ``workers=``, so that processes are started in the call, and stopped;
- client: on a cluster that ``LocalCluster`` has started before, with as many workers
  of one thread.

What a row costs is CPU time of all processes, less that of a call with few rows;
beside other work it is a measure as long as that leaves the caches alone. For the
figures of Dask, let nothing else run: what workers are given at a time takes seconds of
a clock, so that it is less on a busy machine, and Dask's own work goes on as long as a
call lasts. Data comes from a file that is mapped into memory. Memory is what a process
has of its own, without the pages of files that it maps, at its highest.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable
from unittest import mock

import numpy as np
from restart import CNN
from table import RESULTS, hardware, versions, write_section

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import GradientCalculator, SmoothGradCalculator

import chainer
import chainer.functions as F
import chainer.links as L

WAYS = ("one", "workers", "client")
#: Rows of the call whose cost is taken from that of others: each worker has some.
FEW = 1_000
FIRST = 10_000


class MLP(chainer.Chain):
    """A network for a table, with the same parameters in each process."""

    def __init__(self) -> None:
        super().__init__()
        np.random.seed(0)
        with self.init_scope():
            self.l1 = L.Linear(8, 64)
            self.l2 = L.Linear(64, 64)
            self.l3 = L.Linear(64, 3)

    def forward(self, x: Any) -> chainer.Variable:
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is explained.

    Attributes:
        name (str): What the table calls it.
        shape (tuple of int): Of an example.
        calculator (callable): Makes the calculator.
        how (dict): Arguments of ``compute_aggregate``.
    """

    name: str
    shape: tuple[int, ...]
    calculator: Callable[[], Any]
    how: dict[str, Any]


SUBJECTS = {
    "rows": Subject(
        "table of 8 features, SmoothGrad, M = 10",
        (8,),
        lambda: SmoothGradCalculator(MLP(), class_index="argmax"),
        {"M": 10},
    ),
    "images": Subject(
        "images of 3 x 32 x 32, VanillaGrad",
        (3, 32, 32),
        lambda: GradientCalculator(CNN(), class_index="argmax"),
        {"method": "abs", "ch_axis": 2},
    ),
}


@dataclasses.dataclass
class Measured:
    """What a call took.

    Attributes:
        cpu (float): Seconds of all processes.
        wall (float): Seconds that passed.
        driver (float): Peak memory of the process that made the call, in MB.
        workers (list of float): The same of each worker.
        steps (dict): CPU seconds of each step, where they were asked for.
    """

    cpu: float
    wall: float
    driver: float
    workers: list[float]
    steps: dict[str, float] = dataclasses.field(default_factory=dict)


# --- in the process that makes a call ---


def measure(args: argparse.Namespace) -> Measured:
    """Make a call in this process, and return what it took."""
    subject = SUBJECTS[args.subject]
    data = np.load(args.data, mmap_mode="r")[: args.n]
    calculator = subject.calculator()

    def call(workers: Any) -> None:
        how = {**subject.how, **args.how, "seed": 0, "show_progress": False}
        calculator.compute_aggregate(data, out=args.out, workers=workers, **how)

    if args.way == "client":
        with cluster(args.workers) as client:
            return measured(lambda: call(client), client)
    if args.way == "workers":
        return measured(lambda: call(args.workers))
    from threadpoolctl import threadpool_limits

    with threadpool_limits(args.workers):
        if args.way == "steps":
            return steps_of(lambda: call(None))
        return measured(lambda: call(None))


def measured(call: Callable[[], None], client: Any = None) -> Measured:
    """Return what a call took, with workers that it starts or that are there."""
    before, wall = cpu_of_all(client), time.perf_counter()
    with watched() as peaks:
        call()
    wall = time.perf_counter() - wall
    cpu = cpu_of_all(client) - before - peaks.pop("watching")
    driver = peaks.pop(os.getpid())
    return Measured(cpu, wall, driver, sorted(peaks.values()))


def cpu_of_all(client: Any) -> float:
    """Return CPU seconds of this process, those it has waited for, and the workers."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + children.ru_utime + children.ru_stime
    return total + (sum(client.run(time.process_time).values()) if client else 0)


@contextlib.contextmanager
def cluster(n_worker: int) -> Iterator[Any]:
    """Return a block with a cluster on which everything has been imported."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_worker,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=":0",
        ) as started,
        Client(started) as client,
    ):
        client.run(warm_up)
        yield client


def warm_up() -> None:
    """Import what a call needs, on a worker."""
    import zarr  # noqa: F401

    import saliency.calculator.results.cluster  # noqa: F401


@contextlib.contextmanager
def watched() -> Iterator[dict[Any, float]]:
    """Return a dict that has, after the block, the peak memory of each process in MB.

    By process, this one and its children; ``"watching"`` is what that took, in CPU
    seconds.
    """
    import psutil

    this, peaks, is_over = psutil.Process(), {}, threading.Event()

    def look() -> None:
        for process in [this, *this.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                if process is not this and is_helper(process):
                    continue
                memory = process.memory_info()
                of_its_own = (memory.rss - getattr(memory, "shared", 0)) / 1e6
                peaks[process.pid] = max(peaks.get(process.pid, 0), of_its_own)

    def watch() -> None:
        begin = time.thread_time()
        while not is_over.wait(0.5):
            look()
        peaks["watching"] = time.thread_time() - begin

    look()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        is_over.set()
        thread.join()


def is_helper(process: Any) -> bool:
    """Tell whether a process is one that multiprocessing starts beside the workers."""
    return "resource_tracker" in " ".join(process.cmdline())


class Steps:
    """CPU seconds of the steps of a call, each without those within it.

    A ``with`` block, after which nothing is watched any more.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[float] = []
        self._watched = contextlib.ExitStack()

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._watched.close()

    def watch(self, owner: Any, method: str, step: str) -> None:
        """Count what a method takes for a step."""
        original = getattr(owner, method)

        def counted(*args: Any, **kwargs: Any) -> Any:
            begin = time.process_time()
            self._open.append(0.0)
            try:
                return original(*args, **kwargs)
            finally:
                took = time.process_time() - begin
                of_this = took - self._open.pop()
                self.seconds[step] = self.seconds.get(step, 0.0) + of_this
                if self._open:
                    self._open[-1] += took

        self._watched.enter_context(mock.patch.object(owner, method, counted))


def steps_of(call: Callable[[], None]) -> Measured:
    """Return what a call in this process took, with the CPU seconds of its steps."""
    from saliency.calculator.engine.dataset import Batches
    from saliency.calculator.results import out
    from saliency.calculator.results.aggregate_work import AggregateWork
    from saliency.calculator.results.zarr_stores import ZarrFolder

    with Steps() as steps:
        steps.watch(AggregateWork, "_call", "fingerprint of call and data")
        steps.watch(Batches, "load", "gathering")
        steps.watch(AggregateWork, "_rows", "explaining")
        steps.watch(ZarrFolder, "write", "writing")
        steps.watch(ZarrFolder, "flush", "syncing")
        steps.watch(ZarrFolder, "make_room", "reserving space")
        steps.watch(ZarrFolder, "write_record", "record")
        steps.watch(out, "digest_of_rows", "digests of results")
        found = measured(call)
    steps.seconds["all else"] = found.cpu - sum(steps.seconds.values())
    return dataclasses.replace(found, steps=steps.seconds)


# --- in the process that starts the others ---

#: What each way took.
Round = dict[str, Measured]


class Bench:
    """Starts a process for each call, until the time is over.

    Args:
        args (argparse.Namespace): Of the command line.
        folder (Path): For data and results.
    """

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._args = args
        self._folder = folder
        self.lines: list[str] = []
        self.shares: list[str] = []

    def run(self, subject: str, n_most: int, seconds: float) -> None:
        """Measure a subject in growing sizes by turns, for so many seconds."""
        ways, rounds = self._args.ways, self._args.rounds
        found: dict[int, list[Round]] = {}
        start = time.monotonic()
        for n in [FEW, *sizes_up_to(n_most)]:
            before = time.monotonic()
            found[n] = [self._round(subject, n)]
            took = time.monotonic() - before
            # The next size takes three times as long, in each round.
            so_far = time.monotonic() - start
            if n > FEW and (so_far + 3 * took) * rounds > seconds:
                break
        for _ in range(rounds - 1):
            for n in found:
                found[n].append(self._round(subject, n))
        few = found.pop(FEW)
        of_first: dict[str, list[float]] = {}
        for n, of_n in found.items():
            for way in ways:
                cost = [
                    (one[way].cpu - begin[way].cpu) / (n - FEW)
                    for one, begin in zip(of_n, few)
                ]
                first = of_first.setdefault(way, cost)
                self._add(subject, n, way, cost, first, of_n)
        for way in ways:
            of_few = [begin[way] for begin in few]
            in_all = with_range([one.cpu for one in of_few], ".1f")
            wall = with_range([one.wall for one in of_few], ".1f")
            self.lines.append(
                f"| {SUBJECTS[subject].name} | {FEW:,} | {way} | in all {in_all} s | - "
                f"| {wall} | - | {memory_of(of_few)} |"
            )
        self._add_steps(subject, min(found))

    def _round(self, subject: str, n: int) -> Round:
        return {way: self._measure(subject, way, n) for way in self._args.ways}

    def _measure(self, subject: str, way: str, n: int) -> Measured:
        data = self._data(subject, n)
        out = self._folder / "out.zarr"
        arguments = [f"--subject={subject}", f"--way={way}", f"--n={n}"]
        arguments += [f"--workers={self._args.workers}", f"--data={data}"]
        if self._args.batchsize:
            arguments.append(f"--batchsize={self._args.batchsize}")
        command = [sys.executable, __file__, *arguments, f"--out={out}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        shutil.rmtree(out)
        found = Measured(**json.loads(done.stdout.splitlines()[-1]))
        print(f"{subject} {n} {way}: {found}", flush=True)
        return found

    def _data(self, subject: str, n: int) -> Path:
        """Return a file with at least so many examples."""
        path = self._folder / f"{subject}.npy"
        shape = SUBJECTS[subject].shape
        if path.exists() and len(np.load(path, mmap_mode="r")) >= n:
            return path
        data = np.lib.format.open_memmap(path, "w+", np.float32, (n, *shape))
        rng = np.random.default_rng(0)
        for start in range(0, n, 1000):
            part = data[start : start + 1000]
            part[...] = rng.standard_normal(part.shape, np.float32)
        return path

    def _add(
        self,
        subject: str,
        n: int,
        way: str,
        cost: list[float],
        first: list[float],
        rounds: list[Round],
    ) -> None:
        """Add a line to the table: medians of rounds, and ratios within each."""
        cells = [
            SUBJECTS[subject].name,
            f"{n:,}",
            way,
            with_range([1e6 * c for c in cost], ".1f") + " us",
            with_range([c / f for c, f in zip(cost, first)], ".2f"),
            with_range([one[way].wall for one in rounds], ".1f"),
            "-",
            memory_of([one[way] for one in rounds]),
        ]
        if way != "one" and "one" in self._args.ways:
            ratios = [one[way].wall / one["one"].wall for one in rounds]
            cells[6] = with_range(ratios, ".2f")
        self.lines.append(f"| {' | '.join(cells)} |")

    def _add_steps(self, subject: str, n: int) -> None:
        """Add what share of the CPU time each step has, in one process."""
        steps = self._measure(subject, "steps", n).steps
        total = sum(steps.values())
        shares = ", ".join(f"{k} {v / total:.1%}" for k, v in steps.items())
        self.shares.append(f"- {SUBJECTS[subject].name}, {n:,}: {shares}.")


def sizes_up_to(n: int) -> list[int]:
    """Return 10,000, 30,000, 100,000, ... and the last itself."""
    sizes = [FIRST * 10**k * f for k in range(8) for f in (1, 3)]
    return [size for size in sizes if size < n] + [n]


def with_range(numbers: list[float], form: str) -> str:
    """Return the median, and the smallest and the largest where there are several."""
    middle = format(statistics.median(numbers), form)
    if len(numbers) == 1:
        return middle
    return f"{middle} ({min(numbers):{form}} to {max(numbers):{form}})"


def memory_of(found: list[Measured]) -> str:
    """Return the peak memory of the driver and of the workers, in MB."""
    parts = [max(one.driver for one in found)]
    parts += [max(of_one) for of_one in zip(*(one.workers for one in found))]
    return ", ".join(f"{n:.0f}" for n in parts)


def text_of(bench: Bench, args: argparse.Namespace) -> str:
    """Return the section of the results."""
    title = (
        "what a row costs, CPU",
        "of that in the first size",
        "wall (s)",
        "of that of one process",
        "peak memory, MB",
    )
    lines = "\n".join(bench.lines)
    shares = "\n".join(bench.shares)
    return (
        "## Growing data through `compute_aggregate`\n\n"
        f"`benchmarks/scale.py {' '.join(sys.argv[1:])}`, {datetime.date.today()}; "
        f"{hardware(args.workers)}; {versions()}. Ways: `one` process with "
        f"{args.workers} threads; `workers={args.workers}`, started within the call; a "
        "`client` of as many, started before. CPU time of all processes, without what "
        f"{FEW:,} rows take (the last lines); {args.rounds} rounds, sizes and ways by "
        "turns; medians, and ratios within each round. Memory is that of the driver "
        "and of each worker, without mapped files.\n\n"
        f"| data | rows | way | {' | '.join(title)} |\n"
        f"|---|---|---|---|---|---|---|---|\n{lines}\n\n"
        f"Shares of the CPU time in one process:\n\n{shares}\n"
    )


def main() -> None:
    """Run all, or one call in this process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--batchsize", type=int)
    parser.add_argument("--no-table", action="store_true", help="print it alone")
    for name in ("--subject", "--way", "--data", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--n", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.how = {"batchsize": args.batchsize} if args.batchsize else {}
    if args.subject:
        print(json.dumps(dataclasses.asdict(measure(args))))
        return
    folder = Path(tempfile.mkdtemp())
    try:
        bench = Bench(args, folder)
        sizes = {"rows": args.rows, "images": args.images}
        wanted = {subject: n for subject, n in sizes.items() if n}
        for subject, n in wanted.items():
            bench.run(subject, n, 60 * args.minutes / len(wanted))
    finally:
        shutil.rmtree(folder)
    text = text_of(bench, args)
    print(text)
    if not args.no_table:
        write_section(RESULTS, "scale", text)


if __name__ == "__main__":
    main()

"""Times ours and the peers in turn, and writes a table into RESULTS.md.

A script gives a :class:`Subject`: a model, its data, its PyTorch twin and the rows of
its table. In each round every side of a row is run, and ratios are taken round by
round. Peak memory is that of a process of its own for each side.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import datetime
import gc
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
from peers import HAS_SHAP, HAS_TORCH

#: Threads of the BLAS and of PyTorch, if not ``--cpu-time``.
THREADS = 2
#: For how long a side is run in a round, again and again. A single call of a few
#: milliseconds tells what the machine was doing just then.
LEAST_SECONDS = 0.1
RESULTS = Path(__file__).with_name("RESULTS.md")
COLUMNS = (
    "method",
    "ours (s)",
    "peer (s)",
    "ours / peer",
    "loop (s)",
    "ours / loop",
    "peak memory ours, peer, loop (MB)",
    "rows in a pass ours, peer",
    "apart",
    "took (s)",
)


Apart = Callable[[dict[str, np.ndarray]], str]
#: Rows in a pass; None for our own choice, which is the default.
Size = Optional[int]
# See `Side.run`.
Run = Callable[[Any, int], np.ndarray]


@dataclasses.dataclass
class Side:
    """Ours, a peer, or the loop.

    Attributes:
        run (callable): ``run(size, amount)`` computes a saliency, with up to ``size``
            rows in one pass and ``amount`` samples or steps.
        sizes (tuple of int or None): What ``size`` may be; the fastest is taken.
    """

    run: Run
    sizes: tuple[Size, ...] = (1,)


@dataclasses.dataclass
class Row:
    """A method.

    Attributes:
        name (str): What ``--rows`` calls it.
        title (str): What the table calls it.
        sides (dict of Side): ``ours``, and perhaps ``captum`` or ``zennit``, ``loop``.
        apart (callable): ``apart(results)`` tells from the results of the sides how
            far apart they are.
        check (callable or None): Tells it from those of a trial in float64, where no
            ReLU or maximum falls to another side by rounding.
        amount (int): Samples or steps.
        trial (int): As many are enough to find out which ``size`` is fastest.
        is_costly (bool): Whether fewer rounds must do.
    """

    name: str
    title: str
    sides: dict[str, Side]
    apart: Apart
    check: Apart | None = None
    amount: int = 1
    trial: int = 1
    is_costly: bool = False

    @property
    def peer(self) -> str | None:
        """The name of the side that is neither ours nor the loop."""
        return next((name for name in self.sides if name in PEERS), None)


PEERS = ("captum", "zennit", "shap")


class Subject:
    """A model with its data, its twin and its rows; scripts derive from it.

    Args:
        images (int or None): How many examples each row explains, if not as many as
            the script finds bearable.
        dtype (dtype): Of the model and the data.
    """

    name = ""
    title = ""
    about = ""
    #: Rounds of a row, and of a costly one.
    rounds = (5, 3)

    def __init__(self, images: int | None, dtype: Any = np.float32) -> None:
        self.images = images
        self.dtype = np.dtype(dtype)

    def make_twin(self) -> Any:
        """Return the PyTorch twin."""
        raise NotImplementedError

    @cached_property
    def twin(self) -> Any:
        """The PyTorch twin, on the device on which the peers compute."""
        from peers.tensors import placed

        return placed(self.make_twin())

    def rows(self) -> list[Row]:
        """Return the rows of the table."""
        raise NotImplementedError


def difference(a: np.ndarray, b: np.ndarray) -> str:
    """Return the length of a - b, relative to that of b."""
    a, b = np.asarray(a, "d"), np.asarray(b, "d")
    return f"{np.linalg.norm(a - b) / np.linalg.norm(b):.0e}"


def same(results: dict[str, np.ndarray]) -> str:
    """Return how far our result is from each of the others, which should be equal."""
    ours = results["ours"].mean(axis=0)
    others = {side: r for side, r in results.items() if side != "ours"}
    return "; ".join(
        f"{side} {difference(np.broadcast_to(ours, r.shape), r)}"
        for side, r in others.items()
    )


def in_standard_errors(results: dict[str, np.ndarray]) -> str:
    """Return how far means over other random samples are apart; 1 is expected."""
    samples = results["ours"]
    error = np.sqrt(2 * samples.var(axis=0, ddof=1, dtype="d") / len(samples))
    is_random = error > 1e-3 * error.max()
    mean = samples.mean(axis=0)
    distances = {
        side: np.sqrt(
            (((mean - r) / np.where(is_random, error, 1))[is_random] ** 2).mean()
        )
        for side, r in results.items()
        if side != "ours"
    }
    text = "; ".join(f"{side} {d:.2f}" for side, d in distances.items())
    return text and f"{text} standard errors"


def main(make: type[Subject]) -> None:
    """Run a script: time its rows, print the table, and write it."""
    options = _options(make)
    limit_threads(1 if options.cpu_time else THREADS)
    subject = make(options.images, np.float64 if options.check else np.float32)
    rows = [row for row in subject.rows() if row.name in (options.rows or row.name)]
    if options.memory:
        print(_memory_here(subject, rows[0], options.memory))
        return
    if options.check:
        print(_apart_here(rows[0]))
        return
    if not HAS_TORCH:
        print(
            "PyTorch, Captum or Zennit is not installed here: what is measured "
            "against them is marked as not run."
        )
    lines = []
    for row in rows:
        cells = _cells(subject, row, options)
        lines.append("| " + " | ".join(cells) + " |")
        print(" | ".join(cells), flush=True)
    head = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|"
    text = f"## {subject.title}\n\n{_setting(subject, options)}\n\n" + "\n".join(
        [head, *lines]
    )
    print(f"\n{text}")
    if options.rows or options.peers != [*PEERS, "loop"]:
        print("\nThis is a part of the table, so RESULTS.md stays as it is.")
        return
    write_section(options.out, subject.name, text)


def write_section(path: Path, name: str, text: str) -> None:
    """Put a section between its markers, in place of what is there."""
    section = f"<!-- {name} -->\n{text}\n<!-- /{name} -->"
    old = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    pattern = re.compile(f"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    if pattern.search(old):
        new = pattern.sub(lambda _: section, old)
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    path.write_text(new, encoding="utf-8")


def _options(make: type[Subject]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"{make.title}: ours and the peers.")
    names = {"type": lambda text: text.split(",")}
    parser.add_argument("--rows", **names, help="some rows alone, as in ig,epsilon")
    parser.add_argument(
        "--peers",
        **names,
        default=[*PEERS, "loop"],
        help="which of captum,zennit,shap,loop to run beside ours",
    )
    parser.add_argument("--repeats", type=int, help="rounds of each row")
    parser.add_argument("--quick", action="store_true", help="one round of each row")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="one thread, and the time that it computes: for a machine with other work",
    )
    parser.add_argument("--images", type=int, help="examples that each row explains")
    parser.add_argument("--no-memory", action="store_true", help="no peak memory")
    parser.add_argument("--no-check", action="store_true", help="no run in float64")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to write")
    # For the processes below.
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _cells(subject: Subject, row: Row, options: argparse.Namespace) -> list[str]:
    """Run a row, and return what the table says of it."""
    started = time.perf_counter()
    clock = time.process_time if options.cpu_time else time.perf_counter
    wanted = {
        name: side
        for name, side in row.sides.items()
        if name == "ours" or (name in options.peers and _is_installed(name))
    }
    least = 0 if options.quick else LEAST_SECONDS
    sizes = {
        name: _best_size(
            row, side, side.sizes[:1] if options.quick else side.sizes, clock, least
        )
        for name, side in wanted.items()
    }
    rounds = options.repeats or subject.rounds[row.is_costly]
    seconds: dict[str, list[float]] = {name: [] for name in wanted}
    results = {}
    for i in range(1 if options.quick else rounds):
        # The loop takes hours of a costly row, and has no need of a median.
        is_left_out = {"loop"} if i > 0 and row.is_costly else set()
        order = [name for name in wanted if name not in is_left_out]
        for name in order[i % len(order) :] + order[: i % len(order)]:
            gc.collect()
            run = partial(wanted[name].run, sizes[name], row.amount)
            results[name], needed = _timed(run, clock, least)
            seconds[name].append(needed)
    memory = {}
    if not options.no_memory:
        for name in wanted:
            # The loop holds one pass at a time, so that a few tell.
            amount = row.trial if name == "loop" else row.amount
            what = f"{name}:{sizes[name]}:{amount}"
            memory[name] = _in_another_process(subject, row, "--memory", what)

    apart = row.apart(results)
    if row.check and row.peer in wanted and not options.no_check:
        apart += f"; in float64 {_in_another_process(subject, row, '--check')}"

    def of(name: str | None, values: dict[str, Any]) -> str:
        if name is None or name not in row.sides:
            return "-"
        return values.get(name, "not run")

    medians = {name: f"{np.median(s):.3g}" for name, s in seconds.items()}
    ratios = {
        name: ratio(seconds["ours"][: len(seconds[name])], seconds[name])
        for name in wanted
        if name != "ours"
    }
    peer = row.peer
    peer_time = of(peer, medians)
    if peer in medians:
        peer_time = f"{peer_time} ({peer.capitalize()})"
    return [
        row.title,
        medians["ours"],
        peer_time,
        of(peer, ratios),
        of("loop", medians),
        of("loop", ratios),
        ", ".join(of(name, memory) for name in ("ours", peer, "loop")),
        ", ".join(
            of(name, {n: str(s or "default") for n, s in sizes.items()})
            for name in ("ours", peer)
        ),
        apart or "-",
        f"{time.perf_counter() - started:.0f}",
    ]


def _is_installed(peer: str) -> bool:
    return {"loop": True, "shap": HAS_SHAP}.get(peer, HAS_TORCH)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the median of the ratios of rounds, and their range."""
    ratios = np.array(ours) / np.array(theirs)
    text = f"{np.median(ratios):.2f}"
    if len(ratios) > 1:
        text += f" ({ratios.min():.2f} to {ratios.max():.2f})"
    return text


def _best_size(
    row: Row,
    side: Side,
    sizes: Sequence[Size],
    clock: Callable[[], float],
    least: float,
) -> Size:
    """Warm up, and return the size that is fastest at a trial."""
    side.run(sizes[0], row.trial)
    if len(sizes) == 1:
        return sizes[0]
    needed = {
        size: _timed(partial(side.run, size, row.trial), clock, least)[1]
        for size in sizes
    }
    return min(needed, key=needed.__getitem__)


def _timed(
    run: Callable[[], np.ndarray], clock: Callable[[], float], least: float
) -> tuple[np.ndarray, float]:
    """Run for some seconds, once at least.

    Returns:
        tuple: What the last call returned, and the seconds of one call.
    """
    start = clock()
    n_call, needed = 0, 0.0
    while n_call == 0 or needed < least:
        result = run()
        n_call += 1
        needed = clock() - start
    return result, needed / n_call


def _in_another_process(subject: Subject, row: Row, *arguments: str) -> str:
    """Return the last line that this script prints for one row and these arguments."""
    command = [sys.executable, sys.argv[0], "--rows", row.name, *arguments]
    if subject.images is not None or "--check" in arguments:
        images = 1 if "--check" in arguments else subject.images
        command += ["--images", str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return f"failed ({done.returncode})"
    return done.stdout.splitlines()[-1]


def _apart_here(row: Row) -> str:
    """Return how far ours and the peer are apart in this process's precision."""
    import torch

    torch.set_default_dtype(torch.float64)
    both = {name: row.sides[name] for name in ("ours", row.peer)}
    return row.check(
        {n: side.run(side.sizes[0], row.trial) for n, side in both.items()}
    )


def _memory_here(subject: Subject, row: Row, what: str) -> str:
    """Return by how many MB a run raises this process's peak above what it has now."""
    name, size, amount = what.split(":")
    side = row.sides[name]
    if name in PEERS:
        from peers import with_captum, with_zennit  # noqa: F401

        if name == "shap":
            from peers import with_shap  # noqa: F401
        subject.twin  # noqa: B018  (made now, so that its weights do not count)
    gc.collect()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # hand back what loading left behind
            libc.malloc_trim(0)
    try:
        # From here on, the peak that Linux keeps is that of the run alone.
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        side.run(None if size == "None" else int(size), int(amount))
        return f"{(_status('VmHWM') - before) / 1024:.0f}"
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        side.run(None if size == "None" else int(size), int(amount))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return f"{(after - peak) / 1024:.0f}"


def _status(key: str) -> int:
    """Return an entry of this process's status, in kB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{key}:\s+(\d+)", text).group(1))


def limit_threads(n: int) -> None:
    """Have the BLAS and PyTorch use so many threads, as far as that can be done."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        print(f"threadpoolctl is missing: set OPENBLAS_NUM_THREADS={n} yourself.")
    else:
        threadpool_limits(n)
    if HAS_TORCH:
        import torch

        torch.set_num_threads(n)


def _setting(subject: Subject, options: argparse.Namespace) -> str:
    """Return the lines above the table: what, when and on what it was measured."""
    rounds = (
        "one round, the sizes of peers not tried out"
        if options.quick
        else f"medians of {options.repeats} rounds"
        if options.repeats
        else f"medians of {subject.rounds[0]} rounds ({subject.rounds[1]} of the "
        "costly rows, with the loop in the first)"
    )
    threads = 1 if options.cpu_time else THREADS
    return (
        f"{subject.about}\n\n{datetime.date.today()}; {hardware(threads)}; "
        f"{versions()}; {rounds}, in brackets the smallest and the largest "
        f"ratio{'; CPU time' * options.cpu_time}."
    )


def versions() -> str:
    """Return the versions of Python and of what is measured."""
    packages = ["numpy", "chainer"] + ["torch", "captum", "zennit"] * HAS_TORCH
    packages += ["shap"] * HAS_SHAP
    return ", ".join(
        [f"Python {platform.python_version()}"]
        + [f"{name} {importlib.metadata.version(name)}" for name in packages]
    )


def hardware(threads: int | None = THREADS) -> str:
    """Return the processor, its cores and vector instructions, and the BLAS."""
    name, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text(encoding="utf-8")
        for key in ("model name", "flags"):
            found = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
            if found and key == "flags":
                flags = found.group(1)
            elif found:
                name = found.group(1)
    vectors = [v for v in ("AVX2", "AVX512F") if f" {v.lower()} " in f" {flags} "]
    parts = [f"{os.cpu_count()} cores of {name}", " and ".join(vectors) or "no AVX2"]
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        pass
    else:
        kernels = {
            f"{i['internal_api']} {i['version']} with {i['architecture']} kernels"
            for i in threadpool_info()
            if i["user_api"] == "blas"
            and "architecture" in i
            and "numpy" in i["filepath"]
        }
        parts += sorted(kernels)
    return ", ".join([*parts, f"{threads} {'thread' if threads == 1 else 'threads'}"])

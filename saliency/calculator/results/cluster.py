"""The work of a ``compute_aggregate`` call on the processes of a Dask cluster."""

from __future__ import annotations

import copy
import itertools
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Callable, NamedTuple

from saliency.calculator.results.aggregate_work import AggregateWork
from saliency.calculator.results.out import Out, PartWriter
from saliency.calculator.results.record import Span
from saliency.calculator.results.shards import Shards
from saliency.calculator.results.stores import as_zarr_path
from saliency.checks import check_positive, is_int
from saliency.cpu.memory import KEEPING, kept_by_the_c_library
from saliency.exclusive import one_at_a_time
from saliency.progress import name_of_method, progress_bar
from saliency.user_warnings import warn_user

try:
    import dask
    from distributed import (
        Client,
        LocalCluster,
        Status,
        WorkerPlugin,
        as_completed,
        get_worker,
    )
    from distributed.metrics import time as distributed_time
    from threadpoolctl import threadpool_limits

    from saliency.calculator.results.transport import (
        InFile,
        Pickled,
        Sent,
        common_folder,
    )
except ImportError as reason:
    raise ImportError(
        "workers=... needs Dask: pip install 'dask[distributed]' zarr"
    ) from reason

# What our own processes do beside the work, where nobody looks at it. By itself, Dask
# samples what they execute, and takes 4 % of the time of two cores.
_QUIET = {
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.work-stealing-interval": "1s",
    "distributed.worker.profile.enabled": False,
}
# By itself, Dask has the C library give all memory back to the system, which then has
# to clear each page for the next pass: an eighth of the time of a small network.
_KEEPING_MEMORY = {
    f"distributed.nanny.pre-spawn-environ.{name}": n_byte
    for name, n_byte in KEEPING.items()
}


def check_workers(workers: Any) -> None:
    """Raise unless ``workers`` is a number of processes or a client of Dask."""
    if isinstance(workers, Client):
        return
    if not is_int(workers):
        raise TypeError(
            "workers must be an int, a dask.distributed.Client or None, got "
            f"{workers!r}"
        )
    check_positive("workers", workers)


def one_thread() -> AbstractContextManager[Any]:
    """Return a block in which BLAS uses one thread, as on the workers.

    With several, the last digits depend on how many there are.
    """
    block: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return block


def into_store(
    work: AggregateWork, out: Any, workers: Any, show_progress: bool, repair: bool
) -> Any:
    """Have processes write what is missing into ``out``, and return it.

    Args:
        work (AggregateWork): What is to be computed.
        out (path): A Zarr store that all processes can write into.
        workers (int or distributed.Client): How many processes, or a cluster.
        show_progress (bool): Whether to show a progress bar.
        repair (bool): Whether damaged batches are to be computed again.

    Raises:
        TypeError, ValueError: If ``out`` or ``workers`` is none of these.
    """
    path = as_zarr_path(out)
    if path is None:
        raise ValueError(
            "out must be a path that ends with .zarr where there are workers, so "
            f"that all can write into it; got {out!r}"
        )
    check_workers(workers)
    with work.opened(path, repair) as opened:
        _run(work, opened, path, workers, show_progress)
        work.finish()
        return opened.array


def _run(
    work: AggregateWork, out: Out, path: Path, workers: Any, show_progress: bool
) -> None:
    shown: set[_Warning] = set()
    probes = out.probes()
    n_example = sum(stop - start for start, stop in probes)
    with one_thread(), _caught() as caught, work.running(n_example, False) as job:
        work.get_ready(job, out, probes)
        work.create(job, out)
    _warn(caught, shown)
    if not out.missing:
        return
    total = sum(stop - start for start, stop in out.missing)
    bar = progress_bar(name_of_method(work.recipe), total, "example", show_progress)
    with (
        bar,
        _client(workers) as client,
        common_folder(client) as folder,
        _Tasks(client, work, path, folder) as tasks,
    ):
        for (start, stop), done in tasks.run(out):
            out.add(done.digests, done.machine)
            bar.update(stop - start)
            _warn(done.warnings, shown)


def calls_on_workers(
    thing: Any,
    plan: Callable[[Callable[..., Any]], Iterable[tuple[Any, Any]]],
    workers: Any,
) -> Iterator[tuple[Any, Any]]:
    """Have methods of a thing run on processes, and give what they return.

    Args:
        thing (object): Each worker holds a copy.
        plan (callable): Is given ``submit(name, *arguments)``, which calls a method on
            a worker; what it returns stands for the result, and may be an argument of
            other calls. It yields pairs of a key and such a result.
        workers (int or distributed.Client): How many processes, or a cluster.

    Yields:
        tuple: A key and its result, as they are complete.
    """
    with _client(workers) as client, _Calls(client, thing) as calls:
        keys = {future: key for key, future in plan(calls.submit)}
        try:
            for future in as_completed([*keys]):
                yield keys.pop(future), calls.result(future)
        finally:
            client.cancel([*keys])


_Warning = tuple[str, type[Warning]]


@contextmanager
def _caught() -> Iterator[list[_Warning]]:
    """Return a list that has the warnings within the block, after it."""
    found: list[_Warning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    for warning in caught:
        if issubclass(warning.category, (UserWarning, RuntimeWarning)):
            found.append((str(warning.message), warning.category))


def _warn(caught: list[_Warning], shown: set[_Warning]) -> None:
    """Give the warnings of one process, but for those that another gave before."""
    for message, category in caught:
        if (message, category) not in shown:
            shown.add((message, category))
            warn_user(message, category)


class _Done(NamedTuple):
    """What a worker says of a shard that it has written.

    Attributes:
        digests (dict): The digest of each batch, by its first row.
        machine (dict): Where they were computed.
        warnings (list): The warnings there were.
        seconds (float): How long it took.
    """

    digests: dict[int, str]
    machine: dict[str, Any]
    warnings: list[_Warning]
    seconds: float


class _Tasks:
    """The shards on their way to the workers and back, within a ``with`` block.

    The recipe goes to each worker once, also to those that come later in the
    place of one that died. Shards go as workers become free, so that neither the data
    nor its copies are ever in one place.

    Args:
        client (distributed.Client): Of the cluster.
        work (AggregateWork): What is to be computed.
        path (Path): The store.
        folder (Path or None): For the data of shards, if the workers can read it there.
    """

    def __init__(
        self, client: Client, work: AggregateWork, path: Path, folder: Path | None
    ) -> None:
        self._client = client
        self._folder = folder
        self._work = work
        self._path = path.absolute()
        self._plugin = _Explainer(work)
        self._pending: dict[Any, tuple[Span, Sent]] = {}

    def __enter__(self) -> _Tasks:
        self._client.register_plugin(self._plugin)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._client.cancel(list(self._pending))
        self._client.unregister_worker_plugin(self._plugin.name)

    def run(self, out: Out) -> Iterator[tuple[Span, _Done]]:
        """Give each shard that is written, with what its worker says of it."""
        n_worker = max(1, len(self._client.nthreads()))
        shards = Shards(out.missing, self._work.rows_together, n_worker)
        completed = as_completed()
        for shard in itertools.islice(shards, 2 * n_worker):
            completed.add(self._submit(shard, shards, out))
        for future in completed:
            done = future.result()
            shard, data = self._pending.pop(future)
            data.discard()
            if done is None:  # a worker that cannot read the file
                self._folder = None
                completed.add(self._sent(shard, shards, out))
                continue
            shards.done(shard, done.seconds)
            yield shard, done
            for shard in itertools.islice(shards, 1):
                completed.add(self._submit(shard, shards, out))

    def _submit(self, shard: Span, shards: Shards, out: Out) -> Any:
        """Send a new shard to a worker, and return what stands for the result."""
        out.expect(*shard)
        return self._sent(shard, shards, out)

    def _sent(self, shard: Span, shards: Shards, out: Out) -> Any:
        """Send a shard whose batches are expected, in a file or as a message."""
        batches = self._work.batches.shard(*shard)
        data: Sent = (
            Pickled.of(batches)
            if self._folder is None
            else InFile.of(batches, self._folder / f"{shard[0]}.pickle")
        )
        shards.sent(shard, data.n_byte)
        if isinstance(data, Pickled):
            data = data.padded()
        with warnings.catch_warnings():
            # There is nothing to gain from Dask's advice: each shard is used once.
            warnings.filterwarnings("ignore", "Sending large graph")
            future = self._client.submit(
                _explain,
                self._plugin.name,
                data,
                shard,
                self._path,
                out.call,
                pure=False,
            )
        self._pending[future] = shard, data
        return future


# What a worker of Dask does beside its tasks: it looks at all frames of each thread a
# hundred times a second, and fifty times at how long its loop takes to come round. Of
# the time of a small network, the first takes a sixth, and the second some percent.
_OBSERVED = ("profile", "tick")


@contextmanager
def _unobserved(worker: Any) -> Iterator[None]:
    """Return a block in which Dask does not observe what a worker executes."""
    observing = [
        worker.periodic_callbacks[name]
        for name in _OBSERVED
        if name in worker.periodic_callbacks
    ]

    def pause() -> None:
        for callback in observing:
            callback.stop()

    def go_on() -> None:
        if worker.status in (Status.running, Status.paused):
            worker._last_tick = distributed_time()  # or it would miss those meanwhile
            for callback in observing:
                callback.start()

    # They belong to the thread of the worker's loop.
    worker.loop.add_callback(pause)
    try:
        yield
    finally:
        worker.loop.add_callback(go_on)


class _Holder(WorkerPlugin):
    """What a worker holds: a thing that is unpickled when it is first asked for."""

    def __init__(self, thing: Any) -> None:
        self.name = f"saliency-{uuid.uuid4().hex}"
        self._pickled = Pickled.of(thing)

    def setup(self, worker: Any) -> None:
        """Get ready (called by Dask on each worker)."""
        self._thing: Any = None

    @contextmanager
    def _at_work(self) -> Iterator[list[_Warning]]:
        """Return a list that has the warnings within the block, after it.

        In the block, nothing else of ours runs in this process.
        """
        with (
            one_at_a_time(),
            one_thread(),
            kept_by_the_c_library(),
            _unobserved(get_worker()),
            _caught() as found,
        ):
            yield found

    def _held(self) -> Any:
        """Return the thing; the caller is in the block :meth:`_at_work`."""
        if self._thing is None:
            self._thing = self._pickled.load()
        return self._thing


class _Explainer(_Holder):
    """What a worker explains shards with: the calculator and how it is asked."""

    def __init__(self, work: AggregateWork) -> None:
        without_data = copy.copy(work)
        del without_data.batches
        super().__init__(without_data)

    def explain(self, data: Sent, shard: Span, path: Path, call: str) -> _Done | None:
        """Explain a shard and write the result; None if its data is not here."""
        start, stop = shard
        if not data.is_here():
            return None
        with self._at_work() as caught:
            work: AggregateWork = self._held()
            begin = time.monotonic()
            work.batches = data.load()
            part = PartWriter(path, work.rows_together, call)
            with work.running(stop - start, show_progress=False) as job:
                work.write(job, start, stop, part)
            part.flush()
            seconds = time.monotonic() - begin
        return _Done(part.digests, part.machine, caught, seconds)


class _Called(NamedTuple):
    """What a call on a worker has returned.

    Attributes:
        value: What it is.
        warnings (list): The warnings there were, also in calls that it needed.
    """

    value: Any
    warnings: list[_Warning]


class _Calls:
    """Calls of the methods of a thing, on the workers, within a ``with`` block.

    Args:
        client (distributed.Client): Of the cluster.
        thing (object): The thing; each worker is given it once.
    """

    def __init__(self, client: Client, thing: Any) -> None:
        self._client = client
        self._plugin = _Callee(thing)
        self._shown: set[_Warning] = set()

    def __enter__(self) -> _Calls:
        self._client.register_plugin(self._plugin)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._client.unregister_worker_plugin(self._plugin.name)

    def submit(self, method: str, *arguments: Any) -> Any:
        """Call a method on a worker; some arguments may be results of other calls."""
        return self._client.submit(
            _call, self._plugin.name, method, *arguments, pure=False
        )

    def result(self, future: Any) -> Any:
        """Return what a call has returned, and give the warnings that are new."""
        called: _Called = future.result()
        _warn(called.warnings, self._shown)
        return called.value


class _Callee(_Holder):
    """What a worker calls methods of."""

    def call(self, method: str, arguments: tuple[Any, ...]) -> _Called:
        """Call a method."""
        before = [one for one in arguments if isinstance(one, _Called)]
        values = [one.value if isinstance(one, _Called) else one for one in arguments]
        with self._at_work() as caught:
            value = getattr(self._held(), method)(*values)
        return _Called(value, [w for one in before for w in one.warnings] + caught)


def _call(name: str, method: str, *arguments: Any) -> _Called:
    """Call a method, on a worker."""
    plugin: Any = get_worker().plugins[name]
    called: _Called = plugin.call(method, arguments)
    return called


def _explain(name: str, data: Sent, shard: Span, path: Path, call: str) -> _Done | None:
    """Do a shard, on a worker."""
    plugin: Any = get_worker().plugins[name]
    done: _Done | None = plugin.explain(data, shard, path, call)
    return done


@contextmanager
def _client(workers: Any) -> Iterator[Client]:
    """Return the client; processes are started, and stopped in the end, if need be."""
    if isinstance(workers, Client):
        yield workers
        return
    with dask.config.set({**_QUIET, **_KEEPING_MEMORY}):
        cluster = LocalCluster(
            n_workers=int(workers),
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # how much a model may use is not for us to say
            dashboard_address=None,
        )
    with cluster, Client(cluster) as client:
        yield client

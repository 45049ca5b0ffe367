"""Stores do not lose what they hold, and nobody believes what has been damaged."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from saliency import SmoothGradCalculator
from saliency.calculator.results import numpy_file, record, zarr_stores
from saliency.calculator.results.files import write_at_once
from tests.calculator.test_out import chunk_of
from tests.networks import MLP, Fuse, build

zarr = pytest.importorskip("zarr", reason="needs Zarr: pip install zarr")

ROOT = Path(__file__).parents[2]
N = 11
every_kind = pytest.mark.parametrize("kind", ["npy", "zarr"])


@pytest.fixture
def fuse():
    return Fuse()


@pytest.fixture
def call(fuse):
    """A call of six batches with one pass each."""
    return call_with(fuse)


def call_with(fuse):
    calculator = SmoothGradCalculator(build(MLP, n_out=1, fuse=fuse))
    x = np.random.default_rng(0).normal(size=(N, 4))
    return partial(
        calculator.compute_aggregate, x, 1, batchsize=2, seed=0, show_progress=False
    )


def interrupted(call, fuse, out):
    """Leaves four batches of six."""
    fuse.n_call, fuse.blows_at = 0, 5
    with pytest.raises(RuntimeError, match="fuse"):
        call(out=out)
    fuse.n_call, fuse.blows_at = 0, None


def record_path(out):
    return out / "saliency.json" if out.suffix == ".zarr" else beside(out)


def beside(out):
    return out.with_name(f"{out.name}.progress.json")


def files_of(out):
    paths = [out, beside(out)] if out.suffix == ".npy" else [*out.rglob("*")]
    return {
        str(p.relative_to(out.parent)): p.read_bytes() for p in paths if p.is_file()
    }


def part_of(out, batch):
    """Returns the file with a batch, and where it begins there."""
    if out.suffix == ".zarr":
        return chunk_of(out, batch), 0
    return out, out.stat().st_size - (N - 2 * batch) * 32


def overwrite(path, at, data):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def flip(path, at):
    overwrite(path, at, bytes([path.read_bytes()[at] ^ 1]))


class TestDamage:
    @every_kind
    def test_is_named_and_repaired_at_the_price_of_its_batches(
        self, kind, call, fuse, tmp_path
    ):
        out = tmp_path / f"x.{kind}"
        call(out=out)
        before = files_of(out)
        for batch in (1, 2, 5):
            path, at = part_of(out, batch)
            flip(path, at + 15)
        message = (
            rf"x\.{kind}' is damaged: batches 1 to 2 \(rows 2 to 5\) and batch 5 "
            r"\(row 10\) do not hold what was written. Pass repair=True"
        )
        with pytest.raises(ValueError, match=message):
            call(out=out)
        fuse.n_call = 0
        call(out=out, repair=True)
        assert fuse.n_call == 3 + 3
        assert files_of(out) == before

    @every_kind
    def test_of_what_is_not_there_yet_is_none(self, kind, call, fuse, tmp_path):
        out = tmp_path / f"x.{kind}"
        call(out=tmp_path / f"y.{kind}")
        interrupted(call, fuse, out)
        if kind == "zarr":  # a chunk that was written, but never recorded
            other = part_of(tmp_path / "y.zarr", 5)[0]
            path = out / other.relative_to(tmp_path / "y.zarr")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(other, path)
        path, at = part_of(out, 5)
        flip(path, at)
        call(out=out)
        assert [*files_of(out).values()] == [*files_of(tmp_path / f"y.{kind}").values()]

    def test_of_the_length_of_a_file(self, call, tmp_path):
        out = tmp_path / "x.npy"
        expected = call(out=out).copy()
        whole = out.read_bytes()
        for n, batches in (
            (-40, "batches 4 to 5"),
            (-len(whole) + 10, "batches 0 to 5"),
        ):
            out.write_bytes(whole[:n])
            with pytest.raises(ValueError, match=rf"is damaged: .*{batches}"):
                call(out=out)
            assert_array_equal(call(out=out, repair=True), expected)
            assert out.read_bytes() == whole
        out.write_bytes(whole + b"more")
        with pytest.raises(ValueError, match="it has 484 bytes in place of 480"):
            call(out=out)
        call(out=out, repair=True)
        assert out.read_bytes() == whole

    def test_of_a_header_costs_no_batch(self, call, fuse, tmp_path):
        out = tmp_path / "x.npy"
        call(out=out)
        whole = out.read_bytes()
        overwrite(out, 20, b"'>f8'")
        with pytest.raises(ValueError, match="damaged: its header is not that of"):
            call(out=out)
        fuse.n_call = 0
        call(out=out, repair=True)
        assert fuse.n_call == 3
        assert out.read_bytes() == whole

    def test_of_a_folder_of_zarr(self, call, fuse, tmp_path):
        out = tmp_path / "x.zarr"
        call(out=out)
        before = files_of(out)
        part_of(out, 3)[0].unlink()
        with pytest.raises(ValueError, match=r"batch 3 \(rows 6 to 7\) do"):
            call(out=out)
        metadata = out / "zarr.json", out / ".zarray"  # of Zarr 3, of Zarr 2
        next(file for file in metadata if file.exists()).unlink()
        with pytest.raises(ValueError, match="Zarr cannot open it"):
            call(out=out)
        fuse.n_call = 0
        call(out=out, repair=True)
        assert fuse.n_call == 3 + 1
        assert files_of(out) == before

    @every_kind
    def test_of_the_record_leaves_nothing_to_trust(self, kind, call, fuse, tmp_path):
        out = tmp_path / f"x.{kind}"
        call(out=out)
        before = files_of(out)
        for text in ("", "{}", "[]", "\udcff", record_path(out).read_text()[:-9]):
            record_path(out).write_text(text, errors="surrogateescape")
            named = re.escape(record_path(out).name)
            with pytest.raises(
                ValueError, match=rf"damaged: .*{named} is not what was"
            ):
                call(out=out)
        fuse.n_call = 0
        call(out=out, repair=True)
        assert fuse.n_call == 6
        assert files_of(out) == before

    @every_kind
    def test_of_one_digit_of_the_record(self, kind, call, tmp_path):
        out = tmp_path / f"x.{kind}"
        call(out=out)
        text = record_path(out).read_text()
        record_path(out).write_text(text.replace('"seed": 0', '"seed": 1'))
        with pytest.raises(ValueError, match="damaged"):
            call(out=out)

    def test_of_an_array_of_zarr_of_the_user(self, call, fuse, tmp_path):
        shape = {"shape": (N, 4), "chunks": (3, 4), "dtype": "f8"}
        out = zarr.open_array(str(tmp_path / "mine"), mode="w", **shape)
        expected = call(out=out)[:]
        out[4, 1] += 1
        with pytest.raises(
            ValueError, match=r"out is damaged: batch 2 \(rows 4 to 5\)"
        ):
            call(out=out)
        fuse.n_call = 0
        assert_array_equal(call(out=out, repair=True)[:], expected)
        assert fuse.n_call == 4
        out.attrs["saliency"] = {**out.attrs["saliency"], "shape": [N, 3]}
        with pytest.raises(ValueError, match="attribute 'saliency' of out is not what"):
            call(out=out)

    def test_does_not_come_from_the_user_of_the_result(self, call, tmp_path):
        result = call(out=tmp_path / "x.npy")
        result /= 2
        assert_array_equal(call(out=tmp_path / "x.npy"), 2 * result)

    @every_kind
    def test_of_a_store_that_is_not_ours_is_not_repaired(self, kind, call, tmp_path):
        out = tmp_path / f"x.{kind}"
        call(out=out)
        record_path(out).unlink()
        with pytest.raises(ValueError, match="not from compute_aggregate"):
            call(out=out, repair=True)

    @pytest.mark.parametrize("repair", ["yes", None, 2])
    def test_what_is_no_bool(self, repair, call, tmp_path):
        with pytest.raises(ValueError, match="repair must be True or False"):
            call(out=tmp_path / "x.npy", repair=repair)

    def test_without_a_store(self, call):
        for out in (None, np.zeros((N, 4))):
            with pytest.raises(ValueError, match="repair=True needs out, a path or an"):
                call(out=out, repair=True)


# What happens to some bytes of a file: where, as a part of its length, and what.
damages = st.tuples(
    st.floats(0, 1),
    st.sampled_from(["flip", "zeros", "ones", "cut", "insert", "end", "remove"]),
    st.integers(1, 40),
)


def damage(path, where, what, n):
    content = path.read_bytes()
    at = int(where * (len(content) - 1))
    before, after = content[:at], content[at + n :]
    if what == "remove":
        path.unlink()
    elif what == "flip":
        path.write_bytes(before + bytes([content[at] ^ (n | 1)]) + content[at + 1 :])
    else:
        middle = {
            "zeros": bytes(min(n, len(content) - at)),
            "ones": b"\xff" * min(n, len(content) - at),
            "cut": b"",
            "insert": os.urandom(n) + content[at : at + n],
            "end": b"",
        }[what]
        path.write_bytes(before + middle + (b"" if what == "end" else after))


def damaged_at_will(kind, folder, n_damage):
    """Does what a damaged store must stand, as often as hypothesis will."""
    fuse = Fuse()
    call = call_with(fuse)
    stores = {}
    for state in ("whole", "begun"):
        stores[state] = folder / state / f"x.{kind}"
        stores[state].parent.mkdir()
    expected = call(out=stores["whole"])[:]
    interrupted(call, fuse, stores["begun"])

    @settings(max_examples=n_damage, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from(sorted(stores)),
        st.integers(0, 100),
        st.lists(damages, min_size=1, max_size=2),
    )
    def check(state, which, changes):
        out = folder / "now" / f"x.{kind}"
        shutil.rmtree(out.parent, ignore_errors=True)
        shutil.copytree(stores[state].parent, out.parent)
        files = sorted(p for p in out.parent.rglob("*") if p.is_file())
        path = files[which % len(files)]
        for change in changes:
            if path.exists() and path.stat().st_size:
                damage(path, *change)
        with contextlib.suppress(ValueError):
            assert_array_equal(call(out=out)[:], expected)
        try:
            result = call(out=out, repair=True)
        except ValueError as reason:
            assert "not from compute_aggregate" in str(reason)
        else:
            assert_array_equal(result[:], expected)
            assert_array_equal(call(out=out)[:], expected)

    check()


@pytest.mark.large
@every_kind
def test_whatever_bytes_are_damaged_no_result_is_wrong(kind, tmp_path):
    damaged_at_will(kind, tmp_path, 12)


@every_kind
@pytest.mark.large
def test_every_region_of_every_file_in_turn(kind, tmp_path):
    call = call_with(Fuse())
    out = tmp_path / f"x.{kind}"
    expected = call(out=out)[:]
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        for at in range(0, len(whole), 16):
            for other in (bytes(16), bytes(255 - b for b in whole[at : at + 16])):
                overwrite(path, at, other[: len(whole) - at])
                with contextlib.suppress(ValueError):
                    assert_array_equal(call(out=out)[:], expected)
                path.write_bytes(whole)


@every_kind
@pytest.mark.large
def test_the_record_of_many_batches_takes_little_of_the_time(
    kind, tmp_path, monkeypatch
):
    """It is long then, so that it is not written with each of them."""
    written = []

    def write_slowly(path, text):
        time.sleep(0.02)
        written.append(text)
        write_at_once(path, text)

    for module in (numpy_file, zarr_stores):
        monkeypatch.setattr(module, "write_at_once", write_slowly)
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    x = np.ones((60, 4))
    begin = time.monotonic()
    calculator.compute_aggregate(x, 1, batchsize=1, out=tmp_path / f"x.{kind}")
    took = time.monotonic() - begin
    assert len(written) <= 3 + took / (20 * 0.02)
    assert None not in json.loads(written[-1])["batches"]


class TestOtherFormats:
    @every_kind
    def test_of_earlier_versions_are_refused(self, kind, call, tmp_path):
        out = tmp_path / f"x.{kind}"
        old = {"call": {"seed": 0}, "done": [[0, 4]]}
        if kind == "npy":
            np.save(out, np.zeros((N, 4)))
            beside(out).write_text(json.dumps(old))
        else:
            shape = {"shape": (N, 4), "chunks": (2, 4), "dtype": "f8"}
            zarr.open_array(str(out), mode="w", **shape).attrs["saliency"] = old
        for repair in (False, True):
            with pytest.raises(ValueError, match=r"an earlier version .*anew, remove"):
                call(out=out, repair=repair)

    @every_kind
    def test_of_later_versions_are_refused(self, kind, call, tmp_path, monkeypatch):
        out = tmp_path / f"x.{kind}"
        with monkeypatch.context() as later:
            later.setattr(record, "_FORMAT", 3)
            call(out=out)
        with pytest.raises(ValueError, match="begun by a later version"):
            call(out=out)

    @every_kind
    def test_what_is_written_is_what_is_documented(self, kind, call, fuse, tmp_path):
        out = tmp_path / f"x.{kind}"
        interrupted(call, fuse, out)
        content = json.loads(record_path(out).read_text())
        digest = content.pop("digest")
        assert digest == sha256(json.dumps(content, sort_keys=True).encode())
        assert content["format"] == 2
        assert content["call"]["seed"] == 0
        assert (content["shape"], content["dtype"]) == ([N, 4], "<f8")
        rows = (np.load(out) if kind == "npy" else zarr.open_array(str(out)))[:]
        assert content["batches"] == [
            *([sha256(rows[i : i + 2].tobytes())[:32], 0] for i in (0, 2, 4, 6)),
            None,
            None,
        ]
        (machine,) = content["machines"]
        assert machine["numpy"] == np.__version__


def sha256(data):
    return hashlib.sha256(data).hexdigest()


HOLDER = """
import os, signal, sys, time
from saliency import GradientCalculator
import numpy as np

def stop(v):
    if sys.argv[2] == "killed":
        if os.fork() == 0:  # a child that goes on to live
            print(os.getpid(), flush=True)
            os.close(1)
            time.sleep(60)
            os._exit(0)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    print(os.getpid(), flush=True)
    sys.stdin.read()
    return v

calculator = GradientCalculator(None, eval_fun=lambda v: v**2)
calculator.compute_aggregate(
    np.ones((2, 1)), out=sys.argv[1], preprocess_fn=stop, show_progress=False
)
"""


def hold(out, how):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out), how],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestLock:
    @pytest.mark.parametrize(
        "kind", ["npy", pytest.param("zarr", marks=pytest.mark.large)]
    )
    @pytest.mark.large
    def test_the_other_process_is_named(self, kind, call, tmp_path):
        out = tmp_path / f"x.{kind}"
        with hold(out, "waits") as holder:
            pid = int(holder.stdout.readline())
            host = re.escape(socket.gethostname())
            message = rf"x\.{kind}' is in use by process {pid} on {host}, since 20"
            with pytest.raises(BlockingIOError, match=message):
                call(out=out)
            holder.communicate("")
        assert holder.returncode == 0
        with pytest.raises(ValueError, match="begun by a call that differs"):
            call(out=out)  # its turn now
        assert not out.with_name(f"{out.name}.lock").exists()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
    @pytest.mark.large
    def test_goes_with_the_process_that_is_killed(self, call, tmp_path):
        """Although a child of it lives on."""
        out = tmp_path / "x.npy"
        with hold(out, "killed") as holder:
            child = int(holder.stdout.readline())
            assert holder.wait() == -signal.SIGKILL
        try:
            assert out.with_name("x.npy.lock").exists()
            call(out=out)
            assert not out.with_name("x.npy.lock").exists()
        finally:
            os.kill(child, signal.SIGKILL)

    @every_kind
    def test_of_another_thread_and_of_this_one(self, kind, call, tmp_path):
        out = tmp_path / f"x.{kind}"
        errors = []

        def again(v):
            for start in (lambda f: f(), in_a_thread):
                with contextlib.suppress(StopIteration):
                    start(partial(note, errors, partial(call, out=out)))
            return v

        call(out=out, preprocess_fn=again, batchsize=N)
        assert len(errors) == 2
        assert all(f"process {os.getpid()} on" in str(error) for error in errors)

    def test_one_path_by_two_names(self, call, tmp_path, monkeypatch):
        (tmp_path / "link").symlink_to(tmp_path)
        errors = []

        def again(v):
            note(errors, partial(call, out=tmp_path / "link" / "x.npy"))
            return v

        call(out=tmp_path / "x.npy", preprocess_fn=again, batchsize=N)
        assert len(errors) == 1

    def test_a_file_system_without_locks_is_warned_of(
        self, call, tmp_path, monkeypatch
    ):
        fcntl = pytest.importorskip("fcntl")

        def flock(file, how):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.warns(UserWarning, match="on a file system without locks"):
            call(out=tmp_path / "x.npy")


def note(errors, call):
    """Calls what fails."""
    try:
        call()
    except BlockingIOError as error:
        errors.append(error)


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


class TestFullDisk:
    @every_kind
    def test_is_an_error_at_the_start(self, kind, call, fuse, tmp_path, monkeypatch):
        def full(file, offset, size):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(OSError, match=rf"x\.{kind}' needs .* bytes more") as error:
            call(out=tmp_path / f"x.{kind}")
        assert error.value.errno == errno.ENOSPC
        assert fuse.n_call <= 1
        assert not [*tmp_path.iterdir()]
        monkeypatch.undo()
        call(out=tmp_path / f"x.{kind}")

    @every_kind
    @pytest.mark.parametrize("number", [None, errno.EOPNOTSUPP])
    def test_where_nothing_can_be_reserved_zeros_are_written(
        self, kind, number, call, tmp_path, monkeypatch
    ):
        def cannot(file, offset, size):
            raise OSError(number, "not supported")

        call(out=tmp_path / f"x.{kind}")
        if number is None:
            monkeypatch.delattr(os, "posix_fallocate", raising=False)
        else:
            monkeypatch.setattr(os, "posix_fallocate", cannot, raising=False)
        call(out=tmp_path / f"y.{kind}")
        expected = [*files_of(tmp_path / f"x.{kind}").values()]
        assert [*files_of(tmp_path / f"y.{kind}").values()] == expected

    def test_space_for_chunks_is_kept_until_they_come(self, call, fuse, tmp_path):
        out = tmp_path / "x.zarr"
        sizes = []

        def look(v):
            reserved = out / "saliency.reserved"
            sizes.append(reserved.stat().st_size if reserved.exists() else None)
            return v

        call(out=out, preprocess_fn=look)
        assert sizes == [None, *(4096 * n for n in (5, 4, 3, 2, 1))]
        assert not (out / "saliency.reserved").exists()

    @every_kind
    def test_on_a_small_disk(self, kind, call, small_disk):
        for i in range(200):
            out = small_disk / f"{i}.{kind}"
            try:
                call(out=out)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                assert i > 0
                break
        else:
            raise AssertionError("the disk was not full")

    @pytest.fixture
    def small_disk(self, tmp_path):
        folder = tmp_path / "disk"
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
        try:
            subprocess.run(["mount", *options], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no disk can be mounted here")
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
import zarr
from saliency import SmoothGradCalculator
from tests.networks import MLP, build

kind, folder, n_kill = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
x = np.random.default_rng(0).normal(size=(40, 4))
random.seed(n_kill)

def run(name):
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    calculator.compute_aggregate(
        x, 2, batchsize=2, seed=0, out=folder / f"{name}.{kind}", show_progress=False
    )

def child(work, seconds=None):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]

begin = time.time()
assert child(lambda: run("whole")) == 0
took = time.time() - begin
n, i = 0, 0
while n < n_kill:
    i += 1
    for wait in [random.uniform(0, took)] * random.randint(1, 4) + [None]:
        status = child(lambda: run(i), wait)
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
        n += status != 0
        if status == 0:
            break
print(i)
"""


def killed_at_random(kind, folder, n_kill):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, kind, str(folder), str(n_kill)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    whole = [*files_of(folder / f"whole.{kind}").values()]
    for i in range(1, int(done.stdout) + 1):
        assert [*files_of(folder / f"{i}.{kind}").values()] == whole


@every_kind
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
class TestKilledAtARandomMoment:
    @pytest.mark.large
    def test_ten_times(self, kind, tmp_path):
        killed_at_random(kind, tmp_path, 10)

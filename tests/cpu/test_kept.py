"""What has been compiled is kept in files, and read from there by later processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from saliency.cpu import compiled, memory
from saliency.cpu.compiled import kept as module
from saliency.cpu.compiled import team
from saliency.cpu.compiled.kept import VARIABLE, kept, place

pytestmark = pytest.mark.skipif(
    not compiled.is_available(), reason="llvmlite is not installed"
)

CODE = b"code of a machine"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are kept, in this test; it is not there at first."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept"


def compile_it() -> bytes:
    return CODE


def never(*_: object) -> bytes:
    pytest.fail("it has been compiled again")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_it_is_compiled_once(folder: Path) -> None:
    assert kept("a", compile_it) == CODE
    assert kept("a", never) == CODE
    assert kept("b", lambda: b"other") == b"other"
    assert kept("a", never) == CODE
    assert len(files(folder)) == 2


@pytest.mark.large  # Python is started three times
def test_a_later_process_gives_the_same_numbers_and_compiles_nothing(
    folder: Path,
) -> None:
    script = """
import sys
import numpy as np
from saliency import fast_cpu
from saliency.cpu.compiled import functions
import chainer.functions as F
import chainer.links as L

has_compiled = []
object_code = functions.object_code
functions.object_code = lambda m: has_compiled.append(m) or object_code(m)
np.random.seed(0)
x = np.random.normal(size=(3, 32, 30, 30)).astype("f4")
conv = L.Convolution2D(32, 32, 3, pad=1, groups=32)
with fast_cpu():
    h = F.sigmoid(conv(x))
    y = F.tanh(F.concat([h + h, h]))
sys.stdout.write(f"{len(has_compiled)} {y.array.tobytes().hex()}")
"""

    def run(**environment: str) -> tuple[int, str]:
        # With one thread: it is chance whether a second one comes in time.
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        n_compiled, numbers = done.stdout.split()
        return int(n_compiled), numbers

    n_compiled, numbers = run()
    assert n_compiled >= 4
    assert run() == (0, numbers)
    assert run(**{VARIABLE: ""}) == (n_compiled, numbers)
    assert len(files(folder)) == n_compiled


def test_threads_that_share_work_load_their_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = team.new_box()
    for _ in range(2):
        team.team.__wrapped__().serve(memory.address_of(box), 10)
        assert len(files(folder)) == 1
        monkeypatch.setattr(team, "object_code", never)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: content[:-1] + b"?",
        lambda content: b"?" + content[1:],
    ],
)
def test_damaged_files_are_written_again(folder: Path, damage) -> None:
    kept("a", compile_it)
    (file,) = files(folder)
    file.write_bytes(damage(file.read_bytes()))
    assert kept("a", compile_it) == CODE
    assert kept("a", never) == CODE


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no such owners here")
def test_files_of_others_are_not_read(folder: Path) -> None:
    kept("a", lambda: b"of somebody else")
    with mock.patch.object(os, "geteuid", return_value=os.geteuid() + 1):
        assert kept("a", compile_it) == CODE


def test_nothing_is_kept_where_the_variable_is_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    assert kept("a", lambda: b"first") == b"first"
    assert kept("a", compile_it) == CODE
    assert not files(tmp_path)


def test_it_is_compiled_where_no_file_can_be_written(folder: Path) -> None:
    folder.write_text("not a folder")
    assert kept("a", lambda: b"first") == b"first"
    assert kept("a", compile_it) == CODE
    assert files(folder.parent) == [folder]


def test_nothing_is_left_of_what_could_not_be_compiled(folder: Path) -> None:
    def fail() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept("a", fail)
    assert not folder.exists()
    assert kept("a", compile_it) == CODE


@pytest.mark.parametrize("part", ["description", "np.__version__"])
def test_other_machines_and_versions_have_files_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    kept("a", lambda: b"here")
    value = (lambda: "another machine") if part == "description" else "9.9"
    monkeypatch.setattr(f"{module.__name__}.{part}", value)
    monkeypatch.setattr(module, "_sources", module._sources.__wrapped__)
    assert kept("a", compile_it) == CODE
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, str(folder))
    assert kept("a", never) == b"here"


def test_other_sources_have_files_of_their_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an edit of what is compiled is not answered with the code from before it."""
    source = tmp_path / "sources" / "kernels.py"
    source.parent.mkdir()
    monkeypatch.setattr(module, "__file__", str(source))
    monkeypatch.setattr(module, "_sources", module._sources.__wrapped__)
    source.write_text("x + y")
    assert kept("a", lambda: b"sum") == b"sum"
    source.write_text("x - y")
    assert kept("a", lambda: b"difference") == b"difference"
    source.write_text("x + y")
    assert kept("a", never) == b"sum"
    source.unlink()  # as where Python has found no files
    assert kept("a", compile_it) == CODE
    assert len(files(folder)) == 2


def test_what_nobody_has_added_to_for_long_is_removed(folder: Path) -> None:
    now = 1e9
    for name, age in (("compiled-old", 100), ("compiled-new", 80), ("other", 1000)):
        path = folder / name
        path.mkdir(parents=True)
        (path / "file").write_text("something")
        os.utime(path, (now - age * 86400,) * 2)
    with mock.patch("time.time", return_value=now):
        kept("a", compile_it)
    assert not (folder / "compiled-old").exists()
    assert (folder / "compiled-new" / "file").exists()
    assert (folder / "other" / "file").exists()


def test_where_files_are_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    around = place()
    assert around is not None
    assert around.is_absolute()
    assert "saliency" in around.name
    with mock.patch("platformdirs.user_cache_path", return_value=Path("~/.cache")):
        assert place() is None
    with mock.patch.dict(sys.modules, platformdirs=None):
        assert place() is None


def test_functions_of_every_signature_come_back_from_files(folder: Path) -> None:
    """Names and kinds of arguments are read with the code."""
    from saliency.cpu.compiled import functions

    dtype = np.dtype("f8")

    def write(dtype: np.dtype, *, factor: float):
        code = functions.Code(dtype, ("x", "out"), ("n",), ("shift",))
        for at, lanes in code.in_vectors(code["n"]):
            x = code.load("x", at, lanes)
            y = x.times_plus(
                code.constant(factor, lanes), code.repeated(code["shift"], lanes)
            )
            code.store(y, "out", at, lanes)
        return code

    x = np.arange(37.0)
    for factor in (3.0, 5.0, 3.0):
        function = functions.compiled(write)(dtype, factor=factor)
        out = np.zeros_like(x)
        function.whole(x.ctypes.data, out.ctypes.data, len(x), 0.5)
        np.testing.assert_array_equal(out, factor * x + 0.5)
        assert function.places == {"x": 0, "out": 1, "n": 2, "shift": 3}
    assert len(files(folder)) == 2

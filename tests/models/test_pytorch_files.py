"""Files of PyTorch are read without PyTorch, and nothing in them is executed."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency.models.weight_files import open_weights
from tests.models.pytorch_files import (
    Parameter,
    Storage,
    Tensor,
    pickled,
    state_dict,
    write_archive,
    write_pickles,
)

WRITERS = [write_archive, write_pickles]


def read(path: Path) -> dict[str, np.ndarray]:
    with open_weights(path, 1 << 30) as weights:
        arrays = {name: stored.read() for name, stored in weights.items()}
        for name, array in arrays.items():
            assert (array.shape, array.dtype) == weights[name][:2]
    return arrays


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {
        f"of.{dtype}": rng.integers(0, 100, (3, 4, 2)).astype(dtype)
        for dtype in "float64 float32 float16 int64 int32 int16 int8 uint8".split()  # noqa: SIM905
    }
    return {**made, "scalar": np.array(5), "empty": np.zeros((0, 3), "f")}


@pytest.mark.parametrize("write", WRITERS)
class TestArrays:
    def test_of_every_dtype(self, write, arrays, tmp_path):
        write(tmp_path / "x.pth", state_dict(arrays))
        found = read(tmp_path / "x.pth")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype

    def test_of_a_checkpoint_of_several_devices(self, write, tmp_path):
        state = state_dict({"module.fc.bias": np.arange(3.0)})
        moments = Tensor(Storage("9", np.zeros(3)))
        checkpoint = {
            "epoch": 3,
            "arch": "resnet50",
            "state_dict": state,
            "optimizer": {"state": {0: {"step": 1, "moments": moments}}, "lr": 0.1},
            "best": [None, True, False, (1, 2, 3, 4), -7, 1 << 40, 70_000, 300],
        }
        write(tmp_path / "x.pt", checkpoint)
        np.testing.assert_array_equal(
            read(tmp_path / "x.pt")["fc.bias"], np.arange(3.0)
        )

    def test_of_parameters(self, write, tmp_path):
        write(tmp_path / "x.pth", {"x": Parameter(Tensor(Storage("0", np.ones(3))))})
        np.testing.assert_array_equal(read(tmp_path / "x.pth")["x"], np.ones(3))

    def test_that_share_a_storage(self, write, tmp_path):
        numbers = np.arange(100, dtype="f")
        storage = Storage("0", numbers)
        views = {
            "all": Tensor(storage),
            "some": Tensor(storage, (10,), (1,), 20),
            "last": Tensor(storage, (2, 5), (5, 1), 90),
            "transposed": Tensor(storage, (5, 4), (1, 5), 3),
            "every third": Tensor(storage, (4,), (3,), 90),
            "one": Tensor(storage, (3, 3), (0, 0), 7),
        }
        write(tmp_path / "x.pth", views)
        found = read(tmp_path / "x.pth")
        np.testing.assert_array_equal(found["all"], numbers)
        np.testing.assert_array_equal(found["some"], numbers[20:30])
        np.testing.assert_array_equal(found["last"], numbers[90:].reshape(2, 5))
        transposed = numbers[3:23].reshape(4, 5).T
        np.testing.assert_array_equal(found["transposed"], transposed)
        np.testing.assert_array_equal(found["every third"], numbers[90::3])
        np.testing.assert_array_equal(found["one"], np.full((3, 3), 7))

    def test_of_a_dtype_that_numpy_lacks(self, write, tmp_path):
        storage = Storage("0", np.zeros(6, "int16"), "BFloat16")
        write(tmp_path / "x.pth", {"x": Tensor(storage, (2, 3), (3, 1))})
        with open_weights(tmp_path / "x.pth", 1 << 20) as weights:
            assert weights["x"][:2] == ((2, 3), "bfloat16")

    def test_a_tuple_in_place_of_a_state_dict(self, write, tmp_path):
        write(tmp_path / "x.pth", (1, 2))
        with pytest.raises(ValueError, match="it holds no state dict"):
            read(tmp_path / "x.pth")

    def test_what_is_no_array_is_named(self, write, tmp_path):
        write(tmp_path / "x.pth", {"epoch": 3})
        with pytest.raises(ValueError, match="its epoch is no array"):
            read(tmp_path / "x.pth")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_archives_of_every_protocol(protocol, arrays, tmp_path):
    write_archive(tmp_path / "x.pth", state_dict(arrays), protocol, byteorder=None)
    found = read(tmp_path / "x.pth")
    np.testing.assert_array_equal(found["of.float32"], arrays["of.float32"])


class OfPython2:
    """An OrderedDict as Python 2 pickles it: called with its items, pairs in a list."""

    def __init__(self, **items: Any) -> None:
        self.items = items

    def __reduce__(self) -> Any:
        return OrderedDict, ([[name, value] for name, value in self.items.items()],)


@pytest.mark.parametrize("write", WRITERS)
def test_state_dicts_of_python_2(write, tmp_path):
    tensor = Tensor(Storage("0", np.arange(3.0)))
    write(tmp_path / "x.pth", OfPython2(x=tensor))
    np.testing.assert_array_equal(read(tmp_path / "x.pth")["x"], np.arange(3.0))


# --- refused --------------------------------------------------------------------------


class Opens:
    """Makes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return open, (str(self.folder / "opened"), "w")


class Builds:
    """Has attributes that unpickling would set."""

    def __init__(self) -> None:
        self.a = 1


@pytest.mark.parametrize("write", WRITERS)
class TestRefused:
    def check(
        self, write: Callable[..., None], value: Any, path: Path, say: str
    ) -> None:
        write(path, value)
        with pytest.raises(ValueError, match=say):
            read(path)

    @pytest.mark.parametrize("where", ["state_dict", "args"])
    def test_a_function_is_not_called(self, write, where, tmp_path):
        value = {where: Opens(tmp_path)}
        self.check(write, value, tmp_path / "x.pth", r"it names (_?io)\.open; only")
        assert not (tmp_path / "opened").exists()

    def test_a_class_is_not_imported(self, write, tmp_path):
        path = tmp_path / "x.pth"
        write(path, {"a": Builds()})
        with pytest.raises(ValueError, match=r"it names .*Builds; only"):
            read(path)

    @pytest.mark.parametrize(
        ("shape", "strides", "offset", "say"),
        [
            (
                (11,),
                (1,),
                0,
                r"shape \(11,\) with strides \(1,\) from 0 on is not within",
            ),
            ((2, 2), (9, 1), 0, "is not within its storage 0, which has 10 numbers"),
            ((5,), (1,), 6, "from 6 on is not within"),
            ((1 << 60,), (1 << 60,), 0, "is not within"),
            ((2,), (-1,), 1, "shape or strides are no numbers"),
            ((2,), (1,), -1, "shape or strides are no numbers"),
            ((-2,), (1,), 0, "shape or strides are no numbers"),
            ((1 << 70,), (0,), 0, "shape or strides are no numbers"),
            ((2,), (1, 1), 0, "shape or strides are no numbers"),
            ((True,), (1,), 0, "shape or strides are no numbers"),
            ((1.5,), (1,), 0, "shape or strides are no numbers"),
            ([2], [1], 0, "shape or strides are no numbers"),
            ((1,) * 33, (1,) * 33, 0, "shape or strides are no numbers"),
        ],
    )
    def test_a_tensor_is_within_its_storage(
        self, write, shape, strides, offset, say, tmp_path
    ):
        tensor = Tensor(Storage("0", np.zeros(10)), shape, strides, offset)
        self.check(write, {"x": tensor}, tmp_path / "x.pth", say)

    @pytest.mark.parametrize("said", [9, 11, 1 << 40])
    def test_a_storage_has_as_many_numbers_as_are_said(self, write, said, tmp_path):
        tensor = Tensor(Storage("0", np.zeros(10), said=said), (5,), (1,))
        say = rf"(80 bytes, and {8 * said} are)|(10 numbers, {said} are said)"
        self.check(write, {"x": tensor}, tmp_path / "x.pth", say)

    def test_a_storage_that_is_described_in_two_ways(self, write, tmp_path):
        two = {
            "x": Tensor(Storage("0", np.zeros(10))),
            "y": Tensor(Storage("0", np.zeros(10), "Long")),
        }
        say = "describes its storage 0 in two ways"
        self.check(write, two, tmp_path / "x.pth", say)

    def test_a_list_within_itself(self, write, tmp_path):
        value: list[Any] = []
        value.append(value)
        self.check(write, {"x": value}, tmp_path / "x.pth", "its x is no array")

    def test_a_file_that_is_cut_off_anywhere(self, write, tmp_path):
        path = tmp_path / "x.pth"
        write(path, state_dict({"x": np.arange(5.0)}))
        whole = path.read_bytes()
        for n in range(0, len(whole), 7):
            path.write_bytes(whole[:n])
            with pytest.raises(ValueError, match=r"x\.pth' (cannot|is not) (be )?read"):
                read(path)

    @given(data=st.data())
    def test_a_file_with_any_other_bytes_is_read_or_a_valueerror(
        self, write, tmp_path_factory, data
    ):
        path = tmp_path_factory.mktemp("changed") / "x.pth"
        write(path, state_dict({"x": np.arange(5.0), "y": np.zeros((2, 3), "f")}))
        content = bytearray(path.read_bytes())
        places = st.integers(0, len(content) - 1)
        for place in data.draw(st.lists(places, min_size=1, max_size=5)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            with open_weights(path, 1 << 20) as weights:
                shapes = {name: stored.shape for name, stored in weights.items()}
        except ValueError:
            return
        assert all(isinstance(shape, tuple) for shape in shapes.values())


def test_big_endian_numbers_are_refused(tmp_path):
    state = state_dict({"x": np.zeros(3)})
    write_archive(tmp_path / "x.pth", state, byteorder="big")
    write_pickles(tmp_path / "y.pth", state, little_endian=False)
    for name in ("x.pth", "y.pth"):
        with pytest.raises(ValueError, match="its numbers are not little-endian"):
            read(tmp_path / name)


class TestArchives:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        write_archive(tmp_path / "x.pth", state_dict({"x": np.arange(1e5)}))
        path: Path = tmp_path / "x.pth"
        return path

    def members(self, path: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def rewrite(self, path: Path, members: dict[str, bytes], **how: Any) -> None:
        with zipfile.ZipFile(path, "w", **how) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    def test_one_that_is_compressed_is_refused(self, path):
        self.rewrite(path, self.members(path), compression=zipfile.ZIP_DEFLATED)
        with pytest.raises(ValueError, match=r"its member weights/\S+ is compressed"):
            read(path)

    def test_one_with_two_descriptions_is_refused(self, path):
        members = self.members(path)
        self.rewrite(path, {**members, "x/data.pkl": members["weights/data.pkl"]})
        with pytest.raises(ValueError, match=r"it does not have one member data\.pkl"):
            read(path)

    def test_a_storage_that_is_missing_is_named(self, path):
        members = self.members(path)
        del members["weights/data/0"]
        self.rewrite(path, members)
        with pytest.raises(ValueError, match="its storage 0 is missing"):
            read(path)

    def test_damaged_numbers_are_noticed(self, path):
        content = bytearray(path.read_bytes())
        content[content.index(np.arange(1e5).tobytes()) + 5000] ^= 1
        path.write_bytes(content)
        with pytest.raises(zipfile.BadZipFile, match="CRC"):
            read(path)


def identity(*behind: Any) -> bytes:
    """Returns how a storage of three numbers is identified, with more behind."""
    content, _ = pickled([Storage("0", np.zeros(3))])
    more = b"".join(pickle.dumps(one, 2)[2:-1] for one in behind)
    # Before the tuple is closed and its storage put into the list.
    before, closed, _ = content[2:-1].rpartition(b"tq\x05Qa")
    assert closed
    return before + more + closed


def test_a_storage_that_is_a_part_of_another_one(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(machine(identity(None), b".") + pickle.dumps([], 2))
    with pytest.raises(ValueError, match="its storage 0 is missing"):
        read(path)
    path.write_bytes(machine(identity(("1", 0, 3)), b".") + pickle.dumps([], 2))
    with pytest.raises(ValueError, match="its storage 0 is a part of another one"):
        read(path)


def machine(*instructions: bytes) -> bytes:
    """Returns a pickle behind those with which a file of PyTorch begins."""
    sys_info = {"protocol_version": 1001, "little_endian": True}
    first = [pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, sys_info)]
    return b"".join([*first, b"\x80\x02", *instructions])


@pytest.mark.parametrize(
    ("content", "say"),
    [
        (machine(b"I1\n."), "it has the instruction INT|the instruction INT"),
        (machine(b"("), "is it complete"),
        (machine(b"."), "does not end with one value"),
        (machine(b"K\x01K\x02."), "does not end with one value"),
        (machine(b"0."), "the instruction POP"),
        (machine(b"K\x01a."), "its pickle is damaged at APPEND"),
        (machine(b"K\x01K\x02s."), "its pickle is damaged at SETITEM"),
        (machine(b"h\x05."), "its pickle is damaged at BINGET"),
        (machine(b"K\x01)R."), "its pickle is damaged at REDUCE"),
        (machine(b"ctorch\nFloatStorage\n)R."), r"it calls torch\.FloatStorage"),
        (machine(b"ctorch\nload\n)R."), r"it names torch\.load"),
        (machine(b"cos\nsystem\n."), r"it names os\.system"),
        (machine(b"ctorch._utils\n_rebuild_tensor_v2\n)R."), "TypeError"),
        (machine(b"K\x01Q."), "refers to something that is no storage"),
        (machine(b"K\x01}b."), "gives attributes to what has none"),
        (machine(b"}U\x01xK\x01s.]."), "its x is no array"),  # a text of Python 2
        (pickle.dumps(7, 2), "does not begin as a file of PyTorch"),
        (
            machine().replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2), 1),
            "unknown version of the format",
        ),
    ],
    ids=str,
)
def test_what_pytorch_never_writes_is_refused(content, say, tmp_path):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=say):
        read(tmp_path / "x.pth")

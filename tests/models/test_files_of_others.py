"""What files of weights may not do: lead elsewhere, unpack to gigabytes, run code."""

from __future__ import annotations

import contextlib
import json
import pickle
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors
from safetensors.numpy import save_file

from saliency import load_pretrained
from saliency.models import layouts, pretrained
from saliency.models.formats import stored
from saliency.models.formats.caffe import open_caffe
from tests.models.files import write_caffe_resnet, write_keras, write_old_caffe
from tests.models.pytorch_files import (
    Storage,
    Tensor,
    pickled,
    write_archive,
    write_pickles,
)

import chainer
import chainer.links as L
from chainer.links.caffe import CaffeFunction

MB = 1 << 20
# What the bombs unpack to: more than may be used, and as little as that to save time.
N_BYTE = 128 * MB
SECRET = np.full(64, 7, "f")


# --- files ----------------------------------------------------------------------------


def external_storage(path: Path) -> None:
    """The bias is in another file of this machine."""
    with first_layer(path) as layer:
        SECRET.tofile(path.with_suffix(".secret"))
        external = [(str(path.with_suffix(".secret")), 0, 256)]
        layer.create_dataset("bias", (64,), "f", external=external)


def external_link(path: Path) -> None:
    with first_layer(path) as layer:
        write_secret(path.with_suffix(".secret"))
        layer["bias"] = h5py.ExternalLink(path.with_suffix(".secret"), "/x")


def external_layer(path: Path) -> None:
    write_secret(path.with_suffix(".secret"))
    with h5py.File(path, "w") as file:
        file["block1_conv1"] = h5py.ExternalLink(path.with_suffix(".secret"), "/layer")


def external_root(path: Path) -> None:
    write_secret(path.with_suffix(".secret"))
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink(path.with_suffix(".secret"), "/")


def soft_link(path: Path) -> None:
    """It leads through an external one."""
    external_link(path)
    with h5py.File(path, "r+") as file:
        layer = file["block1_conv1"]
        layer.move("bias", "elsewhere")
        layer["bias"] = h5py.SoftLink("/block1_conv1/elsewhere")


def virtual(path: Path) -> None:
    write_secret(path.with_suffix(".secret"))
    layout = h5py.VirtualLayout((64,), "f")
    layout[:] = h5py.VirtualSource(path.with_suffix(".secret"), "x", (64,))
    with first_layer(path) as layer:
        layer.create_virtual_dataset("bias", layout)


def too_large(path: Path) -> None:
    """Chunks of a megabyte in a kilobyte each, a thousand times."""
    with first_layer(path) as layer:
        chunks = {"chunks": (1, MB // 4), "compression": "gzip"}
        bias = layer.create_dataset("bias", (1000, MB // 4), "f", **chunks)
        chunk = zlib.compress(bytes(MB), 9)
        for i in range(1000):
            bias.id.write_direct_chunk((i, 0), chunk)


def false_chunk(path: Path) -> None:
    """The chunk of a bias, said to have 256 bytes, inflates to all of it."""
    with whole_keras(path) as file:
        layer = file["block1_conv1"]
        del layer["bias"]
        bias = layer.create_dataset("bias", (64,), "f", chunks=(64,), compression=1)
        bias.id.write_direct_chunk((0,), inflates_to(N_BYTE))


def large_chunk(path: Path) -> None:
    with whole_keras(path) as file:
        layer = file["block1_conv1"]
        del layer["bias"]
        options = {"chunks": (MB * 256,), "maxshape": (None,), "compression": 1}
        bias = layer.create_dataset("bias", (64,), "f", **options)
        bias.id.write_direct_chunk((0,), inflates_to(N_BYTE))


def twice_deflated(path: Path) -> None:
    with whole_keras(path) as file:
        layer = file["block1_conv1"]
        del layer["bias"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((64,))
        for _ in range(2):
            plist.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (1,))
        space = h5py.h5s.create_simple((64,))
        float32 = h5py.h5t.NATIVE_FLOAT
        bias = h5py.h5d.create(layer.id, b"bias", float32, space, plist)
        bias.write_direct_chunk((0,), zlib.compress(inflates_to(N_BYTE)))


def never_written(path: Path) -> None:
    with whole_keras(path) as file:
        layer = file["block1_conv1"]
        del layer["bias"]
        layer.create_dataset("bias", (64,), "f", chunks=(64,))


def npz_bomb(path: Path) -> None:
    """A member that is as large as it says."""
    with deflated(path) as archive, archive.open("conv1_1/W.npy", "w") as file:
        write_header(file, (N_BYTE // 4,))
        write_zeros(file)


def npz_long_array(path: Path) -> None:
    """A member that has the right shape, and much behind it."""
    with whole_npz(path, but="conv1_1/b") as file:
        write_header(file, (64,))
        write_zeros(file)


def npz_wide_dtype(path: Path) -> None:
    with whole_npz(path, but="conv1_1/b") as file:
        write_header(file, (64,), f"|S{N_BYTE}")
        write_zeros(file)


def npz_long_header(path: Path) -> None:
    with whole_npz(path, but="conv1_1/b") as file:
        file.write(b"\x93NUMPY\x02\x00" + N_BYTE.to_bytes(4, "little"))
        write_zeros(file)


def npz_of_lzma(path: Path) -> None:
    """To unpack it, memory for a dictionary of gigabytes would be taken first."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("conv1_1/W.npy", bytes(1000))


def npz_long_list(path: Path) -> None:
    """The list of members, which is read as a whole, has all bytes of the file."""
    end = b"PK\x05\x06" + bytes(4) + 2 * (9).to_bytes(2, "little")
    end += N_BYTE.to_bytes(4, "little") + bytes(6)
    with path.open("wb") as file:
        file.truncate(N_BYTE)
        file.seek(0, 2)
        file.write(end)


def many_h5_layers(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        for i in range(10_001):
            file[str(i)] = h5py.SoftLink("/")


def long_h5_names(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        layer = file.create_group("block1_conv1")
        layer.attrs["weight_names"] = np.zeros(2, "S1000000")


def long_name_in_caffe(path: Path) -> None:
    length = 1 << 20
    inner = b"\x0a" + varint(length, 3) + bytes(length)
    path.write_bytes(b"\xa2\x06" + varint(len(inner), 3) + inner)


def huge_safetensors(path: Path) -> None:
    shape = [1 << 30]
    said = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 << 30]}
    header = json.dumps({"features.0.weight": said}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (4 << 30))


def long_header_safetensors(path: Path) -> None:
    with path.open("wb") as file:
        file.write((90 * MB).to_bytes(8, "little") + b'{"a":')
        file.truncate(8 + 90 * MB)


def huge_caffe(path: Path) -> None:
    """A blob that says to be a terabyte, and has a byte."""
    from chainer.links.caffe.protobuf3 import caffe_pb2

    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="conv1_1", type="Convolution", bottom=["x"], top=["x"])
    layer.convolution_param.kernel_size.append(1 << 10)
    layer.blobs.add(data=[0]).shape.dim.extend([1 << 9, 1 << 9, 1 << 10, 1 << 10])
    layer.blobs.add(data=[0]).shape.dim.extend([1])
    path.write_bytes(net.SerializeToString())


def many_layers(path: Path) -> None:
    """Ten million empty layers, of which each would take a hundred bytes."""
    path.write_bytes(b"\xa2\x06\x00" * 10_000_000)


def endless(path: Path) -> None:
    """A file of nothing, a terabyte long."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


def huge_storage_in_pth(path: Path) -> None:
    """A tensor of a terabyte, in a file that has a byte of it."""
    storage = Storage("0", np.zeros(1, "uint8"), said=1 << 40)
    write_archive(path, {"features.0.weight": Tensor(storage, (1 << 40,), (1,))})


def expanded_in_pth(path: Path) -> None:
    """A number that is repeated a trillion times."""
    storage = Storage("0", np.zeros(1, "f"))
    write_pickles(path, {"features.0.weight": Tensor(storage, (1 << 40,), (0,))})


def many_instructions_in_pth(path: Path) -> None:
    write_described(path, b"}" * MB)


def long_text_in_pth(path: Path) -> None:
    """A text that is said to have all bytes of memory, of which none are there."""
    write_described(path, b"X" + (N_BYTE).to_bytes(4, "little"))


def many_texts_in_pth(path: Path) -> None:
    write_described(path, (b"X" + (9000).to_bytes(4, "little") + bytes(9000)) * 2000)


def long_number_in_pth(path: Path) -> None:
    write_described(path, b"\x8b" + (N_BYTE).to_bytes(4, "little"))


def long_line_in_pth(path: Path) -> None:
    write_described(path, b"c" + b"x" * MB)


def copied_pairs_in_pth(path: Path) -> None:
    """A list of pairs, of which a dict is made ten thousand times."""
    pair = b"]U\x01aK\x01e".replace(b"]", b"](")
    copy = b"ccollections\nOrderedDict\nh\x00\x85R"
    write_described(path, b"](" + pair * 10_000 + b"eq\x00" + copy * 10_000)


def high_memo_in_pth(path: Path) -> None:
    write_described(path, b"K\x01r\xff\xff\xff\xff")


def deep_in_pth(path: Path) -> None:
    """A tuple in a tuple, a hundred thousand times, as a key."""
    write_described(path, b"})" + b"\x85" * 100_000 + b"K\x01s")


def compressed_pth(path: Path) -> None:
    with deflated(path) as archive, archive.open("x/data.pkl", "w") as file:
        file.write(bytes(MB))


# --- what they are written with -------------------------------------------------------


@contextlib.contextmanager
def first_layer(path: Path) -> Any:
    """A file with the first layer of VGG16, less its bias."""
    with h5py.File(path, "w") as file:
        layer = file.create_group("block1_conv1")
        layer.attrs["weight_names"] = [b"kernel", b"bias"]
        layer["kernel"] = np.zeros((3, 3, 3, 64), "f")
        yield layer


@contextlib.contextmanager
def whole_keras(path: Path) -> Any:
    """A file of VGG16 that is whole, but holds numbers in the first layer alone.

    The others are of zeros that were never written, which takes no space.
    """
    layout = layouts._vgg_of_keras(16, [])
    places = places_of("vgg16", layout)
    with h5py.File(path, "w") as file:
        for entry in layout.entries:
            layer, role = entry.sources[0].split("/")
            shape = places[entry.target].array.shape
            if len(shape) > 1:
                shape = shape[::-1] if len(shape) == 2 else (*shape[2:], *shape[1::-1])
            group = file.require_group(layer)
            group.attrs["weight_names"] = [b"kernel", b"bias"]
            group.create_dataset(role, shape, "f", data=kept(layer, shape))
        yield file


def kept(layer: str, shape: tuple[int, ...]) -> Any:
    return np.zeros(shape, "f") if layer == "block1_conv1" else None


@contextlib.contextmanager
def whole_npz(path: Path, but: str) -> Any:
    """Chainer's file of VGG16, of which one member is left to write.

    Those behind the first layer have a header, and nothing more.
    """
    layout = layouts._vgg_of_chainer(16, [])
    with deflated(path) as archive:
        for target, place in places_of("vgg16", layout).items():
            if target != but:
                with archive.open(f"{target}.npy", "w") as file:
                    write_header(file, place.array.shape)
                    if target.startswith("conv1_1/"):
                        file.write(bytes(place.array.nbytes))
        with archive.open(f"{but}.npy", "w") as file:
            yield file


def deflated(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)


def places_of(name: str, layout: layouts.Layout, top: bool = True) -> dict[str, Any]:
    network = pretrained._NETWORKS[name]
    of_layout = pretrained._class_of(network, layout, top)
    model = pretrained._empty(of_layout, network.arguments, layout)
    return pretrained._places_of(model)


def write_described(path: Path, instructions: bytes) -> None:
    """Writes a pickle of PyTorch's older format, of which this is the description."""
    write_pickles(path, {})
    whole, empty = path.read_bytes(), pickled({})[0]
    path.write_bytes(whole.replace(empty, b"\x80\x02" + instructions + b".", 1))


def write_header(file: Any, shape: tuple[int, ...], dtype: str = "<f4") -> None:
    said = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, said)


def write_zeros(file: Any) -> None:
    for _ in range(N_BYTE // MB):
        file.write(bytes(MB))


def write_secret(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = SECRET
        layer = file.create_group("layer")
        layer.attrs["weight_names"] = [b"bias"]
        layer["bias"] = SECRET


def inflates_to(n_byte: int) -> bytes:
    deflate = zlib.compressobj(1)
    parts = [deflate.compress(bytes(MB)) for _ in range(n_byte // MB)]
    return b"".join([*parts, deflate.flush()])


# --- refused --------------------------------------------------------------------------

REFUSED = {
    external_storage: (".h5", "the numbers of /block1_conv1/bias are in another file"),
    external_link: (".h5", "bias in /block1_conv1 is a link"),
    external_layer: (".h5", "block1_conv1 in / is a link"),
    external_root: (".h5", "model_weights in / is a link"),
    soft_link: (".h5", "bias in /block1_conv1 is a link"),
    virtual: (".h5", "the numbers of /block1_conv1/bias are in another file"),
    too_large: (".h5", "block1_conv1/bias has shape (1000, 262144), 262144000 values"),
    false_chunk: (".h5", "its chunk at (0,) has more than 256 bytes"),
    large_chunk: (".h5", "its chunks have 1073741824 bytes, and may have 67108864"),
    twice_deflated: (".h5", "its filters have the numbers [1, 1]"),
    never_written: (".h5", "its numbers were never written"),
    npz_bomb: (
        ".npz",
        "conv1_1/W has shape (33554432,), 33554432 values in place",
    ),
    npz_long_array: (
        ".npz",
        "conv1_1/b is not read: there is more than the array",
    ),
    npz_wide_dtype: (".npz", "conv1_1/b is of dtype bytes"),
    npz_long_header: (
        ".npz",
        "its member conv1_1/b.npy: it is an array of version (2, 0)",
    ),
    npz_of_lzma: (".npz", "conv1_1/W.npy: it is compressed by method 14"),
    npz_long_list: (".npz", f"its list of members has {N_BYTE} bytes"),
    many_h5_layers: (".h5", "it has 10001 layers"),
    long_h5_names: (".h5", "the names of arrays in /block1_conv1 are too long"),
    long_name_in_caffe: (".caffemodel", "it has a name of 1048576 bytes"),
    huge_safetensors: (".safetensors", "has 4294967"),
    long_header_safetensors: (".safetensors", "its header of 94371840 bytes"),
    huge_caffe: (".caffemodel", "blob 0 of conv1_1 has shape (512, 512, 1024, 1024)"),
    many_layers: (".caffemodel", "it has more than 100000 fields"),
    huge_storage_in_pth: (".pth", "has 1 bytes, and 1099511627776 are said"),
    expanded_in_pth: (".pth", "features.0.weight has shape (1099511627776,)"),
    many_instructions_in_pth: (".pth", "has more than 300000 instructions"),
    long_text_in_pth: (".pth", f"text or number in its description has {N_BYTE} bytes"),
    many_texts_in_pth: (".pth", "its description has more than 16777216 bytes"),
    long_number_in_pth: (".pth", f"number in its description has {N_BYTE} bytes"),
    long_line_in_pth: (".pth", "in its description has 10001 bytes"),
    copied_pairs_in_pth: (".pth", "its pickle does not end with one value"),
    high_memo_in_pth: (".pth", "it holds no state dict"),
    deep_in_pth: (".pth", "it holds no arrays with names"),
    compressed_pth: (".pth", "its member x/data.pkl is compressed"),
    endless: (".npz", "has 1099511627776 bytes, and at most"),
}

# Each file under a limit for all memory that the process may address: 100 MB more than
# it has now. What a file takes beyond that is a MemoryError, and not what is expected.
LOAD = """
import json, resource, sys, time, warnings
import h5py, mmap, safetensors.numpy
from saliency import load_pretrained

extra = int(sys.argv[1])
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + extra, size + extra))
for name, path in zip(sys.argv[2::2], sys.argv[3::2]):
    start = time.perf_counter()
    try:
        load_pretrained(name, path)
        said = "loaded", ""
    except Exception as error:
        said = type(error).__name__, str(error)
    print(json.dumps([*said, time.perf_counter() - start]), flush=True)
"""


def load(extra: int, *names_and_paths: Any) -> list[tuple[str, str, float]]:
    """Loads files, in memory that is limited.

    Returns:
        What came of each: kind and text of an error, and seconds.
    """
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(extra), *map(str, names_and_paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[Any, tuple[str, str, float]]:
    folder = tmp_path_factory.mktemp("files")
    arguments: list[Any] = []
    for write, (suffix, _) in REFUSED.items():
        path = folder / f"{write.__name__}{suffix}"
        write(path)
        arguments += ["vgg16", path]
    return dict(zip(REFUSED, load(100 * MB, *arguments)))


@pytest.mark.large
@pytest.mark.parametrize("write", REFUSED)
def test_is_refused_within_a_second_and_100_mb(write, outcomes):
    kind, message, seconds = outcomes[write]
    assert kind == "ValueError"
    assert f"{write.__name__}{REFUSED[write][0]}" in message
    assert REFUSED[write][1] in message
    assert seconds < 10  # a second, on a machine that does nothing else


# --- read -----------------------------------------------------------------------------


def chainers_resnet(value: float) -> dict[str, np.ndarray]:
    """Returns arrays of one number each, which compress well."""
    layout = layouts._resnet_of_chainer(50, [])
    places = places_of("resnet50", layout)
    return {path: np.full(p.array.shape, value, "f") for path, p in places.items()}


def check_is_filled(model: chainer.Chain, value: float) -> None:
    arrays = [parameter.array for parameter in model.params()]
    for link in model.links():
        if isinstance(link, L.BatchNormalization):
            arrays += [link.avg_mean, link.avg_var]
    for array in arrays:
        assert array.dtype == np.float32
        assert array.flags.owndata and array.flags.c_contiguous
        assert array.flags.writeable
        assert (array == value).all()
    assert all(parameter.grad is None for parameter in model.params())


class TestCompressed:
    """What is compressed and is as large as the network is read as ever."""

    @pytest.mark.large
    def test_npz(self, of_zip):
        assert of_zip.stat().st_size < MB
        check_is_filled(load_pretrained("resnet50", of_zip), 0.5)

    @pytest.mark.large
    def test_h5_with_every_filter(self, tmp_path):
        path = tmp_path / "x.h5"
        write_keras(path, keras_resnet(), "{layer}/{role}:0")
        with h5py.File(path, "r+") as file:
            for layer, options in (
                ("predictions", {"compression": 9, "shuffle": True}),
                ("conv1_conv", {"compression": 1, "fletcher32": True}),
                ("conv2_block1_1_conv", {"chunks": (1, 1, 7, 64), "shuffle": True}),
                ("conv3_block1_2_conv", {"chunks": (2, 2, 100, 100), "compression": 1}),
            ):
                group = file[layer]
                for name in list(group):
                    values = group[name][()]
                    del group[name]
                    of_bias = {"compression": 1, "chunks": (9,)}
                    settings = options if values.ndim > 1 else of_bias
                    group.create_dataset(name, data=values, **settings)
        model = load_pretrained("resnet50", path)
        assert (model.fc6.W.array == 0.25).all()
        assert (model.conv1.W.array == 0.25).all()
        assert (model.res2.a.conv1.W.array == 0.25).all()
        assert (model.res3.a.conv2.W.array == 0.25).all()


def keras_resnet() -> dict[str, np.ndarray]:
    layout = layouts._resnet_of_keras(50, [])
    places = places_of("resnet50", layout)
    arrays = {}
    for entry in layout.entries:
        shape = places[entry.target].array.shape
        if entry.sources[0].endswith("kernel"):
            shape = shape[::-1] if len(shape) == 2 else (*shape[2:], *shape[1::-1])
        for name in entry.sources:
            arrays[name] = np.full(shape, 0.25, "f")
    # In the order of Keras: kernel and bias, and the four of a normalization.
    order = ["kernel", "bias", "gamma", "beta", "mean", "var"]
    return dict(sorted(arrays.items(), key=lambda item: order.index(role_of(item[0]))))


def role_of(name: str) -> str:
    return name.rpartition("/")[2]


class TestMembersOfNpz:
    @pytest.fixture
    def arrays(self) -> dict[str, Any]:
        return {**chainers_resnet(0.5)}

    @pytest.mark.large
    def test_a_damaged_one_is_named(self, arrays, tmp_path):
        path = tmp_path / "x.npz"
        arrays["fc6/b"] = np.arange(1000, dtype="f")
        np.savez(path, **arrays)
        content = bytearray(path.read_bytes())
        content[content.index(arrays["fc6/b"].tobytes()) + 2000] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"fc6/b cannot be read; is .*Bad CRC"):
            load_pretrained("resnet50", path)

    def test_one_that_is_no_array_is_named(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("fc6/b.npy", "this is no array")
        with pytest.raises(
            ValueError, match=r"not read: its member fc6/b\.npy: .*magic"
        ):
            load_pretrained("resnet50", tmp_path / "x.npz")

    def test_two_of_a_name_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros(3))
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.write(tmp_path / "a.npy", "a.npy")
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("a.npy", (tmp_path / "a.npy").read_bytes())
        with pytest.raises(ValueError, match="it holds a twice"):
            load_pretrained("resnet50", tmp_path / "x.npz")

    def test_more_than_any_network_has(self, arrays, tmp_path, monkeypatch):
        monkeypatch.setattr(stored, "_MOST_ARRAYS", 9)
        np.savez(tmp_path / "x.npz", **dict.fromkeys("abcdefghij", np.zeros(3)))
        with pytest.raises(ValueError, match="it holds more than 9 arrays"):
            load_pretrained("resnet50", tmp_path / "x.npz")

    @pytest.mark.parametrize("array", [np.array("text"), np.zeros(1000, complex)])
    def test_what_is_no_number_is_named(self, arrays, array, tmp_path):
        np.savez(tmp_path / "x.npz", **{**arrays, "fc6/b": array})
        with pytest.raises(ValueError, match=r"fc6/b is of dtype (str128|complex128)"):
            load_pretrained("resnet50", tmp_path / "x.npz")

    @pytest.mark.large
    def test_what_is_too_large_for_float32_is_not_finite(self, arrays, tmp_path):
        np.savez(tmp_path / "x.npz", **{**arrays, "fc6/b": np.full(1000, 1e300)})
        with pytest.raises(ValueError, match="fc6/b has values that are not finite"):
            load_pretrained("resnet50", tmp_path / "x.npz")

    def test_weights_of_keras_3_are_told_from_its_models(self, tmp_path):
        """What ``save_weights`` writes has numbers in the place of names."""
        path = tmp_path / "vgg16.weights.h5"
        with h5py.File(path, "w") as file:
            group = file.create_group("layers/conv2d/vars")
            group["0"], group["1"] = np.zeros((3, 3, 3, 64), "f"), np.zeros(64, "f")
        with pytest.raises(ValueError, match=r"not read: .* model\.save\('name\.h5'"):
            load_pretrained("vgg16", path)

    def test_no_pickle_is_executed(self, arrays, tmp_path):
        np.savez(tmp_path / "x.npz", **{**arrays, "fc6/b": np.array([Opens(tmp_path)])})
        with pytest.raises(ValueError, match="fc6/b is of dtype object"):
            load_pretrained("resnet50", tmp_path / "x.npz")
        assert not (tmp_path / "opened").exists()

    def test_a_pickle_with_the_name_of_an_archive(self, tmp_path):
        (tmp_path / "x.npz").write_bytes(pickle.dumps(Opens(tmp_path)))
        with pytest.raises(ValueError, match=r"cannot be read as \.npz"):
            load_pretrained("resnet50", tmp_path / "x.npz")
        assert not (tmp_path / "opened").exists()


class Opens:
    """Makes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return open, (str(self.folder / "opened"), "w")


@pytest.fixture(scope="module")
def of_zip(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("memory") / "x.npz"
    np.savez_compressed(path, **chainers_resnet(0.5))
    return path


class TestMemory:
    """The network has 100 MB, of which an array has 9."""

    def check(self, path: Path, extra: int) -> None:
        kind, message, _ = load(extra, "resnet50", path)[0]
        assert kind == "MemoryError"
        assert str(path) in message
        assert "there is too little memory for res" in message
        assert "complete" not in message

    @pytest.mark.large
    def test_too_little_is_said(self, of_zip):
        self.check(of_zip, 40 * MB)

    @pytest.mark.large
    def test_too_little_for_a_file_that_is_mapped_into_it(self, tmp_path):
        save_file(chainers_resnet(0.5), tmp_path / "x.safetensors")
        self.check(tmp_path / "x.safetensors", 140 * MB)

    @pytest.mark.large
    def test_too_little_for_the_library_that_reads_the_file(
        self, tmp_path, monkeypatch
    ):
        """Its exceptions of Rust are no Exception, and have no public name."""
        path = tmp_path / "x.safetensors"
        save_file(chainers_resnet(0.5), path)

        class PanicException(BaseException):
            """As Rust's library for Python names it."""

        class Panicking:
            def __init__(self, *args, **options):
                self.file = opened(*args, **options)

            def __enter__(self):
                self.file.__enter__()
                return self

            def __exit__(self, *raised):
                return self.file.__exit__(*raised)

            def __getattr__(self, name):
                return getattr(self.file, name)

            def get_tensor(self, name):
                raise PanicException("PyObject pointer is null")

        opened = safetensors.safe_open
        monkeypatch.setattr("safetensors.safe_open", Panicking)
        with pytest.raises(MemoryError, match="too little memory for conv1"):
            load_pretrained("resnet50", path=path)

    @pytest.mark.large
    def test_no_more_than_the_network_and_an_array(self, of_zip):
        assert load(140 * MB, "resnet50", of_zip)[0][:2] == ("loaded", "")


class TestCaffe:
    """Arrays are those that Chainer's CaffeFunction has."""

    @staticmethod
    def check(path: Path) -> None:
        function = CaffeFunction(str(path))
        expected = {name[1:]: p.array for name, p in function.namedparams()}
        for link in function.links():
            if isinstance(link, L.BatchNormalization):
                expected[f"{link.name}/avg_mean"] = link.avg_mean
                expected[f"{link.name}/avg_var"] = link.avg_var
        with open_caffe(path) as weights:
            assert weights.keys() == expected.keys()
            for name, declared in weights.items():
                array = declared.read()
                assert array.shape == declared.shape
                assert array.dtype == declared.dtype
                np.testing.assert_array_equal(array, expected[name])

    def test_of_today(self, tmp_path):
        rng = np.random.default_rng(0)
        shapes = {"conv/W": (4, 3, 5, 5), "conv/b": (4,), "other/W": (2, 4, 1, 1)}
        shapes |= dict.fromkeys(["bn/mean", "bn/var", "s/gamma", "s/beta"], (4,))
        shapes |= {"fc/W": (6, 8), "fc/b": (6,)}
        arrays = {name: rng.random(shape, "f") for name, shape in shapes.items()}
        write_caffe_resnet(tmp_path / "x.caffemodel", arrays)
        self.check(tmp_path / "x.caffemodel")

    def test_of_before_2015(self, tmp_path):
        rng = np.random.default_rng(0)
        shapes = {"conv/W": (4, 3, 5, 5), "conv/b": (4,), "fc/W": (6, 8), "fc/b": (6,)}
        arrays = {name: rng.random(shape, "f") for name, shape in shapes.items()}
        write_old_caffe(tmp_path / "x.caffemodel", arrays)
        self.check(tmp_path / "x.caffemodel")

    def test_numbers_in_several_pieces(self, tmp_path):
        """Messages may be concatenated, and lists then are."""
        from chainer.links.caffe.protobuf3 import caffe_pb2

        net = caffe_pb2.NetParameter()
        layer = net.layer.add(name="fc", type="InnerProduct", bottom=["x"], top=["x"])
        layer.inner_product_param.bias_term = False
        blob = layer.blobs.add(data=[1, 2, 3])
        blob.shape.dim.extend([2, 3])
        more = caffe_pb2.BlobProto(data=[4, 5, 6]).SerializeToString()
        content = blob.SerializeToString()
        layer.ClearField("blobs")
        inner = layer.SerializeToString() + b"\x3a" + varint(len(content + more))
        inner += content + more
        path = tmp_path / "x.caffemodel"
        path.write_bytes(b"\xa2\x06" + varint(len(inner)) + inner)
        self.check(path)

    @pytest.mark.parametrize(
        "content, message",
        [
            (b"\xa2\x06\x05\x0a", "it ends within the field"),
            (b"\xa2", "it ends within a number"),
            (b"\xff" * 11, "there is no number"),
            (b"\x0b", "there is no message"),
        ],
    )
    def test_what_is_none(self, content, message, tmp_path):
        (tmp_path / "x.caffemodel").write_bytes(content)
        with pytest.raises(ValueError, match=f"is it complete.*{message}"):
            load_pretrained("vgg16", tmp_path / "x.caffemodel")

    def test_layers_of_another_kind_have_no_place(self, tmp_path):
        from chainer.links.caffe.protobuf3 import caffe_pb2

        net = caffe_pb2.NetParameter()
        layer = net.layer.add(name="conv1_1", type="PReLU", bottom=["x"], top=["x"])
        layer.blobs.add(data=[1]).shape.dim.append(1)
        net.layer.add(name="split", type="Split")
        (tmp_path / "x.caffemodel").write_bytes(net.SerializeToString())
        with pytest.raises(ValueError, match=r"conv1_1/W is missing"):
            load_pretrained("vgg16", tmp_path / "x.caffemodel")


def varint(value: int, n_byte: int = 2) -> bytes:
    parts = [value >> 7 * i & 127 | 128 for i in range(n_byte)]
    parts[-1] &= 127
    return bytes(parts)


@pytest.mark.large
@pytest.mark.parametrize("name", pretrained._NETWORKS)
def test_every_layout_fills_every_array(name):
    """A network is built without numbers, and must not keep any place so."""
    depth = int("".join(c for c in name if c.isdigit()))
    family = next(family for family in layouts._FAMILIES if name.startswith(family))
    network = pretrained._NETWORKS[name]
    for _, layout_of in layouts._FAMILIES[family]:
        for names in ([], ["conv1_1/pad_value", "conv1/pad_value"], ["pool_pad"]):
            layout = layout_of(depth, names)
            targets = [entry.target for entry in layout.entries]
            assert len(targets) == len(set(targets))
            assert set(targets) == places_of(name, layout).keys()
            if network.features:
                features = layout.without_top()
                targets = [entry.target for entry in features.entries]
                assert set(targets) == places_of(name, features, top=False).keys()

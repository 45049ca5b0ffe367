"""Weights of other libraries in Chainer's networks, beside NumPy's own forward."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import pickle
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_image

from saliency import load_pretrained
from saliency.models import pretrained
from tests.models import reference
from tests.models.files import write_caffe_resnet, write_keras, write_old_caffe
from tests.models.pytorch_files import state_dict, write_archive, write_pickles
from tests.servers import content, running

import chainer
import chainer.links as L
from chainer.links.model.vision import vgg

OUTPUTS = {"vgg": "fc8", "res": "fc6"}


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return load_sample_image("flower.jpg")[100:324, 200:424]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def write_pth(arrays: dict[str, np.ndarray], path: Path) -> None:
    write_archive(path, state_dict(arrays))


def scores(model: chainer.Chain, photograph: np.ndarray) -> np.ndarray:
    """Returns the class scores of a photograph prepared as Chainer's users do it."""
    layer = OUTPUTS[type(model).__name__.replace("Padded", "")[:3].lower()]
    x = vgg.prepare(photograph)[None]
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(x, layers=[layer])[layer].array[0]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def check_saved(name: str, model: Any, photograph: Any, folder: Path) -> None:
    """Asserts that a network that was loaded, saved and loaded has the same scores."""
    chainer.serializers.save_npz(folder / "saved.npz", model, compression=False)
    again = load_pretrained(name, folder / "saved.npz")
    np.testing.assert_array_equal(scores(again, photograph), scores(model, photograph))


@pytest.mark.large
class TestScores:
    """The scores are those of the convention that the file comes from."""

    def test_of_vgg16_from_torchvision(self, photograph, rng, tmp_path):
        arrays = reference.weights_of_vgg_of_pytorch(rng)
        expected = reference.vgg_of_pytorch(photograph, arrays)
        save_file(arrays, tmp_path / "vgg16.safetensors")
        model = load_pretrained("vgg16", tmp_path / "vgg16.safetensors")
        assert type(model) is L.VGG16Layers
        assert distance(scores(model, photograph), expected) < 1e-5

    def test_of_vgg16_from_keras(self, photograph, rng, tmp_path):
        arrays = reference.weights_of_vgg_of_keras(rng)
        expected = reference.vgg_of_keras(photograph, arrays)
        write_keras(tmp_path / "vgg16.h5", arrays, "{layer}_{role}_1:0")
        model = load_pretrained("vgg16", tmp_path / "vgg16.h5")
        assert distance(scores(model, photograph), expected) < 1e-4

    def test_of_resnet50_from_torchvision(self, photograph, rng, tmp_path):
        arrays = reference.weights_of_resnet_of_pytorch(rng)
        expected = reference.resnet_of_pytorch(photograph, arrays)
        save_file(arrays, tmp_path / "resnet50.safetensors")
        model = load_pretrained("resnet50", tmp_path / "resnet50.safetensors")
        assert isinstance(model, L.ResNet50Layers)
        assert distance(scores(model, photograph), expected) < 1e-4

    def test_of_resnet50_from_keras(self, photograph, rng, tmp_path):
        arrays = reference.weights_of_resnet_of_keras(rng)
        expected = reference.resnet_of_keras(photograph, arrays)
        write_keras(tmp_path / "resnet50.h5", arrays)
        model = load_pretrained("resnet50", tmp_path / "resnet50.h5")
        assert distance(scores(model, photograph), expected) < 1e-4

    def test_of_resnet50_from_caffe(self, photograph, rng, tmp_path):
        arrays = reference.weights_of_resnet_of_caffe(rng)
        expected = reference.resnet_of_caffe(photograph, arrays)
        write_caffe_resnet(tmp_path / "resnet50.caffemodel", arrays)
        model = load_pretrained("resnet50", tmp_path / "resnet50.caffemodel")
        assert distance(scores(model, photograph), expected) < 1e-4

    @pytest.mark.parametrize("write", [write_archive, write_pickles])
    def test_of_resnet50_from_a_pth_file(self, write, photograph, rng, tmp_path):
        arrays = reference.weights_of_resnet_of_pytorch(rng)
        expected = reference.resnet_of_pytorch(photograph, arrays)
        write(tmp_path / "resnet50.pth", state_dict(arrays))
        model = load_pretrained("resnet50", tmp_path / "resnet50.pth")
        assert distance(scores(model, photograph), expected) < 1e-4

    @pytest.mark.skipif(
        importlib.util.find_spec("torch") is None,
        reason="PyTorch, which would write a .pth file, is not installed",
    )
    @pytest.mark.parametrize("is_archive", [False, True])
    def test_of_resnet50_as_pytorch_writes_it(
        self, is_archive, photograph, rng, tmp_path
    ):
        import torch

        arrays = reference.weights_of_resnet_of_pytorch(rng)
        expected = reference.resnet_of_pytorch(photograph, arrays)
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        path = tmp_path / "resnet50.pth"
        torch.save(state, path, _use_new_zipfile_serialization=is_archive)
        model = load_pretrained("resnet50", path)
        assert distance(scores(model, photograph), expected) < 1e-4

    def test_of_a_file_of_chainers_own(self, photograph, tmp_path):
        np.random.seed(0)
        model = L.ResNet50Layers(pretrained_model=None)
        chainer.serializers.save_npz(tmp_path / "own.npz", model, compression=False)
        loaded = load_pretrained("resnet50", tmp_path / "own.npz")
        assert type(loaded) is L.ResNet50Layers
        expected = scores(model, photograph)
        np.testing.assert_array_equal(scores(loaded, photograph), expected)


@pytest.mark.large
class TestSavedAfterLoading:
    """Chainer's file of a network that was loaded gives the same scores again."""

    def test_resnet50_of_torchvision(self, small, photograph, tmp_path):
        save_file(small, tmp_path / "a.safetensors")
        model = load_pretrained("resnet50", tmp_path / "a.safetensors")
        check_saved("resnet50", model, photograph, tmp_path)

    def test_resnet50_of_keras(self, photograph, rng, tmp_path):
        write_keras(tmp_path / "a.h5", reference.weights_of_resnet_of_keras(rng))
        model = load_pretrained("resnet50", tmp_path / "a.h5")
        check_saved("resnet50", model, photograph, tmp_path)


def features(model: chainer.Chain, photograph: np.ndarray) -> np.ndarray:
    """Returns what the network gives for the corner of a photograph."""
    x = vgg.prepare(photograph[:32, :32], size=None)[None]
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        (found,) = model(x).values()
    return found.array[0]


@pytest.fixture(scope="module")
def vgg16() -> dict[str, np.ndarray]:
    """Returns the convolutions of VGG16, by Keras' names."""
    return reference.convolutions_of_keras(np.random.default_rng(0))


class TestWithoutTop:
    """Convolutions alone, of files with and without a classifier."""

    @pytest.mark.large
    def test_of_keras_file_without_a_classifier(self, vgg16, photograph, tmp_path):
        path = tmp_path / "vgg16_notop.h5"
        write_keras(path, vgg16)
        model = load_pretrained("vgg16", path, top=False)
        assert isinstance(model, L.VGG16Layers)
        assert model.available_layers[-1] == "pool5"
        assert {child.name for child in model.children()} == {
            f"conv{name.partition('/')[0][5:].replace('_conv', '_')}" for name in vgg16
        }
        found = features(model, photograph)
        x = reference.for_caffe(photograph[:32, :32])
        assert distance(found, reference.pool5_of_keras(x, vgg16)) < 1e-5
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(features(again, photograph), found)
        with pytest.raises(ValueError, match="fc1/kernel is missing; fc1/bias is miss"):
            load_pretrained("vgg16", path)

    def test_a_classifier_of_other_classes_is_left_out(self, vgg16, tmp_path):
        rng = np.random.default_rng(0)
        arrays = {**vgg16, **reference.keras_layer(rng, "fc1", (512, 10))}
        write_keras(tmp_path / "x.h5", arrays)
        model = load_pretrained("vgg16", tmp_path / "x.h5", top=False)
        expected = vgg16["block5_conv3/bias"]
        np.testing.assert_array_equal(model.conv5_3.b.array, expected)

    def test_what_is_no_part_of_the_network_is_named(self, vgg16, tmp_path):
        rng = np.random.default_rng(0)
        arrays = {**vgg16, **reference.keras_layer(rng, "dense", (512, 10))}
        write_keras(tmp_path / "x.h5", arrays)
        with pytest.raises(ValueError, match="dense/bias has no place"):
            load_pretrained("vgg16", tmp_path / "x.h5", top=False)

    @pytest.mark.parametrize(
        "write", [save_file, pytest.param(write_pth, marks=pytest.mark.large)]
    )
    @pytest.mark.large
    def test_of_a_resnet_of_torchvision(self, write, small, photograph, tmp_path):
        """What it gives is what the classifier takes."""
        suffix = "safetensors" if write is save_file else "pth"
        path = tmp_path / f"x.{suffix}"
        kept = {name: a for name, a in small.items() if not name.startswith("fc.")}
        write(kept, path)
        model = load_pretrained("resnet50", path, top=False)
        write(small, path)
        whole = load_pretrained("resnet50", path)
        x = vgg.prepare(photograph[:32, :32], size=None)[None]
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            expected = whole(x, layers=["pool5"])["pool5"].array[0]
        np.testing.assert_array_equal(features(model, photograph), expected)
        again = load_pretrained("resnet50", path, top=False)
        np.testing.assert_array_equal(features(again, photograph), expected)

    @pytest.mark.large
    def test_a_file_without_a_classifier_is_downloaded(
        self, vgg16, tmp_path, monkeypatch
    ):
        write_keras(tmp_path / "there_notop.h5", vgg16)
        whole = (tmp_path / "there_notop.h5").read_bytes()
        with running({"/there_notop.h5": content(whole)}) as server:
            network = pretrained._NETWORKS["vgg16"]._replace(
                url=f"{server.address}/there.h5",
                checksum_of_features=f"md5:{hashlib.md5(whole).hexdigest()}",
            )
            monkeypatch.setitem(pretrained._NETWORKS, "vgg16", network)
            how = {"cache_dir": tmp_path / "cache", "show_progress": False}
            for _ in range(2):  # the second time from the cache
                model = load_pretrained("vgg16", top=False, **how)
            assert server.requested == ["/there_notop.h5"]
        expected = vgg16["block5_conv3/bias"]
        np.testing.assert_array_equal(model.conv5_3.b.array, expected)

    def test_a_network_that_has_no_such_form(self):
        with pytest.raises(ValueError, match="top=False is for 'vgg16', 'vgg19', 'res"):
            load_pretrained("efficientnet-lite0", top=False)
        with pytest.raises(ValueError, match="top must be True or False, got None"):
            load_pretrained("vgg16", top=None)


@pytest.mark.large
def test_features_that_were_loaded_are_saved_and_loaded_again(small, tmp_path):
    save_file(small, tmp_path / "x.safetensors")
    model = load_pretrained("resnet50", tmp_path / "x.safetensors", top=False)
    chainer.serializers.save_npz(tmp_path / "y.npz", model, compression=False)
    again = load_pretrained("resnet50", tmp_path / "y.npz", top=False)
    x = np.random.default_rng(0).normal(0, 50, (1, 3, 40, 40)).astype("f")
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        expected = model(x)["pool5"].array
        np.testing.assert_array_equal(again(x)["pool5"].array, expected)


@pytest.mark.large
class TestNames:
    """Every array of a deeper network has its place."""

    @pytest.mark.parametrize("depth", [101, 152])
    def test_of_resnets_from_torchvision(self, depth, rng, tmp_path):
        path = tmp_path / "weights.safetensors"
        arrays = reference.weights_of_resnet_of_pytorch(rng, depth)
        save_file(arrays, path)
        model = load_pretrained(f"resnet{depth}", path)
        last = {101: 22, 152: 35}[depth]
        block = model.res4[f"b{last}"]
        np.testing.assert_array_equal(
            block.conv3.W.array, arrays[f"layer3.{last}.conv3.weight"]
        )
        np.testing.assert_array_equal(
            block.bn3.avg_var, arrays[f"layer3.{last}.bn3.running_var"]
        )

    def test_of_vgg19_from_timm(self, rng, tmp_path):
        """It has the linear layers as convolutions, by names of its own."""
        arrays = reference.weights_of_vgg_of_pytorch(rng, 19)
        for name, key, shape in (
            ("classifier.0", "pre_logits.fc1", (4096, 512, 7, 7)),
            ("classifier.3", "pre_logits.fc2", (4096, 4096, 1, 1)),
            ("classifier.6", "head.fc", (1000, 4096)),
        ):
            arrays[f"{key}.weight"] = arrays.pop(f"{name}.weight").reshape(shape)
            arrays[f"{key}.bias"] = arrays.pop(f"{name}.bias")
        save_file(arrays, tmp_path / "vgg19.safetensors")
        model = load_pretrained("vgg19", tmp_path / "vgg19.safetensors")
        np.testing.assert_array_equal(
            model.conv5_4.W.array, arrays["features.34.weight"]
        )
        np.testing.assert_array_equal(
            model.fc6.W.array[:9],
            arrays["pre_logits.fc1.weight"][:9].reshape(9, -1),
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Returns ResNet50's weights of torchvision."""
    return reference.weights_of_resnet_of_pytorch(np.random.default_rng(1))


Change = Callable[[dict[str, np.ndarray]], Any]


class TestBadFiles:
    @pytest.fixture
    def load(self, small, tmp_path) -> Callable[[Change], chainer.Chain]:
        def load(change: Change) -> chainer.Chain:
            arrays = dict(small)
            change(arrays)
            save_file(arrays, tmp_path / "weights.safetensors")
            return load_pretrained("resnet50", tmp_path / "weights.safetensors")

        return load

    def test_what_is_missing_is_named(self, load):
        message = r"layer2\.1\.bn2\.weight is missing"
        with pytest.raises(ValueError, match=message):
            load(lambda arrays: arrays.pop("layer2.1.bn2.weight"))

    def test_what_is_left_over_is_named(self, load):
        with pytest.raises(ValueError, match=r"layer5\.0\.conv1\.weight has no place"):
            load(lambda arrays: arrays.update({"layer5.0.conv1.weight": np.ones(3)}))

    @pytest.mark.parametrize(
        "name", ["fc.weight", "layer1.0.conv2.weight", "conv1.weight"]
    )
    def test_another_shape_is_named(self, load, name):
        with pytest.raises(ValueError, match=rf"{name} has shape \(10, 5\)"):
            load(lambda arrays: arrays.update({name: np.ones((10, 5), "f")}))

    def test_nan_is_named(self, load):
        with pytest.raises(ValueError, match=r"fc\.bias has values .* not finite"):
            load(lambda arrays: arrays.update({"fc.bias": np.full(1000, np.nan, "f")}))

    def test_many_problems_are_counted(self, load):
        with pytest.raises(ValueError, match=r"bn1\.weight is .* 242 more"):
            load(
                lambda arrays: [arrays.pop(k) for k in list(arrays) if "conv1" not in k]
            )

    @pytest.mark.parametrize("name", ["vgg16", "resnet101"])
    def test_another_network_is_refused(self, small, name, tmp_path):
        save_file(small, tmp_path / "weights.safetensors")
        with pytest.raises(
            ValueError, match=f"weights.safetensors' does not fit {name}"
        ):
            load_pretrained(name, tmp_path / "weights.safetensors")

    def test_what_is_no_network_is_refused(self, tmp_path):
        np.savez(tmp_path / "x.npz", some=np.ones(3))
        with pytest.raises(ValueError, match=r"known layout.* are called some, \.\.\."):
            load_pretrained("vgg16", tmp_path / "x.npz")

    @pytest.mark.parametrize(
        "suffix", [".safetensors", ".h5", ".npz", ".caffemodel", ".pth"]
    )
    @pytest.mark.parametrize(
        "content", [b"", b"this is no weight file, but long enough"]
    )
    def test_a_damaged_file(self, suffix, content, tmp_path):
        path = tmp_path / f"weights{suffix}"
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"weights{suffix}.*(complete|known layout)"
        ):
            load_pretrained("vgg16", path)

    def test_a_truncated_file(self, small, tmp_path):
        path = tmp_path / "weights.safetensors"
        save_file(small, path)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ValueError, match="is it complete"):
            load_pretrained("resnet50", path)

    @pytest.mark.large
    def test_of_caffes_old_format_what_does_not_fit_is_named(self, tmp_path):
        """VGG's convolutions are as published, and its linear layers are small."""
        arrays = {}
        n_in = 3
        for block, (n, n_out) in enumerate(
            [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1
        ):
            for i in range(1, n + 1):
                arrays[f"conv{block}_{i}/W"] = np.zeros((n_out, n_in, 3, 3))
                arrays[f"conv{block}_{i}/b"] = np.zeros(n_out)
                n_in = n_out
        for name in ("fc6", "fc7", "fc8"):
            arrays[f"{name}/W"] = np.zeros((2, 3))
            arrays[f"{name}/b"] = np.zeros(2)
        write_old_caffe(tmp_path / "vgg16.caffemodel", arrays)
        with pytest.raises(ValueError, match=r"fc6/W has shape \(2, 3\)") as caught:
            load_pretrained("vgg16", tmp_path / "vgg16.caffemodel")
        assert "fc8/b has shape (2,)" in str(caught.value)
        assert "conv" not in str(caught.value).partition("fit vgg16")[2]

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nothing\.npz"):
            load_pretrained("vgg16", tmp_path / "nothing.npz")

    def test_an_unknown_suffix(self, tmp_path):
        (tmp_path / "weights.txt").touch()
        with pytest.raises(ValueError, match=r"must end with one of \.safetensors"):
            load_pretrained("vgg16", tmp_path / "weights.txt")

    def test_a_library_that_is_missing_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "weights.h5").touch()
        monkeypatch.setitem(__import__("sys").modules, "h5py", None)
        with pytest.raises(ImportError, match="pip install h5py"):
            load_pretrained("vgg16", tmp_path / "weights.h5")

    @pytest.mark.parametrize("name", ["vgg", "VGG16", None, 16])
    def test_an_unknown_network(self, name):
        with pytest.raises(ValueError, match="name must be one of 'vgg16', 'vgg19'"):
            load_pretrained(name)


class TestCache:
    def test_a_file_of_the_networks_name_is_found(self, small, tmp_path):
        save_file(small, tmp_path / "resnet50.safetensors")
        model = load_pretrained("resnet50", cache_dir=tmp_path)
        np.testing.assert_array_equal(model.fc6.b.array, small["fc.bias"])

    def test_chainers_own_folder_is_looked_into(self, small, tmp_path, monkeypatch):
        monkeypatch.setattr(chainer.dataset.download, "_dataset_root", str(tmp_path))
        folder = tmp_path / "pfnet/chainer/models"
        folder.mkdir(parents=True)
        save_file(small, folder / "resnet50.safetensors")
        model = load_pretrained("resnet50")
        np.testing.assert_array_equal(model.fc6.b.array, small["fc.bias"])

    @pytest.mark.large
    def test_what_is_not_there_is_downloaded_and_checked(
        self, rng, tmp_path, monkeypatch
    ):
        arrays = reference.weights_of_resnet_of_keras(rng)
        write_keras(tmp_path / "there.h5", arrays)
        digest = hashlib.md5((tmp_path / "there.h5").read_bytes()).hexdigest()
        answers = {"/there.h5": content((tmp_path / "there.h5").read_bytes())}
        with running(answers) as server:
            network = pretrained._NETWORKS["resnet50"]._replace(
                url=f"{server.address}/there.h5", checksum=f"md5:{digest}"
            )
            monkeypatch.setitem(pretrained._NETWORKS, "resnet50", network)
            for _ in range(2):  # the second time from the cache
                model = load_pretrained(
                    "resnet50", cache_dir=tmp_path / "cache", show_progress=False
                )
                expected = arrays["predictions/bias"]
                np.testing.assert_array_equal(model.fc6.b.array, expected)
            assert server.requested == ["/there.h5"]
        (tmp_path / "cache" / "there.h5").write_bytes(b"damaged")
        with pytest.raises(OSError, match=r"there\.h5 is not the file of http"):
            load_pretrained("resnet50", cache_dir=tmp_path / "cache")

    def test_offline_the_file_and_its_place_are_named(self, tmp_path, monkeypatch):
        network = pretrained._NETWORKS["vgg16"]._replace(
            url="http://127.0.0.1:9/vgg16_weights.h5"
        )
        monkeypatch.setitem(pretrained._NETWORKS, "vgg16", network)
        with pytest.raises(
            OSError, match=r"127\.0\.0\.1.*put it at .*vgg16_weights\.h5"
        ):
            load_pretrained("vgg16", cache_dir=tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []


class TestModel:
    def test_nothing_random_is_drawn(self, small, tmp_path):
        save_file(small, tmp_path / "weights.safetensors")
        before = pickle.dumps(np.random.get_state())
        load_pretrained("resnet50", tmp_path / "weights.safetensors")
        assert pickle.dumps(np.random.get_state()) == before

    def test_links_of_others_begin_at_random_meanwhile_and_afterwards(self, tmp_path):
        with contextlib.suppress(FileNotFoundError):
            load_pretrained("vgg16", tmp_path / "nothing.npz")
        assert L.Linear(3, 3).W.array.any()

    @pytest.mark.large
    def test_it_can_be_pickled(self, small, tmp_path):
        save_file(small, tmp_path / "weights.safetensors")
        model = load_pretrained("resnet50", tmp_path / "weights.safetensors")
        again = pickle.loads(pickle.dumps(model))
        assert isinstance(again, L.ResNet50Layers)
        np.testing.assert_array_equal(again.fc6.b.array, model.fc6.b.array)

    def test_is_documented_with_an_address_for_each(self):
        for name, network in pretrained._NETWORKS.items():
            if network.wheel is not None:
                continue
            for url, checksum in (
                (network.url, network.checksum),
                (network.url_of_features, network.checksum_of_features),
            ):
                assert Path(url).name.startswith(name)
                assert len(checksum) == len("md5:") + 32
            assert network.url_of_features.endswith("_kernels_notop.h5")

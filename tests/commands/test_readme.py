"""The commands of the README and of the page on the command line run as they stand."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saliency
from saliency.commands import main
from tests.models.pytorch_files import state_dict, write_archive
from tests.models.test_efficientnet import LITE0, weights, write_package

ROOT = Path(saliency.__file__).parents[1]

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.mark.large
def test_the_commands_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rdkit")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## From the command line\n")[2].partition("\n## ")[0]
    block = re.search(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert block is not None
    lines = block[1].replace("\\\n", " ").splitlines()
    assert len(lines) >= 5
    for line in lines:
        python, m, module, *words = shlex.split(line, comments=True)
        assert (python, m, module) == ("python", "-m", "saliency")
        assert main(words) == 0, line
    assert capsys.readouterr().err == ""
    assert (tmp_path / "aspirin" / "molecules.png").is_file()
    assert (tmp_path / "explained" / "beeswarm.png").is_file()


def write_network_for_photographs(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from tests.models.onnx.graphs import info, model_of, node, rounded

    nodes = [
        node("Conv", "x w", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "y"),
    ]
    x, y = info("x", "n", 3, 16, 16), info("y", "n", 2)
    w = rounded(np.random.default_rng(0), 2, 3, 3, 3)
    onnx.save(model_of(nodes, [x], [y], w=w), path)


@pytest.mark.large
def test_the_commands_of_the_page(
    folder_of_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With files of the names that they have there."""
    chem = pytest.importorskip("rdkit.Chem")
    shutil.copytree(folder_of_files / "photographs", tmp_path / "photographs")
    for there, here in (
        *(("iris.csv", "iris.csv"), ("iris.csv", "table.csv")),
        *(("iris.pkl", "pipeline.pkl"), ("photographs/left.png", "dog.jpg")),
    ):
        shutil.copy(folder_of_files / there, tmp_path / here)
    with Image.open(tmp_path / "dog.jpg") as image:
        image.save(tmp_path / "dog.jpg", "JPEG")
    (tmp_path / "names.txt").write_text("left\nright\n", encoding="utf-8")
    with chem.SDWriter(str(tmp_path / "molecules.sdf")) as writer:
        writer.write(chem.MolFromSmiles("CCO"))
    arrays = weights(np.random.default_rng(0), LITE0, 32, 1280, 1000)
    installed = tmp_path / "installed"
    installed.mkdir()
    write_package(installed, lambda path: write_archive(path, state_dict(arrays)))
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.chdir(tmp_path)

    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = block.replace("\\\n", " ").splitlines()
    assert len(lines) >= 6
    for line in lines:
        if "photographs/" in line:
            write_network_for_photographs(tmp_path / "net.onnx")
        elif "iris.csv" in line:
            shutil.copy(folder_of_files / "iris.onnx", tmp_path / "net.onnx")
        python, m, module, *words = shlex.split(line)
        assert (python, m, module) == ("python", "-m", "saliency")
        assert main(words) == 0, f"{line}: {capsys.readouterr().err}"
    assert (tmp_path / "dog" / "dog.png").is_file()
    assert (tmp_path / "report.html").is_file()

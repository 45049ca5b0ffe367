"""What notebooks show in a real kernel: those of the examples, and figures by cases."""

from __future__ import annotations

import ast
import base64
import os
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

REASON = "Notebooks are run by nbclient and ipykernel: pip install nbclient ipykernel"
nbformat = pytest.importorskip("nbformat", reason=REASON)
nbclient = pytest.importorskip("nbclient", reason=REASON)
pytest.importorskip("ipykernel", reason=REASON)
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager  # noqa: E402
from jupyter_client.manager import AsyncKernelManager  # noqa: E402

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGE = ("image", "molecule")  # they train networks
PICTURES = ("image/png", "image/svg+xml")
#: Methods that draw, and so what a cell that ends with a call of one shows.
DRAWS = ("plot", "visualize", "visualize_grid", "visualize_summary")


class ThisPython(KernelSpecManager):
    """Kernels of the Python that runs the tests, whatever Jupyter is told elsewhere."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=launch, display_name=kernel_name, language="python")


@pytest.fixture
def kernel_manager(tmp_path, monkeypatch):
    """A manager whose kernels know nothing of the user's files, and no network."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("CHAINER_DATASET_ROOT", str(tmp_path / "data"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.delenv("MPLBACKEND", raising=False)
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), path])))
    return AsyncKernelManager(kernel_name="this", kernel_spec_manager=ThisPython())


def run(notebook, kernel_manager, folder: Path):
    """Run a notebook in a fresh kernel, and return it with its outputs."""
    client = nbclient.NotebookClient(
        notebook,
        km=kernel_manager,
        timeout=600,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


def run_cells(sources: Sequence[str], kernel_manager, folder: Path):
    """Run some code, and return the outputs of each piece."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    return [cell.outputs for cell in run(notebook, kernel_manager, folder).cells]


def shown_in(outputs, kinds: Sequence[str]) -> list[str]:
    """Return what of these kinds is among outputs."""
    found = [output.get("data", {}) for output in outputs]
    return [data[kind] for data in found for kind in kinds if kind in data]


def check_picture(picture: str) -> None:
    """Check that a picture is not blank."""
    if picture.lstrip().startswith("<"):
        assert len(ElementTree.fromstring(picture.encode())) > 10
        return
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        assert np.asarray(image.convert("L")).std() > 5


def draws(source: str) -> bool:
    """Tell whether the last expression of a cell is a figure."""
    last = ast.parse(source).body[-1]
    if not isinstance(last, ast.Expr) or not isinstance(last.value, ast.Call):
        return False
    return getattr(last.value.func, "attr", None) in DRAWS


def test_there_is_one_for_each_domain():
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in NOTEBOOKS}
    assert {path.stem for path in NOTEBOOKS} == {*LARGE, "table"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 16_000
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 6
    for cell in code:
        assert not cell.outputs and cell.execution_count is None
        ast.parse(cell.source)  # so there are no commands of IPython


@pytest.mark.large
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=[pytest.mark.large] * (path.stem in LARGE)
        )
        for path in NOTEBOOKS
    ],
)
def test_it_runs_and_shows_each_picture_once(path, kernel_manager):
    notebook = run(nbformat.read(path, as_version=4), kernel_manager, FOLDER)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tables = []
    for cell in cells:
        assert "stderr" not in [output.get("name") for output in cell.outputs]
        pictures = shown_in(cell.outputs, PICTURES)
        assert len(pictures) == draws(cell.source), cell.source
        for picture in pictures:
            check_picture(picture)
        tables += shown_in(cell.outputs, ["text/html"])
    assert sum(draws(cell.source) for cell in cells) >= 3
    assert all("<table" in table for table in tables)
    assert len(tables) >= {"table": 3, "image": 1}.get(path.stem, 0)
    assert sorted(FOLDER.glob("*.ipynb")) == NOTEBOOKS == sorted(FOLDER.iterdir())


BEGIN = """
import time
import numpy as np
from saliency import (
    GradientCalculator, LRPCalculator, SmilesVisualizer, TableVisualizer
)
import chainer.links as L

def draw():
    return TableVisualizer().visualize([1.0, -2.0])
"""
# Cells of one kernel, one after the other, and how many pictures each shows.
CELLS = (
    ("draw()", 1),
    ("figure = draw()", 0),
    ("figure", 1),
    ("display(figure)", 1),
    ("display(figure, figure)", 2),
    ("draw(); None", 0),
    ("SmilesVisualizer().visualize([1.0, -2.0], 'CO')", 1),
    ("import matplotlib.pyplot as plt\ndraw()", 1),  # pyplot shows figures as well
    ("figure = draw()", 0),
    ("display(figure)", 1),
    ("plt.show()", 0),
    ("%matplotlib inline\ndraw()", 1),
    ("draw()", 1),
    ("figure = draw()", 0),
    ("display(figure)", 1),
)
TABLES = (
    "LRPCalculator(L.Linear(3, 1), rule='epsilon').conservation(np.ones((2, 3), 'f'))",
    "GradientCalculator(L.Linear(3, 1)).explain(np.ones((2, 3), 'f'))",
)
SLOW = """
model = L.Linear(3, 1)
def slow(x):
    time.sleep(0.15)
    return model(x)
GradientCalculator(model, eval_fun=slow).compute(np.ones((10, 3), 'f'), batchsize=1)
None
"""


@pytest.mark.large
def test_figures_tables_and_progress_in_a_fresh_kernel(kernel_manager, tmp_path):
    cells = [source for source, _ in CELLS]
    sources = [BEGIN, *cells, *TABLES, SLOW]
    begin, *others, slow = run_cells(sources, kernel_manager, tmp_path)
    assert begin == []
    found = [len(shown_in(outputs, PICTURES)) for outputs in others[: len(CELLS)]]
    assert list(zip(cells, found)) == list(CELLS)
    for outputs in others[len(CELLS) :]:
        (table,) = shown_in(outputs, ["text/html"])
        assert "<table" in table
    # The bar, as text or as a widget, and nothing beside it.
    assert "stderr" not in [output.get("name") for output in slow]
    first = slow[0].get("text") or slow[0]["data"]["text/plain"]
    assert first.lstrip("\r").startswith("Gradient:")

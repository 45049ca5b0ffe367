"""Nothing global is changed by drawing, and threads may draw at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

import saliency
from tests.visualizer.every_visualizer import drawings, one_by_each

every_drawing = pytest.mark.parametrize("drawing", drawings(), ids=str)

pytestmark = pytest.mark.usefixtures("small_pictures")


def global_state() -> dict:
    """Returns what a drawing library could change for others."""
    figures = pyplot.get_fignums()
    return {
        "rcParams": dict(matplotlib.rcParams),
        "backend": matplotlib.get_backend(),
        "figures": figures,
        "current figure": pyplot.gcf().number if figures else None,
        "current axes": id(pyplot.gca()) if figures else None,
        "colour maps": list(matplotlib.colormaps),
        "floating point errors": np.geterr(),
        "print options": np.get_printoptions(),
        "random numbers": np.random.get_state()[1].tolist(),
        "warnings": list(warnings.filters),
    }


@pytest.fixture
def figure_of_the_user():
    figure, _ = pyplot.subplots()
    yield figure
    pyplot.close(figure)


@every_drawing
def test_success_changes_nothing(drawing, figure_of_the_user, tmp_path):
    before = global_state()
    drawing.draw(tmp_path / "picture.png")
    assert global_state() == before
    assert not figure_of_the_user.axes[0].has_data()


@every_drawing
def test_an_error_of_the_arguments_changes_nothing(drawing, figure_of_the_user):
    before = global_state()
    with pytest.raises((ValueError, TypeError)):
        drawing.draw("/no such folder/picture.png")
    assert global_state() == before


@pytest.mark.parametrize("drawing", one_by_each(), ids=str)
def test_an_error_while_drawing_changes_nothing(
    drawing, figure_of_the_user, tmp_path, monkeypatch
):
    def refuse(path, content):
        raise OSError("No space left on device")

    for module in ("base_visualizer", "mol_visualizer"):
        monkeypatch.setattr(f"saliency.visualizer.{module}.write_file", refuse)
    before = global_state()
    with pytest.raises(OSError, match="No space left"):
        drawing.draw(tmp_path / "picture.png")
    assert global_state() == before


def test_the_settings_of_the_user_are_used_and_kept(tmp_path):
    drawing = drawings()[0]
    with matplotlib.rc_context({"savefig.dpi": 50, "figure.figsize": (9, 1)}):
        before = dict(matplotlib.rcParams)
        drawing.draw(tmp_path / "picture.png")
        assert dict(matplotlib.rcParams) == before


@pytest.mark.large
@pytest.mark.usefixtures("small_pictures")
def test_threads_that_draw_at_once_draw_what_each_draws_alone(tmp_path):
    calls = drawings()
    alone = []
    for i, drawing in enumerate(calls):
        drawing.draw(tmp_path / f"alone_{i}.png")
        alone.append((tmp_path / f"alone_{i}.png").read_bytes())
    start, pictures, errors = threading.Barrier(2), {}, []

    def work(thread: int) -> None:
        start.wait()
        for i in range(thread, len(calls), 2):
            path = tmp_path / f"{thread}_{i}.png"
            try:
                calls[i].draw(path)
                pictures[thread, i] = path.read_bytes()
            except BaseException as error:
                errors.append((str(calls[i]), error))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    assert len(pictures) == len(calls)
    wrong = {
        str(calls[i]) for (_, i), picture in pictures.items() if picture != alone[i]
    }
    assert not wrong


@pytest.mark.large
def test_no_module_imports_chainer_pyplot_or_rdkit():
    folder = str(Path(saliency.__file__).parent)
    # The package itself looks after Chainer, so an empty one stands in for it.
    code = f"""
import importlib, pkgutil, sys, types
for name in ("chainer", "matplotlib.pyplot", "rdkit"):
    sys.modules[name] = None
sys.modules["saliency"] = package = types.ModuleType("saliency")
package.__path__ = [{folder!r}]
import saliency.visualizer
inside = saliency.visualizer.__path__, "saliency.visualizer."
for module in pkgutil.walk_packages(*inside):
    importlib.import_module(module.name)
    print(module.name.removeprefix(inside[1]))
assert "saliency.calculator" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert {"scalers", "molecules.sheet", "visualizer_utils"} < set(done.stdout.split())

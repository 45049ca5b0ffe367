"""Where progress bars are drawn: in terminals and in notebooks, and nowhere else."""

from __future__ import annotations

import re
import sys
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import notebook

from saliency import GradientCalculator, progress
from tests.terminal import Screen

import chainer.links as L

LONG = 1.1  # seconds, after which there is a bar


@pytest.fixture
def at_once(monkeypatch):
    """Bars are drawn at once, so that tests need not wait."""
    monkeypatch.setattr(progress, "_SHORT", 0)


@pytest.fixture
def kernel(monkeypatch):
    """As in the kernel of a notebook without ipywidgets."""
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    module = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(notebook, "IProgress", None, raising=False)
    return module


def explain(seconds=0, **settings):
    """Explain ten examples in a time that is given."""
    model = L.Linear(3, 1)

    def slow(x):
        time.sleep(seconds / 10)
        return model(x)

    GradientCalculator(model, eval_fun=slow).compute(
        np.ones((10, 3), np.float32), batchsize=1, **settings
    )


@pytest.mark.large
def test_a_terminal_has_a_bar_that_is_named_after_the_method(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Screen())
    explain(LONG)
    assert re.search(r"Gradient: 100%.* 10/10 .*row/s", sys.stderr.getvalue())
    assert capsys.readouterr().out == ""


def test_work_within_a_second_has_none(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen())
    explain()
    assert sys.stderr.getvalue() == ""


def test_what_is_redirected_has_none(at_once, capfd):
    explain()
    assert capfd.readouterr() == ("", "")


def test_a_notebook_without_widgets_has_text_on_stdout(kernel, at_once, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain()
    out, err = capsys.readouterr()
    last = out.rstrip("\n").rpartition("\r")[2]
    assert last.startswith("Gradient: 100%") and len(last) == 79
    assert err == ""


def test_a_notebook_with_widgets_has_one(kernel, monkeypatch, capsys):
    made = []

    class Widget(notebook.std_tqdm):
        def __init__(self, **settings):
            made.append(settings["desc"])
            super().__init__(disable=True, **settings)

    monkeypatch.setattr(notebook, "IProgress", object)
    monkeypatch.setattr(notebook, "tqdm", Widget)
    explain()
    assert made == ["Gradient"]
    assert capsys.readouterr() == ("", "")


def test_a_shell_that_is_no_notebook_is_a_terminal(kernel, at_once, capsys):
    kernel.get_ipython().config.clear()
    explain()
    kernel.get_ipython = lambda: None  # IPython is imported, and does not run
    explain()
    assert capsys.readouterr() == ("", "")


def test_it_can_be_left_out(kernel, at_once, capsys):
    explain(show_progress=False)
    assert capsys.readouterr() == ("", "")

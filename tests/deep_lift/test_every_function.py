"""Multipliers of all functions of Chainer: they bring the difference of the outputs."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from saliency.deep_lift.registry import HANDLER_OF_CLASS, HANDLER_OF_KIND
from saliency.lrp.handlers.refusals import Refusal
from saliency.lrp.registry import KIND_OF_CLASS, KINDS
from tests.deep_lift.compared import Compared
from tests.lrp.handlers.test_every_function import trials

import chainer

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

# What has no multipliers, or takes integers for its target.
REFUSED = {"ROIMaxAlign2D", "EmbedIDFunction"}


@pytest.fixture(autouse=True)
def float64_everywhere():
    """Some functions take float32 alone, for no reason but their type check."""
    with chainer.using_config("type_check", False):
        yield


def compared(dtype):
    """Gives each function at x, and at a baseline in its domain."""
    rng = np.random.default_rng(3)
    for f, xs in trials():
        xs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in xs]
        xs0 = [
            (x * rng.uniform(0.4, 1, x.shape)).astype(x.dtype)
            if x.dtype.kind == "f"
            else x
            for x in xs
        ]
        try:
            yield Compared(f, xs, xs0, train=True), Compared(f, xs, xs, train=True)
        except ValueError as error:
            assert any(name in str(error) for name in REFUSED), error


def check(dtype, rtol):
    n_checked = 0
    for this, at_itself in compared(dtype):
        for one in (this, at_itself):
            found = [m for m in one.multipliers if m is not None]
            assert all(np.isfinite(m).all() for m in found), one.classes
            assert {m.dtype for m in found} == {np.dtype(dtype)}, one.classes
        names = {cls.__name__ for cls in this.classes}
        if "Cast" in names or not np.isfinite(this.expected):
            continue  # it rounds; what pooling puts around an image is infinite
        assert this.found == pytest.approx(this.expected, abs=rtol * this.size), names
        n_checked += 1
    assert n_checked > 190


@pytest.mark.large
def test_multipliers_bring_the_difference():
    check("d", 1e-11)


@pytest.mark.large
def test_multipliers_bring_the_difference_in_float32():
    check("f", 3e-6)


def test_every_kind_has_multipliers_or_a_reason():
    refused = {k.name for k in KINDS.values() if isinstance(k.handler, Refusal)}
    assert set(HANDLER_OF_KIND) | refused == set(KINDS)
    assert set(HANDLER_OF_KIND).isdisjoint(refused)
    assert set(HANDLER_OF_CLASS) <= set(KIND_OF_CLASS)


def test_the_table_in_the_documentation_is_up_to_date():
    folder = Path(__file__).parents[2] / "docs"
    script = runpy.run_path(str(folder / "make_deep_lift_functions.py"))
    written = (folder / "deep_lift_functions.md").read_text(encoding="utf-8")
    assert written == script["document"](), "run docs/make_deep_lift_functions.py"

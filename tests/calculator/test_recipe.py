"""What a method may override, and what one call leaves on its calculator: nothing."""

from __future__ import annotations

import inspect
import pickle
import re

import numpy as np
import pytest

import saliency
from saliency.calculator import base_calculator
from saliency.calculator.engine.recipe import Recipe
from tests.networks import MLP, build

CALCULATORS = [
    getattr(saliency, name)
    for name in saliency.__all__
    if name.endswith("Calculator") and name != "BaseCalculator"
]
OVERRIDABLE = {
    name
    for name, member in vars(Recipe).items()
    if inspect.isfunction(member) and not name.startswith("_")
}


def test_there_are_at_most_seven_names_to_override_and_the_docstring_lists_them():
    listed = set(re.findall(r"^:meth:`(\w+)`", inspect.getdoc(Recipe), re.MULTILINE))
    assert listed == OVERRIDABLE
    assert len(listed) <= 7


@pytest.mark.parametrize("calculator", CALCULATORS)
def test_no_calculator_overrides_anything_else(calculator):
    base = saliency.BaseCalculator
    inherited = {n for n in dir(base) if inspect.isroutine(getattr(base, n))}
    for cls in calculator.__mro__[: calculator.__mro__.index(base)]:
        overridden = {
            n for n in vars(cls) if n in inherited and inspect.isroutine(vars(cls)[n])
        }
        # Methods whose defaults differ are made by call_defaults.
        made = (
            {"compute", "compute_aggregate", "explain"}
            if "call_defaults" in vars(cls)
            else set()
        )
        assert {n for n in overridden - made if not n.startswith("_")} <= OVERRIDABLE


def test_what_a_call_holds_can_be_pickled_when_it_has_ended():
    model = build(MLP)
    x = np.random.default_rng(0).normal(size=(3, 4))
    for calculator in (
        saliency.IntegratedGradientsCalculator(model, baseline="mean", class_index=0),
        saliency.IntegratedGradientsCalculator(model, method="adaptive", class_index=0),
        saliency.OcclusionCalculator(model, slide_axis=1, fill="mean", class_index=0),
        saliency.LRPCalculator(model),
    ):
        calculator.compute(x)
        pickle.loads(pickle.dumps(base_calculator._last_runs.of[calculator]))

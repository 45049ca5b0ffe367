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
from tests.calculator.every_calculator import every_calculator
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


@every_calculator
def test_what_a_call_holds_can_be_pickled_when_it_has_ended(new_calculator):
    x = np.random.default_rng(0).normal(size=(3, 4))
    calculator = new_calculator(build(MLP, n_out=1))
    calculator.compute(x)
    calculator = getattr(calculator, "paths", calculator)
    run = base_calculator._last_runs.of[calculator]
    assert type(pickle.loads(pickle.dumps(run))) is type(run)


@pytest.mark.parametrize("settings", [{"baseline": "mean"}, {"method": "adaptive"}])
def test_so_can_what_depends_on_settings(settings):
    calculator = saliency.IntegratedGradientsCalculator(
        build(MLP), class_index=0, **settings
    )
    calculator.compute(np.random.default_rng(0).normal(size=(3, 4)))
    pickle.loads(pickle.dumps(base_calculator._last_runs.of[calculator]))

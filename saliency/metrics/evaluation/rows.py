"""The rows of an evaluation: methods as they are given, and the gradient."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple, Union

from saliency.calculator import BaseCalculator, GradientCalculator
from saliency.calculator.engine.subject import gives_tuple
from saliency.configured import bind
from saliency.metrics.again import AgainMetric
from saliency.metrics.evaluation.naming import Caution, Naming, warn_of
from saliency.metrics.evaluation.table import RANDOM
from saliency.metrics.metric import Metric, ModelMetric, warn_of_other_class
from saliency.metrics.scores import Explained, scores_of

#: A method: what metrics are given, or a calculator with the arguments of its
#: ``compute_aggregate``.
Given = Union[Explained, tuple[BaseCalculator, Mapping[str, Any]]]

#: The name of the row of the gradient.
GRADIENT = "gradient"

#: Arguments of ``compute_aggregate`` that all methods share.
_SHARED = ("seed", "out", "repair", "workers", "show_progress")
#: What a calculator and a metric say of what is explained.
_SUBJECT = (
    *("model", "target_extractor", "output_extractor", "eval_fun", "class_index"),
    "device",
)


class Row(NamedTuple):
    """A row of an evaluation.

    Attributes:
        name (str): What it is called.
        explained: A calculator, an explanation, or scores.
        settings (dict): Arguments of the calculator's ``compute_aggregate``.
    """

    name: str
    explained: Explained
    settings: dict[str, Any]

    @property
    def explains(self) -> bool:
        """Whether it is a calculator."""
        return isinstance(self.explained, BaseCalculator)


def checked_rows(
    methods: Mapping[str, Given], data: Any, common: dict[str, Any]
) -> list[Row]:
    """Return the rows of methods.

    Args:
        methods (dict): The methods by their names.
        data: The examples.
        common (dict): Arguments of ``compute_aggregate`` for all calculators, unless a
            method has its own.

    Raises:
        TypeError: If there is something else among them.
        ValueError: If there are none, or scores do not fit the data.
    """
    if not isinstance(methods, Mapping):
        raise TypeError(
            "methods must be a dict of calculators, explanations or scores by their "
            f"names, got {type(methods).__name__}"
        )
    if not methods:
        raise ValueError("methods must hold at least one, got none")
    for name in methods:
        check_name("methods", name)
    return [_row(name, given, data, common) for name, given in methods.items()]


def check_name(parameter: str, name: Any) -> None:
    """Raise unless something is a name that can be printed in a row."""
    if not isinstance(name, str):
        raise TypeError(f"{parameter} must have names of type str, got {name!r}")
    if not name.strip():
        raise ValueError(f"{parameter} must have names that are not empty")


def _row(name: str, given: Any, data: Any, common: dict[str, Any]) -> Row:
    label = f"methods[{name!r}]"
    own: Any = {}
    if isinstance(given, tuple):
        if len(given) != 2 or not isinstance(given[0], BaseCalculator):
            raise TypeError(
                f"{label} must be a pair of a calculator and the arguments of its "
                f"compute_aggregate, got a tuple of {len(given)}"
            )
        given, own = given
        if not isinstance(own, Mapping):
            raise TypeError(
                f"{label} must have the arguments of compute_aggregate in a dict, got "
                f"{type(own).__name__}"
            )
    if isinstance(given, BaseCalculator):
        return _of_calculator(name, given, data, {**common, **own})
    try:
        scores_of(given, data, {})
    except (TypeError, ValueError) as error:
        raise type(error)(f"{label}: {error}") from None
    return Row(name, given, {})


def _of_calculator(
    name: str, calculator: BaseCalculator, data: Any, settings: dict[str, Any]
) -> Row:
    label = f"methods[{name!r}]"
    for shared in _SHARED:
        if shared in settings:
            raise TypeError(
                f"{label} must leave {shared} out, which is an argument of evaluate()"
            )
    signature = inspect.signature(type(calculator).compute_aggregate)
    bind(label, signature, (calculator, data), settings)
    calculator.check()
    if gives_tuple(calculator.target_extractor, calculator.targets):
        raise ValueError(f"{label} must explain one target, got {calculator!r}")
    if isinstance(calculator.class_index, str) and calculator.class_index == "all":
        raise ValueError(
            f"{label} must explain one class of each example, got class_index='all'"
        )
    return Row(name, calculator, settings)


def gradient_of(
    rows: list[Row], metrics: Mapping[str, Metric], data: Any, common: dict[str, Any]
) -> Row | None:
    """Return the gradient of what the first calculator explains, or a metric measures.

    None where it is a row already, or there is no model.

    Raises:
        ValueError: If another row has its name.
    """
    calculators = [row.explained for row in rows if row.explains]
    if any(
        type(one) is GradientCalculator and not one.multiply_target
        for one in calculators
    ):
        return None
    sources: list[Any] = [*calculators]
    sources += [
        metric for metric in metrics.values() if isinstance(metric, ModelMetric)
    ]
    if not sources:
        return None
    _check_free(rows, GRADIENT, "with_gradient=False")
    subject = {name: getattr(sources[0], name) for name in _SUBJECT}
    none_means = getattr(sources[0], "none_means", None)
    if subject["class_index"] is None and none_means == "argmax":
        subject["class_index"] = "argmax"
    return _of_calculator(GRADIENT, GradientCalculator(**subject), data, common)


def check_random(rows: list[Row]) -> None:
    """Raise a ValueError if a row has the name of the random ranking."""
    _check_free(rows, RANDOM, "n_random=0")


def _check_free(rows: list[Row], name: str, without: str) -> None:
    if any(row.name == name for row in rows):
        raise ValueError(
            f"methods must not have the name {name!r}, which is that of a row that is "
            f"added; rename it, or pass {without}"
        )


def check_pairs(rows: list[Row], metrics: Mapping[str, Metric]) -> None:
    """Raise, or warn, where a metric cannot measure a row, or measures another class.

    Raises:
        TypeError: If a metric explains again, and a row has scores alone.
    """
    cautions: list[Caution] = []
    for name, metric in metrics.items():
        for row in rows:
            if isinstance(metric, AgainMetric) and not row.explains:
                raise TypeError(
                    f"methods[{row.name!r}] must be a calculator for the metric {name},"
                    f" which explains again, got {type(row.explained).__name__}"
                )
            if isinstance(metric, ModelMetric):
                with Naming(f"methods[{row.name!r}]") as naming:
                    warn_of_other_class(metric, row.explained)
                cautions += naming.cautions
    warn_of(cautions)

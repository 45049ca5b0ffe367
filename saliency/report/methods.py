"""The methods of a report: what they explain, and what all pages say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from saliency.explanation import Explanation
from saliency.report.encoding import DIGITS_OF_SUMS, rounded
from saliency.visualizer.explained.of_images import is_of_images
from saliency.visualizer.explained.titles import (
    names_of_class_axis,
    names_of_classes,
)
from saliency.visualizer.names import plain
from saliency.visualizer.tables.additivity import checked_sums

#: What pages there are.
KINDS = ("molecule", "image", "text", "table")

# The share of f(x) - f(baseline) that values may miss on average to be shown as a sum.
_MOST_MISSED = 0.1


class Method(NamedTuple):
    """A method, and what it says.

    Attributes:
        name: What the page calls it.
        explanation: What it says of all examples.
        kind: What was explained, one of `KINDS`.
    """

    name: str
    explanation: Explanation
    kind: str

    @property
    def layers(self) -> list[np.ndarray]:
        """The values of each class that all examples have; or one array of all.

        Maps of images have their channels summed up.
        """
        given = self.explanation
        n_class = given.values.shape[1] if given.has_class_axis else 0
        values = [given.values[:, c] for c in range(n_class)] or [given.values]
        if self.kind == "image":
            return [v.sum(axis=1, dtype="d") if v.ndim == 4 else v for v in values]
        return [v.reshape(len(v), -1) for v in values]

    @property
    def is_signed(self) -> bool:
        """Whether scores speak for something or against it.

        Magnitudes do not, and what has no negative score is taken for some, as pictures
        do. Bars of tables tell the two apart by what was done with the samples.
        """
        if self.kind == "table":
            return self.explanation.method == "raw"
        return any(bool((layer < 0).any()) for layer in self.layers)

    @property
    def class_names(self) -> list[str]:
        """What the classes of the axis of classes are called; empty without one.

        Raises:
            ValueError: They differ from example to example.
        """
        if not self.explanation.has_class_axis:
            return []
        return names_of_class_axis(self.explanation)

    @property
    def misses(self) -> np.ndarray | None:
        """By how much values miss f(x) - f(baseline), shape (N, n_layer).

        None where nothing is known of that: there are no scores, or values are
        magnitudes.
        """
        given = self.explanation
        if given.scores is None or given.method != "raw":
            return None
        n_lead = 2 if given.has_class_axis else 1
        flat = given.values.reshape(*given.values.shape[:n_lead], -1)
        sums = np.nansum(flat, axis=-1, dtype="d")
        bases = 0.0 if given.base_values is None else given.base_values
        misses: np.ndarray = (bases + sums - given.scores).reshape(len(given), -1)
        return misses

    @property
    def adds_up(self) -> bool:
        """Whether values add up to f(x), as far as their dtype can tell."""
        given = self.explanation
        if self.misses is None or len(given) == 0:
            return False
        n_layer = len(self.layers)
        scores = np.asarray(given.scores).reshape(-1)
        bases = given.base_values
        starts = np.zeros_like(scores) if bases is None else bases.reshape(-1)
        values = np.nan_to_num(given.values).reshape(len(given) * n_layer, -1)
        try:
            checked_sums(values, starts, scores)
        except ValueError:
            return False
        return True

    @property
    def leads_to_score(self) -> bool:
        """Whether values add up to most of f(x), so that a page shows them as a sum."""
        given = self.explanation
        if self.misses is None or self.kind != "table":
            return False
        bases = 0.0 if given.base_values is None else given.base_values
        distance = float(np.abs(np.asarray(given.scores) - bases).mean())
        return float(np.abs(self.misses).mean()) <= _MOST_MISSED * distance

    @property
    def errors(self) -> list[np.ndarray] | None:
        """The errors of the values, as an array for each class, if there are any."""
        given = self.explanation
        if given.errors is None:
            return None
        if not given.has_class_axis:
            return [given.errors]
        return [given.errors[:, c] for c in range(given.errors.shape[1])]

    def data(self, n: int) -> dict[str, Any]:
        """Return what every kind of page needs to know of the first n examples."""
        given = self.explanation
        classes, bases = given.classes, given.base_values
        of_examples = None
        if classes is not None and classes.ndim == 1:
            names = names_of_classes(given, classes.tolist())
            of_examples = [names[c] for c in classes[:n].tolist()]
        return {
            "name": self.name,
            "signed": self.is_signed,
            "adds": self.leads_to_score,
            "classOf": of_examples,
            "f": None if given.scores is None else _by_layer(given.scores[:n]),
            "base": None if bases is None else _by_layer(bases[:n]),
        }


def checked_methods(explanations: Any) -> list[Method]:
    """Return the methods of a report.

    Args:
        explanations: An explanation, or several by the names of their methods.

    Raises:
        TypeError: They are something else.
        ValueError: There are none, they are not about the same examples and classes, or
            no page shows them.
    """
    if isinstance(explanations, Explanation):
        explanations = {_usual_name(explanations): explanations}
    if not isinstance(explanations, Mapping):
        raise TypeError(
            "explanations must be an Explanation, or a dict of them by the names of "
            f"their methods, got {type(explanations).__name__}"
        )
    if not explanations:
        raise ValueError("explanations must hold at least one, got none")
    methods = []
    for name, given in explanations.items():
        label = f"explanations[{name!r}]"
        if not isinstance(given, Explanation):
            raise TypeError(f"{label} must be an Explanation, got {given!r}")
        if len(given) == 0:
            raise ValueError(f"{label} has no examples")
        methods.append(Method(plain(name), given, _kind_of(given, label)))
    for method in methods[1:]:
        _check_same(methods[0], method)
    return methods


def _usual_name(explanation: Explanation) -> str:
    """Return the name of a calculator's class, without what all have in common."""
    name = re.match(r"\w*", explanation.calculator)
    short = (name[0] if name else "").replace("Calculator", "")
    return re.sub(r"(?<=[a-z])(?=Gradients|Backprop)", " ", short) or "Saliency"


def _kind_of(explanation: Explanation, label: str) -> str:
    """Return what kind of page shows an explanation.

    Raises:
        ValueError: There is none.
    """
    n_axis = explanation.values.ndim - (2 if explanation.has_class_axis else 1)
    if is_of_images(explanation):
        return "image"
    kind = "table"
    if explanation.molecules is not None:
        kind = "molecule"
    elif explanation.element_names is not None:
        kind = "text"
    elif explanation.lengths is not None:
        raise ValueError(
            f"{label} has examples of different lengths, and no names of their "
            "elements: pass element_names (the tokens of each text) or molecules to "
            "explain"
        )
    if n_axis > 1 or (kind != "table" and n_axis != 1):
        raise ValueError(
            f"{label} has values of shape {explanation.values.shape}: a report shows "
            "tables (N, n_feature), texts and molecules (N, n_element), and images "
            "(N, h, w) or (N, ch, h, w) whose data is (N, ch, h, w) or that have "
            "images; pass ch_axis to explain, which sums up"
        )
    if not np.isfinite(explanation.values).all() and kind == "table":
        raise ValueError(f"{label} must have finite values to be shown as a table")
    return kind


def _check_same(one: Method, other: Method) -> None:
    """Raise a ValueError unless two methods are about the same."""
    a, b = one.explanation, other.explanation
    about = {
        "kind": (one.kind, other.kind),
        "number of examples": (len(a), len(b)),
        "axis of classes": (one.class_names, other.class_names),
        "molecules": (a.molecules, b.molecules),
        "element_names": (a.element_names, b.element_names),
        "index": (_listed(a.index), _listed(b.index)),
    }
    if one.kind == other.kind == "table":
        about["features"] = (a.names_of_features(), b.names_of_features())
    if a.classes is not None and b.classes is not None:
        about["classes"] = (a.classes.tolist(), b.classes.tolist())
    for what, (first, second) in about.items():
        if first != second:
            raise ValueError(
                f"explanations must be about the same data, but {one.name!r} and "
                f"{other.name!r} differ in their {what}"
            )


def _listed(array: np.ndarray | None) -> Any:
    if array is None:
        return None
    # A name that is missing is NaN, which is not equal to itself.
    return [None if name != name else name for name in array.tolist()]


def _by_layer(array: np.ndarray) -> Any:
    """Return the ends of sums by class and example, ``(n_layer, n)``, rounded."""
    return rounded(array.reshape(len(array), -1).T, DIGITS_OF_SUMS)

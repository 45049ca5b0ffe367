"""Methods by the names that are typed: calculators, and the presets of LRP."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any, NamedTuple

import saliency
from saliency.commands.errors import Unusable

_SUFFIX = "Calculator"
#: What joins ``lrp`` and a preset.
_OF = ":"


class Method(NamedTuple):
    """A method, and how it was asked for.

    Attributes:
        name (str): As in ``'integrated-gradients'`` or ``'lrp:gamma'``.
        calculator (type): The class of its calculator.
        settings (dict): Arguments of the constructor that the name stands for.
    """

    name: str
    calculator: Any
    settings: dict[str, Any]

    @property
    def about(self) -> str:
        """What it is, in one line: that of its docstring."""
        if self.settings:
            about = saliency.lrp.PRESETS[self.settings["rule"]]
            return first_line(about)
        return first_line(self.calculator)


def first_line(documented: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(documented) or "").splitlines()[0]


def names_of_methods() -> dict[str, str]:
    """Return the classes of calculators by the names of their methods, in order.

    They are those of :data:`saliency.__all__`; nothing is imported for it.
    """
    found = [name for name in saliency.__all__ if name.endswith(_SUFFIX)]
    typed = {_typed(name): name for name in found if not name.startswith("Base")}
    return dict(sorted(typed.items()))


def _typed(name: str) -> str:
    """Return ``'x-grad-cam'`` for ``'XGradCAMCalculator'``."""
    beginnings = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    words = re.sub(beginnings, "-", name.removesuffix(_SUFFIX))
    return words.lower()


def all_methods() -> list[Method]:
    """Return all calculators, with the presets of LRP after it."""
    found = []
    for name, class_name in names_of_methods().items():
        calculator = getattr(saliency, class_name)
        found.append(Method(name, calculator, {}))
        if name == "lrp":
            found += [
                Method(name + _OF + preset, calculator, {"rule": preset})
                for preset in saliency.lrp.PRESETS
            ]
    return found


def method_of(text: str) -> Method:
    """Return the method that is meant; case, hyphens and underscores do not count.

    Raises:
        Unusable: If there is none of that name.
    """
    methods = {_plain(one.name): one for one in all_methods()}
    if _plain(text) in methods:
        return methods[_plain(text)]
    near = difflib.get_close_matches(_plain(text), methods, 1, cutoff=0.75)
    hint = f"did you mean {methods[near[0]].name}? " if near else ""
    if text.startswith("lrp" + _OF):
        known = f"presets are {', '.join(saliency.lrp.PRESETS)}"
    else:
        known = f"methods are {', '.join(names_of_methods())}"
    raise Unusable(f"{text}: there is no such method; {hint}{known}")


def _plain(name: str) -> str:
    return re.sub("[-_ ]", "", name).lower()

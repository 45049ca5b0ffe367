"""What a report says of explanations: what they are of, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from saliency.digits import with_minus, written_out
from saliency.explanation import Explanation
from saliency.report.findings import class_of
from saliency.report.methods import Method
from saliency.visualizer.names import plain

# Of more classes than that, so many are named.
_MANY_CLASSES, _FEW_CLASSES = 5, 3


def facts_of(
    methods: Sequence[Method], n_shown: int, *, is_described: bool
) -> list[tuple[str, str]]:
    """Return what the head of a page says, in pairs of texts."""
    first, given = methods[0], methods[0].explanation
    facts = []
    model = _model_of(given)
    if model and not is_described:
        facts.append(("Model", model))
    facts.append(("Explained", _explained(first)))
    facts.append(("Examples", _examples(first, n_shown)))
    names = [method.name for method in methods]
    facts.append(("Method" if len(names) == 1 else "Methods", ", ".join(names)))
    if len(names) == 1:
        said = completeness_of(first)
        facts += [("Completeness", said)] if said else []
    return facts


def _explained(method: Method) -> str:
    given = method.explanation
    if given.classes is None:
        return "the output"
    if given.classes.ndim == 2:
        return f"{given.classes.shape[1]} classes of each example"
    counts = Counter(given.classes.tolist()).most_common()
    if len(counts) == 1:
        return class_of(method)
    n_named = len(counts) if len(counts) <= _MANY_CLASSES else _FEW_CLASSES
    parts = [f"{plain(given.name_of_class(c))} ({n:,})" for c, n in counts[:n_named]]
    n_more = len(counts) - n_named
    return ", ".join(parts) + (f" and {n_more:,} more classes" if n_more else "")


def _examples(method: Method, n_shown: int) -> str:
    n, given = len(method.explanation), method.explanation
    text = f"{n:,}"
    if method.kind == "table":
        text += f" with {len(given.names_of_features()):,} features"
    if method.kind == "image":
        height, width = method.layers[0].shape[1:]
        text += f" of {size_of(height, width)} pixels"
    if n_shown < n:
        text += f", of which the page shows the first {n_shown:,}"
    return text


def _model_of(explanation: Explanation) -> str:
    """Return the class of the model, as it stands in the text of the calculator."""
    _, _, arguments = explanation.calculator.partition("(<")
    return arguments.partition(">")[0] if arguments else ""


def completeness_of(method: Method) -> str:
    """Return how near values come to f(x); nothing where that is not to be expected."""
    given, misses = method.explanation, method.misses
    if misses is None:
        return ""
    end = "f(x)" if given.base_values is None else "f(x) \N{MINUS SIGN} f(baseline)"
    sizes = np.abs(misses)
    if method.adds_up:
        return f"scores add up to {end} within {_size(sizes.max())}"
    is_expected = given.base_values is not None or given.calculator.startswith("LRP")
    if not is_expected:
        return ""
    missed = _size(sizes.mean())
    if sizes.size > 1:
        missed += f" on average, {_size(sizes.max())} at most"
    return f"scores miss {end} by {missed}"


def size_of(height: int, width: int) -> str:
    """Return the size of an image in words."""
    return f"{height:,} \N{MULTIPLICATION SIGN} {width:,}"


def _size(value: float) -> str:
    """Return a small number, such as 6e−7."""
    text = written_out(value, 2).replace("e-0", "e-")
    return with_minus(text)

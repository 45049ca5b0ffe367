"""What a report says in words: what was asked, and what the answer is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from saliency.digits import with_minus, written_out
from saliency.report.methods import Method
from saliency.visualizer.names import plain
from saliency.visualizer.texts.pages import visible

_NOUNS = {"table": "features", "image": "pixels", "molecule": "atoms", "text": "tokens"}
# The means of elements that occur less often than that are left to chance, where there
# are enough examples.
_OFTEN, _MANY_EXAMPLES = 3, 20
# From this correlation on, high values of a feature are said to speak for something.
_CLEAR = 0.5


class Occurrences(NamedTuple):
    """What elements of one name have in common, such as all atoms of oxygen.

    Attributes:
        name: The name.
        n: How many there are.
        mean: The mean of their scores.
        strength: The mean of the magnitudes of their scores.
    """

    name: str
    n: int
    mean: float
    strength: float


def question_of(methods: Sequence[Method]) -> str:
    """Return what was asked, as a title."""
    first = methods[0]
    noun, what = _NOUNS[first.kind], class_of(first)
    if first.is_signed:
        return f"Which {noun} speak for {what}, and which against?"
    return f"Which {noun} influence {what}?"


def class_of(method: Method) -> str:
    """Return what was explained, in words."""
    classes, given = method.explanation.classes, method.explanation
    if classes is None:
        return "a higher output" if method.is_signed else "the output"
    if classes.ndim == 2:
        return "each class"
    numbers = set(classes.tolist())
    if len(numbers) > 1:
        return "the explained class"
    (number,) = numbers
    name = plain(given.name_of_class(int(number)))
    return name if given.class_names is not None else f"class {name}"


def answer_of(methods: Sequence[Method]) -> str:
    """Return the answer of the first method in a sentence or two, as HTML."""
    first = methods[0]
    answers = {"table": _of_table, "image": _of_images}
    answer = answers.get(first.kind, _of_elements)(first)
    if len(methods) == 1:
        return answer
    return f"By {escape(first.name)}, {answer[0].lower()}{answer[1:]}"


def occurrences(method: Method, layer: np.ndarray) -> list[Occurrences]:
    """Return the names of elements, the one with the most influence first.

    Those that occur less often than :func:`least_count` come last.

    Args:
        method: The method, whose examples have named elements.
        layer: Its values for one class.
    """
    names = method.explanation.element_names or ()
    scores: dict[str, list[float]] = {}
    for of_example, row in zip(names, layer.astype(np.float64)):
        for name, score in zip(of_example, row):
            scores.setdefault(visible(name), []).append(float(score))
    found = [
        Occurrences(name, len(s), float(np.mean(s)), float(np.abs(s).mean()))
        for name, s in scores.items()
    ]
    least = least_count(method)
    return sorted(found, key=lambda one: (one.n < least, -one.strength))


def least_count(method: Method) -> int:
    """Return how often an element has to occur for its mean to be more than chance."""
    return _OFTEN if len(method.explanation) >= _MANY_EXAMPLES else 1


def half_of_influence(scores: np.ndarray) -> float:
    """Return which share of the pixels of a map holds half of its magnitudes."""
    sums = np.sort(np.abs(scores.astype(np.float64)), axis=None)[::-1].cumsum()
    # One more than those that stay below a half.
    return float(1 + np.count_nonzero(sums < sums[-1] / 2)) / scores.size


def _of_table(method: Method) -> str:
    given, where = method.explanation, ""
    values = method.layers[0].astype(np.float64)
    rows = np.arange(len(values))
    classes = given.classes
    if classes is not None and classes.ndim == 2:
        where = f"For {_strong(given.name_of_class(int(classes[0, 0])))}, "
    elif classes is not None and len(set(classes.tolist())) > 1:
        ((number, _),) = Counter(classes.tolist()).most_common(1)
        rows = np.flatnonzero(classes == number)
        where = f"For {_strong(given.name_of_class(number))}, "
    names = [plain(name) for name in given.names_of_features()]
    strength = np.abs(values[rows]).mean(axis=0)
    if not strength.any():
        return "All scores are 0."
    order = np.argsort(-strength, kind="stable")
    if len(rows) == 1 and method.is_signed:
        of_one = zip(names, values[rows[0]].tolist())
        return _for_and_against({f"{_strong(n)} ({_number(v)})": v for n, v in of_one})
    share = strength / strength.sum()
    top = int(order[0])
    answer = f"{where}{_strong(names[top])} has the most influence, "
    answer += f"{_percent(share[top])} of the total"
    answer += " on average" if len(rows) > 1 else ""
    answer += _direction(method, rows, top)
    if len(order) > 1:
        second = order[1]
        answer += f". {_strong(names[second])} comes next with "
        answer += _percent(share[second])
    return f"{answer}."


def _direction(method: Method, rows: np.ndarray, feature: int) -> str:
    """Return whether high values of a feature speak for something, or low ones."""
    data, values = method.explanation.data_of_features(), method.layers[0]
    if data is None:
        return ""
    if not method.is_signed or len(rows) < 3:
        return ""
    x = data[rows, feature].astype("d")
    y = values[rows, feature].astype("d")
    x, y = x[np.isfinite(x)], y[np.isfinite(x)]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return ""
    correlation = float(np.corrcoef(x, y)[0, 1])
    if abs(correlation) < _CLEAR:
        return ""
    pair = ("high", "low") if correlation > 0 else ("low", "high")
    return "; its {} values speak more for it than its {} ones".format(*pair)


def _for_and_against(named: Mapping[str, float]) -> str:
    """Return what speaks most strongly for something, and what against it.

    Args:
        named: The scores, by what has them, in HTML.
    """
    best, worst = max(named, key=named.__getitem__), min(named, key=named.__getitem__)
    answer = f"{best} speaks for it most strongly" if named[best] > 0 else ""
    if named[worst] < 0:
        answer += ", and " if answer else ""
        answer += f"{worst} speaks against it most strongly"
    return f"{answer}." if answer else "All scores are 0."


def _of_images(method: Method) -> str:
    maps = method.layers[0]
    if not np.any(maps):
        return "All scores are 0."
    share = float(np.median([half_of_influence(one) for one in maps]))
    answer = f"Half of all influence lies in {_strong(_percent(share))} of the pixels"
    if len(maps) > 1:
        answer += f" (median of {len(maps):,} images)"
    return answer + "."


def _of_elements(method: Method) -> str:
    found = occurrences(method, method.layers[0])
    least = least_count(method)
    found = [one for one in found if one.n >= least and one.name.strip()] or found
    if not any(one.strength for one in found):
        return "All scores are 0."
    if not method.is_signed:
        top = max(found, key=lambda one: one.strength)
        return f"{_occurred(top, top.strength)} has the most influence."
    return _for_and_against({_occurred(one, one.mean): one.mean for one in found})


def _occurred(one: Occurrences, score: float) -> str:
    times = "once" if one.n == 1 else f"mean of {one.n:,}"
    return f"{_strong(one.name)} ({_number(score)}, {times})"


def _strong(text: str) -> str:
    return f"<strong>{escape(plain(text))}</strong>"


def _percent(share: float) -> str:
    digits = 0 if share >= 0.1 else 1
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _number(value: float) -> str:
    return with_minus(written_out(value, 2, "+"))

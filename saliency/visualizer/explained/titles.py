"""What pictures of explanations are called: what was explained, and its score."""

from __future__ import annotations

from collections.abc import Iterable

from saliency.digits import with_minus, written_out
from saliency.explanation import Explanation
from saliency.explanation.names import distinct_names
from saliency.visualizer.names import plain

#: More examples than that are too many for one picture; so many are drawn then.
_MANY, _OF_MANY = 50, 20


def title_of(explanation: Explanation) -> str:
    """Return what was explained, and its score if it is one example's."""
    classes = explanation.classes
    if classes is None:
        title = "Saliency"
    elif explanation.has_class_axis:
        title = f"Saliency for each of {classes.shape[1]} classes"
    elif len(set(classes.tolist())) == 1:
        title = f"Saliency for class {explanation.name_of_class(int(classes[0]))}"
    else:
        title = "Saliency for the class explained of each example"
    if len(explanation) > 1 or explanation.scores is None or explanation.has_class_axis:
        return title
    title += f"\nf(x) = {written_score(explanation.scores[0])}"
    if explanation.base_values is not None:
        title += f", base value {written_score(explanation.base_values[0])}"
    return title


def written_score(score: float) -> str:
    """Return f(x), or a base value, as titles say it."""
    return with_minus(written_out(score, 3))


def legends_of(explanation: Explanation) -> list[str]:
    """Return what there is to say of each example in a line.

    That is its name, the class if it is another one than that of other examples, and
    the score. With an axis of classes it is the name alone, or its number.
    """
    classes, scores = explanation.classes, explanation.scores
    legends = []
    for i in range(len(explanation)):
        index = explanation.index
        parts = [] if index is None else [str(index[i])]
        if explanation.has_class_axis:
            legends += parts or [f"example {i}"]
            continue
        if classes is not None and (len(classes) == 1 or (classes != classes[0]).any()):
            parts.append(f"class {explanation.name_of_class(int(classes[i]))}")
        if scores is not None:
            parts.append(f"f(x) = {written_score(scores[i])}")
        legends.append(", ".join(parts))
    return legends


def names_of_class_axis(explanation: Explanation) -> list[str]:
    """Return what each entry of the axis of classes is called.

    Raises:
        ValueError: If that differs from example to example.
    """
    classes = explanation.classes
    assert classes is not None  # there is such an axis
    if (classes != classes[0]).any():
        raise ValueError(
            "classes that differ from example to example have no columns in common; "
            "plot explanation[i] or explanation.of_class(...)"
        )
    names = names_of_classes(explanation, classes[0].tolist())
    return [names[number] for number in classes[0].tolist()]


def names_of_classes(
    explanation: Explanation, numbers: Iterable[int]
) -> dict[int, str]:
    """Return what classes are called in pictures, no two the same."""
    return distinct_names({n: plain(explanation.name_of_class(n)) for n in numbers})


def first_of_many(explanation: Explanation) -> tuple[Explanation, str]:
    """Return the examples that a picture has room for, and what its title says of it.

    All of up to 50, and the first 20 of more.
    """
    if len(explanation) <= _MANY:
        return explanation, ""
    return explanation[:_OF_MANY], f" (the first {_OF_MANY} of {len(explanation):,})"

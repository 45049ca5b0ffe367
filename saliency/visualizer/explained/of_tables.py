"""Pictures of explanations of tables, by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from saliency.explanation import Explanation
from saliency.visualizer.explained.titles import names_of_classes, title_of
from saliency.visualizer.table_visualizer import TableVisualizer
from saliency.visualizer.tables.additivity import ADDITIVE_METHODS

# More classes than that are too many panels to be read.
MANY_CLASSES = 12
# What the scores of a method are called.
SCORES = {"abs": "magnitude of the score", "square": "squared score"}


def draw_bar(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw the values of one example, or the mean magnitudes of several."""
    if len(explanation) > 1:
        return _draw_means(explanation, arguments, visualizer)
    name, errors = _name_of_scores(explanation), None
    if explanation.errors is not None:
        errors = by_class(explanation, _errors)
        name += ", with its standard deviation over samples"
    settings: dict[str, Any] = {
        **_texts(explanation),
        "scaler": None,
        "sort": "magnitude",
        "xlabel": name,
        "errors": errors,
        "signed": explanation.method == "raw",
        **arguments,
    }
    values = by_class(explanation, lambda some: some.values.reshape(-1))
    if isinstance(values, dict):
        return visualizer.visualize_grid(values, **settings)
    return visualizer.visualize(values, **settings)


def _draw_means(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw means of magnitudes; or of scores, if ``magnitudes`` is False."""
    settings: dict[str, Any] = {**_texts(explanation), "magnitudes": True}
    if explanation.method != "raw":
        what = _name_of_scores(explanation)
        settings["xlabel"] = f"mean {what}, with its 95 % interval"
    return visualizer.visualize_mean(
        by_class(explanation, _columns), **{**settings, **arguments}
    )


def draw_beeswarm(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw a dot for each example and feature."""
    _check_has_table(explanation, "beeswarm", "colours dots by")
    settings = {**_texts(explanation), "xlabel": _name_of_scores(explanation)}
    return visualizer.visualize_summary(
        by_class(explanation, _columns),
        by_class(explanation, _table),
        **{**settings, **arguments},
    )


def draw_waterfall(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw how the contributions to one example lead to f(x)."""
    if len(explanation) > 1:
        raise ValueError(
            f"kind='waterfall' draws one example, got {len(explanation)}; plot "
            "explanation[i], or kind='decision' for all of them"
        )
    scores, base_values = _ends(explanation, "waterfall")
    settings = {
        **_texts(explanation),
        "score": scores[0],
        "base_value": base_values[0],
        "features": _table(explanation)[0] if _has_table(explanation) else None,
    }
    return visualizer.visualize_waterfall(
        _columns(explanation)[0], **{**settings, **arguments}
    )


def draw_decision(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw every example as a path from the base value to f(x)."""
    _ends(explanation, "decision")
    settings = {
        **_texts(explanation),
        "scores": by_class(explanation, lambda some: _ends(some, "decision")[0]),
        "base_values": by_class(explanation, lambda some: _ends(some, "decision")[1]),
    }
    return visualizer.visualize_decision(
        by_class(explanation, _columns), **{**settings, **arguments}
    )


def draw_dependence(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw the scores of a feature, by default the strongest, against its values."""
    _check_has_table(explanation, "dependence", "shows scores against")
    values = explanation.values.reshape(-1, len(explanation.names_of_features()))
    has_values = ~np.isnan(_table(explanation).astype(np.float64)).all(axis=0)
    # Groups of columns have none, and all of their dots would be missing ones.
    strength = np.where(has_values, np.abs(values).mean(axis=0), -1)
    settings = {**_texts(explanation), "feature": int(strength.argmax())}
    return visualizer.visualize_dependence(
        by_class(explanation, _columns),
        by_class(explanation, _table),
        **{**settings, **arguments},
    )


def draw_heatmap(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw every score as a colour, and f(x) above if it is known."""
    settings = {**_texts(explanation), "signed": explanation.method == "raw"}
    if explanation.scores is not None:
        settings["scores"] = by_class(explanation, lambda some: some.scores)
    return visualizer.visualize_heatmap(
        by_class(explanation, _columns), **{**settings, **arguments}
    )


def draw_interactions(
    explanation: Explanation, arguments: dict[str, Any], visualizer: TableVisualizer
) -> Figure:
    """Draw the matrix of one example, or the mean magnitudes of several."""
    values = explanation.values
    if not is_of_matrices(explanation):
        raise ValueError(
            "kind='interactions' draws a matrix of features by features for each "
            "example, values of shape (N, n_feature, n_feature), got shape "
            f"{values.shape}"
        )
    classes = explanation.classes
    if classes is not None and len(np.unique(classes)) > 1:
        raise ValueError(
            "kind='interactions' draws one class, but several were explained; pick "
            f"one: explanation.of_class({int(classes[0])}).plot('interactions')"
        )
    is_one = len(explanation) == 1
    settings: dict[str, Any] = {
        "feature_names": explanation.feature_names,
        "title": title_of(explanation),
        "signed": is_one and explanation.method == "raw",
        **arguments,
    }
    matrix = values[0] if is_one else np.abs(values).mean(axis=0)
    return visualizer.visualize_interactions(matrix, **settings)


def is_of_matrices(explanation: Explanation) -> bool:
    """Tell whether values are matrices of the features of a table, or of groups."""
    values, data = explanation.values, explanation.data
    is_matrix = values.ndim == 3 and values.shape[1] == values.shape[2]
    is_table = data is None or data.ndim == 2
    return is_matrix and is_table and not explanation.has_class_axis


def by_class(explanation: Explanation, value_of: Callable[[Explanation], Any]) -> Any:
    """Return what there is of each class, by what the class is called.

    Scores of different classes speak for different things, so that one panel never
    shows those of several.

    Args:
        explanation: All examples.
        value_of: Takes what is wanted from the explanation of one class.

    Returns:
        A dict with a value for each class; where there is one class, its value.

    Raises:
        ValueError: There are more than `MANY_CLASSES`.
    """
    if explanation.classes is None:
        return value_of(explanation)
    found = np.unique(explanation.classes).tolist()
    if len(found) > MANY_CLASSES:
        raise ValueError(
            f"plot draws a panel for each class that is explained, at most "
            f"{MANY_CLASSES}, got {len(found)} classes; pick one of them: "
            f"explanation.of_class({found[0]})"
        )
    of_classes = [explanation.of_class(index) for index in found]
    if len(found) == 1:
        return value_of(of_classes[0])
    panels = {}
    names = names_of_classes(explanation, found)
    for index, some in zip(found, of_classes):
        name = names[index]
        if not explanation.has_class_axis:
            name += f" ({len(some)} example{'s' * (len(some) > 1)})"
        panels[name] = value_of(some)
    return panels


def _columns(explanation: Explanation) -> np.ndarray:
    """Return the values with an axis for features, ``(N, n_feature)``."""
    return explanation.values.reshape(len(explanation), -1)


def _errors(explanation: Explanation) -> np.ndarray:
    """Return the errors of one example, ``(n_feature,)``, if it has them."""
    return np.asarray(explanation.errors).reshape(-1)


def _texts(explanation: Explanation) -> dict[str, Any]:
    """Return what all pictures are told: the title, and the names of features."""
    return {
        "feature_names": explanation.names_of_features(),
        "title": title_of(explanation),
    }


def _name_of_scores(explanation: Explanation) -> str:
    return SCORES.get(explanation.method, "score")


def _has_table(explanation: Explanation) -> bool:
    """Tell whether there is a value of the data for each score."""
    return explanation.data_of_features() is not None


def _table(explanation: Explanation) -> np.ndarray:
    """Return the data of an explanation that has it, ``(N, n_feature)``."""
    return np.asarray(explanation.data_of_features())


def _check_has_table(explanation: Explanation, kind: str, what: str) -> None:
    if _has_table(explanation):
        return
    if explanation.at_link:
        raise ValueError(
            f"kind={kind!r} {what} the data, and these values are of the units of a "
            "link, which the columns of the data are not; draw kind='bar' or 'heatmap'"
        )
    shape = None if explanation.data is None else explanation.data.shape
    raise ValueError(
        f"kind={kind!r} {what} the data, which must have the shape "
        f"{explanation.values.shape} of values, got {shape}"
    )


def _ends(explanation: Explanation, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return f(x) and the base values, which are 0 for methods that have none.

    Raises:
        ValueError: The values are no contributions, or f(x) is not known.
    """
    if explanation.method != "raw":
        raise ValueError(
            f"kind={kind!r} draws contributions that add up to f(x), which values of "
            f"method={explanation.method!r} do not. {ADDITIVE_METHODS}"
        )
    scores = explanation.scores
    if scores is None:
        raise ValueError(
            f"kind={kind!r} draws how contributions lead to f(x), and the explanation "
            "has no scores"
        )
    base_values = explanation.base_values
    return scores, np.zeros(len(scores)) if base_values is None else base_values


#: What draws each kind: it is called with the explanation, with the arguments that were
#: given to ``Explanation.plot``, which come before its own, and with the visualizer.
KINDS = {
    "bar": draw_bar,
    "beeswarm": draw_beeswarm,
    "waterfall": draw_waterfall,
    "decision": draw_decision,
    "dependence": draw_dependence,
    "heatmap": draw_heatmap,
    "interactions": draw_interactions,
}
#: The kinds that draw several classes at once, where values have an axis for them.
OF_CLASSES = frozenset(KINDS) - {"waterfall", "interactions"}

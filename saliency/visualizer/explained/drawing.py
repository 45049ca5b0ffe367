"""Pictures of explanations: which visualizer draws one, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from saliency.checks import check_choice
from saliency.explanation import Explanation
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.explained import of_images, of_molecules, of_tables, of_texts
from saliency.visualizer.image_visualizer import ImageVisualizer
from saliency.visualizer.mol_visualizer import MolVisualizer
from saliency.visualizer.table_visualizer import TableVisualizer
from saliency.visualizer.text_visualizer import TextVisualizer

# The kinds of pictures that each visualizer draws.
_KINDS_OF: dict[type[BaseVisualizer], dict[str, Callable[..., Any]]] = {
    TableVisualizer: of_tables.KINDS,
    ImageVisualizer: of_images.KINDS,
    TextVisualizer: of_texts.KINDS,
    MolVisualizer: of_molecules.KINDS,
}
# What draws each kind of picture: a figure, or of molecules the text of an SVG.
_DRAWN_BY = {kind: draw for kinds in _KINDS_OF.values() for kind, draw in kinds.items()}
# Those that draw an axis of classes.
_OF_CLASSES = {
    *of_tables.OF_CLASSES,
    *of_images.KINDS,
    *of_texts.KINDS,
    *of_molecules.KINDS,
}
# What these arguments are for.
_KIND_OF_ARGUMENT = {
    "mols": "molecule",
    "tokens": "text",
    "image": "image",
    "images": "image",
}


def draw_explanation(
    explanation: Explanation,
    kind: str | None = None,
    visualizer: BaseVisualizer | None = None,
    **arguments: Any,
) -> Any:
    """Draw an explanation; see :meth:`saliency.Explanation.plot`."""
    if len(explanation) == 0:
        raise ValueError("the explanation has no examples to plot")
    kinds = _DRAWN_BY if visualizer is None else kinds_drawn_by(visualizer)
    if kind is None:
        is_of_one_kind = len(kinds) == 1
        kind = next(iter(kinds)) if is_of_one_kind else _kind_of(explanation, arguments)
    check_choice("kind", kind, kinds)
    if explanation.has_class_axis and kind not in _OF_CLASSES:
        assert explanation.classes is not None  # it has the axis
        first = int(explanation.classes[0, 0])
        has_names = explanation.class_names is not None
        name = explanation.name_of_class(first) if has_names else first
        raise ValueError(
            f"kind={kind!r} draws one class, but {explanation.classes.shape[1]} were "
            f"explained; pick one: explanation.of_class({name!r}).plot({kind!r})"
        )
    if visualizer is None:
        visualizer = next(v for v, kinds in _KINDS_OF.items() if kind in kinds)()
    return _DRAWN_BY[kind](explanation, arguments, visualizer)


def kinds_drawn_by(visualizer: Any) -> Mapping[str, Callable[..., Any]]:
    """Return the kinds of pictures of explanations that a visualizer draws.

    Raises:
        TypeError: If it is none that draws explanations.
    """
    for cls, kinds in _KINDS_OF.items():
        if isinstance(visualizer, cls):
            return kinds
    raise TypeError(
        f"visualizer must be a {', '.join(cls.__name__ for cls in _KINDS_OF)} or a "
        f"subclass of one, such as SmilesVisualizer, got {visualizer!r}"
    )


def _kind_of(explanation: Explanation, arguments: dict[str, Any]) -> str:
    """Return what fits what the explanation has, and the arguments."""
    for name, kind in _KIND_OF_ARGUMENT.items():
        if name in arguments:
            return kind
    if explanation.molecules is not None:
        return "molecule"
    if of_images.is_of_images(explanation):
        return "image"
    if explanation.element_names is not None:
        return "text"
    values = explanation.values
    of_class = values[:, 0] if explanation.has_class_axis else values
    if explanation.lengths is None and of_class.ndim in (1, 2):
        has_data = explanation.data_of_features() is not None
        return "beeswarm" if has_data and len(values) > 1 else "bar"
    if explanation.lengths is None and of_tables.is_of_matrices(explanation):
        return "interactions"
    if explanation.lengths is not None:
        raise ValueError(
            "plot needs to know what the elements of the examples are: pass "
            "element_names (the tokens of each text) or molecules to explain, or plot("
            "tokens=[...]) or plot(mols=[...])"
        )
    raise ValueError(
        f"plot cannot tell how to draw values of shape {values.shape}: it draws tables "
        "(N, n_feature), images (N, ch, h, w) or (N, h, w) whose data is (N, ch, h, w) "
        "or that have images, and texts and molecules if explain was given "
        "element_names or molecules"
    )

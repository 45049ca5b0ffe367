"""Pictures of explanations of molecules."""

from __future__ import annotations

from typing import Any

from saliency.explanation import Explanation
from saliency.visualizer.explained.of_texts import scores_of_elements
from saliency.visualizer.explained.titles import (
    first_of_many,
    legends_of,
    title_of,
)
from saliency.visualizer.mol_visualizer import MolVisualizer, SmilesVisualizer


def draw_molecule(
    explanation: Explanation, arguments: dict[str, Any], visualizer: MolVisualizer
) -> Any:
    """Draw a molecule, or a grid of several; with a column for each class, if any.

    Raises:
        ValueError: If there are no molecules, or values are not one for each atom.
    """
    mols = arguments.pop("mols", None)
    if mols is None and explanation.molecules is None:
        raise ValueError(
            "kind='molecule' needs molecules, one for each example: pass molecules to "
            "explain, or plot(mols=[...])"
        )
    if mols is not None and len(mols) != len(explanation):
        raise ValueError(
            f"mols must hold one for each of the {len(explanation)} examples, got "
            f"{len(mols)}"
        )
    explanation, note = first_of_many(explanation)
    mols = explanation.to_mols() if mols is None else list(mols)[: len(explanation)]
    if isinstance(visualizer, SmilesVisualizer):  # SMILES have been read by now
        visualizer = MolVisualizer()
    scores = scores_of_elements(explanation, "molecule")
    settings: dict[str, Any] = {"scaler": None, "show_colorbar": True}
    if len(explanation) == 1 and not explanation.has_class_axis:
        settings["legend"] = ", ".join(legends_of(explanation))
        assert isinstance(scores, list)  # one method's
        return visualizer.visualize(scores[0], mols[0], **{**settings, **arguments})
    settings["title"] = title_of(explanation) + note
    name = "row_titles" if explanation.has_class_axis else "legends"
    settings[name] = legends_of(explanation)
    return visualizer.visualize_grid(scores, mols, **{**settings, **arguments})


#: What draws each kind, as in ``of_tables``.
KINDS = {"molecule": draw_molecule}

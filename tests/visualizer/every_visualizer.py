"""A drawing by each method of each visualizer, for tests of what holds for all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saliency import (
    FilterVisualizer,
    ImageVisualizer,
    MetricVisualizer,
    MolVisualizer,
    SmilesVisualizer,
    TableVisualizer,
    TextVisualizer,
)

VISUALIZERS = [
    FilterVisualizer,
    ImageVisualizer,
    MetricVisualizer,
    MolVisualizer,
    SmilesVisualizer,
    TableVisualizer,
    TextVisualizer,
]

_rng = np.random.default_rng(0)
_MAP = _rng.normal(size=(8, 10))
_PHOTOGRAPH = _rng.integers(0, 256, (16, 20, 3)).astype(np.uint8)
_TABLE = _rng.normal(size=(30, 4))
_HOLES = np.where(_TABLE > 1.5, np.nan, _TABLE)
_RANKED = {"m": {"a": _TABLE[0], "b": _TABLE[1]}}
# What methods of tables need by keyword.
_ALSO = {
    "visualize_waterfall": {"score": _TABLE[0].sum()},
    "visualize_decision": {"scores": _TABLE.sum(axis=1)},
}


class Drawing(NamedTuple):
    """One call of a visualizer.

    Attributes:
        visualizer: The class.
        method: The name of the method.
        arguments: What it is given.
    """

    visualizer: type
    method: str
    arguments: tuple

    def __str__(self):
        return f"{self.visualizer.__name__}.{self.method}"

    def draw(self, path=None, visualizer=None, **options):
        """Draws, and saves the picture if there is a path."""
        draw = getattr(visualizer or self.visualizer(), self.method)
        how = {**_ALSO.get(self.method, {}), **options}
        return draw(*self.arguments, save_filepath=path, **how)


def one_by_each() -> list[Drawing]:
    """Returns the first drawing by each visualizer, for what its methods share."""
    found = {drawing.visualizer: drawing for drawing in reversed(drawings())}
    return [*reversed(found.values())]


def drawings() -> list[Drawing]:
    """Returns all of them, without those of molecules where RDKit is missing."""
    found = [
        Drawing(FilterVisualizer, "visualize", (_rng.normal(size=(5, 4, 4)),)),
        Drawing(ImageVisualizer, "visualize", (_MAP, _PHOTOGRAPH)),
        Drawing(ImageVisualizer, "visualize_grid", ({"a": _MAP[None]}, [_PHOTOGRAPH])),
        Drawing(ImageVisualizer, "visualize_rows", ([[_PHOTOGRAPH]], [_MAP[None]])),
        Drawing(
            ImageVisualizer,
            "visualize_cascade",
            ([[_MAP, -_MAP]], ["fc"], [_PHOTOGRAPH]),
        ),
        Drawing(MetricVisualizer, "visualize", ({"a": _TABLE}, np.arange(4))),
        Drawing(
            MetricVisualizer,
            "visualize_ranking",
            ({"m": {"a": _TABLE[0]}}, {"m": False}),
        ),
        Drawing(TableVisualizer, "visualize", (_TABLE[0],)),
        Drawing(TableVisualizer, "visualize_summary", (_TABLE, _HOLES)),
        Drawing(TableVisualizer, "visualize_mean", ({"a": _TABLE, "b": _TABLE[:9]},)),
        Drawing(TableVisualizer, "visualize_waterfall", (_TABLE[0],)),
        Drawing(TableVisualizer, "visualize_dependence", (_TABLE, _HOLES, 0)),
        Drawing(TableVisualizer, "visualize_heatmap", (_TABLE,)),
        Drawing(TableVisualizer, "visualize_decision", (_TABLE,)),
        Drawing(TableVisualizer, "visualize_interactions", (_TABLE[:4],)),
        Drawing(TextVisualizer, "visualize", ([1.0, -2.0], ["not", "bad"])),
    ]
    try:
        from rdkit import Chem
    except ImportError:
        return found
    mol = Chem.MolFromSmiles("CCO")
    return [
        *found,
        Drawing(MolVisualizer, "visualize", ([1.0, -2.0, 0.5], mol)),
        Drawing(MolVisualizer, "visualize_grid", ([[1.0, -2.0, 0.5]] * 2, [mol] * 2)),
        Drawing(SmilesVisualizer, "visualize", ([1.0, -2.0, 0.5], "CCO")),
        Drawing(SmilesVisualizer, "visualize_grid", ([[1.0, -2.0, 0.5]], ["CCO"])),
    ]

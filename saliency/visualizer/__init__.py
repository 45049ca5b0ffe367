"""Visualizers: pictures of saliency, one per domain. They know nothing of Chainer."""

from __future__ import annotations

from saliency.visualizer import visualizer_utils as visualizer_utils
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.colors import (
    atom_color,
    diverging_cmap,
    heatmap,
    magnitude_color,
    red_blue_cmap,
    sequential_cmap,
    signed_colors,
)
from saliency.visualizer.filter_visualizer import FilterVisualizer
from saliency.visualizer.image_visualizer import ImageVisualizer
from saliency.visualizer.metric_visualizer import MetricVisualizer
from saliency.visualizer.mol_visualizer import MolVisualizer, SmilesVisualizer
from saliency.visualizer.molecules.files import read_sdf
from saliency.visualizer.molecules.groups import (
    FUNCTIONAL_GROUPS,
    AtomGroup,
    atom_groups,
    brics_fragments,
    functional_groups,
    ring_systems,
)
from saliency.visualizer.molecules.tables import atom_table, group_table
from saliency.visualizer.scalers import (
    abs_max_scaler,
    min_max_scaler,
    normalize_scaler,
    project_scaler,
)
from saliency.visualizer.table_visualizer import TableVisualizer
from saliency.visualizer.text_visualizer import TextVisualizer

__all__ = [
    "FUNCTIONAL_GROUPS",
    "AtomGroup",
    "BaseVisualizer",
    "FilterVisualizer",
    "ImageVisualizer",
    "MetricVisualizer",
    "MolVisualizer",
    "SmilesVisualizer",
    "TableVisualizer",
    "TextVisualizer",
    "abs_max_scaler",
    "atom_color",
    "atom_groups",
    "atom_table",
    "brics_fragments",
    "diverging_cmap",
    "functional_groups",
    "group_table",
    "heatmap",
    "magnitude_color",
    "min_max_scaler",
    "normalize_scaler",
    "project_scaler",
    "read_sdf",
    "red_blue_cmap",
    "ring_systems",
    "sequential_cmap",
    "signed_colors",
]

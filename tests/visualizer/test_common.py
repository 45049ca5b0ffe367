"""Names that remain under Chainer Chemistry's modules."""

from __future__ import annotations

import importlib

import pytest

import saliency.visualizer


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("common", ["abs_max_scaler", "min_max_scaler", "normalize_scaler"]),
        ("common", ["project_scaler", "heatmap", "red_blue_cmap", "signed_colors"]),
        ("common", ["diverging_cmap"]),
        ("visualizer_utils", ["abs_max_scaler", "min_max_scaler", "red_blue_cmap"]),
        ("visualizer_utils", ["normalize_scaler"]),
        ("base_visualizer", ["BaseVisualizer"]),
        ("image_visualizer", ["ImageVisualizer"]),
        ("mol_visualizer", ["MolVisualizer", "SmilesVisualizer", "atom_color"]),
        ("table_visualizer", ["TableVisualizer"]),
    ],
)
def test_a_name_is_the_same_in_its_module_and_in_the_package(module, names):
    module = importlib.import_module(f"saliency.visualizer.{module}")
    for name in names:
        assert getattr(module, name) is getattr(saliency.visualizer, name)
        assert getattr(saliency, name) is getattr(saliency.visualizer, name)

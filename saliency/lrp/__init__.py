"""Layer-wise relevance propagation by a walk over the creator graph."""

from saliency.lrp.composites import PRESETS, Assignment, Composite, Layer, composite
from saliency.lrp.conservation import Conservation
from saliency.lrp.graph import Application, Graph
from saliency.lrp.registry import register_handler
from saliency.lrp.rules import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Half,
    Norm,
    Pass,
    Rule,
    Taylor,
    Term,
    Uniform,
    WinnerTakesAll,
    WSquare,
    Zero,
    ZPlus,
)

__all__ = [
    "PRESETS",
    "AlphaBeta",
    "Application",
    "Assignment",
    "Box",
    "Composite",
    "Conservation",
    "Epsilon",
    "Flat",
    "Gamma",
    "Gradient",
    "Graph",
    "Half",
    "Layer",
    "Norm",
    "Pass",
    "Rule",
    "Taylor",
    "Term",
    "Uniform",
    "WSquare",
    "WinnerTakesAll",
    "ZPlus",
    "Zero",
    "composite",
    "register_handler",
]

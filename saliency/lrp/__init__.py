"""Layer-wise relevance propagation by a walk over the creator graph."""

from saliency.lrp.composites import PRESETS, Composite, composite
from saliency.lrp.functions import register_handler
from saliency.lrp.graph import Application, Graph
from saliency.lrp.rules import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Norm,
    Pass,
    Rule,
    WinnerTakesAll,
    WSquare,
    Zero,
    ZPlus,
)

__all__ = [
    "PRESETS",
    "AlphaBeta",
    "Application",
    "Box",
    "Composite",
    "Epsilon",
    "Flat",
    "Gamma",
    "Gradient",
    "Graph",
    "Norm",
    "Pass",
    "Rule",
    "WSquare",
    "WinnerTakesAll",
    "ZPlus",
    "Zero",
    "composite",
    "register_handler",
]

"""Saliency for Chainer models: calculators that explain, visualizers that draw.

Importing this package makes ``import chainer`` work on today's Python and NumPy, so
import it first. The names below are loaded when they are first used.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from saliency.explanation import Explanation as Explanation
from saliency.namesake import warn_of_namesake
from saliency.version import __version__ as __version__

_MODULES = {
    "BaseCalculator": "saliency.calculator",
    "AblationCAMCalculator": "saliency.calculator",
    "BayesGradCalculator": "saliency.calculator",
    "FeatureAblationCalculator": "saliency.calculator",
    "FullGradCalculator": "saliency.calculator",
    "BlurIntegratedGradientsCalculator": "saliency.calculator",
    "ConductanceCalculator": "saliency.calculator",
    "GradientCalculator": "saliency.calculator",
    "DeconvnetCalculator": "saliency.calculator",
    "DeepLiftCalculator": "saliency.calculator",
    "DeepLiftShapCalculator": "saliency.calculator",
    "EigenCAMCalculator": "saliency.calculator",
    "ExpectedGradientsCalculator": "saliency.calculator",
    "GradCAMCalculator": "saliency.calculator",
    "GradCAMPlusPlusCalculator": "saliency.calculator",
    "GuidedBackpropCalculator": "saliency.calculator",
    "GuidedGradCAMCalculator": "saliency.calculator",
    "GuidedIntegratedGradientsCalculator": "saliency.calculator",
    "HiResCAMCalculator": "saliency.calculator",
    "IntegratedGradientsCalculator": "saliency.calculator",
    "InternalInfluenceCalculator": "saliency.calculator",
    "IntegratedHessiansCalculator": "saliency.calculator",
    "LRPCalculator": "saliency.calculator",
    "LayerCAMCalculator": "saliency.calculator",
    "LimeCalculator": "saliency.calculator",
    "NeuronConductanceCalculator": "saliency.calculator",
    "OcclusionCalculator": "saliency.calculator",
    "PermutationCalculator": "saliency.calculator",
    "RISECalculator": "saliency.calculator",
    "ScoreCAMCalculator": "saliency.calculator",
    "ShapleyCalculator": "saliency.calculator",
    "ShapleyInteractionCalculator": "saliency.calculator",
    "SmoothGradCalculator": "saliency.calculator",
    "XGradCAMCalculator": "saliency.calculator",
    "EnsemblePosterior": "saliency.calculator",
    "Posterior": "saliency.calculator",
    "SWAGPosterior": "saliency.calculator",
    "GaussianBlur": "saliency.calculator",
    "GaussianNoiseSampler": "saliency.calculator",
    "UniformNoiseSampler": "saliency.calculator",
    "Superpixels": "saliency.calculator",
    "cut_to_lengths": "saliency.calculator",
    "list_examples": "saliency.calculator",
    "one_hot_groups": "saliency.calculator",
    "Regions": "saliency.calculator",
    "xrai": "saliency.calculator",
    "BaseVisualizer": "saliency.visualizer",
    "FilterVisualizer": "saliency.visualizer",
    "ImageVisualizer": "saliency.visualizer",
    "MetricVisualizer": "saliency.visualizer",
    "MolVisualizer": "saliency.visualizer",
    "SmilesVisualizer": "saliency.visualizer",
    "TableVisualizer": "saliency.visualizer",
    "TextVisualizer": "saliency.visualizer",
    "AtomGroup": "saliency.visualizer",
    "FUNCTIONAL_GROUPS": "saliency.visualizer",
    "abs_max_scaler": "saliency.visualizer",
    "atom_color": "saliency.visualizer",
    "atom_groups": "saliency.visualizer",
    "atom_table": "saliency.visualizer",
    "brics_fragments": "saliency.visualizer",
    "functional_groups": "saliency.visualizer",
    "group_table": "saliency.visualizer",
    "read_sdf": "saliency.visualizer",
    "ring_systems": "saliency.visualizer",
    "magnitude_color": "saliency.visualizer",
    "min_max_scaler": "saliency.visualizer",
    "normalize_scaler": "saliency.visualizer",
    "project_scaler": "saliency.visualizer",
    "heatmap": "saliency.visualizer",
    "diverging_cmap": "saliency.visualizer",
    "sequential_cmap": "saliency.visualizer",
    "red_blue_cmap": "saliency.visualizer",
    "signed_colors": "saliency.visualizer",
    "class_index_of": "saliency.models",
    "from_sklearn": "saliency.models",
    "imagenet_labels": "saliency.models",
    "load_logp_network": "saliency.models",
    "load_onnx": "saliency.models",
    "load_pretrained": "saliency.models",
    "photograph_network": "saliency.models",
    "read_photograph": "saliency.models",
    "top_classes": "saliency.models",
    "fast_cpu": "saliency.cpu",
    "write_report": "saliency.report",
    "RetainOutputHook": "link_hooks",
    "VariableMonitorLinkHook": "link_hooks",
}

# Packages that are loaded when they are first asked for, as attributes of this one.
_PACKAGES = (
    *("calculator", "cpu", "deep_lift", "lrp", "metrics", "models", "report"),
    *("training", "visualizer"),
)

__all__ = ["Explanation", "__version__", *_MODULES]
if find_spec("onnx") is None:  # `import *` loads all of them
    __all__.remove("load_onnx")


def _draw_explanation(
    explanation: Explanation, kind: Any, visualizer: Any, **arguments: Any
) -> Any:
    """Draw an explanation; loads the visualizers, which explanations do not know."""
    drawing = importlib.import_module("saliency.visualizer.explained.drawing")
    return drawing.draw_explanation(explanation, kind, visualizer, **arguments)


def _report_explanation(explanation: Explanation, path: Any, **texts: Any) -> Any:
    """Return the page of an explanation, or write it; loads what makes pages."""
    report = importlib.import_module("saliency.report")
    if path is None:
        return report.report_html(explanation, **texts)
    return report.write_report(path, explanation, **texts)


Explanation.drawn_by = staticmethod(_draw_explanation)
Explanation.reported_by = staticmethod(_report_explanation)

# What is logged is seen by those who set up logging, and is no stray line for others.
logging.getLogger(__name__).addHandler(logging.NullHandler())

warn_of_namesake()


def _is_command_line() -> bool:
    """Tell whether this process is the command line, which can wait for Chainer.

    It has been started as ``python -m saliency``, which Python tells from 3.10 on, or
    by the script ``chainer-saliency``.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    if Path(script).stem == "chainer-saliency":
        return True
    # While Python looks for the module to run, it has "-m" in the place of its name.
    argv, words = getattr(sys, "argv", []), getattr(sys, "orig_argv", [])
    is_module = argv[:1] == ["-m"] and len(words) >= len(argv)
    return is_module and words[-len(argv)] in ("saliency", "-msaliency")


if not _is_command_line():  # its help and what it says of typos need no Chainer
    importlib.import_module("saliency.chainer_compat")


def __getattr__(name: str) -> Any:
    if name not in _PACKAGES and name not in _MODULES:
        raise _unknown(name)
    importlib.import_module("saliency.chainer_compat")
    if name in _PACKAGES:
        return importlib.import_module(f"saliency.{name}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *_PACKAGES, "chainer_compat"})


def _unknown(name: str) -> AttributeError:
    """Return the error for a name that this package does not have."""
    near = difflib.get_close_matches(name, __dir__(), 1, cutoff=0.7)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    error = AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    # With a name, but without an object, Python does not add a hint of its own.
    error.name = name
    return error

"""Where networks come from: pretrained ones of Chainer's, scikit-learn, ONNX files."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.models.imagenet import class_index_of, imagenet_labels, top_classes
from saliency.models.logp import load_logp_network
from saliency.models.photographs import photograph_network, read_photograph
from saliency.models.pretrained import load_pretrained

__all__ = [
    "class_index_of",
    "from_sklearn",
    "imagenet_labels",
    "load_logp_network",
    "load_onnx",
    "load_pretrained",
    "photograph_network",
    "read_photograph",
    "top_classes",
]
if find_spec("onnx") is None:  # `import *` loads all of them
    __all__.remove("load_onnx")


# What needs packages that may not be installed.
_ON_FIRST_USE = {
    "from_sklearn": "saliency.models.sklearn",
    "load_onnx": "saliency.models.onnx",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)

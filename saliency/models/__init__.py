"""Where networks come from: pretrained ones of Chainer's, and scikit-learn."""

from __future__ import annotations

from typing import Any

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.models.imagenet import class_index_of, imagenet_labels, top_classes
from saliency.models.pretrained import load_pretrained

__all__ = [
    "class_index_of",
    "from_sklearn",
    "imagenet_labels",
    "load_pretrained",
    "top_classes",
]


def __getattr__(name: str) -> Any:
    if name != "from_sklearn":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # On first use: it needs a package that is an extra.
    from saliency.models.sklearn import from_sklearn

    return from_sklearn

"""Chainer's own image networks, with the weights that people can get today."""

from __future__ import annotations

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.models.imagenet import class_index_of, imagenet_labels, top_classes
from saliency.models.pretrained import load_pretrained

__all__ = ["class_index_of", "imagenet_labels", "load_pretrained", "top_classes"]

"""Gradients without a graph of their own: arrays go back through the creator graph.

Chainer's ``backward`` makes Variables and function nodes, so that it could be
differentiated again. Here nothing of that is needed. :func:`gradients` walks over the
same graph with arrays; a vector-Jacobian product for each function class takes them
from the outputs of a function to its inputs. Each family of functions has a module.
"""

from __future__ import annotations

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.backprop import (  # noqa: F401 (each declares its products)
    affine,
    arithmetic,
    elementwise,
    normalization,
    pooling,
    products,
    reductions,
    routing,
)
from saliency.backprop.walk import gradients, input_gradients

__all__ = ["gradients", "input_gradients"]

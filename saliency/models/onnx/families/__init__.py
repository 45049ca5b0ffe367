"""The operators of ONNX in functions of Chainer, one module for each family.

Importing this package declares all of them in :data:`OPERATORS`.
"""

from saliency.models.onnx.families import (
    activations,
    arithmetic,
    arrays,
    control,
    convolution,
    functions,
    indexing,
    normalization,
    pooling,
    products,
    recurrent,
    reductions,
    resize,
    sampling,
    shapes,
    spectra,
)
from saliency.models.onnx.operators import OPERATORS

__all__ = [
    "OPERATORS",
    "activations",
    "arithmetic",
    "arrays",
    "control",
    "convolution",
    "functions",
    "indexing",
    "normalization",
    "pooling",
    "products",
    "recurrent",
    "reductions",
    "resize",
    "sampling",
    "shapes",
    "spectra",
]

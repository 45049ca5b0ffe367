"""The multipliers of each kind of function, one module for each family.

Importing this package declares all of them in :mod:`saliency.deep_lift.registry`.
"""

from saliency.deep_lift.handlers import (
    affine,
    compositions,
    elementwise,
    exponentials,
    maxima,
    products,
)

__all__ = [
    "affine",
    "compositions",
    "elementwise",
    "exponentials",
    "maxima",
    "products",
]

"""What is done with relevance at each kind of function, one module for each family.

Importing this package declares all kinds in :mod:`saliency.lrp.registry`.
"""

from saliency.lrp.handlers import (
    elementwise,
    maxima,
    normalization,
    products,
    recurrent,
    refusals,
    routing,
    sums,
)

__all__ = [
    "elementwise",
    "maxima",
    "normalization",
    "products",
    "recurrent",
    "refusals",
    "routing",
    "sums",
]

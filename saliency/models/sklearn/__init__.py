"""Networks of scikit-learn as chains of Chainer.

How :func:`from_sklearn` makes one, and where each step is:

1. ``tracing.py`` follows the columns of a table through the transformers of a pipeline
   to the network. For each input of the network, it tells which column of the table it
   comes from, what had to be encoded on the way, and how it was scaled after that.
2. ``encoding.py`` computes what has no gradient, such as a column for each category.
   The fitted transformers of the pipeline do that, outside of the chain.
3. ``network.py`` is the chain: it computes scaling and layers, so that gradients are
   with respect to the units of the table (``links.py`` has the parts).
4. ``verification.py`` compares the outputs of chain and estimator on rows that it makes
   up. ``conversion.py`` calls all of these.
"""

from __future__ import annotations

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"from_sklearn needs scikit-learn: pip install scikit-learn ({error})"
    ) from error

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.models.sklearn.conversion import from_sklearn

__all__ = ["from_sklearn"]

"""What the toolkit is measured against: a plain Chainer loop, Captum, Zennit and shap.

PyTorch, Captum, Zennit and shap are needed here alone. Where the first three are
missing, :data:`HAS_TORCH` is False, and only the loop is run; shap is for one table.
"""

from importlib.util import find_spec

import saliency  # noqa: F401  (Chainer can be imported only after something of ours)

HAS_TORCH = all(find_spec(name) for name in ("torch", "captum", "zennit"))
HAS_SHAP = HAS_TORCH and find_spec("shap") is not None

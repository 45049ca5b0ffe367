"""What the toolkit is measured against: a plain Chainer loop, Captum and Zennit.

PyTorch, Captum and Zennit are needed here alone. Where they are missing,
:data:`HAS_TORCH` is False, and only the loop is run.
"""

from importlib.util import find_spec

import saliency  # noqa: F401  (Chainer can be imported only after something of ours)

HAS_TORCH = all(find_spec(name) for name in ("torch", "captum", "zennit"))

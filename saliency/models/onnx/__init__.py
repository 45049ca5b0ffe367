"""Networks in ONNX files as chains of Chainer.

How :func:`load_onnx` makes one, and where each step is:

1. ``loading.py`` reads the file and has it checked. ``functions.py`` takes functions
   apart, until there is a graph of known operators, and ``sequences.py`` known
   sequences. ``channel_dropout.py`` finds the dropout of channels, which no operator
   is. ``tensors.py`` reads arrays, also those in other files of the model's folder.
2. ``compiling.py`` goes over the nodes once. What depends on constants alone is
   computed now (``folding.py``, with the reference implementation of ONNX). Each node
   that is left becomes a step (``steps.py``). It gets a link (``links.py``, or one
   of Chainer's own) if a gradient can go through it. If there are nodes that cannot be
   loaded, one error lists all of them.
3. ``chain.py`` is the chain, and ``running.py`` runs its steps. Floating-point tensors
   are variables of Chainer. Integers, truth values, and whatever is computed from
   shapes are arrays of the moment, so a graph that asks for its shapes fits any batch.
   ``batch_axes.py`` follows the batch axis where a file has its size written into it.

An operator is declared where it is written, in ``families/``, one file a family, with
the decorator of ``operators.py``: its positional arguments are its inputs, its keyword
arguments the attributes. ``docs/onnx_operators.md`` is made from these declarations.
"""

from __future__ import annotations

try:
    import onnx  # noqa: F401
except ImportError as error:
    raise ImportError(
        "load_onnx needs the package onnx: pip install 'chainer-saliency[onnx]', or "
        f"pip install 'onnx>=1.17' ({error})"
    ) from error

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.models.onnx.loading import load_onnx

__all__ = ["load_onnx"]

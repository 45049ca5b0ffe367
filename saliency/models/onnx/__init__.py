"""Networks in ONNX files as chains of Chainer.

How :func:`load_onnx` makes one, and where each step is:

1. ``loading.py`` reads the file, has it checked, and takes functions apart, until there is
   a graph of operators. ``tensors.py`` reads its arrays, those in other files of the
   model's folder as well.
2. ``compiling.py`` goes over the nodes once. What depends on constants alone is computed
   now (``folding.py``, with the reference implementation that comes with ONNX). Each node
   that is left becomes a step (``steps.py``), and gets a link if it computes on what can
   have a gradient. All nodes that cannot be had are told in one error.
3. ``chain.py`` is the chain: it runs the steps. Floating-point tensors are variables of
   Chainer. Integers, truth values, and whatever is computed from shapes are arrays, in
   NumPy as they come, so that a graph that asks for its shapes fits any batch.
   ``batch_axes.py`` follows the batch where a file has its size written into it.

An operator is declared where it is written, in ``families/``, one file a family, with the
decorator of ``operators.py``: its arguments are its inputs, its keyword arguments its
attributes. ``docs/onnx_operators.md`` is made from these declarations.
"""

from __future__ import annotations

from saliency.models.onnx.loading import load_onnx

__all__ = ["load_onnx"]

"""Convolution, linear layers, pooling and ReLU on the CPU, faster than Chainer's own.

:func:`fast_cpu` is a block; nothing of Chainer is changed outside of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.cpu import memory, threads
from saliency.cpu.fusion import fused, fused_with_graph
from saliency.cpu.replacements import REPLACEMENTS, are_covered
from saliency.replaced_methods import MethodsOfThread

import chainer

__all__ = ["fast_cpu", "fused_with_graph", "is_fast"]


_methods = MethodsOfThread(REPLACEMENTS, at_once=False)


@contextlib.contextmanager
def fast_cpu() -> Iterator[None]:
    """Let this thread's convolutions, linear layers and poolings run on faster code.

    Within the block, on NumPy arrays of float32 and float64, Chainer's functions of
    one and two dimensions are computed

    - as convolutions with 3 x 3 kernels by Winograd's algorithm (relative error in
      float32 about 1e-6), depthwise ones as sums over the taps of their kernels,
      others as matrix products of tiles of patches, in memory that does not grow with
      the batch but for the result;
    - where there is no graph, with fixed batch normalization, a sum and a rectifier
      behind a large convolution in one pass with it;
    - on as many threads as NumPy's BLAS may use;
    - with results, ReLUs' and sums' among them, in the memory of earlier ones.

    What is not covered runs on Chainer's code as before. Calculators run within such
    a block. ``chainer.global_config.fast_cpu = False``, or
    ``with chainer.using_config("fast_cpu", False)``, turns the block off.

    Example:
        >>> with fast_cpu():
        ...     trainer.run()
    """
    if not getattr(chainer.config, "fast_cpu", True):
        yield
        return
    counted_once = threads.threads.counted_once
    with _methods.replaced(), memory.reused(), counted_once(), fused(_methods.meet):
        yield


def is_fast(*arrays: Any) -> bool:
    """Tell whether arrays may be given to the functions of this package.

    Args:
        arrays (array or None): What they would be given.

    Returns:
        bool: Whether this thread is in the block, and all are NumPy arrays of one dtype
        that is covered.
    """
    return _methods.is_inside() and are_covered(*arrays)

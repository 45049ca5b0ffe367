"""Convolution, linear layers, pooling and ReLU on the CPU, faster than Chainer's own.

:func:`fast_cpu` is a block; nothing of Chainer is changed outside of it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.cpu import memory
from saliency.cpu.replacements import REPLACEMENTS, Replacement
from saliency.replaced_methods import Method, ReplacedMethods

import chainer

__all__ = ["fast_cpu"]


class _Local(threading.local):
    is_in_block = False


_local = _Local()


def _in_block(replacement: Replacement, original: Method) -> Method:
    """Return a method that is the replacement where the thread is in a block."""

    @functools.wraps(original)
    def method(self: Any, *args: Any) -> Any:
        if not _local.is_in_block:
            return original(self, *args)
        result = replacement(self, *args)
        return original(self, *args) if result is None else result

    return method


_methods = ReplacedMethods(
    {
        place: functools.partial(_in_block, replacement)
        for place, replacement in REPLACEMENTS.items()
    }
)


@contextlib.contextmanager
def fast_cpu() -> Iterator[None]:
    """Let this thread's convolutions, linear layers and poolings run on faster code.

    Within the block, on NumPy arrays of float32 and float64, Chainer's functions of
    one and two dimensions are computed

    - as convolutions with 3 x 3 kernels by Winograd's algorithm (relative error in
      float32 about 1e-6), others as matrix products of tiles of patches, in memory
      that does not grow with the batch but for the result;
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
    outer = _local.is_in_block
    with _methods.replaced(), memory.reused():
        _local.is_in_block = True
        try:
            yield
        finally:
            _local.is_in_block = outer

"""Convolutions on a GPU, in bounded memory, and by cuDNN where it is installed.

CuPy 14 has no cuDNN any more. What Chainer does without it lays out the patches of all
images of a batch at once, which is nine times the activations of a 3 x 3 kernel, and
counts them in 32 bits: VGG16 ends at 71 images of 224 x 224 in a pass, whatever the
memory, with an illegal access.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.gpu.replacements import REPLACEMENTS
from saliency.replaced_methods import MethodsOfThread

import chainer

__all__ = ["fast_gpu"]

_methods = MethodsOfThread(REPLACEMENTS)


@contextlib.contextmanager
def fast_gpu() -> Iterator[None]:
    """Let this thread's convolutions on CuPy arrays run on other code.

    Within the block, convolutions and deconvolutions of two dimensions in float32 run
    on cuDNN, where the packages ``nvidia-cudnn-frontend`` and ``nvidia-cudnn-cu12`` or
    ``nvidia-cudnn-cu13`` are installed: in float32 throughout (no TF32), by algorithms
    that always give the same result, chosen once for each shape. All others run on
    Chainer's own code, with so many images at once that their patches have 2**28
    elements at most.

    Calculators run within such a block. ``chainer.global_config.fast_gpu = False``, or
    ``with chainer.using_config("fast_gpu", False)``, turns the block off.
    """
    if not getattr(chainer.config, "fast_gpu", True):
        yield
        return
    with _methods.replaced():
        yield

"""What saliency must be, computed another way."""

from __future__ import annotations

import itertools

import numpy as np

import saliency  # noqa: F401  (before chainer)

import chainer
import chainer.functions as F


def run(model, *inputs):
    """Returns the model's output for arrays, in evaluation mode."""
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(*map(chainer.Variable, inputs)).array


def numerical_gradient(f, x, eps=1e-6):
    """Returns df/dx by central differences; ``f(x)`` is ``(batch,)``."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape[1:]):
        step = np.zeros_like(x)
        step[(slice(None), *index)] = eps
        gradient[(slice(None), *index)] = (f(x + step) - f(x - step)) / (2 * eps)
    return gradient


def backward_gradient(model, *inputs):
    """Returns the gradient of the summed output at the first input."""
    variables = [chainer.Variable(x.copy()) for x in inputs]
    with chainer.using_config("train", False):
        F.sum(model(*variables)).backward()
    return variables[0].grad


def loop_over_batches(explain, batchsize, *inputs):
    """Returns what ``explain`` gives for each batch of ``batchsize`` examples."""
    return np.concatenate(
        [
            explain(*[x[start : start + batchsize] for x in inputs])
            for start in range(0, len(inputs[0]), batchsize)
        ]
    )


def windows(shape, axes, sizes, strides):
    """Yields the slices of all windows over an array whose axis 0 is the batch."""
    starts = []
    for axis, size, stride in zip(axes, sizes, strides):
        start, of_axis = 0, []
        while start + size < shape[axis]:
            of_axis.append(start)
            start += stride
        starts.append([*of_axis, shape[axis] - size])  # the last is moved back
    for corner in itertools.product(*starts):
        window = [slice(None)] * len(shape)
        for axis, size, start in zip(axes, sizes, corner):
            window[axis] = slice(start, start + size)
        yield tuple(window)


def occlusion(f, x, axes, sizes, strides, fill):
    """Returns occlusion saliency; ``f(x)`` is ``(batch,)``, ``fill`` like ``x``."""
    shape = [n if i in (0, *axes) else 1 for i, n in enumerate(x.shape)]
    total, count = np.zeros(shape), np.zeros(shape)
    for window in windows(x.shape, axes, sizes, strides):
        covered = x.copy()
        covered[window] = np.broadcast_to(fill, x.shape)[window]
        fall = (f(x) - f(covered)).reshape(-1, *[1] * (x.ndim - 1))
        total[window] += fall
        count[window] += 1
    return total / count

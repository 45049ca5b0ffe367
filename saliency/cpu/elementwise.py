"""Elementwise functions of large arrays on all cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Callable

import numpy as np

from saliency.cpu import compiled, memory
from saliency.cpu.compiled.functions import Work
from saliency.cpu.epilogue import Epilogue, limit
from saliency.cpu.mask import Mask
from saliency.cpu.threads import even_parts, threads

#: Arithmetic operations of a matrix product that take as long as an element of an
#: elementwise function.
COST = 40
#: Bytes of a part, which is to stay in the cache from one pass over it to the next.
PART = 1 << 18
# The same of images, which are passed over a few times in larger steps.
_PART_OF_IMAGES = 1 << 20
# Elements of an innermost loop that are enough for it to pay.
_BLOCK = 1024
# What NumPy does about floating-point errors where nothing depends on it.
_GOES_ON = frozenset(("ignore", "warn"))


def is_large(array: np.ndarray) -> bool:
    """Tell whether there is anything to gain."""
    return array.nbytes > PART


def masked(gy: np.ndarray, mask: Mask, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``gy`` where a mask lets it through, else 0.

    Args:
        gy (numpy.ndarray): A gradient.
        mask (Mask): Where it goes through.
        out (numpy.ndarray or None): Where the result goes, which may be ``gy``; new
            memory if None.
    """
    if out is None:
        out = _empty_for((gy, mask.y))
    if _is_shared(mask.work(gy, out), gy):
        return out

    def work(of_gy: np.ndarray, of_y: np.ndarray, of_out: np.ndarray) -> None:
        replace(mask, y=of_y).multiply(of_gy, (), of_out)

    return in_parts(work, gy, mask.y, out=out)


def relu(x: np.ndarray) -> np.ndarray:
    """Return ``max(x, 0)``."""

    def work(part: np.ndarray, out: np.ndarray) -> None:
        np.maximum(part, 0, out=out)

    return in_parts(work, x)


def relu_to_input(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ``gy`` where ``y`` is positive, else 0."""
    return masked(gy, Mask(y))


def clipped_relu(x: np.ndarray, cap: float) -> np.ndarray:
    """Return ``min(max(x, 0), cap)``."""
    low, high = x.dtype.type(0), x.dtype.type(cap)

    def work(part: np.ndarray, out: np.ndarray) -> None:
        np.clip(part, low, high, out=out)

    return in_parts(work, x)


def clipped_relu_to_input(gy: np.ndarray, x: np.ndarray, cap: float) -> np.ndarray:
    """Return ``gy`` where ``x`` is between 0 and ``cap``, else 0."""
    return masked(gy, Mask(x, ceiling=cap))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return ``1 / (1 + exp(-x))``.

    NumPy's exp takes half of the time of its tanh, by which Chainer computes it.
    """
    out = _empty_for((x,))
    if _is_shared(compiled.sigmoid(x, out), x):
        return out

    def work(part: np.ndarray, out: np.ndarray) -> None:
        np.negative(part, out=out)
        with np.errstate(over="ignore"):  # where the result is 0
            np.exp(out, out=out)
        out += 1
        np.reciprocal(out, out=out)

    return in_parts(work, x, out=out)


def tanh(x: np.ndarray) -> np.ndarray:
    """Return the hyperbolic tangent."""
    out = _empty_for((x,))
    if _is_shared(compiled.tanh(x, out), x):
        return out
    return in_parts(np.tanh, x, out=out)


def sigmoid_to_input(
    gy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``gy y (1 - y)``, the gradient at the input of a sigmoid.

    Args:
        gy (numpy.ndarray): The gradient at the output.
        y (numpy.ndarray): The output, of the same shape.
        out (numpy.ndarray or None): Where the result goes, which may be ``gy``; new
            memory, in the layout of ``y``, if None.
    """
    if out is None:
        out = _empty_for((y, gy))
    if _is_shared(compiled.sigmoid_to_input(gy, y, out), y):
        return out

    def work(of_y: np.ndarray, of_gy: np.ndarray, of_out: np.ndarray) -> None:
        np.multiply(of_gy, of_y, out=of_out)
        of_out *= of_y.dtype.type(1) - of_y

    return in_parts(work, y, gy, out=out)


def tanh_to_input(
    gy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``gy (1 - y**2)``, that of tanh: see :func:`sigmoid_to_input`."""
    if out is None:
        out = _empty_for((y, gy))
    if _is_shared(compiled.tanh_to_input(gy, y, out), y):
        return out

    def work(of_y: np.ndarray, of_gy: np.ndarray, of_out: np.ndarray) -> None:
        np.multiply(of_y.dtype.type(1) - of_y * of_y, of_gy, out=of_out)

    return in_parts(work, y, gy, out=out)


def arithmetic(
    operation: np.ufunc, *arrays: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return what an operation of NumPy makes of arrays of one shape, such as a sum.

    Args:
        operation (numpy.ufunc): ``operation(*arrays, out)``.
        arrays (numpy.ndarray): What it takes.
        out (numpy.ndarray or None): Where the result goes, which may be one of the
            arrays; new memory if None.
    """
    if out is None:
        out = _empty_for(arrays)
    if _is_told_of_errors():
        work = None
    elif len(arrays) == 2:
        x, y = arrays
        work = compiled.arithmetic(operation.__name__, x, y, out)
    elif operation is np.negative:  # 0 - 0 is not -0
        work = compiled.arithmetic("multiply", -1, arrays[0], out)
    else:
        work = None
    return out if _is_shared(work, out) else in_parts(operation, *arrays, out=out)


def with_constant(operation: np.ufunc, constant: Any, x: np.ndarray) -> np.ndarray:
    """Return ``operation(constant, x)``, for a number of the dtype of x."""
    result = _empty_for((x,))
    if not _is_told_of_errors():
        shared = compiled.arithmetic(operation.__name__, constant, x, result)
        if _is_shared(shared, x):
            return result

    def work(part: np.ndarray, out: np.ndarray) -> None:
        operation(constant, part, out)

    return in_parts(work, x, out=result)


def normalized(x: np.ndarray, then: Epilogue) -> np.ndarray:
    """Return what an epilogue with offset, scale and shift makes of an array.

    Args:
        x (numpy.ndarray): ``(n, channel, ...)``.
        then (Epilogue): What is done to it.
    """
    beside = () if then.added is None else (then.added,)
    limits = then.limits(x.dtype)

    def work(part: np.ndarray, *rest: np.ndarray) -> None:
        *added, offset, scale, of_shift, out = rest
        if scale.ndim == 1 and compiled.can_finish(part, *added, out):
            steps = compiled.Steps(
                None, offset, scale, of_shift, then.floor, then.ceiling
            )
            finish = compiled.Finish(steps, len(scale), part.dtype)
            finish(part, added[0] if added else None, out)
            return
        np.add(part, offset, out=out)
        out *= scale
        out += of_shift
        for term in added:
            out += term
        limit(out, *limits)

    vectors = then.offset, then.scale, then.shift
    return _with_channels(work, x, *vectors, beside=beside)  # type: ignore[arg-type]


def shift_channels(x: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return ``x + shift``, with a number ``(channel,)`` for each place on axis 1."""
    return _with_channels(np.add, x, shift)


def scale_channels(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return ``x * scale``, with a number ``(channel,)`` for each place on axis 1."""
    return scaled(x, scale)


def scaled(
    gy: np.ndarray,
    scale: np.ndarray,
    mask: Mask | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``gy`` where a mask lets it through, times a number for each channel.

    Args:
        gy (numpy.ndarray): ``(n, channel, ...)``.
        scale (numpy.ndarray): ``(channel,)``.
        mask (Mask or None): Where it goes through.
        out (numpy.ndarray or None): Where the result goes, which may be ``gy``; new
            memory if None.
    """
    beside = () if mask is None else (mask.y,)

    def work(part: np.ndarray, *rest: np.ndarray) -> None:
        *of_y, of_scale, of_out = rest
        if mask is not None:
            replace(mask, y=of_y[0]).multiply(part, (), of_out)
            part = of_out
        np.multiply(part, of_scale, out=of_out)

    return _with_channels(work, gy, scale, beside=beside, out=out)


def pad(x: np.ndarray, widths: list[tuple[int, int]], value: float) -> np.ndarray:
    """Return ``x`` with a value put before and after it along each axis.

    Args:
        x (numpy.ndarray): An array of any layout, which the result has as well.
        widths (list of tuple): How often before and how often after, for each axis.
        value (float): The value.
    """
    out = memory.empty_like(x, [sum(w) + n for w, n in zip(widths, x.shape)])
    inside = tuple(slice(w[0], w[0] + n) for w, n in zip(widths, x.shape))
    # What is filled for an axis leaves out what was filled for those before it.
    for axis, (before, after) in enumerate(widths):
        for edge in (slice(0, before), slice(out.shape[axis] - after, None)):
            out[(*inside[:axis], edge)] = value
    out[inside] = x
    return out


def joined(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Return arrays one behind the other, in the layout of the first.

    Args:
        parts (sequence of numpy.ndarray): Of one dtype, and of one shape but for the
            axis.
        axis (int): Along which they are joined.
    """
    first = parts[0]
    axis %= first.ndim
    shape = list(first.shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    out = _empty_for(parts, tuple(shape))
    start = 0
    for part in parts:
        stop = start + part.shape[axis]
        of_out = out[(slice(None),) * axis + (slice(start, stop),)]
        if not _is_shared(compiled.copy(part, of_out), part):
            of_out[...] = part
        start = stop
    return out


def summed(x: np.ndarray, axis: int, keepdims: bool) -> np.ndarray | None:
    """Return sums over an axis, None where NumPy is as fast: see :func:`.sums`."""
    if _is_told_of_errors():
        return None
    axis %= x.ndim
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    out = memory.empty((*before, *after), x.dtype)
    if not _is_shared(compiled.sums(x, axis, out), x):
        return None
    return out.reshape(*before, 1, *after) if keepdims else out


def clear_around(array: np.ndarray, rows: slice, columns: slice) -> None:
    """Write zeros before and after some rows, and some columns of them.

    Args:
        array (numpy.ndarray): ``(row, column, ...)``.
        rows (slice): Which rows are not cleared,
        columns (slice): in these columns.
    """
    height, width = array.shape[:2]
    if rows.start > 0:
        array[: rows.start] = 0
    if rows.stop < height:
        array[rows.stop :] = 0
    if columns.start > 0:
        array[rows, : columns.start] = 0
    if columns.stop < width:
        array[rows, columns.stop :] = 0


def in_parts(
    work: Callable[..., Any],
    *arrays: np.ndarray,
    whole: int | None = None,
    out: np.ndarray | None = None,
    is_one_pass: bool = True,
) -> np.ndarray:
    """Return what ``work(*parts, out)`` writes, part by part, like the first array.

    That is the first one that is not the same everywhere along an axis.

    Args:
        work (callable): Works on parts of the arrays, and of the result.
        arrays (numpy.ndarray): All of one shape.
        whole (int or None): An axis that is not cut.
        out (numpy.ndarray or None): Where the result goes; new memory if None.
        is_one_pass (bool): Whether the work is one pass over the memory, which one
            thread makes without cutting anything.
    """
    if out is None:
        out = _empty_for(arrays)
    if out.nbytes <= PART or (is_one_pass and threads.for_work(COST * out.size) == 1):
        work(*arrays, out)
    else:
        *parts, axis = _to_be_cut([*arrays, out], whole)
        _divide(work, parts, axis)
    return out


def _empty_for(
    arrays: Sequence[np.ndarray], shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return an array, not initialized, in the layout of others.

    Args:
        arrays (sequence of numpy.ndarray): The first of them that is not the same
            everywhere along an axis says how.
        shape (tuple of int or None): Another shape than theirs.
    """
    if shape is None:
        shape = arrays[0].shape
    for array in arrays:
        if all(array.strides):
            return memory.empty_like(array, shape)
    return memory.empty(shape, arrays[0].dtype)


def _is_told_of_errors() -> bool:
    """Tell whether somebody is to be told of floating-point errors, by an exception.

    What is compiled tells nobody.
    """
    return not _GOES_ON.issuperset(np.geterr().values())


def _is_shared(work: Work | None, array: np.ndarray) -> bool:
    """Do an elementwise function's work, if it is compiled; tell whether it is."""
    if work is None:
        return False
    threads.share(work, COST * array.size)
    return True


def _with_channels(
    work: Callable[..., Any],
    x: np.ndarray,
    *vectors: np.ndarray,
    beside: Sequence[np.ndarray] = (),
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return what ``work(part, *beside, *vectors, out)`` writes, part by part, like x.

    Args:
        work (callable): Works on a part of the array and of those beside it, vectors,
            and a part of the result.
        x (numpy.ndarray): ``(n, channel, ...)``.
        vectors (numpy.ndarray): Numbers ``(channel,)``; work has them in a shape that
            goes with the parts.
        beside (sequence of numpy.ndarray): Other arrays of the shape of x.
        out (numpy.ndarray or None): Where the result goes; new memory if None.
    """
    n_channel = x.shape[1]
    order = memory.axes_in_memory(x)
    if out is None:
        out = memory.empty_like(x)
    arrays = [x, *beside, out]
    by_pixel = [array.transpose(order) for array in arrays]
    if order[-1] != 1 or not all(a.flags.c_contiguous for a in by_pixel):
        shape = (-1,) + (1,) * (x.ndim - 2)
        shaped = [vector.reshape(shape) for vector in vectors]

        def work_on_parts(*parts: np.ndarray) -> None:
            work(*parts[:-1], *shaped, parts[-1])

        return in_parts(work_on_parts, x, *beside, whole=1, out=out, is_one_pass=False)
    pixels = [array.reshape(-1, n_channel) for array in by_pixel]
    # The innermost loop is to have more to do than the channels of a pixel.
    n_all = len(pixels[0])
    n_pixel = min(max(1, _BLOCK // n_channel), n_all)
    whole = n_all - n_all % n_pixel
    blocks = [array[:whole].reshape(-1, n_pixel * n_channel) for array in pixels]
    repeated = [np.concatenate([vector] * n_pixel) for vector in vectors]
    _divide(lambda *parts: work(*parts[:-1], *repeated, parts[-1]), blocks)
    if whole < n_all:
        *rest, of_out = (array[whole:] for array in pixels)
        work(*rest, *vectors, of_out)
    return out


def _divide(
    work: Callable[..., Any], arrays: Sequence[np.ndarray], axis: int = 0
) -> None:
    """Call ``work(*parts)`` with parts of arrays along an axis, on all cores.

    Args:
        work (callable): Works on a part of each array.
        arrays (sequence of numpy.ndarray): All of one shape.
        axis (int): Where they are cut.
    """

    def work_through(start: int, stop: int, step: int) -> None:
        for at in range(start, stop, step):
            part = (slice(None),) * axis + (slice(at, min(at + step, stop)),)
            work(*(array[part] for array in arrays))

    first = arrays[0]
    length = first.shape[axis]
    step = max(1, length * PART // first.nbytes)
    n_thread = threads.for_work(COST * first.size)
    if n_thread == 1:
        work_through(0, length, step)
        return
    jobs = [
        (start * step, min(stop * step, length), step)
        for start, stop in even_parts(-(-length // step), n_thread)
    ]
    threads.run(work_through, jobs, n_thread)


def over_images(work: Callable[[slice], None], images: np.ndarray) -> None:
    """Call ``work(some)`` with slices that cover the images, on all cores.

    Args:
        work (callable): Works on some images.
        images (numpy.ndarray): ``(n, ...)``.
    """
    n_thread = threads.for_work(COST * images.size)
    n_at_once = len(images) * _PART_OF_IMAGES // max(images.nbytes, 1)
    step = max(1, min(n_at_once, -(-len(images) // n_thread)))
    starts = range(0, len(images), step)
    threads.run(work, [(slice(start, start + step),) for start in starts], n_thread)


def _to_be_cut(arrays: list[np.ndarray], whole: int | None) -> list[Any]:
    """Return the arrays in a form that can be cut finely, and along which axis."""
    result = arrays[-1]
    order = memory.axes_in_memory(result)
    in_order = [array.transpose(order) for array in arrays]
    if whole is None and all(array.flags.c_contiguous for array in in_order):
        return [*(array.reshape(-1) for array in in_order), 0]
    # Along the axis of the largest stride, parts are whole pieces of memory.
    axes = [a for a in range(result.ndim) if a != whole]
    axis = max(axes, key=lambda a: (result.shape[a] > 1) * result.strides[a])
    return [*arrays, axis]

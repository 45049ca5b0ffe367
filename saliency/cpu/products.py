"""Products of matrices, divided among the threads.

The BLAS could do that by itself, but its own threads go on spinning for a while after
their work, and take the cores from ours.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from saliency.cpu import compiled, memory
from saliency.cpu.epilogue import NOTHING, Epilogue, Finish
from saliency.cpu.mask import Mask, masked
from saliency.cpu.threads import even_parts, threads

# Columns or rows that a BLAS works on at a time: parts are whole multiples.
_UNIT = 16
# From how many products of numbers on OpenBLAS takes several threads.
_BLAS_OF_MATRICES, _BLAS_OF_VECTOR = 1 << 18, 9216
# With fewer products in all matrices of stacks, deciding takes longer than is gained.
_FEWEST_OF_STACKS = 1 << 18
# Bytes of a result that are still in a cache, of the second or third level, when they
# are finished. With fewer rows at a time a BLAS loses more than that gains.
_TILE = 1 << 21


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    bias: np.ndarray | None = None,
    then: Epilogue = NOTHING,
    mask: Mask | None = None,
) -> np.ndarray:
    """Return ``a @ b + bias``, and what an epilogue makes of it.

    Args:
        a (numpy.ndarray): ``(n, k)``.
        b (numpy.ndarray): ``(k, m)``.
        bias (numpy.ndarray or None): ``(m,)``.
        then (Epilogue): What is done to the result; its array is ``(..., m)``, of n
            pixels.
        mask (Mask or None): What of ``a`` is taken; its array is ``(n, k)``.
    """
    n_operation = 2 * a.size * b.shape[1]
    n_thread = threads.for_work(n_operation)
    added = None
    if then.added is not None:
        added = then.added.reshape(-1, b.shape[1])  # a copy, in some layouts
        then = replace(then, added=added)
    if compiled.can_multiply(a, b, added):
        product = compiled.Product(b, then.steps(bias))
        if mask is not None:
            return _masked_product(a, product, added, mask, n_thread)
        out = memory.empty((len(a), b.shape[1]), a.dtype)
        threads.share(product.work(a, added, out), n_operation)
        return out
    n_byte = len(a) * b.shape[1] * a.itemsize
    if n_thread == 1 and n_byte <= _TILE and then is NOTHING and mask is None:
        return _in_one_piece(a, b, bias)
    out = memory.empty((len(a), b.shape[1]), a.dtype)
    finish = Finish(out, bias, then)
    by_row = len(a) > b.shape[1]
    rows = _parts(len(a), n_thread if by_row else 1)
    columns = _parts(b.shape[1], 1 if by_row else n_thread)

    def multiply(rows: slice, columns: slice) -> None:
        step = rows.stop - rows.start
        if finish.is_needed or mask is not None:
            n_part = -(-step * max(b.shape) * a.itemsize // _TILE)
            step = -(-step // n_part)
        for start in range(rows.start, rows.stop, step):
            stop = min(start + step, rows.stop)
            of_out = out[start:stop, columns]
            of_a = masked(a, slice(start, stop), mask)
            np.matmul(of_a, b[:, columns], out=of_out)
            finish(start, stop, columns)

    jobs = [(r, c) for r in rows for c in columns]
    threads.run(multiply, jobs, n_thread)
    return out


def of_stacks(
    a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray | None:
    """Return ``a @ b`` for stacks of small matrices, which all threads divide.

    Args:
        a (numpy.ndarray): ``(..., n, k)``.
        b (numpy.ndarray): ``(..., k, m)``, of its dtype. As in NumPy, an axis of a
            stack that is missing or of length 1 goes with any length of the other's.
        out (numpy.ndarray or None): Where the result goes; new memory if None.

    Returns:
        numpy.ndarray or None: The products; None where there is nothing to gain, as
        where a BLAS takes several threads for each of them.
    """
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n_product = a.shape[-2] * a.shape[-1] * b.shape[-1]  # of numbers, in each of them
    n_all = n_product * math.prod(shape)
    if n_product > _BLAS_OF_MATRICES or n_all < _FEWEST_OF_STACKS or not shape:
        return None
    if out is None:
        out = memory.empty((*shape, a.shape[-2], b.shape[-1]), a.dtype)
    stacks = compiled.Stacks.of(a, b, out)
    if stacks is not None:
        threads.share(stacks.work(), 2 * n_all)
        return out
    longest = max(range(len(shape)), key=shape.__getitem__)

    def some_of(stack: np.ndarray, some: slice) -> np.ndarray:
        axis = longest - len(shape) + stack.ndim - 2  # shapes are aligned at their ends
        if axis < 0 or stack.shape[axis] == 1:
            return stack
        return stack[(slice(None),) * axis + (some,)]

    def multiply(some: slice) -> None:
        np.matmul(some_of(a, some), some_of(b, some), out=some_of(out, some))

    n_thread = threads.for_work(2 * n_all)
    parts = [(slice(*ends),) for ends in even_parts(shape[longest], n_thread)]
    threads.run(multiply, parts, n_thread)
    return out


def _in_one_piece(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Return ``a @ b + bias``, for which less around it is faster than any tile."""
    (out,) = threads.run(np.dot, [(a, b)], 1)
    if bias is not None:
        Finish(out, bias, NOTHING)(0, len(out))
    product: np.ndarray = out
    return product


def _masked_product(
    a: np.ndarray,
    product: compiled.Product,
    added: np.ndarray | None,
    mask: Mask,
    n_thread: int,
) -> np.ndarray:
    """Return what a product with a matrix gives of what a mask leaves."""
    out = memory.empty((len(a), product.n_column), a.dtype)

    def multiply(rows: slice) -> None:
        of_added = None if added is None else added[rows]
        product.work(masked(a, rows, mask), of_added, out[rows]).run()

    # What is left of the rows is to stay in the cache.
    n_part = n_thread * -(-a.nbytes // (_TILE * n_thread))
    threads.run(multiply, [(rows,) for rows in _parts(len(a), n_part)], n_thread)
    return out


def is_large(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether a BLAS would take several threads for ``a @ b``."""
    n_column: int = b.shape[1]
    is_vector = len(a) == 1 or n_column == 1
    limit = _BLAS_OF_VECTOR if is_vector else _BLAS_OF_MATRICES
    return a.size * n_column > limit


def _parts(n: int, n_part: int) -> list[slice]:
    if n_part == 1:
        return [slice(0, n)]
    # What is left over goes with the last unit.
    parts = even_parts(max(1, n // _UNIT), n_part)
    n_unit = parts[-1][1]
    return [
        slice(start * _UNIT, n if stop == n_unit else stop * _UNIT)
        for start, stop in parts
        if start < stop
    ]

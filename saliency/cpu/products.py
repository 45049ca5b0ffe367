"""Products of matrices, divided among the threads.

The BLAS could do that by itself, but its own threads go on spinning for a while after
their work, and take the cores from ours.
"""

from __future__ import annotations

import numpy as np

from saliency.cpu import memory
from saliency.cpu.threads import threads

# Columns or rows that a BLAS works on at a time: parts are whole multiples.
_UNIT = 16
# From how many products of numbers on OpenBLAS takes several threads.
_BLAS_OF_MATRICES, _BLAS_OF_VECTOR = 1 << 18, 9216


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b`` for matrices ``(n, k)`` and ``(k, m)``."""
    out = memory.empty((len(a), b.shape[1]), a.dtype)
    n_thread = threads.for_work(2 * a.size * b.shape[1])
    if n_thread == 1:
        jobs = [(a, b, out)]
    elif len(a) > b.shape[1]:
        jobs = [(a[part], b, out[part]) for part in _parts(len(a), n_thread)]
    else:
        parts = _parts(b.shape[1], n_thread)
        jobs = [(a, b[:, part], out[:, part]) for part in parts]

    def multiply(of_a: np.ndarray, of_b: np.ndarray, of_out: np.ndarray) -> None:
        np.matmul(of_a, of_b, out=of_out)

    threads.run(multiply, jobs, n_thread)
    return out


def is_large(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether a BLAS would take several threads for ``a @ b``."""
    n_column: int = b.shape[1]
    is_vector = len(a) == 1 or n_column == 1
    limit = _BLAS_OF_VECTOR if is_vector else _BLAS_OF_MATRICES
    return a.size * n_column > limit


def _parts(n: int, n_part: int) -> list[slice]:
    edges = np.linspace(0, -(-n // _UNIT), n_part + 1).astype(int) * _UNIT
    edges = np.minimum(edges, n).tolist()
    return [slice(a, b) for a, b in zip(edges, edges[1:]) if a < b]

"""Arrays that nobody may write into for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from saliency.array_types import Array


def that_can_be_protected(arrays: Sequence[Array | None]) -> list[np.ndarray]:
    """Return those arrays of NumPy that can be made read-only, and writable again.

    CuPy has no such switch; and what lies in the memory of another library may not be
    allowed back. Owners of memory come before the views of it, which NumPy wants.
    """
    owners, views = [], []
    for array in arrays:
        if not isinstance(array, np.ndarray) or not array.flags.writeable:
            continue
        base = array.base
        if base is None:
            if array.flags.owndata:
                owners.append(array)
        elif isinstance(base, np.ndarray) and base.flags.owndata:
            views.append(array)
    return owners + views


@contextlib.contextmanager
def read_only(arrays: Sequence[np.ndarray]) -> Iterator[None]:
    """Return a block in which writing into these arrays is a ValueError.

    Args:
        arrays (sequence of numpy.ndarray): From :func:`that_can_be_protected`.
    """
    # Within another such block there is nothing to do, nor to undo.
    changed = [a for a in arrays if a.flags.writeable]
    try:
        for array in changed:
            array.flags.writeable = False
        yield
    finally:
        for array in changed:
            array.flags.writeable = True

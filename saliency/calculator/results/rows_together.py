"""How many rows of a result are written together, where the user does not say it."""

from __future__ import annotations

from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.pass_size import EXAMPLES_OF_BATCH, bytes_of_example

# A process that is killed loses what it was working on, and workers take turns; but
# each write has a price of its own.
_PARTS_AT_LEAST = 64
_BYTES_OF_DATA = 1 << 20
_ROWS_AT_MOST = 4096


def rows_together(batches: Batches, batchsize: int | None) -> int:
    """Return how many rows are written together, as ``batchsize`` says.

    Without it, they are a part of the data of at most 1 MiB and, if that is more than
    16 examples, one sixty-fourth. Nothing but the data decides it, so that what was
    begun on one machine can be resumed on another.

    Args:
        batches (Batches): The data.
        batchsize (int or None): What the user says.
    """
    if batchsize is not None:
        return batchsize
    (first,) = batches.peek(0, 1)
    of_room = _BYTES_OF_DATA // max(bytes_of_example(first), 1)
    most = min(of_room, batches.n_example // _PARTS_AT_LEAST, _ROWS_AT_MOST)
    # A model that takes its batch whole takes as many as elsewhere.
    return max(most // EXAMPLES_OF_BATCH, 1) * EXAMPLES_OF_BATCH

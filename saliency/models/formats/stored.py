"""Arrays in a file, as it declares them before any is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, NamedTuple

import numpy as np

#: Names of the dtypes that weights have.
NUMBERS = frozenset(
    f"{kind}{bits}"
    for kind, of_kind in (
        ("float", (16, 32, 64)),
        ("int", (8, 16, 32, 64)),
        ("uint", (8, 16, 32, 64)),
    )
    for bits in of_kind
)


class Refused(ValueError):
    """A file, or an array in it, that is whole and no weights are like."""


# ResNet152 has 932.
_MOST_ARRAYS = 10_000


class Stored(NamedTuple):
    """An array in a file that is open.

    Attributes:
        shape (tuple of int): What the file says of it.
        dtype (str): The name of its dtype, such as those in :data:`NUMBERS`.
        read (callable): Returns it. It takes memory for it alone, whatever the file
            makes of it, and raises an error if it is damaged.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


#: The arrays of a file by their names.
Weights = Mapping[str, Stored]


class Trunk(dict[str, Stored]):
    """Convolutions in a row that a graph begins with, each followed by its ReLU.

    Weights in a graph have any names. These are called by their place, as in
    ``block1.conv2.weight`` and ``block1.conv2.bias``: a pooling ends a block.

    Attributes:
        end (str): What comes after them in the graph.
    """

    end: str


def add(weights: dict[str, Stored], name: str, stored: Stored) -> None:
    """Put an array under a name that is new.

    Raises:
        Refused: If the file has two of that name, or more than any network.
    """
    if name in weights:
        raise Refused(f"it holds {name} twice")
    if len(weights) == _MOST_ARRAYS:
        raise Refused(f"it holds more than {_MOST_ARRAYS} arrays")
    weights[name] = stored

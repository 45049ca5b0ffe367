"""What metrics found for examples: by name, and as a mean with its standard error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def checked_mapping(name: str, value: Any, what: str) -> dict[Any, Any]:
    """Return a mapping that is not empty as a dict.

    Args:
        name: What messages call it.
        value: The mapping.
        what: What it maps to what, such as ``"the name of each method to its curves"``.

    Raises:
        TypeError: It is none.
        ValueError: It is empty.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must map {what}, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty: it maps {what}")
    return dict(value)


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means over examples, and their standard errors; 0 with one example.

    Args:
        values: Finite, in float64; the first axis is that of the examples.
    """
    n = len(values)
    spread = values.std(axis=0, ddof=1) if n > 1 else np.zeros(values.shape[1:])
    return values.mean(axis=0), spread / np.sqrt(n)

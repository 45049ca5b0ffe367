"""What metrics have in common that explain several times."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.checks import is_int


def check_explains_again(
    metric: object, explained: Any, settings: dict[str, Any]
) -> None:
    """Raise a TypeError or ValueError unless a metric can explain several times.

    Args:
        metric: The metric, whose name messages have.
        explained: What is measured: has to be a calculator.
        settings (dict): Arguments of its ``compute_aggregate``.
    """
    name = type(metric).__name__
    if not isinstance(explained, BaseCalculator):
        raise TypeError(
            f"explained must be a calculator for {name}, which explains again, got "
            f"{type(explained).__name__}"
        )
    if settings.get("out") is not None:
        raise ValueError(
            f"out must be None for {name}, which explains several times; got "
            f"{settings['out']!r}"
        )


def check_seed(seed: Any) -> None:
    """Raise a ValueError unless it is a seed, or None."""
    if not (seed is None or (is_int(seed) and seed >= 0)):
        raise ValueError(f"seed must be an int >= 0 or None, got {seed!r}")


def fixed_seed(seed: int | None) -> int:
    """Return a seed that all explanations share; None draws one.

    Raises:
        ValueError: If it is no seed.
    """
    check_seed(seed)
    return int(np.random.default_rng().integers(2**62)) if seed is None else seed

"""What decides the last digits of a result, besides the call itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from saliency.cpu.threads import threads

import chainer


def describe_machine(device: chainer.backend.Device) -> dict[str, Any]:
    """Return what two computations have in common if they give the same bytes.

    Args:
        device (chainer.backend.Device): Where the model is.

    Returns:
        dict: In JSON's types.
    """
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "device": str(device),
        "numpy": np.__version__,
        "chainer": chainer.__version__,
        "blas": _blas_of_numpy(),
        "simd": [*simd.get("baseline", []), *simd.get("found", [])],
        "threads": len(threads),
    }


def gives_same_bytes(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether what was computed there has the same bytes here.

    A GPU may add up in another order each time.
    """
    return before == now and before["device"] == "@numpy"


def _blas_of_numpy() -> list[str]:
    """Return the libraries that NumPy multiplies matrices with, for which processor."""
    found = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    # SciPy, for one, may bring another.
    of_numpy = [lib for lib in found if "numpy" in str(lib["filepath"])] or found
    return sorted(
        f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}".strip()
        for lib in of_numpy
    )

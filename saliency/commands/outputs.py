"""What a network says of examples, without explaining it."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.commands.networks import Prepared

import chainer
from chainer.dataset import concat_examples

_BATCHSIZE = 16


def number_of_outputs(prepared: Prepared) -> int | None:
    """Return how many columns the output has; None if the first example does not fit.

    Calculators say what does not.
    """
    found = outputs_of(prepared, 1)
    if found is None or found.ndim == 0:
        return None
    return 1 if found.ndim == 1 else int(found.shape[1])


def outputs_of(prepared: Prepared, n: int | None = None) -> np.ndarray | None:
    """Return the outputs for the first n examples, or None if they do not fit."""
    if _is_unfinished(prepared.network.model):
        return None  # or the first pass would draw its parameters
    data = prepared.data
    rows = data.iloc[:n].to_numpy() if hasattr(data, "iloc") else data[:n]
    batches = [rows[i : i + _BATCHSIZE] for i in range(0, len(rows), _BATCHSIZE)]
    try:
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return np.concatenate([_outputs(prepared, list(some)) for some in batches])
    except Exception:  # whatever the model raises: calculators say it better
        return None


def _outputs(prepared: Prepared, examples: list[Any]) -> np.ndarray:
    model = prepared.network.model
    converter = prepared.known.get("converter", concat_examples)
    batch = converter(examples, getattr(model, "device", None))
    inputs = batch if isinstance(batch, tuple) else (batch,)
    found = prepared.network.forward(*(_cast(x, model) for x in inputs))
    array: np.ndarray = chainer.cuda.to_cpu(chainer.as_variable(found).array)
    return array


def _is_unfinished(model: Any) -> bool:
    """Tell whether a model has parameters that it has not been given yet."""
    return any(p.array is None for p in getattr(model, "params", tuple)())


def _cast(array: Any, model: Any) -> Any:
    """Return floating-point numbers in the dtype of the model's parameters."""
    dtypes = {p.dtype for p in getattr(model, "params", tuple)()}
    floats = [dtype for dtype in dtypes if dtype.kind == "f"]
    is_float = getattr(array, "dtype", np.dtype(int)).kind == "f"
    return array.astype(floats[0]) if is_float and len(floats) == 1 else array

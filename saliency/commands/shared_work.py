"""The same as ``explain``, computed by several processes."""

from __future__ import annotations

from typing import Any

import numpy as np

import saliency
from saliency.commands.networks import Prepared
from saliency.commands.outputs import outputs_of

#: What ``explain`` is told that is of the explanation, and not of the computation.
_NAMES = ("feature_names", "class_names", "element_names", "molecules", "images")


def explain_by_workers(
    calculator: saliency.BaseCalculator,
    prepared: Prepared,
    store: Any,
    **settings: Any,
) -> saliency.Explanation:
    """Return what a calculator finds, by way of a Zarr store that processes share.

    Args:
        calculator (BaseCalculator): The method with its settings; it explains one
            class of each example.
        prepared (Prepared): What is explained.
        store (path): The store, which ends in ``.zarr``. A call that was interrupted is
            resumed.
        settings: Of ``compute_aggregate``.

    Raises:
        ImportError: If Dask or Zarr is not installed.
    """
    known = dict(prepared.known)
    names = {name: known.pop(name) for name in _NAMES if name in known}
    groups = known.pop("groups", None)
    written = calculator.compute_aggregate(
        prepared.data, out=store, **known, **settings
    )
    values = np.asarray(written)
    names.setdefault("feature_names", calculator.feature_names)
    classes, scores = _explained(prepared, calculator.class_index, len(values))
    explanation = saliency.Explanation(
        values,
        data=None if prepared.kind == "molecule" else np.asarray(prepared.data),
        classes=classes,
        scores=scores,
        calculator=repr(calculator),
        method=settings.get("method", "raw"),
        n_sample=settings.get("M", calculator.call_defaults.get("M", 1)),
        **names,
    )
    return explanation if groups is None else explanation.grouped(groups)


def _explained(
    prepared: Prepared, index: Any, n_example: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return which class was explained of each example, and its score."""
    outputs = outputs_of(prepared)
    if outputs is None:
        return None, None
    outputs = outputs.reshape(n_example, -1)
    if index is None or index == "sum":
        return None, outputs.sum(axis=1, dtype="d")
    classes = outputs.argmax(axis=1) if index == "argmax" else np.full(n_example, index)
    return classes, outputs[np.arange(n_example), classes].astype("d")

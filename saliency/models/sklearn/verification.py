"""Compares a network with the estimator that it was made of."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder

from saliency.models.sklearn.encoding import side_by_side
from saliency.models.sklearn.network import SklearnClassifier, SklearnNetwork
from saliency.models.sklearn.tracing import Affine, Preprocessing

import chainer

_N_ROW = 16


def verify(estimator: Any, model: SklearnNetwork, made_of: Preprocessing) -> None:
    """Raise a ValueError unless chain and estimator agree on rows that are made up.

    Rows have the categories that encoders know, and numbers of the size that scalers
    expect. If the estimator wants a DataFrame and pandas is not installed, nothing is
    compared.
    """
    dtype = model.output.W.dtype
    columns = _made_up(made_of, dtype)
    table: Any = side_by_side(columns, _N_ROW)
    if made_of.are_named:
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            return
        table = pandas.DataFrame(dict(zip(made_of.inputs, columns)))
    elif table.dtype.kind == "f":
        table = table.astype(dtype)
    expected, found = _outputs(estimator, model, table)
    limit = (1e-9 if dtype == np.float64 else 1e-3) * max(1.0, abs(expected).max())
    worst = abs(found - expected).max()
    if not worst <= limit:
        raise ValueError(
            "estimator: the chain that was made of it does not compute what it "
            f"predicts, outputs differ by up to {worst:.2g}. Does one of its steps "
            "compute something else than the class that it is derived from?"
        )


def _outputs(
    estimator: Any, model: SklearnNetwork, table: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the estimator predicts, and the chain."""
    x = np.asarray(model.encode(table), model.output.W.dtype)
    with chainer.no_backprop_mode():
        if isinstance(model, SklearnClassifier):
            expected = estimator.predict_proba(table)
            found = model.probabilities(x).array
        else:
            expected = estimator.predict(table)
            found = model(x).array
    return np.reshape(expected, found.shape), found


def _made_up(made_of: Preprocessing, dtype: np.dtype) -> list[np.ndarray]:
    """Return some rows as the columns of the table."""
    generator = np.random.default_rng(0)
    table = [generator.normal(size=_N_ROW).astype(dtype) for _ in made_of.inputs]
    for column in made_of.columns:
        scaling = column.stages[0] if column.stages else None
        if isinstance(scaling, Affine) and scaling.factor:
            # Where the scaler has its zero, and some units around it.
            numbers = (generator.normal(size=_N_ROW) - scaling.shift) / scaling.factor
            table[column.feature] = (numbers + scaling.offset).astype(dtype)
    for step in made_of.steps:
        if isinstance(step.transformer, OneHotEncoder):
            for feature, known in zip(step.features, step.transformer.categories_):
                table[feature] = generator.choice(known, _N_ROW)
    return table

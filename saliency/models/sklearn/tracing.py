"""Follows the columns of a table through the transformers of a pipeline."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Union

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

#: What a pipeline may hold before the network, for messages.
ALLOWED = (
    "StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, OneHotEncoder, "
    "SimpleImputer, ColumnTransformer, Pipeline, 'passthrough' and 'drop'"
)
_SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)


class Affine(NamedTuple):
    """The scaling ``(x - offset) * factor + shift`` of a column."""

    offset: float = 0.0
    factor: float = 1.0
    shift: float = 0.0


class Clip(NamedTuple):
    """The limits that a scaled column is clipped to."""

    low: float = -np.inf
    high: float = np.inf


Stage = Union[Affine, Clip]


class Source(NamedTuple):
    """A column before it is scaled.

    Attributes:
        step (int): The encoding step that gives it; -1 for a column of the table.
        position (int): Its position in what the step gives, or in the table.
    """

    step: int
    position: int


@dataclass(frozen=True)
class Column:
    """A column on its way to the network.

    Attributes:
        source (Source): What it was before it was scaled.
        feature (int): The column of the table that it comes from.
        name (str): The name of the source.
        stages (tuple of Affine or Clip): How it was scaled.
    """

    source: Source
    feature: int
    name: str
    stages: tuple[Stage, ...] = ()

    def then(self, stage: Stage) -> Column:
        """Return the column after one more stage of scaling."""
        return replace(self, stages=(*self.stages, stage))

    def unscaled(self) -> Column:
        """Return the column before it was scaled."""
        return replace(self, stages=())


class Step(NamedTuple):
    """A transformer that runs outside of the network.

    Attributes:
        transformer: A fitted transformer of scikit-learn.
        inputs (tuple of Source): The columns that it takes.
        features (tuple of int): The columns of the table that they come from.
        names (tuple of str): Their names, for messages.
    """

    transformer: Any
    inputs: tuple[Source, ...]
    features: tuple[int, ...]
    names: tuple[str, ...]


class Preprocessing(NamedTuple):
    """What happens to a table before it comes to the network.

    Attributes:
        inputs (tuple of str): The names of the table's columns.
        are_named (bool): Whether the estimator was fitted to a table with these names,
            rather than to an array.
        steps (tuple of Step): What runs outside of the chain, in this order.
        columns (tuple of Column): What the network takes.
    """

    inputs: tuple[str, ...]
    are_named: bool
    steps: tuple[Step, ...]
    columns: tuple[Column, ...]


def preprocessing_of(
    transformers: Sequence[tuple[str, Any]], inputs: Sequence[str], are_named: bool
) -> Preprocessing:
    """Follow the columns of a table through the steps of a pipeline.

    Args:
        transformers (sequence of tuple): The names of steps and fitted transformers.
        inputs (sequence of str): The names of the table's columns.
        are_named (bool): Whether the estimator knows them.

    Raises:
        TypeError: If a transformer is not among those that can be converted.
        ValueError: If its settings cannot.
    """
    trace = _Trace()
    raw = [Column(Source(-1, i), i, name) for i, name in enumerate(inputs)]
    columns = trace.through_steps(transformers, raw, "")
    return Preprocessing(tuple(inputs), are_named, tuple(trace.steps), tuple(columns))


@dataclass
class _Trace:
    """Follows columns through fitted transformers.

    Attributes:
        steps (list of Step): What has to run outside of the network, in this order.
    """

    steps: list[Step] = field(default_factory=list)

    def through(
        self, transformer: Any, columns: Sequence[Column], path: str
    ) -> list[Column]:
        """Return what a fitted transformer makes of columns.

        Args:
            transformer: A transformer of scikit-learn.
            columns (sequence of Column): What it takes.
            path (str): Where it is in the pipeline, for messages.

        Raises:
            TypeError: If this transformer is not among those that can be converted.
            ValueError: If its settings cannot.
        """
        if transformer is None or transformer == "passthrough":
            return list(columns)
        if isinstance(transformer, str) and transformer == "drop":
            return []
        if isinstance(transformer, Pipeline):
            return self.through_steps(transformer.steps, columns, path)
        if isinstance(transformer, ColumnTransformer):
            return self._side_by_side(transformer, columns, path)
        if isinstance(transformer, _SCALERS):
            return _scaled(transformer, columns)
        if isinstance(transformer, OneHotEncoder):
            return self._one_hot(transformer, columns, path)
        if isinstance(transformer, SimpleImputer):
            return self._imputed(transformer, columns, path)
        # What a ColumnTransformer of today makes of 'passthrough'.
        if isinstance(transformer, FunctionTransformer) and transformer.func is None:
            return list(columns)
        raise TypeError(
            f"estimator: {path} is a {type(transformer).__name__}, which cannot be "
            f"converted; before the network there may be {ALLOWED}"
        )

    def through_steps(
        self, steps: Sequence[tuple[str, Any]], columns: Sequence[Column], path: str
    ) -> list[Column]:
        """Return what transformers one after the other make of columns."""
        found = list(columns)
        for name, transformer in steps:
            found = self.through(transformer, found, f"{path}/{name}".lstrip("/"))
        return found

    def _side_by_side(
        self, transformer: Any, columns: Sequence[Column], path: str
    ) -> list[Column]:
        weights = transformer.transformer_weights or {}
        # scikit-learn has resolved names, slices, masks and callables.
        places = transformer._transformer_to_input_indices
        found: list[Column] = []
        for name, part, _ in transformer.transformers_:
            taken = [columns[i] for i in places[name]]
            if not taken:
                continue
            given = self.through(part, taken, f"{path}/{name}")
            if name in weights:
                given = [c.then(Affine(factor=float(weights[name]))) for c in given]
            found += given
        return found

    def _one_hot(
        self, encoder: Any, columns: Sequence[Column], path: str
    ) -> list[Column]:
        self._refuse_scaled(columns, path, "OneHotEncoder")
        names = [column.name for column in columns]
        step = self._add(encoder, columns)
        found: list[Column] = []
        # Not the encoder's own names: what it takes may have none, or others.
        categories = _one_column_each(encoder)
        titles = without_input_names(encoder).get_feature_names_out(
            np.array(names, object)
        )
        for column, n_category in zip(columns, categories):
            for _ in range(n_category):
                at = len(found)
                source = Source(step, at)
                found.append(Column(source, column.feature, str(titles[at])))
        return found

    def _imputed(
        self, imputer: Any, columns: Sequence[Column], path: str
    ) -> list[Column]:
        self._refuse_scaled(columns, path, "SimpleImputer")
        if imputer.add_indicator:
            raise ValueError(
                f"estimator: {path} adds columns that say what was missing; only "
                "add_indicator=False can be converted"
            )
        n_kept = len(imputer.get_feature_names_out())
        if n_kept != len(columns):
            raise ValueError(
                f"estimator: {path} leaves out columns without any value; drop them "
                "before it"
            )
        step = self._add(imputer, columns)
        return [
            Column(Source(step, i), column.feature, column.name)
            for i, column in enumerate(columns)
        ]

    def _add(self, transformer: Any, columns: Sequence[Column]) -> int:
        inputs = tuple(column.source for column in columns)
        features = tuple(column.feature for column in columns)
        names = tuple(column.name for column in columns)
        self.steps.append(Step(transformer, inputs, features, names))
        return len(self.steps) - 1

    @staticmethod
    def _refuse_scaled(columns: Sequence[Column], path: str, what: str) -> None:
        scaled = [column.name for column in columns if column.stages]
        if scaled:
            raise ValueError(
                f"estimator: {path} takes columns that are scaled already "
                f"({', '.join(map(repr, scaled))}); a {what} must come before scalers"
            )


def _one_column_each(encoder: Any) -> list[int]:
    """Return the number of columns that an encoder makes of each of its inputs."""
    counts = []
    for position in range(len(encoder.categories_)):
        infrequent = getattr(encoder, "infrequent_categories_", None)
        rare = None if infrequent is None else infrequent[position]
        n_category = len(encoder.categories_[position])
        if rare is not None:
            n_category += 1 - len(rare)
        dropped = encoder.drop_idx_
        if dropped is not None and dropped[position] is not None:
            n_category -= 1
        counts.append(n_category)
    return counts


def without_input_names(transformer: Any) -> Any:
    """Return a fitted transformer as if it had been fitted to an array."""
    if not hasattr(transformer, "feature_names_in_"):
        return transformer
    other = copy.copy(transformer)
    del other.feature_names_in_
    return other


def _scaled(scaler: Any, columns: Sequence[Column]) -> list[Column]:
    n = len(columns)
    if isinstance(scaler, StandardScaler):
        offsets = scaler.mean_ if scaler.with_mean else np.zeros(n)
        factors = 1 / scaler.scale_ if scaler.with_std else np.ones(n)
        shifts = np.zeros(n)
    elif isinstance(scaler, RobustScaler):
        offsets = scaler.center_ if scaler.with_centering else np.zeros(n)
        factors = 1 / scaler.scale_ if scaler.with_scaling else np.ones(n)
        shifts = np.zeros(n)
    elif isinstance(scaler, MinMaxScaler):
        offsets, factors, shifts = np.zeros(n), scaler.scale_, scaler.min_
    else:
        offsets, factors, shifts = np.zeros(n), 1 / scaler.scale_, np.zeros(n)
    found = [
        column.then(Affine(float(offset), float(factor), float(shift)))
        for column, offset, factor, shift in zip(columns, offsets, factors, shifts)
    ]
    if not getattr(scaler, "clip", False):
        return found
    low, high = getattr(scaler, "feature_range", (-1, 1))
    return [column.then(Clip(float(low), float(high))) for column in found]

"""Makes a chain of an estimator."""

from __future__ import annotations

from typing import Any

from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from saliency.models.sklearn.network import (
    SklearnClassifier,
    SklearnNetwork,
    SklearnRegressor,
)
from saliency.models.sklearn.tracing import preprocessing_of
from saliency.models.sklearn.verification import verify


def from_sklearn(estimator: Any) -> SklearnNetwork:
    """Make a chain of a neural network of scikit-learn, with the pipeline before it.

    The chain takes numbers in the units of the table, since the scalers are part of it.
    ``model.encode(table)`` makes a column for each category, and ``model.names`` says
    which of them belong together, so that there is a value for each raw column::

        model = from_sklearn(pipeline)
        calculator = IntegratedGradientsCalculator(model, baseline="mean")
        explanation = calculator.explain(model.encode(table), **model.names)

    It computes in the dtype of the estimator's weights. On rows that are made up, it is
    compared with the estimator.

    Args:
        estimator: A fitted ``MLPClassifier`` or ``MLPRegressor``, or a ``Pipeline``
            that ends with one. Before it there may be StandardScaler, MinMaxScaler,
            MaxAbsScaler, RobustScaler, OneHotEncoder, SimpleImputer, ColumnTransformer
            and pipelines of these, in which encoders and imputers come before scalers.
            Of a search such as ``GridSearchCV`` the best estimator is taken.

    Returns:
        SklearnNetwork: Its outputs are ``(N, n_output)``: the scores of classes, or
        what a regressor predicts. With two classes, there are two scores, the log-odds
        of each. ``model.probabilities(x)`` of a classifier are what ``predict_proba``
        returns.

    Raises:
        ImportError: If scikit-learn is not installed.
        TypeError: If the estimator or a step is of another kind.
        ValueError: If it is not fitted, a step cannot be converted with its settings,
            or the chain does not compute what the estimator predicts.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    steps = list(estimator.steps) if isinstance(estimator, Pipeline) else []
    network = steps.pop()[1] if steps else estimator
    if not isinstance(network, (MLPClassifier, MLPRegressor)):
        where = "" if network is estimator else " at the end of a Pipeline"
        raise TypeError(
            "estimator must be a fitted MLPClassifier or MLPRegressor, or a Pipeline "
            f"that ends with one, got {network!r}{where}"
        )
    check_is_fitted(network)
    if isinstance(network, MLPClassifier) and len(network.classes_) < 2:
        raise ValueError("estimator must have been fitted to two classes or more")
    inputs, are_named = _inputs(next((s for _, s in steps if _takes(s)), network))
    made_of = preprocessing_of(steps, inputs, are_named)
    kind = SklearnClassifier if isinstance(network, MLPClassifier) else SklearnRegressor
    model = kind(made_of, network)
    verify(estimator, model, made_of)
    return model


def _takes(step: Any) -> bool:
    """Tell whether a step of a pipeline does anything."""
    return step is not None and not isinstance(step, str)


def _inputs(first: Any) -> tuple[list[str], bool]:
    """Return the names of the columns that a fitted estimator takes.

    And whether it knows them, or they are made up as scikit-learn does.

    Raises:
        ValueError: If two have one name.
    """
    if not hasattr(first, "feature_names_in_"):
        return [f"x{i}" for i in range(first.n_features_in_)], False
    names = list(map(str, first.feature_names_in_))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            "estimator must have been fitted to columns of different names, got "
            f"{twice!r} twice"
        )
    return names, True

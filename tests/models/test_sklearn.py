"""Networks of scikit-learn as chains: beside the estimators, and by hand."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from link_hooks import VariableMonitorLinkHook
from saliency import (
    FeatureAblationCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    from_sklearn,
)

import chainer

N = 24
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": RNG.integers(18, 80, N),
        "city": RNG.choice(["Bern", "Oslo", "Rome"], N),
        "income": RNG.normal(30000, 9000, N),
        "floor": RNG.choice([1, 2, 4], N),
    },
    index=[f"person {i}" for i in range(N)],
)
HOLES = TABLE.mask(RNG.random(TABLE.shape) < 0.2)
TARGETS = {
    "two classes": np.array(["no", "yes"])[RNG.permutation(N) % 2],
    "three classes": np.array([7, 8, 9])[RNG.permutation(N) % 3],
    "labels": RNG.integers(2, size=(N, 3)),
    "a number": RNG.normal(size=N),
    "numbers": RNG.normal(size=(N, 2)),
}
SCALERS = (
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler((-1, 3)),
    MinMaxScaler(clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, with_scaling=False),
    "passthrough",
)
ENCODERS = (
    OneHotEncoder(),
    OneHotEncoder(drop="first", sparse_output=False),
    OneHotEncoder(drop="if_binary", handle_unknown="ignore"),
    OneHotEncoder(min_frequency=8, handle_unknown="infrequent_if_exist"),
    OneHotEncoder(max_categories=2),
)


def network(target: str = "two classes", **options: Any) -> Any:
    kind = MLPRegressor if "number" in target else MLPClassifier
    settings = {"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, **options}
    return kind(**settings)


def fitted(estimator: Any, table: Any = TABLE, target: str = "two classes") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(table, TARGETS[target])


def outputs(estimator: Any, table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the chain gives, and what the estimator does."""
    model = from_sklearn(estimator)
    x = np.asarray(model.encode(table), model.output.W.dtype)
    if hasattr(estimator, "predict_proba"):
        return model.probabilities(x).array, estimator.predict_proba(table)
    found = model(x).array
    return found, estimator.predict(table).reshape(found.shape)


def assert_equal_outputs(estimator: Any, table: Any, tolerance: float = 1e-12) -> None:
    found, expected = outputs(estimator, table)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def columns_of(*parts: tuple[Any, Any], **options: Any) -> ColumnTransformer:
    return make_column_transformer(*parts, **options)


def mixed(**options: Any) -> Any:
    """Returns a pipeline of scaled numbers and one-hot columns."""
    parts = ((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["city"]))
    return make_pipeline(columns_of(*parts), network(**options))


@given(st.data())
@settings(max_examples=25)
@pytest.mark.large
def test_outputs_are_those_of_the_estimator(data: Any) -> None:
    def draw(*choices: Any) -> Any:
        return copy.deepcopy(data.draw(st.sampled_from(choices)))

    target, holes = draw(*TARGETS), draw(True, False)
    numbers = [draw(*SCALERS), draw(*SCALERS)]
    categories = [draw(*ENCODERS)]
    if holes:
        numbers.insert(0, SimpleImputer(strategy=draw("mean", "median")))
        categories.insert(0, SimpleImputer(strategy="most_frequent"))
    parts = [
        (make_pipeline(*numbers), draw(["income"], ["income", "age"], slice(2, 3))),
        (make_pipeline(*categories), draw(["city"], ["city", "floor"])),
    ]
    columns = columns_of(*data.draw(st.permutations(parts)), sparse_threshold=0)
    after = draw(StandardScaler(), MaxAbsScaler(), "passthrough")
    activation = draw("identity", "logistic", "tanh", "relu")
    sizes = draw((), (4,), (4, 3))
    last = network(target, activation=activation, hidden_layer_sizes=sizes)
    table = HOLES if holes else TABLE
    if draw(True, False) and not holes:  # as an array of objects
        table = table.to_numpy(object)
        columns.transformers = [
            (name, part, taken if isinstance(taken, slice) else positions(taken))
            for name, part, taken in columns.transformers
        ]
    estimator = fitted(make_pipeline(columns, after, last), table, target)
    assert_equal_outputs(estimator, table)


def positions(names: list[str]) -> list[int]:
    return [list(TABLE).index(name) for name in names]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_networks_alone(target: str, activation: str) -> None:
    table = TABLE[["age", "floor"]].to_numpy(float)
    estimator = network(target, activation=activation)
    assert_equal_outputs(fitted(estimator, table, target), table)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_that_of_the_weights(dtype: str) -> None:
    table = TABLE[["age", "income"]].astype(dtype)
    estimator = fitted(make_pipeline(MinMaxScaler(), network()), table)
    model = from_sklearn(estimator)
    assert {array.dtype for array in (model.output.W.array, model.scaling1.shift)} == {
        np.dtype(dtype)
    }
    assert_equal_outputs(estimator, table, 1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(
    "columns",
    [
        # A column is taken twice, and they change places.
        columns_of(
            (StandardScaler(), ["income", "age"]),
            (MinMaxScaler(clip=True), ["age"]),
            (OneHotEncoder(), ["floor", "city"]),
        ),
        columns_of((OneHotEncoder(), [1]), remainder="passthrough"),
        columns_of((OneHotEncoder(), [False, True, False, True]), remainder="drop"),
        columns_of(
            (OneHotEncoder(), ["city"]), ("drop", ["age"]), remainder=RobustScaler()
        ),
        columns_of((StandardScaler(), lambda t: ["age"]), (StandardScaler(), [])),
        columns_of((FunctionTransformer(), ["age", "floor"])),
        ColumnTransformer(
            [("a", StandardScaler(), ["age"]), ("b", OneHotEncoder(), ["city"])],
            transformer_weights={"a": 0.5, "b": -3},
        ),
        make_pipeline(columns_of((SimpleImputer(), ["age"])), MinMaxScaler()),
        # The encoder knows its columns by other names than those of the table.
        make_pipeline(
            columns_of(("passthrough", ["floor", "city"])),
            OneHotEncoder(sparse_output=False),
        ),
    ],
)
@pytest.mark.parametrize("output", ["default", "pandas"])
def test_columns_of_many_kinds(columns: Any, output: str) -> None:
    if output == "pandas":
        columns = copy.deepcopy(columns)
        columns.set_output(transform="pandas")
        for _, part, *_ in getattr(columns, "transformers", ()):
            if isinstance(part, OneHotEncoder):
                part.set_params(sparse_output=False)
    estimator = fitted(make_pipeline(columns, None, network()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equal_outputs(estimator, TABLE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_that_are_clipped_beside_others_are_explained(dtype: str) -> None:
    columns = columns_of(
        (MinMaxScaler(clip=True), ["age"]), (StandardScaler(), ["income"])
    )
    table = TABLE[["age", "income"]].astype(dtype)
    estimator = fitted(make_pipeline(columns, network("a number")), table, "a number")
    beyond = table.assign(age=table["age"] + table["age"].max())  # all are clipped
    calculator = FeatureAblationCalculator(from_sklearn(estimator), baseline="mean")
    found = calculator.compute(beyond)[0]
    without = beyond.assign(income=beyond["income"].mean())
    expected = estimator.predict(beyond) - estimator.predict(without)
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-5)


def test_a_poisson_regressor_predicts_what_it_predicts() -> None:
    pytest.importorskip("sklearn", "1.7")
    table = TABLE[["age"]].to_numpy() / 80
    estimator = network("a number", loss="poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(table, TABLE["floor"])
    assert estimator.out_activation_ == "exp"
    assert_equal_outputs(estimator, table)


def test_two_classes_have_their_log_odds_as_scores() -> None:
    estimator = fitted(mixed())
    model = from_sklearn(estimator)
    scores = model(model.encode(TABLE).to_numpy()).array
    probabilities = estimator.predict_proba(TABLE)
    odds = probabilities / probabilities[:, ::-1]
    np.testing.assert_allclose(scores, np.log(odds), atol=1e-12)
    assert model.class_names == ("no", "yes")


def test_names() -> None:
    model = from_sklearn(fitted(mixed(target="three classes"), target="three classes"))
    assert model.feature_names == (
        "age", "city_Bern", "city_Oslo", "city_Rome", "income",
    )  # fmt: skip
    assert model.groups == {"city": ("city_Bern", "city_Oslo", "city_Rome")}
    assert model.class_names == ("7", "8", "9")
    links = {link.name for link in model.children()}
    assert links == {"scaling1", "hidden1", "output"}
    encoded = model.encode(TABLE)
    assert list(encoded.index) == list(TABLE.index)
    assert tuple(encoded.columns) == model.feature_names
    np.testing.assert_array_equal(encoded["income"], TABLE["income"])  # in its own unit
    np.testing.assert_array_equal(encoded["city_Oslo"], TABLE["city"] == "Oslo")


def test_no_two_columns_have_one_name() -> None:
    table = TABLE.assign(city_Oslo=TABLE["age"])
    parts = ((OneHotEncoder(), ["city"]), (StandardScaler(), ["city_Oslo"]))
    model = from_sklearn(fitted(make_pipeline(columns_of(*parts), network()), table))
    assert model.feature_names == (
        "city_Bern", "city_Oslo (2)", "city_Rome", "city_Oslo",
    )  # fmt: skip
    explanation = GradientCalculator(model, class_index=1).explain(
        model.encode(table), **model.names, show_progress=False
    )
    assert explanation.feature_names == ("city", "city_Oslo")


def test_arrays_have_the_names_of_scikit_learn() -> None:
    table = TABLE.to_numpy(object)
    columns = columns_of((OneHotEncoder(), [1]), (StandardScaler(), [0]))
    model = from_sklearn(fitted(make_pipeline(columns, network()), table))
    assert model.feature_names == ("x0", "x1_Bern", "x1_Oslo", "x1_Rome")
    assert model.groups == {"x1": ("x1_Bern", "x1_Oslo", "x1_Rome")}
    # A table is taken by its order then.
    np.testing.assert_array_equal(model.encode(table), model.encode(TABLE))


def test_what_is_not_used_need_not_be_there() -> None:
    model = from_sklearn(fitted(mixed()))
    encoded = model.encode(TABLE[["city", "income", "age"]])
    pd.testing.assert_frame_equal(encoded, model.encode(TABLE))


def by_hand(estimator: Any) -> tuple[Any, Any]:
    """Returns functions of raw numbers and categories: log-odds of "yes", gradient.

    Of the pipeline ``mixed`` with tanh; its inputs are (age, income, cities).
    """
    (_, scaler, _), *_ = estimator[0].transformers_
    last = estimator[-1]
    (W1, W2), (b1, b2) = last.coefs_, last.intercepts_
    mean, scale = np.append(scaler.mean_, [0] * 3), np.append(scaler.scale_, [1] * 3)

    def score(x: np.ndarray) -> np.ndarray:
        return (np.tanh((x - mean) / scale @ W1 + b1) @ W2 + b2)[:, 0]

    def gradient(x: np.ndarray) -> np.ndarray:
        slope = 1 - np.tanh((x - mean) / scale @ W1 + b1) ** 2
        return (slope * W2[:, 0]) @ W1.T / scale

    return score, gradient


def raw_inputs() -> np.ndarray:
    cities = TABLE["city"].to_numpy()[:, None] == ["Bern", "Oslo", "Rome"]
    return np.hstack([TABLE[["age", "income"]].to_numpy(), cities])


def test_integrated_gradients_of_raw_columns_are_the_chain_rule() -> None:
    estimator = fitted(mixed(activation="tanh"))
    score, gradient = by_hand(estimator)
    x = raw_inputs()
    start = x.mean(axis=0)
    moments = (np.arange(4000) + 0.5) / 4000
    expected = np.mean([gradient(start + t * (x - start)) for t in moments], axis=0)
    expected *= x - start

    model = from_sklearn(estimator)
    calculator = IntegratedGradientsCalculator(model, class_index=1, baseline="mean")
    explanation = calculator.explain(
        model.encode(TABLE), **model.names, show_progress=False
    )
    assert explanation.feature_names == ("age", "city", "income")
    by_column = [expected[:, 0], expected[:, 2:].sum(axis=1), expected[:, 1]]
    np.testing.assert_allclose(
        explanation.values, np.transpose(by_column), rtol=1e-5, atol=1e-9
    )
    np.testing.assert_allclose(explanation.scores, score(x))
    sums = explanation.values.sum(axis=1)
    np.testing.assert_allclose(sums, score(x) - score(start[None]), atol=1e-8)


def test_a_group_is_the_sum_of_its_columns() -> None:
    estimator = fitted(mixed(activation="tanh"))
    model = from_sklearn(estimator)
    calculator = GradientCalculator(model, class_index=1, multiply_target=True)
    explanation = calculator.explain(
        model.encode(TABLE), **model.names, show_progress=False
    )
    x = raw_inputs()
    expected = by_hand(estimator)[1](x) * x
    city = explanation.values[:, explanation.feature_names.index("city")]
    np.testing.assert_allclose(city, expected[:, 2:].sum(axis=1), atol=1e-12)
    assert list(explanation.index) == list(TABLE.index)
    assert explanation.class_names == ("no", "yes")


def test_relevance_where_columns_are_scaled() -> None:
    """The share of a scaled column in the output of a linear network is z W."""
    columns = TABLE[["age", "income"]]
    last = network("a number", hidden_layer_sizes=())
    estimator = fitted(make_pipeline(StandardScaler(), last), columns, "a number")
    model = from_sklearn(estimator)
    hook = VariableMonitorLinkHook(model.scaling1)
    calculator = LRPCalculator(model, target_extractor=hook, class_index=0)
    relevance = calculator.compute(model.encode(columns), show_progress=False)[0]
    z = estimator[0].transform(columns)
    np.testing.assert_allclose(relevance, z * last.coefs_[0][:, 0], rtol=1e-4)


def test_probabilities_can_be_explained() -> None:
    estimator = fitted(mixed())
    model = from_sklearn(estimator)
    calculator = IntegratedGradientsCalculator(
        model, eval_fun=model.probabilities, class_index=1, baseline="mean"
    )
    explanation = calculator.explain(model.encode(TABLE), **model.names)
    np.testing.assert_allclose(
        explanation.scores, estimator.predict_proba(TABLE)[:, 1], atol=1e-12
    )


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_a_copy_computes_the_same(copied: Any) -> None:
    model = from_sklearn(fitted(mixed()))
    other = copied(model)
    assert other.names == model.names
    x = model.encode(TABLE)
    pd.testing.assert_frame_equal(other.encode(TABLE), x)
    np.testing.assert_array_equal(other(x.to_numpy()).array, model(x.to_numpy()).array)


def test_the_estimator_stays_as_it_is() -> None:
    estimator = fitted(mixed())
    before = pickle.dumps(estimator)
    model = from_sklearn(estimator)
    model.output.W.array[...] = 0
    model.encode(TABLE)
    assert pickle.dumps(estimator) == before


def test_of_a_search_the_best_estimator_is_taken() -> None:
    search = GridSearchCV(mixed(), {"mlpclassifier__alpha": [0.1, 0.2]}, cv=2)
    model = from_sklearn(fitted(search))
    found = model.probabilities(model.encode(TABLE).to_numpy()).array
    np.testing.assert_allclose(found, search.predict_proba(TABLE))


def test_chainers_own_dtype_does_not_matter() -> None:
    estimator = fitted(mixed())
    with chainer.using_config("dtype", np.dtype("float16")):
        assert_equal_outputs(estimator, TABLE)


NUMBERS = TABLE[["age", "income"]]


@pytest.mark.parametrize(
    ("estimator", "table", "error", "message"),
    [
        (LogisticRegression(), NUMBERS, TypeError, "got LogisticRegression()"),
        (make_pipeline(LogisticRegression()), NUMBERS, TypeError, "end of a Pipeline"),
        (
            make_pipeline(PolynomialFeatures(), network()),
            NUMBERS,
            TypeError,
            "polynomialfeatures is a PolynomialFeatures, .*there may be StandardScaler",
        ),
        (
            make_pipeline(columns_of((SelectKBest(k=1), ["age", "income"])), network()),
            NUMBERS,
            TypeError,
            "columntransformer/selectkbest is a SelectKBest",
        ),
        (
            make_pipeline(FunctionTransformer(np.log1p), network()),
            NUMBERS,
            TypeError,
            "functiontransformer is a FunctionTransformer",
        ),
        (
            make_pipeline(StandardScaler(), OneHotEncoder(), network()),
            NUMBERS,
            ValueError,
            "onehotencoder takes columns that are scaled already .'age', 'income'",
        ),
        (
            make_pipeline(StandardScaler(), SimpleImputer(), network()),
            NUMBERS,
            ValueError,
            "a SimpleImputer must come before scalers",
        ),
        (
            make_pipeline(SimpleImputer(add_indicator=True), network()),
            NUMBERS,
            ValueError,
            "add_indicator=False",
        ),
        (
            make_pipeline(SimpleImputer(), network()),
            NUMBERS.assign(age=np.nan),
            ValueError,
            "leaves out columns without any value",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_what_cannot_be_converted(
    estimator: Any, table: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        from_sklearn(fitted(estimator, table))


@pytest.mark.parametrize("estimator", [network(), mixed()])
def test_an_estimator_that_is_not_fitted(estimator: Any) -> None:
    with pytest.raises(NotFittedError, match="MLPClassifier instance is not fitted"):
        from_sklearn(estimator)


def test_an_estimator_of_one_class() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = network().fit(NUMBERS, np.zeros(N, int))
    with pytest.raises(ValueError, match="two classes or more"):
        from_sklearn(estimator)


class Doubling(StandardScaler):
    def transform(self, X: Any, copy: Any = None) -> Any:
        return 2 * super().transform(X)


def test_a_chain_that_computes_something_else_is_an_error() -> None:
    estimator = fitted(make_pipeline(Doubling(), network()), NUMBERS)
    with pytest.raises(ValueError, match="does not compute what it predicts"):
        from_sklearn(estimator)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (TABLE.replace("Oslo", "Ulm"), ValueError, "'city'.* unknown .* .'Ulm'"),
        (TABLE.drop(columns="age"), ValueError, "got 0 called 'age'"),
        (
            TABLE.set_axis(["age", "city", "income", "age"], axis=1),
            ValueError,
            "got 2 called 'age'",
        ),
        (TABLE.assign(age="old"), TypeError, "'age' must hold numbers"),
        (TABLE.assign(income=np.nan), ValueError, "'income' must hold finite .* row 0"),
        (TABLE.to_numpy()[:, :3], ValueError, "must have 4 columns .* got 3"),
        (TABLE["age"].to_numpy(), TypeError, r"must be a DataFrame .* \(24,\)"),
        (3, TypeError, "must be a DataFrame .* int"),
    ],
)
def test_tables_that_do_not_fit(
    table: Any, error: type[Exception], message: str
) -> None:
    model = from_sklearn(fitted(mixed()))
    with pytest.raises(error, match=message):
        model.encode(table)


def test_a_table_has_the_columns_that_the_estimator_was_fitted_to() -> None:
    numbers = TABLE[["age", "income", "floor"]]
    model = from_sklearn(fitted(make_pipeline(StandardScaler(), network()), numbers))
    calculator = GradientCalculator(model, class_index=1)
    expected = calculator.compute(numbers)
    turned = numbers[["income", "age", "floor"]]
    for wrong in (turned, numbers[["age", "income"]], numbers.assign(more=1)):
        with pytest.raises(ValueError, match=r"in this order: 'age'.*model\.encode\("):
            calculator.compute(wrong)
        wrong_array = wrong.to_numpy(float)
        if wrong_array.shape[1] != 3:
            with pytest.raises(ValueError, match=r"x must have 3 columns, as what"):
                calculator.compute(wrong_array)
    np.testing.assert_array_equal(calculator.compute(model.encode(turned)), expected)
    probabilities = calculator.replace(eval_fun=model.probabilities)
    with pytest.raises(ValueError, match=r"in this order: 'age', 'income', 'floor'"):
        probabilities.compute(turned)


def test_an_estimator_that_was_fitted_to_an_array_knows_no_names() -> None:
    numbers = TABLE[["age", "income", "floor"]]
    model = from_sklearn(fitted(network(), numbers.to_numpy(float)))
    assert model.column_names is None
    calculator = GradientCalculator(model, class_index=1)
    samples = calculator.compute(numbers)
    np.testing.assert_array_equal(samples, calculator.compute(numbers.to_numpy(float)))


@pytest.mark.parametrize(
    "as_data", [lambda t: t, np.array, lambda t: t.values.tolist()]
)
def test_a_raw_table_has_to_be_encoded(as_data: Any) -> None:
    model = from_sklearn(fitted(mixed()))
    calculator = GradientCalculator(model, class_index=1)
    for call in (calculator.compute, calculator.explain):
        with pytest.raises(TypeError, match=r"must be numeric.*pass model\.encode\(d"):
            call(as_data(TABLE))
    calculator.compute(model.encode(TABLE))


def test_an_unknown_category_that_is_ignored_has_zeros() -> None:
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = columns_of((encoder, ["city"]), remainder="drop")
    estimator = fitted(make_pipeline(columns, network()))
    elsewhere = TABLE.replace("Oslo", "Ulm")
    encoded = from_sklearn(estimator).encode(elsewhere)
    assert (encoded[TABLE["city"] == "Oslo"] == 0).all(axis=None)
    assert_equal_outputs(estimator, elsewhere)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("saliency.models.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        importlib.import_module("saliency.models.sklearn")


def test_what_encode_returns_fits_a_network_of_another_dtype() -> None:
    numbers = TABLE[["age", "income", "floor"]].to_numpy("f")
    estimator = fitted(network(), numbers / numbers.max(axis=0))
    model = from_sklearn(estimator)
    assert model.output.W.dtype == np.float32
    rows = model.encode(numbers / numbers.max(axis=0))
    assert rows.dtype == np.float64
    found = model.probabilities(rows).array
    expected = estimator.predict_proba(numbers / numbers.max(axis=0))
    np.testing.assert_allclose(found, expected, 1e-5)
    samples = GradientCalculator(model, class_index=1).compute(rows)
    assert samples.dtype == np.float32


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_tables_of_other_packages_are_encoded_as_those_of_pandas(package: str) -> None:
    module = pytest.importorskip(package, reason=f"needs {package}")
    columns = {name: TABLE[name].tolist() for name in TABLE.columns[::-1]}
    make = module.table if package == "pyarrow" else module.DataFrame
    model = from_sklearn(fitted(mixed()))
    found = np.asarray(model.encode(make(columns)))
    np.testing.assert_array_equal(found, model.encode(TABLE).to_numpy())

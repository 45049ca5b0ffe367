"""Which features of a table made the network say this?

Trains a multilayer perceptron with dropout on a data set of scikit-learn, explains it
with five methods, holds the result against scikit-learn's own importances, and draws
every kind of picture that there is for tables:

    python examples/table/iris.py
    python examples/table/iris.py --dataset breast_cancer --out results/breast_cancer
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr
from sklearn import datasets
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    BayesGradCalculator,
    Explanation,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    TableVisualizer,
    normalize_scaler,
)
from saliency.command_line import Parser, at_least

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import training
from chainer.datasets import TupleDataset
from chainer.training import extensions

LOADERS = {
    "iris": datasets.load_iris,
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
}
N_BAR = 10  # features drawn in each panel


class Table(NamedTuple):
    """A table, split and standardized, so that 0 is the mean of each feature.

    ``values_test`` are the rows of ``x_test`` in the units that the names say.
    """

    x_train: np.ndarray
    x_test: np.ndarray
    values_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    feature_names: list[str]
    target_names: list[str]  # empty for a regression

    @property
    def is_regression(self) -> bool:
        return not self.target_names


def load_table(name: str, seed: int) -> Table:
    bunch = LOADERS[name]()
    target_names = [str(n) for n in bunch.get("target_names", [])]
    y = bunch.target.astype(np.int32 if target_names else np.float32)
    if not target_names:
        y = (y[:, None] - y.mean()) / y.std()
    x_train, x_test, y_train, y_test = train_test_split(
        bunch.data.astype(np.float32),
        y,
        test_size=0.3,
        random_state=seed,
        stratify=y if target_names else None,
    )
    scaler = StandardScaler().fit(x_train)
    return Table(
        scaler.transform(x_train),
        scaler.transform(x_test),
        x_test,
        y_train,
        y_test,
        [str(n) for n in bunch.feature_names],
        target_names,
    )


class MLP(chainer.Chain):
    """Two hidden layers with dropout, which BayesGrad needs."""

    def __init__(self, n_in: int, n_out: int, n_unit: int = 48) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(n_in, n_unit)
            self.l2 = L.Linear(n_unit, n_unit)
            self.l3 = L.Linear(n_unit, n_out)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.dropout(F.relu(self.l1(x)), 0.3)
        h = F.dropout(F.relu(self.l2(h)), 0.3)
        return self.l3(h)


def train(table: Table, epoch: int, device: Any, out: Path) -> MLP:
    """Train with Chainer's Trainer."""
    n_out = 1 if table.is_regression else len(table.target_names)
    model = MLP(table.x_train.shape[1], n_out)
    lossfun = F.mean_squared_error if table.is_regression else F.softmax_cross_entropy
    objective = L.Classifier(model, lossfun=lossfun)
    objective.compute_accuracy = not table.is_regression
    objective.to_device(device)
    optimizer = chainer.optimizers.Adam().setup(objective)
    iterator = chainer.iterators.SerialIterator(
        TupleDataset(table.x_train, table.y_train), 16
    )
    updater = training.StandardUpdater(iterator, optimizer, device=device)
    trainer = training.Trainer(updater, (epoch, "epoch"), out=str(out))
    trainer.extend(extensions.LogReport(trigger=(max(1, epoch // 5), "epoch")))
    columns = ["epoch", "main/loss", "main/accuracy", "elapsed_time"]
    if table.is_regression:
        columns.remove("main/accuracy")
    if sys.stdout.isatty():  # what they write moves the cursor; out/log has it all
        trainer.extend(extensions.PrintReport(columns))
    trainer.run()
    return model


class FittedModel(BaseEstimator):
    """The trained network, as scikit-learn wants a model to be."""

    def __init__(self, model: MLP, is_regression: bool) -> None:
        self.model = model
        self.is_regression = is_regression

    def fit(self, x: np.ndarray, y: np.ndarray) -> FittedModel:
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            y = self.model(self.model.device.send(x)).array
        y = chainer.cuda.to_cpu(y)
        return y[:, 0] if self.is_regression else y.argmax(axis=1)

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        measure = r2_score if self.is_regression else accuracy_score
        return float(measure(y.ravel(), self.predict(x)))


def explain(
    model: MLP, table: Table, M: int, seed: int
) -> tuple[dict[str, np.ndarray], Explanation]:
    """Return what each method finds, and all that is known of one of them.

    The saliency samples of each method have the shape ``(M or 1, n_test, n_feature)``;
    the explanation is by Integrated Gradients.
    """
    # A regression has one output; of a classifier the predicted class is explained.
    what: dict[str, Any] = {"class_index": None if table.is_regression else "argmax"}
    x = table.x_test
    how: dict[str, Any] = {"batchsize": 256, "seed": seed}
    # The gradient of a ReLU network jumps along the path: 'adaptive' looks where.
    explanation = IntegratedGradientsCalculator(
        model, baseline=0, steps=32, method="adaptive", **what
    ).explain(
        x,
        feature_names=table.feature_names,
        class_names=table.target_names or None,
        **how,
    )
    # The network was given standardized values; pictures show those of the table.
    explanation = replace(explanation, data=table.values_test)
    total = explanation.base_values + explanation.values.sum(axis=1)
    delta = np.abs(total - explanation.scores).max()
    print(f"Integrated Gradients miss f(x) - f(baseline) by at most {delta:.0e}")
    samples = {
        "VanillaGrad": GradientCalculator(model, **what).compute(x, **how),
        "SmoothGrad": SmoothGradCalculator(model, **what).compute(x, M, **how),
        "BayesGrad": BayesGradCalculator(model, **what).compute(x, M, **how),
        "IntegratedGradients": explanation.values[np.newaxis],
        "Occlusion": OcclusionCalculator(model, slide_axis=1, fill=0, **what).compute(
            x, **how
        ),
    }
    return samples, explanation


def reference_importances(
    fitted: FittedModel, table: Table, seed: int
) -> dict[str, np.ndarray]:
    """Return scikit-learn's importances of the features."""
    forest_class = (
        RandomForestRegressor if table.is_regression else RandomForestClassifier
    )
    forest = forest_class(random_state=seed).fit(table.x_train, table.y_train.ravel())
    permuted = permutation_importance(
        fitted, table.x_test, table.y_test, n_repeats=30, random_state=seed
    )
    return {
        "Random forest": forest.feature_importances_,
        "Permutation (of the MLP)": permuted.importances_mean.clip(min=0),
    }


def draw_example(
    samples: dict[str, np.ndarray], i: int, table: Table, title: str, path: Path
) -> None:
    """Draw the signed scores of one example, with their spread over samples."""
    TableVisualizer().visualize_grid(
        {name: s[:, i].mean(axis=0) for name, s in samples.items()},
        feature_names=table.feature_names,
        save_filepath=path,
        num_visualize=N_BAR,
        title=title,
        xlabel="relative score; with its standard deviation over samples",
        errors={name: s[:, i].std(axis=0) for name, s in samples.items() if len(s) > 1},
        signed=True,
    )


def draw_mean(importances: dict[str, np.ndarray], table: Table, path: Path) -> None:
    """Draw what each method finds important over the test set."""
    TableVisualizer().visualize_grid(
        importances,
        feature_names=table.feature_names,
        save_filepath=path,
        num_visualize=N_BAR,
        scaler=normalize_scaler,
        title="Mean magnitude over the test set, beside scikit-learn's importances",
        xlabel="share of the importance",
        n_column=len(importances),
        signed=False,
    )


def draw_explanation(explanation: Explanation, i: int, out: Path) -> Iterator[Path]:
    """Draw the whole test set in several ways, and one example; yield the files."""
    for kind in ("beeswarm", "bar", "dependence", "heatmap", "decision"):
        path = out / f"{kind}.png"
        explanation.plot(kind, save_filepath=path)
        yield path
    path = out / "waterfall.png"
    explanation[i].plot("waterfall", save_filepath=path)
    yield path


def print_rank_correlations(
    methods: dict[str, np.ndarray], references: dict[str, np.ndarray]
) -> None:
    print("\nSpearman's rank correlation of the feature importances")
    print(f"{'':22}" + "".join(f"{name:>26}" for name in references))
    for name, importance in methods.items():
        rho = [spearmanr(importance, r)[0] for r in references.values()]
        print(f"{name:22}" + "".join(f"{value:26.2f}" for value in rho))


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--dataset", choices=LOADERS, default="iris", help="table of scikit-learn")
    add("--epoch", type=at_least(1), default=100, help="epochs of training")
    add("--M", type=at_least(1), default=30, help="samples of Smooth/BayesGrad")
    parser.add_common_arguments(out="results/iris")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)  # Chainer draws its first weights from the global state

    table = load_table(args.dataset, args.seed)
    model = train(table, args.epoch, args.device, args.out)
    fitted = FittedModel(model, table.is_regression)
    measure = "R2" if table.is_regression else "accuracy"
    for part, x, y in (
        ("train", table.x_train, table.y_train),
        ("test", table.x_test, table.y_test),
    ):
        print(f"{part} {measure}: {fitted.score(x, y):.3f}")

    samples, explanation = explain(model, table, args.M, args.seed)
    aggregate = GradientCalculator(model).aggregate
    importances = {
        name: aggregate(s, "abs").mean(axis=0) for name, s in samples.items()
    }
    references = reference_importances(fitted, table, args.seed)
    print_rank_correlations(importances, references)

    predicted, truth = fitted.predict(table.x_test)[0], table.y_test.ravel()[0]
    if table.is_regression:
        said = f"predicted {predicted:.2f}, true {truth:.2f}"
    else:
        names = table.target_names
        said = f"predicted {names[int(predicted)]}, true {names[truth]}"
    print("\nPictures:")
    path = args.out / "one_example.png"
    draw_example(
        samples,
        0,
        table,
        f"Test example 0 of {args.dataset}, {said}",
        path,
    )
    print(f"  {path}")
    path = args.out / "dataset_mean.png"
    draw_mean({**importances, **references}, table, path)
    print(f"  {path}")
    for path in draw_explanation(explanation, 0, args.out):
        print(f"  {path}")


if __name__ == "__main__":
    main()

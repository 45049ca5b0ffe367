"""Networks of scikit-learn as chains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

from saliency.models.sklearn.encoding import Encoding, framed_like
from saliency.models.sklearn.links import Selection, linear, links_of_stages
from saliency.models.sklearn.tracing import Column, Preprocessing

import chainer
import chainer.functions as F

Activation = Callable[[Any], chainer.Variable]


def identity(x: Any) -> Any:
    """Return what is given."""
    return x


#: What scikit-learn calls them.
ACTIVATIONS: dict[str, Activation] = {
    "identity": identity,
    "logistic": F.sigmoid,
    "tanh": F.tanh,
    "relu": F.relu,
}


class SklearnNetwork(chainer.Chain):
    """A network for the rows of a table, as scikit-learn trained it.

    Its input is the table as :meth:`encode` returns it: columns of numbers in their own
    units, and a column for each category. Its links, in this order:

    - ``selection``, if the network takes a column twice, such as scaled in two ways;
    - ``scaling1``, ``scaling2``, ... and ``clipping1``, ..., what the scalers of the
      pipeline do;
    - ``hidden1``, ``hidden2``, ... and ``output``, the layers of the network. The first
      takes the columns in the order of the table, whatever that of the pipeline was.

    Attributes:
        class_names (tuple of str or None): The names of the classes; None for a
            regressor.
    """

    class_names: tuple[str, ...] | None = None

    def __init__(self, preprocessing: Preprocessing, network: Any) -> None:
        super().__init__()
        self._encoding = Encoding(preprocessing)
        self._activation = network.activation
        self._out_activation = network.out_activation_
        self._before: list[str] = []
        self._hidden = [f"hidden{i}" for i in range(1, len(network.coefs_))]
        # The columns in the order of the table: picking them is slow.
        order = np.argsort(self._encoding.selection, kind="stable")
        first, *matrices = network.coefs_
        *hidden, last = zip([first[order], *matrices], network.intercepts_)
        with self.init_scope():
            self._add_preprocessing(
                [preprocessing.columns[i] for i in order], first.dtype
            )
            for name, (matrix, bias) in zip(self._hidden, hidden):
                setattr(self, name, linear(matrix, bias))
            self.output = linear(*self._weights_of_scores(*last))

    def _add_preprocessing(self, columns: Sequence[Column], dtype: np.dtype) -> None:
        selection = sorted(self._encoding.selection)
        if len(selection) > len(self._encoding.names):
            self._add_before("selection", Selection(selection))
        for name, link in links_of_stages([c.stages for c in columns], dtype):
            self._add_before(name, link)

    @staticmethod
    def _weights_of_scores(
        matrix: np.ndarray, bias: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and biases of the last layer."""
        return matrix, bias

    def _add_before(self, name: str, link: chainer.Link) -> None:
        self._before.append(name)
        setattr(self, name, link)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the encoded columns."""
        return self._encoding.names

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """The names that the columns of a table must have, in this order.

        Calculators refuse others. None if the estimator was fitted to an array.
        """
        return self.feature_names if self._encoding.are_named else None

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The names of the encoded columns that belong to one raw column, by its name.

        Raw columns that are encoded as themselves are not among them.
        """
        return dict(self._encoding.groups)

    @property
    def names(self) -> dict[str, Any]:
        """Names for pictures, as in ``calculator.explain(data, **model.names)``.

        A dict of ``feature_names``, ``class_names`` and ``groups``.
        """
        return {
            "feature_names": self.feature_names,
            "class_names": self.class_names,
            "groups": self.groups or None,
        }

    def encode(self, table: Any) -> Any:
        """Return a table as the network takes it.

        Categories become a column each, and missing values are filled, by the
        transformers of the pipeline. Numbers keep their units: scaling is part of the
        network. A category that an encoder drops, or that it does not know and ignores,
        is a zero in all columns of its group.

        Args:
            table (pandas.DataFrame, polars.DataFrame, pyarrow.Table or numpy.ndarray):
                The rows, as the estimator takes them, ``(N, n_raw_column)``. The
                columns of a table are found by their names if the estimator knows
                names; those that it does not use may be missing.

        Returns:
            pandas.DataFrame or numpy.ndarray: ``(N, n_feature)`` in float64; a
            DataFrame if the table is one of pandas, with the names of its rows.

        Raises:
            TypeError: If the table is none of these, or a column that must hold numbers
                does not.
            ValueError: If a column is missing, a category is unknown to an encoder that
                does not ignore such, or a number is NaN or infinite.
        """
        return framed_like(table, self._encoding(table), self.feature_names)

    def forward(self, x: Any) -> chainer.Variable:
        """Return the scores of encoded rows ``(N, n_feature)``, ``(N, n_output)``."""
        if x.ndim != 2 or x.shape[1] != len(self.feature_names):
            raise ValueError(
                f"x must have {len(self.feature_names)} columns, as what model.encode "
                f"returns, got shape {x.shape}"
            )
        dtype = self.output.W.dtype
        # What encode returns is of float64, whatever the estimator's weights are of.
        h = x if x.dtype == dtype or x.dtype.kind != "f" else F.cast(x, dtype)
        for name in self._before:
            h = self[name](h)
        activation = ACTIVATIONS[self._activation]
        for name in self._hidden:
            h = activation(self[name](h))
        return self.output(h)


class SklearnClassifier(SklearnNetwork):
    """An ``MLPClassifier`` with what is before it; its outputs are scores of classes.

    Scores are what the softmax takes, or with several labels the logistic function of
    each. With two classes, they are the log-odds of each: one is minus the other.
    """

    def __init__(self, preprocessing: Preprocessing, network: Any) -> None:
        super().__init__(preprocessing, network)
        self.class_names = tuple(map(str, network.classes_))

    @staticmethod
    def _weights_of_scores(
        matrix: np.ndarray, bias: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if len(bias) > 1:
            return matrix, bias
        return np.concatenate([-matrix, matrix], axis=1), np.concatenate([-bias, bias])

    def probabilities(self, x: Any) -> chainer.Variable:
        """Return what ``predict_proba`` returns, ``(N, n_class)``.

        Pass it as ``eval_fun`` to explain probabilities rather than scores.
        """
        scores = self(x)
        return (
            F.softmax(scores)
            if self._out_activation == "softmax"
            else F.sigmoid(scores)
        )


class SklearnRegressor(SklearnNetwork):
    """An ``MLPRegressor`` with what is before it; its outputs are what it predicts."""

    def forward(self, x: Any) -> chainer.Variable:
        """Return what ``predict`` returns for encoded rows, ``(N, n_output)``."""
        predicted = super().forward(x)
        return F.exp(predicted) if self._out_activation == "exp" else predicted

"""Files that the tests of the command line explain."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

SPECIES = ("setosa", "versicolor", "virginica")
#: Ten drugs and solvents.
SMILES = (
    *("CCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"),
    *("CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CC(=O)Nc1ccc(O)cc1", "c1ccc2ccccc2c1"),
    *("CCCCCC", "OCC(O)CO", "ClC(Cl)Cl"),
)


@functools.cache
def pipeline() -> Pipeline:
    """Return a classifier of iris flowers by scikit-learn."""
    iris = load_iris(as_frame=True)
    network = MLPClassifier((16,), "tanh", solver="lbfgs", max_iter=50, random_state=0)
    names = np.array(SPECIES)[iris.target]
    return make_pipeline(StandardScaler(), network).fit(iris.data, names)


def write_iris(path: Path) -> None:
    """Write the table with the species in its last column."""
    iris = load_iris()
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*iris.feature_names, "species"])
        rows.writerows([*x, SPECIES[t]] for x, t in zip(iris.data, iris.target))


def write_onnx(path: Path) -> None:
    """Write the classifier as an exporter does, probabilities at its end."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    scaler, network = pipeline()
    arrays = {"mean": scaler.mean_, "scale": scaler.scale_}
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
    ]
    value = "scaled"
    for i, (weight, bias) in enumerate(zip(network.coefs_, network.intercepts_)):
        arrays.update({f"W{i}": weight, f"b{i}": bias})
        inputs = [value, f"W{i}", f"b{i}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"sum{i}"], name=f"layer{i}"))
        value = f"sum{i}"
        if i < len(network.coefs_) - 1:
            nodes.append(helper.make_node("Tanh", [value], [f"tanh{i}"]))
            value = f"tanh{i}"
    nodes.append(helper.make_node("Softmax", [value], ["probabilities"], axis=1))
    shapes = {"x": ["batch", 4], "probabilities": ["batch", 3]}
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    weights = [
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in arrays.items()
    ]
    graph = helper.make_graph(nodes, "iris", [x], [y], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


#: A module with factories.
NETWORKS = '''
import numpy as np

import chainer
import chainer.functions as F
import chainer.links as L


def linear():
    return chainer.Sequential(L.Linear(4, 3))


def unfinished():
    return chainer.Sequential(L.Linear(None, 3))


def three():
    return 3


def broken():
    raise RuntimeError("the factory is broken")


class Breaks(chainer.Chain):
    def forward(self, x):
        raise ValueError("the model is broken")


class Bright(chainer.Chain):
    """Two scores of images, the brightness of the left half and of the right half."""

    size = 16
    labels = ("left", "right")

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.weight = chainer.Parameter(np.full((1, 1), 2, "f"))

    def prepare(self, image):
        return np.asarray(image, "f").transpose(2, 0, 1) / 255

    def forward(self, x):
        halves = F.stack([x[..., :8], x[..., 8:]], axis=1)
        return F.sum(halves, axis=(2, 3, 4)) * F.broadcast_to(self.weight, (len(x), 2))
'''


def scores_of_iris(x: Any) -> np.ndarray:
    """Return what the classifier's softmax takes, by NumPy."""
    scaler, network = pipeline()
    scaled = (x - scaler.mean_) / scaler.scale_
    hidden = np.tanh(scaled @ network.coefs_[0] + network.intercepts_[0])
    scores: np.ndarray = hidden @ network.coefs_[1] + network.intercepts_[1]
    return scores

"""Models as ONNX has them, for tests."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64


def node(operator, inputs, outputs, name="", **attributes):
    """Returns a node; inputs and outputs are names with spaces in between."""
    return helper.make_node(
        operator, inputs.split(" "), outputs.split(" "), name, **attributes
    )


def info(name, *shape, dtype=FLOAT):
    """Returns what the file says of an input or output."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


def graph_of(nodes, inputs, outputs, name="graph", **constants):
    tensors = [
        numpy_helper.from_array(np.asarray(value), key)
        for key, value in constants.items()
    ]
    return helper.make_graph(nodes, name, inputs, outputs, tensors)


def model_of(nodes, inputs, outputs, opset=17, functions=(), **constants):
    """Returns a model; constants are arrays by their names."""
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(f.domain, 1) for f in functions]
    return helper.make_model(
        graph_of(nodes, inputs, outputs, **constants),
        opset_imports=imports,
        functions=list(functions),
        ir_version=9,
    )


def rounded(rng, *shape):
    return rng.normal(size=shape).astype("f")


def convolutional(rng, batch="n"):
    """Returns a network of convolutions with a residual sum, and its parameters."""
    p = {
        "w1": rounded(rng, 4, 3, 3, 3),
        "b1": rounded(rng, 4),
        "gamma": rounded(rng, 4),
        "beta": rounded(rng, 4),
        "mean": rounded(rng, 4),
        "var": rng.uniform(0.5, 2, 4).astype("f"),
        "w2": rounded(rng, 4, 4, 1, 1),
        "w3": rounded(rng, 5, 4 * 3 * 3),
        "b3": rounded(rng, 5),
        "size": np.array([1 if batch == 1 else 0, -1]),
    }
    nodes = [
        node("Conv", "x w1 b1", "c", "/body/conv1/Conv", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c gamma beta mean var", "n", "/body/norm"),
        node("Relu", "n", "r", "/body/relu"),
        node("Conv", "r w2", "d", "/body/conv2/Conv"),
        node("Add", "d r", "s", "/body/Add"),
        node("MaxPool", "s", "p", "/pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "p size", "f", "/Reshape"),
        node("Gemm", "f w3 b3", "y", "/fc/Gemm", transB=1),
        node("Softmax", "y", "out", "/Softmax", axis=1),
    ]
    x, out = info("x", batch, 3, 6, 6), info("out", batch, 5)
    return model_of(nodes, [x], [out], **p), p

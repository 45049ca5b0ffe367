"""The tests of operators that come with ONNX, which nobody here has written."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import warnings

import numpy as np
import onnx
import onnx.backend.test
from onnx import TensorProto, numpy_helper

_PACKAGE = "onnx.backend.test.case.node"


@functools.cache
def families():
    """Returns the names of all modules that have cases."""
    package = importlib.import_module(_PACKAGE)
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__))


def cases_of(modules):
    """Returns test cases by their names; modules that there are not have none."""
    return {c.name: c for m in modules if m in families() for c in _cases_in(m)}


@functools.cache
def _cases_in(module):
    """Returns the cases that are made when a module is imported for the first time."""
    every = importlib.import_module(_PACKAGE)._NodeTestCases
    start = len(every)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"{_PACKAGE}.{module}")
    return every[start:]


def array(value):
    """Returns what a case holds as an array; what is no tensor as it is."""
    return numpy_helper.to_array(value) if hasattr(value, "dims") else value


def in_float64(case):
    """Returns a case in which all float32 is float64, if there is any."""
    if not any(array(x).dtype == "f" for xs, _ in case.data_sets for x in xs):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    _double_graph(model.graph)
    sets = [tuple([_double(x) for x in part] for part in s) for s in case.data_sets]
    return dataclasses.replace(case, model=model, data_sets=sets)


def has_tensors_alone(case):
    """Tells whether nothing that goes into a case is a sequence, or optional."""
    return all(hasattr(array(x), "dtype") for xs, _ in case.data_sets for x in xs)


def _double(x):
    is_float = getattr(array(x), "dtype", None) == np.float32
    return np.asarray(array(x), "d") if is_float else x


def _double_graph(graph):
    for info in (*graph.input, *graph.output):
        tensor = info.type.tensor_type
        if tensor.elem_type == TensorProto.FLOAT:
            tensor.elem_type = TensorProto.DOUBLE
    for attribute in (a for node in graph.node for a in node.attribute):
        if attribute.t.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(attribute.t).astype("d")
            attribute.t.CopyFrom(numpy_helper.from_array(value))
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE
        if attribute.type == attribute.GRAPH:
            _double_graph(attribute.g)

"""The tests of operators that come with ONNX have to pass."""

from __future__ import annotations

import re
import runpy
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

import saliency
from saliency.lrp.registry import kind_of
from saliency.models.onnx.families import OPERATORS
from tests.models.onnx.cases import (
    array,
    cases_of,
    families,
    has_tensors_alone,
    in_float64,
)

import chainer

# Tests that are not to pass.
NOT_PASSED = {
    r"test_training_dropout(_default)?(_mask)?": "their masks are those of NumPy's "
    "generator; here chainer.config.train turns dropout on",
    r"test_resize_downsample_scales_(linear|cubic)_align_corners": "their length "
    "is not whole; onnxruntime and PyTorch round it first, as is done here",
    r"test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode.*": "up to "
    "version 1.17 it counts what is beyond the border",
    r"test_l2normalization_axis_0": "zeros stay zeros; up to version 1.19 they are NaN",
    r"test_dft_inverse(_opset19)?": "the zeros that the suite has are off by 2e-7",
    r"test_swiglu_float16(_expanded)?": "one element is off by a bit of float16",
}

# Reasons for which files are not loaded: what is not claimed.
NOT_CLAIMED = {
    "an operator that is not in docs/onnx_operators.md": r"no such operator is known",
    "a quantised operator": r"it is quantised",
    "an operator that is not ONNX's own": r"the operator is one of",
    "strings, sequences, optional tensors": r"is no tensor of numbers",
    "a type of numbers that NumPy lacks": r"its type \d+ is not known|is of type",
    "an opset before 7, for Scan before 9": r"from 7 to|before opset 9",
    "RoiAlign with mode='max'": r"RoiAlign .*: its mode 'max' is not known",
    "a graph of training": r"training mode",
}


def outcome(case):
    """Returns why a case is not loaded, or what is wrong with it, or nothing."""
    try:
        model = saliency.load_onnx(case.model)
    except ValueError as error:
        return f"not loaded: {error}"
    try:
        for inputs, outputs in case.data_sets:
            inputs = [explained(array(x)) for x in inputs]
            with chainer.using_config("train", False):
                found = model(*inputs)
            found = found if isinstance(found, tuple) else (found,)
            assert len(found) == len(outputs)
            check_graph(inputs, found)
            for y, expected in zip(found, map(array, outputs)):
                y = np.asarray(chainer.cuda.to_cpu(getattr(y, "array", y)))
                assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
                assert_allclose(y, expected, rtol=case.rtol, atol=case.atol)
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"
    return ""


def explained(x):
    """Returns an input as calculators pass it, if it can be explained."""
    is_float = getattr(x, "dtype", np.dtype(object)) in ("f", "d", "e")
    return chainer.Variable(np.asarray(x)) if is_float else x


def check_graph(inputs, outputs):
    """LRP knows all functions that outputs come from, and gradients go through them."""
    ends = [y for y in outputs if isinstance(y, chainer.Variable) and y.requires_grad]
    functions = [y.creator_node for y in ends if y.creator_node is not None]
    seen = set()
    while functions:
        function = functions.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        assert kind_of(function) is not None, function.label
        behind = [x.creator_node for x in function.inputs]
        functions += [f for f in behind if f is not None]
    targets = [x for x in inputs if isinstance(x, chainer.Variable)]
    ends = [y for y in ends if y.creator_node is not None and y.dtype.kind == "f"]
    if targets and ends:
        grads = [chainer.Variable(np.ones_like(y.array)) for y in ends]
        for x, g in zip(targets, chainer.grad(ends, targets, grads)):
            assert g is None or (g.shape, g.dtype) == (x.shape, x.dtype)


def is_expected_to_fail(name):
    return any(re.fullmatch(pattern, name) for pattern in NOT_PASSED)


def why_not_claimed(message):
    """Returns the reason for which a case is not claimed, if that is one."""
    for reason, pattern in NOT_CLAIMED.items():
        if re.search(pattern, message):
            return reason
    return None


def run(modules, change=lambda case: case):
    """Runs cases; returns how many passed, and how many were left out by reason."""
    passed, left_out, failed = 0, Counter(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = {name: change(case) for name, case in cases_of(modules).items()}
        for name, case in cases.items():
            if case is None:
                continue
            message = outcome(case)
            reason = message and why_not_claimed(message)
            if reason and message.startswith("not loaded"):
                left_out[reason] += 1
            elif message and is_expected_to_fail(name):
                left_out[name] += 1
            elif message:
                failed.append(f"{name}: {message}")
            else:
                passed += 1
    assert failed == []
    return passed, left_out


@pytest.mark.large
def test_all_families(capsys):
    passed, left_out = run(families())
    n_case = passed + sum(left_out.values())
    counts = [
        f"  {count} left out: {reason}" for reason, count in left_out.most_common()
    ]
    text = f"onnx {onnx.__version__}: {passed} of {n_case} node tests pass"
    with capsys.disabled():
        sys.stdout.write("\n".join(["", text, *counts, ""]))
    # Version 1.17 has 1,400 of them, 1.23 has 1,884.
    assert passed > 0.75 * n_case
    assert passed > 1000


@pytest.mark.large
def test_all_families_in_float64():
    def changed(case):
        # These have other constants in float32, or always give float32.
        parts = ("_expanded", "melweight", "flexattention_causal")
        is_kept = any(part in case.name for part in parts)
        is_changed = has_tensors_alone(case) and not is_kept
        return in_float64(case) if is_changed else None

    passed, _ = run(families(), changed)
    assert passed > 500


def schemas_of(name):
    """Returns the schemas of an operator in all versions from opset 7 on."""
    found = {}
    for opset in range(7, onnx.defs.onnx_opset_version() + 1):
        try:
            schema = onnx.defs.get_schema(name, opset)
        except onnx.defs.SchemaError:  # it came later
            continue
        found[schema.since_version] = schema
    return list(found.values())


def test_operators_take_all_attributes_and_inputs_of_their_schemas():
    for name, operator in OPERATORS.items():
        assert operator.what_it_is, name
        for schema in schemas_of(name):
            assert set(schema.attributes) <= set(operator.attributes), name
            n_input = len(operator.inputs)
            assert operator.is_variadic or schema.max_input <= n_input, name


def test_the_table_in_the_documentation_is_up_to_date():
    folder = Path(__file__).parents[3] / "docs"
    script = runpy.run_path(str(folder / "make_onnx_operators.py"))
    written = (folder / "onnx_operators.md").read_text(encoding="utf-8")
    assert written == script["document"](), "run docs/make_onnx_operators.py"
    assert len(OPERATORS) >= 150

"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.backprop.products import with_letters
from saliency.models.onnx.families.operands import operand, variable
from saliency.models.onnx.operators import Call, LinkWith, MakeLink, Node, operator

import chainer
import chainer.functions as F
from chainer import links as L


class Dense(L.Linear):
    """A linear layer of the last axis, whatever the axes in front of it are.

    Args:
        W (numpy.ndarray): ``(output, input)``.
        b (numpy.ndarray or None): One number for each output.
    """

    def __init__(self, W: np.ndarray, b: np.ndarray | None = None) -> None:
        super().__init__(
            W.shape[1], W.shape[0], nobias=b is None, initialW=W, initial_bias=b
        )

    def forward(self, x: Any, n_batch_axes: int | None = None) -> chainer.Variable:
        """Return ``x W^T + b``."""
        if x.ndim == 1:
            return F.reshape(super().forward(F.expand_dims(x, 0)), (-1,))
        return super().forward(x, x.ndim - 1 if n_batch_axes is None else n_batch_axes)


def _is_matrix(W: np.ndarray) -> bool:
    """Tell whether an array can be the weights of a linear layer."""
    return W.ndim == 2 and W.dtype.kind == "f" and 0 not in W.shape


def _is_one_row(b: np.ndarray, n: int) -> bool:
    """Tell whether a bias is the same for all rows, with n numbers or one."""
    is_row = b.ndim < 2 or (b.ndim == 2 and len(b) == 1)
    return is_row and b.size in (1, n)


def _dense(node: Node) -> MakeLink | None:
    """Return a linear layer for a product with a constant matrix."""
    W = node.constants.get(1)
    if W is None or not _is_matrix(W):
        return None
    return lambda: LinkWith(Dense(np.ascontiguousarray(W.T)), [1])


@operator("MatMul", link=_dense)
def matmul(call: Call, A: Any, B: Any) -> Any:
    """The matrix product; a linear layer if the second matrix is constant."""
    return F.matmul(variable(call, A), variable(call, B))


def _gemm(node: Node) -> MakeLink | None:
    """Return a linear layer for constant weights and perhaps a constant bias."""
    W, b = node.constants.get(1), node.constants.get(2)
    options = node.attributes
    alpha, beta = options.get("alpha", 1.0), options.get("beta", 1.0)
    has_bias = node.n_input > 2
    if W is None or not _is_matrix(W) or options.get("transA", 0):
        return None
    matrix = W if options.get("transB", 0) else W.T
    if has_bias and (b is None or not _is_one_row(b, len(matrix))):
        return None

    def make() -> LinkWith:
        weights = matrix if alpha == 1 else W.dtype.type(alpha) * matrix
        bias = b
        if bias is not None:
            bias = bias if beta == 1 else W.dtype.type(beta) * bias
            bias = np.broadcast_to(bias.reshape(-1), weights.shape[:1])
        return LinkWith(
            Dense(np.ascontiguousarray(weights), bias), [1, 2] if has_bias else [1]
        )

    return make


@operator("Gemm", link=_gemm)
def gemm(
    call: Call,
    A: Any,
    B: Any,
    C: Any = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    """``alpha A B + beta C``; a linear layer if B and C are constant."""
    y = F.matmul(variable(call, A), variable(call, B), bool(transA), bool(transB))
    y = y if alpha == 1 else y * alpha
    if C is None or beta == 0:
        return y
    c = operand(call, C, y.ndim)
    return y + (c if beta == 1 else c * beta)


@operator("Einsum")
def einsum(call: Call, *Inputs_0: Any, equation: str) -> Any:
    """A sum of products over the indexes that an equation names."""
    inputs = [variable(call, x) for x in Inputs_0]
    plain = _without_ellipses(equation.replace(" ", ""), [x.ndim for x in inputs])
    return F.einsum(plain, *inputs)


def _without_ellipses(equation: str, ndims: Sequence[int]) -> str:
    """Return an equation that has a letter for each axis.

    For Chainer, an ellipsis is the same axes in all inputs.

    Args:
        equation (str): Without spaces.
        ndims (sequence of int): How many axes each input has.
    """
    if "..." not in equation:
        return equation
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    if not arrow:
        named = inputs.replace("...", "").replace(",", "")
        output = "..." + "".join(sorted(c for c in named if named.count(c) == 1))
    *terms, output = with_letters([*terms, output], ndims, "...")
    return f"{','.join(terms)}->{output}"


@operator("Det")
def determinant(call: Call, X: Any) -> Any:
    """The determinants of matrices."""
    n = X.shape[-1]
    return F.reshape(F.batch_det(F.reshape(X, (-1, n, n))), X.shape[:-2])

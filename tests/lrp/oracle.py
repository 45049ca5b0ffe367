"""The rules once more, straight from the papers: dense matrices, float64, one example.

Nothing here knows of Chainer's functions: a layer is a callable, and its weights are
read off by feeding it unit vectors.
"""

from __future__ import annotations

import numpy as np

from link_hooks import RetainOutputHook
from saliency.lrp.graph import Graph
from saliency.lrp.registry import handle, is_part_of

import chainer


def walk(f, x, handler, start=None, keep=()):
    """Returns the target and what a walk over the graph of ``f(x)`` found."""
    target = chainer.Variable(x)
    with RetainOutputHook() as hook, chainer.using_config("train", False):
        output = f(target)
    graph = Graph([output], [target], hook)
    start = output.array if start is None else start
    return target, graph.walk([start], handler, is_part_of, keep)


def propagate(rule, f, x, relevance):
    """Returns the relevance of x, and what the biases took, by the project's rule."""
    target, found = walk(f, x, lambda this: handle(this, rule), relevance)
    return found.at(target), sum(a.taken_by_bias for a in found.applications)


def dense(f, shape):
    """Returns W, ``(n_in, n_out)``, and b, ``(n_out,)``, of an affine function."""
    n_in = int(np.prod(shape))

    def value(x):
        with chainer.using_config("train", False):
            return f(chainer.Variable(x.reshape((1, *shape)))).array.ravel()

    b = value(np.zeros(n_in))
    return np.array([value(e) for e in np.eye(n_in)]) - b, b


def of_layer(formula, f, x, relevance, bias="share"):
    """Returns the relevance of a batch x, and what the bias took, by a formula."""
    W, b = dense(f, x.shape[1:])
    if bias == "ignore":
        b = np.zeros_like(b)
    of_inputs, of_bias = [], 0.0
    for x_i, r_i in zip(x.reshape(len(x), -1), relevance.reshape(len(x), -1)):
        shares, of_b = formula(x_i, W, b, r_i)
        of_inputs.append(shares @ r_i)
        of_bias += of_b @ r_i
    return np.array(of_inputs).reshape(x.shape), of_bias


def ratio(numerator, denominator):
    """Returns their ratio, with 0 for 0 / 0."""
    is_zero = denominator == 0
    return np.where(is_zero, 0, numerator / np.where(is_zero, 1, denominator))


# Each formula takes x (j), W (j, k), b (k) and R (k), and returns which share of R_k
# goes to each x_j, ``(j, k)``, and which stays with b_k, ``(k,)``.


def zero(x, W, b, R):
    z = x[:, None] * W
    total = z.sum(axis=0) + b
    return ratio(z, total), ratio(b, total)


def epsilon(value):
    def formula(x, W, b, R):
        z = x[:, None] * W
        total = z.sum(axis=0) + b
        total = np.where(total >= 0, total + value, total - value)
        return z / total, b / total

    return formula


def alpha_beta(alpha, beta):
    def formula(x, W, b, R):
        z = x[:, None] * W
        plus, minus = np.maximum(z, 0), np.minimum(z, 0)
        b_plus, b_minus = np.maximum(b, 0), np.minimum(b, 0)
        p, m = plus.sum(axis=0) + b_plus, minus.sum(axis=0) + b_minus
        of_x = alpha * ratio(plus, p) + beta * ratio(minus, m)
        of_b = alpha * ratio(b_plus, p) + beta * ratio(b_minus, m)
        return of_x, of_b

    return formula


zplus = alpha_beta(1, 0)


def gamma(value):
    def formula(x, W, b, R):
        z = x[:, None] * W
        sign = np.sign(z.sum(axis=0) + b)
        # What has the sign of the output counts 1 + gamma times.
        favoured, b_favoured = z * (np.sign(z) == sign), b * (np.sign(b) == sign)
        if value < np.inf:
            favoured, b_favoured = z + value * favoured, b + value * b_favoured
        total = favoured.sum(axis=0) + b_favoured
        return ratio(favoured, total), ratio(b_favoured, total)

    return formula


def box(low, high):
    def formula(x, W, b, R):
        l, h = (np.broadcast_to(v, x.shape) for v in (low, high))  # noqa: E741
        corner = np.where(W > 0, l[:, None], h[:, None])
        c = (x[:, None] - corner) * W
        return ratio(c, c.sum(axis=0)), np.zeros_like(b)

    return formula


def w_square(x, W, b, R):
    return ratio(W**2, (W**2).sum(axis=0)), np.zeros_like(b)


def flat(x, W, b, R):
    is_connected = (W != 0).astype(float)
    return ratio(is_connected, is_connected.sum(axis=0)), np.zeros_like(b)


def gradient(x, W, b, R):
    return W, np.zeros_like(b)

"""Networks described a second time, in NumPy alone: forward, and LRP layer by layer.

A layer knows its weights as dense arrays and goes over its outputs one by one, as the
papers write it; the shares are the formulas of :mod:`tests.lrp.oracle`. Max pooling
gives all to the winner (Lapuschkin et al. 2016); average pooling is a linear layer with
equal weights.
"""

from __future__ import annotations

import numpy as np


class Affine:
    """A layer whose outputs each see some of the inputs through the same weights.

    ``W`` is ``(n_out, n_seen)``. ``windows(shape)`` yields, for one example, where
    outputs are and which elements of x they see, as an array of flat indexes.
    """

    is_affine = True

    def forward(self, x):
        return np.array([self.of_one(a) for a in x])

    def of_one(self, a):
        y = np.empty(self.shape(a.shape))
        for place, index in self.windows(a.shape):
            y[(..., *place)] = self.W @ a.ravel()[index] + self.b
        return y

    def relevance(self, x, r, formula):
        """Returns the relevance of x, and what the bias took."""
        result, of_bias = np.zeros_like(x), 0.0
        for a, r_one, back in zip(x, r, result):
            seen, collected = a.ravel(), np.zeros(a.size)
            for place, index in self.windows(a.shape):
                r_k = r_one[(..., *place)]
                shares, of_b = formula(seen[index], self.W.T, self.b, r_k)
                np.add.at(collected, index, shares @ r_k)
                of_bias += of_b @ r_k
            back[...] = collected.reshape(a.shape)
        return result, of_bias


class Linear(Affine):
    def __init__(self, W, b):
        self.W, self.b = W, b

    def shape(self, shape):
        return (len(self.W),)

    def windows(self, shape):
        yield (), np.arange(np.prod(shape))


class Convolution(Affine):
    """Stride 1, without padding."""

    def __init__(self, W, b):
        self.W, self.b, self.side = W.reshape(len(W), -1), b, W.shape[-1]

    def shape(self, shape):
        _, height, width = shape
        return len(self.W), height - self.side + 1, width - self.side + 1

    def windows(self, shape):
        index = np.arange(np.prod(shape)).reshape(shape)
        _, height, width = self.shape(shape)
        for i, j in np.ndindex(height, width):
            window = index[:, i : i + self.side, j : j + self.side]
            yield (i, j), window.ravel()


class Pooling:
    """Windows of 2 x 2; those at the margin may be cut."""

    is_affine = False

    def windows(self, shape):
        n, ch, height, width = shape
        for place in np.ndindex(n, ch, -(-height // 2), -(-width // 2)):
            i, j = (2 * k for k in place[2:])
            yield place, (*place[:2], slice(i, i + 2), slice(j, j + 2))

    def forward(self, x):
        n, ch, height, width = x.shape
        y = np.empty((n, ch, -(-height // 2), -(-width // 2)))
        for place, window in self.windows(x.shape):
            y[place] = self.of_window(x[window])
        return y


class MaxPooling(Pooling):
    of_window = staticmethod(np.max)

    def relevance(self, x, r, formula):
        result = np.zeros_like(x)
        for place, window in self.windows(x.shape):
            seen = x[window]
            winner = np.unravel_index(seen.argmax(), seen.shape)
            result[window][winner] += r[place]
        return result, 0.0


class AveragePooling(Pooling):
    """Its input has an even height and width."""

    of_window = staticmethod(np.mean)

    def relevance(self, x, r, formula):
        result = np.zeros_like(x)
        W, b = np.full((4, 1), 0.25), np.zeros(1)
        for place, window in self.windows(x.shape):
            shares, _ = formula(x[window].ravel(), W, b, r[place][None])
            result[window] = (shares @ r[place][None]).reshape(2, 2)
        return result, 0.0


class ReLU:
    is_affine = False

    def forward(self, x):
        return np.maximum(x, 0)

    def relevance(self, x, r, formula):
        return r, 0.0


class Flatten:
    is_affine = False

    def forward(self, x):
        return x.reshape(len(x), -1)

    def relevance(self, x, r, formula):
        return r.reshape(x.shape), 0.0


class Network:
    """Layers one behind the other."""

    def __init__(self, layers):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def relevances(self, x, r, affine, first, pooling):
        """Returns the relevance at the input of each layer, and what its bias took.

        Args:
            x (array): Examples.
            r (array): Relevance of the output.
            affine, first, pooling: The formula of affine layers, of the lowest of them,
                and of average pooling.
        """
        inputs = [x]
        for layer in self.layers[:-1]:
            inputs.append(layer.forward(inputs[-1]))
        lowest = next(layer for layer in self.layers if layer.is_affine)
        found = []
        for layer, a in zip(self.layers[::-1], inputs[::-1]):
            formula = affine if layer.is_affine else pooling
            formula = first if layer is lowest else formula
            r, of_bias = layer.relevance(a, r, formula)
            found.append((r, of_bias))
        return found[::-1]

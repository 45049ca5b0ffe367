"""The networks that learn what is planted in images."""

from __future__ import annotations

from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L


class SmallCNN(chainer.Chain):
    """Two convolutions with ReLU, pooling, dropout and a linear layer.

    Args:
        n_class (int): Number of classes.
        n_channel (int): Channels of the images.
        is_placeless (bool): Whether the largest value of each map alone is looked at,
            so that it does not matter where something is; otherwise maps are halved.
        n_map (int): Maps of the first convolution; the second has twice as many.
        dropout (float): Ratio of dropout, for BayesGrad.
    """

    def __init__(
        self,
        n_class: int,
        n_channel: int,
        is_placeless: bool = False,
        n_map: int = 16,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.is_placeless = is_placeless
        with self.init_scope():
            self.conv1 = L.Convolution2D(n_channel, n_map, 3, pad=1)
            self.conv2 = L.Convolution2D(n_map, 2 * n_map, 3, pad=1)
            self.out = L.Linear(None, n_class)

    def forward(self, x: Any) -> chainer.Variable:
        """Return the class scores of images, ``(n, n_class)``."""
        h = F.relu(self.conv1(x))
        h = F.relu(self.conv2(h))
        size = h.shape[2:] if self.is_placeless else 2
        return self.out(F.dropout(F.max_pooling_2d(h, size), self.dropout))

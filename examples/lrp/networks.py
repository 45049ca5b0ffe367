"""The networks that the LRP examples look into. All give class scores, ``(n, 10)``."""

from __future__ import annotations

from typing import Any

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
import saliency  # noqa: F401

import chainer
import chainer.functions as F
import chainer.links as L

N_CLASS = 10


class CNN(chainer.Chain):
    """Two 3 x 3 convolutions of 50 and 100 maps, max pooling, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, 50, 3)
            self.conv2 = L.Convolution2D(50, 100, 3)
            self.out = L.Linear(None, N_CLASS)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.max_pooling_2d(F.relu(self.conv1(x)), 2)
        h = F.max_pooling_2d(F.relu(self.conv2(h)), 2)
        return self.out(h)


class MLP(chainer.Chain):
    """Three linear layers, of 300, 100 and 10 units."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(None, 300)
            self.l2 = L.Linear(300, 100)
            self.l3 = L.Linear(100, N_CLASS)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.relu(self.l1(x))
        return self.l3(F.relu(self.l2(h)))


class LeNet(chainer.Chain):
    """Four convolutions and three average poolings, for digits of 32 x 32 pixels.

    The maps are 10 of 28 x 28 pixels (pooled: 14 x 14), 25 of 10 x 10 (5 x 5), 100 of
    2 x 2 (1 x 1), and one pixel for each class.
    """

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, 10, 5)
            self.conv2 = L.Convolution2D(10, 25, 5)
            self.conv3 = L.Convolution2D(25, 100, 4)
            self.conv4 = L.Convolution2D(100, N_CLASS, 1)

    def forward(self, x: Any) -> chainer.Variable:
        h = x
        for conv in (self.conv1, self.conv2, self.conv3):
            h = F.average_pooling_2d(F.relu(conv(h)), 2)
        return F.reshape(self.conv4(h), (-1, N_CLASS))


class UnitNet(chainer.Chain):
    """Five 3 x 3 convolutions, each with max pooling, and three linear layers.

    The last pooling layer gives one value for each map: these are its units. Images
    are ``(n, 3, 32, 32)``.

    Args:
        n_map (int): Maps of each convolution; 300 in the study.
        dropout (float): Share of what is dropped before each linear layer.
    """

    def __init__(self, n_map: int = 300, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = dropout
        he = chainer.initializers.HeNormal()
        with self.init_scope():
            self.convs = chainer.ChainList(
                *[
                    L.Convolution2D(n_in, n_map, 3, pad=1, initialW=he)
                    for n_in in (3, n_map, n_map, n_map, n_map)
                ]
            )
            self.fc1 = L.Linear(n_map, 300, initialW=he)
            self.fc2 = L.Linear(300, 100, initialW=he)
            self.fc3 = L.Linear(100, N_CLASS)

    def forward(self, x: Any) -> chainer.Variable:
        return self.classify(self.units(x))

    def units(self, x: Any) -> chainer.Variable:
        """Return the last pooling layer, ``(n, n_map)``."""
        h = x
        for conv in self.convs:
            h = F.max_pooling_2d(F.relu(conv(h)), 2)
        return F.reshape(h, (len(h), -1))

    def classify(self, units: Any) -> chainer.Variable:
        """Return the class scores for what the last pooling layer gave."""
        h = F.relu(self.fc1(F.dropout(units, self.dropout)))
        h = F.relu(self.fc2(F.dropout(h, self.dropout)))
        return self.fc3(F.dropout(h, self.dropout))

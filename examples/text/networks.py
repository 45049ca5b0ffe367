"""Networks that rate texts: recurrent, convolutional, and a bag of words.

They are those of Chainer's example of text classification. All take the numbers of
words ``(batch, longest)`` with 0 behind the last one, have an `embed`, with dropout
behind it for BayesGrad, and return ``(batch, n_out)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from words import PADDING

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
import saliency  # noqa: F401

import chainer
import chainer.functions as F
import chainer.links as L


class RNN(chainer.Chain):
    """The last hidden state of an LSTM, through a linear layer.

    Args:
        n_word (int): Size of the vocabulary.
        n_out (int): Number of outputs.
        n_unit (int): Length of an embedding and of a hidden state.
        dropout (float): Ratio of dropout.
    """

    def __init__(
        self, n_word: int, n_out: int = 1, n_unit: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.dropout = dropout
        with self.init_scope():
            self.embed = L.EmbedID(n_word, n_unit, initialW=_uniform())
            self.encoder = L.NStepLSTM(1, n_unit, n_unit, dropout=0.0)
            self.output = L.Linear(n_unit, n_out)
        # The forget gates are open at first, so that early words are not forgotten:
        # Jozefowicz et al. (2015), "An empirical exploration of recurrent network
        # architectures", ICML. The biases b1 and b5 are added up.
        self.encoder[0].b1.array[...] = 1.0

    def forward(self, words: Any) -> chainer.Variable:
        embedded = F.dropout(self.embed(words), self.dropout)
        last, _, _ = self.encoder(None, None, unpadded(embedded, words))
        return self.output(F.dropout(last[-1], self.dropout))


class CNN(chainer.Chain):
    """The maxima over time of convolutions over 3, 4 and 5 words.

    Kim (2014), "Convolutional neural networks for sentence classification", EMNLP.
    Convolutions have no bias, so that they are 0 at padding, which then is no maximum
    that passes ReLU: the result does not depend on the amount of padding.

    Args:
        n_word (int): Size of the vocabulary.
        n_out (int): Number of outputs.
        n_unit (int): Length of an embedding, and number of channels of each width.
        dropout (float): Ratio of dropout.
    """

    def __init__(
        self, n_word: int, n_out: int = 1, n_unit: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.dropout = dropout
        with self.init_scope():
            self.embed = L.EmbedID(n_word, n_unit, initialW=_uniform())
            self.convolutions = chainer.ChainList(
                *(
                    L.Convolution2D(
                        n_unit, n_unit, (width, 1), pad=(width - 1, 0), nobias=True
                    )
                    for width in (3, 4, 5)
                )
            )
            self.output = L.Linear(3 * n_unit, n_out)

    def forward(self, words: Any) -> chainer.Variable:
        embedded = F.dropout(self.embed(words), self.dropout)
        h = without_padding(embedded, words).transpose(0, 2, 1)[:, :, :, None]
        h = F.concat([F.max(layer(h), axis=(2, 3)) for layer in self.convolutions])
        return self.output(F.dropout(F.relu(h), self.dropout))


class BagOfWords(chainer.Chain):
    """The sum of the embeddings, through a hidden layer: blind to the order.

    Args:
        n_word (int): Size of the vocabulary.
        n_out (int): Number of outputs.
        n_unit (int): Length of an embedding and of the hidden layer.
        dropout (float): Ratio of dropout.
    """

    def __init__(
        self, n_word: int, n_out: int = 1, n_unit: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.dropout = dropout
        with self.init_scope():
            self.embed = L.EmbedID(n_word, n_unit, initialW=_uniform())
            self.hidden = L.Linear(n_unit, n_unit)
            self.output = L.Linear(n_unit, n_out)

    def forward(self, words: Any) -> chainer.Variable:
        embedded = F.dropout(self.embed(words), self.dropout)
        h = F.relu(self.hidden(F.sum(without_padding(embedded, words), axis=1)))
        return self.output(F.dropout(h, self.dropout))


def unpadded(embedded: Any, words: Any) -> tuple[chainer.Variable, ...]:
    """Return the embeddings of each sentence, ``(length, n_unit)``.

    They are taken out of the batch all at once and then split: to slice each sentence
    out by itself would make backward as slow as the square of the batch.
    """
    is_word = chainer.as_variable(words).array != PADDING
    lengths = chainer.cuda.to_cpu(is_word.sum(axis=1))
    return F.split_axis(embedded[is_word.nonzero()], np.cumsum(lengths)[:-1], axis=0)


def without_padding(embedded: Any, words: Any) -> chainer.Variable:
    """Return the embeddings with zeros in the place of padding."""
    is_word = (chainer.as_variable(words).array != PADDING)[:, :, None]
    return embedded * is_word.astype(embedded.dtype)


def _uniform() -> chainer.initializers.Uniform:
    return chainer.initializers.Uniform(0.25)

"""Networks that rate texts: recurrent, convolutional, and a bag of words.

They are those of Chainer's example of text classification, and written as it is. All
take a list of sentences, each an array of the numbers of its words, have an `embed`,
with dropout behind it for BayesGrad, and return ``(batch, n_out)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
import saliency  # noqa: F401

import chainer
import chainer.functions as F
import chainer.links as L

PADDING = -1


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

    def forward(self, sentences: Sequence[np.ndarray]) -> chainer.Variable:
        last, _, _ = self.encoder(None, None, embedded(self, sentences))
        return self.output(F.dropout(last[-1], self.dropout))


class CNN(chainer.Chain):
    """The maxima over time of convolutions over 3, 4 and 5 words.

    Kim (2014), "Convolutional neural networks for sentence classification", EMNLP.
    Sentences are padded to the longest of the batch, with embeddings of 0. Convolutions
    have no bias, so that they are 0 there, which is no maximum that passes ReLU: the
    result does not depend on the amount of padding.

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
            self.embed = L.EmbedID(
                n_word, n_unit, initialW=_uniform(), ignore_label=PADDING
            )
            self.convolutions = chainer.ChainList(
                *(
                    L.Convolution2D(
                        n_unit, n_unit, (width, 1), pad=(width - 1, 0), nobias=True
                    )
                    for width in (3, 4, 5)
                )
            )
            self.output = L.Linear(3 * n_unit, n_out)

    def forward(self, sentences: Sequence[np.ndarray]) -> chainer.Variable:
        words = F.pad_sequence(sentences, padding=PADDING)
        h = F.dropout(self.embed(words), self.dropout)
        h = h.transpose(0, 2, 1)[:, :, :, None]
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

    def forward(self, sentences: Sequence[np.ndarray]) -> chainer.Variable:
        sums = [F.sum(words, axis=0) for words in embedded(self, sentences)]
        h = F.relu(self.hidden(F.stack(sums)))
        return self.output(F.dropout(h, self.dropout))


def embedded(
    model: chainer.Chain, sentences: Sequence[np.ndarray]
) -> tuple[chainer.Variable, ...]:
    """Return the embeddings of each sentence, ``(length, n_unit)``.

    The words of all sentences are concatenated and embedded at once.
    """
    ends = np.cumsum([len(words) for words in sentences])[:-1]
    of_words = model.embed(F.concat(sentences, axis=0))
    return F.split_axis(F.dropout(of_words, model.dropout), ends, axis=0)


def _uniform() -> chainer.initializers.Uniform:
    return chainer.initializers.Uniform(0.25)

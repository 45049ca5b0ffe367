"""Words as numbers, and sentences of different lengths as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
import saliency  # noqa: F401

from chainer.dataset import concat_examples

PADDING, UNKNOWN = 0, 1


class Vocabulary:
    """The numbers of words, from 2 on.

    Args:
        sentences: The words of the sentences for training.
        min_count: How often a word must occur in them to have a number of its own.
    """

    def __init__(self, sentences: Iterable[Sequence[str]], min_count: int = 1) -> None:
        counts = Counter(word for words in sentences for word in words)
        known = sorted(word for word, count in counts.items() if count >= min_count)
        self._numbers = {word: number for number, word in enumerate(known, UNKNOWN + 1)}

    def __len__(self) -> int:
        return UNKNOWN + 1 + len(self._numbers)

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """Return the numbers of some words, int32."""
        return np.array([self._numbers.get(w, UNKNOWN) for w in words], np.int32)


def concat_padded(batch: Sequence[Any], device: Any = None) -> Any:
    """Return a batch with the numbers of each sentence padded to the longest."""
    return concat_examples(batch, device, padding=PADDING)

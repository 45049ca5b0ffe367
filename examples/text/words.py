"""Words as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

UNKNOWN = 0


class Vocabulary:
    """The numbers of words, from 1 on.

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

"""Random numbers for the rows of a pass, all at once.

What a row gets depends on the seed, the sample, the example and what the numbers are
for, but not on the rows beside it. A generator that is moved from the stream of one row
to that of the next takes some microseconds for each, and NumPy's normal numbers take
about ten nanoseconds each, which adds up to more than a small network costs. Two things
make it less:

- *Rows that are drawn together are neighbours in the counter.* Philox turns any counter
  into a block of four words (Salmon et al. 2011, "Parallel random numbers: as easy as
  1, 2, 3", doi:10.1145/2063384.2063405). The words of a row come in parts, each as long
  as all that are before it. Of the blocks of a part, example i owns the b that follow
  the first i b, so that one call gives that part of consecutive examples. The part, the
  sample and what else the numbers depend on are in the other words of the counter. How
  long a row is makes no difference to its first elements: a token keeps its noise and
  its mask however much padding is behind its text.
- *Each value takes the same number of words.* NumPy's normal numbers come from a
  ziggurat, which takes more words now and then. Those of Box and Muller (1958), "A note
  on the generation of random normal deviates", doi:10.1214/aoms/1177706645, take two
  for two, and NumPy computes the logarithms and sines of a whole array faster. For
  float32, words are halved, as TensorFlow and cuRAND do it.

The rounds of Philox are NumPy's, and so are the words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import numpy as np

from saliency.calculator.randomness.random_streams import RandomStreams

_WORDS_OF_BLOCK = 4
_BLOCKS_OF_FIRST_PART = 4
_N_IN_VAIN = 256  # blocks drawn for nothing take about as long as a call
_N_AT_ONCE = 1 << 14  # words whose values are computed within the processor's cache

# What stands in the word of the counter that is the example in streams of one row: that
# the words are of all rows, which of several draws they are for, and the part.
_IS_OF_ROWS = 1 << 63
_BITS_OF_PART = 8

# Rows of one sample whose examples follow each other: the sample, the first example,
# and how many they are.
_Run = tuple[int, int, int]


class RowStreams:
    """The streams of a batch's rows: numbers for all of them, or a generator for each.

    One draw for all rows is independent of the next, and of what the generators draw.
    Each generator is at its beginning, and valid until the next one is asked for.

    Args:
        streams (RandomStreams): Where the numbers come from.
        purpose (int): What they are for.
        rows (numpy.ndarray or sequence of (int, int)): Sample and example of each row,
            ``(n_row, 2)``.
        call (int): Which of several draws for that purpose this is.
        target (int): Which of several targets they are for.
    """

    def __init__(
        self,
        streams: RandomStreams,
        purpose: int,
        rows: np.ndarray | Sequence[tuple[int, int]],
        call: int,
        target: int = 0,
    ) -> None:
        self._streams = streams
        self._purpose, self._call, self._target = purpose, call, target
        self._rows = np.asarray(rows).reshape(-1, 2)
        runs = _runs(self._rows)
        # The steps of a path have the numbers of their sample, which are drawn once.
        self._runs = list(dict.fromkeys(runs))
        self._order = _order(runs, self._runs)
        self._n_draw = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.random.Generator]:
        generator, purpose = self._streams.generator, self._purpose
        for sample, example in self._rows.tolist():
            yield generator(purpose, sample, example, self._call, self._target)

    def random(self, size: int | Sequence[int], dtype: Any = np.float64) -> np.ndarray:
        """Return uniform numbers, as ``numpy.random.Generator.random`` does.

        Args:
            size (int or sequence of int): ``(n_row,) + shape``.
            dtype: float32 or float64.

        Returns:
            numpy.ndarray: Numbers in [0, 1), of that size.

        Raises:
            TypeError: If ``dtype`` is another one.
            ValueError: If ``size`` does not begin with the number of rows.
        """
        return self._draw(size, dtype, _fill_uniform)

    def standard_normal(
        self, size: int | Sequence[int], dtype: Any = np.float64
    ) -> np.ndarray:
        """Return normal numbers, as ``numpy.random.Generator.standard_normal`` does.

        Arguments and errors are those of :meth:`random`.
        """
        return self._draw(size, dtype, _fill_normal)

    def bits(self, n: int) -> np.ndarray:
        """Return 32 random bits for each of n elements of each row.

        Args:
            n (int): How many elements a row has.

        Returns:
            numpy.ndarray: ``(n_row, n)``, in uint32.
        """
        return self._in_order(_halves(self._words(-(-n // 2)))[:, :n])

    @property
    def _n_distinct(self) -> int:
        return sum(n_row for _, _, n_row in self._runs)

    def _draw(
        self,
        size: int | Sequence[int],
        dtype: Any,
        fill: Callable[[np.ndarray, np.ndarray], None],
    ) -> np.ndarray:
        shape = (int(size),) if isinstance(size, (int, np.integer)) else tuple(size)
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        if shape[:1] != (len(self),):
            raise ValueError(
                f"size must begin with the number of rows, {len(self)}, got {shape}"
            )
        n, per_word = math.prod(shape[1:]), 8 // dtype.itemsize
        n_pair = -(-n // 2)  # normal numbers come in pairs
        words = self._words(2 * n_pair // per_word)
        values = np.empty((len(words), 2 * n_pair), dtype)
        flat, of_words = values.reshape(-1), words.reshape(-1)
        for start in range(0, len(of_words), _N_AT_ONCE):
            stop = start + _N_AT_ONCE
            fill(flat[start * per_word : stop * per_word], of_words[start:stop])
        return self._in_order(values[:, :n]).reshape(shape)

    def _words(self, n_word: int) -> np.ndarray:
        """Return words for each row, ``(n_distinct, n_word)``, for each row once."""
        words = np.empty((self._n_distinct, n_word), np.uint64)
        start, n_block, part = 0, _BLOCKS_OF_FIRST_PART, 0
        while start < n_word:
            stop = start + n_block * _WORDS_OF_BLOCK
            kind = _IS_OF_ROWS | self._n_draw << _BITS_OF_PART | part
            self._fill_part(words[:, start:stop], kind, n_block)
            start, n_block, part = stop, stop // _WORDS_OF_BLOCK, part + 1
        self._n_draw += 1
        return words

    def _fill_part(self, words: np.ndarray, kind: int, n_block: int) -> None:
        """Write the first words of a part, in which a row owns ``n_block`` blocks."""
        n_word = words.shape[1]
        use = self._streams.use(self._purpose, self._call, self._target)
        runs = self._runs
        if n_block - n_word // _WORDS_OF_BLOCK > _N_IN_VAIN:
            runs = [(m, i + k, 1) for m, i, n_row in runs for k in range(n_row)]
        row = 0
        for sample, example, n_row in runs:
            counter = (example * n_block, use, kind, sample)
            if n_row == 1:
                words[row] = self._streams.words(counter, n_word)
            else:
                n_drawn = n_row * n_block * _WORDS_OF_BLOCK
                drawn = self._streams.words(counter, n_drawn).reshape(n_row, -1)
                words[row : row + n_row] = drawn[:, :n_word]
            row += n_row

    def _in_order(self, of_distinct: np.ndarray) -> np.ndarray:
        """Return for all rows what was drawn for those that differ."""
        return of_distinct if self._order is None else of_distinct[self._order]


def _runs(rows: np.ndarray) -> list[_Run]:
    """Return the runs that rows ``(n_row, 2)`` are made of, in order."""
    sample, example = rows.T
    goes_on = (sample[1:] == sample[:-1]) & (example[1:] == example[:-1] + 1)
    begins = [0, *(np.flatnonzero(~goes_on) + 1).tolist()] if len(rows) else []
    ends = [*begins[1:], len(rows)]
    firsts = rows[begins].tolist()
    return [(m, i, end - begin) for (m, i), begin, end in zip(firsts, begins, ends)]


def _order(runs: list[_Run], distinct: list[_Run]) -> np.ndarray | None:
    """Return which row of the distinct runs each row is; None where each is itself."""
    if len(runs) == len(distinct):
        return None
    begins = {}
    n_row = 0
    for run in distinct:
        begins[run] = n_row
        n_row += run[2]
    return np.concatenate(
        [np.arange(begins[run], begins[run] + run[2]) for run in runs]
    )


def _halves(words: np.ndarray) -> np.ndarray:
    """Return the halves of words, the lower one first on every machine."""
    return words.astype("<u8", copy=False).view("<u4")


def _fill_uniform(values: np.ndarray, words: np.ndarray) -> None:
    """Write the numbers in [0, 1) that words stand for."""
    if values.dtype == np.float32:
        np.multiply(_halves(words) >> 8, np.float32(2**-24), out=values)
    else:
        np.multiply(words >> 11, 2**-53, out=values)


def _fill_normal(values: np.ndarray, words: np.ndarray) -> None:
    r"""Write the normal numbers that words stand for, by Box and Muller.

    .. math:: \sqrt{-2 \ln u} \cos \varphi, \quad \sqrt{-2 \ln u} \sin \varphi

    with u in (0, 1] and :math:`\varphi` in :math:`[-\pi, \pi]`.
    """
    if values.dtype == np.float32:
        words = _halves(words)
    n_bit = 8 * words.itemsize
    u = words[0::2].astype(values.dtype)
    u += 0.5
    u *= 2.0**-n_bit
    radius = np.log(u, out=u)
    radius *= -2
    np.sqrt(radius, out=radius)
    # In float32 for float64 as well, which takes a tenth of the time: the angles are
    # dense enough, and the radius has all digits.
    angle = words[1::2].view(f"i{words.itemsize}").astype(np.float32)
    angle *= math.pi * 2.0 ** (1 - n_bit)
    np.multiply(radius, np.cos(angle), out=values[0::2])
    np.multiply(radius, np.sin(angle, out=angle), out=values[1::2])

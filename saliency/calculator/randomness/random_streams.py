"""Random numbers that depend on what they are for, not on when they are drawn."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Iterator
from typing import Any, Callable, TypeVar

import numpy as np

from saliency.exclusive import one_at_a_time

Result = TypeVar("Result")
Counter = tuple[int, int, int, int]

NOISE, DROPOUT, GLOBAL = range(3)
#: For what a method draws for each row. Numbers for many rows at once are apart from
#: the streams of single ones, as which alone the others of this number are drawn.
METHOD = GLOBAL

#: Another number where a seed comes to give other numbers, so that what was begun with
#: the old ones is not continued with the new ones.
SCHEME = 3

_N_WORD = 625  # of the Mersenne Twister: its key of 624 words, and a position
_NO_EXAMPLE = 2**64 - 1  # an index that none has
_BITS_OF_CALLS = 32  # more calls of a link than these bits count are in no pass


class RandomStreams:
    """One independent stream for each (sample, example, purpose, call, target).

    Philox is a counter-based generator: the key comes from the seed, the counter
    says what the numbers are for (Salmon et al. 2011, "Parallel random numbers: as
    easy as 1, 2, 3"). So an example gets the same noise and the same dropout masks
    in whichever batch it stands, and in every path step and occlusion window.

    Args:
        seed (int, sequence of int or None): What ``numpy.random.SeedSequence`` takes.
            ``None`` asks the operating system.
    """

    def __init__(self, seed: Any) -> None:
        self._seed = seed

    @functools.cached_property
    def _philox(self) -> np.random.Philox:
        # Made when something is drawn, which many calls do not, and moved from stream
        # to stream: making one for each row takes longer than running a small network.
        key = np.random.SeedSequence(self._seed).generate_state(2, np.uint64)
        return np.random.Philox(key=key)

    @functools.cached_property
    def _generator(self) -> np.random.Generator:
        return np.random.Generator(self._philox)

    @functools.cached_property
    def _start(self) -> Any:
        return self._philox.state

    def generator(
        self, purpose: int, sample: int, example: int, call: int = 0, target: int = 0
    ) -> np.random.Generator:
        """Return a stream at its beginning; valid until the next one is asked for."""
        use = self.use(purpose, call, target)
        self._move_to((0, use, example, sample))
        return self._generator

    def words(self, counter: Counter, n_word: int) -> np.ndarray:
        """Return the words behind a counter, four for each number that it counts.

        Args:
            counter (tuple of int): The block; what :meth:`use` returns; the example, or
                what says that the words are of several; the sample.
            n_word (int): How many words.

        Returns:
            numpy.ndarray: ``(n_word,)``, in uint64.
        """
        self._move_to(counter)
        words: np.ndarray = self._philox.random_raw(n_word)
        return words

    @staticmethod
    def use(purpose: int, call: int = 0, target: int = 0) -> int:
        """Return the word of the counter that says what numbers are for."""
        return 3 * (call + (target << _BITS_OF_CALLS)) + purpose

    def _move_to(self, counter: Counter) -> None:
        # The lowest word counts blocks within the stream: 2^64 of them.
        # One by one, which takes a tenth of the time of all at once.
        here = self._start["state"]["counter"]
        here[0], here[1], here[2], here[3] = counter
        self._philox.state = self._start

    def of_sample(self, sample: int) -> np.random.Generator:
        """Return the stream of what all examples of a sample have in common."""
        return self.generator(GLOBAL, sample, _NO_EXAMPLE)

    def of_design(
        self, sample: int, number: int, target: int = 0
    ) -> np.random.Generator:
        """Return the stream of a design of masks that examples of a sample share.

        Args:
            sample (int): The sample.
            number (int): A number that designs of one sample differ in.
            target (int): Which of several targets it is for.
        """
        return self.generator(GLOBAL, sample, _NO_EXAMPLE, number, 1 + target)

    def global_seed(self, sample: int, example: int, call: int = 0) -> int:
        """Return a seed for ``numpy.random.seed``; another one for another call."""
        return int(self.generator(GLOBAL, sample, example, call).integers(2**32))


class GlobalRandomState:
    """The global random state, borrowed with our seeds and given back untouched.

    It belongs to the whole process, so that it is not touched unless something draws
    from it; then, by one thread at a time.

    Args:
        device (chainer.backend.Device): On a GPU, CuPy's state is borrowed as well.
    """

    def __init__(self, device: Any) -> None:
        self._modules = [np] if device.xp is np else [np, device.xp]
        with one_at_a_time():  # while nobody else has borrowed the state
            self._words = _MersenneTwister()
        # Whether anything drew from CuPy's state cannot be seen afterwards, nor from
        # half of a pair of normal numbers.
        self._is_drawn_from = len(self._modules) > 1 or not self._words.shows_draws

    def watch(
        self, work: Callable[[], Result], seed: Callable[[], int]
    ) -> tuple[Result, bool]:
        """Return what ``work`` returns, and whether it drew from the global state.

        If it did, it has been done again with the state at a seed.

        Args:
            work (callable): Something that may be done twice.
            seed (callable): Returns the seed.
        """
        with one_at_a_time():
            if not self._is_drawn_from:
                before = self._words.copy()
                try:
                    result = work()
                finally:
                    is_moved = self._words.are_not(before)
                    if is_moved:
                        self._words.put_back(before)
                if not is_moved:
                    return result, False
                self._is_drawn_from = True
            with self.borrowed(seed()) as was_drawn_from:
                result = work()
                return result, was_drawn_from()

    @contextlib.contextmanager
    def borrowed(self, seed: int) -> Iterator[Callable[[], bool]]:
        """Return a block in which the state starts at a seed.

        The value of the block tells whether anything drew from the state so far, and
        moves it on by one number.
        """
        with one_at_a_time():
            saved: list[Any] = [np.random.get_state()]  # noqa: NPY002
            saved += [xp.random.get_random_state() for xp in self._modules[1:]]
            try:
                for xp in self._modules[1:]:
                    xp.random.set_random_state(xp.random.RandomState(0))
                first = []
                for xp in self._modules:
                    xp.random.seed(seed)
                    first.append(float(xp.random.random_sample()))
                    xp.random.seed(seed)
                yield lambda: first != self._following()
            finally:
                np.random.set_state(saved[0])  # noqa: NPY002
                for xp, state in zip(self._modules[1:], saved[1:]):
                    xp.random.set_random_state(state)

    def _following(self) -> list[float]:
        return [float(xp.random.random_sample()) for xp in self._modules]


def _global_generator() -> Any:
    return np.random.get_bit_generator()  # type: ignore[attr-defined]


def _has_half_a_pair() -> bool:
    """Tell whether NumPy's global state holds half of a pair of normal numbers."""
    place = _place_of_half_a_pair()
    if place is None:
        return bool(np.random.get_state(legacy=False)["has_gauss"])  # noqa: NPY002
    owner = np.random.get_state.__self__  # type: ignore[attr-defined]
    return bool(ctypes.c_int32.from_address(id(owner) + place).value)


@functools.cache
def _place_of_half_a_pair() -> int | None:
    """Return which byte of a RandomState tells whether it holds half of a pair.

    None if that cannot be told. To ask for the whole state takes some thirty times as
    long as the comparison of its words.
    """
    if sys.implementation.name != "cpython":  # where an id is an address
        return None
    one = np.random.RandomState(0)
    state: Any = one.get_state(legacy=False)
    found = []
    for has_half in (0, 1):
        one.set_state({**state, "has_gauss": has_half})
        found.append(ctypes.string_at(id(one), type(one).__basicsize__))
    without, with_half = (np.frombuffer(memory, np.int32) for memory in found)
    places = np.flatnonzero(without != with_half)
    if len(places) != 1 or without[places[0]] != 0 or with_half[places[0]] != 1:
        return None
    return int(places[0]) * without.itemsize


class _MersenneTwister:
    """The words of NumPy's global state, to be looked at before and after each pass.

    ``numpy.random.get_state`` takes as long as a pass of a small network.
    """

    def __init__(self) -> None:
        self._generator = _global_generator()
        self._address: int | None = None
        # A generator of another kind, or half of a pair of normal numbers, which is
        # drawn from without moving the words.
        self.shows_draws = False
        if isinstance(self._generator, np.random.MT19937):
            self._address = self._generator.ctypes.state_address
            self.shows_draws = not _has_half_a_pair()

    def copy(self) -> bytes:
        if self._address is None:
            return b""
        return ctypes.string_at(self._address, _N_WORD * 4)

    def are_not(self, before: bytes) -> bool:
        return _global_generator() is not self._generator or self.copy() != before

    def put_back(self, before: bytes) -> None:
        words = np.frombuffer(before, np.uint32)
        state = ("MT19937", words[:-1], int(words[-1]), 0, 0.0)
        if _global_generator() is not self._generator:
            np.random.set_bit_generator(self._generator)  # type: ignore[attr-defined]
        np.random.set_state(state)  # noqa: NPY002

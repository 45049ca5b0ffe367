"""The calls of the target's link as one target, with an axis for them."""

from __future__ import annotations

from typing import Any

from saliency.array_types import Array

import chainer


class StackedCalls:
    """What is known of all calls of a target's link while they are being made.

    A method changes the stack of all calls, ``(n_row, n_call) + shape``, though it is
    given to the model call by call. What later calls are going to be is taken from the
    pass of the trained model as it is. A call that turns out to be something else,
    because it depends on one before that was changed, is put into the stack, which is
    then changed again.

    Args:
        expected (array or None): The stack as it is in the trained model; None where
            nothing is going to be changed.

    Attributes:
        noise (array or None): What is added to the stack in this pass.
        changed (array or None): The stack as the method wants it.
    """

    def __init__(self, expected: Array | None) -> None:
        self._expected = expected
        self._values = expected
        self._received: list[Array] = []
        self.noise: Any = None
        self.changed: Any = None

    @property
    def is_changed(self) -> bool:
        """Whether calls are given to the model otherwise than it made them."""
        return self._expected is not None

    @property
    def values(self) -> Array:
        """The stack, with each call as it was made, or else as it is expected."""
        if self._values is not None:
            return self._values
        return _stack(self._received)

    def receive(self, call: int, array: Array) -> bool:
        """Take a call of the link.

        Args:
            call (int): Which one it is; 0 begins anew.
            array (array): ``(n_row,) + shape``.

        Returns:
            bool: Whether the stack has to be changed again.

        Raises:
            ValueError: If there are more calls than in the trained model as it is.
        """
        if call == 0:
            self._received, self.noise, self._values = [], None, self._expected
        self._received.append(array)
        if self._values is None:
            return False
        if call >= self._values.shape[1]:
            self._refuse_other_number()
        xp = chainer.backend.get_array_module(array)
        is_news = not bool(xp.array_equal(self._values[:, call], array))
        if is_news:
            self._values = self._values.copy()
            self._values[:, call] = array
        return is_news or call == 0

    def check_complete(self) -> None:
        """Raise a ValueError if there were fewer calls than expected."""
        if self._values is not None and len(self._received) < self._values.shape[1]:
            self._refuse_other_number()

    def of_calls(self, arrays: list[Array]) -> Array:
        """Return what was found at each call, ``(n_row, n_call) + shape``."""
        return _stack(arrays)

    def _refuse_other_number(self) -> None:
        assert self._expected is not None  # there is a number to compare with
        raise ValueError(
            f"calls='stack' needs as many calls of the target's link in every pass: "
            f"{self._expected.shape[1]} in evaluation mode with the data as it is, but "
            f"another number in a pass with changed targets. Pass calls='sum', or "
            "call=0, 1, ... for one of them"
        )


def _stack(arrays: list[Array]) -> Array:
    xp = chainer.backend.get_array_module(arrays[0])
    return xp.stack(arrays, axis=1)

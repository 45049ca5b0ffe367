"""A model that would draw its first parameters while it is explained is untrained."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from saliency.calculator.engine.parts import Parts
from saliency.replaced_methods import Method, ReplacedMethods

import chainer


class FirstParameters:
    """Refuses a forward pass that gives a parameter its first value.

    Parameters without a value may be there as long as forward does not use them.

    Args:
        parts (Parts): What the model consists of, or all that are run.
    """

    def __init__(self, parts: Parts) -> None:
        self._without_value = [
            (path, p) for path, p in parts.parameters if not p.is_initialized
        ]

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        """Return a block for a model's forward, which only one thread is in.

        Raises:
            ValueError: If it gives a parameter its first value. Then the parameter
                has none again.
        """
        outer = _local.refusing
        with _methods.replaced():
            _local.refusing = self
            try:
                yield
                self._check()
            except BaseException:
                self._take_away()
                raise
            finally:
                _local.refusing = outer

    def error(self, parameter: chainer.Parameter) -> ValueError:
        """Return the error for a parameter that is about to get its first value."""
        paths = [path for path, one in self._without_value if one is parameter]
        name = paths[0] if paths else repr(parameter.name)
        return ValueError(
            f"model must be trained, but its parameter {name} is not initialized: "
            "train it, or load its parameters (chainer.serializers.load_npz)"
        )

    def _check(self) -> None:
        """Raise if forward has set a parameter by other means than Chainer's own."""
        for _, parameter in self._without_value:
            if parameter.is_initialized:
                raise self.error(parameter)

    def _take_away(self) -> None:
        for _, parameter in self._without_value:
            if parameter.is_initialized:
                parameter.array = None


class _Local(threading.local):
    refusing: FirstParameters | None = None


_local = _Local()


def _initialize(original: Method) -> Method:
    def initialize(self: Any, shape: tuple[int, ...]) -> None:
        if _local.refusing is not None:
            raise _local.refusing.error(self)
        original(self, shape)

    return initialize


_methods = ReplacedMethods({(chainer.Parameter, "initialize"): _initialize})

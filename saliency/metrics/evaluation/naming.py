"""Errors and warnings that say which method and metric they are about."""

from __future__ import annotations

import warnings
from types import TracebackType

from saliency.user_warnings import warn_user


class Naming:
    """A block whose errors and warnings begin with what they are about.

    It is a class, since the frames of ``contextlib`` would hide the line of the user's
    to which warnings point.

    Args:
        what (str): What they are about.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._catching = warnings.catch_warnings(record=True)
        self._caught: list[warnings.WarningMessage] = []

    def __enter__(self) -> None:
        caught = self._catching.__enter__()
        assert caught is not None  # since they are recorded
        self._caught = caught
        warnings.simplefilter("always")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._catching.__exit__(kind, error, where)
        if kind in (TypeError, ValueError):  # others may take more to make
            raise kind(f"{self._what}: {error}") from error
        if error is not None:
            return
        for one in self._caught:
            if issubclass(one.category, (UserWarning, RuntimeWarning)):
                warn_user(f"{self._what}: {one.message}", one.category)

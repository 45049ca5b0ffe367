"""Errors and warnings that say which method and metric they are about."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple

from saliency.user_warnings import warn_user

#: So many are named that one warning is about.
_N_NAMED = 3


class Caution(NamedTuple):
    """A warning that has not been given yet.

    Attributes:
        what (str): What it is about.
        message (str): What it says.
        category (type): Its class.
    """

    what: str
    message: str
    category: type[Warning]


class Naming:
    """A block whose errors begin with what they are about, and which keeps warnings.

    It is a class, since the frames of ``contextlib`` would hide the line of the user's
    to which warnings point.

    Args:
        what (str): What they are about.

    Attributes:
        cautions (list of Caution): The warnings, after the block.
    """

    def __init__(self, what: str) -> None:
        self.cautions: list[Caution] = []
        self._what = what
        self._catching = warnings.catch_warnings(record=True)
        self._caught: list[warnings.WarningMessage] = []

    def __enter__(self) -> Naming:
        caught = self._catching.__enter__()
        assert caught is not None  # since they are recorded
        self._caught = caught
        warnings.simplefilter("always")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._catching.__exit__(kind, error, where)
        self.cautions = [
            Caution(self._what, str(one.message), one.category)
            for one in self._caught
            if issubclass(one.category, (UserWarning, RuntimeWarning))
        ]
        if kind in (TypeError, ValueError):  # others may take more to make
            raise kind(f"{self._what}: {error}") from error


def warn_of(cautions: Iterable[Caution]) -> None:
    """Give each warning once, with what it is about."""
    of_messages: dict[tuple[str, type[Warning]], list[str]] = {}
    for what, message, category in cautions:
        names = of_messages.setdefault((message, category), [])
        if what not in names:
            names.append(what)
    for (message, category), names in of_messages.items():
        n_more = len(names) - _N_NAMED
        shown = names if n_more <= 0 else [*names[:_N_NAMED], f"{n_more} more"]
        warn_user(f"{'; '.join(shown)}: {message}", category)

"""What goes wrong, as one line and as a status."""

from __future__ import annotations

import traceback

#: What the user has to mend; everything else is a failure on the way.
WRONG, FAILED = 2, 1


class Unusable(Exception):
    """What a command line names cannot be used; the message says why."""


def one_line(problem: object) -> str:
    """Return what went wrong as one line, which is never empty."""
    text = " ".join(str(problem).split())
    name = type(problem).__name__
    is_bare = isinstance(problem, (KeyError, IndexError, AssertionError)) or not text
    return f"{name}: {text}".rstrip(": ") if is_bare else text


def status_of(error: Exception) -> int:
    """Return the status of an error.

    A ValueError or TypeError that this package raises refuses what it is given; one
    from elsewhere, such as the code of a model, is a failure.
    """
    if isinstance(error, Unusable):
        return WRONG
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    place = frames[-1].f_globals.get("__name__", "") if frames else ""
    is_ours = place.partition(".")[0] in ("saliency", "link_hooks")
    return WRONG if is_ours and isinstance(error, (TypeError, ValueError)) else FAILED

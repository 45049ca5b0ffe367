"""Warnings that point to the line of the user's that called this package."""

from __future__ import annotations

import sys
import warnings


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning that names the first line outside this package.

    Args:
        message (str): What is the matter and what to do.
        category (type): The class of the warning.
    """
    frame = sys._getframe(1)
    level = 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("saliency."):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)

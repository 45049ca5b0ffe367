"""Packages that are needed for some methods alone, and are no dependencies."""

from __future__ import annotations

import importlib
from typing import Any


def imported(module: str, who: str) -> Any:
    """Return a module of a package that may not be installed.

    Args:
        module (str): The module; its package is installed by the same name.
        who (str): What needs it, for the message.

    Raises:
        ImportError: If the package is not installed.
    """
    package = module.split(".", maxsplit=1)[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{who} needs {package}: pip install {package}") from error

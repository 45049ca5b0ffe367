"""Notices another package that is imported by the same name."""

from __future__ import annotations

import importlib.metadata
import warnings


def warn_of_namesake() -> None:
    """Warn if PAIR's package ``saliency`` is installed, too.

    pip installs both into the folder ``saliency``, where the later one overwrites what
    the earlier one has under the same name, ``saliency/__init__.py`` among others.

    The names of distributions are looked up in what Python has kept of the folders on
    its path since Chainer was imported: it takes a tenth of a millisecond, and the
    files of no distribution are read.
    """
    for other in importlib.metadata.distributions(name="saliency"):
        warnings.warn(
            f"the package saliency {other.version} is installed as well, and it is "
            "imported by the same name as chainer-saliency, whose files it overwrites "
            "or is overwritten by: uninstall it (pip uninstall saliency) and install "
            "chainer-saliency again, or keep the two in different environments",
            stacklevel=3,
        )
        return

"""What commands print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sized
from pathlib import Path

from saliency.explanation import Explanation

_SCRIPT = "chainer-saliency"


def program() -> str:
    """Return what the user types to start this program."""
    return _SCRIPT if Path(sys.argv[0]).stem == _SCRIPT else "python -m saliency"


def counted(examples: Sized) -> str:
    """Return how many examples there are, as in ``'3 examples'``."""
    return f"{len(examples)} example{'s' * (len(examples) != 1)}"


def name_of_class(one: Explanation) -> str:
    """Return the class that was explained of one example; empty if there is none.

    Of several names, such as those of ImageNet, it is the first. Without names, it is
    the number.
    """
    if one.classes is None:
        return ""
    name = one.name_of_class(int(one.classes[0])).partition(",")[0]
    return f"class {name}" if one.class_names is None else name


def tell(args: argparse.Namespace, *lines: object) -> None:
    """Print lines, unless the user wants none."""
    if not args.quiet:
        print(*lines, sep="\n", flush=True)

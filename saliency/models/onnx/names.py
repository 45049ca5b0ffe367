"""Names of links for nodes, and of values."""

from __future__ import annotations

import keyword
import re
from collections.abc import Container


def link_name(node: str, operator: str, taken: Container[str]) -> str:
    """Return a name for the link of a node, as an attribute of Python is called.

    ``/layer1/layer1.0/conv1/Conv`` becomes ``layer1_layer1_0_conv1_Conv``.

    Args:
        node (str): The file's name of the node.
        operator (str): The name of its operator, for what has no letter in it.
        taken (container of str): Names that it must not have; some get a number.
    """
    name = re.sub(r"[^0-9A-Za-z]+", "_", node).strip("_")
    if not name or name[0].isdigit():
        name = f"{operator}_{name}".rstrip("_")
    stem, count = name, 1
    while name in taken or keyword.iskeyword(name):
        count += 1
        name = f"{stem}_{count}"
    return name


def value_name(name: str, taken: Container[str]) -> str:
    """Return a name for a value: the file's, or that with a number if it is taken."""
    stem, count = name, 1
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    return name

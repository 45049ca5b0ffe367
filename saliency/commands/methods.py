"""List the methods that --method takes, or describe one of them.

``methods integrated-gradients`` prints what this method computes, and the settings
that --set takes.
"""

from __future__ import annotations

import argparse
import inspect
import re
from typing import Any

from saliency.commands.calculators import Method, all_methods, method_of

#: Settings that are not typed: Python's objects, or what other options say.
NOT_TYPED = (
    "model", "target_extractor", "output_extractor", "eval_fun", "class_index",
    "device", "targets", "noise_sampler", "enable_backprop",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the method that is asked for."""
    parser.add_argument(
        "method", nargs="?", help="name of a method, such as lrp or lrp:gamma"
    )


def run(args: argparse.Namespace) -> None:
    """Print a line for each method, or all of one."""
    if args.method is not None:
        _print_method(method_of(args.method))
        return
    methods = all_methods()
    width = max(len(one.name) for one in methods)
    for one in methods:
        print(f"{one.name:{width}}  {one.about}")


def settings_of(calculator: Any) -> dict[str, inspect.Parameter]:
    """Return the arguments of a calculator's constructor that --set takes."""
    found = inspect.signature(calculator).parameters
    return {name: one for name, one in found.items() if name not in NOT_TYPED}


def _print_method(method: Method) -> None:
    if method.settings:
        print(f"{method.name}: {method.about}\n")
    print(_plain_text(inspect.getdoc(method.calculator) or ""))
    settings = settings_of(method.calculator)
    shown = ", ".join(
        name if one.default is one.empty else f"{name}={one.default!r}"
        for name, one in settings.items()
    )
    print(f"\nSettings for --set, with their defaults: {shown or 'none'}")


def _plain_text(docstring: str) -> str:
    """Return a docstring without its roles: ``:class:`~a.b.C``` becomes ``C``."""

    def bare(role: re.Match[str]) -> str:
        is_short = role[1].startswith("~")
        return role[1].rpartition(".")[2] if is_short else role[1]

    without_roles = re.sub(r":\w+:`([^`]*)`", bare, docstring)
    return without_roles.replace("``", "").replace(".. math::", "   ")

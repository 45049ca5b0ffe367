"""The command line: ``python -m saliency`` and ``chainer-saliency``.

Each command is a module of this package, with ``add_arguments(parser)`` and
``run(args)``; its docstring is the help. Commands use the public functions of the
package, and Chainer is imported when a command runs, not before: help comes at once.

A command line ends with status 0 if all went well, with 2 if it is wrong itself or what
it names cannot be used, and with 1 if something failed on the way.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from saliency.command_line import HelpWithDefaults, Parser
from saliency.commands.errors import one_line, status_of
from saliency.commands.printing import program
from saliency.version import __version__

#: The commands, in the order in which the help lists them.
COMMANDS = ("demo", "explain", "report", "evaluate", "methods", "doctor")
_ABOUT = """Which input made the network say this? Explains trained networks.

`{prog} COMMAND --help` describes the options of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv (sequence of str or None): The words after the name of the program; None
            is those of this process.

    Returns:
        int: The status: 0 if all went well, 2 for a wrong command line or wrong data,
        1 for a failure on the way, 130 if it was interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = new_parser()
    try:
        args = parser.parse_args(words)
    except SystemExit as end:  # after --help, or what was wrong
        return int(end.code or 0)
    if args.command is None:
        parser.print_help()
        return 0
    args.words = words
    with warnings.catch_warnings():
        warnings.showwarning = _ShowOnce()
        for category in (DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)  # they are for programmers
        return _run(args)


def new_parser() -> CommandParser:
    """Return the parser of all commands."""
    prog = program()
    parser = CommandParser(_ABOUT.format(prog=prog), prog=prog)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=CommandParser
    )
    for name in COMMANDS:
        module = module_of(name)
        about = module.__doc__ or ""
        command = commands.add_parser(
            name, help=about.splitlines()[0].rstrip("."), docstring=about
        )
        module.add_arguments(command)
        command.add_argument(
            "--debug", action="store_true", help="show where an error comes from"
        )
    return parser


def module_of(command: str) -> ModuleType:
    """Return the module of a command."""
    return importlib.import_module(f"saliency.commands.{command}")


class _Help(HelpWithDefaults, argparse.RawDescriptionHelpFormatter):
    """Adds defaults, and leaves the lines of the description as they are."""


class CommandParser(Parser):
    """A parser whose help shows the whole docstring, and whose errors are one line."""

    def __init__(self, docstring: str, **settings: Any) -> None:
        super().__init__(docstring, allow_abbrev=False, **settings)
        self.description = docstring.replace("``", "").strip()
        self.formatter_class = _Help

    def error(self, message: str) -> Any:
        """End with status 2 and one line."""
        self.exit(2, f"{self.prog}: error: {one_line(message)}\n")


def _run(args: argparse.Namespace) -> int:
    """Run a command, and say in one line what goes wrong."""
    try:
        if args.command != "doctor":  # which says itself what is wrong with Chainer
            importlib.import_module("saliency.chainer_compat")
        return int(module_of(args.command).run(args) or 0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        print(f"error: {one_line(error)}", file=sys.stderr)
        return status_of(error)


class _ShowOnce:
    """Shows each warning once, as a line, without the line of code that gave it."""

    def __init__(self) -> None:
        self._before: set[str] = set()

    def __call__(self, message: Warning | str, *where: Any, **how: Any) -> None:
        text = one_line(message)
        if text not in self._before:
            print(f"warning: {text}", file=sys.stderr)
        self._before.add(text)

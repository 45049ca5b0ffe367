"""Writes lrp_functions.md: what LRP does at every function of Chainer.

Run it after a change in ``saliency.lrp.handlers``::

    python docs/make_lrp_functions.py
"""

from __future__ import annotations

from pathlib import Path

import saliency.lrp  # noqa: F401  (declares the kinds)
from saliency.lrp.registry import KIND_OF_CLASS, KINDS, Kind
from saliency.lrp.rules import MaximumRule

PATH = Path(__file__).with_name("lrp_functions.md")

HEAD = """\
# What LRP does at every function of Chainer

Written by `docs/make_lrp_functions.py` from the installed package (Chainer 7.8);
do not edit it by hand.

Relevance is passed back function by function. What is done depends on the *kind* of a
function. Kinds with a `*` get a rule from the composite (`by_kind` takes these names);
the others have one answer. Register a function of your own with
`saliency.lrp.register_handler(MyFunction, kind)`, where `kind` is one of these names,
or a handler. A *gate* is a share from 0 to 1: where it multiplies a signal, the signal
gets all relevance.

| kind | what is done |
|---|---|
"""

MIDDLE = """
## Function by function

| `chainer.functions.` | kind | what is done |
|---|---|---|
"""

END = """
## Functions of backward passes

They are in a graph only where a gradient is part of the model, and LRP refuses them:

"""


def document() -> str:
    """Return the text of the page."""
    kinds = sorted(KINDS.values(), key=_place)
    names: dict[str, list[str]] = {kind.name: [] for kind in kinds}
    for cls, kind in KIND_OF_CLASS.items():
        name = f"{cls.__module__}.{cls.__name__}"
        names[kind.name].append(name[len("chainer.functions.") :])
    backward = sorted(names.pop("backward"))
    functions = sorted((name, kind) for kind in names for name in names[kind])
    return "".join(
        [
            HEAD,
            *(_row(f"{k.name}{'*' if k.rule else ''}", k.what_is_done) for k in kinds),
            MIDDLE,
            *(_row(f"`{n}`", k, KINDS[k].what_is_done) for n, k in functions),
            END,
            *(f"- `{name}`\n" for name in backward),
        ]
    )


def _place(kind: Kind) -> int:
    """Return where a kind stands: layers first, then sums, maxima, and the rest."""
    if kind.rule is None:
        return 3
    return 2 if kind.rule is MaximumRule else 0 if kind.has_weights else 1


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")

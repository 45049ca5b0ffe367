"""Writes lrp_functions.md: what LRP does at every function of Chainer.

Run it after a change of ``saliency.lrp.kinds`` or ``saliency.lrp.handlers``::

    python docs/make_lrp_functions.py
"""

from __future__ import annotations

from pathlib import Path

from saliency.lrp import registry

PATH = Path(__file__).with_name("lrp_functions.md")

HEAD = """\
# What LRP does at every function of Chainer

Written by `docs/make_lrp_functions.py` from the installed package (Chainer 7.8);
do not edit it by hand.

Relevance is passed back function by function. What is done depends on the *kind* of a
function. Kinds with a `*` get a rule from the composite (`by_kind` takes these names);
the others have one answer. Tell the project of functions of your own with
`saliency.lrp.register_handler(MyFunction, kind)`, where `kind` is one of these names,
or a handler.

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
    by_kind: dict[str, list[str]] = {kind: [] for kind in registry.HANDLERS}
    for cls, kind in registry.kinds().items():
        name = f"{cls.__module__}.{cls.__name__}"
        by_kind[kind].append(name[len("chainer.functions.") :])
    kinds = ["| kind | what is done |", "|---|---|"]
    rows = []
    for kind, names in by_kind.items():
        star = "*" if kind in registry.AFFINE + registry.SUMS else ""
        kinds.append(f"| {kind}{star} | {_what_is_done(kind)} |")
        if kind != "backward":
            rows += [(name, kind, _what_is_done(kind)) for name in names]
    table = "".join(f"| `{n}` | {kind} | {done} |\n" for n, kind, done in sorted(rows))
    backward = "".join(f"- `{name}`\n" for name in sorted(by_kind["backward"]))
    return HEAD + "\n".join(kinds) + "\n" + MIDDLE + table + END + "\n" + backward


def _what_is_done(kind: str) -> str:
    text = registry.HANDLERS[kind].__doc__ or ""
    return text.splitlines()[0].rstrip(".")


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")

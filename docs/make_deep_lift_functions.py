"""Writes deep_lift_functions.md: DeepLIFT's multipliers at every function of Chainer.

Run it after a change in ``saliency.deep_lift.handlers``::

    python docs/make_deep_lift_functions.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

import saliency.deep_lift  # noqa: F401  (declares the multipliers)
from saliency.deep_lift.registry import HANDLER_OF_CLASS, HANDLER_OF_KIND
from saliency.lrp.registry import KIND_OF_CLASS, KINDS

PATH = Path(__file__).with_name("deep_lift_functions.md")

HEAD = """\
# DeepLIFT's multipliers at every function of Chainer

Written by `docs/make_deep_lift_functions.py` from the installed package (Chainer 7.8);
do not edit it by hand.

A multiplier says how much of the difference of a function's output from its value at
the baseline comes with each unit of an input's difference; the products add up to it.
Kinds are those of [LRP](lrp_functions.md), but for some functions, which are named.
Register a function of your own with `saliency.lrp.register_handler(MyFunction, kind)`,
where `kind` is one of these names, or with `saliency.deep_lift.register_multipliers`.

| kind or function | multipliers |
|---|---|
"""

END = """
## Refused

An error names the function, where it is, and what to do: """


def document() -> str:
    """Return the text of the page."""
    classes = {f"`{cls.__name__}`": h for cls, h in HANDLER_OF_CLASS.items()}
    rows = {**HANDLER_OF_KIND, **classes}
    refused = sorted(kind for kind in KINDS if kind not in HANDLER_OF_KIND)
    names: dict[str, list[str]] = {kind: [] for kind in refused}
    for cls, kind in KIND_OF_CLASS.items():
        if kind.name in refused and kind.name != "backward":
            names[kind.name].append(f"`{cls.__name__}`")
    kinds = [
        f"{kind} ({', '.join(sorted(of_kind))})" if of_kind else kind
        for kind, of_kind in names.items()
    ]
    return "".join(
        [
            HEAD,
            *(f"| {name} | {_first_line(rows[name])} |\n" for name in rows),
            END,
            "; ".join(kinds),
            ".\n",
        ]
    )


def _first_line(handler: object) -> str:
    return (inspect.getdoc(handler) or "").partition("\n")[0].rstrip(".")


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")

"""The section of a page on how good the methods are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from saliency.visualizer.names import plain

if TYPE_CHECKING:
    from saliency.metrics import Evaluation


def checked_evaluation(evaluation: Any) -> Evaluation | None:
    """Return an evaluation, or None.

    Raises:
        TypeError: If it is something else.
    """
    if evaluation is None:
        return None
    # Pages are made without Chainer; where there is an evaluation, it is there.
    from saliency.metrics import Evaluation

    if not isinstance(evaluation, Evaluation):
        raise TypeError(
            "evaluation must be what saliency.metrics.evaluate returned, or None, got "
            f"{type(evaluation).__name__}"
        )
    return evaluation


def section_of(evaluation: Evaluation | None) -> str:
    """Return the section, in HTML; nothing without an evaluation."""
    if evaluation is None:
        return ""
    tables = "".join(_table(*one) for one in evaluation.tables().items())
    settings = "".join(
        f"<li>{escape(plain(name))}: <code>{escape(plain(text))}</code></li>"
        for name, text in evaluation.settings_of_metrics().items()
    )
    n = evaluation.n_example
    note = (
        f"Measured on {n:,} example{'s' * (n != 1)}. In brackets is which value is "
        "better; what is neither is no quality by itself. A number means something "
        "beside those of other methods, by the same metric with the same settings."
    )
    return (
        '<section id="evaluation" aria-labelledby="evaluation-title">\n'
        '<h2 id="evaluation-title">How good the methods are</h2>\n'
        f'<p>{note}</p>\n{tables}<ul class="notes">{settings}</ul>\n</section>'
    )


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    names = "".join(
        f'<th scope="col"{_number(i)}>{escape(plain(name))}</th>'
        for i, name in enumerate(head)
    )
    lines = "\n".join(
        f'<tr><th scope="row">{escape(plain(first))}</th>'
        + "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for first, *cells in body
    )
    text = escape(plain(title))
    return (
        f'<h3>{text}</h3>\n<div class="scroll" role="region" aria-label="{text}" '
        f'tabindex="0">\n<table>\n<thead>\n<tr>{names}</tr>\n</thead>\n'
        f"<tbody>\n{lines}\n</tbody>\n</table>\n</div>\n"
    )


def _number(column: int) -> str:
    return ' class="number"' if column else ""

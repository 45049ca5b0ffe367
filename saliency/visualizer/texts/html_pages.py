"""Texts as HTML: the same content as on axes, in a page that needs nothing else."""

from __future__ import annotations

from html import escape

import numpy as np
from matplotlib.colors import to_hex

from saliency.digits import written_out
from saliency.visualizer.texts.pages import (
    Page,
    Passage,
    Text,
    text_color,
)

# Browsers look for letters that the first families lack in all fonts of the system.
_ROOT = (
    "max-width: 50em; margin: 1em; font-family: system-ui, sans-serif; "
    "line-height: 1.75; color: #000; background: #fff"
)
_TITLE = "font-size: 1.2em; font-weight: bold; margin-bottom: 0.5em"
_TEXT = "margin-bottom: 1em"
_LEGEND = "font-weight: bold"
_PASSAGE = "display: flex; gap: 1em"
_METHOD = "flex: 0 0 auto; width: 9em; font-size: 0.85em; color: #595959"
_TOKENS = "flex: 1; white-space: pre-wrap; overflow-wrap: anywhere"
_TOKEN = (
    "padding: 0.15em 0.12em; border: 1px solid #fff; border-radius: 0.2em; "
    "box-decoration-break: clone; -webkit-box-decoration-break: clone"
)
_KEY = "font-size: 0.85em; color: #595959"
_BAR = "display: inline-block; vertical-align: middle; border: 1px solid #999"


class HtmlPicture(str):
    """The HTML text of a picture, which Jupyter shows as the picture."""

    def _repr_html_(self) -> str:
        return str(self)


def html_of(page: Page) -> HtmlPicture:
    """Return a whole HTML document, whose styles are in its elements."""
    parts = [_element("div", _TITLE, escape(page.title))] if page.title else []
    parts += [_text(text, page.separator, _has_methods(page)) for text in page.texts]
    if page.keys or page.notes:
        parts.append(_keys(page))
    body = _element("div", _ROOT, "\n".join(["", *parts, ""]))
    head = f'<meta charset="utf-8">\n<title>{escape(page.title or "Saliency")}</title>'
    return HtmlPicture(
        f"<!DOCTYPE html>\n<html>\n<head>\n{head}\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _has_methods(page: Page) -> bool:
    return any(passage.method for text in page.texts for passage in text.passages)


def _text(text: Text, separator: str, has_methods: bool) -> str:
    parts = [_element("div", _LEGEND, escape(text.legend))] if text.legend else []
    for passage in text.passages:
        tokens = _element("div", _TOKENS, _tokens(passage, separator))
        if has_methods:
            tokens = _element("div", _METHOD, escape(passage.method)) + tokens
        parts.append(_element("div", _PASSAGE, tokens))
    return _element("div", _TEXT, "\n".join(parts))


def _tokens(passage: Passage, separator: str) -> str:
    """Return the tokens; each tells its score where the mouse is over it."""
    tokens = []
    for token, score, ground in zip(passage.tokens, passage.scores, passage.grounds):
        style = f"background: {to_hex(ground)}; color: {text_color(ground)}; {_TOKEN}"
        told = written_out(score, 3, "+")
        tokens.append(_element("span", style, escape(token), told))
    # Without a separator a line may still end between two tokens.
    return (escape(separator) or "<wbr>").join(tokens)


def _keys(page: Page) -> str:
    lines = []
    for key in page.keys:
        bar = f"{_BAR}; width: 8em; height: 0.8em; background: {_gradient(key.bar)}"
        lines.append(
            f"{escape(key.low)} {_element('span', bar, '')} {escape(key.high)}"
        )
    for color, note in page.notes:
        box = ""
        if color is not None:
            style = f"{_BAR}; width: 0.8em; height: 0.8em; background: {to_hex(color)}"
            box = f"{_element('span', style, '')} "
        lines.append(box + escape(note))
    return _element("div", _KEY, "<br>\n".join(lines))


def _gradient(bar: np.ndarray) -> str:
    stops = ", ".join(to_hex(color) for color in bar[::10])
    return f"linear-gradient(to right, {stops})"


def _element(tag: str, style: str, content: str, title: str = "") -> str:
    """Return an element; the content is HTML, and the title is text."""
    title = f' title="{escape(title)}"' if title else ""
    return f'<{tag} style="{style}"{title}>{content}</{tag}>'

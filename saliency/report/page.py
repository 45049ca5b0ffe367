"""The page itself: its HTML, its style sheet and its scripts, in one text."""

from __future__ import annotations

import platform
import shlex
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib import metadata
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple

from saliency.report.encoding import DIGITS, DIGITS_OF_SUMS, json_of_script
from saliency.report.facts import completeness_of
from saliency.report.methods import Method
from saliency.report.palette import style_variables
from saliency.version import __version__
from saliency.visualizer.names import plain

# What draws the examples of each kind.
_SCRIPTS = {
    "table": "tables.js",
    "image": "images.js",
    "molecule": "elements.js",
    "text": "elements.js",
}
_TRANSFORMED = {
    "raw": "as they are",
    "abs": "absolute values",
    "square": "squares",
}
_PACKAGES = ("chainer", "numpy", "matplotlib")


class Page(NamedTuple):
    """What is on a page.

    Attributes:
        title: Its title.
        question: What was asked, if that is not the title.
        answer: The answer in a sentence, in HTML.
        description: What the user says of the model; may be empty.
        command: The words of the command line that made the page, if one did.
        facts: What else is said at the top, in pairs of texts.
        methods: The methods.
        evaluation: The section on how good the methods are, in HTML; may be empty.
        notes: What is said of how exact the page is.
        data: What its scripts draw, in the types of JSON; ``'kind'`` is what it is
            about.
    """

    title: str
    question: str
    answer: str
    description: str
    command: Sequence[str]
    facts: Sequence[tuple[str, str]]
    methods: Sequence[Method]
    evaluation: str
    notes: Sequence[str]
    data: dict[str, Any]


def html_of(page: Page) -> str:
    """Return a page that needs no other file, and is not allowed to load any."""
    style = _variables() + _asset("report.css")
    script = _asset("report.js") + _asset(_SCRIPTS[page.data["kind"]])
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; "
        f"style-src '{_digest(style)}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        policy=escape(policy),
        title=escape(page.title),
        question=_paragraph("question", escape(page.question)),
        answer=_paragraph("answer", page.answer),
        description=_paragraph("description", escape(page.description)),
        command=_paragraph("command", _command(page.command)),
        facts="\n".join(_fact(*pair) for pair in page.facts),
        evaluation=page.evaluation,
        methods="\n".join(map(_method, page.methods)),
        notes="\n".join(f"<li>{escape(note)}</li>" for note in _notes(page)),
        version=escape(__version__),
        style=style,
        script=script,
        data=json_of_script(page.data),
    )


def _asset(name: str) -> str:
    return (files("saliency.report") / "assets" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return what a policy calls a script or a style sheet within the page."""
    digest = sha256(text.encode("utf-8")).digest()
    return f"sha256-{b64encode(digest).decode('ascii')}"


def _variables() -> str:
    """Return the colours of the style sheet, for light and dark pages."""
    blocks = {
        theme: f"color-scheme: {theme}; "
        + " ".join(f"--{name}: {color};" for name, color in colors.items())
        for theme, colors in style_variables().items()
    }
    dark = blocks["dark"]
    return (
        f":root {{ {blocks['light']} }}\n"
        f':root[data-theme="dark"] {{ {dark} }}\n'
        "@media (prefers-color-scheme: dark) {\n"
        f':root:not([data-theme="light"]) {{ {dark} }}\n}}\n'
    )


def _paragraph(name: str, content: str) -> str:
    return f'<p class="{name}">{content}</p>' if content else ""


def _command(words: Sequence[str]) -> str:
    """Return a command line as code, which breaks between its words alone."""
    spans = (f"<span>{escape(shlex.quote(plain(word)))}</span>" for word in words)
    return f"<code>{' '.join(spans)}</code>" if words else ""


def _fact(name: str, text: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>"


def _method(method: Method) -> str:
    """Return the row of the table on how scores were computed."""
    given = method.explanation
    samples = "one" if given.n_sample == 1 else f"mean of {given.n_sample:,}"
    if given.settings:
        samples += f" ({given.settings})"
    cells = [
        f"<code>{escape(plain(given.calculator) or 'unknown')}</code>",
        escape(_TRANSFORMED.get(given.method, given.method)),
        escape(plain(samples)),
        escape(completeness_of(method) or "\N{EN DASH}"),
    ]
    head = f'<th scope="row">{escape(method.name)}</th>'
    return f"<tr>{head}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _notes(page: Page) -> list[str]:
    return [
        *page.notes,
        f"Other numbers of the page are rounded to {DIGITS} significant digits, f(x) "
        f"and base values to {DIGITS_OF_SUMS}.",
        f"Written by chainer-saliency {__version__} with Python "
        f"{platform.python_version()}{_versions()}.",
    ]


def _versions() -> str:
    found = ""
    for name in _PACKAGES:
        try:
            found += f", {name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return found

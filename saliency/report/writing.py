"""Writing a report: what is in it, and the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from saliency.checks import checked_text
from saliency.explanation import Explanation
from saliency.report import images, molecules, tables, texts
from saliency.report.evaluation import checked_evaluation, section_of
from saliency.report.facts import facts_of
from saliency.report.findings import answer_of, question_of
from saliency.report.methods import Method, checked_methods
from saliency.report.page import Page, html_of
from saliency.report.palette import ramps
from saliency.visualizer.colors import SIGNED_KEY, UNSIGNED_KEY
from saliency.visualizer.files import checked_path, write_file
from saliency.visualizer.names import plain

if TYPE_CHECKING:
    from saliency.metrics import Evaluation


class _Kind(NamedTuple):
    """What there is to say of a kind of examples.

    Attributes:
        number_shown: How many of the examples a page shows.
        data_of: What the page draws of so many.
        notes_of: What it says of how exact that is, if there is more to say than of
            all numbers.
    """

    number_shown: Callable[[Sequence[Method]], int]
    data_of: Callable[[Sequence[Method], int], dict[str, Any]]
    notes_of: Callable[[dict[str, Any]], list[str]] | None = None


_KINDS = {
    "table": _Kind(tables.number_shown, tables.data_of),
    "image": _Kind(images.number_shown, images.data_of, images.notes_of),
    "molecule": _Kind(molecules.number_shown, molecules.data_of),
    "text": _Kind(texts.number_shown, texts.data_of),
}


def write_report(
    path: str | PathLike[str],
    explanations: Explanation | Mapping[str, Explanation],
    *,
    title: str | None = None,
    description: str | None = None,
    command: Sequence[str] = (),
    evaluation: Evaluation | None = None,
) -> None:
    """Write explanations as one HTML file, which any browser opens without a network.

    Of tables it shows which features matter, a point for each example, and for each
    example how its features lead to f(x), in a table that can be sorted and filtered.
    Maps of images lie over the photographs, as opaque as a slider says; atoms tell
    their scores in the structure and in the SMILES, and tokens in the text. Several
    methods are side by side.

    Args:
        path (path): The file, which is replaced if it is there. The extension is
            ``.html`` or ``.htm``, and is added if there is none.
        explanations (Explanation or dict): What ``explain`` returned; or several, by
            the names of their methods, of the same examples.
        title (str or None): The title of the page. By default, what was asked.
        description (str or None): What is to be said of the model and the data; text in
            which empty lines and line breaks stay.
        command (sequence of str): The words of the command line that made the page,
            which shows them as code; none by default.
        evaluation (Evaluation or None): What :func:`saliency.metrics.evaluate` found of
            the methods, for a section with its tables; none by default.

    Raises:
        ImportError: If there are molecules, and no RDKit.
        OSError: If the file cannot be written.
        TypeError: If an argument is of a wrong kind.
        ValueError: If the path cannot be written to; or there is no explanation, those
            given are not of the same data, or a page cannot show them.

    Example:
        >>> import numpy as np, tempfile
        >>> from saliency import Explanation
        >>> explanation = Explanation(np.array([[0.1, -0.2]]), feature_names=["a", "b"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(f"{folder}/report.html", explanation)
    """
    checked = checked_path(path, ("html", "htm"), "path")
    if checked is None:
        raise TypeError("path must be a str or a path, got None")
    page = report_html(
        explanations,
        title=title,
        description=description,
        command=command,
        evaluation=evaluation,
    )
    write_file(checked, page.encode("utf-8"))


def report_html(
    explanations: Explanation | Mapping[str, Explanation],
    *,
    title: str | None = None,
    description: str | None = None,
    command: Sequence[str] = (),
    evaluation: Evaluation | None = None,
) -> str:
    """Return the page that :func:`write_report` writes, with its arguments."""
    for name, text in (("title", title), ("description", description)):
        if text is not None:
            checked_text(name, text)
    if isinstance(command, str):
        raise TypeError(
            f"command must be a sequence of words, got the str {command!r}: "
            "shlex.split makes words of it"
        )
    for word in command:
        checked_text("command", word)
    checked = checked_evaluation(evaluation)
    methods = checked_methods(explanations)
    kind = methods[0].kind
    of_kind = _KINDS[kind]
    n = of_kind.number_shown(methods)
    content = of_kind.data_of(methods, n)
    question = question_of(methods)
    data = {
        "kind": kind,
        "names": _names_of(methods[0].explanation, n),
        "classes": methods[0].class_names,
        "methods": [method.data(n) for method in methods],
        "ramps": ramps(kind),
        "keys": {"signed": SIGNED_KEY, "unsigned": UNSIGNED_KEY},
        "content": content,
    }
    return html_of(
        Page(
            plain(title) if title else question,
            question if title else "",
            answer_of(methods),
            plain(description or ""),
            command,
            facts_of(methods, n, is_described=bool(description or command)),
            methods,
            section_of(checked),
            of_kind.notes_of(content) if of_kind.notes_of else [],
            data,
        )
    )


def _names_of(explanation: Explanation, n: int) -> list[str]:
    if explanation.index is None:
        return [f"example {i}" for i in range(n)]
    names = [plain(name) for name in explanation.index[:n]]
    # A number by itself, such as that of a row of a DataFrame, says too little.
    return [f"example {name}" if name.isdecimal() else name for name in names]

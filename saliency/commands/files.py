"""What is written of an explanation: pictures, and the scores as files."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import saliency
from saliency.commands.explaining import Task
from saliency.commands.printing import name_of_class
from saliency.visualizer.explained.titles import written_score

#: Kinds of pictures of a table with several rows, and with one.
_OF_ROWS, _OF_ROW = ("beeswarm", "bar"), ("bar",)


def write_files(
    explanation: saliency.Explanation, task: Task, title: str
) -> Iterator[Path]:
    """Write pictures and scores into the folder of a command line; yield the paths.

    Args:
        explanation (Explanation): What was found.
        task (Task): What was asked for.
        title (str): What is said of all of it: the method.
    """
    out = task.args.out
    out.mkdir(parents=True, exist_ok=True)
    path = out / "explanation.npz"
    explanation.save(path)
    yield path
    has_columns = explanation.values.ndim == 2 + explanation.has_class_axis
    if has_columns and find_spec("pandas"):
        path = out / "scores.csv"
        explanation.to_dataframe(tidy=True).to_csv(
            path,
            index=False,
            encoding=task.args.encoding or "utf-8",
            errors="backslashreplace",
        )
        yield path
    yield from _PICTURES[task.prepared.kind](explanation, task, title)


def _picture(args: argparse.Namespace, name: str) -> Path:
    path: Path = args.out / f"{name}.{args.format}"
    return path


def _draw_images(
    explanation: saliency.Explanation, task: Task, title: str
) -> Iterator[Path]:
    taken: set[str] = set()
    for one, name in zip(explanation, task.examples.names):
        stem = _free_name(name, taken)
        path = _picture(task.args, stem)
        if one.has_class_axis:
            one.plot(save_filepath=path)
        else:
            drawn = f"{name}, {_class_of(one)}\n{title}"
            one.plot(save_filepath=path, title=drawn)
        yield path
    if len(explanation) > 1 and explanation.images is not None:
        path = _picture(task.args, "all")
        explanation.plot(save_filepath=path)
        yield path


def _class_of(explanation: saliency.Explanation) -> str:
    """Return the name of the class of one example, and its score."""
    name, scores = name_of_class(explanation), explanation.scores
    return (
        name if scores is None else f"{name} f(x) = {written_score(scores[0])}".strip()
    )


def _free_name(name: str, taken: set[str]) -> str:
    """Return a name for a picture that none before it has."""
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem) or "image"
    found, n = stem, 1
    while found in taken or found == "all":
        n += 1
        found = f"{stem}_{n}"
    taken.add(found)
    return found


def _draw_tables(
    explanation: saliency.Explanation, task: Task, title: str
) -> Iterator[Path]:
    # A beeswarm shows the data as well, which scores at a link are not of.
    is_of_columns = task.target is None
    kinds = _OF_ROWS if len(explanation) > 1 and is_of_columns else _OF_ROW
    has_ends = explanation.base_values is not None and explanation.method == "raw"
    if len(explanation) == 1 and has_ends and not explanation.has_class_axis:
        kinds = (*kinds, "waterfall")
    for kind in kinds:
        path = _picture(task.args, kind)
        explanation.plot(kind, save_filepath=path)
        yield path


def _draw_molecules(
    explanation: saliency.Explanation, task: Task, title: str
) -> Iterator[Path]:
    path = _picture(task.args, "molecules")
    several = len(explanation) > 1 or explanation.has_class_axis
    explanation.plot(save_filepath=path, **({"title": title} if several else {}))
    yield path


def _draw_nothing(
    explanation: saliency.Explanation, task: Task, title: str
) -> Iterator[Path]:
    yield from ()


_PICTURES = {
    "image": _draw_images,
    "table": _draw_tables,
    "molecule": _draw_molecules,
    "array": _draw_nothing,
}

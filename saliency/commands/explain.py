"""Explain a network's predictions: pictures, and the scores as files.

Examples:
  python -m saliency explain dog.jpg --model efficientnet-lite0 --method grad-cam
  python -m saliency explain photos/ --model net.onnx --preprocess torch
  python -m saliency explain iris.csv --drop species --model net.onnx --class 2
  python -m saliency explain 'CC(=O)Oc1ccccc1C(=O)O' --model logp-ggnn
  python -m saliency explain rows.npy --model my.networks:new --weights trained.npz

The folder --out gets pictures and explanation.npz, which saliency.Explanation.load
reads. Where there is a score for each column or atom, it also gets a table, scores.csv.

The network of package.module:factory may have attributes that say how it takes data:
  prepare    a function from a photograph (an image of Pillow) or a molecule (of RDKit)
             to the input of the network
  converter  a function that makes a batch of such inputs
  encode     a function from a DataFrame to the input of the network
  size       height and width of its images
  labels     the names of its classes
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

import saliency
from saliency.command_line import as_folder_to_write, at_least
from saliency.commands import arguments
from saliency.commands.printing import counted, name_of_class, tell
from saliency.digits import written_out

if TYPE_CHECKING:
    from saliency.commands.explaining import Task

#: How many examples and features are listed.
_LISTED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add data, model, method, and where the result goes."""
    arguments.add_data(parser)
    arguments.add_model(parser)
    arguments.add_method(parser, default="integrated-gradients")
    arguments.add_computation(parser)
    parser.add_argument(
        "--workers",
        type=at_least(1),
        metavar="N",
        help="share the work among N processes, which write scores.zarr in the folder "
        "--out; after an interruption, the same command resumes",
    )
    group = parser.add_argument_group("result")
    group.add_argument(
        "--out",
        type=as_folder_to_write,
        default="explained",
        help="folder to write into",
    )
    group.add_argument(
        "--format",
        choices=("png", "svg", "pdf"),
        default="png",
        help="format of the pictures",
    )


def run(args: argparse.Namespace) -> None:
    """Explain, and write what was found."""
    from saliency.commands.calculators import method_of
    from saliency.commands.explaining import read_task
    from saliency.commands.files import write_files
    from saliency.commands.settings import check_settings

    method = method_of(args.method)
    check_settings([method], args)
    task = read_task(args)
    explanation = task.explain(method)
    tell(args, f"{method.name} of {args.model}, {counted(explanation)}")
    tell(args, *_summary(explanation, task))
    for path in write_files(explanation, task, method.name):
        tell(args, f"written: {path}")


def _summary(explanation: saliency.Explanation, task: Task) -> Iterator[str]:
    """Yield what was found, in a few lines."""
    if task.prepared.kind == "table":
        yield _strongest_features(explanation)
        return
    for one, predicted in zip(explanation[:_LISTED], _predicted(task)):
        assert one.index is not None  # a command line names them all
        yield f"  {one.index[0]}: {_said(one)}{predicted}"
    if len(explanation) > _LISTED:
        yield f"  and {len(explanation) - _LISTED} more"


def _predicted(task: Task) -> Iterator[str]:
    """Yield the most probable classes of a photograph, if the network knows some."""
    from saliency.commands.outputs import outputs_of

    found = None
    if task.network.photographs is not None:
        found = outputs_of(task.prepared, _LISTED)
    if found is None:
        yield from [""] * _LISTED
        return
    for scores in found:
        best = saliency.top_classes(scores, 3, task.prepared.known["class_names"])
        shown = (f"{b.label.partition(',')[0]} {b.probability:.0%}" for b in best)
        yield f"; predicted: {', '.join(shown)}"


def _said(one: saliency.Explanation) -> str:
    """Return what was explained of an example."""
    if one.has_class_axis or one.scores is None:
        return "explained"
    name = name_of_class(one)
    score = written_out(one.scores[0], 4)
    return f"{name}{', ' if name else ''}f(x) = {score}"


def _strongest_features(explanation: saliency.Explanation) -> str:
    """Return the features of a table with their mean magnitudes, the largest first."""
    names = explanation.names_of_features()
    sizes = np.abs(explanation.values.reshape(-1, len(names))).mean(axis=0)
    order = np.argsort(-sizes, kind="stable")[:_LISTED]
    shown = ", ".join(f"{names[i]} {written_out(sizes[i], 3)}" for i in order)
    return f"  mean magnitudes: {shown}"

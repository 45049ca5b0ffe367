r"""Explain a network's predictions by several methods, on one page of HTML.

Examples:
  python -m saliency report iris.csv --drop species --model net.onnx
  python -m saliency report dog.jpg --model efficientnet-lite0 --method grad-cam \
      --method lrp:epsilon_plus

Browsers show the page without a server and without the internet. DATA and --model are
those of explain. With --metric, the page also says how good the methods are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import saliency
from saliency.command_line import as_page_to_write
from saliency.commands import arguments
from saliency.commands.errors import Unusable
from saliency.commands.printing import program, tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add data, model, methods, and where the page goes."""
    arguments.add_data(parser)
    arguments.add_model(parser)
    arguments.add_method(parser, action="append")
    arguments.add_metrics(parser, "The page then says how good the methods are")
    arguments.add_computation(parser)
    group = parser.add_argument_group("result")
    group.add_argument(
        "--out", type=as_page_to_write, default="report.html", help="page to write"
    )
    group.add_argument(
        "--title", help="title of the page; by default, the model and the data"
    )


def run(args: argparse.Namespace) -> None:
    """Explain by each method, and write the page."""
    from saliency.commands.explaining import read_task
    from saliency.commands.metrics import asked_metrics, evaluation_of, new_metrics
    from saliency.commands.settings import asked_methods

    methods = asked_methods(args)
    asked = asked_metrics(args, args.metric) if args.metric else []
    if not asked:
        _refuse_settings_of_metrics(args)
    task = read_task(args)
    metrics = new_metrics(asked, task)
    explanations = {}
    for method in methods:
        start = time.perf_counter()
        explanations[method.name] = task.explain(method)
        tell(args, f"{method.name}: {time.perf_counter() - start:.1f} s")
    evaluation = None
    if metrics:
        evaluation = evaluation_of(task, methods, metrics, explanations)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    saliency.write_report(
        args.out,
        explanations,
        title=args.title or _title(args),
        command=[*program().split(), *args.words],
        evaluation=evaluation,
    )
    tell(args, f"written: {args.out}")


def _refuse_settings_of_metrics(args: argparse.Namespace) -> None:
    if args.metric_settings or args.softmax or args.superpixels is not None:
        raise Unusable(
            "--set-metric, --softmax and --superpixels are for metrics, and no "
            "--metric is named"
        )


def _title(args: argparse.Namespace) -> str:
    """Return the model and the data, without the folders and modules they are in."""
    model = Path(args.model).name.rpartition(":")[2]
    if len(args.data) > 1:
        return f"{model}: {len(args.data)} examples"
    (data,) = args.data  # a file, a folder, or SMILES, in which a slash is a bond
    return f"{model}: {Path(data).name if Path(data).exists() else data}"

r"""Compare methods of explaining a network by metrics, in a table.

Examples:
  python -m saliency evaluate iris.csv --drop species --model net.onnx \
      --method integrated-gradients --method lrp
  python -m saliency evaluate photos/ --model efficientnet-lite0 --softmax \
      --method grad-cam --method lrp:epsilon_plus --metric deletion \
      --metric max-sensitivity --out photos.html

The table says which way is better, and by how much each method differs from the first
one, with confidence intervals. The gradient and a random ranking are added. DATA,
--model and --method are those of explain.
"""

from __future__ import annotations

import argparse
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saliency.command_line import as_table_to_write, at_least
from saliency.commands import arguments
from saliency.commands.printing import counted, tell

if TYPE_CHECKING:
    from saliency.commands.explaining import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add data, model, methods, metrics, and where the table goes."""
    arguments.add_data(parser)
    arguments.add_model(parser)
    arguments.add_method(parser, action="append")
    arguments.add_metrics(parser, f"By default: {', '.join(arguments.USUAL_METRICS)}")
    arguments.add_computation(parser)
    parser.add_argument(
        "--workers",
        type=at_least(1),
        metavar="N",
        help="share the work among N processes",
    )
    group = parser.add_argument_group("result")
    group.add_argument(
        "--out",
        type=as_table_to_write,
        help="file to write the table into: .md, .html or .csv",
    )


def run(args: argparse.Namespace) -> None:
    """Explain by each method, measure, and print and write the table."""
    from saliency.commands.explaining import read_task
    from saliency.commands.metrics import asked_metrics, evaluation_of, new_metrics
    from saliency.commands.settings import asked_methods

    methods = asked_methods(args)
    metrics = asked_metrics(args, args.metric or arguments.USUAL_METRICS)
    if _suffix(args) == ".csv" and find_spec("pandas") is None:
        raise ImportError("--out .csv is written by pandas: pip install pandas")
    task = read_task(args)
    evaluation = evaluation_of(task, methods, new_metrics(metrics, task))
    tell(args, f"{counted(task.prepared.data)} of {args.model}", "", evaluation)
    if args.out is not None:
        _write(evaluation, args, task)
        tell(args, "", f"written: {args.out}")


def _suffix(args: argparse.Namespace) -> str:
    return "" if args.out is None else args.out.suffix.lower()


def _write(evaluation: Any, args: argparse.Namespace, task: Task) -> None:
    """Write the table in the format that its file asks for."""
    path: Path = args.out
    path.parent.mkdir(parents=True, exist_ok=True)
    if _suffix(args) == ".csv":
        evaluation.to_dataframe().to_csv(path, index=False)
        return
    title = f"{Path(args.model).name}: {counted(task.prepared.data)}"
    if _suffix(args) == ".md":
        text = f"# {title}\n\n{evaluation.to_markdown()}\n"
    else:
        text = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{escape(title)}</title>\n</head>\n<body>\n<h1>{escape(title)}</h1>"
            f"\n{evaluation.to_html()}\n</body>\n</html>\n"
        )
    path.write_text(text, encoding="utf-8")

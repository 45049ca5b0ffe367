"""The options that commands share: data, model, class, method, and how to compute."""

from __future__ import annotations

import argparse
from typing import Any

from saliency.command_line import as_device, as_file, as_seed, at_least
from saliency.commands.calculators import names_of_methods

#: Networks that are known by name.
NETWORKS = (
    *("efficientnet-lite0", "vgg16", "vgg19", "resnet50", "resnet101", "resnet152"),
    "logp-ggnn",
)
#: How networks take images, as ``saliency.models.photographs.PREPARATIONS``.
PREPARATIONS = ("unit", "symmetric", "torch", "caffe")
#: Metrics that need no truth and no second method, as they are typed.
METRICS = (
    *("completeness", "complexity", "deletion", "efficient-model-randomisation"),
    *("faithfulness-correlation", "infidelity", "insertion", "local-lipschitz"),
    *("max-sensitivity", "model-randomisation", "pixel-flipping", "random-logit"),
    *("road", "sensitivity-n", "sparseness"),
)
#: What is measured unless the user says something else.
USUAL_METRICS = ("deletion", "insertion", "sparseness")
_METHOD_HELP = (
    f"{', '.join(names_of_methods())}; or a preset of LRP, such as lrp:epsilon_plus. "
    "The command `methods` describes them"
)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is explained, and how it is read."""
    parser.usage = "%(prog)s DATA [DATA ...] --model M [options]"
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="photographs, or folders of them; a table (.csv, .tsv, .parquet, "
        ".feather); SMILES, or molecules in files (.smi, .sdf, or a table with a column"
        " of SMILES); an array (.npy)",
    )
    group = parser.add_argument_group("data")
    add = group.add_argument
    add(
        "--limit",
        type=at_least(1),
        metavar="N",
        help="explain only the first N examples",
    )
    add("--index", metavar="COLUMN", help="column of a table that names the rows")
    add(
        "--drop",
        metavar="COLUMN",
        nargs="+",
        default=[],
        help="columns of a table that the model does not take, such as the target",
    )
    add(
        "--encoding",
        metavar="NAME",
        help="how a .csv is encoded, if not in UTF-8, and scores.csv as well: cp932 as "
        "by Excel in Japan; utf-8-sig, with a mark by which Excel knows UTF-8",
    )
    add(
        "--separator",
        metavar="CHARACTER",
        help="what is between the columns of a .csv, if not a comma: ';', or 'tab', "
        "which it is in a .tsv",
    )
    add(
        "--smiles",
        metavar="COLUMN",
        help="column with SMILES, if it is not called smiles",
    )
    add(
        "--preprocess",
        choices=PREPARATIONS,
        help="how the model takes photographs, if it does not say so itself: in "
        "[0, 1], in [-1, 1], as torchvision's models, or in BGR minus the mean; in "
        "grey, if an .onnx takes one channel",
    )
    add("--size", type=at_least(8), help="height and width of the model's images")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the model, what it is asked for, and its classes."""
    group = parser.add_argument_group("model")
    add = group.add_argument
    add(
        "--model",
        required=True,
        metavar="M",
        help=f"{', '.join(NETWORKS)}; a file (.onnx); package.module:factory, a "
        "function without arguments that returns a network; or, with --trust-pickle, "
        "a pipeline of scikit-learn (.pkl, .joblib)",
    )
    add(
        "--weights",
        type=as_file,
        metavar="FILE",
        help="weights of VGG and ResNet, as saliency.load_pretrained reads them; or "
        "those of the factory's network, as Chainer's save_npz writes them",
    )
    add(
        "--trust-pickle",
        action="store_true",
        help="read a pickle that you trust, because it can run any code",
    )
    add(
        "--output",
        metavar="NAME",
        help="output or node of the ONNX file that is explained",
    )
    add(
        "--target",
        metavar="LINK",
        help="link at whose output saliency is read; for molecules, the only "
        "EmbedID is the default",
    )
    add(
        "--class",
        dest="which_class",
        metavar="CLASS",
        help="number or name of a class, the name where names are numbers; predicted, "
        "the class predicted for each example, which is the default where there are "
        "several; sum; or all",
    )
    add(
        "--classes",
        type=as_file,
        metavar="FILE",
        help="the names of the classes, one on each line",
    )


def add_method(parser: argparse.ArgumentParser, **how: Any) -> None:
    """Add the options of the method.

    Args:
        parser (Parser): It is given the arguments.
        how: Settings of ``--method`` itself, such as its default.
    """
    group = parser.add_argument_group("method")
    add = group.add_argument
    add("--method", metavar="METHOD", help=_METHOD_HELP, **how)
    add(
        "--M",
        type=at_least(1),
        help="number of samples of smooth-grad and bayes-grad, and of every method "
        "with --noise; 30 by default",
    )
    add("--steps", type=at_least(1), help="points on each path of Integrated Gradients")
    add("--baseline", help="where these paths begin: mean, or a number")
    add(
        "--noise",
        type=float,
        metavar="SCALE",
        help="add noise, whose standard deviation is this share of each example's "
        "range of values",
    )
    add(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="another setting of the method, which may be repeated; `methods METHOD` "
        "lists them",
    )
    add(
        "--aggregate",
        choices=("raw", "abs", "square"),
        help="what is averaged over the samples: the scores, their magnitudes or their "
        "squares",
    )


def add_computation(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where and how it is computed."""
    group = parser.add_argument_group("computation")
    add = group.add_argument
    add("--seed", type=as_seed, default=0, help="seed of all random numbers")
    add(
        "--device",
        type=as_device,
        default="@numpy",
        help="where to compute: @cupy:0 is a GPU",
    )
    add(
        "--batchsize",
        type=at_least(1),
        help="largest number of rows in a forward pass; by default, a trial shows how "
        "many are fast",
    )
    add("--quiet", action="store_true", help="print nothing but errors")


def add_metrics(parser: argparse.ArgumentParser, without: str) -> None:
    """Add the options of metrics.

    Args:
        parser (Parser): It is given the arguments.
        without (str): What is done if no metric is named.
    """
    add = parser.add_argument_group("metrics").add_argument
    add(
        "--metric",
        metavar="METRIC",
        action="append",
        help=f"{', '.join(METRICS)}; may be repeated. {without}",
    )
    add(
        "--set-metric",
        dest="metric_settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting of the metrics that have it, which may be repeated: "
        "reference=0, n_steps=16, transform=absolute",
    )
    add(
        "--softmax",
        action="store_true",
        help="measure probabilities, the softmax of the scores",
    )
    add(
        "--superpixels",
        type=at_least(2),
        metavar="N",
        help="remove N regions of images in the place of pixels; it needs scikit-image",
    )
    add(
        "--n-random",
        type=at_least(0),
        default=1,
        metavar="N",
        help="how many random rankings of each example the floor is the mean of",
    )
    add("--no-gradient", action="store_true", help="do not add the gradient")

"""What --model is, and how it takes examples."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np

import saliency
from saliency.commands.arguments import NETWORKS
from saliency.commands.data import Examples, lines_of
from saliency.commands.errors import Unusable, one_line
from saliency.commands.printing import tell

_PICKLES = (".pkl", ".pickle", ".joblib")
_LOGP = "logp-ggnn"


class Network(NamedTuple):
    """A network, and what is known of it.

    Attributes:
        model (callable): What is explained, mostly a Link.
        forward (callable): From a batch to the output that is explained.
        labels (sequence of str or None): Names of the classes.
        photographs (PhotographNetwork or None): How it takes photographs, if that is
            known.
        encode (callable or None): From a DataFrame to what it takes.
        names (dict): What ``explain`` is to know of the columns.
    """

    model: Any
    forward: Callable[..., Any]
    labels: Sequence[str] | None = None
    photographs: Any = None
    encode: Callable[[Any], Any] | None = None
    names: dict[str, Any] = {}  # noqa: RUF012 (a NamedTuple's default is never changed)


class Prepared(NamedTuple):
    """Examples as the network takes them, and what ``explain`` is told of them.

    Attributes:
        data: What ``explain`` takes.
        known (dict): Names, photographs, molecules, the converter: its arguments.
        network (Network): What takes them.
        kind (str): Of the examples; of arrays ``'table'`` and ``'image'``, too.
        reference: Of tables, what stands for "nothing known": the mean of all rows that
            the file has; of other data, 0.
        box (tuple or None): The smallest and the largest values that the data can have,
            of tables those of each column.
        background: What the data is drawn from: of tables, all rows that the file has;
            of other data, 0 alone.
    """

    data: Any
    known: dict[str, Any]
    network: Network
    kind: str
    reference: Any = 0
    box: tuple[Any, Any] | None = None
    background: Any = (0,)


def load_network(args: argparse.Namespace) -> Network:
    """Return the network that a command line names, on its device.

    Raises:
        Unusable: If there is none, or it cannot be loaded.
    """
    name = args.model
    suffix = os.path.splitext(name)[1].lower()
    try:
        if name in NETWORKS:
            network = _by_name(name, args)
        elif suffix == ".onnx":
            network = _of_onnx(name, args)
        elif suffix in _PICKLES:
            network = _of_pickle(name, args)
        elif ":" in name:
            network = _of_factory(name, args)
        else:
            raise Unusable(
                f"it is neither one of {', '.join(NETWORKS)}, nor a file (.onnx), nor "
                "package.module:factory"
            )
    except (OSError, ValueError, TypeError, Unusable) as error:
        raise Unusable(f"--model {name}: {one_line(error)}") from error
    if hasattr(network.model, "to_device"):
        network.model.to_device(args.device)
    return network


def check_options(args: argparse.Namespace) -> None:
    """Raise an Unusable for an option that this kind of model does not take."""
    suffix = os.path.splitext(args.model)[1].lower()
    if suffix in _PICKLES and not args.trust_pickle:
        raise Unusable(
            f"--model {args.model}: reading a pickle runs any code that is in it; "
            "--trust-pickle does so"
        )
    if args.output is not None and suffix != ".onnx":
        raise Unusable("--output is for a model in an ONNX file")
    if args.weights is not None and (suffix in (".onnx", *_PICKLES)):
        raise Unusable(
            "--weights is for networks that are known by name or made by a factory"
        )
    if args.weights is not None and args.model == _LOGP:
        raise Unusable(f"--weights: {_LOGP} comes with its weights")


def _by_name(name: str, args: argparse.Namespace) -> Network:
    if name == _LOGP:
        model = saliency.load_logp_network()
        return Network(model, model)
    found = saliency.photograph_network(name, args.weights)
    return Network(found.model, found.forward, found.labels, found)


def _of_onnx(name: str, args: argparse.Namespace) -> Network:
    if not os.path.isfile(name):
        raise Unusable("there is no such file")
    model = saliency.load_onnx(name)
    if args.output is not None:
        model = model.select(args.output)
    elif len(model.output_names) > 1:
        raise Unusable(
            f"it has several outputs, {', '.join(model.output_names)}; pick one with "
            "--output"
        )
    else:
        try:
            model = model.before_softmax()
        except ValueError:
            pass  # its outputs are no probabilities
        else:
            tell(
                args, "The scores are explained, not the probabilities made from them."
            )
    return Network(model, model)


def _of_pickle(name: str, args: argparse.Namespace) -> Network:
    model = saliency.from_sklearn(_unpickled(name))
    return Network(model, model, model.class_names, None, model.encode, model.names)


def _unpickled(path: str) -> Any:
    """Return what a pickle holds, after the user has said that it may be trusted."""
    joblib = importlib.import_module("joblib")  # reads plain pickles as well
    try:
        return joblib.load(path)
    except OSError:
        raise
    except Exception as error:  # whatever the pickle does
        raise Unusable(f"it cannot be unpickled: {one_line(error)}") from error


def _of_factory(name: str, args: argparse.Namespace) -> Network:
    module_name, _, function = name.partition(":")
    # As with `python -m`: the module may be in the folder where one is.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise Unusable(str(error)) from error
    factory = getattr(module, function, None)
    if not callable(factory):
        raise Unusable(f"{module_name} has no function {function!r}")
    model = factory()
    if not callable(model):
        raise Unusable(f"the factory must return a network, got {model!r}")
    if args.weights is not None:
        _load_weights(model, args.weights)
    return Network(
        model,
        model,
        getattr(model, "labels", None),
        None,
        getattr(model, "encode", None),
    )


def _load_weights(model: Any, path: Path) -> None:
    """Fill a link with what Chainer's ``save_npz`` wrote.

    Raises:
        Unusable: If it does not fit.
    """
    import chainer

    if not isinstance(model, chainer.Link):
        raise Unusable("--weights are for a Link of Chainer")
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise Unusable("it is one array, not an archive as save_npz writes it")
        with arrays:
            chainer.serializers.NpzDeserializer(arrays).load(model)
    except Exception as error:  # Chainer and NumPy have many
        raise Unusable(f"--weights {path} does not fit: {one_line(error)}") from error


def prepare(examples: Examples, network: Network, args: argparse.Namespace) -> Prepared:
    """Return examples as a network takes them.

    Raises:
        Unusable: If it is not known how.
    """
    takes = "photographs" if network.photographs is not None else None
    takes = "molecules" if args.model == _LOGP else takes
    is_of = {"image": "photographs", "molecule": "molecules"}.get(examples.kind)
    if takes is not None and examples.kind != "array" and is_of != takes:
        raise Unusable(f"--model {args.model} takes {takes}, got {args.data[0]}")
    data, known, kind = _PREPARED_BY[examples.kind](examples, network, args)
    labels = _labels(network, args)
    if labels is not None:
        known["class_names"] = labels
    prepared = Prepared(data, known, network, kind)
    if kind == "table":
        return _first_rows(prepared, args.limit)
    if kind == "image":
        found = network.photographs
        box = (data.min(), data.max()) if found is None else (found.low, found.high)
        prepared = prepared._replace(box=box)
    return prepared._replace(data=data[: args.limit])


def _first_rows(prepared: Prepared, n: int | None) -> Prepared:
    """Return the first rows of a table, with what is known of all its rows."""
    data = prepared.data
    if len(data) == 1:
        return prepared
    rows = np.asarray(data)
    box = rows.min(axis=0), rows.max(axis=0)
    prepared = prepared._replace(box=box, background=rows)
    if n is None or n >= len(data):
        return prepared._replace(reference="mean")
    first = data.iloc[:n] if hasattr(data, "iloc") else data[:n]
    return prepared._replace(data=first, reference=rows.mean(axis=0))


def _labels(network: Network, args: argparse.Namespace) -> list[str] | None:
    """Return the names of the classes: those of --classes, or of the network."""
    if args.classes is None:
        return None if network.labels is None else list(map(str, network.labels))
    labels = lines_of(args.classes, "--classes ")
    if not labels:
        raise Unusable(f"--classes {args.classes} has no names")
    return labels


#: Photographs are kept for pictures in so many pixels, or in fewer if there are many.
_DRAWN, _MANY = 384, 100


def _prepare_photographs(
    examples: Examples, network: Network, args: argparse.Namespace
) -> tuple[Any, dict[str, Any], str]:
    crop, see, size = _how_to_see(network, args)
    seen = np.stack([see(crop(image, size)) for image in examples.items])
    drawn = max(size, _DRAWN) if len(examples.items) <= _MANY else size
    images = [crop(image, drawn) for image in examples.items]
    return seen, {"images": images}, "image"


def _how_to_see(
    network: Network, args: argparse.Namespace
) -> tuple[Callable[..., Any], Callable[..., Any], int]:
    """Return how photographs are cropped and prepared, and their size."""
    from PIL import Image

    from saliency.models.photographs import PREPARATIONS, square

    from chainer.links.model.vision import vgg

    if network.photographs is not None:
        if args.preprocess is not None:
            raise Unusable(f"--preprocess: {args.model} has a preprocessing of its own")
        found = network.photographs
        if args.size is None:
            return found.crop, found.prepare, found.size
        # Chainer's own function brings all images to 224 x 224.
        keeps_size = PREPARATIONS["caffe"]
        prepare = keeps_size if found.prepare is vgg.prepare else found.prepare
        return found.crop, prepare, args.size
    model = network.model
    size = args.size or getattr(model, "size", None) or _size_of_inputs(model)
    own = getattr(model, "prepare", None)
    if args.preprocess is not None:
        prepare = PREPARATIONS[args.preprocess]
        if _shape_of_inputs(model)[1] == 1:
            if args.preprocess not in ("unit", "symmetric"):
                raise Unusable(
                    f"--preprocess {args.preprocess} is for images in colour, and "
                    "--model takes grey ones: pass unit or symmetric"
                )
            prepare = _of_grey(prepare)
    elif own is not None:

        def prepare(image: np.ndarray) -> Any:
            return own(Image.fromarray(image))

    else:
        raise Unusable(
            "--model does not say how it takes photographs: pass --preprocess, one of "
            f"{', '.join(PREPARATIONS)}"
        )
    if size is None:
        raise Unusable("--model does not say what size its images have: pass --size")
    return square, prepare, int(size)


def _of_grey(prepare: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what prepares images for a network that takes one channel."""
    from PIL import Image

    def prepare_grey(image: np.ndarray) -> Any:
        grey = np.asarray(Image.fromarray(image).convert("L"))
        return prepare(np.repeat(grey[..., None], 3, axis=2))[:1]

    return prepare_grey


def _shape_of_inputs(model: Any) -> Sequence[Any]:
    """Return the shape of the images that a network of an ONNX file takes.

    It has four None where that is not known.
    """
    inputs = getattr(model, "inputs", None)
    shape: Sequence[Any] | None = inputs[0].shape if inputs else None
    return (None,) * 4 if shape is None or len(shape) != 4 else shape


def _size_of_inputs(model: Any) -> int | None:
    """Return the height of the images that a network of an ONNX file takes, if any."""
    shape = _shape_of_inputs(model)
    if shape[1] not in (None, 1, 3) and shape[3] in (1, 3):
        raise Unusable(
            f"--model takes images with the channels last, {shape}; a factory can "
            "transpose them"
        )
    return None if shape[2] is None else int(shape[2])


def _prepare_molecules(
    examples: Examples, network: Network, args: argparse.Namespace
) -> tuple[Any, dict[str, Any], str]:
    from saliency.models.molecule_graphs import concat_mols

    own = getattr(network.model, "prepare", None)
    if own is None:
        raise Unusable(
            "--model does not say how it takes molecules: its network needs a method "
            f"prepare, as {_LOGP} has"
        )
    known = {
        "molecules": examples.molecules,
        "converter": getattr(network.model, "converter", concat_mols),
    }
    items = zip(examples.items, examples.names)
    return [_graph(own, mol, name) for mol, name in items], known, "molecule"


def _graph(prepare: Callable[[Any], Any], mol: Any, name: str) -> Any:
    try:
        return prepare(mol)
    except ValueError as error:
        raise Unusable(f"{name}: {error}") from error


def _prepare_table(
    examples: Examples, network: Network, args: argparse.Namespace
) -> tuple[Any, dict[str, Any], str]:
    frame = examples.items
    if network.encode is None:
        texts = [str(c) for c in frame.columns if frame[c].dtype.kind not in "biuf"]
        if texts:
            raise Unusable(
                f"{args.data[0]}: the model takes numbers, and these columns hold "
                f"others: {', '.join(texts)}; leave them out with --drop, or name the "
                "rows by one of them with --index"
            )
        gaps = frame.columns[frame.isna().any()]
        if len(gaps):
            first = int(frame[gaps[0]].isna().to_numpy().argmax())
            raise Unusable(
                f"{args.data[0]}: the model takes numbers, and there are none in some "
                f"rows of {', '.join(map(str, gaps))}, as in row {first} of {gaps[0]} "
                "(counted from 0); fill them, or leave these rows or columns out"
            )
        return frame, {}, "table"
    try:
        return network.encode(frame), dict(network.names), "table"
    except (TypeError, ValueError) as error:
        raise Unusable(f"--model does not take this table: {error}") from error


def _prepare_array(
    examples: Examples, network: Network, args: argparse.Namespace
) -> tuple[Any, dict[str, Any], str]:
    kind = {2: "table", 4: "image"}.get(examples.items.ndim, "array")
    return examples.items, {}, kind


_PREPARED_BY = {
    "image": _prepare_photographs,
    "molecule": _prepare_molecules,
    "table": _prepare_table,
    "array": _prepare_array,
}

"""Chainer's VGG and ResNet, filled with weights trained on ImageNet."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saliency.checks import check_choice
from saliency.download import download
from saliency.models.layouts import Entry, Layout, layout_of
from saliency.models.links import (
    PaddedResNet50Layers,
    PaddedResNet101Layers,
    PaddedResNet152Layers,
    PadValueConvolution2D,
)
from saliency.models.weight_files import Arrays, arrays_of, read_weights
from saliency.replaced_methods import Method, ReplacedMethods

import chainer
from chainer import links as L


class _Network(NamedTuple):
    """A network, and its files as others name them.

    Attributes:
        link (type): Its class in Chainer.
        padded (type): The same with padding before the first pooling.
        url (str): Where its weights are to be had.
        checksum (str): Of that file.
        files (tuple of str): Other files of its weights that the cache may hold.
    """

    link: type
    padded: type
    url: str
    checksum: str
    files: tuple[str, ...]


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_NETWORKS = {
    "vgg16": _Network(
        L.VGG16Layers,
        L.VGG16Layers,
        f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:64373286793e3c8b2b4e3219cbf3544b",
        ("VGG_ILSVRC_16_layers.npz", "vgg16-397923af.pth"),
    ),
    "vgg19": _Network(
        L.VGG19Layers,
        L.VGG19Layers,
        f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:cbe5617147190e668d6c5d5026f83318",
        ("VGG_ILSVRC_19_layers.npz", "vgg19-dcbb9e9d.pth"),
    ),
    "resnet50": _Network(
        L.ResNet50Layers,
        PaddedResNet50Layers,
        f"{_KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:2cb95161c43110f7111970584f804107",
        ("ResNet-50-model.npz", "ResNet-50-model.caffemodel", "resnet50-0676ba61.pth"),
    ),
    "resnet101": _Network(
        L.ResNet101Layers,
        PaddedResNet101Layers,
        f"{_KERAS}/resnet/resnet101_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:f1aeb4b969a6efcfb50fad2f0c20cfc5",
        ("ResNet-101-model.npz", "ResNet-101-model.caffemodel"),
    ),
    "resnet152": _Network(
        L.ResNet152Layers,
        PaddedResNet152Layers,
        f"{_KERAS}/resnet/resnet152_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:100835be76be38e30d865e96f2aaae62",
        ("ResNet-152-model.npz", "ResNet-152-model.caffemodel"),
    ),
}


def load_pretrained(
    name: str,
    path: str | PathLike[str] | None = None,
    cache_dir: str | PathLike[str] | None = None,
    show_progress: bool = True,
) -> chainer.Chain:
    """Return Chainer's VGG or ResNet with weights trained on ImageNet.

    Whatever convention a file comes from, the network takes what
    ``chainer.links.model.vision.vgg.prepare(image)`` returns, and
    ``model(x, layers=["fc8"])["fc8"]`` (VGG) or ``layers=["fc6"]`` (ResNet) are the
    class scores. The difference to that (order, scale and mean of the colours) is
    folded into the first convolution, and the scores are those of the file's own
    convention.

    Args:
        name (str): ``'vgg16'``, ``'vgg19'``, ``'resnet50'``, ``'resnet101'`` or
            ``'resnet152'``.
        path (path or None): The weights: torchvision's checkpoint (or timm's of the
            same) as ``.safetensors``, or as ``.pth`` where PyTorch is installed;
            Keras' ``.h5``; the Caffe model; Chainer's ``.npz``. ``None`` looks for one
            of them in ``cache_dir``, and else downloads Keras' file, which holds the
            weights of the original Caffe model.
        cache_dir (path or None): Where files are kept; ``None`` is where Chainer keeps
            its models, ``$CHAINER_DATASET_ROOT/pfnet/chainer/models``.
        show_progress (bool): Whether to show a progress bar for a download.

    Returns:
        chainer.Chain: A link of Chainer's class; with torchvision's and Keras' ResNet,
        of a subclass whose first pooling pads the image as theirs does. Saved by
        ``chainer.serializers.save_npz``, it can be loaded again by this function.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the library that reads the file is not installed.
        OSError: If the weights can not be downloaded; the message says which file to
            get and where to put it.
        ValueError: If ``name`` is none of these, or the file is damaged or of another
            network; the message lists what does not fit.
    """
    check_choice("name", name, _NETWORKS)
    path = _find(name, cache_dir, show_progress) if path is None else Path(path)
    arrays = read_weights(path)
    try:
        layout = layout_of(name, arrays)
        model = _empty(_NETWORKS[name], layout)
        _fill(model, layout, arrays)
    except ValueError as reason:
        raise ValueError(f"path={str(path)!r} does not fit {name}: {reason}") from None
    return model


def _find(
    name: str, cache_dir: str | PathLike[str] | None, show_progress: bool
) -> Path:
    """Return the path of a network's weights in the cache, after a download if need be.

    Any suffix goes with the network's own name, as in ``vgg16.safetensors``.
    """
    if cache_dir is None:
        cache_dir = chainer.dataset.get_dataset_directory(
            "pfnet/chainer/models", create_directory=False
        )
    network, folder = _NETWORKS[name], Path(cache_dir)
    own = [f"{name}{suffix}" for suffix in (".safetensors", ".npz", ".h5", ".pth")]
    for file in [*own, *network.files]:
        if (folder / file).is_file():
            return folder / file
    file = network.url.rpartition("/")[2]
    return download(network.url, folder / file, network.checksum, show_progress)


def _empty(network: _Network, layout: Layout) -> chainer.Chain:
    """Return a network of zeros that computes as the layout's own does."""
    link = network.padded if layout.pads_pool else network.link
    options = {"downsample_fb": True} if layout.strides_late else {}
    with _without_initial_values():
        model = link(pretrained_model=None, **options)
    if layout.has_pad_value:
        first = "conv1_1" if hasattr(model, "conv1_1") else "conv1"
        convolution = PadValueConvolution2D(model[first], np.zeros(3))
        delattr(model, first)
        with model.init_scope():
            setattr(model, first, convolution)
    if layout.eps is not None:
        for child in model.links():
            if isinstance(child, L.BatchNormalization):
                child.eps = layout.eps
    return model


class _Local(threading.local):
    is_empty = False


_local = _Local()


def _zero_in_block(original: Method) -> Method:
    def initialize(self: Any, array: Any) -> None:
        if _local.is_empty:
            array[...] = 0
        else:
            original(self, array)

    return initialize


_initialization = ReplacedMethods(
    {(chainer.initializers.Normal, "__call__"): _zero_in_block}
)


@contextlib.contextmanager
def _without_initial_values() -> Iterator[None]:
    """Return a block in which links begin with zeros.

    Drawing 138 million random numbers that are overwritten takes seconds, and would
    advance the global random state.
    """
    with _initialization.replaced():
        _local.is_empty = True
        try:
            yield
        finally:
            _local.is_empty = False


def _fill(model: chainer.Chain, layout: Layout, arrays: Arrays) -> None:
    """Copy the arrays into the network, if all of them fit.

    Raises:
        ValueError: If any is missing, left over, of another shape or not finite.
    """
    places = arrays_of(model)
    problems, found = [], {}
    for entry in layout.entries:
        missing = [name for name in entry.sources if name not in arrays]
        if missing:
            problems += [f"{name} is missing" for name in missing]
            continue
        problem, value = _value(entry, arrays, places[entry.target].shape)
        found[entry.target] = value
        if problem:
            problems.append(problem)
    used = {name for entry in layout.entries for name in entry.sources}
    for name in sorted(arrays):
        if name not in used and not name.endswith(_NO_WEIGHTS):
            problems.append(f"{name} has no place in this network")
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ValueError("; ".join(dict.fromkeys(problems[:8])) + more)
    for target, value in found.items():
        places[target][...] = value
    model.cleargrads()  # Chainer holds an array of NaN for each parameter's gradient


# What batch normalization counts while it is trained, and what tells files apart.
_NO_WEIGHTS = ("num_batches_tracked", "/N", "pool_pad")


def _value(
    entry: Entry, arrays: Arrays, shape: tuple[int, ...]
) -> tuple[str | None, Any]:
    """Return what is wrong with an entry's arrays, if anything, and its value."""
    sources = [arrays[name] for name in entry.sources]
    names = " and ".join(entry.sources)
    shapes = " and ".join(str(source.shape) for source in sources)
    try:
        value = np.asarray(entry.transform(*sources))
    except (ValueError, IndexError):  # of axes that are not there
        return f"{names} has shape {shapes}", None
    if value.shape != shape:
        return (
            f"{names} has shape {shapes}, which gives {value.shape} for {shape}",
            None,
        )
    if not np.isfinite(value).all():
        return f"{names} has values that are not finite", None
    return None, value

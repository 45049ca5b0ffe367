"""Feature maps and images as planes: which axes are theirs, and other sizes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

import numpy as np

from saliency.array_types import Array
from saliency.lrp.graph import function_of
from saliency.lrp.registry import kind_of

import chainer
import chainer.functions as F

# Functions of arrays (batch, channel, ...): they show what the axes are.
_OVER_PLANES = (
    F.array.depth2space.Depth2Space,
    F.array.resize_images.ResizeImages,
    F.array.space2depth.Space2Depth,
    F.array.spatial_transformer_sampler.SpatialTransformerSampler,
    F.connection.convolution_2d.Convolution2DFunction,
    F.connection.convolution_nd.ConvolutionND,
    F.connection.deconvolution_2d.Deconvolution2DFunction,
    F.connection.deconvolution_nd.DeconvolutionND,
    F.connection.local_convolution_2d.LocalConvolution2DFunction,
    F.pooling.pooling_2d.Pooling2D,
    F.pooling.pooling_nd._PoolingND,
    F.pooling.roi_average_align_2d.ROIAverageAlign2D,
    F.pooling.roi_average_pooling_2d.ROIAveragePooling2D,
    F.pooling.roi_max_align_2d.ROIMaxAlign2D,
    F.pooling.roi_max_pooling_2d.ROIMaxPooling2D,
    F.pooling.roi_pooling_2d.ROIPooling2D,
)

# Functions whose output has the axes of their inputs: by class, ...
_KEEP_AXES = (
    F.activation.crelu.CReLU,
    F.array.cast.Cast,
    F.array.concat.Concat,
    F.array.copy.Copy,
    F.array.flip.Flip,
    F.array.pad.Pad,
    F.array.split_axis.SplitAxis,
    F.array.where.Where,
    F.connection.shift.Shift,
    F.math.identity.Identity,
    F.math.maximum.Maximum,
    F.math.minimum.Minimum,
    F.noise.zoneout.Zoneout,
)
# ... and by what LRP knows of them.
_KINDS_THAT_KEEP_AXES = {
    "added constant",
    "addition",
    "batch normalization",
    "batch normalization (training)",
    "elementwise",
    "gate",
    "group normalization",
    "interpolation",
    "power",
    "product",
    "quotient",
    "scaling",
    "subtracted from constant",
    "subtraction",
}


class Wiring:
    """Which functions are applied to which variables, on the way to some outputs.

    Args:
        outputs (list of chainer.Variable): The outputs.
    """

    def __init__(self, outputs: list[Any]) -> None:
        self._outputs = {y.node for y in outputs}
        self._users: dict[Any, list[Any]] = defaultdict(list)
        seen = set()
        todo = [y.creator_node for y in outputs if y.creator_node is not None]
        while todo:
            function = todo.pop()
            if function in seen:
                continue
            seen.add(function)
            for node in function.inputs:
                self._users[node].append(function)
                if node.creator_node is not None:
                    todo.append(node.creator_node)

    def users(self, node: Any) -> list[Any]:
        """Return the functions that are applied to a variable node."""
        return self._users.get(node, [])

    def functions_above(self, variables: Iterable[Any]) -> Iterator[Any]:
        """Give the functions between variables and the outputs, each once."""
        seen = set()
        todo = [function for v in variables for function in self.users(v.node)]
        while todo:
            function = todo.pop()
            if function in seen:
                continue
            seen.add(function)
            yield function
            todo.extend(f for node in _outputs_of(function) for f in self.users(node))

    def nodes_above(self, variables: Iterable[Any]) -> set[Any]:
        """Return the nodes of variables, and those on the way from there to outputs."""
        variables = list(variables)
        found = {v.node for v in variables}
        for function in self.functions_above(variables):
            found.update(_outputs_of(function))
        return found

    def leads_around(self, variables: Iterable[Any], cut: Any) -> bool:
        """Tell whether a way leads from variables to an output without another one."""
        seen = {cut.node}
        todo = [v.node for v in variables]
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            if node in self._outputs:
                return True
            seen.add(node)
            todo.extend(n for f in self.users(node) for n in _outputs_of(f))
        return False

    def is_used(self, variable: Any) -> bool:
        """Tell whether an output depends on a variable, or is one."""
        return variable.node in self._outputs or bool(self.users(variable.node))

    def is_of_planes(self, variable: Any) -> bool:
        """Tell whether the axes of a variable are ``(batch, channel, ...)``.

        The nearest functions before and after it that take its axes apart say so, if
        one of them is a convolution or pooling. Where none is known, an array of at
        least four axes is taken for such, as everywhere in Chainer. It may also be the
        node of a variable, whose array is gone.
        """
        node = getattr(variable, "node", variable)
        n_axis = len(node.shape)

        def before(nodes: Iterable[Any]) -> list[Any]:
            return [
                node.creator_node
                for node in nodes
                if node.creator_node is not None and len(node.shape) == n_axis
            ]

        makers = _nearest(before([node]), lambda f: before(f.inputs))
        nearest = [*makers, *self._nearest_users(node)]
        if any(isinstance(function_of(f), _OVER_PLANES) for f in nearest):
            return True
        return n_axis >= 4 and not any(_is_known(f) for f in nearest)

    def becomes_plane(self, variable: Any) -> bool:
        """Tell whether a variable ``(batch, height, width)`` is that of grey images.

        The model gives it an axis for the channel, and a convolution or pooling slides
        along both others. Along ``(batch, 1, token, unit)`` of a text it slides along
        tokens alone: its windows have all units.
        """
        n, *size = variable.shape
        planes = [
            node
            for function in self._nearest_users(variable.node)
            for node in _outputs_of(function)
            if node.shape == (n, 1, *size)
        ]
        windows = (
            _window_of(function)
            for node in planes
            for function in self._nearest_users(node)
        )
        return any(
            window is not None and all(1 < k < m for k, m in zip(window, size))
            for window in windows
        )

    def _nearest_users(self, node: Any) -> list[Any]:
        """Return the nearest functions behind a node that take its axes apart."""

        def after(nodes: Iterable[Any]) -> list[Any]:
            return [function for node in nodes for function in self.users(node)]

        return _nearest(after([node]), lambda f: after(_outputs_of(f)))


def _nearest(start: list[Any], beyond: Callable[[Any], list[Any]]) -> list[Any]:
    """Return the first functions on all ways that do not keep axes as they are."""
    found = []
    seen = set()
    todo = list(start)
    while todo:
        function = todo.pop()
        if function in seen:
            continue
        seen.add(function)
        if _keeps_axes(function):
            todo.extend(beyond(function))
        else:
            found.append(function)
    return found


def _window_of(function: Any) -> tuple[int, int] | None:
    """Return height and width of the window of a convolution or pooling, if it is one.

    Args:
        function (chainer.FunctionNode): The function.
    """
    inner = function_of(function)
    if isinstance(inner, F.connection.convolution_2d.Convolution2DFunction):
        height, width = function.inputs[1].shape[2:]
        return height, width
    if isinstance(inner, F.pooling.pooling_2d.Pooling2D):
        return inner.kh, inner.kw
    return None


def _is_known(function: Any) -> bool:
    kind = kind_of(function)
    return kind is not None and kind.name not in ("opaque", "registered")


def _keeps_axes(function: Any) -> bool:
    inner = function_of(function)
    if isinstance(inner, F.array.get_item.GetItem):
        return all(isinstance(index, slice) for index in inner.slices)
    kind = kind_of(function)
    return isinstance(inner, _KEEP_AXES) or (
        kind is not None and kind.name in _KINDS_THAT_KEEP_AXES
    )


def _outputs_of(function: Any) -> list[Any]:
    nodes = [ref() for ref in function.outputs]
    return [node for node in nodes if node is not None]


def resized(maps: Array, size: tuple[int, ...]) -> Array:
    """Return maps ``(n, ...)`` of another size, by linear interpolation of each axis.

    Args:
        maps (array): ``(n,)`` and one length for each axis of the maps.
        size (tuple of int): The new lengths.
    """
    weights = [_interpolation(*lengths) for lengths in zip(maps.shape[1:], size)]
    return along_axes(maps, dict(enumerate(weights, 1)))


def along_axes(array: Array, matrices: Mapping[int, np.ndarray]) -> Array:
    """Return an array multiplied by a matrix along each of some axes.

    Args:
        array (array): Of any rank.
        matrices (mapping): For each of these axes the matrix, ``(n_out, n_in)``.
    """
    xp = chainer.backend.get_array_module(array)
    for axis, matrix in matrices.items():
        weights = xp.asarray(matrix, array.dtype)
        if axis == array.ndim - 1:
            array = array @ weights.T
        else:
            array = xp.moveaxis(weights @ xp.moveaxis(array, axis, -2), -2, axis)
    return array


def _interpolation(n_in: int, n_out: int) -> np.ndarray:
    """Return the weights of n_in pixels in each of n_out, with their centres aligned.

    Beyond the centre of the outermost pixel, its value goes on.
    """
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    distance = np.subtract.outer(centres.clip(0, n_in - 1), np.arange(n_in))
    weights: np.ndarray = np.maximum(1 - np.abs(distance), 0)
    return weights

"""Grad-CAM: which parts of a convolution's feature maps speak for a class."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.graph_calculator import GraphRun
from saliency.calculator.guided_backprop_calculator import GuidedBackpropCalculator
from saliency.checks import no_influence
from saliency.lrp.graph import function_of

import chainer
import chainer.functions as F


class GradCAMCalculator(BaseCalculator):
    r"""Gradient-weighted class activation mapping.

    .. math::
        \alpha_k^c = \frac{1}{Z} \sum_{i, j} \frac{\partial y^c}{\partial A_{ij}^k},
        \quad L^c = \mathrm{ReLU}\Big(\sum_k \alpha_k^c A^k\Big)

    Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", arXiv:1610.02391, eqs. 1 and 2. The feature maps
    :math:`A^k` are what a ReLU behind the layer gives (and behind the layer's batch
    normalization), where the model applies one; else the output of the layer itself.

    The saliency is a map for each image, ``(M, N, h, w)`` for images of
    ``(N, ch, h, w)``, and is not negative. Noise is added to the image.

    Args:
        layer (str or chainer.Link): The convolution, or its path in the model, as in
            ``'conv5_3'`` or ``'res5/b2/conv3'``. Where it is called several times, the
            maps of all calls are added up before the last ReLU.
        resize (bool): Whether maps are brought to the size of the target, by bilinear
            interpolation; else they have that of the feature maps.

    Raises:
        TypeError: If ``layer`` is neither.
        ValueError: If the model has no link of that name.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    layer: str | chainer.Link
    resize: bool = True

    def check(self) -> None:
        """Raise unless ``layer`` is a link of the model."""
        super().check()
        _find_layer(self.model, self.layer)

    def start(self, batches: Batches, passes: CleanPasses) -> MapsRun:
        """Return what catches the layer's feature maps."""
        return MapsRun(_find_layer(self.model, self.layer))

    def watch_forward(self, run: Run) -> contextlib.AbstractContextManager[Any]:
        """Catch what the layer gives."""
        assert isinstance(run, MapsRun)  # what start has returned
        return run.maps.caught()

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the map of each row."""
        return _maps_of(this).weighted_sum(this, classes, self.resize)


class GuidedGradCAMCalculator(GuidedBackpropCalculator):
    """Guided Grad-CAM: guided backpropagation where Grad-CAM sees the class.

    The product of :class:`~saliency.calculator.guided_backprop_calculator.\
GuidedBackpropCalculator` and :class:`GradCAMCalculator`, element by element: Selvaraju
    et al. (2017), section 3.2. The saliency is ``(M, N) + target shape``; the arguments
    are those of :class:`GradCAMCalculator`, but for ``resize``.
    """

    layer: str | chainer.Link

    def check(self) -> None:
        """Raise unless ``layer`` is a link of the model."""
        super().check()
        _find_layer(self.model, self.layer)

    def start(self, batches: Batches, passes: CleanPasses) -> MapsRun:
        """Return what catches the layer's feature maps, and all that is applied."""
        return MapsRun(_find_layer(self.model, self.layer))

    @contextlib.contextmanager
    def watch_forward(self, run: Run) -> Iterator[None]:
        """Keep what functions are applied to, and what the layer gives."""
        assert isinstance(run, MapsRun)  # what start has returned
        with super().watch_forward(run), run.maps.caught():
            yield

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return guided backpropagation times the map of each row."""
        maps = _maps_of(this).weighted_sum(this, classes, resize=True)
        return super().contribution(this, classes) * maps[:, None]


class MapsRun(GraphRun):
    """What one call of Grad-CAM holds.

    Args:
        layer (chainer.Link): The layer whose feature maps are caught.
    """

    def __init__(self, layer: chainer.Link) -> None:
        super().__init__()
        self.maps = _FeatureMaps(layer)


def _maps_of(this: ForwardPass) -> _FeatureMaps:
    assert isinstance(this.run, MapsRun)  # what start has returned
    return this.run.maps


class _FeatureMaps:
    """The feature maps of a layer in one forward pass.

    Args:
        layer (chainer.Link): The layer.
    """

    def __init__(self, layer: chainer.Link) -> None:
        self._hook = VariableMonitorLinkHook(layer, name="saliency/feature_maps")

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Return a block for the forward pass, after which they are held."""
        self._hook.clear()
        try:
            with self._hook:
                yield
        except BaseException:
            self._hook.clear()
            raise

    def weighted_sum(self, this: ForwardPass, classes: Explained, resize: bool) -> Any:
        """Return :math:`L^c` of each row, ``(n_row, h, w)``; then they are let go."""
        try:
            self._hook.check_called()
            maps = [_behind_relu(A, this.outputs) for A in self._hook.variables]
            for A in maps:
                if A.ndim < 3:
                    raise ValueError(
                        "layer must give feature maps, (batch, channel, height, "
                        f"width), but {self._hook.describe_link()} gives shape "
                        f"{A.shape}"
                    )
        finally:
            self._hook.clear()
        weights = [
            chainer.Variable(w, requires_grad=False) for w in this.weights(classes)
        ]
        grads = chainer.grad(this.outputs, maps, grad_outputs=weights)
        if all(g is None for g in grads):
            raise no_influence()
        parts = [
            _weighted(A.array, g.array) for A, g in zip(maps, grads) if g is not None
        ]
        total = sum(parts[1:], parts[0]).clip(min=0)
        size = this.targets[0].shape[2:]
        if resize and total.ndim == 3 and len(size) == 2:
            return _resized(total, size)
        return total


def _weighted(A: Any, gradient: Any) -> Any:
    """Return the sum over channels of the maps times their mean gradients."""
    axes = tuple(range(2, A.ndim))
    alpha = gradient.mean(axis=axes, keepdims=True)
    return (alpha * A).sum(axis=1)


def _resized(maps: Any, size: tuple[int, int]) -> Any:
    """Return maps ``(n, h, w)`` of another size, by bilinear interpolation."""
    xp = chainer.backend.get_array_module(maps)
    rows, columns = (
        xp.asarray(_interpolation(*lengths), maps.dtype)
        for lengths in zip(maps.shape[1:], size)
    )
    return rows @ maps @ columns.T


def _interpolation(n_in: int, n_out: int) -> np.ndarray:
    """Return the weights of n_in pixels in each of n_out, with their centres aligned.

    Beyond the centre of the outermost pixel, its value goes on.
    """
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    distance = np.subtract.outer(centres.clip(0, n_in - 1), np.arange(n_in))
    weights: np.ndarray = np.maximum(1 - np.abs(distance), 0)
    return weights


_ON_THE_WAY = (
    F.normalization.batch_normalization.BatchNormalization,
    F.normalization.batch_normalization.FixedBatchNormalization,
)
_RELUS = (F.activation.relu.ReLU, F.activation.clipped_relu.ClippedReLU)


def _behind_relu(variable: Any, outputs: list[Any]) -> Any:
    """Return what the ReLU behind a layer gives, or what the layer gives."""
    users = _users(outputs)
    node = variable.node
    while len(users[node]) == 1:
        (function,) = users[node]
        kind = function_of(function)
        node = function.outputs[0]()
        if isinstance(kind, _RELUS) and node.data is not None:
            return node.get_variable()
        if not isinstance(kind, _ON_THE_WAY):
            break
    return variable


def _users(outputs: list[Any]) -> dict[Any, list[Any]]:
    """Return for each variable node the functions that are applied to it."""
    users: dict[Any, list[Any]] = defaultdict(list)
    seen = set()
    todo = [y.creator_node for y in outputs if y.creator_node is not None]
    while todo:
        function = todo.pop()
        if function in seen:
            continue
        seen.add(function)
        for node in function.inputs:
            users[node].append(function)
            if node.creator_node is not None:
                todo.append(node.creator_node)
    return users


def _find_layer(model: Any, layer: Any) -> chainer.Link:
    if isinstance(layer, chainer.Link):
        return layer
    if not isinstance(layer, str):
        raise TypeError(
            f"layer must be a chainer.Link or the path of one, got {layer!r}"
        )
    if not isinstance(model, chainer.Link):
        raise TypeError(
            "layer must be a chainer.Link where the model is none, got a path, "
            f"{layer!r}"
        )
    links = dict(model.namedlinks(skipself=True))
    found = links.get(f"/{layer.lstrip('/')}")
    if found is None:
        convolutions = [
            path[1:]
            for path, link in links.items()
            if "Convolution" in type(link).__name__
        ]
        raise ValueError(
            f"layer={layer!r} is no link of the model; its convolutions are "
            f"{', '.join(convolutions) or 'none'}"
        )
    return found

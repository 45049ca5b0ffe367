"""Grad-CAM: which parts of a convolution's feature maps speak for a class."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any, Union

from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.feature_maps import HowToRead, MapsRun, Reshape
from saliency.calculator.guided_backprop_calculator import GuidedBackpropCalculator
from saliency.checks import is_int
from saliency.settings_repr import repr_of_settings

import chainer

#: A link, its path in the model, several of these, or None for the last convolution.
Layer = Union[str, chainer.Link, Sequence[Union[str, chainer.Link]], None]


class LayerMapsCalculator(BaseCalculator):
    """Has the feature maps of layers caught; the base of Grad-CAM and its product."""

    layer: Layer = None
    call: int | None = None
    reshape: Reshape = None

    def check(self) -> None:
        """Raise unless ``layer``, ``call`` and ``reshape`` are allowed."""
        super().check()
        self._subject().refuse_several_targets(type(self).__name__)
        find_layers(self.model, self.layer)
        if self.call is not None and not (is_int(self.call) and self.call >= 0):
            raise ValueError(f"call must be an int >= 0 or None, got {self.call!r}")
        if not (self.reshape is None or callable(self.reshape)):
            _check_lengths("reshape", self.reshape, "a callable or None")

    def start(self, batches: Batches, passes: CleanPasses) -> MapsRun:
        """Return what catches the feature maps of the layers."""
        return MapsRun(find_layers(self.model, self.layer))

    @contextlib.contextmanager
    def watch_forward(self, run: Run) -> Iterator[None]:
        """Catch what the layers give."""
        assert isinstance(run, MapsRun)  # what start has returned
        with super().watch_forward(run), run.caught():
            yield

    def maps(
        self,
        this: ForwardPass,
        classes: Explained,
        resize: bool | tuple[int, ...],
    ) -> Array:
        """Return the map of each row."""
        assert isinstance(this.run, MapsRun)  # what start has returned
        how = HowToRead(self.call, self.reshape, resize)
        return this.run.maps(this, classes, how, self.weighted)

    def weighted(self, A: Array, gradients: Array) -> Array:
        r"""Return what feature maps say for the class, :math:`\sum_k \alpha_k^c A^k`.

        Args:
            A (array): The maps of each row, ``(n, channel, ...)``.
            gradients (array): The gradient of the score there, of the same shape.

        Returns:
            array: ``(n, ...)``.
        """
        alpha = gradients.mean(axis=tuple(range(2, A.ndim)), keepdims=True)
        maps: Array = (alpha * A).sum(axis=1)
        return maps

    def __repr__(self) -> str:
        if self.layer is not None:
            return super().__repr__()
        last, shown = self._last_run, copy.copy(self)
        found = last.layers if isinstance(last, MapsRun) else None
        name = "<the last convolution>" if found is None else self._name(found[0])
        vars(shown).update(layer=_Shown(name))
        return repr_of_settings(shown)

    def _name(self, layer: chainer.Link) -> str:
        model: Any = self.model
        is_link = isinstance(model, chainer.Link)
        paths = model.namedlinks(skipself=True) if is_link else ()
        found = [path[1:] for path, link in paths if link is layer]
        return repr(found[0]) if found else f"<{type(layer).__name__}>"


class _Shown(str):
    """Text that prints as it is."""

    def __repr__(self) -> str:
        return str(self)


class GradCAMCalculator(LayerMapsCalculator):
    r"""Grad-CAM: which parts of a layer's feature maps speak for a class.

    .. math::
        \alpha_k^c = \frac{1}{Z} \sum_{i, j} \frac{\partial y^c}{\partial A_{ij}^k},
        \quad L^c = \mathrm{ReLU}\left(\sum_k \alpha_k^c A^k\right)

    Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", arXiv:1610.02391, eqs. 1 and 2. The feature maps
    :math:`A^k` are what a ReLU behind the layer gives (and behind the layer's batch
    normalization), where the model applies one; else the output of the layer itself.

    The saliency is a map for each image, ``(M, N, h, w)`` for images of
    ``(N, ch, h, w)``, and is not negative; so with one axis for sequences
    ``(N, ch, length)``, with three for volumes. Noise is added to the image. Examples
    of different lengths go through the model one by one, since means over maps would
    differ with what is padded.

    Args:
        layer (str, chainer.Link, sequence of these or None): The convolution, or its
            path in the model, as in ``'conv5_3'`` or ``'res5/b2/conv3'``. Of several
            layers, the maps are averaged. ``None`` is the last convolution: the one
            that is called last on the way from the target to the output, but for those
            whose maps have one pixel. It is known after a call, and ``repr`` names it.
            Where the last convolutions are branches side by side, name the link that
            joins them, as ``'inc5b'`` of GoogLeNet.
        call (int or None): Where the layer is called several times, the call, counted
            from 0. ``None`` is all that depend on the target: the map of each is
            brought to the size of the target, they are added up, and the last ReLU is
            applied once.
        reshape (tuple of int, callable or None): For layers that give tokens,
            ``(N, token, channel)``, as those of vision transformers: ``(h, w)``, where
            there are ``h * w`` tokens, row by row, or one more in front for the class,
            which is left out. Or ``reshape(array)``, which returns ``(N, channel,
            ...)``; it is applied to what the layer gives and to its gradient. Without
            it, such layers are refused.
        resize (bool or tuple of int): Whether maps are brought to the size of the
            target, by linear interpolation along each axis; else they have that of the
            feature maps. Or the size itself, where the target's axes from 2 on are not
            those of the maps, as for images that come flat or channels last.

    Raises:
        TypeError: If ``layer`` is none of these.
        ValueError: If the model has no link of that name, or ``call``, ``reshape`` or
            ``resize`` is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`. ``compute`` also
    raises a ValueError where it cannot be told which axis of the layer's output holds
    the channels, or which axes of the target those of the maps are.
    """

    resize: bool | tuple[int, ...] = True

    is_of_target = False

    def check(self) -> None:
        """Raise unless the settings are allowed."""
        super().check()
        if not isinstance(self.resize, bool):
            _check_lengths("resize", self.resize, "True or False")

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the map of each row."""
        return self.maps(this, classes, self.resize)


class GuidedGradCAMCalculator(LayerMapsCalculator, GuidedBackpropCalculator):
    """Guided Grad-CAM: guided backpropagation where Grad-CAM sees the class.

    The product of :class:`~saliency.calculator.guided_backprop_calculator.\
GuidedBackpropCalculator` and :class:`GradCAMCalculator`, element by element: Selvaraju
    et al. (2017), section 3.2. The saliency is ``(M, N) + target shape``; the arguments
    are those of :class:`GradCAMCalculator`, but for ``resize``.
    """

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return guided backpropagation times the map of each row."""
        maps = self.maps(this, classes, resize=True)
        guided = GuidedBackpropCalculator.contribution(self, this, classes)
        return guided * maps[:, None]


def _check_lengths(name: str, value: Any, others: str) -> None:
    is_lengths = isinstance(value, tuple) and value
    if not (is_lengths and all(is_int(n) and n >= 1 for n in value)):
        raise ValueError(
            f"{name} must be {others}, or a tuple of int >= 1, got {value!r}"
        )


def find_layers(model: Any, layer: Layer) -> list[chainer.Link] | None:
    """Return the links that are meant, None for the last convolution."""
    if layer is None:
        return None
    if not isinstance(layer, (list, tuple)):
        return [find_layer(model, layer)]
    if not layer:
        raise ValueError(f"layer must name at least one link, got {layer!r}")
    return [find_layer(model, one) for one in layer]


def find_layer(model: Any, layer: Any) -> chainer.Link:
    """Return a link that is given, or whose path in the model is.

    Raises:
        TypeError: If it is neither, or the model has no paths.
        ValueError: If the model has no link of that path.
    """
    if isinstance(layer, chainer.Link):
        return layer
    if not isinstance(layer, str):
        raise TypeError(
            "layer must be a chainer.Link or the path of one, a list of these or None, "
            f"got {layer!r}"
        )
    if not isinstance(model, chainer.Link):
        raise TypeError(
            "layer must be a chainer.Link where the model is none, got a path, "
            f"{layer!r}"
        )
    links = dict(model.namedlinks(skipself=True))
    found = links.get(f"/{layer.lstrip('/')}")
    if found is None:
        paths = [path[1:] for path in links]
        convolutions = [
            path[1:]
            for path, link in links.items()
            if "Convolution" in type(link).__name__
        ]
        kind = "convolutions" if convolutions else "links"
        raise ValueError(
            f"layer={layer!r} is no link of the model; its {kind} are "
            f"{', '.join(convolutions or paths) or 'none'}"
        )
    return found

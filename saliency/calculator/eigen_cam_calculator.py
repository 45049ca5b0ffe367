"""Eigen-CAM: what the feature maps of a layer have most in common."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.feature_maps import HowToRead, MapsRun
from saliency.calculator.grad_cam_calculator import GradCAMCalculator

import chainer


class EigenCAMCalculator(GradCAMCalculator):
    r"""Eigen-CAM: what the feature maps of a layer have most in common.

    .. math::
        A = U \Sigma V^\top, \quad L = \mathrm{ReLU}(A v_1)

    Muhammad and Yeasin (2020), "Eigen-CAM: class activation map using principal
    components", arXiv:2008.00299. The rows of the matrix :math:`A` are places, its
    columns channels, and :math:`v_1` is its first right singular vector; nothing is
    subtracted from the maps before. The sign of a singular vector is arbitrary: here it
    is such that the map does not add up to less than 0, which for maps behind a ReLU
    makes all of it positive.

    The map is that of no class: it shows what the layer sees, whatever the output makes
    of it. ``class_index`` may be left out, and has no influence on the map.

    The maps :math:`A^k`, the arguments and what is raised are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`.
    """

    none_means = "argmax"

    def start(self, batches: Batches, passes: CleanPasses) -> MapsRun:
        """Return what catches the feature maps, of which no score is explained."""
        run = super().start(batches, passes)
        run.explains_scores = False
        return run

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the map of each row."""
        assert isinstance(this.run, MapsRun)  # what start has returned
        how = HowToRead(self.call, self.reshape, self.resize)
        of_layers = [
            (layer.name, [_first_component(A) for A in layer.arrays(this, how)])
            for layer in this.run.read(this, how)
        ]
        return this.run.put_on_target(of_layers, this, how)

    def predicted_classes(self, this: ForwardPass) -> np.ndarray | None:
        """Return the predicted classes; None where none is asked for."""
        return None if self.class_index is None else super().predicted_classes(this)


def _first_component(A: Array) -> Array:
    """Return the first principal component of maps ``(n, channel, ...)``."""
    xp = chainer.backend.get_array_module(A)
    matrix = A.reshape(*A.shape[:2], -1).transpose(0, 2, 1)  # (n, place, channel)
    U, S, _ = xp.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    component = U[:, :, 0] * S[:, :1]
    sign = xp.where(component.sum(axis=1, keepdims=True) < 0, -1, 1)
    maps: Array = (sign * component).astype(A.dtype)
    return maps.reshape(len(A), *A.shape[2:])

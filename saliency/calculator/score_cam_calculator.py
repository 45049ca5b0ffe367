"""Score-CAM: maps weighted by the score of what they leave of the image."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.calculator.channel_scores import (
    ChannelScoresCalculator,
    ChannelsRun,
    channels_run,
)
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.feature_maps import LayerMaps, size_of_target
from saliency.calculator.grad_cam_calculator import find_layers
from saliency.calculator.planes import resized

import chainer


class ScoreCAMCalculator(ChannelScoresCalculator):
    r"""Score-CAM: maps weighted by the score of what they leave of the image.

    .. math::
        H^k = s(\mathrm{Up}(A^k)), \quad
        \alpha_k^c = \frac{\exp f_c(X \odot H^k)}{\sum_j \exp f_c(X \odot H^j)}, \quad
        L^c = \mathrm{ReLU}\left(\sum_k \alpha_k^c A^k\right)

    Wang et al. (2020), "Score-CAM: score-weighted visual explanations for convolutional
    neural networks", arXiv:1910.01279, algorithm 1. Up brings a map to the size of the
    image, and s scales it to values from 0 to 1; where a map is the same everywhere, it
    is 0. From each score the paper subtracts that of a baseline image, which is the
    same for all channels and does not change their softmax. Channels of one layer
    (and of one call) share a softmax. Explain scores rather than probabilities, whose
    softmax is nearly the same for all channels.

    It needs no gradient, but a pass for each channel, and the target has to have the
    axes of an image, sequence or volume, ``(N, channel, ...)``. The maps :math:`A^k`,
    the arguments and what else is raised are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`.
    """

    def start(self, batches: Batches, passes: CleanPasses) -> MasksRun:
        """Return what holds the maps until all scores are known."""
        return MasksRun(find_layers(self.model, self.layer), self.how_to_read)

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target, masked by the map of each row's channel."""
        run = channels_run(this.run)
        xp = chainer.backend.get_array_module(origin)
        masked = origin.copy()
        for i, rows, channels in run.channels(this):
            pairs = zip(rows.tolist(), channels)
            maps = xp.stack([run.maps_of(this, row)[i][k] for row, k in pairs])
            masks = _scaled(resized(maps, origin.shape[2:]))
            masked[rows] *= masks[:, None].astype(origin.dtype)
        return masked


class MasksRun(ChannelsRun):
    """What one call of Score-CAM holds."""

    def look_at(self, layers: list[LayerMaps], this: ForwardPass) -> None:
        """Raise a ValueError unless maps can be laid over the target."""
        super().look_at(layers, this)
        for layer in layers:
            for A in layer.arrays(this, self.how):
                size_of_target(this, A.ndim - 2)

    def weights(self, scores: np.ndarray, score: float, example: int) -> np.ndarray:
        """Return the softmax of the scores."""
        exp = np.exp(scores - scores.max())
        alpha: np.ndarray = exp / exp.sum()
        return alpha


def _scaled(maps: Array) -> Array:
    """Return maps ``(n, ...)`` with values from 0 to 1."""
    xp = chainer.backend.get_array_module(maps)
    axes = tuple(range(1, maps.ndim))
    low, high = (f(axis=axes, keepdims=True) for f in (maps.min, maps.max))
    scaled: Array = (maps - low) / xp.where(high == low, 1, high - low)
    return scaled

"""Images with their channels last, where it is assumed that they are on axis 1."""

from __future__ import annotations

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.planes import Wiring
from saliency.user_warnings import warn_user

#: Channels of an image in grey, in colours, and in colours with their opacity.
_NUMBERS_OF_CHANNELS = (1, 3, 4)


class LayoutCheck:
    """Warns, once for each target, of images that seem to have their channels last.

    Args:
        advice (str): What to pass; ``{height}``, ``{width}`` and ``{n_pixel}`` in it
            are those of the images.
    """

    def __init__(self, advice: str) -> None:
        self._advice = advice
        self._seen: set[int] = set()  # positions of targets

    def look_at(self, batch: UserBatch, passes: CleanPasses, position: int) -> None:
        """Warn unless the axes of a target are ``(batch, channel, height, width)``.

        The shape makes it suspect, as ``(n, 28, 28, 1)`` is. The graph of a pass of one
        example then shows whether a convolution takes axis 1 for that of channels.

        Args:
            batch (UserBatch): The batch.
            passes (CleanPasses): Run the model on it as it is.
            position (int): Which of the targets.
        """
        if position in self._seen:
            return
        self._seen.add(position)
        shape = passes.target_shapes(batch)[position]
        if not _is_suspect(shape):
            return
        n_example = 1 if batch.can_gather() else batch.size
        this = passes.of_rows(batch, np.arange(n_example), needs_graph=True)
        wiring = Wiring(this.outputs)
        if any(wiring.is_of_planes(x) for x in this.at_target(position).targets):
            return
        _, height, width, _ = shape
        advice = self._advice.format(height=height, width=width, n_pixel=height * width)
        warn_user(
            f"the target has the shape {shape}, of which axis 1 is taken for that of "
            "channels, but no convolution of the model takes it so. If these are "
            f"images with their channels last, pass {advice}"
        )


def _is_suspect(shape: tuple[int, ...]) -> bool:
    """Tell whether a shape looks like ``(batch, height, width, channel)``."""
    if len(shape) != 4:
        return False
    _, height, width, n_channel = shape
    return n_channel in _NUMBERS_OF_CHANNELS and min(height, width) > max(
        _NUMBERS_OF_CHANNELS
    )

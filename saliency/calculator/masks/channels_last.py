"""Targets whose channels are on another axis than is assumed of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.planes import Wiring
from saliency.user_warnings import warn_user

#: Channels of an image in grey, in colours, and in colours with their opacity.
_NUMBERS_OF_CHANNELS = (1, 3, 4)


class AxisCheck(ABC):
    """Warns, once for each target, where axis 1 seems to be another one than assumed.

    The shape makes a target suspect. The graph of a pass of one example then shows what
    convolutions take its axes for.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()  # positions of targets

    def look_at(self, batch: UserBatch, passes: CleanPasses, position: int) -> None:
        """Warn if axis 1 of a target is not what it is taken for.

        Args:
            batch (UserBatch): The batch.
            passes (CleanPasses): Run the model on it as it is.
            position (int): Which of the targets.
        """
        if position in self._seen:
            return
        self._seen.add(position)
        shape = passes.target_shapes(batch)[position]
        if not self._is_suspect(shape):
            return
        n_example = 1 if batch.can_gather() else batch.size
        this = passes.of_rows(batch, np.arange(n_example), needs_graph=True)
        targets = this.at_target(position).targets
        message = self._message(shape, targets, Wiring(this.outputs))
        if message is not None:
            warn_user(message)

    @abstractmethod
    def _is_suspect(self, shape: tuple[int, ...]) -> bool:
        """Tell whether the shape of a target makes a look at the graph worth it."""

    @abstractmethod
    def _message(
        self, shape: tuple[int, ...], targets: Sequence[Any], wiring: Wiring
    ) -> str | None:
        """Return the warning, if there is one.

        Args:
            shape (tuple of int): That of the target.
            targets (sequence of chainer.Variable): It, at each call of its link.
            wiring (Wiring): What the model does with it.
        """


class LayoutCheck(AxisCheck):
    """Warns, once for each target, of images that seem to have their channels last.

    Args:
        advice (str): What to pass; ``{height}``, ``{width}`` and ``{n_pixel}`` in it
            are those of the images.
    """

    def __init__(self, advice: str) -> None:
        super().__init__()
        self._advice = advice

    def _is_suspect(self, shape: tuple[int, ...]) -> bool:
        """Tell whether a shape looks like ``(batch, height, width, channel)``."""
        if len(shape) != 4:
            return False
        _, height, width, n_channel = shape
        return n_channel in _NUMBERS_OF_CHANNELS and min(height, width) > max(
            _NUMBERS_OF_CHANNELS
        )

    def _message(
        self, shape: tuple[int, ...], targets: Sequence[Any], wiring: Wiring
    ) -> str | None:
        if any(map(wiring.is_of_planes, targets)):
            return None
        _, height, width, _ = shape
        advice = self._advice.format(height=height, width=width, n_pixel=height * width)
        return (
            f"the target has the shape {shape}, of which axis 1 is taken for that of "
            "channels, but no convolution of the model takes it so. If these are "
            f"images with their channels last, pass {advice}"
        )


class GreyImageCheck(AxisCheck):
    """Warns, once for each target, of images without an axis of channels.

    Args:
        taken_for (str): What axis 1 is taken for.
        advice (str): What to pass.
    """

    def __init__(self, taken_for: str, advice: str) -> None:
        super().__init__()
        self._taken_for = taken_for
        self._advice = advice

    def _is_suspect(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3

    def _message(
        self, shape: tuple[int, ...], targets: Sequence[Any], wiring: Wiring
    ) -> str | None:
        if not any(map(wiring.becomes_plane, targets)):
            return None
        return (
            f"the target has the shape {shape}, of which axis 1 is taken for that of "
            f"{self._taken_for}, but a convolution of the model slides along it and "
            f"along axis 2, as along images without an axis of channels: pass "
            f"{self._advice}"
        )


class SignalCheck(GreyImageCheck):
    """Warns, once for each target, where axis 1 is not that of positions.

    A convolution along a sequence takes ``(batch, channel, position)``.
    """

    def __init__(self) -> None:
        pixels = "groups=lambda x: np.arange(x[0].size).reshape(1, *x.shape[1:])"
        super().__init__("positions", f"{pixels} to explain pixels")

    def _message(
        self, shape: tuple[int, ...], targets: Sequence[Any], wiring: Wiring
    ) -> str | None:
        if not any(map(wiring.is_of_planes, targets)):
            return super()._message(shape, targets, wiring)
        return (
            f"the target has the shape {shape}, of which axis 1 is taken for that of "
            "positions, but a convolution of the model takes it for channels. Pass "
            "groups=lambda x: np.arange(x.shape[2])[None, None] to explain positions "
            "along axis 2, or groups=lambda x: np.arange(x.shape[1])[None, :, None] "
            "to explain channels"
        )

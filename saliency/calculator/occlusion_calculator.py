"""Occlusion: how far the output falls when a window of the target is covered."""

from __future__ import annotations

from typing import Any, Union

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.mask_calculator import MaskCalculator
from saliency.calculator.masks.window_run import Geometries, WindowRun
from saliency.calculator.paths.reference import Reference
from saliency.configured import positional
from saliency.user_warnings import warn_user

#: An int, one for each axis, or one of these for each of several targets.
Lengths = Union[int, tuple[int, ...], tuple[Union[int, tuple[int, ...], None], ...]]


class OcclusionCalculator(MaskCalculator):
    r"""Occlusion: how far the output falls when a window of the target is covered.

    .. math:: f_c(x) - f_c(x \text{ with a window covered})

    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks",
    section 4.2. An element's saliency is the mean over the windows that cover it.
    Where windows do not divide an axis, the last one is moved back to end with it.
    Examples of lengths of their own, such as sentences in a list, are covered whole if
    they are shorter than a window.

    The saliency has length 1 along the axes that the window does not slide along
    (but the batch axis): ``(M, N, 1, h, w)`` for images of ``(N, ch, h, w)``.

    Args:
        class_index: As in every calculator; ``'all'`` computes all columns of the
            output in the same passes, and puts their axis behind the batch axis:
            ``(M, N, n_class) + shape``. Next to the result, memory holds a number for
            each window and class.
        enable_backprop (bool): Taken for the sake of code written for Chainer
            Chemistry, and without effect, which a warning says if it is True: a model
            that takes gradients in its forward gets a graph without being told.
        size (int or tuple of int): Length of the window along each slide axis.
        slide_axis (int or tuple of int): Axes of the target (0 is the batch axis)
            that the window slides along; all others are covered whole.
        stride (int, tuple of int or None): How far the window moves; not more than
            ``size``. ``None`` is 1.
        targets: As in every calculator. Windows slide over one target after the other,
            and the others are left as they are. ``size``, ``slide_axis`` and
            ``stride`` are those of all, or a tuple of tuples has one for each, as
            ``slide_axis=((2, 3), (1,))`` for images and tables; so may ``fill``.
        fill: What covers the window: a number; an array of the shape of one example's
            target, or one per example; ``'mean'`` of the data, element by element; or
            a callable that is given targets ``(n_row,) + shape``. Where the target is
            of integers, it must be a number of their dtype.

    Raises:
        ValueError: If one of them is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    device: Any = positional(default=None)
    enable_backprop: bool = positional(default=False)
    size: Lengths = positional(default=1)
    slide_axis: Lengths = positional(default=(2, 3))
    stride: Lengths | None = None
    fill: Any = 0

    def check(self) -> None:
        """Raise a ValueError if a setting of the windows is not allowed."""
        super().check()
        self._geometries.of(None)
        self._fill()
        if self.enable_backprop:
            self.enable_backprop = False
            warn_user(
                "enable_backprop has no effect: a model that takes gradients in its "
                "forward gets a graph without being told, and others need none. Leave "
                "it out"
            )

    def start(self, batches: Batches, passes: CleanPasses) -> WindowRun:
        """Return the windows, and what covers them, which may be the data's mean."""
        fill = self._fill().for_data(batches, passes)
        return WindowRun(fill, self._geometries, batches.may_be_ragged)

    def _fill(self) -> Reference:
        return Reference("fill", self.fill, self._gives_tuple)

    @property
    def _geometries(self) -> Geometries:
        return Geometries(self.slide_axis, self.size, self.stride, self._gives_tuple)

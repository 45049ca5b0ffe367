"""RISE: scores of an image behind random masks, averaged where masks let through."""

from __future__ import annotations

from typing import Any, Union

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.mask_calculator import MaskCalculator
from saliency.calculator.masks.soft_mask_run import MaskSettings, SoftMaskRun
from saliency.calculator.paths.reference import Reference
from saliency.checks import check_bool, check_positive, is_number

#: An int, one for each axis, or one of these for each of several targets.
Lengths = Union[int, tuple[int, ...], tuple[Union[int, tuple[int, ...]], ...]]


class RISECalculator(MaskCalculator):
    r"""RISE: scores of an image behind random masks, averaged where masks let through.

    .. math:: S(\lambda) = \frac{1}{p N} \sum_{i=1}^N f_c(I \odot M_i) \, M_i(\lambda)

    Petsiuk, Das and Saenko (2018), "RISE: randomized input sampling for explanation of
    black-box models", arXiv:1806.07421, eq. 6. A mask is a small grid of cells, each of
    which lets through with probability p, enlarged with smooth transitions and moved at
    random. It need not be an image that is masked: ``axes=1`` is for sequences
    ``(N, length, ch)``.

    A map is how high the score is where masks let an element through, and not how much
    an element adds, so that most of it is the same everywhere: ``subtract_mean=True``
    leaves that out. It has length 1 along the axes that masks do not differ along (but
    the batch axis): ``(M, N, 1, h, w)`` for images of ``(N, ch, h, w)``.

    A sample is one choice of masks, which examples share. With one sample, ``explain``
    finds how far maps are by chance from the mean over all masks, and returns these
    standard errors as ``errors``.

    Args:
        n_masks (int): N; the paper takes 4,000 to 8,000.
        grid (int or tuple of int): Number of cells along each of the axes.
        p (float): The probability that a cell lets through.
        axes (int or tuple of int): Axes of the target (0 is the batch axis) that masks
            differ along.
        subtract_mean (bool): Whether the mean score of all masks is subtracted from
            each, so that what differs is left, with a sign and with less chance in it.
        baseline: What stands where a mask is 0, as in
            :class:`~saliency.FeatureAblationCalculator`.
        class_index: As in every calculator; ``'all'`` computes all columns of the
            output in the same passes, and puts their axis behind the batch axis.
        targets: As in every calculator. All are masked at once, by masks of their own.
            ``grid`` and ``axes`` are those of all, or a tuple of tuples has one for
            each; so may ``baseline``.

    Raises:
        TypeError: If the target is of integers.
        ValueError: If one of them is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    n_masks: int = 1000
    grid: Lengths = 7
    p: float = 0.5
    axes: Lengths = (2, 3)
    subtract_mean: bool = False
    baseline: Any = 0

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_positive("n_masks", self.n_masks)
        check_bool("subtract_mean", self.subtract_mean)
        if not (is_number(self.p) and 0 < self.p < 1):
            raise ValueError(f"p must be a number between 0 and 1, got {self.p!r}")
        self._masks.of(None)
        self._reference()

    def start(self, batches: Batches, passes: CleanPasses) -> SoftMaskRun:
        """Return how masks are drawn, and what stands where they are 0."""
        return SoftMaskRun(self._reference().for_data(batches, passes), self._masks)

    @property
    def _masks(self) -> MaskSettings:
        return MaskSettings(
            self.n_masks,
            self.p,
            self.axes,
            self.grid,
            self.subtract_mean,
            self._gives_tuple,
        )

    def _reference(self) -> Reference:
        return Reference("baseline", self.baseline, self._gives_tuple)

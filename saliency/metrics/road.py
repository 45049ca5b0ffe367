"""ROAD: removed pixels look like their neighbours, so that nothing tells where."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.masks.groups import GroupsForData
from saliency.calculator.randomness.random_streams import METHOD
from saliency.checks import check_number
from saliency.metrics.pixel_flipping import FlippingMetric
from saliency.metrics.ranking import MakesSteps, RankedRun
from saliency.metrics.scores import ScoresForData

import chainer

#: How much a neighbour counts, by how many rows and columns it is away.
_WEIGHTS = {
    (row, column): 1 / 12 if row and column else 1 / 6
    for row in (-1, 0, 1)
    for column in (-1, 0, 1)
    if (row, column) != (0, 0)
}


class ROAD(FlippingMetric):
    r"""ROAD: the mean fall of f as pixels are removed, and imputed by their neighbours.

    Rong et al. (2022), "A consistent and efficient evaluation strategy for attribution
    methods", arXiv:2202.00449. A fixed reference gives away which pixels were removed,
    by which a network may know the class. Here each removed pixel is the weighted mean
    of its neighbours, of which direct ones count 1/6 and diagonal ones 1/12, with a
    little noise. Neighbours may be removed as well, so that this is a system of linear
    equations for each image (section 4.2); at the edge, the weights of the neighbours
    that are there are scaled to 1. It needs SciPy.

    The value is the mean of f(x) - f(x without the pixels of the first k steps), as in
    :class:`~saliency.metrics.PixelFlipping`. The paper's is the accuracy of the network
    without the most, and without the least, relevant pixels, and its two orders agree
    better than with a fixed reference.

    Args:
        noise (float): The standard deviation of what is added to removed pixels, in
            units of the image.
        share (float): Which share of the groups is removed at the last step, above 0;
            at least one stays, since the others are imputed from it.
        groups: As in :class:`~saliency.metrics.metric.ModelMetric`; pixels are in
            groups with all their channels.

    The other arguments are those of
    :class:`~saliency.metrics.pixel_flipping.FlippingMetric`.

    Raises:
        ImportError: If SciPy is not installed.
        TypeError: If the target is of integers, which hold no means.
    """

    reference: ClassVar[str] = "neighbours"
    noise: float = 0.01
    share: float = 0.9

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_number("noise", self.noise, 0, 1e300)
        _scipy("sparse")

    def _numbers(self, n_group: int) -> np.ndarray:
        if n_group < 2:
            raise ValueError(
                "groups must divide an image into two groups or more, since what is "
                "removed is imputed from the others; got one"
            )
        return np.unique(np.minimum(super()._numbers(n_group), n_group - 1))

    def _start(
        self,
        batches: Batches,
        passes: CleanPasses,
        scores: ScoresForData | None,
        steps: MakesSteps,
    ) -> RankedRun:
        return _ImputedRun(self._groups_for(batches), scores, steps, self.noise)


class _ImputedRun(RankedRun):
    """Pixels that are absent, and imputed by their neighbours."""

    def __init__(
        self,
        groups: GroupsForData,
        scores: ScoresForData | None,
        steps: MakesSteps,
        noise: float,
    ) -> None:
        super().__init__(groups, None, scores, steps)
        self._noise = noise

    def number_of_steps(self, shape: tuple[int, ...]) -> int:
        if len(shape) != 4 or self.of_target.numbers.shape[1] != 1:
            raise ValueError(
                "ROAD removes pixels of images (N, channel, height, width) with all "
                f"their channels; got a target of shape {shape} and groups of shape "
                f"{self.of_target.numbers.shape[1:]}"
            )
        return super().number_of_steps(shape)

    def masked(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the images with what is absent imputed."""
        if origin.dtype.kind != "f":
            raise TypeError(
                "data must hold floating-point numbers, which the means of neighbours "
                f"and the noise of ROAD are, got a target of dtype {origin.dtype}; "
                "pass data.astype(np.float32)"
            )
        xp = chainer.backend.get_array_module(origin)
        images = chainer.cuda.to_cpu(origin).copy()
        masks = np.broadcast_to(self.mask(this), (len(images), 1, *images.shape[2:]))
        for row, (image, mask) in enumerate(zip(images, masks[:, 0])):
            if mask.any():
                values = imputed(image, mask)
                image[:, mask] = values + self._drawn(this, row, values.shape)
        return xp.asarray(images)

    def _drawn(self, this: ForwardPass, row: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return the noise of a row, which depends on sample, example and step."""
        assert self.streams is not None  # whoever runs passes has written them
        sample, step = int(this.rows.sample[row]), int(this.rows.step[row])
        # The stream of step 0, at which nothing is absent, orders what is tied.
        rng = self.streams.generator(METHOD, sample, int(this.index[row]), step)
        return self._noise * rng.standard_normal(shape)


def imputed(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the values of masked pixels, each the weighted mean of its neighbours.

    Args:
        image (numpy.ndarray): ``(channel, height, width)``.
        mask (numpy.ndarray): Of bool, ``(height, width)``, with a pixel at least that
            is not masked.

    Returns:
        numpy.ndarray: ``(channel, n_masked)``, in float64.
    """
    sparse, linalg = _scipy("sparse"), _scipy("sparse.linalg")
    rows, columns = np.nonzero(mask)
    n = len(rows)
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(n)
    diagonal, known = np.zeros(n), np.zeros((n, len(image)))
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for (down, right), weight in _WEIGHTS.items():
        r, c = rows + down, columns + right
        inside = (r >= 0) & (r < mask.shape[0]) & (c >= 0) & (c < mask.shape[1])
        places, r, c = np.flatnonzero(inside), r[inside], c[inside]
        diagonal[places] += weight
        is_masked = mask[r, c]
        others = number[r[is_masked], c[is_masked]]
        entries.append((places[is_masked], others, np.full(len(others), -weight)))
        r, c = r[~is_masked], c[~is_masked]
        known[places[~is_masked]] += weight * image[:, r, c].T
    entries.append((np.arange(n), np.arange(n), diagonal))
    i, j, values = (np.concatenate(parts) for parts in zip(*entries))
    matrix = sparse.csc_matrix((values, (i, j)), shape=(n, n))
    solution: np.ndarray = linalg.splu(matrix).solve(known)
    return solution.T


def _scipy(name: str) -> Any:
    try:
        return import_module(f"scipy.{name}")
    except ImportError as error:
        raise ImportError("ROAD needs SciPy: pip install scipy") from error

"""Infidelity: by how much scores miss what changes of the input do to the output."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.masks.groups import GroupsForData
from saliency.calculator.paths.reference import ReferenceForData
from saliency.calculator.randomness.random_streams import METHOD
from saliency.checks import check_bool, check_choice, check_positive, is_number
from saliency.metrics.metric import ReferenceMetric
from saliency.metrics.passes import Passes
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import ScoresForData
from saliency.metrics.subsets import SubsetRun

import chainer

_UNITS = ("gradient", "contribution")


class Infidelity(ReferenceMetric):
    r"""Infidelity: by how much scores miss what changes of the input do to the output.

    .. math:: \mathbb{E}_I \Bigl[\bigl(I \cdot \phi - (f(x) - f(x - I))\bigr)^2\Bigr]

    Yeh et al. (2019), "On the (in)fidelity and sensitivity of explanations",
    arXiv:1901.09392, definition 2.1. With ``noise=None`` the change I is the difference
    to the reference in a random subset of the groups, whose size is drawn uniformly
    from one to all of them; otherwise it is Gaussian noise at every element. It is in
    squared units of the output, and 0 for a linear f and its gradient.

    The formula has scores in units of a gradient. Contributions, such as those of
    Integrated Gradients, LRP or Shapley values, are gradients times differences, so
    that their sum over the subset is what :math:`I \cdot \phi` is:
    ``units='contribution'``.

    Args:
        units (str): ``'gradient'`` or ``'contribution'``: what the scores are. It has
            to be given, since the wrong one is a wrong number.
        noise (float or None): The standard deviation of Gaussian noise, in units of the
            target, for ``units='gradient'``.
        n_samples (int): How many changes are drawn.
        rescaled (bool): Whether the scores of each example are multiplied by the factor
            that makes its infidelity smallest, so that their scale does not matter (the
            paper's optimal scaling). For scores that are 0 it is 0.

    The other arguments are those of
    :class:`~saliency.metrics.metric.ReferenceMetric`.

    Raises:
        TypeError: If noise would be added to a target of integers.
        ValueError: If a setting is none of these; if the target is read at several
            calls of its link.
    """

    units: str
    noise: float | None = None
    n_samples: int = 100
    rescaled: bool = False

    transform: ClassVar[str] = "signed"
    _larger_is_better = False

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        check_choice("units", self.units, _UNITS)
        check_positive("n_samples", self.n_samples)
        check_bool("rescaled", self.rescaled)
        if self.noise is None:
            return
        if not (is_number(self.noise) and 0 < self.noise < np.inf):
            raise ValueError(
                f"noise must be a finite number > 0 or None, got {self.noise!r}"
            )
        if self.units == "contribution":
            raise ValueError(
                "noise must be None for units='contribution', which are of the "
                f"difference to a reference and not of noise; got {self.noise!r}"
            )

    def _draws(self, n_group: int, rng: Any) -> list[np.ndarray]:
        size = rng.integers(1, n_group, self.n_samples, endpoint=True)
        places = np.argsort(rng.random((self.n_samples, n_group)), axis=1)
        return [places < size[:, None]]

    def _measured(
        self, scores: np.ndarray, data: Any, how: dict[str, Any]
    ) -> MetricResult:
        def start(batches: Batches, passes: CleanPasses) -> _InfidelityRun:
            return _InfidelityRun(
                self._groups_for(batches, tell_apart=self.noise is None),
                self._reference_for(batches, passes),
                ScoresForData(scores, self.transform, batches.n_example),
                self,
            )

        (values,) = self._passes(_ChangePasses, start).compute(data, **how)
        result = self._result(values)
        if self.noise is None:
            return result
        return replace(result, reference=f"noise of {self.noise:g}")


class _ChangePasses(Passes):
    """Passes that keep the score and what the change says of it, for each row."""

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the score and I times phi of each row, ``(n_row, 2)``."""
        if len(this.kept) != 1:
            raise ValueError(
                f"Infidelity needs a target that is read at one call of its link, got "
                f"{len(this.kept)}; pass call=0 (or 1, ...) to target_extractor"
            )
        scores = chainer.cuda.to_cpu(this.scores(classes))
        return np.stack([scores, this.kept[0]], axis=1)


class _InfidelityRun(SubsetRun):
    """Changes of the target, and what the scores say of them."""

    def __init__(
        self,
        groups: GroupsForData,
        reference: ReferenceForData,
        scores: ScoresForData,
        metric: Infidelity,
    ) -> None:
        super().__init__(groups, reference, scores, metric._draws)
        self._metric = metric
        self._phi = np.zeros(0)  # of the elements of each example

    def number_of_steps(self, shape: tuple[int, ...]) -> int:
        n_step = super().number_of_steps(shape)
        if self._metric.units == "gradient":
            self._phi = self.scores.of_batch(self.batch, shape)
            if self._phi.shape[1:] != shape[1:]:
                raise ValueError(
                    "explained must hold scores of the shape of the target for "
                    f"units='gradient', {shape[1:]}, got {self._phi.shape[1:]}"
                )
        return n_step

    def masked(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the changed target, and keep what the scores say of the change."""
        if self._metric.noise is None:
            changed = super().masked(origin, this, call)
        else:
            changed = origin - self._noise(origin, this)
        if self._metric.units == "contribution":
            sums = self.sums[this.rows.example]
            this.kept[call] = (self.absent(this) * sums).sum(axis=1)
        else:
            change = chainer.cuda.to_cpu(origin).astype(np.float64) - (
                chainer.cuda.to_cpu(changed)
            )
            phi = self._phi[this.rows.example][:, : change.shape[1]]
            axes = tuple(range(1, change.ndim))
            this.kept[call] = (change * phi).sum(axis=axes)
        return changed

    def _noise(self, origin: Array, this: ForwardPass) -> Array:
        """Return noise for each row; none at step 0, nor where it is padded."""
        assert self.streams is not None  # whoever runs passes has written them
        assert self._metric.noise is not None
        if origin.dtype.kind != "f":
            raise TypeError(
                f"noise={self._metric.noise!r} cannot be added to a target of dtype "
                f"{origin.dtype}. If it holds measurements or pixels, pass "
                "data.astype(np.float32); if it is discrete, pass noise=None, or read "
                "at its embedding: "
                "target_extractor=VariableMonitorLinkHook(model.embed)"
            )
        noise = np.zeros(origin.shape, origin.dtype)
        steps, index = this.rows.step.tolist(), this.index.tolist()
        for row, (step, i) in enumerate(zip(steps, index)):
            if step:
                place = noise[row]
                if this.lengths is not None:
                    place = place[: this.lengths[row]]
                rng = self.streams.generator(METHOD, 0, i, step)
                place[...] = self._metric.noise * rng.standard_normal(place.shape)
        return chainer.backend.get_array_module(origin).asarray(noise)

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return the infidelity of each example."""
        of_steps = of_targets[0].astype(np.float64)
        falls = of_steps[:, :, :1, 0] - of_steps[:, :, 1:, 0]
        said = of_steps[:, :, 1:, 1]
        if self._metric.rescaled:
            squares = (said**2).sum(axis=2, keepdims=True)
            products = (said * falls).sum(axis=2, keepdims=True)
            said = said * products / np.where(squares > 0, squares, 1)
        return [((said - falls) ** 2).mean(axis=2)]

"""Completeness: whether scores add up to what the output gains over a reference."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.metrics.metric import ReferenceMetric
from saliency.metrics.passes import AbsentGroupsRun, Passes, sums_of_groups
from saliency.metrics.result import MetricResult
from saliency.metrics.scores import ScoresForData


class Completeness(ReferenceMetric):
    r"""Completeness: by how much scores miss what the output gains over a reference.

    .. math:: \Bigl|\sum_i \phi_i - \bigl(f(x) - f(r)\bigr)\Bigr|

    Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks",
    arXiv:1703.01365, section 3 (completeness); local accuracy in Lundberg and Lee
    (2017). It is 0, but for rounding, for Integrated Gradients, DeepLift and Shapley
    values whose baseline is ``reference``, and it is in units of the output. Gradients
    and maps that are rectified do not claim to add up.

    Elements that are in no group are not summed, and stay as they are in r.

    The arguments are those of :class:`~saliency.metrics.metric.ReferenceMetric`.
    """

    transform: ClassVar[str] = "signed"
    _larger_is_better = False

    def _measured(
        self, scores: np.ndarray, data: Any, how: dict[str, Any]
    ) -> MetricResult:
        def start(batches: Batches, passes: CleanPasses) -> _EndsRun:
            return _EndsRun(
                self._groups_for(batches, tell_apart=False),
                self._reference_for(batches, passes),
                ScoresForData(scores, "signed", batches.n_example),
            )

        (missed,) = self._passes(Passes, start).compute(data, **how)
        return self._result(np.abs(missed))


class _EndsRun(AbsentGroupsRun):
    """An example as it is, and with all of its groups absent."""

    def __init__(self, groups: Any, reference: Any, scores: ScoresForData) -> None:
        super().__init__(groups, reference)
        self._scores = scores
        self._sums = np.zeros(0)  # of the scores of each example of the batch

    def number_of_steps(self, shape: tuple[int, ...]) -> int:
        sums = sums_of_groups(self._scores, self.batch, self.of_target, shape)
        self._sums = sums.sum(axis=1)
        return 2

    def absent(self, this: ForwardPass) -> np.ndarray:
        n_most = int(self.of_target.n_group.max())
        return np.broadcast_to(this.rows.step[:, None] == 1, (len(this.rows), n_most))

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return by how much sums of scores differ from what the output gains."""
        scores = of_targets[0].astype(np.float64)
        return [self._sums - (scores[:, :, 0] - scores[:, :, 1])]

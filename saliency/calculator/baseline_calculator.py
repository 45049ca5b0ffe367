"""The base of calculators that compare the target with baselines."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np

from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator, Samples
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.paths.reference import Reference, ReferenceForData
from saliency.checks import is_number
from saliency.configured import positional, takes_settings_of

import chainer

OwnRun = TypeVar("OwnRun", bound=Run)


class AdditiveCalculator(BaseCalculator):
    """Its attributions add up to what the output gains on the way from references.

    The arguments are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    @abstractmethod
    def references(self) -> list[Reference]:
        """Return where the ways begin; attributions are means over them."""

    def check_list(self, batch: UserBatch, passes: CleanPasses) -> None:
        """Raise a ValueError if a batch shows that a list of them is ambiguous."""

    @takes_settings_of(BaseCalculator.compute)
    def convergence_delta(
        self, saliency_samples: Samples, data: Any, **settings: Any
    ) -> np.ndarray:
        """Return by how much the attributions miss completeness.

        The other arguments are those of that call; with ``train``, ``noise_sampler`` or
        ``posterior`` its ``seed`` is needed, so that the samples are the same.

        Args:
            saliency_samples (numpy.ndarray or tuple): What ``compute(data, ...)``
                returned.
            data: The same data.

        Returns:
            numpy.ndarray: ``(M, N)``, the sum of the attributions minus
            :math:`f_c(x) - f_c(x')`, in float64.

        Raises:
            ValueError: If the samples are not of this data, or cannot be drawn again
                for want of a seed.
        """
        is_random = settings["train"] or any(
            settings[name] is not None for name in ("noise_sampler", "posterior")
        )
        if is_random and settings["seed"] is None:
            raise ValueError(
                "seed must be the one that compute was called with, to draw the same "
                "noise and networks again; got None"
            )
        of_targets = self._of_targets(saliency_samples) or (saliency_samples,)
        settings.update(M=len(of_targets[0]), retain_inputs=False)
        difference = _Difference.of(self).compute(data, **settings)
        sums = []
        for samples in of_targets:
            if samples.shape[:2] != difference.shape:
                raise ValueError(
                    "saliency_samples must be what compute(data, ...) returned, with "
                    f"{difference.shape[1]} examples, got shape {samples.shape}"
                )
            axes = tuple(range(2, samples.ndim))
            sums.append(np.nansum(samples, axis=axes, dtype="d"))
        delta: np.ndarray = sum(sums) - difference
        return delta


class BaselineSettings(BaseCalculator):
    """Compares the target with baselines.

    Args:
        baseline: ``None`` is 0; or a number; an array of the shape of one example's
            target, or one per example; ``'mean'`` of the data; a callable that is given
            targets ``(n_row,) + shape``; or a list of these, over which attributions
            are averaged. With several targets, a tuple has one for each of them.

    The other arguments are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    baseline: Any = positional(default=None)

    def check(self) -> None:
        """Raise a ValueError if ``baseline`` is none of these."""
        super().check()
        self.references()

    def references(self) -> list[Reference]:
        """Return the baselines, checked."""
        given = self.baseline
        several = self._gives_tuple
        is_list = isinstance(given, list if several else (list, tuple))
        baselines = given if is_list else [given]
        if not baselines:
            raise ValueError("baseline is an empty list; it must hold at least one")

        def or_zero(baseline: Any) -> Any:
            if several and isinstance(baseline, tuple):  # one for each target
                return tuple(map(or_zero, baseline))
            return 0 if baseline is None else baseline

        return [Reference("baseline", or_zero(b), several) for b in baselines]

    def check_list(self, batch: UserBatch, passes: CleanPasses) -> None:
        """Raise a ValueError if a list of numbers may be meant as one baseline."""
        given = self.baseline
        if not (isinstance(given, (list, tuple)) and len(given) > 1):
            return
        if not all(is_number(value) for value in given):
            return
        if isinstance(given, tuple) and self._gives_tuple:
            return
        for _, *of_example in passes.target_shapes(batch):
            shape = tuple(of_example)
            if len(given) not in (math.prod(shape), *shape[-1:]):
                continue
            raise ValueError(
                f"baseline is a list of {len(given)} numbers, which may mean one "
                f"baseline for targets of shape {shape} or {len(given)} baselines of "
                "one number each; pass np.array(baseline) for the first, or "
                f"[np.full({shape}, b) for b in baseline] for the second"
            )


class BaselineCalculator(BaselineSettings, AdditiveCalculator):
    """Explains what the output gains on the way from baselines to the target.

    The arguments are those of :class:`BaselineSettings`.
    """


def baseline_of_rows(
    baselines: list[ReferenceForData],
    which: np.ndarray,
    origin: Array,
    this: ForwardPass,
    call: int,
) -> Array:
    """Return for each row the baseline that ``which`` says, of ``origin``'s shape.

    Args:
        baselines (list of ReferenceForData): Those of the call.
        which (numpy.ndarray): Which of them each row is compared with.
        origin (array): The target, ``(n_row,) + shape``.
        this (ForwardPass): The pass.
        call (int): Which of the explained calls of the target's link it is.
    """
    xp = chainer.backend.get_array_module(origin)
    result = xp.empty_like(origin)
    for k in set(which.tolist()):
        values = baselines[k].at(origin, this, call)
        values = xp.broadcast_to(values, origin.shape)
        result[which == k] = values[which == k]
    return result


def run_of(run: Run, kind: type[OwnRun]) -> OwnRun:
    """Return what a call holds as what ``start`` has returned."""
    assert isinstance(run, kind)
    return run


class _Difference(BaseCalculator):
    """The difference of scores :math:`f_c(x) - f_c(x')`, averaged over baselines."""

    explained: Any = None

    needs_gradient = False
    changes_one_example = True
    tells_targets_apart = False

    @classmethod
    def of(cls, explained: AdditiveCalculator) -> _Difference:
        """Return what computes the difference that a calculator explains."""
        names = BaseCalculator.__signature__.parameters
        shared = {k: v for k, v in explained.settings().items() if k in names}
        return cls(**shared, explained=explained)

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        references = self.explained.references()
        return _Ends([r.for_data(batches, passes) for r in references])

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        self.explained.check_list(batch, passes)
        return 1 + len(run_of(run, _Ends).baselines)

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        step = this.rows.step
        which = np.maximum(step - 1, 0)
        baselines = run_of(this.run, _Ends).baselines
        changed = baseline_of_rows(baselines, which, origin, this, call)
        changed[step == 0] = origin[step == 0]
        return changed

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        n_baseline = len(run_of(this.run, _Ends).baselines)
        sign = np.where(this.rows.step == 0, 1, -1 / n_baseline)
        return chainer.cuda.to_cpu(this.scores(classes)) * sign


class _Ends(Run):
    """The baselines whose scores are subtracted."""

    def __init__(self, baselines: list[ReferenceForData]) -> None:
        super().__init__()
        self.baselines = baselines

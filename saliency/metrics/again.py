"""The base of metrics that explain several times."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from saliency.calculator import BaseCalculator
from saliency.configured import names_typos
from saliency.metrics.metric import Metric, fixed_seed
from saliency.metrics.result import MetricResult


class AgainMetric(Metric):
    """Compares explanations that a calculator gives with one seed.

    So it takes a calculator, and no scores that were computed before.
    """

    #: Whether the explanations of the data as it is are of use if they are known.
    takes_original: ClassVar[bool] = True

    @names_typos
    def compute(
        self,
        explained: BaseCalculator,
        data: Any,
        *,
        seed: int | None = None,
        **settings: Any,
    ) -> MetricResult:
        """Return the value of each example.

        Args:
            explained (BaseCalculator): Explains the examples, each time anew.
            data: The examples, as in ``compute`` of calculators.
            seed (int or None): One seed, one result. All explanations have it.
            settings: The other arguments of the calculator's ``compute_aggregate``:
                ``M``, ``ch_axis``, ``train``, ``batchsize``, ``show_progress``.

        Returns:
            MetricResult: The values, ``(N,)``, and the curve if there is one.

        Raises:
            TypeError: If ``explained`` is no calculator, since it has to explain again.
            ValueError: If ``seed`` is no seed, or there is an ``out``; what else is
                raised is said by the metric, and by ``compute`` of calculators.
        """
        return self._compared(
            explained, data, *self._checked(explained, seed, settings)
        )

    def _checked(
        self, explained: Any, seed: int | None, settings: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Return the seed of all explanations, and the arguments that each is given.

        Raises:
            TypeError, ValueError: As ``compute``.
        """
        self.check()
        name = type(self).__name__
        if not isinstance(explained, BaseCalculator):
            raise TypeError(
                f"explained must be a calculator for {name}, which explains again, got "
                f"{type(explained).__name__}"
            )
        if settings.get("out") is not None:
            raise ValueError(
                f"out must be None for {name}, which explains several times; got "
                f"{settings['out']!r}"
            )
        seed = fixed_seed(seed)
        return seed, {**settings, "seed": seed}

    @abstractmethod
    def _compared(
        self,
        calculator: BaseCalculator,
        data: Any,
        seed: int,
        settings: dict[str, Any],
        original: np.ndarray | None = None,
    ) -> MetricResult:
        """Return the values of examples.

        Args:
            calculator (BaseCalculator): Explains them.
            data: The examples.
            seed (int): That of all explanations.
            settings (dict): Arguments of ``compute_aggregate``, the seed among them.
            original (numpy.ndarray or None): What that gives for the data as it is, if
                it is known already.
        """

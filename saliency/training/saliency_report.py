"""An extension of trainers that draws what the network has learned to look at."""

from __future__ import annotations

import contextlib
import inspect
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saliency.calculator import BaseCalculator
from saliency.checks import is_int, is_number
from saliency.configured import bind
from saliency.explanation import Explanation
from saliency.training.observations import observations_of
from saliency.visualizer import BaseVisualizer
from saliency.visualizer.explained.drawing import kinds_drawn_by

import chainer

# What the report decides itself.
_NOT_OF_PLOT = ("ax", "save_filepath", "visualizer")


class SaliencyReport(chainer.training.Extension):
    """Explains the same examples again and again while a network is trained.

    Each time, it draws a picture of all examples into the folder of the trainer, and
    reports numbers that ``LogReport`` and ``PrintReport`` show::

        calculator = IntegratedGradientsCalculator(model, class_index="argmax")
        trainer.extend(SaliencyReport(calculator, ImageVisualizer(), images, ch_axis=2))
        trainer.extend(extensions.LogReport())
        trainer.extend(
            extensions.PrintReport(["epoch", "main/loss", "saliency/sparseness"])
        )

    ``saliency/sparseness``
        says how few elements the scores are concentrated on: the Gini index of their
        magnitudes, 0 where all are equal and near 1 where one has everything.
    ``saliency/total``
        is the sum of an example's scores.
    ``saliency/score``
        is the output that was explained, f(x).

    All three are means over the examples. Where a trainer has several reports, the
    names of pictures and numbers begin with the name of the extension, ``saliency``,
    ``saliency_1`` and so on, or what ``trainer.extend(report, name="...")`` says.

    The calculator may explain the network that is being trained: a report changes
    neither its parameters, gradients and persistent values nor NumPy's random state,
    whether it succeeds or fails, so that the training is the same with it and without
    it. A training that is resumed from a snapshot draws the same pictures as one that
    was never interrupted if it trains the same network, for which there is
    :class:`~saliency.training.KeptRandomState`. PNG files are the same byte for byte;
    SVG and PDF files of matplotlib hold the time.

    Before the training begins, the report is tried once without writing anything, so
    that what is wrong with it is not found out after the first epoch. This is left out
    where the network has parameters without a value.

    Args:
        calculator (BaseCalculator): What explains. Its model is the one that is
            trained, or a part of it, such as the ``predictor`` of a classifier.
        visualizer (BaseVisualizer): What draws: a TableVisualizer, ImageVisualizer,
            MolVisualizer, SmilesVisualizer or TextVisualizer.
        data: The examples that are explained, as
            :meth:`~saliency.BaseCalculator.explain` takes them. A picture has room for
            50; of more examples the first 20 are drawn in grids.
        trigger (tuple or callable): When: ``(1, "epoch")``, ``(500, "iteration")``, or
            a trigger of Chainer.
        filename (str or None): Name of the picture in the trainer's folder. As with
            Chainer's snapshots, it may hold fields of the trainer, one or several:
            ``"saliency_epoch_{.updater.epoch}.png"``. By default it is
            ``"saliency_iter_600.png"`` after 600 iterations, with the name of the
            extension. Folders are made.
        seed (int or None): Of what is drawn at random (noise, dropout, posteriors), the
            same in every report, so that pictures differ only by what the network has
            learned. None draws one, which snapshots keep.
        plot (dict or None): Arguments of :meth:`saliency.Explanation.plot`, for
            example ``{"kind": "bar"}``, ``{"title": "digits"}`` or ``{"limit": 0.5}``,
            which gives all pictures one scale.
        settings: Arguments of the calculator's ``explain``: ``M``, ``batchsize``,
            ``converter``, ``ch_axis``, ``method``, ``feature_names``, ``class_names``,
            ``element_names``, ``molecules``, ``images`` and others.

    Raises:
        TypeError: If ``calculator``, ``visualizer``, ``filename`` or ``plot`` is not
            what it must be, or ``explain`` takes no such argument.
        ValueError: If ``trigger`` is none, or ``plot`` holds what the report decides.
    """

    default_name = "saliency"
    priority = chainer.training.PRIORITY_WRITER

    def __init__(
        self,
        calculator: BaseCalculator,
        visualizer: BaseVisualizer,
        data: Any,
        trigger: Any = (1, "epoch"),
        *,
        filename: str | None = None,
        seed: int | None = 0,
        plot: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(calculator, BaseCalculator):
            raise TypeError(
                f"calculator must be a calculator of saliency, got {calculator!r}"
            )
        kinds_drawn_by(visualizer)
        _check_trigger(trigger)
        if not (filename is None or isinstance(filename, str)):
            raise TypeError(f"filename must be a str or None, got {filename!r}")
        calculator.check()
        signature = inspect.signature(calculator.explain)
        bind("SaliencyReport", signature, (data,), {**settings, "seed": seed})
        self.trigger = trigger
        self._calculator = calculator
        self._visualizer = visualizer
        self._data = data
        self._filename = filename
        self._draws_seed = seed is None
        self._seed = secrets.randbits(31) if seed is None else seed
        self._plot = _checked_plot(plot)
        self._settings = {"show_progress": False, **settings}

    def initialize(self, trainer: Any) -> None:
        """Try the report once, before the training, without leaving a file.

        Args:
            trainer (chainer.training.Trainer): Calls it.

        Raises:
            TypeError, ValueError: What the report would raise after the first epoch.
        """
        optimizers = trainer.updater.get_all_optimizers().values()
        parameters = [p for one in optimizers for p in one.target.params()]
        if all(parameter.is_initialized for parameter in parameters):
            with tempfile.TemporaryDirectory() as folder:
                self._draw(self._explain(), self._path_in(folder, trainer))

    def __call__(self, trainer: Any) -> None:
        """Draw the picture and report the numbers.

        Args:
            trainer (chainer.training.Trainer): Calls it.

        Raises:
            OSError: If the picture cannot be written.
            TypeError, ValueError: As :meth:`saliency.BaseCalculator.explain` and
                :meth:`saliency.Explanation.plot`.
        """
        explanation = self._explain()
        self._draw(explanation, self._path_in(trainer.out, trainer))
        found = observations_of(explanation)
        chainer.report({f"{self._prefix}/{key}": v for key, v in found.items()})

    def serialize(self, serializer: Any) -> None:
        """Keep the seed in a snapshot, if it was drawn, or take it from one.

        Args:
            serializer (chainer.AbstractSerializer): As in Chainer.
        """
        if not self._draws_seed:
            return
        # A snapshot may be from before there was this report, or had a seed to keep.
        with contextlib.suppress(KeyError):
            self._seed = int(serializer("seed", self._seed))

    @property
    def _prefix(self) -> str:
        """The name that the trainer gave the extension."""
        return self.name or self.default_name

    def _explain(self) -> Explanation:
        return self._calculator.explain(self._data, seed=self._seed, **self._settings)

    def _draw(self, explanation: Explanation, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        explanation.plot(visualizer=self._visualizer, save_filepath=path, **self._plot)

    def _path_in(self, folder: str, trainer: Any) -> Path:
        filename = self._filename or self._prefix + "_iter_{.updater.iteration}.png"
        try:
            # Each of several fields takes the next argument.
            return Path(folder, filename.format(*[trainer] * filename.count("{")))
        except (AttributeError, IndexError, KeyError, ValueError) as reason:
            raise ValueError(
                f"filename={filename!r} must hold fields of the trainer alone, as in "
                f"'saliency_{{.updater.epoch}}.png': {reason}"
            ) from None


def _check_trigger(trigger: Any) -> None:
    """Raise a ValueError unless a trigger is one that fires."""
    if callable(trigger):
        return
    is_pair = isinstance(trigger, (tuple, list)) and len(trigger) == 2
    period: Any
    period, unit = trigger if is_pair else (None, None)
    is_period = is_int(period) if unit == "iteration" else is_number(period)
    if unit in ("epoch", "iteration") and is_period and period > 0:
        return
    raise ValueError(
        "trigger must be a pair such as (1, 'epoch'), (0.5, 'epoch') or (500, "
        f"'iteration'), or a trigger of Chainer, got {trigger!r}"
    )


def _checked_plot(plot: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments of ``plot``.

    Raises:
        TypeError: If they are no mapping.
        ValueError: If the report decides on one of them.
    """
    if not (plot is None or isinstance(plot, Mapping)):
        raise TypeError(
            "plot must be a dict of arguments of Explanation.plot, or None, got "
            f"{plot!r}"
        )
    taken = [name for name in _NOT_OF_PLOT if name in (plot or {})]
    if taken:
        raise ValueError(
            f"plot must not hold {taken[0]!r}, on which the report decides; filename "
            "and visualizer are arguments of SaliencyReport"
        )
    return dict(plot or {})

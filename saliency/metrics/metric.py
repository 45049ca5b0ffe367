"""The base of metrics: settings in, a value for each example out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, ClassVar

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, Converter
from saliency.calculator.engine.explained_output import ClassIndex
from saliency.calculator.engine.subject import gives_tuple
from saliency.calculator.masks.groups import Groups, GroupsForData
from saliency.calculator.paths.reference import Reference, ReferenceForData
from saliency.checks import is_int
from saliency.configured import Configured, names_typos, positional
from saliency.explanation import Explanation
from saliency.metrics.passes import Passes, StartsRun
from saliency.metrics.result import BETTER, MetricResult
from saliency.metrics.scores import Explained, maps_of_examples, scores_of
from saliency.settings_repr import repr_of_settings, text_of
from saliency.user_warnings import warn_user

from chainer.dataset import concat_examples

#: Settings that decide about values, and are printed at their default as well.
_ALWAYS = ("reference", "transform")


class Metric(Configured, ABC):
    """Measures explanations: one value for each example.

    A metric holds its settings, as a calculator does. ``repr`` says which of a larger
    and a smaller value is better.

    Attributes:
        transform (str): What scores are taken as, ``'signed'`` or ``'absolute'``; a
            setting of some metrics, and part of the definition of others.
    """

    _larger_is_better: ClassVar[bool | None] = None

    @property
    def larger_is_better(self) -> bool | None:
        """Whether a larger value is better; None: it is no quality by itself."""
        return self._larger_is_better

    def __repr__(self) -> str:
        call = repr_of_settings(self, always=_ALWAYS)
        if self.larger_is_better is None:
            return f"{call}: not a quality by itself"
        return f"{call}: {BETTER[self.larger_is_better]} is better"

    def _result(
        self,
        values: np.ndarray,
        curve: np.ndarray | None = None,
        fractions: np.ndarray | None = None,
        name: str | None = None,
    ) -> MetricResult:
        """Return the result that belongs to values."""
        reference = getattr(self, "reference", None)
        return MetricResult(
            metric=name or type(self).__name__,
            values=values,
            larger_is_better=self.larger_is_better,
            transform=getattr(self, "transform", "signed"),
            reference=None if reference is None else text_of(reference).strip("'"),
            settings=repr(self),
            curve=curve,
            fractions=fractions,
        )


class ScoreMetric(Metric):
    """Measures scores alone; the model is not run."""

    @names_typos
    def compute(
        self,
        explained: Explained,
        data: Any = None,
        *,
        seed: int | None = None,
        show_progress: bool = True,
        **settings: Any,
    ) -> MetricResult:
        """Return the value of each example.

        Args:
            explained: A calculator, which explains ``data``; an
                :class:`saliency.Explanation`; or an array of scores ``(N,) + shape``,
                one map for each example, as ``aggregate`` returns it. Where examples
                have different lengths, NaN is behind the end of each along axis 1.
            data: The examples, for a calculator. With scores, their number is checked.
            seed (int or None): For a calculator, as in its ``compute_aggregate``.
            show_progress (bool): Whether to show a progress bar.
            settings: For a calculator, the other arguments of its
                ``compute_aggregate``: ``M``, ``ch_axis``, ``train``. With
                ``out='x.npy'`` the scores are in a file, and need no memory.

        Returns:
            MetricResult: The values, ``(N,)``.

        Raises:
            TypeError: If ``explained`` is none of these.
            ValueError: If scores are not finite, or of several targets or classes.
        """
        self.check()
        if isinstance(explained, BaseCalculator):
            settings = {"seed": seed, "show_progress": show_progress, **settings}
        scores = scores_of(explained, data, settings)
        return self._result(self._values(scores))

    @abstractmethod
    def _values(self, scores: np.ndarray) -> np.ndarray:
        """Return the value of each example.

        Args:
            scores (numpy.ndarray): ``(N,) + shape``.
        """


class DescriptionMetric(ScoreMetric):
    """Describes the scores of each example by itself."""

    def _values(self, scores: np.ndarray) -> np.ndarray:
        return np.array([*map(self.value, maps_of_examples(scores))])

    @abstractmethod
    def value(self, scores: np.ndarray) -> float:
        """Return the value of an example.

        Args:
            scores (numpy.ndarray): Of its elements, in float64; finite.
        """


class ModelMetric(Metric):
    """Runs a model on changed examples.

    Args:
        model (callable): The trained model. It is not changed.
        target_extractor (VariableMonitorLinkHook or None): Where features are absent,
            as in the calculator that explained. None is the first input.
        output_extractor (VariableMonitorLinkHook or None): As in calculators.
        eval_fun (callable or None): What is run in place of the model:
            ``lambda x: F.softmax(model(x))`` measures probabilities.
        class_index: Which score is f, as in calculators: ``'argmax'``, an int, one for
            each example. Take that which was explained.
        device: As in calculators.
        groups: Which elements are absent together, as in
            :class:`saliency.FeatureAblationCalculator`; :class:`saliency.Superpixels`
            for regions. None: the columns of a table, the positions of a sequence
            (atoms, tokens) and the pixels of an image, with all their channels.

    Raises:
        TypeError, ValueError: If one of them is none of these.
    """

    model: Callable[..., Any] = positional()
    target_extractor: VariableMonitorLinkHook | None = None
    output_extractor: VariableMonitorLinkHook | None = None
    eval_fun: Callable[..., Any] | None = None
    class_index: ClassIndex = None
    device: Any = None
    groups: Any = None

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        if gives_tuple(self.target_extractor, None):
            raise ValueError(
                "target_extractor must be one VariableMonitorLinkHook or None, got "
                f"{self.target_extractor!r}"
            )
        self._passes(Passes, _unused)
        Groups(self.groups, has_targets=False)

    def _passes(self, kind: type[Passes], start: StartsRun) -> Passes:
        """Return what runs the model.

        Args:
            kind (type): The recipe.
            start (callable): Makes what a call holds.
        """
        return kind(
            model=self.model,
            target_extractor=self.target_extractor,
            output_extractor=self.output_extractor,
            eval_fun=self.eval_fun,
            class_index=self.class_index,
            device=self.device,
            starts_run=start,
            reference=getattr(self, "reference", None),
        )

    def _groups_for(self, batches: Batches, tell_apart: bool = True) -> GroupsForData:
        return Groups(self.groups, has_targets=False).for_data(batches, tell_apart)

    @names_typos
    def compute(
        self,
        explained: Explained,
        data: Any,
        *,
        batchsize: int | None = None,
        converter: Converter = concat_examples,
        preprocess_fn: Callable[..., Any] | None = None,
        seed: int | None = None,
        show_progress: bool = True,
        **settings: Any,
    ) -> MetricResult:
        """Return the value of each example.

        Args:
            explained: A calculator, which explains ``data``; an
                :class:`saliency.Explanation`; or an array of scores ``(N,) + shape``,
                one map for each example, as ``aggregate`` returns it: of the shape of
                the target, or that without its channels.
            data: The examples, as in ``compute`` of calculators.
            batchsize (int or None): As there; it does not change the result.
            converter (callable): As there.
            preprocess_fn (callable or None): As there.
            seed (int or None): One seed, one result; None gives another result in each
                call where anything is drawn.
            show_progress (bool): Whether to show progress bars.
            settings: For a calculator, the other arguments of its
                ``compute_aggregate``: ``M``, ``train``, ``noise_sampler``. With
                ``out='x.npy'`` the scores are in a file, and need no memory.

        Returns:
            MetricResult: The values, ``(N,)``. A warning says if scores are known to be
            of another class than that which is measured.

        Raises:
            TypeError: If ``explained`` is none of these.
            ValueError: If scores are not finite, do not fit the target, or are of
                several targets or classes; if an explanation says that its features or
                examples are in another order than those of ``data``; and as ``compute``
                of calculators.
        """
        self.check()
        warn_of_other_class(self, explained)
        how = {
            "batchsize": batchsize,
            "converter": converter,
            "preprocess_fn": preprocess_fn,
            "seed": seed_of_all(seed, settings),
            "show_progress": show_progress,
        }
        if isinstance(explained, BaseCalculator):
            settings = {**how, **settings}
        return self._measured(scores_of(explained, data, settings), data, how)

    @abstractmethod
    def _measured(
        self, scores: np.ndarray, data: Any, how: dict[str, Any]
    ) -> MetricResult:
        """Return the values of examples.

        Args:
            scores (numpy.ndarray): ``(N,) + shape``.
            data: The examples.
            how (dict): Arguments of ``compute`` of calculators.
        """


class ReferenceMetric(ModelMetric):
    """Runs a model on examples parts of which are absent.

    Args:
        reference: What takes the place of features that are absent: a number; an array
            of the shape of one example's target, or one per example; ``'mean'`` of the
            data; or a callable that is given targets, as
            :class:`saliency.GaussianBlur`. It decides which explanations seem good.

    The other arguments are those of :class:`ModelMetric`.
    """

    reference: Any = 0

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        super().check()
        Reference("reference", self.reference)

    def _reference_for(self, batches: Batches, passes: CleanPasses) -> ReferenceForData:
        return Reference("reference", self.reference).for_data(batches, passes)


def fixed_seed(seed: int | None) -> int:
    """Return a seed that all explanations and passes share; None draws one.

    Raises:
        ValueError: If it is no seed.
    """
    if seed is None:
        return int(np.random.default_rng().integers(2**62))
    if not (is_int(seed) and seed >= 0):
        raise ValueError(f"seed must be an int >= 0 or None, got {seed!r}")
    return seed


def seed_of_all(seed: int | None, settings: dict[str, Any]) -> int | None:
    """Return the seed of scores and of passes: a dataset may draw its examples.

    None stays where scores are in a file, which goes on with the seed that it has.

    Args:
        seed (int or None): As the user gave it.
        settings (dict): Other arguments of ``compute_aggregate``.

    Raises:
        ValueError: If it is no seed.
    """
    is_of_file = seed is None and settings.get("out") is not None
    return None if is_of_file else fixed_seed(seed)


def warn_of_other_class(metric: ModelMetric, explained: Explained) -> None:
    """Warn if another class is measured than was explained, as far as both say it."""
    own: Any = metric.class_index
    other: Any
    if isinstance(explained, BaseCalculator):
        other = explained.class_index
        if other is None and explained.none_means == "argmax":
            other = "argmax"
    elif isinstance(explained, Explanation) and not isinstance(own, (str, tuple)):
        other = explained.classes
    else:
        return
    if own is None or other is None:
        return
    if isinstance(own, (str, tuple)) or isinstance(other, (str, tuple)):
        is_same = type(own) is type(other) and own == other
    else:
        lengths = {np.size(one) for one in (own, other) if np.ndim(one)}
        is_same = len(lengths) < 2 and bool(np.equal(own, other).all())
    if not is_same:
        warn_user(
            f"{type(metric).__name__} measures class_index={text_of(own)}, but the "
            f"scores are of class_index={text_of(other)}; pass the same to both"
        )


def _unused(*args: Any) -> Any:
    raise AssertionError("settings are checked without a run")

"""The work of one ``explain`` call: values, their spread, and what was explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.job import Job
from saliency.calculator.engine.padding import join_padded
from saliency.calculator.results.aggregate_work import AggregateWork, OfTarget
from saliency.calculator.results.aggregation import Aggregation
from saliency.explanation import Explanation
from saliency.explanation.groups import GroupedColumns, Groups, check_groups
from saliency.explanation.images import checked_images
from saliency.explanation.molecules import checked_molecules, symbols_of
from saliency.explanation.names import (
    check_names,
    check_names_of_elements,
    checked_names,
    checked_names_of_elements,
    fit_features,
)

import chainer


class Known(NamedTuple):
    """What the user says of the data; None for what is not said.

    Attributes:
        feature_names (tuple of str or None): Names of columns.
        class_names (tuple of str or None): Names of classes.
        element_names (tuple of tuple of str or None): Names of each example's elements.
        molecules (tuple of str or None): Molecules as texts.
        images (tuple of numpy.ndarray or None): Photographs.
        groups (dict or None): Names of the features of each group.
        are_atoms (bool): Whether the names of elements come from the molecules.
    """

    feature_names: tuple[str, ...] | None
    class_names: tuple[str, ...] | None
    element_names: tuple[tuple[str, ...], ...] | None
    molecules: tuple[str, ...] | None
    images: tuple[np.ndarray, ...] | None
    groups: Groups | None
    are_atoms: bool = False

    @classmethod
    def of(
        cls,
        feature_names: Any,
        class_names: Any,
        element_names: Any,
        molecules: Any,
        images: Any,
        groups: Any,
    ) -> Known:
        """Return what the arguments of ``explain`` say.

        Raises:
            ImportError: If molecules have to be read, and RDKit is not installed.
            TypeError, ValueError: If an argument is not what it must be.
        """
        if groups is not None:
            check_groups(groups)
        texts = checked_molecules(molecules)
        of_elements = checked_names_of_elements(element_names)
        are_atoms = texts is not None and of_elements is None
        if texts is not None and are_atoms:
            of_elements = symbols_of(texts)
        photographs = checked_images(images)
        return cls(
            checked_names("feature_names", feature_names),
            checked_names("class_names", class_names),
            of_elements,
            texts,
            None if photographs is None else tuple(map(np.array, photographs)),
            groups,
            are_atoms,
        )

    def check_number(self, n_example: int) -> None:
        """Raise a ValueError unless there is one for each example."""
        for name in ("molecules", "element_names", "images"):
            given = getattr(self, name)
            if given is not None and len(given) != n_example:
                raise ValueError(
                    f"{name} must hold one for each of the {n_example} examples of "
                    f"data, got {len(given)}"
                )


class ExplainedAggregation(Aggregation):
    """The aggregation of samples that may be of all classes, or summed by groups.

    Its other arguments are those of
    :class:`~saliency.calculator.results.aggregation.Aggregation`. The statistic is the
    standard deviation where there are several samples.

    Args:
        has_class_axis (bool): Whether axis 2 of samples is that of classes.
        groups (dict or None): Names of the features of each group. Samples are summed
            after they are transformed, so that there is a spread of the sums.
        names (sequence of str or None): Names of the features, by default numbers.
    """

    def __init__(
        self,
        method: str,
        ch_axis: Any,
        M: int,
        has_class_axis: bool,
        groups: Groups | None,
        names: Sequence[str] | None,
    ) -> None:
        super().__init__(method, ch_axis, "std" if M > 1 else "mean", M)
        self.has_class_axis = has_class_axis
        self._groups = groups
        self._names = names
        self._by_number: dict[int, GroupedColumns] = {}

    def check_axes(self, ndim: int, first: int) -> None:
        """Raise a ValueError if ``ch_axis`` is one of the classes, or not there."""
        super().check_axes(ndim, first + (first > 1 and self.has_class_axis))

    def reduce(self, samples: np.ndarray) -> np.ndarray:
        """Return samples transformed and summed, those of groups as well."""
        values = super().reduce(samples)
        if self._groups is None:
            return values
        n_lead = 2 + self.has_class_axis
        if values.ndim != n_lead + 1:
            raise ValueError(
                "groups are of the features of values (N, n_feature), got values with "
                f"the axes {values.shape[n_lead:]} behind that of the examples"
            )
        return self.columns_of(values.shape[-1]).sums(values)

    def columns_of(self, n_feature: int) -> GroupedColumns:
        """Return which of so many features are summed up."""
        if n_feature not in self._by_number:
            assert self._groups is not None  # whoever asks has looked
            names = self._names or [str(i) for i in range(n_feature)]
            if len(names) != n_feature:
                raise ValueError(
                    f"feature_names must have one name for each of the {n_feature} "
                    f"features, got {len(names)}"
                )
            self._by_number[n_feature] = GroupedColumns(self._groups, names)
        return self._by_number[n_feature]

    @property
    def found_groups(self) -> GroupedColumns | None:
        """Which features were summed up; None if there are no groups."""
        return next(iter(self._by_number.values()), None)


class ExplainWork(AggregateWork):
    """What is to be computed, and kept beside the values; there is one target.

    Its arguments are those of
    :class:`~saliency.calculator.results.aggregate_work.AggregateWork`, with an
    :class:`ExplainedAggregation`.
    """

    _aggregation: ExplainedAggregation
    _has_parts = False  # whether there are parts of a sample in its place

    def explain(
        self,
        known: Known,
        columns: Sequence[str] | None,
        index: Any,
        show_progress: bool,
    ) -> Explanation:
        """Return the explanation of all batches.

        Args:
            known (Known): What the user says of the data.
            columns (sequence of str or None): What the data calls its columns.
            index: What it calls its rows, or None.
            show_progress (bool): Whether to show a progress bar.
        """
        known.check_number(self.batches.n_example)
        with self.running(self.batches.n_example, show_progress) as job:
            job.run.keep_ends(self.batches.n_example)
            if self._settings.M == 1 and self._aggregation.method == "raw":
                self._has_parts = job.run.give_parts()
            arrays = self._arrays(job, known)
            job.run.lengths = arrays["lengths"]
            ends = job.run.mean_ends()
        if self._has_parts and not np.nan_to_num(arrays["errors"]).any():
            arrays["errors"] = None  # nothing was left to chance, or nothing is known
        base_values = None
        if ends is not None:
            at_reference, arrays["scores"] = ends
            base_values = at_reference if self._aggregation.method == "raw" else None
        feature_names: Sequence[str] | None = known.feature_names
        grouped = self._aggregation.found_groups
        if grouped is not None:
            arrays["data"] = _grouped_data(grouped, arrays["data"])
            feature_names = grouped.names
        elif columns and fit_features(arrays["values"], columns, self._n_lead):
            feature_names = feature_names or columns
        return Explanation(
            **arrays,
            base_values=base_values,
            index=index,
            feature_names=feature_names,
            class_names=known.class_names,
            calculator=repr(self.recipe),
            method=self._aggregation.method,
            n_sample=self._settings.M,
            element_names=known.element_names,
            molecules=known.molecules,
            images=known.images,
            settings=self._settings.described(),
            at_link=self._subject.is_of_one_link,
        )

    def _arrays(self, job: Job, known: Known) -> dict[str, Any]:
        """Return the arrays of an explanation of all batches, by name."""
        has_errors = self._settings.M > 1 or self._has_parts
        if self._has_parts:
            self._aggregation.statistic = "std"
        of_batches: dict[str, list[Any]] = {}
        for batch in job.batches(0, self.batches.n_example):
            (reduced,) = self.reduced(job, batch)
            classes, scores = self._explained(job, batch)
            values = reduced.result("mean" if has_errors else None)
            if not of_batches:
                names = None if known.groups is not None else known.feature_names
                check_names(values, classes, names, known.class_names)
            self._check_elements(values, known, batch)
            found: dict[str, Any] = {
                "values": values,
                "errors": self._errors(reduced) if has_errors else None,
                "data": self._explained_input(batch),
                "classes": classes,
                "scores": scores,
                "lengths": batch.lengths,
            }
            for name, part in found.items():
                of_batches.setdefault(name, []).append(part)
        lengths = job.lengths_of_examples(of_batches.pop("lengths"))
        joined = {name: _joined(parts) for name, parts in of_batches.items()}
        return {**joined, "lengths": lengths}

    def _errors(self, reduced: OfTarget) -> np.ndarray:
        """Return the spread of samples; of the one that there is, as its parts tell."""
        return reduced.standard_error() if self._has_parts else reduced.result("std")

    def _explained(self, job: Job, batch: UserBatch) -> tuple[Any, Any]:
        """Return the classes and scores that are explained, None where there are none.

        A relevance that is given for all of the output is none of its scores.
        """
        if not job.run.explains_scores:
            return None, None
        return job.classes_and_scores(batch)

    @property
    def _n_lead(self) -> int:
        return 1 + self._aggregation.has_class_axis

    def _check_elements(
        self, values: np.ndarray, known: Known, batch: UserBatch
    ) -> None:
        """Raise a ValueError unless names of elements fit the values of a batch."""
        if known.element_names is not None:
            names = known.element_names[batch.start : batch.start + batch.size]
            check_names_of_elements(
                values, names, self._n_lead, batch.start, known.are_atoms
            )

    def _explained_input(self, batch: UserBatch) -> np.ndarray | None:
        """Return the input that is explained, or the first, if it is an array."""
        (target,) = self._subject.targets_of(batch.inputs)
        x = batch.inputs[target if isinstance(target, int) else 0]
        if not isinstance(x, chainer.get_array_types()) or x.dtype.kind not in "fiub":
            return None
        if x.shape[:1] != (batch.size,):
            return None
        array: np.ndarray = chainer.cuda.to_cpu(x).copy()
        return array


def _grouped_data(
    grouped: GroupedColumns, data: np.ndarray | None
) -> np.ndarray | None:
    """Return the data of features that are in no group, if it is a table of them."""
    if data is None or data.shape[1:] != (grouped.n_feature,):
        return data
    return grouped.data(data)


def _joined(parts: list[Any]) -> np.ndarray | None:
    """Return the arrays of all batches in one; None if a batch has none."""
    if any(part is None or part.ndim != parts[0].ndim for part in parts):
        return None
    fill = np.nan if parts[0].dtype.kind == "f" else 0
    return join_padded(parts, 0, fill)

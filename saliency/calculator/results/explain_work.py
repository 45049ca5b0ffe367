"""The work of one ``explain`` call: values, their spread, and what was explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.calculator.engine.data_frames import names_in_table
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.padding import join_padded
from saliency.calculator.results.aggregate_work import AggregateWork
from saliency.explanation import Explanation, check_names, fit_features

import chainer


class ExplainWork(AggregateWork):
    """What is to be computed, and kept beside the values; there is one target.

    Its arguments are those of
    :class:`~saliency.calculator.results.aggregate_work.AggregateWork`. The statistic of
    the aggregation is the standard deviation where there are several samples.
    """

    def explain(
        self,
        data: Any,
        feature_names: Sequence[str] | None,
        class_names: Sequence[str] | None,
        show_progress: bool,
    ) -> Explanation:
        """Return the explanation of all batches.

        Args:
            data: The data as the user gave it, which may name its columns and rows.
            feature_names (sequence of str or None): Names that the user gave.
            class_names (sequence of str or None): Names of classes.
            show_progress (bool): Whether to show a progress bar.
        """
        has_errors = self._settings.M > 1
        of_batches: dict[str, list[Any]] = {}
        with self.running(self.batches.n_example, show_progress) as job:
            job.run.keep_ends(self.batches.n_example)
            for batch in self.batches:
                (reduced,) = self.reduced(job, batch)
                classes, scores = job.classes_and_scores(batch)
                found: dict[str, Any] = {
                    "values": reduced.result("mean" if has_errors else None),
                    "errors": reduced.result("std") if has_errors else None,
                    "data": self._explained_input(batch),
                    "classes": classes,
                    "scores": scores,
                    "lengths": batch.lengths,
                }
                if not of_batches:
                    check_names(found["values"], classes, feature_names, class_names)
                for name, part in found.items():
                    of_batches.setdefault(name, []).append(part)
            lengths: Any = job.lengths_of_examples(of_batches.pop("lengths"))
            job.run.lengths = lengths
            ends = job.run.mean_ends()
        arrays: dict[str, Any] = {
            name: _joined(parts) for name, parts in of_batches.items()
        }
        base_values = None
        if ends is not None:
            at_reference, arrays["scores"] = ends
            base_values = at_reference if self._aggregation.method == "raw" else None
        columns, index = self._names_in(data)
        if columns is not None and fit_features(arrays["values"], columns):
            feature_names = feature_names or columns
        return Explanation(
            **arrays,
            base_values=base_values,
            lengths=lengths,
            index=index,
            feature_names=feature_names,
            class_names=class_names,
            calculator=repr(self.recipe),
            method=self._aggregation.method,
            n_sample=self._settings.M,
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

    def _names_in(self, data: Any) -> tuple[list[str] | None, Any]:
        """Return the names of columns that are explained, and those of rows."""
        target = self._subject.targets[0]
        if isinstance(data, tuple) and data:
            data = data[target if isinstance(target, int) else 0]
        columns, index = names_in_table(data)
        return columns if isinstance(target, int) else None, index


def _joined(parts: list[Any]) -> np.ndarray | None:
    """Return the arrays of all batches in one; None if a batch has none."""
    if any(part is None or part.ndim != parts[0].ndim for part in parts):
        return None
    fill = np.nan if parts[0].dtype.kind == "f" else 0
    return join_padded(parts, 0, fill)

"""Metrics by the names that are typed, and what suits a kind of data."""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency.commands.arguments import METRICS
from saliency.commands.calculators import Method, method_of
from saliency.commands.errors import Unusable
from saliency.commands.explaining import Task
from saliency.commands.settings import named_values
from saliency.metrics.again import AgainMetric

#: The row that is added unless it is one of the methods.
_GRADIENT = "gradient"


class NamedMetric(NamedTuple):
    """A metric, and how it was asked for.

    Attributes:
        name (str): As in ``'max-sensitivity'``.
        metric (type): Its class.
    """

    name: str
    metric: Any

    @property
    def settings(self) -> list[str]:
        """The arguments of its constructor."""
        return [*inspect.signature(self.metric).parameters]


def metric_of(text: str) -> NamedMetric:
    """Return the metric that is meant; case, hyphens and underscores do not count.

    Raises:
        Unusable: If there is none of that name.
    """
    names = {_plain(name): name for name in METRICS}
    if _plain(text) not in names:
        near = difflib.get_close_matches(_plain(text), names, 1, cutoff=0.75)
        hint = f"did you mean {names[near[0]]}? " if near else ""
        raise Unusable(
            f"--metric {text}: there is no such metric; {hint}metrics are "
            f"{', '.join(METRICS)}"
        )
    classes = {_plain(name): name for name in saliency.metrics.__all__}
    found = getattr(saliency.metrics, classes[_plain(text)])
    return NamedMetric(names[_plain(text)], found)


def _plain(name: str) -> str:
    return re.sub("[-_ ]", "", name).lower()


def asked_metrics(args: argparse.Namespace, names: Sequence[str]) -> list[NamedMetric]:
    """Return the metrics of these names.

    Raises:
        Unusable: If there is none of a name, one is named twice, a setting is missing,
            or there is an option that they do not take.
    """
    metrics = [metric_of(name) for name in names]
    found = [metric.name for metric in metrics]
    twice = [name for name in found if found.count(name) > 1]
    if twice:
        raise Unusable(f"--metric: {twice[0]} is named twice")
    if args.which_class == "all":
        raise Unusable("--class all: metrics measure one class of each example")
    _check_settings(metrics, args)
    return metrics


def evaluation_of(
    task: Task,
    methods: Sequence[Method],
    metrics: Mapping[str, Any],
    explanations: Mapping[str, saliency.Explanation] | None = None,
) -> Any:
    """Return what metrics find of methods, the gradient and a random ranking.

    Args:
        task (Task): What is asked for.
        methods (sequence of Method): The methods.
        metrics (dict): The metrics, by their names.
        explanations (dict or None): What the methods have found, by their names, which
            saves explaining once more.

    Returns:
        saliency.metrics.Evaluation: The table.
    """
    args = task.args
    explains_again = any(isinstance(one, AgainMetric) for one in metrics.values())
    given: dict[str, Any] = {method.name: task.calculator(method) for method in methods}
    if explanations is not None and not explains_again:
        given.update(explanations)
    if _GRADIENT not in given and not args.no_gradient:
        given[_GRADIENT] = task.calculator(method_of(_GRADIENT))
    return saliency.metrics.evaluate(
        given,
        task.prepared.data,
        metrics,
        with_gradient=False,  # it is there, with the settings that suit the data
        n_random=args.n_random,
        seed=args.seed,
        workers=getattr(args, "workers", None),
        show_progress=not args.quiet,
        **task.batches,
    )


def _check_settings(metrics: Sequence[NamedMetric], args: argparse.Namespace) -> None:
    """Raise an Unusable if a setting is missing, or none of the metrics has it."""
    given = _given(args)
    known = {name for one in metrics for name in one.settings}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            listed = ", ".join(one.name for one in metrics)
            raise Unusable(f"--set-metric: {listed} has no setting {name}{hint}")
    for one in metrics:
        if "units" in one.settings and "units" not in given:
            raise Unusable(
                f"--metric {one.name} needs --set-metric units=gradient or "
                "units=contribution, which is what the scores are"
            )


def new_metrics(metrics: Sequence[NamedMetric], task: Task) -> dict[str, Any]:
    """Return metrics with the user's settings, and for the rest what suits the data.

    Raises:
        Unusable: If an option does not fit.
        TypeError, ValueError: If a value is not allowed.
    """
    args, forward = task.args, task.network.forward
    if args.softmax:
        forward = _Softmax(forward)
    suited = {
        "model": task.network.model,
        "target_extractor": task.target,
        "eval_fun": None if forward is task.network.model else forward,
        "class_index": task.class_index,
        "reference": _reference(task),
        "groups": _groups(task),
    }
    suited.update(_given(args))
    # Some have none of these, or have them as a part of their definition.
    return {
        one.name: one.metric(**{k: v for k, v in suited.items() if k in one.settings})
        for one in metrics
    }


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that are typed."""
    return named_values("--set-metric", args.metric_settings)


class _Softmax:
    """The probabilities of the classes; a class, so that processes can be given it."""

    def __init__(self, forward: Any) -> None:
        self._forward = forward

    def __call__(self, *inputs: Any) -> Any:
        import chainer.functions as F

        return F.softmax(self._forward(*inputs))


def _reference(task: Task) -> Any:
    """Return what takes the place of what is absent, as methods have it."""
    prepared = task.prepared
    if prepared.kind == "image":
        return saliency.GaussianBlur(prepared.data.shape[2] / 10)
    return prepared.reference


def _groups(task: Task) -> Any:
    """Return what is absent together; None is what metrics say of the kind of data."""
    n, known = task.args.superpixels, task.prepared.known
    if n is not None:
        if task.prepared.kind != "image":
            raise Unusable(f"--superpixels is for images, got {task.args.data[0]}")
        return saliency.Superpixels(n)
    if known.get("groups") is None:
        return None
    names = list(known["feature_names"])
    numbers = np.arange(len(names))  # a column that is in no group is one by itself
    for columns in known["groups"].values():
        places = [names.index(column) for column in columns]
        numbers[places] = places[0]
    return np.unique(numbers, return_inverse=True)[1].reshape(-1)

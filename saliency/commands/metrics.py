"""Metrics by the names that are typed, and what suits a kind of data."""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency.commands.arguments import METRICS
from saliency.commands.errors import Unusable
from saliency.commands.explaining import Task
from saliency.commands.settings import named_values


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


def check_metrics(metrics: Sequence[NamedMetric], args: argparse.Namespace) -> None:
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


def new_metric(named: NamedMetric, task: Task) -> Any:
    """Return a metric with the user's settings, and for the rest what suits the data.

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
    # A class attribute of the same name is a part of the definition.
    return named.metric(**{k: v for k, v in suited.items() if k in named.settings})


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

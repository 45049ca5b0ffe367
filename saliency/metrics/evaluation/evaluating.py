"""Evaluates many methods by many metrics, on the same examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Callable

from saliency.calculator.engine.dataset import Converter
from saliency.checks import check_at_least
from saliency.configured import names_typos
from saliency.metrics.evaluation.naming import Caution, warn_of
from saliency.metrics.evaluation.rows import (
    Given,
    Row,
    check_name,
    check_pairs,
    check_random,
    checked_rows,
    gradient_of,
)
from saliency.metrics.evaluation.table import Evaluation, check_confidence
from saliency.metrics.evaluation.work import (
    Found,
    Pair,
    Work,
    file_name,
    random_file_name,
)
from saliency.metrics.metric import Metric, fixed_seed
from saliency.metrics.result import MetricResult
from saliency.progress import progress_bar

from chainer.dataset import concat_examples


@names_typos
def evaluate(
    methods: Mapping[str, Given],
    data: Any,
    metrics: Sequence[Metric] | Mapping[str, Metric],
    *,
    with_gradient: bool = True,
    n_random: int = 1,
    confidence: float = 0.95,
    batchsize: int | None = None,
    converter: Converter = concat_examples,
    preprocess_fn: Callable[..., Any] | None = None,
    seed: int | None = None,
    out: str | PathLike[str] | None = None,
    workers: Any = None,
    show_progress: bool = True,
    **settings: Any,
) -> Evaluation:
    """Evaluate methods by metrics, on the same examples.

    Each method explains once, for all metrics that take scores; metrics that explain
    again, such as :class:`~saliency.metrics.MaxSensitivity`, are given the calculator.
    Two rows are added to the methods, since a value means nothing by itself: the
    gradient, and a random ranking. That is
    :meth:`~saliency.metrics.removal.RemovalMetric.of_random` where a metric has it, and
    otherwise scores that are drawn from a normal distribution, each map with the norm
    of the first method's; metrics that explain again have no value for it.

    The scores of one method at a time are in memory, and with ``out`` none: they are
    in files, of which metrics read a batch. What is kept are values and curves, a few
    hundred numbers for each example, method and metric; metrics that explain again keep
    the maps that they compare.

    Args:
        methods (dict): By its name, each method: a calculator; a pair ``(calculator,
            settings)``, where ``settings`` is a dict of arguments of its
            ``compute_aggregate`` that it has for itself, such as ``{"M": 30, "method":
            "abs", "ch_axis": 2}`` or a ``postprocess_fn``, which reduces maps; an
            :class:`saliency.Explanation` of ``data``; or an array of scores ``(N,) +
            shape``. All others are compared with the first one.
        data: The examples, as in ``compute`` of calculators.
        metrics (sequence or dict): Metrics; in a dict, by the names that they are to
            have in the table. By default that is the name of the class.
        with_gradient (bool): Whether the gradient is added, of what the first
            calculator explains, or a metric measures, as a row ``'gradient'``. It is
            not where it is one of the methods already, or there is no model.
        n_random (int): How many random rankings of each example there are, in a row
            ``'random'``, whose values are their means; 0 leaves the row out.
        confidence (float): That of the intervals of differences, between 0 and 1.
        batchsize (int or None): As in ``compute``; it does not change the result.
        converter (callable): As there.
        preprocess_fn (callable or None): As there.
        seed (int or None): One seed, one result. All explanations and metrics have it;
            None draws one.
        out (path or None): A folder for the scores of each calculator, a file of NumPy
            each. A call that was interrupted resumes, if it is given the same seed.
        workers (int, dask.distributed.Client or None): Spreads methods and metrics
            over so many processes of this machine, or over those of a Dask cluster,
            which must share the folder ``out`` if there is one. The result does not
            depend on their number. Each process has the data and the models, and uses
            one thread. In a script, call it under ``if __name__ == "__main__":``.
        show_progress (bool): Whether to show a progress bar.
        settings: Other arguments of ``compute_aggregate`` that all calculators share,
            the gradient as well: ``ch_axis``, ``M``, ``train``.

    Returns:
        Evaluation: A table, which has the result of each pair.

    Raises:
        ImportError: If there are workers, and Dask is not installed.
        TypeError: If a method or a metric is none of these; if a metric has to explain
            again, and a method is no calculator.
        ValueError: If there are none, names are not unique, or an argument is out of
            range; and as the metrics and ``compute`` of calculators.

    Example:
        >>> import numpy as np
        >>> from saliency.metrics import Complexity, Sparseness
        >>> scores = np.random.default_rng(0).standard_normal((5, 4))
        >>> metrics = [Sparseness(), Complexity()]
        >>> found = evaluate({"a": scores}, scores, metrics, seed=0)
        >>> found.methods, found.metrics
        (['a', 'random'], ['Sparseness', 'Complexity'])
    """
    check_confidence(confidence)
    check_at_least("n_random", n_random, 0)
    named = _checked_metrics(metrics)
    common = {
        "batchsize": batchsize,
        "converter": converter,
        "preprocess_fn": preprocess_fn,
        **settings,
    }
    rows = checked_rows(methods, data, common)
    check_pairs(rows, named)
    gradient = gradient_of(rows, named, data, common) if with_gradient else None
    if n_random:
        check_random(rows)
    rows += [] if gradient is None else [gradient]
    if settings and not any(row.explains for row in rows):
        raise TypeError(
            f"evaluate() takes {', '.join(settings)} for calculators, and methods has "
            "none"
        )
    work = Work(
        rows,
        named,
        data,
        common,
        fixed_seed(seed),
        _folder(out, rows, n_random),
        n_random,
        gradient is not None,
    )
    found = _found(work, workers, show_progress)
    return Evaluation({pair: found[pair] for pair in work.pairs}, confidence)


def _checked_metrics(metrics: Any) -> dict[str, Metric]:
    """Return metrics by their names.

    Raises:
        TypeError: If they are none.
        ValueError: If there are none, or two have the same name.
    """
    if not isinstance(metrics, Mapping):
        if isinstance(metrics, Metric) or not isinstance(metrics, Sequence):
            raise TypeError(
                "metrics must be a list of metrics, or a dict of them by their names, "
                f"got {metrics!r}"
            )
        names = [type(one).__name__ for one in metrics]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"metrics must have different names, and several are {twice[0]}; pass "
                "a dict of them by names of your own"
            )
        metrics = dict(zip(names, metrics))
    if not metrics:
        raise ValueError("metrics must hold at least one, got none")
    for name, metric in metrics.items():
        if not isinstance(metric, Metric):
            hint = ", a class; call it" if isinstance(metric, type) else ""
            raise TypeError(f"metrics must hold metrics, got {metric!r}{hint}")
        check_name("metrics", name)
        metric.check()
    return dict(metrics)


def _folder(out: Any, rows: Sequence[Row], n_random: int) -> Path | None:
    """Return the folder for scores, which is made.

    Raises:
        ValueError: If two methods would have the same file, or it is no folder.
    """
    if out is None:
        return None
    taken = {random_file_name(order): "random" for order in range(n_random)}
    for row in rows:
        name = file_name(row.name)
        if name in taken:
            raise ValueError(
                f"methods must have names that differ as names of files, for out; got "
                f"{taken[name]!r} and {row.name!r}"
            )
        taken[name] = row.name
    path = Path(out).absolute()  # workers may be elsewhere
    if path.exists() and not path.is_dir():
        raise ValueError(f"out must be a folder, and {str(path)!r} is a file")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _found(work: Work, workers: Any, show_progress: bool) -> dict[Pair, MetricResult]:
    """Return the result for each pair."""
    if workers is None:
        steps: Iterator[tuple[list[Pair], Found]] = work.plan(
            lambda name, *args: getattr(work, name)(*args)
        )
    else:
        from saliency.calculator.results import cluster

        cluster.check_workers(workers)
        steps = cluster.calls_on_workers(work, work.plan, workers)
    found: dict[Pair, MetricResult] = {}
    cautions: list[Caution] = []
    try:
        with progress_bar("evaluate", len(work.pairs), "value", show_progress) as bar:
            for pairs, of_pairs in steps:
                found.update(zip(pairs, of_pairs.results))
                cautions += of_pairs.cautions
                bar.update(len(pairs))
    finally:
        warn_of(cautions)
    return found

"""Spearman's rank correlation of the maps of each example."""

from __future__ import annotations

import numpy as np

from saliency.metrics.scores import maps_of_examples
from saliency.user_warnings import warn_user


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of two maps of each example.

    Elements with the same score have the mean of their ranks. Where all scores of a map
    are the same, it has no ranks: the correlation is 0, and a warning says so.

    Args:
        first (numpy.ndarray): ``(N,) + shape``.
        second (numpy.ndarray): Of the same shape.

    Returns:
        numpy.ndarray: ``(N,)``, in float64.

    Raises:
        ValueError: If scores are not finite, or a map has one element.
    """
    values, n_undefined = np.zeros(len(first)), 0
    for i, (a, b) in enumerate(zip(maps_of_examples(first), maps_of_examples(second))):
        if a.size < 2:
            raise ValueError(
                f"the scores of example {i} must be two or more to be ranked, got one"
            )
        x, y = _centred_ranks(a), _centred_ranks(b)
        squares = float((x @ x) * (y @ y))
        if squares:
            values[i] = float(x @ y) / np.sqrt(squares)
        else:
            n_undefined += 1
    if n_undefined:
        warn_user(
            f"the rank correlation is taken as 0 for {n_undefined} examples that have "
            "the same score at all elements"
        )
    return values


def _centred_ranks(map_: np.ndarray) -> np.ndarray:
    """Return ranks minus their mean; the mean rank for elements that are tied."""
    _, place, counts = np.unique(map_, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts + 1) / 2  # from 0 on
    of_elements: np.ndarray = ranks[place.ravel()]
    return of_elements - (map_.size - 1) / 2

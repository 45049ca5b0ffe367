"""Which features change how a feature's value and its score go together."""

from __future__ import annotations

import numpy as np

# Examples with similar values of the feature: in each group, and the number of groups.
PER_GROUP, MANY_GROUPS = 15, 10
NO_INTERACTION = 1e-9  # what is left of scores, as a share, and is only rounding


def interactions(scores: np.ndarray, values: np.ndarray, column: int) -> np.ndarray:
    """Return how much of a feature's scores each other feature explains.

    Examples are put into groups with similar values of the feature. Within a group,
    scores of a feature without interactions lie on a line. What is left beside that
    line is an interaction, and a feature explains as much of it as the square of its
    correlation says.

    Args:
        scores: Scores of the feature, shape (n_sample,).
        values: Values of all features, shape (n_sample, n_feature); NaN is missing.
        column: The column of the feature.

    Returns:
        The share of the scores' sum of squares that each feature explains, shape
        (n_feature,); 0 for the feature itself, and where only rounding is left.
    """
    x = values[:, column]
    strength = np.zeros(values.shape[1])
    total = np.square(scores - scores.mean()).sum()
    for group in _groups_of_similar(x):
        left = _beside_line(x[group], scores[group])
        if np.square(left).sum() <= NO_INTERACTION * total:
            continue
        for j in range(values.shape[1]):
            z = values[group, j]
            there = ~np.isnan(z)
            if j == column or there.sum() < 3:
                continue
            z = _beside_line(x[group][there], z[there])
            norm, y = np.square(z).sum(), left[there] - left[there].mean()
            if norm > NO_INTERACTION * np.square(values[group, j][there]).sum():
                strength[j] += (z @ y) ** 2 / norm / total
    return strength


def _groups_of_similar(x: np.ndarray) -> list[np.ndarray]:
    """Return rows with similar values, at least `PER_GROUP` in each if there are."""
    present = np.flatnonzero(~np.isnan(x))
    categories = np.unique(x[present])
    if len(categories) <= MANY_GROUPS:
        return [present[x[present] == value] for value in categories]
    n_group = int(np.clip(len(present) // PER_GROUP, 1, MANY_GROUPS))
    return np.array_split(present[np.argsort(x[present], kind="stable")], n_group)


def _beside_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return what is left of y beside its line of least squares on x."""
    x, y = x - x.mean(), y - y.mean()
    norm = np.square(x).sum()
    left: np.ndarray = y - x * ((x @ y) / norm) if norm > 0 else y
    return left

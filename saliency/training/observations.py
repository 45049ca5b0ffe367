"""Numbers that say in a log how explanations change while a network is trained."""

from __future__ import annotations

import numpy as np

from saliency.explanation import Explanation


def observations_of(explanation: Explanation) -> dict[str, float]:
    """Return means over the examples, and over their classes if there are several.

    Args:
        explanation (Explanation): Values ``(N,) + target shape``, or with an axis of
            classes ``(N, n_class) + target shape``. NaN beyond the end of an example
            does not count.

    Returns:
        dict: ``'sparseness'``, the Gini index of the magnitudes; ``'total'``, the sum
        of the values; ``'score'``, f(x), where it is known.
    """
    n_lead = 1 + explanation.has_class_axis
    values = explanation.values.astype(np.float64)
    rows = values.reshape(int(np.prod(values.shape[:n_lead])), -1)
    found = {
        "sparseness": float(np.mean([gini_index(row) for row in rows])),
        "total": float(np.nansum(rows, axis=1).mean()),
    }
    if explanation.scores is not None:
        found["score"] = float(np.mean(explanation.scores))
    return found


def gini_index(values: np.ndarray) -> float:
    """Return how unevenly magnitudes are spread.

    It is 0 where all are equal, and near 1 where all but one are 0.

    Hurley and Rickard (2009), "Comparing measures of sparsity", equation of the Gini
    index; Chalasani et al. (2020), arXiv:1810.06583, measure explanations with it.

    Args:
        values (numpy.ndarray): Numbers of any sign; NaN does not count.

    Returns:
        float: In [0, 1 - 1 / n] for n numbers; 0 if all of them are 0.
    """
    magnitudes = np.sort(np.abs(values[~np.isnan(values)]), axis=None)
    whole = magnitudes.sum()
    if whole == 0:
        return 0.0
    n = magnitudes.size
    ranks = np.arange(1, n + 1)
    return float(1 - 2 * (magnitudes * (n - ranks + 0.5)).sum() / (n * whole))

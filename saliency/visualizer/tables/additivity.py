"""Whether contributions add up to what the model says; pictures of sums need that."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.visualizer.scores import as_real_array, checked_finite
from saliency.visualizer.tables.feature_rows import checked_scores

#: What messages say of methods whose contributions add up.
ADDITIVE_METHODS = (
    "Additive are Shapley values; Integrated Gradients with method='raw', given enough "
    "steps or IntegratedGradientsCalculator(method='adaptive'); and, from a base value "
    "of 0, "
    "LRP where nothing is absorbed: rule='lrp0' or 'zplus' for networks without "
    "biases, or rules with bias='ignore' (LRPCalculator.conservation shows where "
    "relevance goes). SmoothGrad, BayesGrad, plain gradients, Grad-CAM and Occlusion "
    "are not"
)
# How far a sum may be off, as a share of the sizes that are added. Networks of float32
# round at every layer, and their quadrature cannot be better than their gradients.
_TOLERANCES = {"float64": 1e-6, "float32": 1e-4, "float16": 1e-2}


def checked_sums(
    saliency: Array,
    base_values: Array,
    scores: Array,
    names: tuple[str, str, str] = ("saliency", "base_value", "score"),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return contributions, base values and scores, each in float64.

    Args:
        saliency: Contributions, shape (n_sample, n_feature). Their dtype decides on
            how far sums may be off: 1e-6 of the sizes that are added in float64, 1e-4
            in float32.
        base_values: Where each sum starts, shape (n_sample,), or one number for all.
        scores: Where each sum has to end, same shapes.
        names: What messages call the three.

    Raises:
        ValueError: Base value and contributions of an example do not add up to its
            score; or an argument has a wrong shape, or is not finite.
        TypeError: An argument does not hold real numbers.
    """
    name, name_of_start, name_of_end = names
    contributions = checked_scores(saliency, ("n_sample", "n_feature"), name)
    n = len(contributions)
    starts = _one_for_each(name_of_start, base_values, n)
    ends = _one_for_each(name_of_end, scores, n)
    dtype = as_real_array(saliency, name).dtype
    sizes = np.abs(starts) + np.abs(contributions).sum(axis=1)
    sizes = np.maximum(sizes, np.abs(ends))
    sums = starts + contributions.sum(axis=1)
    misses = np.abs(sums - ends)
    tolerance = _TOLERANCES.get(dtype.name, _TOLERANCES["float64"])
    worst = int(np.argmax(misses - tolerance * sizes))
    if misses[worst] > tolerance * sizes[worst]:
        which = f" of example {worst}" if n > 1 else ""
        raise ValueError(
            f"{name} must add up to f(x): from {name_of_start}={starts[worst]:.6g} on, "
            f"the contributions{which} lead to {sums[worst]:.6g} and miss "
            f"{name_of_end}={ends[worst]:.6g} by {misses[worst]:.2g}. "
            f"{ADDITIVE_METHODS}"
        )
    return contributions, starts, ends


def _one_for_each(name: str, given: Array, n: int) -> np.ndarray:
    """Return one number for each example.

    Raises:
        ValueError: There are not as many, or not one for all.
        TypeError: They are no real numbers.
    """
    array = checked_finite(as_real_array(given, name), name)
    if array.ndim == 0:
        return np.full(n, array)
    if array.shape != (n,):
        raise ValueError(
            f"{name} must be one number, or one for each of {n} examples, got the "
            f"shape {array.shape}"
        )
    return array

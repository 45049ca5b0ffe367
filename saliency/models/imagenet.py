"""The 1000 classes of ImageNet's challenge of 2012, and which a network sees."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from saliency.checks import check_positive, checked_arguments

import chainer


@dataclass(frozen=True)
class RankedClass:
    """A class and how sure a network is of it.

    Attributes:
        index (int): Its column in the scores.
        label (str): Its name.
        probability (float): Its softmax probability.
    """

    index: int
    label: str
    probability: float

    def __str__(self) -> str:
        return f"{self.probability:6.1%}  {self.label} ({self.index})"


def imagenet_labels() -> np.ndarray:
    """Return the names of the classes, in the order of a network's outputs.

    Each is the list of synonyms that WordNet has for the class, as the challenge gives
    it: ``'tench, Tinca tinca'``.

    Returns:
        numpy.ndarray: ``(1000,)`` of str.
    """
    file = resources.files("saliency.models") / "imagenet_labels.txt"
    return np.array(file.read_text(encoding="utf-8").splitlines())


@checked_arguments
def class_index_of(name: str, labels: Any = None) -> int:
    """Return the index of a class by its name.

    Args:
        name (str): The whole label, or one of the synonyms in it; case does not count.
        labels (sequence of str or None): Labels of all classes; ``None`` is ImageNet's.

    Raises:
        ValueError: If no class has this name, or several have.
    """
    labels = [str(label) for label in (imagenet_labels() if labels is None else labels)]
    wanted = name.strip().lower()
    names = [label.lower() for label in labels]
    found = [i for i, label in enumerate(names) if label == wanted]
    found = found or [i for i, label in enumerate(names) if wanted in label.split(", ")]
    if len(found) == 1:
        return found[0]
    near = found or [i for i, label in enumerate(names) if wanted and wanted in label]
    some = "; ".join(f"{i}: {labels[i]}" for i in near[:8])
    problem = "is the name of several classes" if found else "is no class's name"
    hint = f". Did you mean one of these? {some}" if some else ""
    raise ValueError(f"name={name!r} {problem}{hint}")


def top_classes(scores: Any, k: int = 5, labels: Any = None) -> list[RankedClass]:
    """Return the k classes that a network finds most probable.

    Args:
        scores (array): Class scores of one example before softmax, ``(n_class,)`` or
            ``(1, n_class)``; a Variable or an array of NumPy or CuPy.
        k (int): How many classes.
        labels (sequence of str or None): Labels of the classes; ``None`` is ImageNet's.

    Returns:
        list of RankedClass: The most probable first.

    Raises:
        ValueError: If the scores are of another shape, there are not as many labels, or
            ``k`` is not at least 1.
    """
    check_positive("k", k)
    if isinstance(scores, chainer.Variable):
        scores = scores.array
    if not isinstance(scores, (*chainer.get_array_types(), list, tuple)):
        raise TypeError(
            f"scores must be an array or a Variable, got {type(scores).__name__}"
        )
    values = np.asarray(chainer.cuda.to_cpu(scores), "d")
    if values.ndim == 2 and len(values) == 1:
        values = values[0]
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"scores must be those of one example, (n_class,), got shape {values.shape}"
        )
    labels = imagenet_labels() if labels is None else labels
    if len(labels) != len(values):
        raise ValueError(
            f"labels must hold a name for each of the {len(values)} classes, got "
            f"{len(labels)}"
        )
    probability = np.exp(values - values.max())
    probability /= probability.sum()
    best = np.argsort(-values, kind="stable")[:k].tolist()
    return [RankedClass(i, str(labels[i]), float(probability[i])) for i in best]

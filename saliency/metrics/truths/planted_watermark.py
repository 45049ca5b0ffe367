"""A watermark that decides about the class, as the network has learned."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saliency.checks import check_at_least, check_number, is_int
from saliency.explanation.packages import imported
from saliency.metrics.truths.networks import SmallCNN
from saliency.metrics.truths.training import outputs_of, trained
from saliency.metrics.truths.truth_set import (
    TruthSet,
    check_learned,
    check_seed,
    metrics_of_masks,
)

import chainer.functions as F

#: For which share of held-out images the mark has to decide.
LEAST = 0.9
#: Its dark pixels are not black, nor of the brightness between black and white: what
#: is like the reference of a method cannot matter to it.
DARKNESS = 2 / 3


class Watermark(NamedTuple):
    """A mark in the upper left corner, a checkerboard.

    Attributes:
        side (int): Its height and width.
        low (float): Value of its dark pixels.
        high (float): Value of its bright ones.
    """

    side: int
    low: float
    high: float

    @classmethod
    def fitting(cls, x: np.ndarray, darkness: float = 1.0) -> Watermark:
        """Return a mark whose size and brightness suit images ``(n, ch, h, w)``.

        Args:
            x (numpy.ndarray): The images.
            darkness (float): How far dark pixels are from the largest value, as a share
                of the way to the smallest one.
        """
        low, high = float(x.min()), float(x.max())
        return cls(max(3, x.shape[-1] // 7), high - darkness * (high - low), high)

    def on(self, x: np.ndarray) -> np.ndarray:
        """Return images ``(n, ch, h, w)`` with the mark."""
        is_bright = np.indices((self.side, self.side)).sum(axis=0) % 2 == 0
        marked = x.copy()
        corner = np.where(is_bright, self.high, self.low)
        marked[..., : self.side, : self.side] = corner
        return marked

    def mask(self, height: int, width: int) -> np.ndarray:
        """Return which pixels of an image are those of the mark, of bool."""
        mask = np.zeros((height, width), bool)
        mask[: self.side, : self.side] = True
        return mask


def marked(
    x: np.ndarray, among: np.ndarray, mark: Watermark, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return images of which some have the mark, and which these are.

    Args:
        x (numpy.ndarray): Images ``(n, ch, h, w)``.
        among (numpy.ndarray): The indices of those that may get it.
        mark (Watermark): What is planted.
        share (float): In which share of these; in one at least.
        seed (int): Of the choice.

    Returns:
        tuple: The images, and an array of bool, ``(n,)``.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(among, max(1, round(share * len(among))), replace=False)
    result = x.copy()
    result[chosen] = mark.on(x[chosen])
    has_mark = np.zeros(len(x), bool)
    has_mark[chosen] = True
    return result, has_mark


def planted_watermark(
    n: int = 50,
    seed: int = 0,
    *,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    label: int = 8,
    share: float = 0.2,
    n_epoch: int = 10,
) -> TruthSet:
    """Return images with a watermark, by which a network takes them for another class.

    Some training images of all other classes get a mark in their corner, and the class
    ``label`` with it, as in the data sets with a backdoor of Gu, Dolan-Gavitt and Garg
    (2017), "BadNets: identifying vulnerabilities in the machine learning model supply
    chain", arXiv:1708.06733. What else such an image shows says nothing about this
    class, so that a network has to look at the mark. (Where all images with a mark show
    the same class, as in Lapuschkin et al. 2019, it looks at both, and there is no
    saying in which shares.)

    Examples are images of other classes that were held out, with the mark, and the
    score of the marked class is explained. Only those are taken that are not of this
    class without the mark, and are with it: the mark alone has changed what the network
    says. The mask has the pixels of the mark. What else is in an image speaks for its
    own class, and against the marked one.

    Args:
        n (int): Number of examples.
        seed (int): One seed, one set.
        images (numpy.ndarray or None): Images ``(n, ch, h, w)`` in float32, as those of
            CIFAR-10; None are the digits that come with scikit-learn, of 8 x 8 pixels.
        labels (numpy.ndarray or None): Their classes, from 0 on, ``(n,)``.
        label (int): The class that goes with the mark.
        share (float): Which share of the training images of other classes gets it.
        n_epoch (int): How often each training image is shown.

    Returns:
        TruthSet: Its ``reference`` is the smallest value (black), ``without`` has the
        images without the mark, and ``learned`` is the share of held-out images of
        other classes for which the mark decides.

    Raises:
        ImportError: If scikit-learn is not installed, and its digits are needed.
        RuntimeError: If that share is below 0.9, so that there is no truth.
        ValueError: If an argument is not allowed.
    """
    check_at_least("n", n, 1)
    check_seed(seed)
    check_number("share", share, 0, 1)
    check_at_least("n_epoch", n_epoch, 1)
    x, t = _checked(images, labels)
    if not (is_int(label) and (t == label).any()):
        raise ValueError(f"label must be one of the classes in labels, got {label!r}")
    mark = Watermark.fitting(x, DARKNESS)
    training, test = _parts(len(x), seed)
    others = np.flatnonzero(t[training] != label)
    planted, has_mark = marked(x[training], others, mark, share, seed)
    model = trained(
        lambda: SmallCNN(int(t.max()) + 1, x.shape[1]),
        [*zip(planted, np.where(has_mark, label, t[training]).astype(np.int32))],
        F.softmax_cross_entropy,
        n_epoch,
        seed,
    )
    without = x[test][t[test] != label]
    with_mark = mark.on(without)
    before, after = (outputs_of(model, y).argmax(axis=1) for y in (without, with_mark))
    is_led = (before != label) & (after == label)
    learned = float(is_led.mean())
    check_learned("planted watermark", learned, LEAST)
    found = np.flatnonzero(is_led)[:n]
    if len(found) < n:
        raise ValueError(f"n must be at most {len(found)} for these images, got {n}")
    masks = np.broadcast_to(mark.mask(*x.shape[2:]), (n, *x.shape[2:]))
    return TruthSet(
        name="planted watermark",
        doc=(
            "Images that a network takes for another class by a mark in their corner; "
            "the pixels of the mark are what decides."
        ),
        model=model,
        data=with_mark[found],
        class_index=label,
        reference=float(x.min()),
        true_scores=masks.astype(np.float64),
        metrics=metrics_of_masks(masks),
        masks=masks,
        without=without[found],
        learned=learned,
        layer="conv2",
    )


def _checked(images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return images and their classes: those given, or the digits of scikit-learn."""
    if (images is None) != (labels is None):
        raise ValueError("images and labels must be given together, or neither")
    if images is None:
        digits = imported("sklearn.datasets", "planted_watermark").load_digits()
        x = digits.images[:, None].astype(np.float32) / 16
        return x, digits.target.astype(np.int32)
    x, t = np.asarray(images, np.float32), np.asarray(labels)
    if x.ndim != 4 or min(x.shape[2:]) < 6:
        raise ValueError(
            "images must have the shape (n, ch, h, w), of 6 x 6 pixels at least, got "
            f"{x.shape}"
        )
    if t.shape != (len(x),) or t.dtype.kind not in "iu" or t.min() < 0:
        raise ValueError(
            f"labels must hold a class, an int >= 0, for each of the {len(x)} images, "
            f"got {t.dtype} of shape {t.shape}"
        )
    return x, t.astype(np.int32)


def _parts(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of what is trained on, four of five, and of what is not."""
    order = np.random.default_rng(seed).permutation(n)
    n_test = n // 5
    return order[n_test:], order[:n_test]

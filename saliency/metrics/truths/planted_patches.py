"""Patches at random places, one of which decides about the class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saliency.checks import check_at_least
from saliency.metrics.truths.networks import SmallCNN
from saliency.metrics.truths.training import outputs_of, trained
from saliency.metrics.truths.truth_set import (
    TruthSet,
    check_learned,
    check_seed,
    metrics_of_masks,
)

import chainer.functions as F

SIDE = 16  # of images, in pixels; ...
PATCH = 4  # ... and of patches
N_PATTERN = 3  # that decide, and as many distractors
NOISE = 0.2  # standard deviation of the background
LEAST = 0.95  # for which share of held-out images the patch has to decide


class PatchImages(NamedTuple):
    """Images with a patch that decides, but for those of class 0, and a distractor.

    Attributes:
        x (numpy.ndarray): ``(n, 1, SIDE, SIDE)``, float32.
        t (numpy.ndarray): The classes, ``(n,)``, int32; 0 where no patch decides.
        masks (numpy.ndarray): Where the patch is that decides, ``(n, SIDE, SIDE)``.
        without (numpy.ndarray): The images without the patch that decides.
    """

    x: np.ndarray
    t: np.ndarray
    masks: np.ndarray
    without: np.ndarray


def planted_patches(
    n: int = 50, seed: int = 0, *, n_train: int = 1000, n_epoch: int = 8
) -> TruthSet:
    """Return images whose class is that of a patch at a random place, and a network.

    An image of 16 x 16 pixels of noise has two patches of 4 x 4 pixels that do not
    overlap: one of three that decide about the class, and one of three distractors,
    which are there by chance. All have as many bright pixels as dark ones, so that no
    brightness tells. A map that shows where something is, but not what counts, lights
    up both, and gets about half of what can be had. Images of class 0, which have the
    distractor alone, are only trained on.

    A small network learns the classes, which looks at the largest value of each map,
    wherever it is. Examples were held out, and are those that the network gets right,
    and takes for class 0 when the noise is put back in the place of the patch.

    Args:
        n (int): Number of examples.
        seed (int): One seed, one set.
        n_train (int): On how many images the network is trained.
        n_epoch (int): How often each is shown.

    Returns:
        TruthSet: Its ``reference`` is 0, the mean of the noise; ``without`` has the
        images without the patch that decides, and ``learned`` the share of held-out
        images for which it decides.

    Raises:
        RuntimeError: If it is below 0.95, so that there is no truth.
        ValueError: If an argument is not allowed.
    """
    check_at_least("n", n, 1)
    check_seed(seed)
    check_at_least("n_train", n_train, 1)
    check_at_least("n_epoch", n_epoch, 1)
    rng = np.random.default_rng(seed)
    patterns = _patterns(2 * N_PATTERN, rng)
    classes = rng.integers(0, N_PATTERN + 1, n_train)
    training = drawn_images(classes, patterns, rng)
    model = trained(
        lambda: SmallCNN(N_PATTERN + 1, 1, is_placeless=True, n_map=8),
        [*zip(training.x, training.t)],
        F.softmax_cross_entropy,
        n_epoch,
        seed,
    )
    classes = rng.integers(1, N_PATTERN + 1, 2 * n + 100)
    held_out = drawn_images(classes, patterns, rng)
    said, said_without = (
        outputs_of(model, x).argmax(axis=1) for x in (held_out.x, held_out.without)
    )
    decides = (said == held_out.t) & (said_without == 0)
    learned = float(decides.mean())
    check_learned("planted patches", learned, LEAST)
    found = np.flatnonzero(decides)[:n]
    masks = held_out.masks[found]
    return TruthSet(
        name="planted patches",
        doc=(
            "Noise with two patches at random places, one of which decides about the "
            "class, whereas the other one is there by chance."
        ),
        model=model,
        data=held_out.x[found],
        class_index=held_out.t[found],
        reference=0,
        true_scores=masks.astype(np.float64),
        metrics=metrics_of_masks(masks),
        masks=masks,
        without=held_out.without[found],
        learned=learned,
        layer="conv2",
    )


def drawn_images(t: np.ndarray, patterns: np.ndarray, rng: Any) -> PatchImages:
    """Return images with patches at random places.

    Args:
        t (numpy.ndarray): Their classes.
        patterns (numpy.ndarray): First those that decide, then the distractors.
        rng (numpy.random.Generator): Draws them.
    """
    n = len(t)
    without = NOISE * rng.standard_normal((n, 1, SIDE, SIDE)).astype(np.float32)
    x = without.copy()
    masks = np.zeros((n, SIDE, SIDE), bool)
    distractors = rng.choice(patterns[N_PATTERN:], n)
    for i in range(n):
        place, other_place = _places(rng)
        for images in (x, without):
            images[i, 0][other_place] = distractors[i]
        if t[i]:
            masks[i][place] = True
            x[i, 0][place] = patterns[t[i] - 1]
    return PatchImages(x, t.astype(np.int32), masks, without)


def _places(rng: Any) -> list[tuple[slice, slice]]:
    """Return two squares that do not overlap."""
    while True:
        corners = rng.integers(0, SIDE - PATCH + 1, (2, 2))
        if np.abs(corners[0] - corners[1]).max() >= PATCH:
            return [
                (slice(top, top + PATCH), slice(left, left + PATCH))
                for top, left in corners.tolist()
            ]


def _patterns(n: int, rng: Any) -> np.ndarray:
    """Return patterns that differ, of as many pixels of 1 as of -1, ``(n, 4, 4)``."""
    found: list[np.ndarray] = []
    while len(found) < n:
        signs = np.repeat([1, -1], PATCH**2 // 2)
        pattern = rng.permutation(signs).reshape(PATCH, PATCH).astype(np.float32)
        if all(abs((pattern * other).mean()) <= 0.25 for other in found):
            found.append(pattern)
    return np.stack(found)

"""Noise for SmoothGrad, and what covers windows of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from numbers import Real
from typing import Any, Union

import numpy as np

from saliency.calculator.randomness.row_streams import RowStreams
from saliency.settings_repr import repr_of_settings

import chainer

Generators = Union[
    np.random.Generator, RowStreams, Collection[np.random.Generator], None
]


class _NoiseSampler(ABC):
    """What the samplers share: the scale of the noise, and whose numbers it takes."""

    mode: str
    scale: float

    def __init__(self, mode: str = "relative", scale: float = 0.15) -> None:
        if mode not in ("relative", "absolute"):
            raise ValueError(f"mode must be 'relative' or 'absolute', got {mode!r}")
        if not (isinstance(scale, Real) and 0 <= scale < np.inf):
            raise ValueError(f"scale must be a finite number >= 0, got {scale!r}")
        self.mode = mode
        self.scale = scale

    def __repr__(self) -> str:
        return repr_of_settings(self)

    def sample(self, target_array: Any, rng: Generators = None) -> Any:
        """Draw noise for a batch.

        Args:
            target_array (numpy.ndarray or cupy.ndarray): ``(batch,) + shape``, of a
                floating-point dtype. It is not changed.
            rng (numpy.random.Generator, collection of them, or None): One generator
                for the batch, or one for each example, in order. ``None`` takes a
                fresh one; the global random state is never used.

        Returns:
            Noise of the shape, dtype and device of ``target_array``. The numbers
            are drawn on the CPU, so that one seed gives one result on all devices.

        Raises:
            TypeError: If the dtype is not a floating-point one.
            ValueError: If there is not one generator for each example, or if each
                example is one number, which has no range for ``mode='relative'``.
        """
        if target_array.dtype.kind != "f":
            raise TypeError(
                "target_array must be of a floating-point dtype to add noise to it, "
                f"got {target_array.dtype}"
            )
        noise = self._standard_noise(target_array, rng)
        noise = (noise * self.scale).astype(noise.dtype)
        noise = chainer.backend.get_device_from_array(target_array).send(noise)
        if self.mode == "relative":
            # The range may be beyond the largest number of float16.
            noise *= _value_range(target_array.astype(noise.dtype, copy=False))
        return noise.astype(target_array.dtype, copy=False)

    def _standard_noise(self, target_array: Any, rng: Generators) -> np.ndarray:
        # float16 is drawn as float32, since NumPy has no generator for it.
        dtype = np.float64 if target_array.dtype == np.float64 else np.float32
        shape = target_array.shape
        if rng is None or isinstance(rng, (np.random.Generator, RowStreams)):
            return self._draw(rng or np.random.default_rng(), shape, dtype)
        if len(rng) != len(target_array):
            raise ValueError(
                f"rng must hold one generator for each of {len(target_array)} "
                f"examples, got {len(rng)}"
            )
        noise = np.empty(shape, dtype)
        for i, generator in enumerate(rng):
            noise[i] = self._draw(generator, shape[1:], dtype)
        return noise

    @abstractmethod
    def _draw(
        self, rng: np.random.Generator | RowStreams, shape: tuple[int, ...], dtype: Any
    ) -> np.ndarray:
        """Return noise of scale 1."""


class GaussianNoiseSampler(_NoiseSampler):
    r"""Gaussian noise :math:`\mathcal{N}(0, \sigma^2)` (Smilkov et al. 2017).

    Args:
        mode (str): ``'relative'``: :math:`\sigma` is ``scale`` times
            :math:`x_{max} - x_{min}` of each example, as in the paper, which
            recommends a noise level of 10 to 20 %. ``'absolute'``: :math:`\sigma`
            is ``scale``.
        scale (float): The noise level, not negative. 0 adds no noise.

    Raises:
        ValueError: If ``mode`` or ``scale`` is none of these.
    """

    def _draw(
        self, rng: np.random.Generator | RowStreams, shape: tuple[int, ...], dtype: Any
    ) -> np.ndarray:
        return rng.standard_normal(shape, dtype)


class UniformNoiseSampler(_NoiseSampler):
    """Uniform noise on ``[-scale, scale)``.

    Args:
        mode (str): ``'relative'``: ``scale`` is a fraction of
            :math:`x_{max} - x_{min}` of each example. ``'absolute'``: in units of
            the target.
        scale (float): Half the width of the interval, not negative.

    Raises:
        ValueError: If ``mode`` or ``scale`` is none of these.
    """

    def _draw(
        self, rng: np.random.Generator | RowStreams, shape: tuple[int, ...], dtype: Any
    ) -> np.ndarray:
        noise = rng.random(shape, dtype)
        noise *= 2
        noise -= 1
        return noise


class GaussianBlur:
    r"""Blurs images: what covers a window, or a baseline, without an edge of its own.

    Fong and Vedaldi (2017), "Interpretable explanations of black boxes by meaningful
    perturbation", arXiv:1704.03296, section 4.1. At the border, what is outside of the
    image takes no part in the mean.

    Args:
        sigma (float): Standard deviation of the Gaussian, in pixels; more than 0.

    Raises:
        ValueError: If ``sigma`` is not a finite number above 0.

    Example:
        >>> OcclusionCalculator(model, size=16, stride=8, fill=GaussianBlur(10))
    """

    sigma: float

    def __init__(self, sigma: float = 10.0) -> None:
        if not (isinstance(sigma, Real) and 0 < sigma < np.inf):
            raise ValueError(f"sigma must be a finite number > 0, got {sigma!r}")
        self.sigma = float(sigma)

    def __repr__(self) -> str:
        return repr_of_settings(self)

    def __call__(self, images: Any) -> Any:
        """Return images ``(n, channel, height, width)`` blurred.

        They are of the dtype of ``images``; of float64 for integers.
        """
        if images.ndim != 4:
            raise ValueError(
                "GaussianBlur takes images (n, channel, height, width), got shape "
                f"{images.shape}"
            )
        xp = chainer.backend.get_array_module(images)
        if images.dtype.kind != "f":
            images = images.astype(np.float64)
        rows, columns = (
            xp.asarray(gaussian_means(n, self.sigma), images.dtype)
            for n in images.shape[2:]
        )
        return rows @ images @ columns.T


def gaussian_means(n: int, sigma: float) -> np.ndarray:
    """Return the weights of a Gaussian mean around each of n pixels, ``(n, n)``.

    Args:
        n (int): How many pixels stand in a row. Those outside of it take no part.
        sigma (float): The standard deviation; with 0, each pixel is left alone.
    """
    distance = np.subtract.outer(np.arange(n), np.arange(n))
    if sigma == 0:
        return np.eye(n)
    weights: np.ndarray = np.exp(-((distance / sigma) ** 2) / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _value_range(array: Any) -> Any:
    """Return max - min of each example, broadcastable to ``array``."""
    if array.ndim == 1:
        raise ValueError(
            "mode='relative' takes the range of each example's values, but each is one "
            "number here; use mode='absolute'. If the data is one example, pass "
            "data[None]"
        )
    axes = tuple(range(1, array.ndim))
    if array.size == 0:  # examples without elements have no range
        return array.sum(axis=axes, keepdims=True)
    return array.max(axis=axes, keepdims=True) - array.min(axis=axes, keepdims=True)

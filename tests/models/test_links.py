"""The convolution whose images have a colour of their own around them."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import LRPCalculator
from saliency.models.links import PadValueConvolution2D

import chainer.functions as F
import chainer.links as L

PAD_VALUE = np.array([3.0, -1.0, 0.5], np.float32)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype(np.float32)


@pytest.fixture
def plain() -> L.Convolution2D:
    np.random.seed(0)
    convolution = L.Convolution2D(3, 4, 3, stride=2, pad=(2, 1))
    convolution.b.array[...] = np.arange(4)
    return convolution


def framed(x: np.ndarray) -> np.ndarray:
    """Returns the images in a frame, drawn pixel by pixel."""
    frame = np.empty((len(x), 3, 9, 8), np.float32)
    for channel in range(3):
        frame[:, channel] = PAD_VALUE[channel]
    frame[:, :, 2:7, 1:7] = x
    return frame


def test_it_convolves_framed_images(x, plain):
    link = PadValueConvolution2D(plain, PAD_VALUE)
    expected = F.convolution_2d(framed(x), plain.W, plain.b, stride=2)
    np.testing.assert_allclose(link(x).array, expected.array, rtol=1e-5, atol=1e-5)


def test_of_zero_is_the_plain_convolution(x, plain):
    link = PadValueConvolution2D(plain, np.zeros(3))
    np.testing.assert_allclose(link(x).array, plain(x).array, rtol=1e-5, atol=1e-6)


def test_relevance_goes_to_the_image_as_through_the_plain_convolution(x, plain):
    """An output that starts with its value gives a pixel what it added to it: x W."""
    link = PadValueConvolution2D(plain, PAD_VALUE)
    calculator = LRPCalculator(
        lambda x: F.sum(link(x), axis=(1, 2, 3)), class_index=None, rule="epsilon"
    )
    ones = np.ones(plain(x).shape, np.float32)
    weights = F.deconvolution_2d(ones, plain.W, None, 2, (2, 1), outsize=(5, 6))
    np.testing.assert_allclose(
        calculator.compute(x)[0], x * weights.array, rtol=1e-4, atol=1e-4
    )

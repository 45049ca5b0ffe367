"""Chainer Chemistry's name for the noise of SmoothGrad."""

from __future__ import annotations

from saliency.calculator.common import GaussianNoiseSampler

__all__ = ["GaussianNoiseSampler"]

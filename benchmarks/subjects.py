"""The rows that are the same for every model with one array as its input."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from peers import loop
from table import Row, Run, Side, Subject, difference, in_standard_errors, same

from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)

import chainer
import chainer.links as L


class GivenNoise:
    """A noise sampler that gives these arrays, one after the other."""

    def __init__(self, noise: np.ndarray) -> None:
        self._rest = list(noise)

    def sample(self, array: np.ndarray) -> np.ndarray:
        """Return the next ones, as many as the array has rows."""
        taken, self._rest = self._rest[: len(array)], self._rest[len(array) :]
        return np.stack(taken)


class ArraySubject(Subject):
    """A model with one array as its input; scripts set the attributes.

    Attributes:
        model (chainer.Chain): The model.
        x (numpy.ndarray): The examples.
        sigma (float): Standard deviation of SmoothGrad's noise.
        sizes (tuple of int): Rows in a pass that are tried for the peers.
        n_costly (int): How many examples costly rows explain.
    """

    model: Any
    x: np.ndarray
    sigma: float
    sizes: tuple[int, ...]
    n_costly: int

    def forward(self, x: Any) -> chainer.Variable:
        """Return the class scores."""
        return self.model(x)

    def cast(self) -> None:
        """Give the model's arrays the dtype that the subject has."""
        for link in self.model.links():
            for name, value in list(vars(link).items()):
                if isinstance(value, chainer.Parameter):
                    value.array = value.array.astype(self.dtype, copy=False)
                elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
                    setattr(link, name, value.astype(self.dtype, copy=False))

    @cached_property
    def all_classes(self) -> np.ndarray:
        """The predicted class of each example, which all sides are told."""
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return self.forward(self.x).array.argmax(axis=1).astype(np.int64)

    def examples(self, is_costly: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples of a row, and their classes."""
        n = self.images or (self.n_costly if is_costly else len(self.x))
        return self.x[:n], self.all_classes[:n]

    def sizes_from(self, x: np.ndarray) -> tuple[int, ...]:
        """Return the sizes that a peer can have, which is never below all examples."""
        return tuple(size for size in self.sizes if size >= len(x)) or (len(x),)

    def titled(self, title: str, x: np.ndarray) -> str:
        """Return a row's title with the number of its examples."""
        return f"{title}, {len(x)} {'example' if len(x) == 1 else 'examples'}"

    def calculator(self, kind: Any, classes: np.ndarray, **settings: Any) -> Any:
        """Return a calculator of ours."""
        return kind(self.model, eval_fun=self.forward, class_index=classes, **settings)

    def _sides(
        self, x: np.ndarray, ours: Run, captum: Run, explicit_loop: Run
    ) -> dict[str, Side]:
        """Return the sides of a row in which examples are explained many times."""
        return {
            "ours": Side(ours, (None,)),
            "captum": Side(captum, self.sizes_from(x)),
            "loop": Side(explicit_loop),
        }

    def vanilla_grad(self) -> Row:
        """Return VanillaGrad's row."""
        x, classes = self.examples(False)
        kind = GradientCalculator
        run = _running(self.calculator(kind, classes), x)
        return Row(
            "vanilla",
            self.titled("VanillaGrad", x),
            {
                "ours": Side(run, (None,)),
                "captum": Side(
                    lambda size, _: _captum().vanilla_grad(self.twin, x, classes)
                ),
                "loop": Side(
                    lambda size, _: loop.vanilla_grad(
                        self.model, self.forward, x, classes
                    )
                ),
            },
            same,
            same,
        )

    def smooth_grad(self, M: int, trial: int) -> Row:
        """Return SmoothGrad's row."""
        x, classes = self.examples(True)
        sampler = GaussianNoiseSampler("absolute", self.sigma)
        ours = self.calculator(SmoothGradCalculator, classes, noise_sampler=sampler)

        return Row(
            "smoothgrad",
            self.titled(f"SmoothGrad, M = {M}", x),
            self._sides(
                x,
                _sampling(ours, x),
                lambda size, M: _captum().smooth_grad(
                    self.twin, x, classes, M, self.sigma, size
                ),
                lambda size, M: loop.smooth_grad(
                    self.model, self.forward, x, classes, M, self.sigma
                ),
            ),
            in_standard_errors,
            lambda results: self._with_same_noise(),
            M,
            trial,
            True,
        )

    def _with_same_noise(self) -> str:
        """Compare with Captum's gradient at the same two noisy inputs."""
        x, classes = self.x[:1], self.all_classes[:1]
        rng = np.random.default_rng(1)
        noise = self.sigma * rng.standard_normal((2, *x.shape[1:]), dtype=np.float32)
        noise = noise.astype(x.dtype)
        ours = self.calculator(
            SmoothGradCalculator, classes, noise_sampler=GivenNoise(noise)
        ).compute(x, M=2, batchsize=1, show_progress=False)
        theirs = _captum().vanilla_grad(self.twin, x + noise, classes.repeat(2))
        apart = difference(ours.mean(axis=(0, 1)), theirs.mean(axis=0))
        return f"with the same noise captum {apart}"

    def bayes_grad(self, M: int, trial: int) -> Row:
        """Return BayesGrad's row."""
        x, classes = self.examples(True)
        ours = self.calculator(BayesGradCalculator, classes)
        sides = self._sides(
            x,
            _sampling(ours, x),
            lambda size, M: _captum().bayes_grad(self.twin, x, classes, M, size),
            lambda size, M: loop.bayes_grad(self.model, self.forward, x, classes, M),
        )
        if any(isinstance(link, L.BatchNormalization) for link in self.model.links()):
            # In the loop it would normalize with each batch's own statistics, and the
            # model would not be the same behind it.
            del sides["loop"]
        return Row(
            "bayesgrad",
            self.titled(f"BayesGrad, M = {M}", x),
            sides,
            in_standard_errors,
            None,
            M,
            trial,
            True,
        )

    def integrated_gradients(self, steps: int, trial: int) -> Row:
        """Return the row of Integrated Gradients."""
        x, classes = self.examples(True)

        def ours(size: int | None, n: int) -> np.ndarray:
            kind = IntegratedGradientsCalculator
            calculator = self.calculator(kind, classes, steps=n)
            return calculator.compute(x, batchsize=size, show_progress=False)

        return Row(
            "ig",
            self.titled(f"IntegratedGradients, {steps} steps", x),
            self._sides(
                x,
                ours,
                lambda size, n: _captum().integrated_gradients(
                    self.twin, x, classes, n, size
                ),
                lambda size, n: loop.integrated_gradients(
                    self.model, self.forward, x, classes, n
                ),
            ),
            same,
            same,
            steps,
            trial,
            True,
        )

    def occlusion(
        self, title: str, window: tuple[int, ...], stride: tuple[int, ...], trial: int
    ) -> Row:
        """Return Occlusion's row.

        Args:
            title (str): What the table calls it.
            window (tuple of int): Its length along each axis of an example; where it
                is the whole axis, the window does not slide.
            stride (tuple of int): How far it moves along each of them.
            trial (int): By how many times as far it moves in a trial.
        """
        x, classes = self.examples(True)
        slides = [w < n for w, n in zip(window, x.shape[1:])]
        axes = tuple(axis for axis, slide in enumerate(slides, start=1) if slide)

        def strides(times: int) -> tuple[int, ...]:
            return tuple(min(s * times, w) for s, w in zip(stride, window))

        def ours(size: int | None, times: int) -> np.ndarray:
            calculator = self.calculator(
                OcclusionCalculator,
                classes,
                slide_axis=axes,
                size=tuple(window[axis - 1] for axis in axes),
                stride=tuple(strides(times)[axis - 1] for axis in axes),
            )
            return calculator.compute(x, batchsize=size, show_progress=False)

        def by_loop(size: int, times: int) -> np.ndarray:
            places = list(_places(x.shape[1:], window, strides(times)))
            return loop.occlusion(self.forward, x, classes, places)

        return Row(
            "occlusion",
            self.titled(title, x),
            {
                "ours": Side(ours, (None,)),
                "captum": Side(
                    lambda size, times: _captum().occlusion(
                        self.twin, x, classes, window, strides(times), size
                    ),
                    self.sizes_from(x),
                ),
                "loop": Side(by_loop),
            },
            same,
            same,
            1,
            trial,
            True,
        )

    def lrp(
        self,
        preset: str,
        low: float = 0.0,
        high: float = 1.0,
        rule: Any = None,
        title: str = "",
        canonizers: Any = list,
    ) -> Row:
        """Return the row of an LRP preset, or of a rule that is like one of Zennit's.

        Args:
            preset (str): What it is called.
            low (float): Smallest value of the input.
            high (float): Largest value of the input.
            rule (Composite or None): Ours, if not the preset.
            title (str): What the table calls it, if not by the preset's name.
            canonizers (callable): Makes the canonizers that Zennit needs.
        """
        x, classes = self.examples(False)
        settings = {"rule": rule or preset, "low": low, "high": high}
        ours = self.calculator(LRPCalculator, classes, **settings)

        def zennit(size: int, _: int) -> np.ndarray:
            from peers import with_zennit

            made = with_zennit.composite(preset, low, high, canonizers=canonizers())
            return with_zennit.relevance(self.twin, x, classes, made)

        return Row(
            preset,
            self.titled(title or f"LRP {preset}", x),
            {
                "ours": Side(_running(ours, x), (None,)),
                "zennit": Side(zennit),
            },
            same,
            same,
        )


def _captum() -> Any:
    """Return the module that runs Captum; only where a row asks for it."""
    from peers import with_captum

    return with_captum


def _running(calculator: Any, x: np.ndarray) -> Any:
    return lambda size, _: calculator.compute(x, batchsize=size, show_progress=False)


def _sampling(calculator: Any, x: np.ndarray) -> Any:
    return lambda size, M: calculator.compute(
        x, M=M, batchsize=size, show_progress=False, seed=0
    )


def _places(shape: Any, window: Any, stride: Any) -> Any:
    """Give each place of a window."""
    grid = [(n - w) // s + 1 for n, w, s in zip(shape, window, stride)]
    for place in np.ndindex(*grid):
        yield tuple(slice(i * s, i * s + w) for i, s, w in zip(place, stride, window))

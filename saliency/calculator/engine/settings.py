"""The arguments of ``compute`` that decide what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from saliency.calculator.engine.dataset import Converter
from saliency.calculator.randomness.posteriors import Posterior
from saliency.checks import check_callable, check_positive, is_int
from saliency.settings_repr import text_of

MAX_SAMPLES = 10**9  # of each example; more would take years


@dataclass(frozen=True)
class ComputeSettings:
    """How samples are computed; the names are those of ``compute``.

    Raises:
        TypeError: If one of them is of a wrong kind.
        ValueError: If one of them is out of range.
    """

    M: int
    batchsize: int | None
    converter: Converter
    preprocess_fn: Callable[..., Any] | None
    postprocess_fn: Callable[..., Any] | None
    train: bool
    noise_sampler: Any
    seed: int | None
    posterior: Any

    def __post_init__(self) -> None:
        check_positive("M", self.M)
        if self.M > MAX_SAMPLES:
            raise ValueError(f"M must be at most {MAX_SAMPLES:,}, got {self.M:,}")
        check_positive("batchsize", self.batchsize, or_none=True)
        check_callable("converter", self.converter)
        for name in ("preprocess_fn", "postprocess_fn"):
            if getattr(self, name) is not None:
                check_callable(name, getattr(self, name))
        if self.seed is not None and not (is_int(self.seed) and self.seed >= 0):
            raise ValueError(f"seed must be an int >= 0 or None, got {self.seed!r}")
        check_noise_sampler(self.noise_sampler)
        if not (self.posterior is None or isinstance(self.posterior, Posterior)):
            raise TypeError(
                "posterior must be a saliency.Posterior or None, got "
                f"{self.posterior!r}"
            )

    def described(self) -> str:
        """Return the arguments that samples depend on, but for those of no effect."""
        written: dict[str, Any] = {"M": self.M} if self.M > 1 else {}
        if self.train:
            written["train"] = True
        for name in ("noise_sampler", "posterior", "seed"):
            value = getattr(self, name)
            if value is not None:
                written[name] = value
        return ", ".join(f"{name}={text_of(value)}" for name, value in written.items())


def check_noise_sampler(noise_sampler: Any) -> None:
    """Raise a TypeError unless it is None or has a method ``sample``."""
    if not (noise_sampler is None or hasattr(noise_sampler, "sample")):
        raise TypeError(
            "noise_sampler must have a method sample(array, rng), or be None; got "
            f"{noise_sampler!r}"
        )

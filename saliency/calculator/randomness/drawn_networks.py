"""Networks drawn from a posterior, in the place of the trained one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.calculator.randomness.posteriors import Network, Posterior
from saliency.calculator.randomness.random_streams import RandomStreams

import chainer


class DrawnNetworks:
    """Runs a model with the parameters of each sample.

    Arrays are put in the place of the model's own, which nothing is written into.

    Args:
        posterior (Posterior): What networks are drawn from.
        model (chainer.Link): Whose parameters they have.
        streams (RandomStreams): Where random numbers come from.

    Raises:
        TypeError: If ``model`` is no link.
    """

    def __init__(
        self, posterior: Posterior, model: Any, streams: RandomStreams
    ) -> None:
        if not isinstance(model, chainer.Link):
            raise TypeError(
                "posterior needs a model that is a chainer.Link, whose parameters it "
                f"draws; got {type(model).__name__}"
            )
        self._posterior = posterior
        self._streams = streams
        self._parameters = {k[1:]: p for k, p in model.namedparams()}
        self._persistents = {
            f"{path}/{name}".lstrip("/"): (link, name)
            for path, link in model.namedlinks()
            for name in link._persistent
        }
        self._sample = -1
        self._drawn: dict[str, Any] = {}  # for that sample, on the model's device

    @contextlib.contextmanager
    def of_sample(self, sample: int) -> Iterator[None]:
        """Return a block in which the model is the network of one sample."""
        if self._sample != sample:
            rng = self._streams.of_sample(sample)
            self._drawn = self._checked(self._posterior.draw(sample, rng))
            self._sample = sample
        parameters = [(p, p.array) for p in self._parameters.values()]
        persistents = [(*of, getattr(*of)) for of in self._persistents.values()]
        try:
            for name, value in self._drawn.items():
                if name in self._parameters:
                    self._parameters[name].array = value
                else:
                    setattr(*self._persistents[name], value)
            yield
        finally:
            for parameter, array in parameters:
                parameter.array = array
            for link, name, value in persistents:
                setattr(link, name, value)

    def _checked(self, network: Network) -> dict[str, Any]:
        """Return what was drawn in the types of the model.

        Raises:
            ValueError: If a parameter is missing, unknown, or of another shape.
        """
        own = {name: p.array for name, p in self._parameters.items()}
        missing = [name for name in own if name not in network]
        if missing:
            raise ValueError(
                f"posterior gives no value for the parameter {missing[0]!r} of the "
                f"model; it has {', '.join(map(repr, sorted(network)[:4])) or 'none'}"
            )
        own.update({k: getattr(*of) for k, of in self._persistents.items()})
        return {name: _like(name, value, own) for name, value in network.items()}


def _like(name: str, value: np.ndarray, own: dict[str, Any]) -> Any:
    if name not in own:
        raise ValueError(
            f"posterior gives {name!r}, which is no parameter of the model; it has "
            f"{', '.join(map(repr, sorted(own)[:4]))}"
        )
    if np.shape(value) != np.shape(own[name]):
        raise ValueError(
            f"posterior gives {name!r} of shape {np.shape(value)}, but the model's is "
            f"of shape {np.shape(own[name])}"
        )
    if not isinstance(own[name], chainer.get_array_types()):
        return type(own[name])(value)
    device = chainer.backend.get_device_from_array(own[name])
    return device.send(np.array(value, own[name].dtype))

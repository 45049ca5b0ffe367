"""Networks some of whose layers are drawn anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from saliency.calculator.base_calculator import OWN, BaseCalculator
from saliency.calculator.randomness.posteriors import Network, Posterior
from saliency.checks import check_choice
from saliency.user_warnings import warn_user

import chainer

#: How parameters are drawn anew.
DRAWS = ("normal", "permuted")


class LayersCalled(chainer.LinkHook):
    """Notes which links are called, in the order in which they give their outputs."""

    name = "SaliencyLayersCalled"

    def __init__(self) -> None:
        super().__init__()
        self.links: dict[int, None] = {}

    def forward_postprocess(self, args: Any) -> None:
        """Take note of a link that has been called."""
        self.links.setdefault(id(args.link), None)


class RandomisedNetwork(Posterior):
    """A network whose layers are drawn anew one after the other, for all samples.

    The model is not changed: calculators run it with these parameters.

    Args:
        model (chainer.Link): The trained network.
        draw (str): ``'normal'`` or ``'permuted'``.
        seed (int): Of what is drawn.
    """

    def __init__(self, model: chainer.Link, draw: str, seed: int) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(seed)
        self._network = {}
        # A parameter that links share has several names, and one value.
        names: dict[int, list[str]] = defaultdict(list)
        self._names = {}
        for path, parameter in model.namedparams(include_uninit=False):
            name = path.lstrip("/")
            self._network[name] = chainer.cuda.to_cpu(parameter.array)
            self._names[name] = names[id(parameter)]
            self._names[name].append(name)

    def draw(self, sample: int, rng: np.random.Generator) -> Network:
        """Return the network as it is now."""
        return self._network

    def draw_anew(self, layers: Sequence[str]) -> None:
        """Draw the parameters of some layers anew, which from now on are so.

        Args:
            layers (sequence of str): The paths of links, such as ``'/conv5'``.
        """
        drawn: set[str] = set()
        for name in sorted(self._network):
            layer = f"/{name}".rpartition("/")[0]
            if layer in layers and name not in drawn:
                values = self._drawn(self._network[name])
                self._network.update(dict.fromkeys(self._names[name], values))
                drawn.update(self._names[name])

    def _drawn(self, values: np.ndarray) -> np.ndarray:
        """Return values that are drawn anew, of about the same mean and spread."""
        if values.dtype.kind != "f":
            return values
        if self._draw == "permuted":
            return self._rng.permuted(values)
        mean, scale = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        drawn: np.ndarray = self._rng.normal(mean, scale, values.shape)
        return drawn.astype(values.dtype)


def check_draw(draw: Any) -> None:
    """Raise a ValueError unless it is one of :data:`DRAWS`."""
    check_choice("draw", draw, DRAWS)


def checked_network(calculator: BaseCalculator, settings: dict[str, Any]) -> Any:
    """Return the network of a calculator whose layers can be drawn anew.

    Raises:
        TypeError: If its model is no link.
        ValueError: If it has no parameters, or there is a posterior.
    """
    model = calculator.model
    if not isinstance(model, chainer.Link):
        raise TypeError(
            "explained must have a model that is a chainer.Link, whose layers are "
            f"drawn anew, got {type(model).__name__}"
        )
    if settings.get("posterior") is not None:
        raise ValueError(
            "posterior must be None, since the layers of the trained network are drawn "
            f"anew; got {settings['posterior']!r}"
        )
    if not any(True for _ in model.params(include_uninit=False)):
        raise ValueError("explained must have a model with parameters, got none")
    return model


def keeps_dropout(calculator: BaseCalculator, settings: dict[str, Any]) -> None:
    """Let a calculator draw its dropout for other networks as it does for this one."""
    if calculator.call_defaults.get("train") is OWN:
        settings.setdefault("train", True)


def layers_of(model: chainer.Link) -> dict[str, int]:
    """Return the paths and ids of the links that have parameters of their own."""
    with_parameters = {
        name.rpartition("/")[0] for name, _ in model.namedparams(include_uninit=False)
    }
    return {
        path.rstrip("/"): id(link)
        for path, link in model.namedlinks()
        if path.rstrip("/") in with_parameters
    }


def layers_of_steps(
    model: chainer.Link, called: LayersCalled, given: Sequence[str] | None
) -> list[list[str]]:
    """Return which layers are drawn anew at each step, the last ones first.

    Args:
        model (chainer.Link): The network.
        called (LayersCalled): Which links its passes have called.
        given (sequence of str or None): Paths of links, in the order of the user's.

    Raises:
        ValueError: If a path is that of no link with parameters.
    """
    layers = layers_of(model)
    if given is not None:
        unknown = [path for path in given if path not in layers]
        if unknown or not given:
            known = ", ".join(map(repr, layers))
            raise ValueError(
                f"layers must hold paths of links with parameters, among {known}; got "
                f"{unknown[0] if unknown else given!r}"
            )
        return [[path] for path in given]
    paths: dict[int, str] = {}
    for path, number in layers.items():
        paths.setdefault(number, path)  # a link may have several
    in_order = [paths[number] for number in called.links if number in paths]
    others = [path for path in paths.values() if path not in in_order]
    if others:
        warn_user(
            f"the links {', '.join(map(repr, others))} have parameters and are not "
            "called, so that their place is not known: they are drawn anew at the last "
            "step; pass layers to choose an order"
        )
    return list(_steps(in_order[::-1], others))


def _steps(in_order: list[str], others: list[str]) -> Iterator[list[str]]:
    if not in_order:
        yield others
    for i, path in enumerate(in_order):
        yield [path, *(others if i == len(in_order) - 1 else [])]

"""What is known of a network that is explained, beside the network itself."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from tests.networks import build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples

N_EXAMPLE = 4

#: Every network, by its name.
CASES: dict[str, Case] = {}


@dataclass(frozen=True)
class Case:
    """How a network is explained, and which checks are not for it.

    Attributes:
        network: Makes the network.
        example: ``example(rng, dtype)`` draws an example: an array, or a tuple of what
            the converter takes.
        converter: Makes a batch of examples.
        target: Path of the link where saliency is read; None for the first input.
        timing: Whether it is read at the link's input or output.
        call: Which call of that link, if not all.
        output: Path of the link whose output is explained; None for what is returned.
        eval_fun: ``eval_fun(model, *inputs)`` returns what is explained, if the model
            itself does not.
        class_index: What of the output is explained.
        draws: Whether the network draws random numbers in training mode.
        without: Why a check is not for this network, by the name of the check: "lrp",
            "conservation" of its relevance, "lrp in training" mode, and presets with a
            rule for the "first" layer.
        dtypes: In which Chainer's functions can run it; the widest first.
    """

    network: Callable[[], chainer.Link]
    example: Callable[[np.random.Generator, Any], Any]
    converter: Callable[..., Any] = concat_examples
    target: str | None = None
    timing: str = "post"
    call: int | None = None
    output: str | None = None
    eval_fun: Callable[..., Any] | None = None
    class_index: Any = 1
    draws: bool = False
    without: Mapping[str, str] = field(default_factory=dict)
    dtypes: str = "df"

    def data(self, dtype: Any) -> list[Any]:
        rng = np.random.default_rng(3)
        return [self.example(rng, np.dtype(dtype)) for _ in range(N_EXAMPLE)]

    def inputs(self, examples: list[Any]) -> tuple[Any, ...]:
        """Returns what the model is called with for some examples."""
        converted = self.converter(examples, chainer.get_device("@numpy"))
        return converted if isinstance(converted, tuple) else (converted,)

    def model(self, dtype: Any) -> chainer.Link:
        """Returns the network, always the same one, with gradients left of training."""

        def new() -> chainer.Link:
            np.random.seed(0)  # which Chainer begins with
            network = self.network()
            if not all(p.is_initialized for p in network.params()):
                with chainer.using_config("train", False), chainer.no_backprop_mode():
                    self.run(network, *self.inputs(self.data(dtype)))
            return network

        model = build(new, dtype=dtype)
        for parameter in model.params():
            if parameter.is_initialized:
                parameter.grad = np.ones_like(parameter.array)
        return model

    def run(self, model: chainer.Link, *inputs: Any) -> Any:
        """Returns what the model gives, or the part of it that ``eval_fun`` takes."""
        f = model if self.eval_fun is None else self.function(model)
        return f(*inputs)

    def function(self, model: chainer.Link) -> Callable[..., Any] | None:
        if self.eval_fun is None:
            return None
        return lambda *inputs: self.eval_fun(model, *inputs)

    def calculator(self, new: Callable[..., Any], model: Any, **settings: Any) -> Any:
        links = dict(model.namedlinks())

        def hook(path: str | None, **how: Any) -> Any:
            return None if path is None else VariableMonitorLinkHook(links[path], **how)

        return new(
            model,
            hook(self.target, timing=self.timing, call=self.call),
            hook(self.output, name="output"),
            self.function(model),
            class_index=self.class_index,
            **settings,
        )

    def plain(self, model: chainer.Link, example: Any) -> tuple[float, np.ndarray]:
        """Returns score and gradient of an example, with Chainer alone.

        The model is changed: its gradients, and its state if it has one.
        """
        inputs = self.inputs([example])
        if self.target is None:
            inputs = (chainer.Variable(inputs[0]), *inputs[1:])
        at_target = calls_of(model, self.target, self.timing)
        at_output = calls_of(model, self.output, "post")
        is_test = chainer.using_config("train", False)
        with is_test, at_target as targets, at_output as outputs:
            outputs.append(self.run(model, *inputs))
        if self.output is not None:
            outputs.pop()
        score = sum(F.sum(y[self.explained(y)]) for y in outputs)
        score.backward(retain_grad=True)
        targets = targets or [inputs[0]]
        if self.call is not None:
            targets = [targets[self.call]]
        grads = [t.grad for t in targets if t.grad is not None]
        return float(score.array), sum(grads)

    def explained(self, y: Any) -> Any:
        """Returns the index of what is explained of an output of one row."""
        if self.class_index == "sum":
            return ...
        if self.class_index == "argmax":
            return 0, int(y.array[0].argmax())
        if isinstance(self.class_index, tuple):
            return 0, *self.class_index
        return 0, self.class_index


def explain(example: Any, **how: Any) -> Callable[[Any], Any]:
    """Enters a network, under its own name or another, with how it is explained."""
    name = how.pop("name", None)

    def enter(network: Any) -> Any:
        assert (name or network.__name__) not in CASES
        CASES[name or network.__name__] = Case(network, example, **how)
        return network

    return enter


@contextlib.contextmanager
def calls_of(model: chainer.Link, path: str | None, timing: str) -> Any:
    """Catches what goes into a link or comes out of it, without a hook."""
    found: list[Any] = []
    if path is None:
        yield found
        return
    link = dict(model.namedlinks())[path]
    cls = type(link)

    class Watched(cls):  # type: ignore[misc, valid-type]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            y = super().__call__(*args, **kwargs)
            found.append(args[0] if timing == "pre" else y)
            return y

    link.__class__ = Watched
    try:
        yield found
    finally:
        link.__class__ = cls


def floats(*shape: int) -> Callable[..., np.ndarray]:
    return lambda rng, dtype: rng.normal(size=shape).astype(dtype)


def ids(n: int, *shape: int) -> Callable[..., np.ndarray]:
    return lambda rng, dtype: rng.integers(0, n, shape).astype(np.int32)


def sequence(n: int, longest: int) -> Callable[..., np.ndarray]:
    """Draws ids of a sequence of two or more."""

    def draw(rng, dtype):
        return rng.integers(1, n, rng.integers(2, longest + 1)).astype(np.int32)

    return draw


def together(*parts: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    return lambda rng, dtype: tuple(part(rng, dtype) for part in parts)


def as_lists(examples: list[Any], device: Any) -> Any:
    """Converts as Chainer's examples for texts do: a list for each input."""
    device = chainer.get_device(device)
    if isinstance(examples[0], tuple):
        return tuple([device.send(x) for x in xs] for xs in zip(*examples))
    return [device.send(x) for x in examples]


def padded(examples: list[Any], device: Any) -> Any:
    return concat_examples(examples, device, padding=0)

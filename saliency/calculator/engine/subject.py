"""What is explained: a model, what of its output, and where saliency is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Union

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.engine.explained_output import ClassIndex, checked_class_index
from saliency.calculator.engine.foreign_models import check_model
from saliency.calculator.engine.links_within import links_within
from saliency.calculator.engine.parts import Parts, array_of, parts_of
from saliency.chainer_compat import gpu_problem
from saliency.checks import is_int

import chainer

#: Where saliency is read: at the input of this position, or at a link.
Target = Union[int, VariableMonitorLinkHook]

#: Several targets, or all inputs of floating-point numbers; None for one target.
Targets = Union[str, Sequence[Target], None]


@dataclass(frozen=True)
class Subject:
    """What one call explains; it stays what it is while the call lasts.

    Attributes:
        model (callable): The trained model.
        eval_fun (callable): Returns the output that is explained, for the inputs.
        targets (tuple of int or VariableMonitorLinkHook, or str): Where saliency is
            read: positions of inputs, and links; or ``'all'``.
        gives_tuple (bool): Whether there is a result for each target, in a tuple.
        output_extractor (VariableMonitorLinkHook or None): What is explained in place
            of what ``eval_fun`` returns.
        class_index: Which column of the output; None for the sum of all.
        sum_is_asked_for (bool): Whether nobody needs to be warned of that sum.
        device (chainer.backend.Device): Where the model is.
    """

    model: Callable[..., Any]
    eval_fun: Callable[..., Any]
    targets: tuple[Target, ...] | str
    gives_tuple: bool
    output_extractor: VariableMonitorLinkHook | None
    class_index: ClassIndex
    sum_is_asked_for: bool
    device: Any

    @classmethod
    def of(
        cls,
        model: Any,
        target_extractor: Any,
        output_extractor: Any,
        eval_fun: Any,
        class_index: Any,
        device: Any,
        *,
        targets: Any = None,
        none_means: str = "sum",
        allows_all: bool = False,
    ) -> Subject:
        """Return the subject that the arguments of a calculator describe.

        Args:
            model: See :class:`~saliency.calculator.base_calculator.BaseCalculator`.
            target_extractor: See there.
            output_extractor: See there.
            eval_fun: See there.
            class_index: See there.
            device: See there.
            targets: See there.
            none_means (str): What ``class_index=None`` means, ``'sum'`` or
                ``'argmax'``.
            allows_all (bool): Whether ``class_index='all'`` is allowed.

        Raises:
            TypeError, ValueError: If one of them is not allowed.
        """
        if eval_fun is not None:
            check_model("eval_fun", eval_fun)
        else:
            check_model("model", model)
        found, gives_tuple = _targets(target_extractor, targets)
        _check_extractor("output_extractor", output_extractor)
        if output_extractor is not None and output_extractor.calls == "stack":
            raise ValueError(
                "calls='stack' is for target_extractor; the scores of several calls of "
                "output_extractor's link add up, or pass call=0, 1, ... for one"
            )
        class_index = checked_class_index(class_index, allows_all)
        is_sum = isinstance(class_index, str) and class_index == "sum"
        if is_sum:
            class_index = None
        elif class_index is None and none_means == "argmax":
            class_index = "argmax"
        return cls(
            model,
            eval_fun if eval_fun is not None else model,
            found,
            gives_tuple,
            output_extractor,
            class_index,
            is_sum,
            _find_device(device, model, eval_fun),
        )

    @property
    def extractors(self) -> tuple[VariableMonitorLinkHook, ...]:
        """The extractors that there are, each once."""
        both = (*self.targets, self.output_extractor)
        found = [one for one in both if isinstance(one, VariableMonitorLinkHook)]
        return tuple(dict.fromkeys(found))

    @property
    def explains_all_classes(self) -> bool:
        """Whether every column of the output is explained by itself."""
        return isinstance(self.class_index, str) and self.class_index == "all"

    @property
    def is_of_one_link(self) -> bool:
        """Whether saliency is read at one link, rather than at an input or several."""
        return not (self.gives_tuple or isinstance(self.targets[0], int))

    @property
    def stacks_calls(self) -> bool:
        """Whether the calls of a target's link are one target."""
        return any(
            getattr(target, "calls", "sum") == "stack" for target in self.targets
        )

    def targets_of(self, inputs: Sequence[Any]) -> tuple[Target, ...]:
        """Return the targets for what the model is called with.

        Raises:
            TypeError: If they are all inputs of floating-point numbers, and there are
                none; or one is an input that is a list of examples, and no array.
            ValueError: If there is no input of a position.
        """
        if isinstance(self.targets, str):
            found = tuple(i for i, x in enumerate(inputs) if _is_float(x))
            if found:
                return found
            raise TypeError(
                "targets='all' means all inputs of floating-point numbers, and data "
                "has none. If they hold measurements or pixels, pass "
                "data.astype(np.float32). For discrete inputs (atom numbers, tokens) "
                "read saliency at the embedding: "
                "target_extractor=VariableMonitorLinkHook(model.embed)"
            )
        for target in self.targets:
            if isinstance(target, int) and target >= len(inputs):
                raise ValueError(
                    f"targets must be positions of inputs in 0..{len(inputs) - 1} "
                    f"(data has {len(inputs)}), or extractors; got {target}"
                )
            if isinstance(target, int) and isinstance(inputs[target], (list, tuple)):
                raise TypeError(
                    f"input {target} must be an array to be explained, but converter "
                    "makes a list of examples of it. Read saliency at a link that all "
                    "of them go through, as "
                    "target_extractor=VariableMonitorLinkHook(model.embed); or pad "
                    "them, converter=functools.partial(concat_examples, padding=0), "
                    "for an eval_fun that takes an array"
                )
        return self.targets

    def inputs_behind(self, target: Target, n_input: int) -> list[int]:
        """Return the positions of the inputs whose length an axis of a target may have.

        Args:
            target (int or VariableMonitorLinkHook): The target.
            n_input (int): How many inputs there are.
        """
        if isinstance(target, int):
            return [target]
        return list(range(n_input)) if self.gives_tuple else [0]

    def refuse_several_targets(self, who: str) -> None:
        """Raise a ValueError if there are several, and say who explains but one."""
        if self.gives_tuple:
            raise ValueError(
                f"{who} explains one target: targets must be None, and "
                "target_extractor one VariableMonitorLinkHook or None; got "
                f"{self.targets!r}"
            )

    @property
    def links(self) -> list[chainer.Link]:
        """The links that are run, as far as one can see from outside."""
        return links_within(self.model, self.eval_fun)

    @cached_property
    def parts(self) -> Parts:
        """What these links consist of, when that is asked for first."""
        return parts_of(self.links)

    def __getstate__(self) -> dict[str, Any]:
        # The parts are those of the model in this process.
        return {k: v for k, v in vars(self).items() if k != "parts"}

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the model's floating-point parameters.

        None if they have several, or there are none; or where Chainer is told to mix
        them (``chainer.mixed16``).
        """
        if not isinstance(self.model, chainer.Link):
            return None
        if chainer.config.dtype is chainer.mixed16:
            return None
        runs_more = self.eval_fun is not self.model
        parts = parts_of([self.model]) if runs_more else self.parts
        arrays = [array_of(p) for _, p in parts.parameters]
        found = {a.dtype for a in arrays if a is not None and a.dtype.kind == "f"}
        return found.pop() if len(found) == 1 else None


def gives_tuple(target_extractor: Any, targets: Any) -> bool:
    """Tell whether two arguments of a calculator describe several targets.

    Raises:
        TypeError, ValueError: If they are not allowed.
    """
    return _targets(target_extractor, targets)[1]


def _targets(extractor: Any, targets: Any) -> tuple[tuple[Target, ...] | str, bool]:
    """Return the targets that two arguments describe, and whether they are several.

    Raises:
        TypeError, ValueError: If they are not allowed.
    """
    name = "targets"
    if isinstance(extractor, (list, tuple)):
        name, extractor, given = "target_extractor", None, extractor
        if targets is not None:
            raise ValueError(
                "target_extractor and targets must not be given both; pass all in "
                f"targets, got target_extractor={given!r} and targets={targets!r}"
            )
        targets = given
    _check_extractor("target_extractor", extractor)
    if targets is None:
        return (0 if extractor is None else extractor,), False
    if extractor is not None:
        raise ValueError(
            "target_extractor and targets must not be given both; pass all in targets, "
            f"got target_extractor={extractor!r} and targets={targets!r}"
        )
    if isinstance(targets, str) and targets == "all":
        return targets, True
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise TypeError(
            f"{name} must be 'all', a list of positions of inputs and of "
            f"VariableMonitorLinkHooks, or None; got {targets!r}"
        )
    if not targets:
        raise ValueError(f"{name} must hold at least one target, got {targets!r}")
    return tuple(_checked_target(name, one, targets) for one in targets), True


def _checked_target(name: str, target: Any, targets: Sequence[Any]) -> Target:
    if sum(one is target or one == target for one in targets) > 1:
        raise ValueError(f"{name} must hold different targets, got {target!r} twice")
    if isinstance(target, VariableMonitorLinkHook):
        return target
    if not is_int(target):
        raise TypeError(
            f"{name} must hold positions of inputs (0, 1, ...) and "
            f"VariableMonitorLinkHooks, got {target!r}"
        )
    if target < 0:
        raise ValueError(
            f"{name} must hold positions of inputs, counted from 0; got {target}"
        )
    return int(target)


def _is_float(x: Any) -> bool:
    array = x.array if isinstance(x, chainer.Variable) else x
    return isinstance(array, chainer.get_array_types()) and array.dtype.kind == "f"


def _check_extractor(name: str, extractor: Any) -> None:
    if not (extractor is None or isinstance(extractor, VariableMonitorLinkHook)):
        several = ", a list of them" if name == "target_extractor" else ""
        raise TypeError(
            f"{name} must be a VariableMonitorLinkHook{several} or None, got "
            f"{extractor!r}"
        )


def _find_device(device: Any, model: Any, eval_fun: Any) -> Any:
    of_model = model.device if isinstance(model, chainer.Link) else None
    if device is None:
        return of_model or _device_within(model, eval_fun)
    try:
        found = chainer.get_device(device)
        with chainer.using_device(found):
            pass
    except Exception as error:  # CuPy has errors of its own for what is not there
        is_gpu = is_int(device) or str(device).startswith("@cupy:")
        reason = (gpu_problem() if is_gpu else None) or " ".join(str(error).split())
        raise ValueError(
            f"device={device!r} cannot be used: {reason}. For the CPU pass None, -1 "
            "or '@numpy'"
        ) from error
    if of_model is not None and found != of_model:
        raise ValueError(
            f"device={device!r}, but the model is on {of_model}; move it there with "
            "model.to_device(device), or pass device=None"
        )
    return found


def _device_within(*called: Any) -> Any:
    """Return where the links are that callables hold; the CPU if not on one device."""
    devices = {link.device.name: link.device for link in links_within(*called)}
    return devices.popitem()[1] if len(devices) == 1 else chainer.get_device("@numpy")

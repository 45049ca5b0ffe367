"""What is explained: a model, what of its output, and where saliency is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.engine.explained_output import ClassIndex, check_class_index
from saliency.calculator.engine.links_within import links_within
from saliency.chainer_compat import gpu_problem
from saliency.checks import check_callable, is_int

import chainer


@dataclass(frozen=True)
class Subject:
    """What one call explains; it stays what it is while the call lasts.

    Attributes:
        model (callable): The trained model.
        eval_fun (callable): Returns the output that is explained, for the inputs.
        target_extractor (VariableMonitorLinkHook or None): Where saliency is read.
        output_extractor (VariableMonitorLinkHook or None): What is explained in place
            of what ``eval_fun`` returns.
        class_index: Which column of the output; None for the sum of all.
        sum_is_asked_for (bool): Whether nobody needs to be warned of that sum.
        device (chainer.backend.Device): Where the model is.
    """

    model: Callable[..., Any]
    eval_fun: Callable[..., Any]
    target_extractor: VariableMonitorLinkHook | None
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
            none_means (str): What ``class_index=None`` means, ``'sum'`` or
                ``'argmax'``.
            allows_all (bool): Whether ``class_index='all'`` is allowed.

        Raises:
            TypeError, ValueError: If one of them is not allowed.
        """
        if eval_fun is not None:
            check_callable("eval_fun", eval_fun)
        else:
            check_callable("model", model)
        _check_extractor("target_extractor", target_extractor)
        _check_extractor("output_extractor", output_extractor)
        check_class_index(class_index, allows_all)
        is_sum = isinstance(class_index, str) and class_index == "sum"
        if is_sum:
            class_index = None
        elif class_index is None and none_means == "argmax":
            class_index = "argmax"
        return cls(
            model,
            eval_fun if eval_fun is not None else model,
            target_extractor,
            output_extractor,
            class_index,
            is_sum,
            _find_device(device, model),
        )

    @property
    def extractors(self) -> tuple[VariableMonitorLinkHook, ...]:
        """The extractors that there are, each once."""
        both = (self.target_extractor, self.output_extractor)
        found = [extractor for extractor in both if extractor is not None]
        return tuple(dict.fromkeys(found))

    @property
    def links(self) -> list[chainer.Link]:
        """The links that are run, as far as one can see from outside."""
        return links_within(self.model, self.eval_fun)

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
        parameters = self.model.params(include_uninit=False)
        found = {p.dtype for p in parameters if p.dtype.kind == "f"}
        return found.pop() if len(found) == 1 else None


def _check_extractor(name: str, extractor: Any) -> None:
    if not (extractor is None or isinstance(extractor, VariableMonitorLinkHook)):
        raise TypeError(
            f"{name} must be a VariableMonitorLinkHook or None, got {extractor!r}"
        )


def _find_device(device: Any, model: Any) -> Any:
    of_model = model.device if isinstance(model, chainer.Link) else None
    if device is None:
        return of_model or chainer.get_device("@numpy")
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

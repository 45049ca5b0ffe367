"""Classes that stay what they are where an example, or the network, is changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator import BaseCalculator
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass

#: Stands for no class, where the calculator asks for none.
_NONE = -1


def with_fixed_classes(
    calculator: BaseCalculator, data: Any, settings: dict[str, Any]
) -> BaseCalculator:
    """Return a calculator that explains the classes predicted now, whatever follows.

    Args:
        calculator (BaseCalculator): The calculator.
        data: The examples.
        settings (dict): Arguments of its ``compute_aggregate``.

    Returns:
        BaseCalculator: The same one where it explains no predicted classes.
    """
    of_class = calculator.class_index
    predicts = isinstance(of_class, str) and of_class == "argmax"
    if not (predicts or (of_class is None and calculator.none_means == "argmax")):
        return calculator
    names = ("batchsize", "converter", "preprocess_fn")
    how = {name: settings[name] for name in names if name in settings}
    asked = _PredictedClasses(
        model=calculator.model,
        target_extractor=calculator.target_extractor,
        output_extractor=calculator.output_extractor,
        eval_fun=calculator.eval_fun,
        class_index="argmax",
        device=calculator.device,
        targets=calculator.targets,
        explains=calculator,
    )
    (classes,) = asked.compute(data, show_progress=False, **how)
    if (classes == _NONE).any():
        return calculator
    return calculator.replace(class_index=classes.astype(int))


class _PredictedClasses(BaseCalculator):
    """The class that a calculator explains of each example; no saliency."""

    explains: BaseCalculator

    needs_gradient = False
    tells_calls_apart = False
    tells_targets_apart = False
    is_of_target = False
    is_of_examples = True

    def predicted_classes(self, this: ForwardPass) -> np.ndarray | None:
        """Return what the calculator means by the predicted classes."""
        return self.explains.predicted_classes(this)

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the class of each row."""
        if isinstance(classes, np.ndarray):
            return classes.astype(np.float64)
        return np.full(len(this.rows), float(_NONE))

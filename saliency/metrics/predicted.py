"""Classes that stay what they are where an example, or the network, is changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator import BaseCalculator
from saliency.calculator.engine.explained_output import Explained, number_of_classes
from saliency.calculator.engine.forward_pass import ForwardPass

#: Stands for no class, where the calculator asks for none.
_NONE = -(2**31)


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
    classes, _ = _asked(calculator, data, settings)
    if (classes == _NONE).any():
        return calculator
    return calculator.replace(class_index=classes)


def classes_of(
    calculator: BaseCalculator, data: Any, settings: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class that is explained of each example, and how many there are.

    Args:
        calculator (BaseCalculator): The calculator.
        data: The examples.
        settings (dict): Arguments of its ``compute_aggregate``.

    Returns:
        tuple: ``(N,)`` each, of int.

    Raises:
        ValueError: If no single class is explained, or there is but one.
    """
    classes, n_class = _asked(calculator, data, settings)
    if (classes == _NONE).any():
        raise ValueError(
            "explained must explain one class of each example: pass class_index, an "
            "int, one for each example, or 'argmax', to the calculator; got "
            f"{calculator.class_index!r}"
        )
    if n_class.min() < 2:
        raise ValueError(
            "explained must explain an output of several classes, got one class"
        )
    return classes % n_class, n_class  # -1 is the last one


def _asked(
    calculator: BaseCalculator, data: Any, settings: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class that is explained of each example, and how many there are."""
    # With the seed, since a dataset may draw its examples.
    names = ("batchsize", "converter", "preprocess_fn", "seed")
    how = {name: settings[name] for name in names if name in settings}
    of_class = calculator.class_index
    if of_class is None:
        of_class = "argmax" if calculator.none_means == "argmax" else "sum"
    asked = _ExplainedClasses(
        model=calculator.model,
        target_extractor=calculator.target_extractor,
        output_extractor=calculator.output_extractor,
        eval_fun=calculator.eval_fun,
        class_index=of_class,
        device=calculator.device,
        targets=calculator.targets,
        explains=calculator,
    )
    (found,) = asked.compute(data, show_progress=False, **how)
    classes, n_class = found.astype(int).T
    return classes, n_class


class _ExplainedClasses(BaseCalculator):
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
        """Return the class of each row, and how many there are, ``(n_row, 2)``."""
        n_row = len(this.rows)
        found = np.full((n_row, 2), float(_NONE))
        if isinstance(classes, np.ndarray):
            found[:, 0] = classes
            found[:, 1] = number_of_classes(this.outputs[0].array, n_row)
        return found

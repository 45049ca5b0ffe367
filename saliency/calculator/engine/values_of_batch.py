"""Notices outputs that hold several values for the batch, and not one for each row."""

from __future__ import annotations

from typing import Callable

from saliency.calculator.engine.forward_pass import ForwardPass


class ValuesOfBatch:
    """Refuses losses of the batch that would pass for one value for each row.

    An output of shape ``(k,)`` of k rows looks the same in both cases. Another number
    of rows shows which it is: that pass is run once, where there is such an output.
    """

    def __init__(self) -> None:
        self._is_known = False

    def refuse(self, this: ForwardPass, run: Callable[[int], ForwardPass]) -> None:
        """Raise a ValueError if an output does not follow the number of rows.

        Args:
            this (ForwardPass): A pass.
            run (callable): Runs a number of rows.
        """
        n_row = len(this.rows)
        if self._is_known or n_row == 1 or all(y.ndim != 1 for y in this.outputs):
            return
        self._is_known = True
        # Not one row, which a constant of the model may turn into several.
        n_other = 2 if n_row != 2 else 3
        try:
            others = run(n_other).outputs
        except Exception:
            # A model with constants for each example of the data runs with those rows
            # alone. An error that has another cause would have come before.
            return
        for of_rows, of_others in zip(this.outputs, others):
            if of_rows.shape == of_others.shape == (n_row,):
                raise ValueError(
                    f"the output has shape {of_rows.shape} for {n_row} rows, and for "
                    f"{n_other} rows too: these are {n_row} values for the whole "
                    "batch, and not one for each example. To explain them together, "
                    "add them up in eval_fun (F.sum); to explain one, return that alone"
                )

"""Notices outputs that hold several values for the batch, and not one for each row."""

from __future__ import annotations

from typing import Callable

from saliency.calculator.engine.forward_pass import ForwardPass


class ValuesOfBatch:
    """Refuses losses of the batch that would pass for one value for each row.

    An output of shape ``(k,)`` of k rows looks the same in both cases. One row by
    itself shows which it is: that pass is run once, where there is such an output.
    """

    def __init__(self) -> None:
        self._is_known = False

    def refuse(self, this: ForwardPass, run_one_row: Callable[[], ForwardPass]) -> None:
        """Raise a ValueError if an output does not follow the number of rows.

        Args:
            this (ForwardPass): A pass of several rows.
            run_one_row (callable): Runs a single one.
        """
        n_row = len(this.rows)
        if self._is_known or n_row == 1 or all(y.ndim != 1 for y in this.outputs):
            return
        self._is_known = True
        for of_rows, of_one in zip(this.outputs, run_one_row().outputs):
            if of_rows.shape == (n_row,) and of_one.size != 1:
                raise ValueError(
                    f"the output has shape {of_rows.shape} for {n_row} rows, and shape "
                    f"{of_one.shape} for one row: these are {n_row} values for the "
                    "whole batch, and not one for each example. To explain them "
                    "together, add them up in eval_fun (F.sum); to explain one, return "
                    "that alone"
                )

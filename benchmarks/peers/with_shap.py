"""KernelSHAP of shap on a twin, as its documentation runs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import shap
import torch

from peers.tensors import array, tensor


def kernel(model: Any, x: np.ndarray, column: int, n: int) -> np.ndarray:
    """Return Shapley values by n coalitions for each row, from a baseline of 0.

    shap chooses features by a penalty unless it is told not to.
    """

    def score(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return array(model(tensor(rows.astype(x.dtype))))[:, column]

    explainer = shap.KernelExplainer(score, np.zeros_like(x[:1]))
    found = explainer.shap_values(x, nsamples=n, l1_reg=0, silent=True)
    return np.asarray(found)

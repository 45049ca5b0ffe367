"""Arrays as tensors and back, on the device on which the peers compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

_device = torch.device("cpu")


def compute_on(device: str) -> None:
    """Let the peers compute on a device of PyTorch's, as in ``"cuda"``.

    On a GPU, PyTorch would multiply in a shorter format (TF32) than NumPy and CuPy do.
    """
    global _device
    _device = torch.device(device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def placed(module: Any) -> Any:
    """Return a module on the device."""
    return module.to(_device)


def tensor(x: np.ndarray) -> torch.Tensor:
    """Return a tensor of its own with the values of x."""
    return torch.from_numpy(x.copy()).to(_device)


def array(tensor: torch.Tensor) -> np.ndarray:
    """Return the values of a tensor."""
    return tensor.detach().cpu().numpy()

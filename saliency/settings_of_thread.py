"""Settings of ``chainer.config`` within a block, several of them at once."""

from __future__ import annotations

from typing import Any

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)

import chainer

_of_threads = chainer.config._local


class settings_of_thread:  # noqa: N801 (it is called as a function is)
    """A block in which this thread has other settings of ``chainer.config``.

    As ``chainer.using_config`` does it for one of them, in a fraction of its time: each
    pass is run in several such blocks.

    Args:
        settings: By name, such as ``train=False``.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def __enter__(self) -> None:
        own = _of_threads.__dict__  # of this thread
        self._before = {k: own[k] for k in self._settings if k in own}
        own.update(self._settings)

    def __exit__(self, *error: object) -> None:
        own = _of_threads.__dict__
        for name in self._settings:
            own.pop(name, None)
        own.update(self._before)

"""Links that override ``__call__``: Chainer tells hooks of no call of theirs."""

from __future__ import annotations

import contextlib
import functools
import threading
from contextlib import AbstractContextManager
from typing import Any

from saliency.replaced_methods import Method, ReplacedMethods

import chainer
from chainer.link_hook import (
    _ForwardPostprocessCallbackArgs,
    _ForwardPreprocessCallbackArgs,
)


def told_of_calls(link: chainer.Link) -> AbstractContextManager[None]:
    """Return a block in which link hooks are told of the calls of a link.

    Chainer tells them in ``Link.__call__``. Models from before its version 5, and
    those of ``chainer_chemistry``, override that, as ``forward`` is overridden today.

    Args:
        link (chainer.Link): The link.
    """
    if type(link).__call__ is chainer.Link.__call__:
        return contextlib.nullcontext()
    owner = type(link)
    with _lock:
        if owner not in _replaced:
            _replaced[owner] = ReplacedMethods({(owner, "__call__"): _tell_hooks})
    return _replaced[owner].replaced()


_replaced: dict[type, ReplacedMethods] = {}
_lock = threading.Lock()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.told: list[chainer.Link] = []  # whose calls under way hooks were told of


_thread = _Thread()


def is_told_already(link: chainer.Link) -> bool:
    """Tell whether hooks know of the call of a link, which has called its base."""
    return any(known is link for known in _thread.told)


def _tell_hooks(original: Method) -> Method:
    @functools.wraps(original)
    def call(self: chainer.Link, *args: Any, **kwargs: Any) -> Any:
        hooks = [*chainer._get_link_hooks().values(), *self.local_link_hooks.values()]
        hooks = [h for h in hooks if getattr(h, "target_link", None) is self]
        if not hooks or is_told_already(self):
            return original(self, *args, **kwargs)
        before = _ForwardPreprocessCallbackArgs(self, "__call__", args, kwargs)
        for hook in hooks:
            hook.forward_preprocess(before)
        _thread.told.append(self)
        try:
            out = original(self, *args, **kwargs)
        finally:
            _thread.told.pop()
        after = _ForwardPostprocessCallbackArgs(self, "__call__", args, kwargs, out)
        for hook in hooks:
            hook.forward_postprocess(after)
        return out

    return call

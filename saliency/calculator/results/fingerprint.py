"""What a call was made with, in a form that can be kept and compared later."""

from __future__ import annotations

import functools
import hashlib
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.checks import is_int

import chainer


def fingerprint(value: Any) -> Any:
    """Describe a value with what JSON has: equal values, in whichever process.

    Arrays and the parameters of links are there as their digest; functions by their
    name and their code, without what they close over; other objects by their class
    and attributes, or by what is pickled of them if they say that themselves.
    """
    return _Describer().describe(value)


class _Describer:
    """Describes values, each object once."""

    def __init__(self) -> None:
        # With the object, so that its id is not given to another meanwhile.
        self._seen: dict[int, tuple[Any, Any]] = {}

    def describe(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if is_int(value):
            return int(value)
        if isinstance(value, (float, np.floating, complex, bytes, np.dtype)):
            return repr(value)
        if id(value) not in self._seen:
            self._seen[id(value)] = value, f"the same {_name(type(value))} again"
            self._seen[id(value)] = value, self._describe_object(value)
        return self._seen[id(value)][1]

    def _describe_object(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {str(k): self.describe(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.describe(v) for v in value]
        if isinstance(value, (set, frozenset)):
            return sorted(repr(self.describe(v)) for v in value)
        if isinstance(value, chainer.Variable):
            return self.describe(value.array)
        if isinstance(value, chainer.get_array_types()):
            return _describe_array(value)
        if isinstance(value, chainer.Link):
            return _describe_link(value)
        if isinstance(value, VariableMonitorLinkHook):
            parts = [value.target_link, value.timing, value.call, value.extract_fn]
            return self.describe(parts)
        if isinstance(value, chainer.backend.Device):
            return str(value)
        if isinstance(value, functools.partial):
            return self.describe([value.func, value.args, value.keywords])
        if isinstance(value, MethodType):
            return self.describe([value.__func__, value.__self__])
        if isinstance(value, type):
            return _name(value)
        if isinstance(value, FunctionType):
            return f"{_name(value)} {_digest(_code(value.__code__))}"
        return self._describe_attributes(value)

    def _describe_attributes(self, value: Any) -> Any:
        says_itself = any("__getstate__" in vars(c) for c in type(value).__mro__[:-1])
        state = value.__getstate__() if says_itself else getattr(value, "__dict__", {})
        return {"class": _name(type(value)), "state": self.describe(state)}


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _describe_array(array: Any) -> str:
    array = np.ascontiguousarray(chainer.get_device("@numpy").send(array))
    if array.dtype.hasobject:
        return f"{array.dtype}{array.shape}"
    return f"{array.dtype}{array.shape} {_digest(array.view(np.uint8).data)}"


def _describe_link(link: chainer.Link) -> str:
    """Describe a link by its class, its parameters and its persistent values."""
    state = [(path, p.array) for path, p in link.namedparams()]
    for path, child in link.namedlinks():
        state += [(f"{path}/{n}", getattr(child, n)) for n in child._persistent]
    lines = sorted(f"{path} {_Describer().describe(value)}" for path, value in state)
    return f"{_name(type(link))} {_digest(chr(10).join(lines).encode())}"


def _code(code: CodeType) -> bytes:
    simple = (bool, int, float, complex, str, bytes, tuple, type(None))
    constants = [c for c in code.co_consts if isinstance(c, simple)]
    inner = [_code(c) for c in code.co_consts if isinstance(c, CodeType)]
    return repr((code.co_code, code.co_names, constants, inner)).encode()


def _digest(data: Any) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"

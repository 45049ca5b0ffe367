"""What a call was made with, in a form that can be kept and compared later."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.engine.dataset import Batches
from saliency.checks import is_int

import chainer

# Of a longer list there is a digest: of a class for each example, say.
_MAX_LISTED = 1000


def fingerprint(value: Any) -> Any:
    """Describe a value with what JSON has: equal values, in whichever process.

    Arrays, long lists and the parameters of links are there as their digest; functions
    and classes by their name; other objects by what would be pickled of them, usually
    their class and attributes. What functions do, and what links have besides
    parameters and persistent values, is not described: that is compared by what comes
    out.
    """
    return _Describer().describe(value)


def digest_of_data(batches: Batches) -> str:
    """Return a digest of all examples, read batch by batch.

    An array and a list of its rows have the same.
    """
    digest = hashlib.sha256()
    kinds: list[tuple[str, int]] = []  # of examples, with how many there are in a row
    for start in range(0, batches.n_example, batches.batchsize):
        stop = min(start + batches.batchsize, batches.n_example)
        for kind, n_example, data in _described(batches.peek(start, stop)):
            digest.update(data)
            if kinds and kinds[-1][0] == kind:
                n_example += kinds.pop()[1]
            kinds.append((kind, n_example))
    digest.update(json.dumps(kinds).encode())
    return f"sha256:{digest.hexdigest()}"


def _described(examples: Any) -> Iterator[tuple[str, int, Any]]:
    """Give kind, number and bytes of examples, those of an array at once."""
    if _is_plain(examples):
        array = _contiguous(examples)
        yield _kind(array.dtype, array.shape[1:]), len(array), _bytes_of(array)
        return
    for example in examples:
        kind, data = _describe_example(example)
        yield kind, 1, data


def _describe_example(example: Any) -> tuple[str, Any]:
    if _is_plain(example):
        array = _contiguous(example)
        return _kind(array.dtype, array.shape), _bytes_of(array)
    if type(example) is tuple:
        parts = [_describe_example(part) for part in example]
        kinds = ", ".join(kind for kind, _ in parts)
        return f"({kinds})", b"".join(data for _, data in parts)
    text = json.dumps(fingerprint(example), sort_keys=True).encode()
    return f"{len(text)} characters", text


def _is_plain(value: Any) -> bool:
    is_array = isinstance(value, chainer.get_array_types())
    return is_array and value.ndim > 0 and not value.dtype.hasobject


@functools.lru_cache(maxsize=1000)
def _kind(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    return f"{dtype.str}{shape}"


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
            described = [self.describe(v) for v in value]
            return (
                described if len(value) <= _MAX_LISTED else _described_long(described)
            )
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
        if isinstance(value, (FunctionType, BuiltinFunctionType)):
            return _name(value)
        if isinstance(value, ModuleType):
            return value.__name__
        return {"class": _name(type(value)), "state": self.describe(_state(value))}


def _described_long(described: list[Any]) -> str:
    return f"list of {len(described)} {_digest(json.dumps(described).encode())}"


def _state(value: Any) -> Any:
    """Return what would be pickled of an object: its attributes, for most."""
    try:
        parts = value.__reduce_ex__(2)
    except Exception:  # of what cannot be pickled
        return getattr(value, "__dict__", {})
    if isinstance(parts, str):
        return parts  # the name of one that there is once
    return [list(p) if isinstance(p, Iterator) else p for p in parts[1:]]


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _describe_array(array: Any) -> str:
    array = _contiguous(array)
    what = f"{array.dtype}{array.shape}"
    if array.dtype.hasobject:
        elements = json.dumps(fingerprint(array.ravel().tolist()))
        return f"{what} {_digest(elements.encode())}"
    return f"{what} {_digest(_bytes_of(array))}"


def _contiguous(array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        array = chainer.get_device("@numpy").send(array)
    return np.ascontiguousarray(array)


def _bytes_of(array: np.ndarray) -> Any:
    return array.reshape(-1).view(np.uint8).data


def _describe_link(link: chainer.Link) -> str:
    """Describe a link by its class, its parameters and its persistent values."""
    state = [(path, p.array) for path, p in link.namedparams()]
    for path, child in link.namedlinks():
        state += [(f"{path}/{n}", getattr(child, n)) for n in child._persistent]
    lines = sorted(f"{path} {_Describer().describe(value)}" for path, value in state)
    return f"{_name(type(link))} {_digest(chr(10).join(lines).encode())}"


def _digest(data: Any) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"

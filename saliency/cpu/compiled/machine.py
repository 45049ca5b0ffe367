"""What LLVM knows of this machine, and the code that it makes for it."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np

# Bytes of a vector, with AVX-512 and without.
_WIDE, _NARROW = 64, 32


def object_code(module: Any) -> bytes:
    """Return the machine code of a module, as it is in an object file.

    Args:
        module (llvmlite.ir.Module): Has functions.
    """
    import llvmlite.binding as llvm

    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    code: bytes = _new_machine().emit_object(parsed)
    return code


def brought_to_life(code: bytes) -> Any:
    """Return what holds the functions of object code, for as long as it is held.

    Args:
        code (bytes): What :func:`object_code` returned, on such a machine.
    """
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _new_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def description() -> str:
    """Return what the machine code depends on besides the code that is compiled."""
    import llvmlite
    import llvmlite.binding as llvm

    return repr(
        (
            llvmlite.__version__,
            llvm.llvm_version_info,
            llvm.get_default_triple(),
            llvm.get_host_cpu_name(),
            _feature_text(),
        )
    )


def _new_machine() -> Any:
    """Return what writes code for this machine, and then belongs to that code."""
    import llvmlite.binding as llvm

    _initialize()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_feature_text(),
        opt=2,
    )


def lanes_of(dtype: np.dtype) -> int:
    """Return how many numbers the longest vectors have."""
    n_byte = _WIDE if _features().get("avx512f") else _NARROW
    return n_byte // dtype.itemsize


def _feature_text() -> str:
    """Return what this machine can and cannot do, as LLVM reads it."""
    return ",".join(f"{'+' if has else '-'}{k}" for k, has in _features().items())


@functools.cache
def _features() -> dict[str, bool]:
    """Return what this machine can do besides what all of its kind can."""
    import llvmlite.binding as llvm

    _initialize()
    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:  # it is not known of every kind
        return {}


@functools.cache
def _initialize() -> None:
    import llvmlite.binding as llvm

    # Versions from 0.45 on do that by themselves, and say so.
    with contextlib.suppress(RuntimeError):
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()

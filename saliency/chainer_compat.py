"""Makes ``import chainer`` work on today's Python, NumPy, CuPy and protobuf.

Chainer 7.8.1 is the last release. Its import needs ``pkg_resources`` and
``numpy.distutils``, which new installations lack, and names that NumPy removed.
Importing this module imports Chainer with stand-ins for all of these in place and
takes the stand-ins away again. Afterwards ``import chainer`` works as usual, and
neither ``numpy`` nor ``sys.modules`` holds anything of ours. What Chainer needs later
is mended inside the modules of Chainer that need it.

Example:
    >>> import saliency.chainer_compat
    >>> import chainer
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import types
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, Optional

import numpy
from packaging.requirements import Requirement

INSTALL_COMMAND = (
    "PIP_CONSTRAINT=build-constraints.txt "
    "PIP_BUILD_CONSTRAINT=build-constraints.txt "
    "python3 -m pip install ."
)
"""What a user types in a clone of this project to install it and Chainer."""

# What `numpy.sctypes` held, as far as Chainer reads it.
_SCTYPES = {
    "int": [numpy.int8, numpy.int16, numpy.int32, numpy.int64],
    "float": [numpy.float16, numpy.float32, numpy.float64, numpy.longdouble],
}


def import_chainer() -> types.ModuleType:
    """Imports Chainer and mends what recent libraries broke in it.

    Calling it again, or after Chainer was imported in another way, does nothing
    twice.

    Returns:
        The module ``chainer``.

    Raises:
        ImportError: Chainer is not installed. The message says how to install it.
    """
    with _forget_chainer_on_error(), _stand_ins(), _later(), _silence_on_cudnn():
        chainer = _import_or_explain()
        _mend_testing()
        _mend_as_strided()
        _mend_resize_images()
        _mend_padding()
        _mend_caffe_messages()
    return chainer


@functools.cache
def gpu_problem() -> Optional[str]:
    """Tells why Chainer cannot compute on a GPU here.

    CuPy reports itself as available where its CUDA libraries are installed but the
    driver is not, so this computes something on the current device, once.

    Returns:
        The reason in one line, or None if a GPU can be used.
    """
    from chainer.backends import cuda

    try:
        if not cuda.available:
            raise cuda._resolution_error  # What Chainer met when it imported CuPy.
        (cuda.cupy.arange(2) + 1).get()
    except Exception as error:  # CuPy, CUDA and the compiler each have their own.
        reason = f"{type(error).__name__}: {error}"
        return "no usable GPU: " + " ".join(reason.split())
    return None


def gpu_is_usable() -> bool:
    """Whether CuPy is installed and can really compute on a GPU."""
    return gpu_problem() is None


def _import_or_explain() -> types.ModuleType:
    try:
        return importlib.import_module("chainer")
    except ModuleNotFoundError as error:
        if error.name != "chainer":
            raise
        raise ImportError(
            "chainer is not installed. In a clone of this project run: "
            + INSTALL_COMMAND
        ) from None


# --- Stand-ins, in place only while Chainer is imported ------------------------------


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Puts what Chainer's import needs where Chainer looks for it, for a while."""
    # On macOS Chainer asks `get_info` for the BLAS that NumPy would be built with.
    system_info = _module("numpy.distutils.system_info", get_info=lambda name: {})
    distutils = _module("numpy.distutils", system_info=system_info)
    modules = {m.__name__: m for m in (distutils, system_info, _pkg_resources())}
    names = {"distutils": distutils, "sctypes": _SCTYPES}
    with _replaced(sys.modules, modules), _replaced(vars(numpy), names):
        yield


class _Later(types.ModuleType):
    """A module that is imported when something of it is asked for.

    Args:
        name: Its name.
        parts: Names of modules within it.
    """

    def __init__(self, name: str, parts: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.__path__: list[str] = []  # which a package has
        for part in parts:
            setattr(self, part, _Later(f"{name}.{part}"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # which may be asked of all that is in sys.modules
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _later() -> Iterator[None]:
    """Has Chainer's modules import SciPy and h5py when they use them.

    These take a fourth of the time of Chainer's import, and few functions need them.
    CuPy builds on SciPy's modules, and gets them as they are.
    """
    parts = {"scipy": ("io", "linalg", "sparse", "special"), "h5py": ()}
    modules: dict[str, Any] = {}
    if not _can_be_found("cupy"):
        for name, names in parts.items():
            if name not in sys.modules and _can_be_found(name):
                modules[name] = later = _Later(name, names)
                modules.update((f"{name}.{part}", vars(later)[part]) for part in names)
    with _replaced(sys.modules, modules):
        yield


def _can_be_found(name: str) -> bool:
    """Whether a package is there to be imported."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except ImportError:
        return False


@contextlib.contextmanager
def _silence_on_cudnn() -> Iterator[None]:
    """Keeps Chainer from advising to reinstall CuPy with cuDNN.

    CuPy 14 has no cuDNN any more, and Chainer's own kernels take its place. Chainer
    reads the variable when it is imported, and warns while it is.
    """
    try:
        has_cudnn = int(importlib.import_module("cupy").__version__.split(".")[0]) < 14
    except Exception:  # Chainer meets the same, and keeps it for `gpu_problem`.
        has_cudnn = True
    if has_cudnn or "CHAINER_CUDNN" in os.environ:
        yield
        return
    with _replaced(os.environ, {"CHAINER_CUDNN": "0"}):
        yield


@contextlib.contextmanager
def _replaced(
    mapping: MutableMapping[str, Any], items: dict[str, Any]
) -> Iterator[None]:
    """Sets items of a mapping and puts exactly these back at the end."""
    before = {key: mapping[key] for key in items if key in mapping}
    mapping.update(items)
    try:
        yield
    finally:
        for key in items:
            mapping.pop(key, None)
        mapping.update(before)


@contextlib.contextmanager
def _forget_chainer_on_error() -> Iterator[None]:
    """Removes a half-imported Chainer, so that a later import starts afresh."""
    before = set(sys.modules)
    try:
        yield
    except BaseException:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("chainer", "chainerx"):
                del sys.modules[name]
        raise


class _ResolutionError(Exception):
    """A requirement is not satisfied."""


class _DistributionNotFound(_ResolutionError):
    """A required distribution is not installed."""


class _VersionConflict(_ResolutionError):
    """A required distribution is installed in another version."""


def _pkg_resources() -> types.ModuleType:
    """Makes the part of ``pkg_resources`` that Chainer uses."""
    return _module(
        "pkg_resources",
        require=_require,
        get_distribution=_get_distribution,
        WorkingSet=_WorkingSet,
        ResolutionError=_ResolutionError,
        DistributionNotFound=_DistributionNotFound,
        VersionConflict=_VersionConflict,
    )


def _module(name: str, **contents: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(contents)
    return module


def _get_distribution(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise _DistributionNotFound(f"{name} is not installed") from None


def _require(*requirements: str) -> None:
    for text in requirements:
        requirement = Requirement(text)
        version = _get_distribution(requirement.name).version
        if not requirement.specifier.contains(version, prereleases=True):
            raise _VersionConflict(f"{requirement} is needed, {version} is installed")


class _WorkingSet:
    """All installed distributions."""

    require = staticmethod(_require)


# --- Mends, inside single modules of Chainer -----------------------------------------


class _NumpyWith(types.ModuleType):
    """NumPy with some of its removed names, for one place in Chainer to see."""

    def __init__(self, **names: Any) -> None:
        super().__init__("numpy")
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)


def _mend_as_strided() -> None:
    """Gives the backward pass of ``F.as_strided`` ``numpy.sctypes``."""
    module: Any = importlib.import_module("chainer.functions.array.as_strided")
    module.np = _NumpyWith(sctypes=_SCTYPES)


def _mend_resize_images() -> None:
    """Gives the one function of ``F.resize_images`` that needs it ``numpy.float``.

    The rest of its module has to see the real NumPy, which it compares with.
    """
    module: Any = importlib.import_module("chainer.functions.array.resize_images")
    name = "compute_indices_and_weights"
    setattr(module, name, _seeing(getattr(module, name), float=float))


def _mend_padding() -> None:
    """Has ``concat_examples`` name the third argument of ``numpy.maximum``.

    NumPy 2.4 deprecates it unnamed, where examples of different shapes are padded.
    """

    def maximum(a: Any, b: Any, out: Any = None) -> Any:
        return numpy.maximum(a, b, out=out)

    module: Any = importlib.import_module("chainer.dataset.convert")
    name = "_concat_arrays_with_padding"
    setattr(module, name, _seeing(getattr(module, name), maximum=maximum))


def _seeing(function: Any, **names: Any) -> types.FunctionType:
    """Copies a function that sees other things under some names of NumPy."""
    scope = {**function.__globals__, "numpy": _NumpyWith(**names)}
    return types.FunctionType(function.__code__, scope, function.__name__)


def _mend_testing() -> None:
    """Has ``chainer.testing`` see the stand-ins, once somebody imports it."""
    if _Testing not in sys.meta_path:
        sys.meta_path.insert(0, _Testing)


class _Testing(importlib.machinery.SourceFileLoader):
    """Loads two modules of Chainer that need the stand-ins as Chainer itself does.

    They bring in pytest, which takes as long as a sixth of Chainer.
    """

    NAMES = ("chainer.gradient_check", "chainer.testing")

    @classmethod
    def find_spec(
        cls, name: str, path: Optional[Sequence[str]] = None, target: Any = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """Finds these two, and leaves every other to the finders after it."""
        if name not in cls.NAMES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = cls(name, spec.origin)
        return spec

    def exec_module(self, module: types.ModuleType) -> None:
        """Runs the module's code among the stand-ins."""
        with _stand_ins():
            super().exec_module(module)


def _mend_caffe_messages() -> None:
    """Makes ``chainer.links.caffe`` importable, once somebody asks for it."""
    # First in the list: the finder of files would find the generated module.
    if _CaffeMessages not in sys.meta_path:
        sys.meta_path.insert(0, _CaffeMessages)


class _CaffeMessages(importlib.abc.Loader):
    """Builds Chainer's ``caffe_pb2`` in the way protobuf 4 and later want it.

    The generated file creates its descriptors one by one, which protobuf no longer
    allows. It also holds all of them in serialized form, and that is enough.
    """

    NAME = "chainer.links.caffe.protobuf3.caffe_pb2"

    def __init__(self, generated: importlib.machinery.ModuleSpec) -> None:
        self.generated = generated

    @classmethod
    def find_spec(
        cls, name: str, path: Optional[Sequence[str]] = None, target: Any = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """Finds this one module, and leaves every other to the finders after it."""
        if name != cls.NAME:
            return None
        generated = importlib.machinery.PathFinder.find_spec(name, path)
        from google.protobuf import message_factory

        if generated is None or not hasattr(message_factory, "GetMessageClass"):
            return None
        return importlib.util.spec_from_loader(name, cls(generated))

    def exec_module(self, module: types.ModuleType) -> None:
        """Fills the module with its message classes and enumerations."""
        from google.protobuf import descriptor_pool, message_factory

        # A pool of its own: another library may have Caffe's messages as well.
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(self._serialized())
        file = pool.FindFileByName("caffe.proto")
        for name, message in file.message_types_by_name.items():
            setattr(module, name, message_factory.GetMessageClass(message))
        for enum in file.enum_types_by_name.values():
            vars(module).update((value.name, value.number) for value in enum.values)

    def _serialized(self) -> bytes:
        """Reads ``serialized_pb=_b('...')`` out of the generated file."""
        loader: Any = self.generated.loader
        nodes = ast.walk(ast.parse(loader.get_source(self.NAME)))
        keywords = (node for node in nodes if isinstance(node, ast.keyword))
        call: Any = next(k.value for k in keywords if k.arg == "serialized_pb")
        text: str = call.args[0].value
        return text.encode("latin1")


import_chainer()

"""Convolutions by cuDNN through NVIDIA's Python package, where it is installed.

A plan is made for each shape, by cuDNN's heuristics; none is measured, so that a result
does not depend on what a measurement happened to find.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from typing import Any

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.array_types import Array
from saliency.cpu.geometry import Geometry

from chainer.backends import cuda

#: Bytes that a plan may want beside its arrays.
MOST_WORKSPACE = 2**30
#: Plans that are kept by each thread.
MOST_PLANS = 512


@functools.cache
def frontend() -> Any:
    """Return the module of ``nvidia-cudnn-frontend``, or None if it cannot be used."""
    try:
        import cudnn

        cudnn.backend_version()
    except Exception:  # it is missing, or cuDNN itself is
        return None
    return cudnn


def covers(x: Array, W: Array) -> bool:
    """Tell whether a convolution may run on cuDNN: float32 with one axis or two."""
    return (
        frontend() is not None
        and x.dtype == W.dtype == "float32"
        and x.ndim in (3, 4)
        and x.size > 0
        and W.size > 0
    )


def convolve(x: Array, W: Array, windows: Geometry, groups: int) -> Array | None:
    """Convolve images.

    Args:
        x (cupy.ndarray): Images ``(n, in, height, width)``, or without the height.
        W (cupy.ndarray): Kernels ``(out, in / groups, kh, kw)``.
        windows (Geometry): Where the windows lie.
        groups (int): Groups of channels that are convolved separately.

    Returns:
        cupy.ndarray or None: ``(n, out, out height, out width)``; None where cuDNN has
        no plan.
    """
    reaches_further = any(
        windows.span(axis, windows.out[axis])
        > windows.size[axis] + 2 * windows.pad[axis]
        for axis in (0, 1)
    )
    if reaches_further or x.shape[1] != W.shape[1] * groups:
        return None
    shape = (len(x), len(W), *windows.out)
    return _run("convolve", _images(x), _images(W), shape, windows, x.ndim)


def to_input(gy: Array, W: Array, windows: Geometry, groups: int) -> Array | None:
    """Apply the transposed map of :func:`convolve` to what is at its output.

    Args:
        gy (cupy.ndarray): ``(n, out, out height, out width)``, or without the height.
        W (cupy.ndarray): Kernels ``(out, in / groups, kh, kw)``.
        windows (Geometry): Where the windows lie.
        groups (int): Groups of channels that are convolved separately.

    Returns:
        cupy.ndarray or None: ``(n, in, height, width)``; None where cuDNN has no plan.
    """
    if gy.shape[1] != len(W) or len(W) % groups:
        return None
    shape = (len(gy), W.shape[1] * groups, *windows.size)
    return _run("to_input", _images(gy), _images(W), shape, windows, gy.ndim)


def _images(array: Array) -> Array:
    """Return an array with two axes of space, one element after the other in memory."""
    array = array[:, :, None] if array.ndim == 3 else array
    return cuda.cupy.ascontiguousarray(array)


def _run(
    kind: str,
    x: Array,
    W: Array,
    shape: tuple[int, ...],
    windows: Geometry,
    ndim: int,
) -> Array | None:
    plan = _plans.get(kind, x.shape, W.shape, shape, windows)
    if plan is None:
        return None
    y = cuda.cupy.empty(shape, x.dtype)
    plan(x, W, y)
    return y[:, :, 0] if ndim == 3 else y


class _Plan:
    """A convolution of one shape, ready to run.

    Raises:
        Exception: Whatever cuDNN raises where it has no plan with these conditions.
    """

    def __init__(
        self,
        handle: Any,
        kind: str,
        x: tuple[int, ...],
        W: tuple[int, ...],
        y: tuple[int, ...],
        windows: Geometry,
    ) -> None:
        cudnn = frontend()
        self._handle = handle
        self._graph = graph = cudnn.pygraph(
            io_data_type=cudnn.data_type.FLOAT,
            intermediate_data_type=cudnn.data_type.FLOAT,
            compute_data_type=cudnn.data_type.FLOAT,
            handle=handle,
        )
        self._x, self._W = self._tensor("x", x), self._tensor("W", W)
        where = {
            "padding": list(windows.pad),
            "stride": list(windows.stride),
            "dilation": list(windows.dilate),
        }
        if kind == "convolve":
            self._y = graph.conv_fprop(image=self._x, weight=self._W, **where)
        else:
            self._y = graph.conv_dgrad(loss=self._x, filter=self._W, **where)
        self._y.set_output(True).set_dim(list(y)).set_stride(_strides(y))
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        notes = cudnn.numerical_note
        graph.deselect_numeric_notes(
            [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS, notes.NONDETERMINISTIC]
        )
        graph.deselect_workspace_greater_than(MOST_WORKSPACE)
        graph.check_support()
        graph.build_plans(cudnn.build_plan_policy.HEURISTICS_CHOICE)
        self._workspace_size = max(1, graph.get_workspace_size())

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Any:
        return self._graph.tensor(
            name=name,
            dim=list(shape),
            stride=_strides(shape),
            data_type=frontend().data_type.FLOAT,
        )

    def __call__(self, x: Array, W: Array, y: Array) -> None:
        """Compute y."""
        workspace = cuda.cupy.empty(self._workspace_size, "uint8")
        arrays = {self._x: x, self._W: W, self._y: y}
        self._graph.execute(arrays, workspace, handle=self._handle)


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Return the strides of an array in C order, in elements."""
    strides = [1]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    return strides[::-1]


class _Plans(threading.local):
    """The plans of a thread, by device and shape; there are MOST_PLANS at most."""

    def __init__(self) -> None:
        self._handles: dict[int, Any] = {}
        self._plans: OrderedDict[tuple[Any, ...], _Plan | None] = OrderedDict()

    def get(self, *of: Any) -> _Plan | None:
        """Return the plan for a kind and shapes, or None if there is none."""
        device = cuda.cupy.cuda.Device().id
        if device not in self._handles:
            self._handles[device] = frontend().create_handle()
        handle = self._handles[device]
        stream = cuda.cupy.cuda.get_current_stream()
        frontend().set_stream(handle=handle, stream=stream.ptr)
        key = (device, *of)
        if key not in self._plans:
            try:
                self._plans[key] = _Plan(handle, *of)
            except Exception:  # cuDNN has classes of its own for what it cannot do
                self._plans[key] = None
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        return self._plans[key]


_plans = _Plans()

"""Passes over memory that NumPy has no function for, compiled for this machine.

NumPy makes a pass over memory for each operation. What is compiled makes one for all of
them, and lets go of Python's lock for as long as it takes. LLVM compiles it, through
the package llvmlite; where that is not installed, NumPy is what there is.
"""

from __future__ import annotations

import functools
import math
from typing import Callable, NamedTuple

import numpy as np

from saliency.cpu.compiled import activations, kernels
from saliency.cpu.compiled.functions import Function, Work
from saliency.cpu.compiled.machine import lanes_of
from saliency.cpu.geometry import Geometry
from saliency.cpu.memory import address_of, axes_in_memory

# Smaller arrays take no longer in NumPy, whose functions are called faster.
_MIN_BYTES = 1 << 17
# Bytes of a product's second matrix that a core's first cache holds most of. A BLAS is
# faster with larger ones, of which it makes copies in blocks.
_MOST_BYTES = 1 << 16
# It is faster with long sums as well, unless there are few columns.
_MOST_TERMS, _FEW_COLUMNS = 128, 32
# Columns of what may be added. Of longer rows, pieces are read and written too far
# apart from each other.
_MOST_ADDED = 64
# What a vector of a product takes, by how many are worked on at once: more of them
# share what is read of the other matrix, but fewer rows share theirs.
_COSTS = {2: 1.0, 3: 1.1, 1: 1.5}
_DTYPES = (np.dtype("f4"), np.dtype("f8"))

# Products of numbers in two matrices of stacks, up to which a BLAS is slower, and how
# many numbers may be worked on for each that is wanted.
_MOST_OF_STACK = 1 << 17
_MOST_AGAIN = 1.6

# Parts of elementwise functions begin where a line of the cache does.
_UNIT_OF_NUMBERS = 16

# The length of an axis, and its strides in bytes in several arrays.
Axis = tuple[int, tuple[int, ...]]
# An array, and where it is in memory.
Placed = tuple[np.ndarray, int]


class Steps(NamedTuple):
    """``min(max((x + bias + offset) * scale + shift, floor), ceiling)``.

    Those steps are made that are given.

    Attributes:
        bias (numpy.ndarray or None): ``(channel,)``.
        offset (numpy.ndarray or None): ``(channel,)``.
        scale (numpy.ndarray or None): ``(channel,)``.
        shift (numpy.ndarray or None): ``(channel,)``.
        floor (float or None): The smallest value.
        ceiling (float or None): The largest value.
    """

    bias: np.ndarray | None = None
    offset: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    floor: float | None = None
    ceiling: float | None = None

    def placed(
        self, n_channel: int, dtype: np.dtype
    ) -> tuple[list[np.ndarray], list[int]]:
        """Return bias, offset, scale and shift, and where they are in memory.

        Where there is none, it is what changes no value.

        Raises:
            ValueError: If one of them is not of that many channels, or of that dtype.
        """
        given = self.bias, self.offset, self.scale, self.shift
        for vector in given:
            if vector is None or (*vector.shape, vector.dtype) == (n_channel, dtype):
                continue
            raise ValueError(
                f"{vector.dtype} {vector.shape} is not a vector of {n_channel} "
                f"channels of {dtype}"
            )
        both = [
            neutral if vector is None else _placed(np.ascontiguousarray(vector))
            for vector, neutral in zip(given, _neutral(n_channel, dtype))
        ]
        return [vector for vector, _ in both], [address for _, address in both]

    def limits(self) -> list[float]:
        """Return floor and ceiling; NaN, with which no number compares, for none."""
        given = self.floor, self.ceiling
        return [math.nan if limit is None else float(limit) for limit in given]


#: Nothing is done.
NO_STEPS = Steps()


@functools.cache
def is_available() -> bool:
    """Tell whether there is what compiles."""
    try:
        import llvmlite.binding  # noqa: F401
    except (ImportError, OSError):  # no package, or not for this system
        return False
    return True


def _are_covered(*arrays: np.ndarray) -> bool:
    """Tell whether there is what compiles, for arrays of one dtype."""
    dtype = arrays[0].dtype
    if dtype not in _DTYPES or not is_available():
        return False
    return all([array.dtype == dtype for array in arrays])


def suits(*arrays: np.ndarray) -> bool:
    """Tell whether arrays of one dtype have the channels of a pixel side by side."""
    return _are_covered(*arrays) and all(a.strides[-1] == a.itemsize for a in arrays)


def can_finish(*arrays: np.ndarray) -> bool:
    """Tell whether :class:`Finish` takes arrays, and is faster than NumPy."""
    return arrays[0].nbytes >= _MIN_BYTES and suits(*arrays)


class Finish:
    """Writes what steps make of arrays; something may be added before their limits.

    Args:
        steps (Steps): What is done.
        n_channel (int): Of the arrays.
        dtype (numpy.dtype): Of the arrays.
    """

    def __init__(self, steps: Steps, n_channel: int, dtype: np.dtype) -> None:
        self._vectors, self._addresses = steps.placed(n_channel, dtype)
        self._limits = steps.limits()

    def __call__(
        self,
        x: np.ndarray,
        added: np.ndarray | None,
        out: np.ndarray,
        first_channel: int = 0,
    ) -> None:
        """Write a result.

        Args:
            x (numpy.ndarray): ``(n, channel)``.
            added (numpy.ndarray or None): Of the shape of ``x``.
            out (numpy.ndarray): Where the result goes, which may be ``x``.
            first_channel (int): Which of all is the first of these arrays.
        """
        size = x.itemsize
        term = x if added is None else added
        start = first_channel * size
        kernels.finish(x.dtype, adds=added is not None).whole(
            *(address_of(x), address_of(term), address_of(out)),
            *(address + start for address in self._addresses),
            *x.shape,
            *(x.strides[0] // size, term.strides[0] // size, out.strides[0] // size),
            *self._limits,
        )


def can_multiply(a: np.ndarray, b: np.ndarray, added: np.ndarray | None = None) -> bool:
    """Tell whether :class:`Product` takes matrices, and is faster than a BLAS.

    Args:
        a (numpy.ndarray): ``(n, k)``.
        b (numpy.ndarray): ``(k, m)``.
        added (numpy.ndarray or None): What is added to the product.
    """
    (n_row, n_term), n_column = a.shape, b.shape[1]
    arrays = (a, b) if added is None else (a, b, added)
    if added is not None and not (
        added.shape == (n_row, n_column)
        and added.strides[1] == added.itemsize
        and n_column <= _MOST_ADDED
    ):
        return False
    return (
        len(b) == n_term
        and n_row * n_column * b.itemsize >= _MIN_BYTES
        and b.nbytes <= _MOST_BYTES
        and (n_term <= _MOST_TERMS or n_column <= _FEW_COLUMNS)
        and n_row >= max(kernels.ROWS.values())
        and _are_covered(*arrays)
        and n_column >= lanes_of(a.dtype)
        and all(array.flags.aligned for array in arrays)
    )


class Product:
    """Multiplies matrices by one, and writes what steps make of the result.

    Something may be added before their limits.

    Args:
        b (numpy.ndarray): ``(k, m)``.
        steps (Steps): What is done.
    """

    def __init__(self, b: np.ndarray, steps: Steps = NO_STEPS) -> None:
        is_by_row = b.strides[1] == b.itemsize
        self._b, self._address = _placed(b if is_by_row else np.ascontiguousarray(b))
        #: Columns of the product.
        self.n_column = n_column = b.shape[1]
        self._vectors, self._addresses = steps.placed(n_column, b.dtype)
        self._limits = steps.limits()
        self._finishes = any(step is not None for step in steps[1:])
        n_vector = _n_vector_for(n_column, lanes_of(b.dtype))
        assert n_vector is not None  # see can_multiply
        self._n_vector = n_vector

    def work(self, a: np.ndarray, added: np.ndarray | None, out: np.ndarray) -> Work:
        """Return what writes a product.

        Args:
            a (numpy.ndarray): ``(n, k)``.
            added (numpy.ndarray or None): ``(n, m)``.
            out (numpy.ndarray): Where the result goes, ``(n, m)``. It has no memory in
                common with the others.

        Raises:
            ValueError: If there are fewer rows than are worked on at once, or matrices
                do not fit each other.
        """
        of_product = len(a), self.n_column
        results = (out,) if added is None else (added, out)
        if a.shape[1] != len(self._b) or any(y.shape != of_product for y in results):
            shapes = [array.shape for array in (a, self._b, *results)]
            raise ValueError(f"arrays of {shapes} do not fit each other")
        if len(a) < kernels.ROWS[self._n_vector]:
            raise ValueError(f"{len(a)} rows are too few")
        size, adds = a.itemsize, added is not None
        of_out = address_of(out)
        of_added, added_row = of_out, 0
        if added is not None:
            of_added, added_row = address_of(added), added.strides[0]
        strides = *a.strides, self._b.strides[0], added_row, out.strides[0]
        function = kernels.product(
            *(a.dtype, self._n_vector), finishes=self._finishes or adds, adds=adds
        )
        arguments = (
            *(address_of(a), self._address, of_added, of_out, *self._addresses),
            *(*a.shape, self.n_column),
            *[stride // size for stride in strides],
            *self._limits,
        )
        steps = a.strides[0], 0, added_row, out.strides[0]
        return Work(function, arguments, "n_row", steps, _MANY_ROWS)


# As if there were many rows: a multiple of any number that is worked on at once.
_MANY_ROWS = math.lcm(*kernels.ROWS.values())


@functools.lru_cache(maxsize=256)
def _n_vector_for(n_column: int, n_lane: int, n_row: int = _MANY_ROWS) -> int | None:
    """Return how many vectors of a row to work on at once, for the least time.

    None where there are fewer columns, or rows, than are worked on at once.
    """
    fitting = [v for v in _COSTS if v * n_lane <= n_column and kernels.ROWS[v] <= n_row]

    def cost(n_vector: int) -> float:
        return _n_worked_on(n_vector, n_column, n_lane, n_row) * _COSTS[n_vector]

    return min(fitting, key=cost, default=None)


def _n_worked_on(n_vector: int, n_column: int, n_lane: int, n_row: int) -> int:
    """Return how many numbers of a product are worked on.

    The last ones of a row or a column are, with some before them, once more.
    """
    n_side, n_above = n_vector * n_lane, kernels.ROWS[n_vector]
    return -(-n_column // n_side) * n_side * -(-n_row // n_above) * n_above


class Stacks:
    """Multiplies the matrices of two stacks.

    Args:
        arrays (tuple of numpy.ndarray): As :meth:`of` takes them.
        axes (list of tuple): The two axes of the stacks: how long they are, and their
            strides in the three arrays.
        n_vector (int): Vectors of a row that are worked on at once.
    """

    def __init__(
        self,
        arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
        axes: list[Axis],
        n_vector: int,
    ) -> None:
        self._arrays, self._n_vector = arrays, n_vector
        (self._n_outer, self._outer), (self._n_inner, self._inner) = axes

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Stacks | None:
        """Return what multiplies; None where a BLAS is faster, or arrays do not fit.

        Args:
            a (numpy.ndarray): ``(..., n, k)``.
            b (numpy.ndarray): ``(..., k, m)``. As in NumPy, an axis of a stack that is
                missing or of length 1 goes with any length of the other's.
            out (numpy.ndarray): Where the products go, ``(..., n, m)``. It has no
                memory in common with the others.
        """
        (n_row, n_term), n_column = a.shape[-2:], b.shape[-1]
        if n_row * n_term * n_column > _MOST_OF_STACK or b.shape[-2] != n_term:
            return None
        if not (suits(b, out) and a.dtype == b.dtype and n_term):
            return None
        n_lane = lanes_of(a.dtype)
        n_vector = _n_vector_for(n_column, n_lane, n_row)
        if n_vector is None or not all(x.flags.aligned for x in (a, b, out)):
            return None
        n_worked_on = _n_worked_on(n_vector, n_column, n_lane, n_row)
        if n_worked_on > _MOST_AGAIN * n_row * n_column:
            return None
        stack = out.shape[:-2]
        shapes = [(*stack, *x.shape[-2:]) for x in (a, b, out)]
        arrays = tuple(np.broadcast_to(x, s) for x, s in zip((a, b), shapes))
        order = sorted(range(len(stack)), key=lambda axis: -abs(out.strides[axis]))
        axes = _merged((*arrays, out), order)
        if len(axes) > 2:
            return None
        axes += [(1, (0, 0, 0))] * (2 - len(axes))
        axes.sort(key=lambda axis: -axis[0])  # it is the longest that is divided
        return cls((a, b, out), axes, n_vector)

    def work(self) -> Work:
        """Return what writes the products."""
        a, b, out = self._arrays
        size = a.itemsize
        strides = *self._outer, *self._inner
        arguments = (
            *map(address_of, self._arrays),
            *(self._n_outer, self._n_inner, *(s // size for s in strides)),
            *(*a.shape[-2:], b.shape[-1]),
            *(s // size for s in (*a.strides[-2:], b.strides[-2], out.strides[-2])),
        )
        function = kernels.stacks(a.dtype, self._n_vector)
        return Work(function, arguments, "n_outer", self._outer)


class Transform:
    """Multiplies many small matrices by one from the left, and by its transpose.

    Args:
        matrix (numpy.ndarray): ``(n, m)``.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self._matrix = tuple(tuple(row) for row in matrix.tolist())

    def __call__(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the results; the last axis of both arrays is contiguous.

        Args:
            x (numpy.ndarray): ``(a, b, m, m, c)``, of which matrices may overlap.
            out (numpy.ndarray): ``(a, b, n, n, c)``, which has no memory in common
                with ``x``.

        Raises:
            ValueError: If arrays do not fit each other.
        """
        n_out, n_in = len(self._matrix), len(self._matrix[0])
        n_outer, n_middle, *_, n_inner = x.shape
        expected = [(n_outer, n_middle, n, n, n_inner) for n in (n_in, n_out)]
        if [x.shape, out.shape] != expected or not suits(x, out):
            found = [(array.shape, array.strides) for array in (x, out)]
            raise ValueError(f"arrays of {found} do not fit each other")
        kernels.transform(x.dtype, self._matrix).whole(
            *(address_of(x), address_of(out), n_outer, n_middle, n_inner),
            *[stride // x.itemsize for a in (x, out) for stride in a.strides[:4]],
        )


def multiply_by_mask(
    x: np.ndarray,
    y: np.ndarray,
    floor: float,
    ceiling: float | None,
    out: np.ndarray,
) -> Work | None:
    """Return what writes ``x`` where ``floor < y < ceiling``, and ``x * 0`` elsewhere.

    Args:
        x (numpy.ndarray): An array.
        y (numpy.ndarray): Of its shape.
        floor (float): What ``y`` is more than.
        ceiling (float or None): What it is less than.
        out (numpy.ndarray): Where the result goes, which may be ``x``.

    Returns:
        Work or None: None unless the arrays are large and lie in memory in long rows.
    """
    rows = _Rows.of(x, y, out)
    if rows is None:
        return None
    limits = floor, math.nan if ceiling is None else ceiling
    return rows.work(kernels.mask(x.dtype), *limits)


def arithmetic(
    operation: str, x: np.ndarray | float, y: np.ndarray, out: np.ndarray
) -> Work | None:
    """Return what writes ``operation(x, y)``.

    Args:
        operation (str): What NumPy calls it.
        x (numpy.ndarray or float): An array, or a number for all places.
        y (numpy.ndarray): Of its shape.
        out (numpy.ndarray): Where the result goes, which may be one of the arrays.

    Returns:
        Work or None: None unless the operation is among those that are compiled, and
        the arrays are large and lie in memory in long rows.
    """
    arrays = (x, y, out) if isinstance(x, np.ndarray) else (y, out)
    rows = _Rows.of(*arrays) if operation in kernels.OPERATIONS else None
    if rows is None:
        return None
    if isinstance(x, np.ndarray):
        return rows.work(kernels.arithmetic(y.dtype, operation))
    function = kernels.arithmetic_with_constant(y.dtype, operation)
    return rows.work(function, float(x))


def copy(x: np.ndarray, out: np.ndarray) -> Work | None:
    """Return what writes ``x``.

    Args:
        x (numpy.ndarray): An array.
        out (numpy.ndarray): Where it goes, of its shape.

    Returns:
        Work or None: None unless the arrays are large and lie in memory in long rows.
    """
    rows = _Rows.of(x, out)
    return None if rows is None else rows.work(kernels.copy(x.dtype))


def sums(x: np.ndarray, axis: int, out: np.ndarray) -> Work | None:
    """Return what writes ``x.sum(axis)``, added up from the first term on.

    Args:
        x (numpy.ndarray): An array.
        axis (int): One of its axes.
        out (numpy.ndarray): Where the sums go; it is C-contiguous.

    Returns:
        Work or None: None unless the arrays are large, without gaps, and the numbers of
        a term lie side by side.
    """
    shape, size = x.shape, x.itemsize
    n_outer, n_column = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    is_covered = (
        x.nbytes >= _MIN_BYTES
        and _are_covered(x, out)
        and n_column >= lanes_of(x.dtype)
        and x.flags.c_contiguous
        and x.flags.aligned
    )
    if not is_covered:
        return None
    n_term = shape[axis]
    arguments = (
        *(address_of(x), address_of(out), n_outer, n_term, n_column),
        *(n_term * n_column, n_column, n_column),
    )
    if n_outer > 1:
        along, unit = "n_outer", 1
        steps = n_term * n_column * size, n_column * size
    else:
        along, unit, steps = "n_column", _UNIT_OF_NUMBERS, (size, size)
    return Work(kernels.sums(x.dtype), arguments, along, steps, unit)


class _Rows(NamedTuple):
    """How arrays of one shape lie in memory, as ``(n_outer, n_row, n_column)``.

    Attributes:
        arguments (tuple of int): Where they are, how long the axes are, and the strides
            in elements of the first axis in all arrays, and of the second.
        along (str): Which axis is divided,
        steps (tuple of int): its strides in bytes,
        unit (int): and what parts of it are multiples of.
    """

    arguments: tuple[int, ...]
    along: str
    steps: tuple[int, ...]
    unit: int

    @classmethod
    def of(cls, *arrays: np.ndarray) -> _Rows | None:
        """Return how arrays lie; None where NumPy has to work on them."""
        first = arrays[0]
        if first.nbytes < _MIN_BYTES or not _are_covered(*arrays):
            return None
        size, n_array = first.itemsize, len(arrays)
        addresses = [address_of(array) for array in arrays]
        if _lie_alike(arrays) and all([a.shape == first.shape for a in arrays]):
            # One long row.
            places = *addresses, 1, 1, first.size, *(0,) * (2 * n_array)
            return cls(places, "n_column", (size,) * n_array, _UNIT_OF_NUMBERS)
        found = _as_rows(arrays) if all([a.flags.aligned for a in arrays]) else None
        if found is None:
            return None
        shape, of_outer, of_row = found
        strides = [stride // size for stride in (*of_outer, *of_row)]
        along, steps = ("n_outer", of_outer) if shape[0] > 1 else ("n_row", of_row)
        return cls((*addresses, *shape, *strides), along, steps, 1)

    def work(self, function: Function, *numbers: float) -> Work:
        """Return a function's work on them."""
        arguments = *self.arguments, *numbers
        return Work(function, arguments, self.along, self.steps, self.unit)


def sigmoid(x: np.ndarray, out: np.ndarray) -> Work | None:
    """Return what writes ``1 / (1 + exp(-x))``.

    Args:
        x (numpy.ndarray): An array.
        out (numpy.ndarray): Where the result goes, which may be ``x``.

    Returns:
        Work or None: None unless the arrays lie alike in memory, without gaps.
    """
    return _elementwise(activations.sigmoid, x, out)


def tanh(x: np.ndarray, out: np.ndarray) -> Work | None:
    """Return what writes the hyperbolic tangent: see :func:`sigmoid`."""
    return _elementwise(activations.tanh, x, out)


def sigmoid_to_input(gy: np.ndarray, y: np.ndarray, out: np.ndarray) -> Work | None:
    """Return what writes ``gy y (1 - y)``, the gradient at the input of a sigmoid.

    Args:
        gy (numpy.ndarray): The gradient at the output.
        y (numpy.ndarray): The output, of the same shape.
        out (numpy.ndarray): Where the result goes, which may be ``gy``.

    Returns:
        Work or None: None unless the arrays lie alike in memory, without gaps.
    """
    return _elementwise(activations.sigmoid_to_input, gy, y, out)


def tanh_to_input(gy: np.ndarray, y: np.ndarray, out: np.ndarray) -> Work | None:
    """Return what writes ``gy (1 - y**2)``: see :func:`sigmoid_to_input`."""
    return _elementwise(activations.tanh_to_input, gy, y, out)


def _elementwise(
    function: Callable[[np.dtype], Function], *arrays: np.ndarray
) -> Work | None:
    if not (_are_covered(*arrays) and _lie_alike(arrays)):
        return None
    first = arrays[0]
    arguments = *map(address_of, arrays), first.size
    steps = (first.itemsize,) * len(arrays)
    return Work(function(first.dtype), arguments, "n", steps, _UNIT_OF_NUMBERS)


# Of the flags of an array: C-contiguous and aligned.
_PLAIN = 0x101


def _lie_alike(arrays: tuple[np.ndarray, ...]) -> bool:
    """Tell whether arrays of one shape have the same order in memory, and no gaps."""
    flags = [array.flags.num & _PLAIN for array in arrays]
    if all([flag == _PLAIN for flag in flags]):
        return True
    if not all([array.flags.aligned for array in arrays]):
        return False
    order = axes_in_memory(arrays[-1])
    return all([array.transpose(order).flags.c_contiguous for array in arrays])


class ChannelFilter:
    """Convolves each channel with a kernel of its own.

    Args:
        taps (numpy.ndarray): ``(kh, kw, channel)``.
        geometry (Geometry): Where the windows lie.
        steps (Steps): What is done to the result.
    """

    def __init__(self, taps: np.ndarray, geometry: Geometry, steps: Steps) -> None:
        self._taps, of_taps = _placed(np.ascontiguousarray(taps))
        self._geometry = geometry
        self._vectors, of_vectors = steps.placed(taps.shape[2], taps.dtype)
        self._addresses = [of_taps, *of_vectors]
        self._limits = steps.limits()
        stride, dilate = geometry.stride[1], geometry.dilate[1]
        # Windows of a row: as many before, and to the end of, those within the image.
        n_column = geometry.out[1]
        first = min(max(0, -(-geometry.pad[1] // stride)), n_column)
        reach = (geometry.kernel[1] - 1) * dilate - geometry.pad[1]
        behind = (geometry.size[1] - 1 - reach) // stride + 1
        self._windows = first, max(first, min(behind, n_column)), n_column

    def work(
        self,
        x: np.ndarray,
        out: np.ndarray,
        mask: tuple[np.ndarray, float, float | None] | None = None,
    ) -> Work:
        """Return what writes the result.

        Args:
            x (numpy.ndarray): Images ``(n, height, width, channel)``.
            out (numpy.ndarray): Where it goes, ``(n, rows, columns, channel)``.
            mask (tuple or None): An array of the shape and strides of ``x``, and
                between which limits of it ``x`` is taken, with 0 elsewhere.
        """
        size, geometry = x.itemsize, self._geometry
        (row_stride, column_stride), (row_dilate, dilate) = (
            geometry.stride,
            geometry.dilate,
        )
        y, floor, ceiling = (x, 0.0, None) if mask is None else mask
        taps, *vectors = self._addresses
        n_image, n_row, _, n_channel = out.shape
        function = kernels.filter_channels(
            *(x.dtype, geometry.kernel[1], column_stride, dilate),
            has_mask=mask is not None,
        )
        arguments = (
            *(address_of(x), address_of(y), taps, address_of(out), *vectors),
            *(n_image, n_row, n_channel, geometry.kernel[0]),
            *self._windows,
            *[stride // size for stride in (*x.strides[:3], *out.strides[:3])],
            *(-geometry.pad[0], -geometry.pad[1]),
            *geometry.size,
            *(row_stride, row_dilate),
            *self._limits,
            *(floor, math.nan if ceiling is None else ceiling),
        )
        places = function.places
        steps = [0] * (places["top"] + 1)
        steps[places["out"]], steps[places["top"]] = out.strides[1], row_stride
        return Work(function, arguments, "n_row", tuple(steps))


@functools.lru_cache(maxsize=64)
def _neutral(n_channel: int, dtype: np.dtype) -> tuple[Placed, ...]:
    # Adding -0.0 leaves all numbers as they are, zeros of both signs among them.
    nothing = _placed(np.full(n_channel, -0.0, dtype))
    return nothing, nothing, _placed(np.ones(n_channel, dtype)), nothing


def _placed(array: np.ndarray) -> Placed:
    return array, address_of(array)


def _as_rows(
    arrays: tuple[np.ndarray, ...],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """Return arrays of one shape as three axes, of which the last is contiguous.

    Returns:
        tuple: The shape, and the strides in bytes of the first axis in all arrays, and
        of the second. None if there are more axes.
    """
    shape = arrays[0].shape
    if any([array.shape != shape for array in arrays]):
        return None
    nothing = (0,) * len(arrays)
    merged = _merged(arrays, axes_in_memory(arrays[-1]))
    if not merged or len(merged) > 3 or set(merged[0][1]) != {arrays[0].itemsize}:
        return None
    merged += [(1, nothing)] * (3 - len(merged))
    (n_column, _), (n_row, of_row), (n_outer, of_outer) = merged
    return (n_outer, n_row, n_column), of_outer, of_row


def _merged(arrays: tuple[np.ndarray, ...], order: list[int]) -> list[Axis]:
    """Return axes from the innermost one on, with those as one that can be.

    Args:
        arrays (tuple of numpy.ndarray): Of one length along these axes.
        order (list of int): The axes, from the outermost one on.
    """
    merged: list[Axis] = []
    shape, all_strides = arrays[0].shape, [array.strides for array in arrays]
    for axis in reversed(order):
        n = shape[axis]
        if n == 1:
            continue
        strides = tuple([of_array[axis] for of_array in all_strides])
        if merged:
            length, inner = merged[-1]
            if all([s == length * i for s, i in zip(strides, inner)]):
                merged[-1] = n * length, inner
                continue
        merged.append((n, strides))
    return merged

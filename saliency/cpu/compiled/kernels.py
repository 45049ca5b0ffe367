"""What is compiled: one pass over memory each."""

from __future__ import annotations

import itertools
import operator
from typing import Callable

import numpy as np

from saliency.cpu.compiled.code import Code, Value
from saliency.cpu.compiled.functions import compiled

# Pixels of a row that are worked on at once, with the same weights.
_PIXELS = 4
#: How many rows of a product are worked on at once, by the number of vectors in a row:
#: as many sums as there are registers for on a machine without AVX-512.
ROWS = {1: 8, 2: 6, 3: 4}

_FINISH = ("bias", "offset", "scale", "shift")
_LIMITS = ("floor", "ceiling")
_OF_MASK = ("mask_floor", "mask_ceiling")
#: A matrix whose numbers are known when it is compiled.
Matrix = tuple[tuple[float, ...], ...]
#: What arithmetic there is, by the names that NumPy gives it.
OPERATIONS: dict[str, Callable[[Value, Value], Value]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
}


@compiled
def finish(dtype: np.dtype, *, adds: bool) -> Code:
    """Return what an epilogue makes of an array: see :class:`.Steps`.

    That is ``min(max((x + bias + offset) * scale + shift + added, floor), ceiling)``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n_row, n_channel)``.
        adds (bool): Whether anything is added.
    """
    code = Code(
        dtype,
        ("x", "added", "out", *_FINISH),
        ("n_row", "n_channel", "x_row", "added_row", "out_row"),
        _LIMITS,
    )
    with code.loop(0, code["n_row"]) as row:
        of_x, of_added, of_out = (
            row * code[name] for name in ("x_row", "added_row", "out_row")
        )
        for channel, lanes in code.in_vectors(code["n_channel"]):
            y = _scaled(code, code.load("x", of_x + channel, lanes), channel, lanes)
            if adds:
                y += code.load("added", of_added + channel, lanes)
            code.store(_limited(code, y, lanes), "out", of_out + channel, lanes)
    return code


@compiled
def mask(dtype: np.dtype) -> Code:
    """Return ``out = x * (floor < y < ceiling)``; no ceiling is NaN.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n_outer, n_row, n_column)``.
    """

    def of(code: Code, places: list[Value], lanes: int) -> Value:
        at_x, at_y = places
        return _masked(code, at_x, at_y, lanes)

    return _by_rows(dtype, ("x", "y"), _OF_MASK, of)


@compiled
def arithmetic(dtype: np.dtype, operation: str) -> Code:
    """Return ``out = operation(x, y)``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n_outer, n_row, n_column)``.
        operation (str): One of :data:`OPERATIONS`.
    """
    compute = OPERATIONS[operation]

    def of(code: Code, places: list[Value], lanes: int) -> Value:
        x, y = (
            code.load(name, place, lanes) for name, place in zip(("x", "y"), places)
        )
        return compute(x, y)

    return _by_rows(dtype, ("x", "y"), (), of)


@compiled
def arithmetic_with_constant(dtype: np.dtype, operation: str) -> Code:
    """Return ``out = operation(constant, y)``: see :func:`arithmetic`."""
    compute = OPERATIONS[operation]

    def of(code: Code, places: list[Value], lanes: int) -> Value:
        (at,) = places
        return compute(
            code.repeated(code["constant"], lanes), code.load("y", at, lanes)
        )

    return _by_rows(dtype, ("y",), ("constant",), of)


@compiled
def copy(dtype: np.dtype) -> Code:
    """Return ``out = x``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n_outer, n_row, n_column)``.
    """

    def of(code: Code, places: list[Value], lanes: int) -> Value:
        (at,) = places
        return code.load("x", at, lanes)

    return _by_rows(dtype, ("x",), (), of)


@compiled
def sums(dtype: np.dtype) -> Code:
    """Return ``out = x.sum(axis=1)``, added up from the first term on.

    Args:
        dtype (numpy.dtype): Of the arrays: ``x`` of ``(n_outer, n_term, n_column)``,
            whose last axis is contiguous, and ``out`` of ``(n_outer, n_column)``.
    """
    strides = ("x_outer", "x_term", "out_outer")
    code = Code(dtype, ("x", "out"), ("n_outer", "n_term", "n_column", *strides), ())
    with code.loop(0, code["n_outer"]) as outer:
        of_x, of_out = outer * code["x_outer"], outer * code["out_outer"]
        for column, lanes in code.in_vectors(code["n_column"]):
            start = of_x + column

            def add_term(
                term: Value, sums: list[Value], start: Value = start, n: int = lanes
            ) -> list[Value]:
                at = start + term * code["x_term"]
                return [sums[0] + code.load("x", at, n)]

            first = code.load("x", start, lanes)
            (total,) = code.accumulated(1, code["n_term"], [first], add_term)
            code.store(total, "out", of_out + column, lanes)
    return code


def _by_rows(
    dtype: np.dtype,
    arrays: tuple[str, ...],
    numbers: tuple[str, ...],
    of: Callable[[Code, list[Value], int], Value],
) -> Code:
    """Return what writes ``of(code, places, lanes)`` for each place of arrays.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n_outer, n_row, n_column)``, whose last
            axis is contiguous.
        arrays (tuple of str): What is read.
        numbers (tuple of str): Names of other arguments.
        of (callable): It gets the place in each of the arrays.
    """
    pointers = (*arrays, "out")
    strides = [f"{array}_{axis}" for axis in ("outer", "row") for array in pointers]
    code = Code(dtype, pointers, ("n_outer", "n_row", "n_column", *strides), numbers)
    with code.loop(0, code["n_outer"]) as outer, code.loop(0, code["n_row"]) as row:
        starts = [
            outer * code[f"{array}_outer"] + row * code[f"{array}_row"]
            for array in pointers
        ]
        for column, lanes in code.in_vectors(code["n_column"]):
            *places, at_out = (start + column for start in starts)
            code.store(of(code, places, lanes), "out", at_out, lanes)
    return code


def _masked(code: Code, at_x: Value, at_y: Value, lanes: int) -> Value:
    floor, ceiling = (code.repeated(code[name], lanes) for name in _OF_MASK)
    passes = code.between(code.load("y", at_y, lanes), floor, ceiling)
    return code.load("x", at_x, lanes) * passes


def _scaled(code: Code, y: Value, channel: Value, lanes: int) -> Value:
    bias, offset, scale, shift = (code.load(name, channel, lanes) for name in _FINISH)
    return (y + bias + offset) * scale + shift


def _limited(code: Code, y: Value, lanes: int) -> Value:
    floor, ceiling = (code.repeated(code[name], lanes) for name in _LIMITS)
    return y.at_least(floor).at_most(ceiling)


@compiled
def filter_channels(
    dtype: np.dtype, n_column: int, stride: int, dilate: int, *, has_mask: bool
) -> Code:
    """Return the convolution of each channel with a kernel of its own, and `finish`.

    Args:
        dtype (numpy.dtype): Of the arrays: images ``(n, height, width, n_channel)``,
            and kernels ``(kh, kw, n_channel)``.
        n_column (int): Taps in a row of the kernel.
        stride (int): Between windows in a row.
        dilate (int): Between taps in a row.
        has_mask (bool): Whether 0 is taken for some of the image, as :func:`mask` does.
    """
    return _Filter(dtype, n_column, stride, dilate, has_mask).code


class _Filter:
    """Writes a convolution of each channel.

    Windows that lie within the image in full are worked on several at once. At its
    edges, taps that see nothing are left out.
    """

    def __init__(
        self, dtype: np.dtype, n_column: int, stride: int, dilate: int, has_mask: bool
    ) -> None:
        self.n_column, self.stride, self.dilate = n_column, stride, dilate
        self.has_mask = has_mask
        self.code = code = Code(
            dtype,
            ("x", "y", "W", "out", *_FINISH),
            (
                *("n_image", "n_row", "n_channel", "kernel_rows"),
                # Windows of a row: before these, within the image, and all.
                *("first_within", "behind_within", "n_column"),
                *("x_image", "x_row", "x_column"),
                *("out_image", "out_row", "out_column"),
                # The first window's first pixel, and the size of the image.
                *("top", "left", "height", "width"),
                *("row_stride", "row_dilate"),
            ),
            (*_LIMITS, *_OF_MASK),
        )
        with code.loop(0, code["n_image"]) as image, code.loop(0, code["n_row"]) as row:
            of_x = image * code["x_image"]
            of_out = image * code["out_image"] + row * code["out_row"]
            top = code["top"] + row * code["row_stride"]
            self._write_row(top, of_x, of_out)

    def _write_row(self, top: Value, of_x: Value, of_out: Value) -> None:
        """Write the loops over the windows of a row.

        Args:
            top (Value): Row of the image that the first row of the kernels is at.
            of_x (Value): Where the image begins.
            of_out (Value): Where the row of the result begins.
        """
        code = self.code
        taps = self._taps_within(
            top, code["height"], code["kernel_rows"], code["row_dilate"]
        )
        first, behind = code["first_within"], code["behind_within"]
        several = first + (behind - first) // _PIXELS * _PIXELS
        at = of_x + top * code["x_row"]
        with code.loop(first, several, _PIXELS) as column:
            self._write_several(column, taps, at, of_out)
        for start, stop in ((code.integer(0), first), (several, code["n_column"])):
            with code.loop(start, stop) as column:
                self._write_one(column, taps, at, of_out)

    def _taps_within(
        self, first: Value, size: Value, n_tap: Value, dilate: Value
    ) -> tuple[Value, Value]:
        """Return the first tap that lies within an image, and the one behind the last.

        Args:
            first (Value): Where the first tap is.
            size (Value): Of the image.
            n_tap (Value): How many taps there are.
            dilate (Value): From one to the next.
        """
        before, behind = (
            ((end - first).at_least(0) + dilate - 1) // dilate
            for end in (self.code.integer(0), size)
        )
        return before, behind.at_most(n_tap)

    def _write_several(
        self, column: Value, taps: tuple[Value, Value], at: Value, of_out: Value
    ) -> None:
        """Write several windows in a row, which lie within the image.

        Args:
            column (Value): The first of them.
            taps (tuple of Value): Rows of the kernels, from and to, that see something.
            at (Value): Where the row of the image begins that their first tap is at.
            of_out (Value): Where the row of the result begins.
        """
        code = self.code
        at = at + (column * self.stride + code["left"]) * code["x_column"]
        for channel, lanes in code.in_overlapping_vectors(code["n_channel"]):

            def add_row(
                tap: Value, sums: list[Value], channel: Value = channel, n: int = lanes
            ) -> list[Value]:
                of_row, of_tap = self._places(tap, at, channel)
                seen: dict[int, Value] = {}
                for j in range(self.n_column):
                    W = code.load("W", of_tap + code["n_channel"] * j, n)
                    for pixel in range(_PIXELS):
                        place = pixel * self.stride + j * self.dilate
                        if place not in seen:
                            offset = of_row + code["x_column"] * place
                            seen[place] = self._seen(offset, n)
                        sums[pixel] = seen[place].times_plus(W, sums[pixel])
                return sums

            sums = code.accumulated(*taps, [code.zero(lanes)] * _PIXELS, add_row)
            for pixel, total in enumerate(sums):
                self._write(total, column + pixel, channel, lanes, of_out)

    def _write_one(
        self, column: Value, taps: tuple[Value, Value], at: Value, of_out: Value
    ) -> None:
        """Write one window, some of whose taps may see nothing; as for several."""
        code = self.code
        left = column * self.stride + code["left"]
        within = self._taps_within(
            *(left, code["width"]),
            *(code.integer(self.n_column), code.integer(self.dilate)),
        )
        for channel, lanes in code.in_overlapping_vectors(code["n_channel"]):

            def add_row(
                tap: Value, sums: list[Value], channel: Value = channel, n: int = lanes
            ) -> list[Value]:
                of_row, of_tap = self._places(tap, at, channel)

                def add_tap(j: Value, sums: list[Value]) -> list[Value]:
                    place = (left + j * self.dilate) * code["x_column"]
                    W = code.load("W", of_tap + j * code["n_channel"], n)
                    return [self._seen(of_row + place, n).times_plus(W, sums[0])]

                return code.accumulated(*within, sums, add_tap)

            (total,) = code.accumulated(*taps, [code.zero(lanes)], add_row)
            self._write(total, column, channel, lanes, of_out)

    def _seen(self, at: Value, lanes: int) -> Value:
        if self.has_mask:
            return _masked(self.code, at, at, lanes)
        return self.code.load("x", at, lanes)

    def _places(self, tap: Value, at: Value, channel: Value) -> tuple[Value, Value]:
        """Return where in the images, and in the kernels, a row of taps begins."""
        code = self.code
        of_row = at + tap * code["row_dilate"] * code["x_row"] + channel
        return of_row, tap * self.n_column * code["n_channel"] + channel

    def _write(
        self, total: Value, column: Value, channel: Value, lanes: int, of_out: Value
    ) -> None:
        code = self.code
        y = _limited(code, _scaled(code, total, channel, lanes), lanes)
        code.store(y, "out", of_out + column * code["out_column"] + channel, lanes)


@compiled
def product(dtype: np.dtype, n_vector: int, *, finishes: bool, adds: bool) -> Code:
    """Return ``out = x @ W + bias``, and what `finish` does after a bias.

    Args:
        dtype (numpy.dtype): Of the matrices: ``x`` of ``(n_row, n_term)``, ``W`` of
            ``(n_term, n_column)``, with columns side by side in memory, and ``out``.
            There are at least as many rows as :data:`ROWS` has, and as many columns as
            the vectors have numbers.
        n_vector (int): Vectors of a row that are worked on at once.
        finishes (bool): Whether anything is done besides adding the bias.
        adds (bool): Whether an array is added, which is a part of that.
    """
    return _Product(dtype, n_vector, finishes, adds).code


class _Product:
    """Writes a product of matrices, some rows by some columns of it at a time.

    Their sums stay in registers. What is left at the end of rows or columns is worked
    on together with some of what came before it, once more.
    """

    def __init__(
        self, dtype: np.dtype, n_vector: int, finishes: bool, adds: bool
    ) -> None:
        self.n_row, self.n_vector = ROWS[n_vector], n_vector
        self.finishes, self.adds = finishes, adds
        self.code = code = Code(
            dtype,
            ("x", "W", "added", "out", *_FINISH),
            (
                *("n_row", "n_term", "n_column"),
                *("x_row", "x_term", "W_term", "added_row", "out_row"),
            ),
            _LIMITS,
        )
        lanes = self.lanes = code.lanes[0]
        n_row, n_column = self.n_row, n_vector * lanes
        last_row, last_column = code["n_row"] - n_row, code["n_column"] - n_column
        with code.loop(0, code["n_row"], n_row) as first:
            row = first.at_most(last_row)
            rows = [row + i for i in range(n_row)]
            of_rows = [r * code["x_row"] for r in rows]
            with code.loop(0, code["n_column"], n_column) as first:
                self._write_block(rows, of_rows, first.at_most(last_column))

    def _write_block(
        self, rows: list[Value], of_rows: list[Value], column: Value
    ) -> None:
        """Write some rows by some columns.

        Args:
            rows (list of Value): The rows.
            of_rows (list of Value): Where they begin in the first matrix.
            column (Value): The first of the columns.
        """
        code, lanes = self.code, self.lanes
        places = [column + v * lanes for v in range(self.n_vector)]
        bias = [code.load("bias", place, lanes) for place in places] * len(rows)
        sums = _sums_of_products(code, of_rows, places, bias, lanes)
        for y, (row, place) in zip(sums, itertools.product(rows, places)):
            result = self._finished(y, row, place) if self.finishes else y
            code.store(result, "out", row * code["out_row"] + place, lanes)

    def _finished(self, y: Value, row: Value, column: Value) -> Value:
        """Return numbers of the product as they are written."""
        code, lanes = self.code, self.lanes
        _, *rest = _FINISH
        offset, scale, shift = (code.load(name, column, lanes) for name in rest)
        y = (y + offset) * scale + shift
        if self.adds:
            y += code.load("added", row * code["added_row"] + column, lanes)
        return _limited(code, y, lanes)


def _sums_of_products(
    code: Code, of_rows: list[Value], places: list[Value], before: list[Value], n: int
) -> list[Value]:
    """Return sums over the terms of a product of matrices, and what they begin with.

    Args:
        code (Code): Has ``x``, ``W``, ``n_term``, ``x_term`` and ``W_term``.
        of_rows (list of Value): Where rows of the first matrix begin.
        places (list of Value): Where vectors of the second one's first row are.
        before (list of Value): What is added, for each of the rows one for each vector.
        n (int): Lanes of the vectors.
    """

    def add_term(term: Value, sums: list[Value]) -> list[Value]:
        at, of_term = term * code["W_term"], term * code["x_term"]
        W = [code.load("W", at + place, n) for place in places]
        remaining = iter(sums)
        results = []
        for of_row in of_rows:
            x = code.repeated(code.load("x", of_row + of_term, 1), n)
            results += [x.times_plus(w, next(remaining)) for w in W]
        return results

    return code.accumulated(0, code["n_term"], before, add_term)


@compiled
def stacks(dtype: np.dtype, n_vector: int) -> Code:
    """Return ``out = x @ W`` for stacks of small matrices.

    Args:
        dtype (numpy.dtype): Of the arrays: ``x`` of ``(n_outer, n_inner, n_row,
            n_term)``, ``W`` of ``(n_outer, n_inner, n_term, n_column)``, with columns
            side by side in memory, and ``out``. There are at least as many rows as
            :data:`ROWS` has, and as many columns as the vectors have numbers.
        n_vector (int): Vectors of a row that are worked on at once.
    """
    arrays = ("x", "W", "out")
    of_stack = [f"{array}_{axis}" for axis in ("outer", "inner") for array in arrays]
    code = Code(
        dtype,
        arrays,
        (
            *("n_outer", "n_inner", *of_stack, "n_row", "n_term", "n_column"),
            *("x_row", "x_term", "W_term", "out_row"),
        ),
        (),
    )
    n_row, lanes = ROWS[n_vector], code.lanes[0]
    n_column = n_vector * lanes
    last_row, last_column = code["n_row"] - n_row, code["n_column"] - n_column
    with code.loop(0, code["n_outer"]) as outer, code.loop(0, code["n_inner"]) as inner:
        of_x, of_W, of_out = (
            outer * code[f"{array}_outer"] + inner * code[f"{array}_inner"]
            for array in arrays
        )
        with code.loop(0, code["n_row"], n_row) as first_row:
            rows = [first_row.at_most(last_row) + i for i in range(n_row)]
            of_rows = [of_x + row * code["x_row"] for row in rows]
            with code.loop(0, code["n_column"], n_column) as first:
                column = first.at_most(last_column)
                places = [column + v * lanes for v in range(n_vector)]
                zeros = [code.zero(lanes)] * (n_row * n_vector)
                sums = _sums_of_products(
                    code, of_rows, [of_W + place for place in places], zeros, lanes
                )
                for y, (row, place) in zip(sums, itertools.product(rows, places)):
                    at = of_out + row * code["out_row"] + place
                    code.store(y, "out", at, lanes)
    return code


@compiled
def transform(dtype: np.dtype, matrix: Matrix) -> Code:
    """Return ``out = A @ x @ A.T`` for many small matrices ``x``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n_outer, n_middle, row, column,
            n_inner)``, whose last axis is contiguous.
        matrix (tuple of tuple of float): ``A``.
    """
    arrays, axes = ("x", "out"), ("outer", "middle", "row", "column")
    strides = [f"{array}_{axis}" for array in arrays for axis in axes]
    code = Code(dtype, arrays, ("n_outer", "n_middle", "n_inner", *strides), ())
    n_out, n_in = len(matrix), len(matrix[0])
    with code.loop(0, code["n_outer"]) as outer, code.loop(0, code["n_middle"]) as at:
        of_x, of_out = (
            outer * code[f"{array}_outer"] + at * code[f"{array}_middle"]
            for array in arrays
        )
        for inner, lanes in code.in_overlapping_vectors(code["n_inner"]):

            def place(array: str, start: Value, row: int, column: int) -> Value:
                of_row, of_column = code[f"{array}_row"], code[f"{array}_column"]
                return start + of_row * row + of_column * column

            columns = [
                _combined(
                    code,
                    matrix,
                    [
                        code.load("x", place("x", of_x + inner, i, j), lanes)
                        for i in range(n_in)
                    ],
                    lanes,
                )
                for j in range(n_in)
            ]
            for i in range(n_out):
                of_row = _combined(code, matrix, [of[i] for of in columns], lanes)
                for j, y in enumerate(of_row):
                    code.store(y, "out", place("out", of_out + inner, i, j), lanes)
    return code


def _combined(
    code: Code, matrix: Matrix, values: list[Value], lanes: int
) -> list[Value]:
    """Return a matrix times a vector of values."""
    results = []
    for row in matrix:
        total: Value | None = None
        for factor, value in zip(row, values):
            if factor == 0:
                continue
            if total is None:
                total = value * code.constant(factor, lanes) if factor != 1 else value
            else:
                total = value.times_plus(code.constant(factor, lanes), total)
        results.append(code.zero(lanes) if total is None else total)
    return results

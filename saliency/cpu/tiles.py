"""Convolution as matrix products of patches, a tile of output pixels at a time.

A tile's patches are a matrix ``col`` of a row for each output pixel and a column for
each element of the kernel, small enough to stay in the cache; the columns of a whole
batch, which Chainer lays out at once, are never there. Forward is ``col @ W``, to the
input ``gy @ W.T``, added where each patch was taken from, and to the weights
``col.T @ gy``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from saliency.cpu import memory
from saliency.cpu.elementwise import clear_around
from saliency.cpu.epilogue import NOTHING, Epilogue, Finish
from saliency.cpu.geometry import Geometry
from saliency.cpu.mask import Mask, masked, take
from saliency.cpu.threads import even_parts, threads

# Size of a tile's patches in bytes, for a core's second cache.
_TILE = 1 << 20
# With fewer rows of patches a BLAS spends its time on the other matrix.
_MIN_PIXELS = 256
# With fewer channels the runs of channels-last copies are too short.
_MIN_CHANNELS_LAST = 16

# A tile: its images from, to, and its output rows from, to.
Tile = tuple[int, int, int, int]
Slices = tuple[slice, ...]


class Patches:
    """The patches of images, with the channels innermost in the kernel.

    Args:
        geometry (Geometry): Where the windows lie.
        n_channel (int): Channels of the images.
    """

    def __init__(self, geometry: Geometry, n_channel: int) -> None:
        self.geometry = geometry
        self.n_channel = n_channel

    @property
    def length(self) -> int:
        """Elements of a patch."""
        kh, kw = self.geometry.kernel
        return self.n_channel * kh * kw

    def n_thread(self, n_image: int, n_out: int) -> int:
        """Return how many threads to work with, for images and output channels."""
        height, width = self.geometry.out
        return threads.for_work(2 * n_image * height * width * self.length * n_out)

    def tiles(
        self,
        n_image: int,
        itemsize: int,
        n_thread: int,
        n_element: int | None = None,
    ) -> list[Tile]:
        """Return tiles that cover the output: rows of one image, or whole images.

        Args:
            n_image (int): Number of images.
            itemsize (int): Bytes of an element.
            n_thread (int): Threads to work with.
            n_element (int or None): What is in the cache for each pixel of the output,
                if not a patch.
        """
        height, width = self.geometry.out
        n_pixel = 1 if n_element else _MIN_PIXELS
        n_element = n_element or self.length
        n_row = -(-max(n_pixel, _TILE // (n_element * itemsize)) // width)
        if n_image < n_thread:
            n_row = min(n_row, -(-height // -(-n_thread // n_image)))
        if n_row < height:
            # Each thread is to get as much as the others.
            n_part = -(-height // n_row)
            if n_image % n_thread:
                n_part = -(-n_part // n_thread) * n_thread
            rows = even_parts(height, min(n_part, height))
            return [
                (image, image + 1, *of_image)
                for image in range(n_image)
                for of_image in rows
            ]
        n_whole = min(n_row // height, -(-n_image // n_thread))
        return [
            (start, min(start + n_whole, n_image), 0, height)
            for start in range(0, n_image, n_whole)
        ]

    def tiles_by_image(
        self, n_image: int, itemsize: int, n_thread: int
    ) -> list[tuple[list[Tile]]]:
        """Return lists of tiles that have no pixels of the input in common."""
        by_image: dict[int, list[Tile]] = {}
        for tile in self.tiles(n_image, itemsize, n_thread):
            by_image.setdefault(tile[0], []).append(tile)
        return [(tiles,) for tiles in by_image.values()]

    def shares(
        self, n_image: int, itemsize: int, n_thread: int
    ) -> list[tuple[list[Tile]]]:
        """Return the tiles in as many lists as there are threads."""
        tiles = self.tiles(n_image, itemsize, n_thread)
        return [(tiles[a:b],) for a, b in even_parts(len(tiles), n_thread)]

    def pack(self, W: np.ndarray) -> np.ndarray:
        """Return weights ``(out, in, kh, kw)`` as a matrix ``(length, out)``."""
        # Transposed as a whole, since that reads rows of the memory.
        return W.transpose(0, 2, 3, 1).reshape(len(W), self.length).T

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Return a matrix ``(length, out)`` as weights ``(out, in, kh, kw)``."""
        shape = (*self.geometry.kernel, self.n_channel, -1)
        return packed.reshape(shape).transpose(3, 2, 0, 1)

    def pixels(self, tile: Tile) -> tuple[int, int]:
        """Return the first pixel of a tile, and the one after its last, of all."""
        height, width = self.geometry.out
        first, last, start, stop = tile
        return (first * height + start) * width, ((last - 1) * height + stop) * width

    def gather(self, x: np.ndarray, tile: Tile, mask: Mask | None = None) -> np.ndarray:
        """Return the patches ``(pixels of the tile, length)``.

        Args:
            x (numpy.ndarray): Images ``(n, in, height, width)``, in any layout.
            tile: Which output pixels.
            mask (Mask or None): What of the images is taken.
        """
        region = self.region(x, tile, mask)
        col = threads.scratch("col", self._col_shape(tile), x.dtype)
        for target, seen in zip(self._taps(col), self.windows(region, tile)):
            target[...] = seen
        return self._matrix(col)

    def scatter(self, col: np.ndarray, tile: Tile, gx: np.ndarray) -> None:
        """Add patches to the images ``gx``, where they would be taken from.

        Args:
            col (numpy.ndarray): Patches ``(pixels of the tile, length)``.
            tile: Which output pixels.
            gx (numpy.ndarray): Images ``(n, in, height, width)``.
        """
        region = self.empty_region(tile, col.dtype)
        region[...] = 0
        col = self._from_matrix(col, tile)
        for source, seen in zip(self._taps(col), self.windows(region, tile)):
            seen += source
        self.add(region, tile, gx)

    def add(self, region: np.ndarray, tile: Tile, gx: np.ndarray) -> None:
        """Add what a tile sees to the images, without the zeros around."""
        of_region, of_image = self._inside(tile)
        gx[of_image] += self._to_channels_first(region)[of_region]

    def _spans(self, tile: Tile) -> tuple[int, int, int]:
        n_image, n_row, n_column = self._shape(tile)
        return (
            n_image,
            self.geometry.span(0, n_row),
            self.geometry.span(1, n_column),
        )

    def _inside(self, tile: Tile) -> tuple[Slices, Slices]:
        """Return where region and images have pixels in common."""
        geometry = self.geometry
        first, last, start, stop = tile
        top = start * geometry.stride[0] - geometry.pad[0]
        left = -geometry.pad[1]
        down = min(top + geometry.span(0, stop - start), geometry.size[0])
        far = min(left + geometry.span(1, geometry.out[1]), geometry.size[1])
        up, near = max(top, 0), max(left, 0)
        # Where there are none, the slices are empty.
        down, far = max(up, down), max(near, far)
        everything = slice(None)
        return (
            (
                everything,
                everything,
                slice(up - top, down - top),
                slice(near - left, far - left),
            ),
            (slice(first, last), everything, slice(up, down), slice(near, far)),
        )

    def _shape(self, tile: Tile) -> tuple[int, int, int]:
        first, last, start, stop = tile
        return last - first, stop - start, self.geometry.out[1]

    def region(self, x: np.ndarray, tile: Tile, mask: Mask | None = None) -> np.ndarray:
        """Return the part of the images that a tile sees, with zeros around.

        It is for reading alone: where there is nothing around, and the images have the
        layout of a region, it is not a copy.
        """
        of_region, of_image = self._inside(tile)
        source = x[of_image]
        is_whole = (len(source), *source.shape[2:]) == self._spans(tile)
        if is_whole and mask is None and self._has_layout_of_region(source):
            return self._from_channels_first(source)
        region = self.empty_region(tile, x.dtype)
        images = self._to_channels_first(region)
        clear_around(images.transpose(2, 3, 0, 1), *of_region[2:])
        take(x, of_image, mask, images[of_region])
        return region

    def spread(self, pixels: np.ndarray, packed: np.ndarray) -> np.ndarray:
        """Return ``pixels @ packed.T``, patches that :meth:`scatter` adds up."""
        patches: np.ndarray = pixels @ packed.T
        return patches

    # The layout of the patches; PlanarPatches has another.

    def empty_region(self, tile: Tile, dtype: np.dtype) -> np.ndarray:
        """Return room for what a tile sees, not initialized."""
        n_image, *spans = self._spans(tile)
        return threads.scratch("region", (n_image, *spans, self.n_channel), dtype)

    def zero_images(self, n_image: int, dtype: np.dtype) -> np.ndarray:
        """Return images ``(n, in, height, width)`` of zeros."""
        images = memory.zeros((n_image, *self.geometry.size, self.n_channel), dtype)
        return self._to_channels_first(images)

    def _to_channels_first(self, region: np.ndarray) -> np.ndarray:
        return region.transpose(0, 3, 1, 2)

    def _from_channels_first(self, images: np.ndarray) -> np.ndarray:
        return images.transpose(0, 2, 3, 1)

    def _has_layout_of_region(self, images: np.ndarray) -> bool:
        """Tell whether the pixels of a row of images are one piece of memory."""
        of_column = self.n_channel * images.itemsize
        return images.strides[1] == images.itemsize and images.strides[3] == of_column

    def _col_shape(self, tile: Tile) -> tuple[int, ...]:
        return (*self._shape(tile), *self.geometry.kernel, self.n_channel)

    def _matrix(self, col: np.ndarray) -> np.ndarray:
        return col.reshape(-1, self.length)

    def _from_matrix(self, col: np.ndarray, tile: Tile) -> np.ndarray:
        return col.reshape(self._col_shape(tile))

    def _taps(self, col: np.ndarray) -> Iterator[np.ndarray]:
        kh, kw = self.geometry.kernel
        return (col[..., i, j, :] for i in range(kh) for j in range(kw))

    def windows(self, region: np.ndarray, tile: Tile) -> Iterator[np.ndarray]:
        """Return for each tap what the windows of a tile see of their region."""
        _, n_row, n_column = self._shape(tile)
        (kh, kw), (sy, sx), (dy, dx) = (
            self.geometry.kernel,
            self.geometry.stride,
            self.geometry.dilate,
        )
        for i in range(kh):
            for j in range(kw):
                yield region[
                    :,
                    i * dy : i * dy + (n_row - 1) * sy + 1 : sy,
                    j * dx : j * dx + (n_column - 1) * sx + 1 : sx,
                ]


class PlanarPatches(Patches):
    """The patches of images of few channels: a plane for each channel and tap."""

    def pack(self, W: np.ndarray) -> np.ndarray:
        """Return weights ``(out, in, kh, kw)`` as a matrix ``(length, out)``."""
        return W.reshape(len(W), self.length).T

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Return a matrix ``(length, out)`` as weights ``(out, in, kh, kw)``."""
        return packed.T.reshape(-1, self.n_channel, *self.geometry.kernel)

    def spread(self, pixels: np.ndarray, packed: np.ndarray) -> np.ndarray:
        """Return ``pixels @ packed.T``, patches that :meth:`scatter` adds up."""
        patches: np.ndarray = packed @ pixels.T
        return patches.T

    def empty_region(self, tile: Tile, dtype: np.dtype) -> np.ndarray:
        """Return room for what a tile sees, not initialized."""
        return threads.scratch("region", (self.n_channel, *self._spans(tile)), dtype)

    def zero_images(self, n_image: int, dtype: np.dtype) -> np.ndarray:
        """Return images ``(n, in, height, width)`` of zeros."""
        return memory.zeros((n_image, self.n_channel, *self.geometry.size), dtype)

    def _to_channels_first(self, region: np.ndarray) -> np.ndarray:
        return region.transpose(1, 0, 2, 3)

    def _from_channels_first(self, images: np.ndarray) -> np.ndarray:
        return images.transpose(1, 0, 2, 3)

    def _has_layout_of_region(self, images: np.ndarray) -> bool:
        """Tell whether the pixels of a row of a channel are one piece of memory."""
        return images.strides[3] == images.itemsize

    def _col_shape(self, tile: Tile) -> tuple[int, ...]:
        return (self.n_channel, *self.geometry.kernel, *self._shape(tile))

    def _matrix(self, col: np.ndarray) -> np.ndarray:
        return col.reshape(self.length, -1).T

    def _from_matrix(self, col: np.ndarray, tile: Tile) -> np.ndarray:
        return col.T.reshape(self._col_shape(tile))

    def _taps(self, col: np.ndarray) -> Iterator[np.ndarray]:
        kh, kw = self.geometry.kernel
        return (col[:, i, j] for i in range(kh) for j in range(kw))

    def windows(self, region: np.ndarray, tile: Tile) -> Iterator[np.ndarray]:
        """Return for each tap what the windows of a tile see of their region."""
        for seen in super().windows(region.transpose(1, 2, 3, 0), tile):
            yield seen.transpose(3, 0, 1, 2)


def patches_of(geometry: Geometry, n_channel: int) -> Patches:
    """Return the patches in the layout that suits the number of channels."""
    kind = Patches if n_channel >= _MIN_CHANNELS_LAST else PlanarPatches
    return kind(geometry, n_channel)


def convolve(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    geometry: Geometry,
    then: Epilogue = NOTHING,
    mask: Mask | None = None,
) -> np.ndarray:
    """Convolve images.

    Args:
        x (numpy.ndarray): Images ``(n, in, height, width)``, in any layout.
        W (numpy.ndarray): Kernels ``(out, in, kh, kw)``.
        b (numpy.ndarray or None): Bias of each output channel.
        geometry (Geometry): Where the windows lie.
        then (Epilogue): What is done to the result.
        mask (Mask or None): What of the images is taken.

    Returns:
        numpy.ndarray: ``(n, out, out height, out width)``, channels last in memory.
    """
    patches = patches_of(geometry, x.shape[1])
    packed = patches.pack(W)
    y = memory.empty((len(x), *geometry.out, len(W)), x.dtype)
    finish = Finish(y, b, then.channels_last())

    def convolve_tile(tile: Tile) -> None:
        col = patches.gather(x, tile, mask)
        first, last, start, stop = tile
        of_tile = y[first:last, start:stop].reshape(len(col), -1)
        np.matmul(col, packed, out=of_tile)
        finish(*patches.pixels(tile))

    n_thread = patches.n_thread(len(x), len(W))
    jobs = [(tile,) for tile in patches.tiles(len(x), x.itemsize, n_thread)]
    threads.run(convolve_tile, jobs, n_thread)
    return y.transpose(0, 3, 1, 2)


def to_input(
    gy: np.ndarray, W: np.ndarray, geometry: Geometry, mask: Mask | None = None
) -> np.ndarray:
    """Apply the transposed map of :func:`convolve` to what is at its output.

    Args:
        gy (numpy.ndarray): ``(n, out, out height, out width)``, in any layout.
        W (numpy.ndarray): Kernels ``(out, in, kh, kw)``.
        geometry (Geometry): Where the windows lie.
        mask (Mask or None): What of ``gy`` is taken.

    Returns:
        numpy.ndarray: ``(n, in, height, width)``.
    """
    patches = patches_of(geometry, W.shape[1])
    packed = patches.pack(W)
    by_pixel = gy.transpose(0, 2, 3, 1)
    last_mask = None if mask is None else mask.channels_last()
    gx = patches.zero_images(len(gy), gy.dtype)

    def spread(tiles: list[Tile]) -> None:
        for tile in tiles:
            first, last, start, stop = tile
            at = slice(first, last), slice(start, stop)
            pixels = masked(by_pixel, at, last_mask).reshape(-1, len(W))
            patches.scatter(patches.spread(pixels, packed), tile, gx)

    n_thread = patches.n_thread(len(gy), len(W))
    jobs = patches.tiles_by_image(len(gy), gy.itemsize, n_thread)
    threads.run(spread, jobs, n_thread)
    return gx


def to_weights(x: np.ndarray, gy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the gradient of the kernels.

    Args:
        x (numpy.ndarray): Images ``(n, in, height, width)``, in any layout.
        gy (numpy.ndarray): ``(n, out, out height, out width)``, in any layout.
        geometry (Geometry): Where the windows lie.

    Returns:
        numpy.ndarray: ``(out, in, kh, kw)``.
    """
    patches = patches_of(geometry, x.shape[1])
    by_pixel = gy.transpose(0, 2, 3, 1)

    def add_up(tiles: list[Tile]) -> np.ndarray:
        total = np.zeros((patches.length, gy.shape[1]), gy.dtype)
        for tile in tiles:
            first, last, top, bottom = tile
            pixels = by_pixel[first:last, top:bottom].reshape(-1, gy.shape[1])
            total += patches.gather(x, tile).T @ pixels
        return total

    n_thread = patches.n_thread(len(x), gy.shape[1])
    jobs = patches.shares(len(x), x.itemsize, n_thread)
    parts = threads.run(add_up, jobs, n_thread)
    return patches.unpack(sum(parts[1:], parts[0]))

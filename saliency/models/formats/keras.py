"""Keras' ``.h5``: a group for each layer, which names its arrays in order.

An HDF5 file can point to other files (external storage, links, virtual datasets), and
its filters can turn a small chunk into any number of bytes. Weights need neither.
"""

from __future__ import annotations

import contextlib
import functools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from saliency.models.formats.stored import Refused, Stored, Weights, add

# Names differ between versions of Keras; the order of a layer's arrays does not.
_ROLES = {
    1: ("kernel",),
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "mean", "var"),
}
_MOST_LAYERS = 10_000
_LARGEST_ATTRIBUTE = 10_000  # bytes of the names of a layer's arrays
# Bytes of a chunk, which is read as a whole, unless the array itself has more.
_LARGEST_CHUNK = 1 << 26
# Filters by HDF5's numbers for them.
_DEFLATE = 1
_FILTERS = {_DEFLATE: "deflate", 2: "shuffle", 3: "fletcher32"}


@contextlib.contextmanager
def open_keras(path: Path) -> Iterator[Weights]:
    """Return a block with the arrays of a file, as ``layer/role``.

    The roles are ``kernel``, ``bias``, ``gamma``, ``beta``, ``mean`` and ``var``.

    Raises:
        KeyError: If a layer names an array that is not there.
        OSError: If it is no HDF5 file.
        Refused: If anything of it is in another file, or it has no layers with arrays.
    """
    import h5py

    with h5py.File(path, "r") as file:
        root = file
        if file.id.links.exists(b"model_weights"):
            root = _member(file, "model_weights")
        if len(root) > _MOST_LAYERS:
            raise Refused(f"it has {len(root)} layers")
        weights: dict[str, Stored] = {}
        for layer in root:
            group = _member(root, layer)
            for role, name in zip(*_arrays_of(group)):
                dataset = functools.reduce(_member, name.strip("/").split("/"), group)
                add(weights, f"{layer}/{role}", _stored(dataset))
        if not weights:
            raise Refused(
                "it has no layers that name their arrays; Keras 3 writes such files by "
                "model.save('name.h5'), and others by save_weights"
            )
        yield weights


def _member(group: Any, name: str) -> Any:
    """Return what a group itself holds under a name.

    Raises:
        KeyError: If there is no such name.
        Refused: If it leads elsewhere.
    """
    import h5py

    if not group.id.links.exists(name.encode()):
        raise KeyError(f"{group.name} does not hold {name}")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise Refused(
            f"{name} in {group.name} is a link, which may lead to another file; "
            "weights must be in the file itself"
        )
    return group[name]


def _arrays_of(group: Any) -> tuple[tuple[str, ...], list[str]]:
    """Return the roles and the names of the arrays of a layer."""
    if "weight_names" not in group.attrs:
        return (), []
    # What a layer may have, before they are read.
    attribute = group.attrs.get_id("weight_names")
    n_name = math.prod(attribute.shape)
    if n_name * attribute.dtype.itemsize > _LARGEST_ATTRIBUTE:
        raise Refused(f"the names of arrays in {group.name} are too long")
    roles = _ROLES.get(n_name, ())
    names = group.attrs["weight_names"] if roles else ()
    return roles, [n.decode() if isinstance(n, bytes) else str(n) for n in names]


def _stored(dataset: Any) -> Stored:
    """Return what the file says of an array.

    Raises:
        Refused: If it is none, or its numbers are elsewhere.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise Refused(f"{dataset.name} is no array")
    if dataset.external or dataset.is_virtual:
        raise Refused(
            f"the numbers of {dataset.name} are in another file; weights must be in "
            "the file itself"
        )
    read = functools.partial(_read, dataset)
    return Stored(dataset.shape, dataset.dtype.name, read)


def _read(dataset: Any) -> np.ndarray:
    if dataset.size and not dataset.id.get_storage_size():
        raise Refused("its numbers were never written")
    if dataset.chunks:
        _check_chunks(dataset)
    array: np.ndarray = dataset[()]
    return array


def _check_chunks(dataset: Any) -> None:
    """Raise Refused if a chunk is not as large as it is said to be.

    HDF5 inflates whatever there is, and looks at its size afterwards.
    """
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    largest = max(_LARGEST_CHUNK, dataset.nbytes)
    if size > largest:
        raise Refused(f"its chunks have {size} bytes, and may have {largest}")
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= _FILTERS.keys() or filters.count(_DEFLATE) > 1:
        raise Refused(
            f"its filters have the numbers {filters}; allowed are one deflate, shuffle "
            "and fletcher32 (1, 2, 3)"
        )
    if _DEFLATE not in filters:
        return
    for part in dataset.iter_chunks():
        start = tuple(axis.start for axis in part)
        if dataset.id.get_chunk_info_by_coord(start).byte_offset is None:
            continue  # it was never written, and holds the fill value
        skipped, raw = dataset.id.read_direct_chunk(start)
        is_deflated = not skipped >> filters.index(_DEFLATE) & 1
        # With a sum of four bytes, if that was made before.
        if is_deflated and _is_longer(raw, size + 4):
            raise Refused(f"its chunk at {start} has more than {size} bytes")


def _is_longer(raw: bytes, size: int) -> bool:
    """Tell whether a stream of zlib has more bytes; no more are taken out of it."""
    return len(zlib.decompressobj().decompress(raw, size + 1)) > size

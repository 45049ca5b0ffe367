"""How things go to the workers of a Dask cluster: as messages, or in files."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import PickleBuffer, PicklingError
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Union

import cloudpickle
import numpy as np
from distributed import Client

import chainer
from chainer.dataset import concat_examples

# Arrays of so many bytes are sent as they are, without being copied into a pickle.
_BYTES_OF_BUFFER = 1 << 16
# Dask keeps the last thousand messages of each connection that are shorter than this,
# with their data: a table that is sent in such parts would stay in memory as a whole.
_BYTES_KEPT_BY_DASK = 1_000_000
_PADDING = np.zeros(_BYTES_KEPT_BY_DASK, np.uint8)


class _Pickler(cloudpickle.CloudPickler):
    """Pickles classes of ``__main__`` with their code, links among them."""

    def reducer_override(self, obj: Any) -> Any:
        # Chainer makes the class of its classes in a function, so that it cannot be
        # found by its name; a copy would be another than that of the worker's links.
        if obj is type(chainer.Link):
            return _class_of_links, ()
        # An object that is compared with itself: no other is known as the default.
        if obj is concat_examples:
            return _default_converter, ()
        return super().reducer_override(obj)


def _dump(thing: Any, file: Any, **options: Any) -> None:
    """Write the pickle of something into a file.

    Raises:
        TypeError: If it cannot be pickled.
    """
    try:
        _Pickler(file, protocol=5, **options).dump(thing)
    except (TypeError, AttributeError, PicklingError) as reason:
        raise TypeError(
            "workers=... sends the model, the data and all functions to other "
            f"processes, but some of it cannot be pickled: {reason}. Leave out what "
            "holds locks, open files, generators or the like, or pass workers=None"
        ) from reason


def _class_of_links() -> type:
    return type(chainer.Link)


def _default_converter() -> Any:
    return concat_examples


class Pickled(NamedTuple):
    """A pickle, and beside it the large arrays that it needs.

    Attributes:
        pickle (bytes): The pickle.
        arrays (list of numpy.ndarray): The bytes of the arrays, which Dask sends
            without a copy.
    """

    pickle: bytes
    arrays: list[np.ndarray]

    @classmethod
    def of(cls, thing: Any) -> Pickled:
        """Return the pickle of something."""
        arrays: list[np.ndarray] = []

        def is_within(buffer: PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < _BYTES_OF_BUFFER:
                return True
            arrays.append(np.frombuffer(raw, np.uint8))
            return False

        file = io.BytesIO()
        _dump(thing, file, buffer_callback=is_within)
        return cls(file.getvalue(), arrays)

    @property
    def n_byte(self) -> int:
        """How many bytes there are in all."""
        return len(self.pickle) + sum(array.nbytes for array in self.arrays)

    def is_here(self) -> bool:
        """Tell whether it can be read in this process."""
        return True

    def padded(self) -> Pickled:
        """Return it with so many bytes more that Dask does not keep it."""
        padding = _PADDING[min(self.n_byte, len(_PADDING)) :]
        return self._replace(arrays=[*self.arrays, padding])

    def load(self) -> Any:
        """Return what was pickled."""
        return cloudpickle.loads(self.pickle, buffers=self.arrays)

    def discard(self) -> None:
        """Do nothing: what is not needed any longer is gone by itself."""


class InFile(NamedTuple):
    """A pickle in a file.

    Attributes:
        path (Path): The file.
        n_byte (int): How many bytes it has.
    """

    path: Path
    n_byte: int

    @classmethod
    def of(cls, thing: Any, path: Path) -> InFile:
        """Write the pickle of something into a file."""
        with path.open("wb") as file:
            _dump(thing, file)
            return cls(path, file.tell())

    def is_here(self) -> bool:
        """Tell whether it can be read in this process."""
        return self.path.exists()

    def load(self) -> Any:
        """Return what was pickled."""
        with self.path.open("rb") as file:
            return cloudpickle.load(file)

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink()


#: A thing on its way to a worker.
Sent = Union[Pickled, InFile]


@contextmanager
def common_folder(client: Client) -> Iterator[Path | None]:
    """Return a folder for data on its way to workers; None if one cannot read it.

    A file takes a fifth of the time that two sockets take, of which the scheduler has
    one. A worker that comes later, and elsewhere, is sent its data.
    """
    with TemporaryDirectory(prefix="saliency-") as name:
        folder, token = Path(name), uuid.uuid4().hex
        file = folder / "token"
        file.write_text(token)
        found = client.run(_text_of, file, on_error="return").values()
        file.unlink()
        yield folder if found and all(text == token for text in found) else None


def _text_of(file: Path) -> str | None:
    """Return what a file says, on a worker that can read it."""
    try:
        return file.read_text()
    except OSError:
        return None

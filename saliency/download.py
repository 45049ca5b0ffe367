"""Files from the internet, each fetched once and checked.

Pooch, the usual library for this, brings requests and six more packages, and limits
neither the whole time nor where redirects lead.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import ipaddress
import os
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from http.client import HTTPException
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit

from saliency.checks import checked_text, is_number
from saliency.progress import progress_bar

_PIECE = 1 << 18
# Seconds for which a server may be silent.
_SILENCE = 60
# With fewer digits, another file would pass too easily.
_FEWEST_DIGITS = 8


def download(
    url: str,
    path: str | PathLike[str],
    checksum: str | None = None,
    show_progress: bool = True,
    time_limit: float = 3600.0,
) -> Path:
    """Return the path of a file that is downloaded if it is not there.

    A file gets its name when it is complete and checked, so a file of that name is
    whole, also where several processes download it, or one is killed. What a killed
    process leaves has a name of its own that ends with ``.part``, and may be deleted.

    A file that is already there is read once to check it, at the speed of the disk or
    of the digest (550 MB in about a second). In the same process it is not read again
    as long as its size and times are the same.

    Args:
        url (str): Where it is to be had, over https. Plain http is for addresses of
            this machine alone, such as ``http://127.0.0.1:8000/x``.
        path (path): Where it is kept; folders are made.
        checksum (str or None): Such as ``'sha256:9f86d081...'`` or ``'md5:...'``; what
            stands behind the colon may be the beginning of the digest, at least 8
            digits. ``None`` checks nothing but the length that the server announces.
        show_progress (bool): Whether to show a progress bar.
        time_limit (float): Seconds that the download may take from its start to its
            end.

    Raises:
        OSError: If it cannot be downloaded, or the file (downloaded, or already there)
            is not what the checksum says. The message names the address and the reason,
            and tells which file to get and where to put it.
        TypeError: If ``url`` or ``checksum`` is no text.
        ValueError: If ``url`` is another kind of address, ``checksum`` is no digest, or
            ``time_limit`` is not positive.
    """
    if not _is_allowed(checked_text("url", url)):
        raise ValueError(
            f"url={url!r} must begin with https:// and a host; http:// is allowed for "
            "this machine alone, as in http://127.0.0.1:8000/x"
        )
    expected = None if checksum is None else _Checksum.of(checksum)
    if not (is_number(time_limit) and time_limit > 0):
        raise ValueError(f"time_limit must be a number above 0, got {time_limit!r}")
    path = Path(path)
    if path.exists():
        _check_present(path, url, expected)
        return path
    try:
        with written_whole(path) as file:
            _fetch_in_time(url, file, path.name, show_progress, time_limit)
            _check_written(file, expected)
    except (OSError, ValueError, HTTPException) as reason:
        raise OSError(
            f"{url} cannot be downloaded ({str(reason) or type(reason).__name__}). "
            f"Download it elsewhere and put it at {path}"
        ) from reason
    return path


@contextlib.contextmanager
def written_whole(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """Return a block with a file that gets its name when the block succeeds.

    Until then it is in the same folder under a name that no other process has, and is
    removed if the block fails. Two processes may write the same file; the last one to
    finish is the one that stays.

    Args:
        path (path): The name that it gets; folders are made.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:150]}.{uuid.uuid4().hex}.part")
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class _Checksum(NamedTuple):
    """The kind of a digest, and its beginning in hexadecimal digits."""

    kind: str
    digits: str

    @classmethod
    def of(cls, text: Any) -> _Checksum:
        """Return the checksum that a text such as ``'sha256:9f86d081'`` means."""
        kind, _, digits = checked_text("checksum", text).lower().partition(":")
        # shake_128 and shake_256 have no length of their own.
        kinds = sorted(k for k in hashlib.algorithms_guaranteed if "shake" not in k)
        if kind not in kinds:
            raise ValueError(
                f"checksum={text!r} must be one of {', '.join(kinds)}, a colon and the "
                "digest, as in 'sha256:9f86d081...'"
            )
        longest = 2 * hashlib.new(kind).digest_size
        is_hexadecimal = set(digits) <= set("0123456789abcdef")
        if not (is_hexadecimal and _FEWEST_DIGITS <= len(digits) <= longest):
            raise ValueError(
                f"checksum={text!r} must have {_FEWEST_DIGITS} to {longest} "
                f"hexadecimal digits behind {kind}:"
            )
        return cls(kind, digits)

    def difference(self, digest: str) -> str | None:
        """Return what is wrong with a file of this digest, if anything."""
        if digest.startswith(self.digits):
            return None
        return f"its {self.kind} is {digest}, not {self.digits}"


def _check_present(path: Path, url: str, expected: _Checksum | None) -> None:
    """Raise an OSError if what is there is not the file that is expected."""
    if not path.is_file():
        raise OSError(f"{path}, where {url} is to be put, is there and is no file")
    if expected is None:
        return
    status = path.stat()
    version = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    problem = expected.difference(_digest_of(path.resolve(), expected.kind, version))
    if problem:
        raise OSError(
            f"{path} is not the file of {url}: {problem}. Remove it to have it "
            "downloaded again, or put the right one there"
        )


@functools.lru_cache(maxsize=64)
def _digest_of(path: Path, kind: str, version: tuple[int, ...]) -> str:
    """Return the digest of a file; ``version`` tells it from an earlier one."""
    with path.open("rb") as file:
        return _digest(file, kind)


def _digest(file: BinaryIO, kind: str) -> str:
    digest = hashlib.new(kind)
    file.seek(0)
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _check_written(file: BinaryIO, expected: _Checksum | None) -> None:
    """Raise an OSError if the file, as it can be read back, is not as expected."""
    file.flush()
    problem = expected and expected.difference(_digest(file, expected.kind))
    if problem:
        raise OSError(f"it is not the file that is expected: {problem}")


# --- the internet -----------------------------------------------------------------


def _is_allowed(url: str) -> bool:
    """Tell whether an address is of https, or of http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # of a host in brackets that is none
        return False
    if not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects that do not leave https."""

    def redirect_request(
        self, req: urllib.request.Request, *args: Any
    ) -> urllib.request.Request | None:
        url = args[-1]
        leaves = req.type == "https" and urlsplit(url).scheme != "https"
        if leaves or not _is_allowed(url):
            raise OSError(f"it is redirected to {url}, which is not https")
        return super().redirect_request(req, *args)


def _open(url: str) -> Any:
    """Return the response of a server; there is nothing here that opens files."""
    opener = urllib.request.OpenerDirector()
    # Only https goes through a proxy: plain http is for this machine.
    proxies = {k: v for k, v in urllib.request.getproxies().items() if k == "https"}
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener.open(url, timeout=_SILENCE)


def _fetch_in_time(
    url: str, file: BinaryIO, name: str, show_progress: bool, time_limit: float
) -> None:
    """Write what is at the address to the file.

    It is read in another thread, which can be left behind: a name that is not resolved
    and a server that sends a byte a minute cannot be interrupted.

    Raises:
        HTTPException: If what the server says is no HTTP.
        OSError: If it cannot be fetched, or not in time.
    """
    is_left = threading.Event()
    errors: list[Exception] = []

    def fetch(file: BinaryIO) -> None:
        try:
            with file:
                _fetch(url, file, bar, is_left)
        except Exception as error:  # is raised where it is waited for
            errors.append(error)

    with progress_bar(name, None, "B", show_progress, unit_scale=True) as bar:
        # The thread has a file of its own to close: others may close theirs meanwhile.
        own = os.fdopen(os.dup(file.fileno()), "wb")
        thread = threading.Thread(target=fetch, args=(own,), daemon=True)
        thread.start()
        try:
            thread.join(min(time_limit, threading.TIMEOUT_MAX))
            if thread.is_alive():
                raise TimeoutError(
                    f"it took more than time_limit={time_limit:g} seconds"
                )
        finally:
            is_left.set()
    if errors:
        raise errors[0]


def _fetch(url: str, file: BinaryIO, bar: Any, is_left: threading.Event) -> None:
    try:
        response = _open(url)
    except HTTPError as error:
        error.close()
        raise
    with response:
        announced = response.length
        bar.reset(total=announced)
        n_byte = 0
        # What has arrived, and not a whole piece, so that nobody waits for long.
        while n_byte != announced and (piece := response.read1(_PIECE)):
            if is_left.is_set():
                return
            file.write(piece)
            n_byte += len(piece)
            bar.update(len(piece))
    if announced is not None and n_byte != announced:
        raise OSError(f"the connection ended after {n_byte} of {announced} bytes")

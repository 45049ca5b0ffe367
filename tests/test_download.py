"""Files are fetched once, whole, and checked."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Callable

import pytest

from saliency.download import download, written_whole
from tests.servers import Server, content, redirect, running
from tests.terminal import Screen

CONTENT = bytes(range(256)) * 9000  # more than one piece
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CHECKSUM = f"sha256:{SHA256}"


@pytest.fixture
def server() -> Iterator[Server]:
    answers = {
        "/file": content(CONTENT),
        "/slow": slowly,
        "/cut": content(CONTENT, sent=1000),
        "/empty": content(b""),
        "/open": without_length,
        "/chunk": cut_chunk,
        "/no-http": no_http,
        "/away": redirect("/file"),
    }
    with running(answers) as server:
        yield server


@pytest.fixture
def address(server) -> str:
    return server.address


def without_length(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(CONTENT)


def slowly(handler: BaseHTTPRequestHandler) -> None:
    content(CONTENT, sent=1000)(handler)
    time.sleep(1.1)  # from a second on there is a progress bar
    handler.wfile.write(CONTENT[1000:])


def cut_chunk(handler: BaseHTTPRequestHandler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"1000\r\n" + CONTENT[:1000])
    handler.close_connection = True


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 this is something else\r\n")


@pytest.mark.parametrize(
    "checksum",
    [
        None,
        CHECKSUM,
        f"sha256:{SHA256[:8]}",
        f"SHA256:{SHA256.upper()}",
        f"md5:{hashlib.md5(CONTENT).hexdigest()}",
    ],
    ids=["none", "sha256", "its_beginning", "capitals", "md5"],
)
def test_a_file_is_fetched_once(server, checksum, tmp_path):
    path = tmp_path / "folder" / "file.bin"
    for _ in range(2):
        assert download(f"{server.address}/file", path, checksum) == path
    assert path.read_bytes() == CONTENT
    assert server.requested == ["/file"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("what", ["open", "away"])
def test_other_ways_to_send_it(address, what, tmp_path):
    path = download(f"{address}/{what}", tmp_path / "x", CHECKSUM, False)
    assert path.read_bytes() == CONTENT


def test_an_empty_file(address, tmp_path):
    assert download(f"{address}/empty", tmp_path / "x").read_bytes() == b""


def test_its_permissions_are_those_of_any_file(address, tmp_path):
    (tmp_path / "other").touch()
    path = download(f"{address}/file", tmp_path / "x", show_progress=False)
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_long_name(address, tmp_path):
    path = tmp_path / ("x" * 250)
    assert download(f"{address}/file", path, CHECKSUM, False).exists()


@pytest.mark.large
def test_a_terminal_shows_the_progress_of_slow_ones(address, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen())
    download(f"{address}/slow", tmp_path / "file.bin")
    assert "file.bin: 100%" in sys.stderr.getvalue()
    assert "MB/s" in sys.stderr.getvalue()


@pytest.mark.large
def test_progress_can_be_left_out(address, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen())
    download(f"{address}/slow", tmp_path / "file.bin", show_progress=False)
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize(
    "what, checksum, message",
    [
        ("file", "sha256:01234567", r"its sha256 is \w+, not 01234567"),
        ("empty", CHECKSUM, "its sha256 is e3b0c44"),
        ("cut", None, r"ended after 1000 of 2304000 bytes"),
        ("chunk", None, "IncompleteRead"),
        ("missing", None, "HTTP Error 404: Not Found"),
        ("no-http", None, "220 this is something else"),
    ],
)
def test_what_fails_leaves_nothing(address, what, checksum, message, tmp_path):
    path = tmp_path / "file.bin"
    with pytest.raises(OSError, match=message) as caught:
        download(f"{address}/{what}", path, checksum, show_progress=False)
    assert f"Download it elsewhere and put it at {path}" in str(caught.value)
    assert f"{address}/{what} cannot be downloaded" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nobody_there(tmp_path):
    with pytest.raises(OSError, match="Download it elsewhere and put it at"):
        download("http://127.0.0.1:9/x", tmp_path / "x")


def test_a_folder_that_cannot_be_made(address, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"{address}/file cannot be downloaded"):
        download(f"{address}/file", tmp_path / "file" / "x")


class TestAddresses:
    """Only https, and http of this machine, and nothing else by way of a redirect."""

    @pytest.mark.parametrize(
        "url",
        [
            *("nowhere", "", "file:///etc/hostname", "data:,x", "ftp://localhost/x"),
            *("http://example.org/x", "https://", "https:///x", "http://[::2]/x"),
            *("http://127.0.0.1.example.org/x", "http://[x", "HTTP://10.0.0.1/x"),
            "http://localhost@example.org/x",
        ],
    )
    def test_others_are_refused(self, url, tmp_path):
        with pytest.raises(ValueError, match="must begin with https://") as caught:
            download(url, tmp_path / "x")
        assert repr(url) in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_what_is_no_text(self, tmp_path):
        with pytest.raises(TypeError, match="url must be a str, got PosixPath"):
            download(tmp_path, tmp_path / "x")

    @pytest.mark.parametrize(
        "target", ["file:///etc/hostname", "http://example.org/x", "data:,x", "ftp://x"]
    )
    def test_redirects_are_refused(self, target, tmp_path):
        refused = pytest.raises(OSError, match="cannot be downloaded")
        with running({"/file": redirect(target)}) as server, refused as caught:
            download(f"{server.address}/file", tmp_path / "x", None, False)
        assert target in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_https_is_not_left_for_this_machine(self):
        """There is no server with a certificate here: what decides is asked alone."""
        from urllib.request import Request

        from saliency.download import _Redirects

        start = Request("https://example.org/x")
        args = start, None, 302, "Found", {}
        with pytest.raises(OSError, match=r"redirected to http://127\.0\.0\.1/x"):
            _Redirects().redirect_request(*args, "http://127.0.0.1/x")
        there = _Redirects().redirect_request(*args, "https://example.net/x")
        assert there.full_url == "https://example.net/x"

    def test_a_proxy_is_not_asked_for_what_is_here(
        self, address, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        assert download(f"{address}/file", tmp_path / "x", CHECKSUM, False).exists()


class TestChecksums:
    @pytest.mark.parametrize(
        "checksum",
        [
            *("", "sha256:", "sha256", ":", SHA256, "sha256:0123456"),
            *("sha256:0123456g", "sha256: 01234567", f"md5:{SHA256}"),
            *("sha3:01234567", "shake_128:01234567"),
        ],
    )
    def test_what_is_none_is_refused(self, address, checksum, tmp_path):
        with pytest.raises(ValueError, match="checksum=") as caught:
            download(f"{address}/file", tmp_path / "x", checksum)
        assert repr(checksum) in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("checksum", [b"sha256:01234567", 1])
    def test_what_is_no_text(self, address, checksum, tmp_path):
        with pytest.raises(TypeError, match="checksum must be a str"):
            download(f"{address}/file", tmp_path / "x", checksum)


class TestPresent:
    """A file that is there is checked, and never replaced."""

    def test_another_file_is_named(self, server, tmp_path):
        path = tmp_path / "x"
        path.write_bytes(CONTENT[:-1])
        with pytest.raises(OSError, match="is not the file of http") as caught:
            download(f"{server.address}/file", path, CHECKSUM)
        for part in (str(path), f"{server.address}/file", SHA256, "Remove it"):
            assert part in str(caught.value)
        assert path.read_bytes() == CONTENT[:-1]
        assert server.requested == []

    def test_it_is_read_again_when_it_was_changed(self, address, tmp_path):
        path = download(f"{address}/file", tmp_path / "x", CHECKSUM, False)
        assert download(f"{address}/file", path, CHECKSUM) == path
        path.write_bytes(CONTENT[:-1] + b"x")  # of the same size
        with pytest.raises(OSError, match="is not the file of"):
            download(f"{address}/file", path, CHECKSUM)

    def test_it_is_not_read_again_when_it_was_not(self, address, tmp_path, monkeypatch):
        path = download(f"{address}/file", tmp_path / "x", CHECKSUM, False)
        download(f"{address}/file", path, CHECKSUM)
        monkeypatch.setattr(Path, "open", None)
        assert download(f"{address}/file", path, CHECKSUM) == path

    def test_without_a_checksum_it_is_taken_as_it_is(self, address, tmp_path):
        (tmp_path / "x").touch()
        assert download(f"{address}/file", tmp_path / "x") == tmp_path / "x"

    def test_a_folder_is_no_file(self, address, tmp_path):
        with pytest.raises(OSError, match="is there and is no file"):
            download(f"{address}/file", tmp_path)


class TestTime:
    @pytest.mark.parametrize("where", ["headers", "body"])
    def test_a_server_that_never_ends(self, where, tmp_path):
        """It is never silent for long: a byte comes every 20 ms."""
        is_over = threading.Event()

        def dribble(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
            handler.wfile.write(b"X: " if where == "headers" else b"\r\n")
            while not is_over.wait(0.02):
                handler.wfile.write(b"x")

        with running({"/slow": dribble}) as server:
            with pytest.raises(OSError, match=r"more than time_limit=0\.3 s") as caught:
                address = f"{server.address}/slow"
                download(address, tmp_path / "x", None, False, time_limit=0.3)
            assert list(tmp_path.iterdir()) == []
            is_over.set()
        assert address in str(caught.value)
        assert "Download it elsewhere" in str(caught.value)

    @pytest.mark.parametrize("limit", [0, -1, float("nan"), None, "1", True])
    def test_the_limit_is_a_positive_number(self, address, limit, tmp_path):
        with pytest.raises(ValueError, match="time_limit must be a number above 0"):
            download(f"{address}/file", tmp_path / "x", time_limit=limit)

    def test_it_may_be_endless(self, address, tmp_path):
        path = tmp_path / "x"
        download(f"{address}/file", path, CHECKSUM, False, time_limit=float("inf"))
        assert path.exists()


DOWNLOAD = """
import sys
from saliency.download import download
download(sys.argv[1], sys.argv[2], sys.argv[3], show_progress=False)
"""


class TestTogether:
    """Several processes want one file at the same time."""

    @pytest.fixture
    def start(self, tmp_path) -> Iterator[Callable[[str], subprocess.Popen]]:
        processes = []

        def start(address: str) -> subprocess.Popen:
            command = [
                sys.executable,
                "-c",
                DOWNLOAD,
                address,
                tmp_path / "x",
                CHECKSUM,
            ]
            processes.append(subprocess.Popen(command, stderr=subprocess.PIPE))
            return processes[-1]

        yield start
        for process in processes:
            process.kill()
            process.communicate()

    @staticmethod
    def half(go_on: threading.Event, sent: threading.Semaphore) -> Callable:
        """Returns an answer that waits in the middle."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(CONTENT)))
            handler.end_headers()
            handler.wfile.write(CONTENT[:1_000_000])
            sent.release()
            go_on.wait(60)
            handler.wfile.write(CONTENT[1_000_000:])

        return answer

    @pytest.mark.parametrize(
        "killed",
        [
            "none",
            "first",
            pytest.param("second", marks=pytest.mark.large),
            pytest.param("both", marks=pytest.mark.large),
        ],
    )
    @pytest.mark.large
    def test_the_file_is_whole_or_absent(self, start, killed, tmp_path):
        go_on, sent = threading.Event(), threading.Semaphore(0)
        with running({"/file": self.half(go_on, sent)}) as server:
            processes = [start(f"{server.address}/file") for _ in range(2)]
            for _ in processes:
                assert sent.acquire(timeout=60)
            # What has arrived is written at once.
            until(lambda: len(written(tmp_path)) == 2)
            ends = {"none": [], "first": [0], "second": [1], "both": [0, 1]}[killed]
            for i in ends:
                processes[i].send_signal(signal.SIGKILL)
                processes[i].wait()
            assert not (tmp_path / "x").exists()
            go_on.set()
            for i in {0, 1} - set(ends):
                assert processes[i].wait(60) == 0
        if killed == "both":
            assert not (tmp_path / "x").exists()
        else:
            assert (tmp_path / "x").read_bytes() == CONTENT
        assert len(written(tmp_path)) == len(ends)

    @pytest.mark.large
    def test_one_that_fails_does_not_touch_the_other(self, start, tmp_path):
        go_on, sent = threading.Event(), threading.Semaphore(0)
        answers = {
            "/file": self.half(go_on, sent),
            "/slow": slowly,
            "/cut": content(CONTENT, sent=1000),
        }
        with running(answers) as server:
            whole = start(f"{server.address}/file")
            assert sent.acquire(timeout=60)
            cut = start(f"{server.address}/cut")
            assert cut.wait(60) == 1
            assert b"ended after 1000 of" in cut.stderr.read()
            go_on.set()
            assert whole.wait(60) == 0
        assert (tmp_path / "x").read_bytes() == CONTENT
        assert written(tmp_path) == []


def written(folder: Path) -> list[Path]:
    """Returns the files of downloads that are not finished and have begun."""
    return [path for path in folder.glob(".x.*.part") if path.stat().st_size]


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError("a minute is over")


class TestWrittenWhole:
    def test_what_fails_leaves_what_was_there(self, tmp_path):
        path = tmp_path / "x"
        path.write_bytes(b"old")
        with pytest.raises(KeyError), written_whole(path) as file:
            file.write(b"new")
            raise KeyError
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["x"]

    def test_what_succeeds_takes_its_place(self, tmp_path):
        path = tmp_path / "folder" / "x"
        with written_whole(path) as file:
            file.write(b"new")
            assert not path.exists()
        assert path.read_bytes() == b"new"
        assert os.listdir(path.parent) == ["x"]

"""Files are fetched once, whole, and checked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from saliency.download import download

CONTENT = bytes(range(256)) * 9000  # more than one piece
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Server(BaseHTTPRequestHandler):
    n_request = 0

    def do_GET(self) -> None:
        type(self).n_request += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path == "/cut" else CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    _Server.n_request = 0
    server = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "checksum",
    [
        None,
        f"sha256:{SHA256}",
        f"sha256:{SHA256[:8]}",
        f"md5:{hashlib.md5(CONTENT).hexdigest()}",
    ],
    ids=["none", "sha256", "its_beginning", "md5"],
)
def test_a_file_is_fetched_once(address, checksum, tmp_path, capfd):
    path = tmp_path / "folder" / "file.bin"
    for _ in range(2):
        assert download(f"{address}/file", path, checksum) == path
    assert path.read_bytes() == CONTENT
    assert _Server.n_request == 1
    assert list(path.parent.iterdir()) == [path]
    assert "file.bin: 100%" in capfd.readouterr().err


def test_progress_can_be_left_out(address, tmp_path, capfd):
    download(f"{address}/file", tmp_path / "file.bin", show_progress=False)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "what, checksum, message",
    [
        ("file", "sha256:0123", r"its checksum is \w+, not sha256:0123"),
        ("cut", None, r"ended after 1000 of 2304000 bytes"),
        ("missing", None, "404"),
    ],
)
def test_what_fails_leaves_nothing(address, what, checksum, message, tmp_path):
    path = tmp_path / "file.bin"
    with pytest.raises(OSError, match=message) as caught:
        download(f"{address}/{what}", path, checksum, show_progress=False)
    assert str(path) in str(caught.value)
    assert f"{address}/{what}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nobody_there(tmp_path):
    with pytest.raises(OSError, match="Download it elsewhere and put it at"):
        download("http://127.0.0.1:9/x", tmp_path / "x")


def test_no_address(tmp_path):
    with pytest.raises(OSError, match="can not be downloaded"):
        download("nowhere", tmp_path / "x")

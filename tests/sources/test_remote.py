"""Pictures from the web, from a server of the test's own: allowed hosts, sizes, time, private addresses, moves."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mmpr.config import RemoteSpec
from mmpr.errors import RecipeError, RowError
from mmpr.schema import Question, Reject
from mmpr.sources import remote
from tests.sources.source_helpers import CHINA, ingest, recipe_of


class Server(BaseHTTPRequestHandler):
    """Answers by the path."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/a.jpg":
            self._send(200, CHINA, {"Content-Length": str(len(CHINA))})
        elif path == "/moved":
            self._send(302, b"", {"Location": "/a.jpg"})
        elif path == "/away":
            self._send(302, b"", {"Location": "http://elsewhere.example/a.jpg"})
        elif path == "/round":
            self._send(302, b"", {"Location": "/round"})
        elif path == "/large":
            self._send(200, b"x" * 5_000, {})
        elif path == "/said":
            self._send(200, b"x", {"Content-Length": "5000"})
        elif path == "/short":
            self._send(200, CHINA[:100], {"Content-Length": "900"})
        elif path == "/empty":
            self._send(200, b"", {"Content-Length": "0"})
        elif path == "/slow":
            self._send(200, b"", {"Content-Length": "900"})
            for _ in range(40):
                time.sleep(0.1)
                self.wfile.write(b"x")
        else:
            self._send(404, b"no", {"Content-Length": "2"})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def fetch(address: str, hosts: tuple[str, ...] = ("127.0.0.1",), timeout_s: float = 10, most: int = 4_000) -> bytes:
    return remote.fetch(address, RemoteSpec(hosts=hosts, timeout_s=timeout_s), most, allowed=lambda _: True)


@pytest.mark.parametrize("path", ["a.jpg", "a.jpg?x=1&y=ü", "moved"])
def test_a_picture(port: int, path: str) -> None:
    assert fetch(f"http://127.0.0.1:{port}/{path}") == CHINA


@pytest.mark.parametrize(
    ("path", "reason", "detail"),
    [
        ("none", "image_missing", "answers 404"),
        ("away", "image_remote", "elsewhere.example is none of images.remote.hosts"),
        ("round", "image_unreadable", "moved more than 3 times"),
        ("large", "image_too_large", "more than 4000 bytes"),
        ("said", "image_too_large", "5000 bytes"),
        ("short", "image_unreadable", "800 bytes early"),
        ("empty", "image_empty", "0 bytes"),
    ],
)
def test_pictures_that_cannot_be_had(port: int, path: str, reason: str, detail: str) -> None:
    with pytest.raises(RowError) as caught:
        fetch(f"http://127.0.0.1:{port}/{path}")
    assert caught.value.reason == reason
    assert detail in caught.value.detail


def test_a_server_that_sends_a_byte_now_and_then(port: int) -> None:
    start = time.monotonic()
    with pytest.raises(RowError, match=r"longer than images.remote.timeout_s"):
        fetch(f"http://127.0.0.1:{port}/slow", timeout_s=0.6)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "address",
    [
        "ftp://127.0.0.1/a.jpg",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "http://a:b@127.0.0.1/a.jpg",
        "http://127.0.0.1:99999/a.jpg",
        "http://127.0.0.1.example.org/a.jpg",
        "http://example.org/a.jpg",
    ],
)
def test_addresses_that_are_not_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("was asked"))
    with pytest.raises(RowError) as caught:
        fetch(address)
    assert caught.value.reason == "image_remote"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_addresses_of_the_public_internet(address: str, public: bool) -> None:
    assert remote.is_public(address) == public


def test_a_name_that_stands_for_a_private_address(port: int) -> None:
    spec = RemoteSpec(hosts=("*",), timeout_s=5)
    with pytest.raises(RowError, match="which is not public"):
        remote.fetch(f"http://localhost:{port}/a.jpg", spec, 4_000)


@pytest.mark.parametrize(
    ("host", "pattern", "matches"),
    [
        ("a.example.org", "*.example.org", True),
        ("example.org", "*.example.org", False),
        ("evilexample.org", "*.example.org", False),
        ("a.example.org", "a.example.org", True),
        ("anything", "*", True),
    ],
)
def test_hosts(host: str, pattern: str, matches: bool) -> None:
    assert remote._matches(host, pattern) == matches


@pytest.mark.parametrize("hosts", [["http://x"], ["*.*"], ["a*"], [""], "x"])
def test_hosts_that_are_none(tmp_path: Path, hosts: Any) -> None:
    with pytest.raises(RecipeError, match="hosts"):
        recipe_of(tmp_path, {"images": {"remote": {"hosts": hosts}}}, type="jsonl", path="x.jsonl")


def test_only_a_recipe_that_allows_it_fetches(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "q", "image": f"http://127.0.0.1:{port}/a.jpg"}]
    (tmp_path / "x.jsonl").write_text(json.dumps(rows[0]))
    [refused] = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert isinstance(refused, Reject)
    assert refused.reason == "image_remote"
    assert "images.remote.hosts" in refused.detail
    allowed = {"images": {"remote": {"hosts": ["127.0.0.1"]}}}
    [private] = ingest(tmp_path, allowed, type="jsonl", path="x.jsonl")
    assert isinstance(private, Reject)
    assert "not public" in private.detail
    monkeypatch.setattr(remote.fetch, "__defaults__", (lambda _: True,))
    [fetched] = ingest(tmp_path, allowed, type="jsonl", path="x.jsonl")
    assert isinstance(fetched, Question), fetched
    assert fetched.images == (CHINA,)

"""Pictures from the web: only from the recipe's hosts, only from public addresses, bounded in size and time.

A host's name is looked up once, and the connection goes to the address that was checked, so that a name cannot stand
for a public address when it is checked and for a private one when it is used.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import mmpr
from mmpr.config import RemoteSpec
from mmpr.errors import RowError

_REDIRECTS = 3
_CHUNK = 1 << 16
_KEPT = "/%:@!$&'()*+,;=~?-._"
_MOVED = (301, 302, 303, 307, 308)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    known = ipaddress.ip_address(address)
    inner = getattr(known, "ipv4_mapped", None) or getattr(known, "sixtofour", None) or known
    return known.is_global and inner.is_global and not known.is_multicast


def fetch(address: str, remote: RemoteSpec, max_bytes: int, allowed: Callable[[str], bool] = is_public) -> bytes:
    """The file at an address.

    Args:
        address: http or https.
        remote: hosts that may be asked, and the time for it.
        max_bytes: the most that is read.
        allowed: which IP addresses may be asked.

    Raises:
        RowError: image_remote (not allowed), image_too_large, image_missing (the server has none), image_unreadable.
    """
    deadline = time.monotonic() + remote.timeout_s
    asked = address
    for _ in range(_REDIRECTS + 1):
        parts = _checked(asked, remote)
        try:
            moved, data = _ask(parts, deadline, max_bytes, allowed)
        except (OSError, http.client.HTTPException, ValueError) as error:  # ssl's and the timeout's are OSErrors
            raise RowError("image_unreadable", f"{_shown(asked)}: {error}"[:300]) from None
        if moved is None:
            return data
        asked = urljoin(asked, moved)
    raise RowError("image_unreadable", f"{_shown(address)}: moved more than {_REDIRECTS} times")


def _checked(address: str, remote: RemoteSpec) -> SplitResult:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RowError("image_remote", f"{_shown(address)}: is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RowError("image_remote", f"{_shown(address)}: only http and https are fetched")
    if parts.username is not None or parts.password is not None:
        raise RowError("image_remote", f"{_shown(parts.hostname or '')}: an address with a password is not fetched")
    if not any(_matches(host, pattern.lower()) for pattern in remote.hosts):
        raise RowError("image_remote", f"{_shown(address)}: {host[:100]} is none of images.remote.hosts")
    return parts


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern in ("*", host)


def _ask(
    parts: SplitResult, deadline: float, max_bytes: int, allowed: Callable[[str], bool]
) -> tuple[str | None, bytes]:
    """Where the file has moved to, or None and its bytes."""
    connection = _connect(parts, deadline, allowed)
    # Timeouts of sockets are those of one read; a server that sends a byte a second is cut off by this.
    late = threading.Timer(_left(deadline), _cut_off, (connection.sock,))
    late.daemon = True
    late.start()
    try:
        path = quote(parts.path or "/", _KEPT) + (f"?{quote(parts.query, _KEPT)}" if parts.query else "")
        headers = {"User-Agent": f"mmpr/{mmpr.__version__}", "Accept": "image/*", "Accept-Encoding": "identity"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status in _MOVED and (moved := answer.getheader("Location")):
            return moved, b""
        if answer.status != 200:
            raise RowError("image_missing", f"{_shown(parts.geturl())}: the server answers {answer.status}")
        said = answer.getheader("Content-Length") or "0"
        if said.isdecimal() and int(said[:20]) > max_bytes:
            raise RowError("image_too_large", f"{said[:20]} bytes, the limit is {max_bytes} (images.max_bytes)")
        data = bytearray()
        while piece := answer.read1(_CHUNK):
            data += piece
            if len(data) > max_bytes:
                raise RowError("image_too_large", f"more than {max_bytes} bytes (images.max_bytes)")
        _left(deadline)
        if answer.length:
            raise OSError(f"the connection ended {answer.length} bytes early")
        if not data:
            raise RowError("image_empty", f"{_shown(parts.geturl())}: 0 bytes")
        return None, bytes(data)
    finally:
        late.cancel()
        connection.close()


def _connect(parts: SplitResult, deadline: float, allowed: Callable[[str], bool]) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    private = [address for address in addresses if not allowed(address.split("%")[0])]
    if private:
        raise RowError("image_remote", f"{_shown(parts.geturl())}: {host[:100]} is {private[0]}, which is not public")
    sock = socket.create_connection((addresses[0], port), timeout=_left(deadline))
    connection = http.client.HTTPConnection(host, port)
    if parts.scheme == "https":
        connection.default_port = 443  # of which the name of the host says nothing
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    connection.sock = sock
    return connection


def _cut_off(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("took longer than images.remote.timeout_s")
    return left


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 200 else text[:200] + "...")

"""``mmpr serve BUILD``: the report of a build on this machine alone, with an audit page that writes ``audit.jsonl``.

    browser ─ GET /TOKEN/audit.html ─▶ the report's files         POST /TOKEN/audit.jsonl ─▶ a line of BUILD/audit.jsonl

It listens on the loopback interface. Every address begins with a token that only the person at the terminal sees. What
is written is a judgement on a verdict of the page, or nothing.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from markupsafe import escape

from mmpr.audit.judgements import AUDIT, MAX_LINE_BYTES, parse_line
from mmpr.cli.command import run_command, this_command
from mmpr.errors import MmprError, OutputError

FILES = {
    "index.html": "text/html; charset=utf-8",
    "gallery.html": "text/html; charset=utf-8",
    "audit.html": "text/html; charset=utf-8",
    "report.json": "application/json",
}
_HOST = "127.0.0.1"
_JSON_LINES = "application/jsonl"
_POLICY, _AND_US = (str(escape(text)).encode() for text in ("default-src 'none';", " connect-src 'self';"))
_PATIENCE_S = 10.0
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 stopped by Ctrl-C, 1 it cannot serve."""
    parser = argparse.ArgumentParser(
        prog="mmpr serve",
        description="Show the report of a build in the browser; what is said on its audit page goes to audit.jsonl.",
        epilog="On this machine alone; the address has a token. Ctrl-C ends it.",
    )
    parser.add_argument("build", type=Path, metavar="BUILD", help="a finished build with its report")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="the port (default: a free one)")
    args = parser.parse_args(argv)

    def work() -> None:
        server, address = make_server(args.build, args.port)
        try:
            print(f"{address}audit.html\njudgements go to {args.build / AUDIT}; Ctrl-C ends this", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"stopped; `{this_command()} build RECIPE --from pair` pairs by what was said", file=sys.stderr)
        finally:
            server.server_close()

    return run_command(work)


def make_server(build: Path, port: int = 0) -> tuple[HTTPServer, str]:
    """A server that listens, and its address with the token.

    Raises:
        OutputError: there is no finished build with a report, or its ``audit.jsonl`` holds something else.
        MmprError: the port is taken.
    """
    from mmpr.inputs.build import read_plan
    from mmpr.pipeline.audited import read_audit
    from mmpr.storage.manifest import read_manifest

    read_manifest(build)
    read_audit(build, read_plan(build).of("train"))
    verdicts = _verdicts(build / "report" / "report.json")
    token = secrets.token_urlsafe(24)

    class Handler(_Handler):
        pass

    try:
        server = HTTPServer((_HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise MmprError(f"port {port}: {getattr(error, 'strerror', None) or error}; name another --port") from None
    Handler.folder, Handler.token, Handler.verdicts = build, token, verdicts
    Handler.hosts = tuple(f"{name}:{server.server_port}" for name in (_HOST, "localhost"))
    return server, f"http://{_HOST}:{server.server_port}/{token}/"


def _verdicts(path: Path) -> dict[str, str]:
    """The verdicts of a report's audit page, by response."""
    try:
        tree = json.loads(path.read_text(encoding="ascii"))
        return {str(item["key"]): str(item["response"]["status"]) for item in tree["audit"]}
    except FileNotFoundError:
        raise OutputError(f"{path}: there is no report; make one: {this_command()} report {path.parents[1]}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path}: is damaged ({error}); run {this_command()} report {path.parents[1]}") from None


class _Handler(BaseHTTPRequestHandler):
    """Answers one request at a time; whatever is not exactly one of ours is refused."""

    folder: Path
    token: str
    hosts: tuple[str, ...]
    verdicts: dict[str, str]
    timeout = _PATIENCE_S
    server_version, sys_version = "mmpr", ""

    def do_GET(self) -> None:
        """A file of the report."""
        name = self._asked()
        if name is None:
            return
        if name not in FILES:
            self._answer(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        try:
            content = (self.folder / "report" / name).read_bytes()
        except OSError:
            self._answer(HTTPStatus.NOT_FOUND, "the report lacks this page")
            return
        if name == "audit.html":  # from disk it may reach nothing; here it may reach us
            content = content.replace(_POLICY, _POLICY + _AND_US, 1)
        self._answer(HTTPStatus.OK, content, FILES[name])

    def do_POST(self) -> None:
        """A judgement on a verdict of the audit page."""
        name = self._asked()
        if name is None:
            return
        if name != AUDIT or self.headers.get("Content-Type") != _JSON_LINES:
            self._answer(HTTPStatus.NOT_FOUND, "nothing can be put there")
            return
        if self.headers.get("Origin", f"http://{self.hosts[0]}") not in {f"http://{host}" for host in self.hosts}:
            self._answer(HTTPStatus.FORBIDDEN, "it comes from another page")
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or not 0 < int(length[:9]) <= MAX_LINE_BYTES:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a judgement has at most {MAX_LINE_BYTES:,} bytes")
            return
        try:
            self._keep(self.rfile.read(int(length)))
        except (ValueError, MmprError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._answer(HTTPStatus.OK, "kept")

    def _keep(self, data: bytes) -> None:
        """Add a line to ``audit.jsonl``; a ValueError says what is wrong with it."""
        from mmpr.storage.shards import writing

        line = parse_line(1, data)
        if self.verdicts.get(f"{line.id}/{line.sample}") != line.verdict:
            raise ValueError("it is on no verdict of this page")
        path = self.folder / AUDIT
        text = json.dumps(json.loads(data), ensure_ascii=True) + "\n"
        with writing(path), path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                text = text if file.read(1) == b"\n" else f"\n{text}"
            file.write(text.encode())

    def _asked(self) -> str | None:
        """The name after the token; None, and an answer, for whoever does not know the token."""
        _, token, *rest = f"{self.path}//".split("/")[:3]
        known = hmac.compare_digest(token.encode(), self.token.encode())
        if not known or self.headers.get("Host") not in self.hosts:
            self._answer(HTTPStatus.FORBIDDEN, "use the address that mmpr serve printed")
            return None
        return rest[0] if self.path == f"/{token}/{rest[0]}" else ""

    def _answer(self, status: HTTPStatus, content: bytes | str, kind: str = "text/plain; charset=utf-8") -> None:
        body = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for the address."""


if __name__ == "__main__":
    sys.exit(main())

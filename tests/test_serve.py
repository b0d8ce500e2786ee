"""``mmpr serve``: judgements reach ``audit.jsonl``, and nothing else does anything."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mmpr.audit.judgements import read_lines
from mmpr.errors import MmprError, OutputError
from mmpr.serve import make_server
from tests.conftest import SmallBuild
from tests.helpers import build_without_ray

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Served:
    """A server in a thread, its build, and its address."""

    def __init__(self, build: Path) -> None:
        self.build = build
        self.server, self.address = make_server(build)
        parts = urlsplit(self.address)
        self.port, self.path = self.server.server_port, parts.path
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()
        report = json.loads((build / "report" / "report.json").read_text())
        self.items = [(item["key"], item["response"]["status"]) for item in report["audit"]]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def post(self, line: Any, **headers: str) -> tuple[int, bytes]:
        body = line if isinstance(line, bytes) else json.dumps(line).encode()
        headers = {"Content_Type": "application/jsonl", **headers}
        status, _, content = self.ask("POST", f"{self.path}audit.jsonl", body, **headers)
        return status, content

    def line(self, at: int = 0, **changes: Any) -> dict[str, Any]:
        key, status = self.items[at]
        return {"response": key, "verdict": status, "says": "wrong", "who": "ada", **changes}


@pytest.fixture
def served(small_build: SmallBuild, tmp_path: Path) -> Iterator[Served]:
    shutil.copytree(small_build.out, tmp_path / "build")
    server = Served(tmp_path / "build")
    yield server
    server.stop()


def test_the_report_is_shown_and_judgements_are_kept(served: Served, small_build: SmallBuild) -> None:
    for name in ("index.html", "gallery.html", "audit.html", "report.json"):
        status, headers, content = served.ask("GET", served.path + name)
        stored = (served.build / "report" / name).read_bytes()
        assert status == 200
        assert headers["Cache-Control"] == "no-store"
        if name == "audit.html":
            policy = b"default-src &#39;none&#39;;"
            assert content == stored.replace(policy, policy + b" connect-src &#39;self&#39;;")
            assert content != stored
        else:
            assert content == stored
    assert served.post(served.line(0)) == (200, b"kept")
    (served.build / "audit.jsonl").write_text((served.build / "audit.jsonl").read_text().rstrip("\n"))
    assert served.post(served.line(1, says="right", why="über 12 cm\n")) == (200, b"kept")
    lines = read_lines(served.build / "audit.jsonl")
    assert [(f"{line.id}/{line.sample}", line.says) for line in lines] == [
        (served.items[0][0], "wrong"),
        (served.items[1][0], "right"),
    ]
    assert lines[1].why == "über 12 cm\n"
    build_without_ray(small_build.recipe, served.build, "pair")


def test_who_does_not_know_the_token_or_comes_from_elsewhere_gets_nothing(served: Served) -> None:
    own = f"127.0.0.1:{served.port}"
    for path in (
        "/",
        "/audit.html",
        "/audit.jsonl",
        f"{served.path[:-2]}/audit.html",
        "//audit.html",
        f"/x{served.path}",
    ):
        assert served.ask("GET", path)[0] == 403
        assert served.ask("POST", path, b"{}", Content_Type="application/jsonl")[0] == 403
    assert served.ask("GET", f"{served.path}audit.html", Host="evil.example")[0] == 403
    assert served.ask("GET", f"{served.path}audit.html", Host=f"evil.example:{served.port}")[0] == 403
    assert served.post(served.line(), Origin="http://evil.example")[0] == 403
    assert served.post(served.line(), Origin="null")[0] == 403
    assert not (served.build / "audit.jsonl").exists()
    assert served.post(served.line(), Origin=f"http://{own}")[0] == 200
    assert served.server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "name",
    [
        *("", "nothing.html", "../manifest.json", "..%2fmanifest.json", "%2e%2e/manifest.json", "audit.html/"),
        *("audit.html?x=1", "/etc/passwd", "index.html%00", "manifest.json", "audit.jsonl"),
    ],
)
def test_only_the_files_of_the_report_are_there(name: str, served: Served) -> None:
    assert served.ask("GET", served.path + name)[0] == 404


def test_what_is_no_judgement_on_the_page_is_refused(served: Served) -> None:
    other = "incorrect" if served.items[0][1] != "incorrect" else "correct"
    refused: list[tuple[Any, str]] = [
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 60_000, "is no JSON"),
        (served.line(says=1), "'says' is no text"),
        (served.line(response=f"{'0' * 32}/0"), "it is on no verdict of this page"),
        (served.line(verdict=other), "it is on no verdict of this page"),
        (json.dumps(served.line()).encode() + b"\n" + json.dumps(served.line()).encode(), "is no JSON"),
    ]
    for line, complaint in refused:
        status, said = served.post(line)
        assert (status, complaint in said.decode()) == (400, True), said
    assert served.post(served.line(why="x" * 70_000))[0] == 413
    assert served.post(served.line(), Content_Length="99999999999")[0] == 413
    assert served.post(served.line(), Content_Length="-1")[0] == 413
    assert served.post(served.line(), Content_Type="text/plain")[0] == 404
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "x"):
        assert served.ask(method, f"{served.path}audit.jsonl")[0] == 501
    assert not (served.build / "audit.jsonl").exists()
    assert served.post(served.line())[0] == 200  # and it still answers


def test_a_disk_that_takes_nothing_is_told(served: Served) -> None:
    (served.build / "audit.jsonl").mkdir()
    status, said = served.post(served.line())
    assert status == 400
    assert b"cannot be written" in said


def test_what_cannot_be_served_is_a_sentence(small_build: SmallBuild, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no finished build"):
        make_server(tmp_path)
    out = tmp_path / "build"
    shutil.copytree(small_build.out, out)
    (out / "audit.jsonl").write_text("nonsense\n")
    with pytest.raises(OutputError, match=r"audit\.jsonl line 1: is no JSON"):
        make_server(out)
    (out / "audit.jsonl").unlink()
    server, _ = make_server(out)
    with pytest.raises(MmprError, match=f"port {server.server_port}: Address already in use"):
        make_server(out, server.server_port)
    server.server_close()
    with pytest.raises(MmprError, match="port -1"):
        make_server(out, -1)
    (out / "report" / "report.json").write_text('{"audit": [1]}')
    with pytest.raises(OutputError, match="is damaged"):
        make_server(out)
    shutil.rmtree(out / "report")
    with pytest.raises(OutputError, match="there is no report; make one"):
        make_server(out)


def test_ctrl_c_ends_it(small_build: SmallBuild) -> None:
    command = [sys.executable, "-m", "mmpr", "serve", str(small_build.out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    assert address.endswith("/audit.html")
    process.terminate()  # which ends as Ctrl-C does
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "--from pair" in said


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt install chromium)")
def test_the_audit_page_writes_into_the_build(served: Served) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    from playwright.sync_api import expect, sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{served.address}audit.html")
        page.get_by_label("Your name").fill("ada")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="The verdict is wrong").click()
        expect(page.locator("#message")).to_have_text("Kept in audit.jsonl of the build.")
        expect(page.locator("#place")).to_contain_text("Verdict 2 of")
        page.keyboard.press("y")
        page.keyboard.press("k")
        page.keyboard.press("y")  # takes it back
        expect(page.locator("#count")).to_contain_text("1 of")
        page.goto(f"{served.address}index.html")
        expect(page.get_by_role("link", name="Judge audit")).to_be_visible()
        browser.close()
    assert complaints == []
    lines = read_lines(served.build / "audit.jsonl")
    assert [(f"{line.id}/{line.sample}", line.says, line.who) for line in lines] == [
        (served.items[0][0], "wrong", "ada"),
        (served.items[1][0], "unsure", "ada"),
    ]

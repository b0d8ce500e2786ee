"""Rows and files made to hurt: each ends as a question, a reject or a clear error, in bounded time."""

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.fuzz.pictures import non_pictures
from mmpr.cli.command import printable
from mmpr.errors import SourceError
from mmpr.schema import Question, Reject
from tests.sources.source_helpers import CHINA, ingest, opened

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a picture and traps, and a secret beside it."""
    root = tmp_path / "in"
    root.mkdir()
    (root / "a.jpg").write_bytes(CHINA)
    (tmp_path / "secret.jpg").write_bytes(CHINA)
    (root / "link.jpg").symlink_to("../secret.jpg")
    (root / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe.jpg")
    return root


def line(**row: object) -> bytes:
    return json.dumps({"question": "q", **row}).encode()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(line(image="a.jpg"), None, id="good"),
        pytest.param(line(image="../secret.jpg"), "image_outside_root", id="dots"),
        pytest.param(line(image="/etc/passwd"), "image_outside_root", id="absolute"),
        pytest.param(line(image="link.jpg"), "image_outside_root", id="link that leaves"),
        pytest.param(line(image="zero.jpg"), "image_outside_root", id="link to a device"),
        pytest.param(line(image="/dev/zero"), "image_outside_root", id="device"),
        pytest.param(line(image="/proc/self/environ"), "image_outside_root", id="proc"),
        pytest.param(line(image="pipe.jpg"), "image_not_a_file", id="pipe"),
        pytest.param(line(image="file:///etc/passwd"), "image_remote", id="file address"),
        pytest.param(line(image=["a.jpg"] * 10_000), "too_many_images", id="10,000 pictures"),
        pytest.param(line(question="x" * 10_000_000), "question_too_long", id="10 MB question"),
        pytest.param(line(answer="x" * 10_000_000), "question_too_long", id="10 MB answer"),
        pytest.param(b'{"question": "' + b"x" * (17 << 20) + b'"}', "line_too_long", id="17 MB line"),
        pytest.param(b'{"question": "\xff\xfe"}', "not_utf8", id="invalid utf-8"),
        pytest.param(b'{"question": "\\ud800"}', "bad_text", id="lone surrogate"),
        pytest.param(b'{"question": "a\\u0000b"}', "bad_text", id="nul"),
        pytest.param(line(kind="\ud800"), "bad_text", id="lone surrogate in a kind"),
        pytest.param(line(question="\u202egnitset\u202c"), None, id="bidirectional"),
        pytest.param(line(question="\x1b[2J\x1b]0;evil\x07"), None, id="terminal escapes"),
        pytest.param(b"[" * 1_000_000, "bad_json", id="deep"),
        pytest.param(b'{"question": ' + b'{"a":' * 100_000, "bad_json", id="deep objects"),
    ],
)
def test_rows(folder: Path, row: bytes, reason: str | None) -> None:
    (folder / "x.jsonl").write_bytes(line(question="good") + b"\n" + row + b"\n")
    good, found = ingest(folder, type="jsonl", path="x.jsonl", columns={"kind": "kind"} if b'"kind"' in row else {})
    assert isinstance(good, Question)
    if reason is None:
        assert isinstance(found, Question)
        assert printable(found.question).isprintable() or "\n" in found.question
    else:
        assert isinstance(found, Reject)
        assert found.reason == reason
        assert len(found.detail) < 1_000


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "datasets", "imagefolder", "mmpr"])
@pytest.mark.parametrize("name", ["pipe.jpg", "zero.jpg", "none", "a\0b", "x" * 300])
def test_files_that_are_none(folder: Path, kind: str, name: str) -> None:
    settings = {} if kind == "mmpr" else {"question": "q"}
    with pytest.raises(SourceError):
        opened(folder, type=kind, path=name, **settings)


@pytest.mark.parametrize(
    "entry",
    [
        {"annotation": "pipe.jpg"},
        {"annotation": "/dev/zero"},
        {"annotation": "x" * 300},
        {"annotation": "a/" * 5_000},
        {"annotation": "../" * 50 + "none"},
        {"annotation": "."},
        {"annotation": 7},
        {"annotation": "x.jsonl", "root": 7},
        {"annotation": "x.jsonl", "repeat_time": -1},
        {"annotation": "x.jsonl", "repeat_time": "1"},
        [],
    ],
    ids=lambda entry: json.dumps(entry)[:40],
)
def test_entries_of_meta(folder: Path, entry: object) -> None:
    (folder / "x.jsonl").write_bytes(line(image="a.jpg"))
    (folder / "meta.json").write_text(json.dumps({"e": entry}))
    with pytest.raises(SourceError, match="entry 'e'"):
        opened(folder, type="mmpr", path="meta.json")


def test_a_root_that_cannot_be_is_an_empty_one(folder: Path) -> None:
    (folder / "x.jsonl").write_bytes(line(image="a.jpg"))
    (folder / "meta.json").write_text(json.dumps({"e": {"annotation": "x.jsonl", "root": "y" * 300}}))
    [found] = ingest(folder, type="mmpr", path="meta.json")
    assert isinstance(found, Reject)
    assert found.reason in ("image_missing", "image_unreadable")


def archives() -> dict[str, bytes]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("../../escape.jsonl", line())
    with tarfile.open(fileobj=tarred, mode="w") as file:
        info = tarfile.TarInfo("../../escape.jsonl")
        info.size = len(line())
        file.addfile(info, io.BytesIO(line()))
    return {"zip": zipped.getvalue(), "tar": tarred.getvalue()}


@pytest.mark.parametrize("kind", archives())
def test_archives_are_never_unpacked(folder: Path, kind: str) -> None:
    (folder / "x.jsonl").write_bytes(archives()[kind])
    (folder / "x.parquet").write_bytes(archives()[kind])
    with pytest.raises(SourceError, match="unpack it first"):
        opened(folder, type="jsonl", path="x.jsonl")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        opened(folder, type="parquet", path="x.parquet")
    assert not list(folder.parent.rglob("escape*"))


def test_whatever_is_named_like_a_picture(folder: Path) -> None:
    for number, data in enumerate(non_pictures()):
        (folder / f"{number:02}.png").write_bytes(data)
    found = ingest(folder, type="imagefolder", path=".", question="What is it?")
    good = [item for item in found if isinstance(item, Question)]
    reasons = {item.reason for item in found if isinstance(item, Reject)}
    assert [question.images for question in good] == [(CHINA,)]
    assert len(found) == len(non_pictures()) + 4
    assert reasons == {
        "image_empty", "image_format", "image_not_a_file", "image_not_a_picture", "image_outside_root"
    }  # fmt: skip

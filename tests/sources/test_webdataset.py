"""WebDataset: samples of tar archives, read in place; archives that are broken, hostile or not sorted."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from mmpr.errors import SourceError
from mmpr.schema import Question, Reject, SourceRow
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened

Files = list[tuple[str, bytes]]


def tar(path: Path, files: Files, form: int = tarfile.USTAR_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(data.getvalue())
    return data.getvalue()


def as_json(**row: Any) -> bytes:
    return json.dumps(row).encode()


SAMPLES: Files = [
    ("./", b""),
    ("a/001.jpg", CHINA),
    ("a/001.json", as_json(question="How many?", answer=3)),
    ("a/002.left.jpg", CHINA),
    ("a/002.right.PNG", FLOWER),
    ("a/002.json", as_json(question="Which?", answer="left")),
    ("a/.hidden.json", b"{"),
    ("a/003.json", as_json(question="2+2?", answer=["4", "four"])),
    ("a/003.npy", bytes(5_000)),
]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["", "folder/" * 30])
def test_samples(tmp_path: Path, form: int, packed: bool, folder: str) -> None:
    name = "x.tar.gz" if packed else "x.tar"
    data = tar(tmp_path / "x.tar", [(folder + path, content) for path, content in SAMPLES], form)
    if packed:
        (tmp_path / "x.tar").unlink()
        (tmp_path / name).write_bytes(gzip.compress(data))
    first, second, third = ingest(tmp_path, type="webdataset", path=".")
    assert isinstance(first, Question), first
    assert (first.images, first.question, first.answer) == ((CHINA,), "<image>\nHow many?", "3")
    assert first.where == f"{name}[{folder}a/001]"
    assert isinstance(second, Question), second
    assert second.images == (CHINA, FLOWER)
    assert isinstance(third, Question), third
    assert (third.images, third.answers) == ((), ("4", "four"))


def test_columns_are_the_endings_of_files(tmp_path: Path) -> None:
    files = [("1.left.jpg", CHINA), ("1.right.jpg", FLOWER), ("1.txt", "谁?".encode()), ("1.cls", b"7\n")]
    tar(tmp_path / "x.tar", files)
    columns = {"question": "txt", "answer": "cls", "images": ["right.jpg", "left.jpg"], "id": "__key__"}
    [found] = ingest(tmp_path, type="webdataset", path="x.tar", columns=columns)
    assert isinstance(found, Question), found
    assert (found.question, found.answer, found.images) == ("<image>\n<image>\n谁?", "7", (FLOWER, CHINA))
    with pytest.raises(SourceError, match=r"no column 'png' .*it has: __key__, cls, image, left.jpg, right.jpg, txt"):
        opened(tmp_path, type="webdataset", path="x.tar", columns={"question": "txt", "images": "png"})


def test_samples_that_do_not_stand_together_are_said(tmp_path: Path) -> None:
    files = [("1.jpg", CHINA), ("2.jpg", FLOWER), ("1.json", as_json(question="q")), ("2.json", as_json(question="r"))]
    tar(tmp_path / "x.tar", files)
    reasons = [
        item.reason for item in opened(tmp_path, type="webdataset", path="x.tar").rows() if isinstance(item, Reject)
    ]
    assert reasons == ["missing_field", "missing_field", "sample_split", "sample_split"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "bad_json"),
        (b"[1]", "not_an_object"),
        (b'{"question": "\xff"}', "not_utf8"),
        (as_json(question="q", image="data:image/png;base64,AAAA"), "wrong_type"),
        (b" " * (17 << 20), "line_too_long"),
    ],
)
def test_a_broken_sample_spoils_itself_alone(tmp_path: Path, content: bytes, reason: str) -> None:
    tar(tmp_path / "x.tar", [*SAMPLES[:3], ("b.json", content), ("c.json", as_json(question="last"))])
    first, bad, last = opened(tmp_path, type="webdataset", path="x.tar").rows()
    assert isinstance(first, SourceRow)
    assert isinstance(bad, Reject)
    assert bad.reason == reason
    assert isinstance(last, SourceRow)


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind, target in (
            ("1.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("1.png", tarfile.LNKTYPE, "../secret.png"),
            ("1.bmp", tarfile.CHRTYPE, ""),
            ("1.gif", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        content = as_json(question="q")
        info = tarfile.TarInfo("1.json")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    (tmp_path / "x.tar").write_bytes(data.getvalue())
    [row] = opened(tmp_path, type="webdataset", path="x.tar").rows()
    assert isinstance(row, SourceRow)
    assert row.images == ()


def resized(data: bytes, field: bytes) -> bytes:
    """The first header with another size, and a sum that is right again."""
    head = bytearray(data[:512])
    head[124:136] = field
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return bytes(head) + data[512:]


@pytest.mark.parametrize(
    "field",
    [
        b"-0000000001\0",
        b"\xff" * 12,
        b"\x80" + b"\x00" * 3 + b"\xff" * 8,
        b"77777777777\0",
        b"zzzzzzzzzzz\0",
        b"\0" * 12,
    ],
)
def test_sizes_that_lie(tmp_path: Path, field: bytes) -> None:
    good = tar(tmp_path / "x.tar", SAMPLES[1:])
    (tmp_path / "x.tar").write_bytes(resized(good, field))
    start = time.monotonic()
    try:
        found = ingest(tmp_path, type="webdataset", path="x.tar")
    except SourceError as error:
        assert "x.tar" in str(error)  # noqa: PT017
    else:
        assert all(isinstance(item, Question | Reject) for item in found)
    assert time.monotonic() - start < 10


def test_an_archive_that_is_cut_off(tmp_path: Path) -> None:
    data = tar(tmp_path / "x.tar", SAMPLES)
    (tmp_path / "x.tar").write_bytes(data[: 1024 + len(CHINA) - 100])
    [found] = ingest(tmp_path, {"images": {"max_per_question": 3}}, type="webdataset", path="x.tar", question="q")
    assert isinstance(found, Reject)
    assert found.reason == "file_unreadable"
    (tmp_path / "x.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(SourceError, match="cannot be read as a tar archive"):
        opened(tmp_path, type="webdataset", path="x.tar")

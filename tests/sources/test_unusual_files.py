"""Files that are packed, wide, or one list; paths of other systems; pictures that look odd: no row is lost for them."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image, PngImagePlugin

from mmpr.errors import SourceError
from mmpr.schema import Question, Reject, SourceRow
from mmpr.sources import jsonl
from mmpr.sources.json_lists import items_from, list_items
from mmpr.sources.streams import open_text
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened

TEXT64 = base64.b64encode(CHINA).decode()
ROWS: list[dict[str, Any]] = [
    {"question": f"图 {number}?", "answer": number, "image": TEXT64 if number % 2 else "a.jpg"} for number in range(40)
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


FORMS: dict[str, Callable[[], bytes]] = {
    "plain": lambda: LINES.encode(),
    "gzip": lambda: gzip.compress(LINES.encode()),
    "two gzips in one": lambda: gzip.compress(LINES[:1000].encode()) + gzip.compress(LINES[1000:].encode()),
    "zstd": lambda: zstd(LINES.encode()),
    "bz2": lambda: bz2.compress(LINES.encode()),
    "utf-16": lambda: LINES.encode("utf-16"),
    "utf-16-be": lambda: b"\xfe\xff" + LINES.encode("utf-16-be"),
    "utf-16 in gzip": lambda: gzip.compress(LINES.encode("utf-16")),
    "list": lambda: json.dumps(ROWS).encode(),
    "list over lines": lambda: b"\xef\xbb\xbf\r\n" + json.dumps(ROWS, indent=2, ensure_ascii=False).encode() + b"\n",
    "list in zstd": lambda: zstd(json.dumps(ROWS).encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_packed_and_wide_files_and_lists(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.jpg").write_bytes(CHINA)
    (tmp_path / "x.jsonl").write_bytes(FORMS[form]())
    found = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert [item.answer if isinstance(item, Question) else item for item in found] == [str(n) for n in range(40)]
    assert all(isinstance(item, Question) and item.images == (CHINA,) for item in found)
    source = opened(tmp_path, type="jsonl", path="x.jsonl")
    refs = [row.images[0] for row in source.rows() if isinstance(row, SourceRow)]
    assert all(source.load(ref) == CHINA for ref in [*refs[::-1], *refs])  # backwards too


def test_packed_files_of_a_folder(tmp_path: Path) -> None:
    """``a.jsonl.gz`` counts, unless ``a.jsonl`` is there; other files do not."""
    row = b'{"question": "%s"}\n'
    (tmp_path / "a.jsonl").write_bytes(row % b"a")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(row % b"again"))
    (tmp_path / "b.jsonl.zst").write_bytes(zstd(row % b"b"))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(row % b"c"))
    rows = list(opened(tmp_path, type="jsonl", path=".").rows())
    assert [row.where for row in rows if isinstance(row, SourceRow)] == ["a.jsonl:1", "b.jsonl.zst:1"]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_packed_file_that_is_cut_off(tmp_path: Path, codec: str) -> None:
    text = "".join(json.dumps({"question": f"q{n} {n * 7919 % 10007}"}) + "\n" for n in range(20_000)).encode()
    data = gzip.compress(text) if codec == "gzip" else zstd(text)
    (tmp_path / "x.jsonl.gz").write_bytes(data[: len(data) // 2])
    try:
        found = list(opened(tmp_path, type="jsonl", path="x.jsonl.gz").rows())
    except SourceError as error:
        assert "x.jsonl.gz" in str(error)  # noqa: PT017
        return
    assert isinstance(found[-1], Reject)
    assert found[-1].reason in ("file_unreadable", "bad_json")


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_items_of_a_list_whatever_the_pieces(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmpr.sources.json_lists._CHUNK", chunk)
    items = [
        '{"a": "]},[{\\\\\\""}',
        "[1, [2]]",
        '"x\\\\"',
        "3",
        "{}",
        '"' + "y" * 500 + '"',
        '{"z": "' + "w" * 99 + '"}',
    ]
    data = ("[ " + " , ".join(items) + " ]  \n").encode()
    found = list(list_items(io.BytesIO(data), 400))
    texts = [item.decode() if isinstance(item, bytes) else item.reason for _, item in found]
    assert texts == ["line_too_long" if len(item) > 400 else item for item in items]
    for place, item in found:
        again = next(items_from(io.BytesIO(data), place, 400))[1]
        assert again == item or not isinstance(item, bytes)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("[]", []),
        ('[{"question": "q"}', ["bad_json"]),
        ('[{"question": "q"}, {"question": "r" ]', ["", "bad_json"]),
        ('[{"question": "q"}] more', ["", "bad_json"]),
        ('[{"question": "q"}, 7, "x", null, {"question": "r"}]', ["", *["not_an_object"] * 3, ""]),
        ('[{"question": "q"}, {"question": r}, {"question": "s"}]', ["", "bad_json", ""]),
        ('[{"question": "q"}, {"question": "' + "x" * (17 << 20) + '"}, {"question": "s"}]', ["", "line_too_long", ""]),
        ("[" * 100_000, ["bad_json"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_lists_that_are_broken(tmp_path: Path, text: str, reasons: list[str]) -> None:
    (tmp_path / "x.json").write_text(text)
    found = list(opened(tmp_path, type="jsonl", path="x.json").rows())
    assert [item.reason if isinstance(item, Reject) else "" for item in found] == reasons


def test_the_time_of_a_list_grows_with_its_size(tmp_path: Path) -> None:
    """A list of 20 MB with long texts, read in seconds: no text is searched again and again."""
    rows = [{"question": "q", "image": "x" * 2_000_000, "n": list(range(1000))} for _ in range(10)]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    start = time.monotonic()
    assert len(list(jsonl.read_records(tmp_path / "x.json", "x"))) == 10
    assert time.monotonic() - start < 20


def test_half_a_surrogate_pair_spoils_its_row(tmp_path: Path) -> None:
    text = (
        '{"question": "a"}\n{"question": "'.encode("utf-16")
        + b"\x00\xd8"
        + '"}\n{"question": "c"}\n'.encode("utf-16-le")
    )
    (tmp_path / "x.jsonl").write_bytes(text)
    found = list(opened(tmp_path, type="jsonl", path="x.jsonl").rows())
    assert [item.reason if isinstance(item, Reject) else item.question for item in found] == ["a", "not_utf8", "c"]


def test_a_stream_goes_anywhere(tmp_path: Path) -> None:
    data = bytes(range(128)) * 30_000
    (tmp_path / "x.gz").write_bytes(gzip.compress(data))
    with open_text(tmp_path / "x.gz") as file:
        for place in (0, 5, 3_000_000, 2, 1 << 20, len(data) - 3, 0):
            file.seek(place)
            assert file.read(5) == data[place : place + 5]
        file.seek(len(data) + 1000)
        assert file.read(5) == b""


@pytest.mark.parametrize(
    "path",
    [
        "QkZ8vXbN2/frames/scene000123/cameraLeft/0001.png",
        "QkZ8vXbN2/frames/scene000123/cameraLeft/verylong/000000001",
        "iVBORw0KGgo/frames/scene000123/cameraLeft/verylong/000000001.png",
        "UklGRabcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_paths_that_look_like_base64(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(CHINA)
    (tmp_path / "x.jsonl").write_text(json.dumps({"question": "q", "image": path}))
    [found] = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert isinstance(found, Question), found
    assert found.images == (CHINA,)


FLOWER64 = base64.b64encode(FLOWER).decode()
URL_SAFE = base64.urlsafe_b64encode(FLOWER).decode()


@pytest.mark.parametrize(
    "cell",
    [
        FLOWER64.rstrip("="),
        URL_SAFE,
        URL_SAFE.rstrip("="),
        f"data:image/png;base64,{URL_SAFE.rstrip('=')}",
        "data:image/png," + "".join(f"%{byte:02x}" for byte in FLOWER),
        [FLOWER64, None],
        [float("nan"), FLOWER64],
        {"type": "image", "image": FLOWER64},
        {"type": "image", "image": {"bytes": FLOWER64, "path": None}},
        {"type": "image", "bytes": FLOWER64},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{FLOWER64}"}},
        {"type": "image_url", "image_url": "b c.png"},
        "sub\\b c.png",
        ".\\b c.png",
        "['b c.png']",
    ],
    ids=lambda cell: str(cell)[:30],
)
def test_more_ways_to_give_a_picture(tmp_path: Path, cell: Any) -> None:
    for name in ("b c.png", "sub/b c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(FLOWER)
    (tmp_path / "x.jsonl").write_text(json.dumps({"question": "q", "image": cell}))
    [found] = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert isinstance(found, Question), found
    assert found.images == (FLOWER,)


def test_backslashes_lead_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(FLOWER)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/back\\slash.png").write_bytes(CHINA)
    rows = [
        {"question": str(n), "image": path} for n, path in enumerate(("..\\secret.png", "back\\slash.png", "C:\\x"))
    ]
    (tmp_path / "in/x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outside, literal, missing = ingest(tmp_path, type="jsonl", path="in/x.jsonl")
    assert isinstance(outside, Reject)
    assert outside.reason == "image_outside_root"
    assert isinstance(literal, Question)
    assert literal.images == (CHINA,)
    assert isinstance(missing, Reject)
    assert missing.reason == "image_missing"


def test_nan_in_any_column(tmp_path: Path) -> None:
    """What ``json.dumps`` makes of pandas' empty cells."""
    (tmp_path / "a.png").write_bytes(FLOWER)
    (tmp_path / "x.jsonl").write_text(
        '{"image":"a.png","question":"What colour?","answer":"red","clip_score":NaN}\n'
        '{"image":NaN,"question":"2+2?","answer":4, "kind": NaN, "choices": NaN}\n'
        '{"image":"a.png","question":"no truth?","answer":NaN}\n'
    )
    columns = {"kind": "kind", "choices": "choices"}
    colour, sums, unknown = ingest(tmp_path, type="jsonl", path="x.jsonl", columns=columns)
    assert isinstance(colour, Question)
    assert isinstance(sums, Question)
    assert (colour.images, sums.images, sums.kind) == ((FLOWER,), (), "")
    assert isinstance(unknown, Reject)
    assert unknown.reason == "wrong_type"


def described_pngs() -> dict[str, bytes]:
    picture = Image.new("RGB", (40, 30), "red")
    text, xmp = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 1_500_000, zip=True)
    xmp.add_itxt("XML:com.adobe.xmp", "y" * 1_200_000, zip=True)
    settings: dict[str, dict[str, Any]] = {
        "text": {"pnginfo": text},
        "xmp": {"pnginfo": xmp},
        "profile": {"icc_profile": b"\0" * 2_000_000},
    }
    files = {}
    for name, options in settings.items():
        file = io.BytesIO()
        picture.save(file, "PNG", **options)
        files[name] = file.getvalue()
    return files


def test_large_descriptions_in_a_png(tmp_path: Path) -> None:
    for name, data in described_pngs().items():
        (tmp_path / f"{name}.png").write_bytes(data)
    found = ingest(tmp_path, type="imagefolder", path=".", question="q")
    assert len(found) == 3
    for item in found:
        assert isinstance(item, Question), item
        with Image.open(io.BytesIO(item.images[0])) as picture:
            assert picture.getpixel((3, 3)) == (255, 0, 0)
            assert not picture.info


def test_the_links_of_the_hubs_cache_are_data(tmp_path: Path) -> None:
    """Files of a snapshot are links to ``blobs/``; a link that leads anywhere else is refused."""
    repository = tmp_path / "hub/datasets--lab--set"
    snapshot = repository / "snapshots/0123abc"
    (snapshot / "images").mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs/ffff").write_bytes(CHINA)
    (tmp_path / "secret.jpg").write_bytes(FLOWER)
    (snapshot / "images/a.jpg").symlink_to("../../../blobs/ffff")
    (snapshot / "images/b.jpg").symlink_to(tmp_path / "secret.jpg")
    rows = [{"question": str(n), "image": f"images/{name}.jpg"} for n, name in enumerate("ab")]
    (repository / "blobs/eeee").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (snapshot / "train.jsonl").symlink_to("../../blobs/eeee")
    good, bad = ingest(tmp_path, type="jsonl", path="hub/datasets--lab--set/snapshots/0123abc/train.jsonl")
    assert isinstance(good, Question), good
    assert good.images == (CHINA,)
    assert isinstance(bad, Reject)
    assert bad.reason == "image_outside_root"

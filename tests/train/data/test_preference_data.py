"""Rows for training from builds, MMPR's releases and tables of pairs: the same pairs, read lazily; bad rows told."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import mmpr
from mmpr.errors import OutputError, RowError, SourceError
from mmpr.schema import Pair, PairedResponse, PreferenceRow, Reject
from mmpr.storage.manifest import FORMAT, file_table
from mmpr.storage.shards import write_json, write_shard
from mmpr.train.data.preference_data import TrainRows, read_train_rows, try_row
from mmpr.train.data.readers import ParquetRecords
from mmpr.train.rows import TrainRow

Pairing = tuple[tuple[bytes, ...], str, str, str]


def picture(colour: str = "red", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 14), colour).save(file, kind)
    return file.getvalue()


RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green")


def preference(number: int, images: tuple[bytes, ...], texts: Sequence[str], pairs: Sequence[tuple[int, int]]) -> Any:
    return PreferenceRow(
        id=f"{number:032x}",
        source=f"s{number % 2}",
        kind=f"k{number % 3}",
        images=images,
        question="How many?",
        prompt="<image>\n" * len(images) + f"How many, {number}?",
        answer="3",
        pass_rate=0.5,
        responses=tuple(PairedResponse(text, 3, "stop", 0, k) for k, text in enumerate(texts)),
        pairs=tuple(Pair(chosen, rejected, "correctness") for chosen, rejected in pairs),
    )


ROWS = [
    preference(0, (RED,), ("a", "b", "c"), ((0, 1), (0, 2))),
    preference(1, (), ("x", "y"), ((1, 0),)),
    preference(2, (RED, BLUE), ("a", "b", "c", "d"), ((0, 1), (2, 3), (2, 1))),
    preference(3, (BLUE,), ("三", "🙂"), ((0, 1),)),
    preference(4, (RED,), ("same", "other", "same"), ((0, 1), (2, 1))),
]


def build(out: Path, rows: Sequence[PreferenceRow] = ROWS) -> Path:
    """A finished build of these rows, two in a file."""
    for number in range(0, len(rows), 2):
        path = out / "pairs" / f"part-{number // 2:05d}-of-{-(-len(rows) // 2):05d}.parquet"
        write_shard(path, PreferenceRow, rows[number : number + 2], {})
    write_json(out / "manifest.json", {"format": FORMAT, "files": dict(file_table(out))})
    return out


def prompt_text(row: TrainRow) -> str:
    return "".join("<image>" if part["type"] == "image" else part["text"] for part in row.prompt[-1]["content"])


def pairings(rows: TrainRows) -> list[Pairing]:
    """Every pair with its prompt and pictures."""
    found = []
    for place in range(len(rows)):
        row = rows[place]
        assert len(set(row.responses)) == len(row.responses)
        found += [(row.images, prompt_text(row), row.responses[c], row.responses[r]) for c, r in row.pairs]
    return found


def wanted(rows: Sequence[PreferenceRow] = ROWS) -> list[Pairing]:
    return [
        (
            row.images,
            row.prompt.replace("<image>\n", "<image>"),
            row.responses[p.chosen].text,
            row.responses[p.rejected].text,
        )
        for row in rows
        for p in row.pairs
    ]


def test_a_build_as_it_is(tmp_path: Path) -> None:
    rows = read_train_rows(build(tmp_path / "out"))
    assert pairings(rows) == wanted()
    assert [rows[place].id for place in range(5)] == [row.id for row in ROWS]
    assert [rows[place].kind for place in range(5)] == ["k0", "k1", "k2", "k0", "k1"]
    assert rows[2].prompt == (
        {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "How many, 2?"}]},
    )
    assert rows[4].responses == ("same", "other"), "a text is one response, however often it was sampled"
    assert rows.origin(3) == ("", "pairs/part-00001-of-00003.parquet[1]")
    with pytest.raises(IndexError):
        rows[5]


def test_a_build_tells_the_processor_arguments_of_its_sources(tmp_path: Path) -> None:
    out = build(tmp_path)
    assert read_train_rows(out).processor == {}
    tiles = {"max_patches": 4}
    sources = [{"name": "s0", "processor": tiles}, {"name": "s1", "processor": {}}]
    recipe = {"sources": sources, "heldout": [{"name": "kept", "processor": tiles}]}
    write_json(out / "manifest.json", {**json.loads((out / "manifest.json").read_text()), "recipe": recipe})
    assert read_train_rows(out).processor == {"s0": tiles, "kept": tiles}


def test_a_build_s_fingerprint_is_of_its_pairs(tmp_path: Path) -> None:
    first = read_train_rows(build(tmp_path / "a")).fingerprint
    assert read_train_rows(build(tmp_path / "b")).fingerprint == first
    assert read_train_rows(build(tmp_path / "c", ROWS[:4])).fingerprint != first


def test_an_unfinished_build_is_refused(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "manifest.json").rename(tmp_path / "build.json")
    with pytest.raises(OutputError, match="holds no finished build"):
        read_train_rows(tmp_path)


def test_a_build_s_bad_row_is_told_with_its_file_and_row(tmp_path: Path) -> None:
    bad = [ROWS[0], preference(1, (RED,), ("a",), ((0, 7),)), preference(2, (), ("a", "b"), ((0, 1),))]
    bad[2] = PreferenceRow(**{**{f: getattr(bad[2], f) for f in bad[2].__slots__}, "prompt": "<image>\nHow many?"})
    rows = read_train_rows(build(tmp_path, bad))
    assert isinstance(try_row(rows, 0), TrainRow)
    for place, reason, where in ((1, "bad_row", "of-00002.parquet[1]"), (2, "image_marks", "part-00001-of-00002")):
        reject = try_row(rows, place)
        assert isinstance(reject, Reject)
        assert reject.reason == reason
        assert where in reject.id


def release(folder: Path) -> Path:
    """MMPR's layout: a line a pair, of the same question not always one after the other."""
    (folder / "images").mkdir(parents=True)
    (folder / "images/red.png").write_bytes(RED)
    (folder / "images/blue.png").write_bytes(BLUE)
    lines = [
        {"image": "red.png", "question": "<image>\nOne?", "chosen": "a", "rejected": "b", "answer_gt": "a"},
        {"image": ["red.png", "blue.png"], "question": "<image><image>Two?", "chosen": "c", "rejected": "d"},
        {"image": "red.png", "question": "<image>\nOne?", "chosen": "a", "rejected": "e", "answer_gt": "a"},
        {"image": "gone.png", "question": "<image>\nThree?", "chosen": "a", "rejected": "e"},
        {"image": "red.png", "question": "<image>\nOne?", "chosen": "", "rejected": "e"},
    ]
    (folder / "one.jsonl").write_text("\n".join(map(json.dumps, lines)))
    entry = {"root": "/far/away/images", "annotation": "/far/away/one.jsonl", "repeat_time": 0.4}
    (folder / "meta.json").write_text(json.dumps({"one": entry}))
    return folder


@pytest.mark.parametrize("named", [False, True])
def test_a_release_of_mmpr(tmp_path: Path, named: bool) -> None:
    folder = release(tmp_path / "release")
    rows = read_train_rows(folder / "meta.json" if named else folder)
    assert len(rows) == 3
    assert [(prompt_text(rows[k]), rows[k].responses, rows[k].pairs) for k in (0, 1)] == [
        ("<image>One?", ("a", "b", "e"), ((0, 1), (0, 2))),
        ("<image><image>Two?", ("c", "d"), ((0, 1),)),
    ]
    assert rows[1].images == (RED, BLUE)
    assert dict(rows.weights) == {"one": 0.4}
    assert [(reject.id, reject.reason) for reject in rows.rejects] == [("one.jsonl:5", "empty_response")]
    gone = try_row(rows, 2)
    assert isinstance(gone, Reject)
    assert (gone.source, gone.reason) == ("one", "image_missing")
    assert "one.jsonl" in gone.id


def conversation(text: str, role: str = "assistant") -> list[dict[str, Any]]:
    return [{"role": role, "content": [{"type": "text", "text": text}]}]


TRL = [
    {
        "images": [RED],
        "prompt": conversation("One?", "user"),
        "chosen": conversation("a"),
        "rejected": conversation("b"),
    },
    {
        "images": [BLUE],
        "prompt": conversation("One?", "user"),
        "chosen": conversation("a"),
        "rejected": conversation("b"),
    },
    {
        "images": [RED],
        "prompt": conversation("One?", "user"),
        "chosen": conversation("a"),
        "rejected": conversation("c"),
    },
]


def test_the_flat_view_of_a_build_is_the_build_again(tmp_path: Path, offline: None) -> None:
    flat = mmpr.load_pairs(build(tmp_path / "out"))
    flat.save_to_disk(tmp_path / "saved")
    flat.to_parquet(tmp_path / "flat" / "a.parquet")
    expected = sorted(set(wanted()))
    for path in (tmp_path / "saved", tmp_path / "flat", tmp_path / "flat" / "a.parquet"):
        rows = read_train_rows(path)
        assert sorted(pairings(rows)) == expected
        assert [rows[k].source for k in range(5)] == [row.source for row in ROWS]
        assert len({rows[k].id for k in range(5)}) == 5
        assert rows.rejects == []


def parquet(path: Path, table: list[dict[str, Any]]) -> Path:
    made = [{**row, "images": [{"bytes": image, "path": None} for image in row["images"]]} for row in table]
    pq.write_table(pa.Table.from_pylist(made), path)
    return path


def test_pairs_of_one_prompt_and_picture_are_one_row_wherever_they_stand(tmp_path: Path) -> None:
    rows = read_train_rows(parquet(tmp_path / "t.parquet", TRL))
    assert [(row.images, row.responses, row.pairs, row.source) for row in (rows[0], rows[1])] == [
        ((RED,), ("a", "b", "c"), ((0, 1), (0, 2)), "t"),
        ((BLUE,), ("a", "b"), ((0, 1),), "t"),
    ]
    assert rows[0].prompt == ({"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "One?"}]},), (
        "a picture without a place goes first"
    )
    assert rows.fingerprint == read_train_rows(parquet(tmp_path / "t.parquet", TRL)).fingerprint
    assert rows.fingerprint != read_train_rows(parquet(tmp_path / "t.parquet", TRL[:2])).fingerprint


USER = {"role": "user", "content": "One?"}


@pytest.mark.parametrize(
    ("line", "prompt", "responses"),
    [
        ({"prompt": "One?", "chosen": "a", "rejected": "b"}, "One?", ("a", "b")),
        ({"question": "<image>One?", "image": "red.png", "chosen": "a", "rejected": "b"}, "<image>One?", ("a", "b")),
        ({"prompt": "One?", "images": ["red.png"], "chosen": "a", "rejected": "b"}, "<image>One?", ("a", "b")),
        ({"prompt": [USER], "chosen": conversation("a"), "rejected": "b"}, "One?", ("a", "b")),
        (
            {"chosen": [USER, *conversation("a")], "rejected": [USER, *conversation("b")]},
            "One?",
            ("a", "b"),
        ),
        (
            {
                "prompt": [{"role": "system", "content": "Hm."}, {"role": "user", "content": "Here: <image>?"}],
                "images": ["red.png"],
                "chosen": "a",
                "rejected": "b",
            },
            "Here: <image>?",
            ("a", "b"),
        ),
    ],
)
def test_shapes_of_pairs(tmp_path: Path, line: dict[str, Any], prompt: str, responses: tuple[str, ...]) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    (tmp_path / "rows.jsonl").write_text(json.dumps(line))
    rows = read_train_rows(tmp_path / "rows.jsonl")
    assert rows.rejects == []
    assert (prompt_text(rows[0]), rows[0].responses) == (prompt, responses)
    assert len(rows[0].images) == prompt.count("<image>")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "bad_json"),
        ({"chosen": "a", "rejected": "b"}, "missing_field"),
        ({"prompt": "p", "chosen": "a"}, "missing_field"),
        ({"prompt": "p", "chosen": "a", "rejected": 7}, "wrong_type"),
        ({"prompt": "p", "chosen": "a", "rejected": " "}, "empty_response"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "same_text"),
        ({"prompt": "p", "chosen": "a\0", "rejected": "b"}, "bad_text"),
        ({"prompt": "<image> and <image>", "image": "red.png", "chosen": "a", "rejected": "b"}, "image_marks"),
        ({"prompt": "<image>?", "chosen": "a", "rejected": "b"}, "image_marks"),
        ({"prompt": [{"content": "x"}], "chosen": "a", "rejected": "b"}, "wrong_type"),
        ({"prompt": [{"role": "user", "content": 7}], "chosen": "a", "rejected": "b"}, "wrong_type"),
        (
            {"prompt": [{"role": "user", "content": [{"type": "video"}]}], "chosen": "a", "rejected": "b"},
            "unsupported_part",
        ),
        ({"prompt": "p", "chosen": conversation("a") * 2, "rejected": "b"}, "several_turns"),
        ({"prompt": "p", "chosen": conversation("a", "user"), "rejected": "b"}, "wrong_type"),
    ],
)
def test_a_line_that_is_no_pair_is_told_and_stops_nothing(tmp_path: Path, line: Any, reason: str) -> None:
    good = json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"})
    text = line if isinstance(line, str) else json.dumps(line)
    (tmp_path / "rows.jsonl").write_text(f"{good}\n\n{text}\n")
    rows = read_train_rows(tmp_path / "rows.jsonl")
    assert len(rows) == 1
    assert [(reject.stage, reject.id, reject.reason) for reject in rows.rejects] == [("read", "rows.jsonl:3", reason)]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("gone.png", "image_missing"),
        ("../red.png", "image_outside_root"),
        ("http://x/red.png", "image_remote"),
        ("text.png", "image_not_a_picture"),
    ],
)
def test_a_picture_that_cannot_be_had_is_told_when_its_row_is_read(tmp_path: Path, image: str, reason: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "red.png").write_bytes(RED)
    (data / "text.png").write_text("not a picture")
    (data / "rows.jsonl").write_text(json.dumps({"prompt": "p", "image": image, "chosen": "a", "rejected": "b"}))
    rows = read_train_rows(data)
    assert len(rows) == 1
    with pytest.raises(RowError, match=reason):
        rows[0]
    reject = try_row(rows, 0)
    assert isinstance(reject, Reject)
    assert (reject.source, reject.id, reject.reason) == ("data", "rows.jsonl:1", reason)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "no such file or folder"),
        (lambda p: p.write_text("hello"), "cannot be read as Parquet"),
        (lambda p: p.mkdir(), "holds no"),
    ],
)
def test_a_path_that_is_nothing_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    path = tmp_path / "thing"
    make(path)
    with pytest.raises((SourceError, OutputError), match=says):
        read_train_rows(path)


def test_a_damaged_arrow_file_is_refused(tmp_path: Path, offline: None) -> None:
    from datasets import Dataset

    Dataset.from_list([{"prompt": "p", "chosen": "a", "rejected": "b"}] * 50).save_to_disk(tmp_path / "saved")
    [file] = (tmp_path / "saved").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(SourceError, match="cannot be read as an Arrow stream"):
        read_train_rows(tmp_path / "saved")


def test_few_row_groups_of_pictures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"data": [bytes([k]) * 100_000 for k in range(40)]}), path, row_group_size=4)
    reads = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, group, **kw: reads.append(group) or original(self, group, **kw),
    )
    table = ParquetRecords(tmp_path, [path], cache_bytes=1_000_000)
    assert [table[k]["data"][:1] for k in range(40)] == [bytes([k]) for k in range(40)]
    assert reads == list(range(10)), "rows in order cost one pass"
    assert table[39]["data"] == bytes([39]) * 100_000
    assert reads[10:] == []
    assert len(table._cache) == 2
    assert table[0]["data"] == bytes(1) * 100_000
    assert reads[10:] == [0]

"""Tables of pairs as TRL, LLaMA-Factory, ms-swift, RLHF-V and VLFeedback document them: each is read, or named."""

from __future__ import annotations

import base64
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmpr.errors import OutputError, RowError, SourceError
from mmpr.train.data import readers
from mmpr.train.data.layouts import LAYOUTS
from mmpr.train.data.preference_data import TrainRows, read_train_rows


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 14), colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE = picture("red"), picture("blue")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "red.png").write_bytes(RED)
    (tmp_path / "blue.png").write_bytes(BLUE)
    return tmp_path


def said(rows: TrainRows, place: int = 0) -> list[str]:
    """The messages of a row's prompt: role, and text with a mark for each picture."""
    return [
        f"{turn['role']}: "
        + "".join("<image>" if part["type"] == "image" else part["text"] for part in turn["content"])
        for turn in rows[place].prompt
    ]


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def said_by(sender: str, value: str) -> dict[str, str]:
    return {"from": sender, "value": value}


def asks(part: dict[str, Any]) -> dict[str, Any]:
    """The user's turn with a picture in its parts."""
    return turn("user", [part, {"type": "text", "text": "What?"}])


MARKED = turn("user", "<image>What?")
USER, RIGHT, WRONG = turn("user", "What?"), turn("assistant", "Red."), turn("assistant", "Blue.")
TURNS = [turn("user", "Hi"), turn("assistant", "Hello"), USER]
SYSTEM = turn("system", "S.")
URI = "data:image/png;base64," + base64.b64encode(RED).decode()
ASKED = ["user: <image>What?"]
LONG = ["user: Hi", "assistant: Hello", "user: What?"]
SIDES = {"chosen": "Red.", "rejected": "Blue."}


def rated(text: str, *ratings: str) -> dict[str, Any]:
    aspects = ("Helpfulness", "Visual Faithfulness", "Ethical Considerations")
    notes = {aspect: {"Rating": rating, "Rationale": "..."} for aspect, rating in zip(aspects, ratings, strict=False)}
    return {"annotations": notes, "model": "m", "response": text}


@pytest.mark.parametrize(
    ("row", "prompt", "layout"),
    [
        # LLaMA-Factory: sharegpt, OpenAI's spelling, alpaca
        (
            {
                "conversations": [said_by("human", "<image>What?")],
                "chosen": said_by("gpt", "Red."),
                "rejected": said_by("gpt", "Blue."),
                "images": ["red.png"],
            },
            ASKED,
            2,
        ),
        (
            {
                "conversations": [said_by("human", "Hi"), said_by("gpt", "Hello"), said_by("human", "What?")],
                "chosen": said_by("gpt", "Red."),
                "rejected": said_by("gpt", "Blue."),
                "system": "Be short.",
            },
            ["system: Be short.", *LONG],
            2,
        ),
        ({"messages": [SYSTEM, USER], "chosen": RIGHT, "rejected": WRONG}, ["system: S.", "user: What?"], 2),
        ({"instruction": "What", "input": "is it?", **SIDES}, ["user: What\nis it?"], 3),
        (
            {"instruction": "What?", "input": "", "history": [["Hi", "Hello"]], "system": "S.", **SIDES},
            ["system: S.", *LONG],
            3,
        ),
        # ms-swift
        ({"messages": [MARKED, RIGHT], "rejected_response": "Blue.", "images": ["red.png"]}, ASKED, 4),
        ({"messages": [USER, RIGHT], "rejected_response": "Blue.", "image": "red.png"}, ASKED, 4),
        ({"messages": [*TURNS, RIGHT], "rejected_response": "Blue."}, LONG, 4),
        ({"messages": [USER, RIGHT], "rejected_response": [WRONG]}, ["user: What?"], 4),
        ({"messages": [*TURNS, RIGHT], "rejected_messages": [*TURNS, WRONG]}, LONG, 4),
        ({"query": "What?", "response": "Red.", "rejected_response": "Blue.", "history": [["Hi", "Hello"]]}, LONG, 4),
        ({"instruction": "What?", "output": "Red.", "rejected_response": "Blue."}, ["user: What?"], 4),
        # TRL, with whole conversations, system columns and files
        ({"prompt": "What?", "chosen": [USER, RIGHT], "rejected": [USER, WRONG], "images": ["red.png"]}, ASKED, 0),
        (
            # ultrafeedback_binarized: its messages are those of the chosen conversation once more
            {"prompt": "What?", "messages": [USER, RIGHT], "chosen": [USER, RIGHT], "rejected": [USER, WRONG]},
            ["user: What?"],
            0,
        ),
        ({"prompt": "Hi", "chosen": [*TURNS, RIGHT], "rejected": [*TURNS, WRONG]}, LONG, 0),
        ({"prompt": [USER], "chosen": [USER, RIGHT], "rejected": [USER, WRONG]}, ["user: What?"], 0),
        ({"system": "S.", "prompt": "What?", "images": ["red.png"], **SIDES}, ["system: S.", *ASKED], 0),
        ({"system": "S.", "prompt": [turn("system", "Own."), USER], **SIDES}, ["system: Own.", "user: What?"], 0),
        (
            {
                "images_file_names": ["red.png"],
                "prompt": [asks({"type": "image"})],
                "chosen": [RIGHT],
                "rejected": [WRONG],
            },
            ASKED,
            0,
        ),
        # pictures in the parts of messages
        ({"prompt": [asks({"type": "image", "image": "red.png"})], **SIDES}, ASKED, 0),
        ({"prompt": [asks({"type": "image", "image": "file://red.png"})], **SIDES}, ASKED, 0),
        ({"prompt": [asks({"type": "image_url", "image_url": {"url": URI}})], **SIDES}, ASKED, 0),
        (
            {"messages": [asks({"type": "image", "base64": URI.split(",")[1]}), RIGHT], "rejected_response": "Blue."},
            ASKED,
            4,
        ),
        # RLHF-V
        ({"image": "red.png", "text": json.dumps({"question": "What?", **SIDES}), "idx": 1}, ASKED, 6),
    ],
)
def test_a_row_of_each_layout(folder: Path, row: dict[str, Any], prompt: list[str], layout: int) -> None:
    (folder / "rows.jsonl").write_text(json.dumps(row))
    rows = read_train_rows(folder / "rows.jsonl")
    assert said(rows) == prompt
    assert rows[0].images == ((RED,) if "<image>" in prompt[-1] else ())
    assert (rows[0].responses, rows[0].pairs) == (("Red.", "Blue."), ((0, 1),))
    assert rows.notes[0] == f"rows: 1 pairs, read as {LAYOUTS[layout]}"


@pytest.mark.parametrize("lists", [False, True])
def test_rated_completions_become_pairs_by_rating(folder: Path, lists: bool) -> None:
    """VLFeedback's; as JSON lines, and as Parquet in which a list of structs is a struct of lists."""
    completions = [rated("two", "2", "2", "2"), rated("best", "5", "4", "5"), rated("none", "N/A"), rated("same", "2")]
    row = {"prompt": "What?", "image": "red.png", "completions": completions, "id": "x"}
    path = folder / "rows.jsonl"
    path.write_text(json.dumps(row))
    if lists:
        path = folder / "rows.parquet"
        struct = {name: [one[name] for one in completions] for name in completions[0]}
        pq.write_table(pa.Table.from_pylist([{**row, "completions": struct}]), path)
    rows = read_train_rows(path)
    assert len(rows) == 1
    pairs = {(rows[0].responses[c], rows[0].responses[r]) for c, r in rows[0].pairs}
    assert pairs == {("best", "two"), ("best", "same")}
    assert rows[0].images == (RED,)
    assert rows.notes == [f"rows: 2 pairs, read as {LAYOUTS[5]}", "rows: columns that are not read: id"]


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ({"question": "What?", "answer": "Red."}, "missing_field", "the row has question, answer; pairs are read from"),
        ({"messages": [USER], "rejected_response": "Blue."}, "missing_field", "do not end with the assistant's"),
        ({"messages": [USER, "x"], "rejected_response": "Blue."}, "missing_field", "do not end with the assistant's"),
        ({"prompt": "Where?", "chosen": [USER, RIGHT], "rejected": [USER, WRONG]}, "prompt_differs", "do not begin"),
        ({"text": "no JSON"}, "missing_field", "the row has text"),
        ({"prompt": "p", "source": "\ud800", **SIDES}, "bad_text", "source holds half a surrogate pair"),
        ({"system": "S.", "prompt": [["user"]], **SIDES}, "wrong_type", "has no role"),
        ({"prompt": ["x"], "chosen": [["y"], RIGHT], "rejected": [["y"], WRONG]}, "prompt_differs", "do not begin"),
        ({"prompt": "p", "completions": [rated("a", "3"), rated("b", "3")]}, "no_pair", "rated alike"),
        ({"prompt": "p", "completions": [rated("a", "3"), rated("b", "?")]}, "missing_field", "1 of 2 completions"),
        ({"prompt": "p", "completions": [rated("a", "3")] * 65}, "too_many_completions", "the limit is 64"),
        ({"instruction": "i", "history": ["x"], **SIDES}, "wrong_type", "'history'"),
        ({"conversations": "x", **SIDES}, "wrong_type", "no list of messages"),
        ({"messages": [USER, RIGHT], "rejected_response": "Red."}, "same_text", ""),
    ],
)
def test_what_is_no_pair_is_told(folder: Path, row: dict[str, Any], reason: str, says: str) -> None:
    (folder / "rows.jsonl").write_text(json.dumps({"prompt": "p", **SIDES}) + "\n" + json.dumps(row))
    [reject] = read_train_rows(folder / "rows.jsonl").rejects
    assert reject.reason == reason
    assert says in reject.detail


def test_a_table_without_a_pair_is_refused_with_the_columns_that_would_do(folder: Path) -> None:
    (folder / "rows.jsonl").write_text(json.dumps({"question": "What?", "answer": "Red."}))
    with pytest.raises(SourceError, match=r"none of its 1 rows is a pair; rows\.jsonl:1: .*rejected_response"):
        read_train_rows(folder / "rows.jsonl")


@pytest.mark.parametrize("name", ["rows.json", "rows.json.gz", "rows.jsonl.gz", "rows.json.zst"])
def test_one_list_and_compressed_files(folder: Path, name: str) -> None:
    rows = [{"prompt": f"Wie groß, {n}?", "n": 1e3, **SIDES} for n in range(3)]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    text = lines if "jsonl" in name else json.dumps(rows, indent=1, ensure_ascii=False)
    data = text.encode()
    if name.endswith(".gz"):
        data = gzip.compress(data)
    elif name.endswith(".zst"):
        data = pa.Codec("zstd").compress(data, asbytes=True)
    (folder / name).write_bytes(data)
    found = read_train_rows(folder / name)
    assert [said(found, place) for place in range(3)] == [[f"user: Wie groß, {n}?"] for n in range(3)]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("rows.json", b'[{"prompt": "p"', "is no JSON list"),
        ("rows.json", b'[{"prompt": "p"} {}]', "no comma"),
        ("rows.json", b"[" * 100_000, "is no JSON list"),
        ("rows.json.gz", b"no gzip", "cannot be read"),
        ("rows.json", b"[\xff]", "is not UTF-8 text"),
        ("rows.csv", b"prompt,chosen,rejected\np,a,b\n", "pairs are read from Parquet"),
        ("rows.jsonl", b"[\n {}\n]", "the row has nothing"),
        ("rows.json.gz", gzip.compress(b" " * 3_000_000), "holds more than 1 MiB"),
    ],
)
def test_other_files_are_refused_in_a_sentence(
    folder: Path, name: str, data: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_MOST_TEXT_BYTES", 1 << 20)
    (folder / name).write_bytes(data)
    with pytest.raises(SourceError, match=says):
        read_train_rows(folder / name)


def test_pictures_of_an_export_lie_beside_its_rows_folder_and_nowhere_else(folder: Path) -> None:
    rows = folder / "rows"
    rows.mkdir()
    (rows / "a.jsonl").write_text(json.dumps({"prompt": "p", "image": "red.png", **SIDES}))
    assert read_train_rows(folder)[0].images == (RED,), "the folder that was named"
    with pytest.raises(Exception, match="image_missing"):
        read_train_rows(rows)[0]
    (folder / "dataset_info.json").write_text("{}")
    assert read_train_rows(rows)[0].images == (RED,)


def test_a_root_for_pictures_with_absolute_paths(folder: Path) -> None:
    """As ms-swift and Qwen name them."""
    data = folder / "data"
    data.mkdir()
    part = {"type": "image", "image": f"file://{folder}/red.png"}
    (data / "rows.jsonl").write_text(json.dumps({"prompt": [asks(part)], **SIDES}))
    with pytest.raises(RowError, match=r"image_outside_root: .*; data\.images_root names another root"):
        read_train_rows(data)[0]
    found = read_train_rows(data, images_root=folder)
    assert found[0].images == (RED,)
    assert found.fingerprint != read_train_rows(data).fingerprint, "what was found without it is not taken for this"
    with pytest.raises(RowError, match="image_outside_root"):
        read_train_rows(data, images_root=data)[0]


def test_several_data_sets_are_read_one_after_the_other(folder: Path) -> None:
    for name, answers in (("a", ["1", "2"]), ("b", ["3"])):
        lines = [json.dumps({"prompt": f"{name}{answer}", "chosen": answer, "rejected": "x"}) for answer in answers]
        (folder / f"{name}.jsonl").write_text("\n".join([*lines, "{broken"]))
    a, b = folder / "a.jsonl", folder / "b.jsonl"
    rows = read_train_rows(a, b)
    assert [(rows[k].responses[0], rows[k].source, rows.origin(k)) for k in range(len(rows))] == [
        ("1", "a", ("a", "a.jsonl:1")),
        ("2", "a", ("a", "a.jsonl:2")),
        ("3", "b", ("b", "b.jsonl:1")),
    ]
    assert [reject.id for reject in rows.rejects] == ["a.jsonl:3", "b.jsonl:2"]
    assert rows.fingerprint not in (read_train_rows(a).fingerprint, read_train_rows(b, a).fingerprint)
    assert f"{a}: 2 questions" in rows.notes
    with pytest.raises(IndexError):
        rows[3]


def test_tables_of_the_same_name_are_sources_of_their_own(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "pairs.jsonl").write_text(json.dumps({"prompt": "p", **SIDES}))
    rows = read_train_rows(folder / "a/pairs.jsonl", folder / "b/pairs.jsonl")
    assert [rows[place].source for place in range(2)] == ["a/pairs", "b/pairs"]


def test_sources_that_contradict_each_other_are_refused(folder: Path) -> None:
    for name, times in (("a", 0.5), ("b", 1.0)):
        (folder / name).mkdir()
        (folder / name / "x.jsonl").write_text(json.dumps({"question": "q", **SIDES}))
        entry = {"x": {"root": ".", "annotation": "x.jsonl", "repeat_time": times}}
        (folder / name / "meta.json").write_text(json.dumps(entry))
    with pytest.raises(OutputError, match=r"different weights \(repeat_time\) for the source 'x' \(0\.5, 1\.0\)"):
        read_train_rows(folder / "a", folder / "b")

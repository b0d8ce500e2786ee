"""MMPR's meta.json: both layouts of rows, paths of other machines, weights of entries."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmpr.errors import SourceError
from mmpr.schema import Question, Reject, SourceRow
from mmpr.sources import WeightedSource
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened

PAIRS = [
    {"image": "1.jpg", "question": "<image>\nWhat?", "chosen": "a", "rejected": rejected, "answer_gt": "x"}
    for rejected in "bcd"
]
PROMPTS = [
    {"image": "1.jpg", "question": "<image>\nWhat?", "answer": "x"},
    {"image": ["1.jpg", "sub/2.png"], "question": "Compare <image> with <image>.", "answer": 3},
    {"question": "No picture?", "answer": None},
]


def mmpr(folder: Path, entries: dict[str, dict[str, Any]], rows: dict[str, list[Any]]) -> Path:
    """A release unpacked in ``folder``: annotations/, images/one/ with two pictures, meta.json."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "images/one/sub").mkdir(parents=True)
    (folder / "images/one/1.jpg").write_bytes(CHINA)
    (folder / "images/one/sub/2.png").write_bytes(FLOWER)
    for name, lines in rows.items():
        (folder / "annotations" / f"{name}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (folder / "meta.json").write_text(json.dumps(entries))
    return folder / "meta.json"


def entry(root: str, annotation: str, **more: Any) -> dict[str, Any]:
    return {"root": root, "annotation": annotation, "data_augment": False, "repeat_time": 1, "length": 3, **more}


@pytest.mark.parametrize(
    ("root", "annotation"),
    [
        ("/mnt/petrelfs/somebody/MMPR/images/one", "/mnt/petrelfs/somebody/MMPR/annotations/a.jsonl"),
        ("MMPR-v1.2/images/one/", "MMPR-v1.2/annotations/a.jsonl"),
        ("images/one", "annotations/a.jsonl"),
        ("./images/one", "../release/annotations/a.jsonl"),
        ("{folder}/images/one", "{folder}/annotations/a.jsonl"),
    ],
)
def test_paths_of_other_machines(tmp_path: Path, root: str, annotation: str) -> None:
    folder = tmp_path / "release"
    mmpr(folder, {"e": entry(root.format(folder=folder), annotation.format(folder=folder))}, {"a": PROMPTS})
    first, second, third = ingest(tmp_path, type="mmpr", path="release/meta.json")
    assert isinstance(first, Question)
    assert isinstance(second, Question)
    assert isinstance(third, Question)
    assert (first.question, first.answer, first.images) == ("<image>\nWhat?", "x", (CHINA,))
    assert (second.answer, second.images, second.kind) == ("3", (CHINA, FLOWER), "e")
    assert (third.question, third.answer, third.images) == ("No picture?", None, ())


def test_the_basename_beside_meta_json(tmp_path: Path) -> None:
    meta = mmpr(tmp_path, {"e": entry("/far/one", "/far/away/a.jsonl")}, {"a": PROMPTS[:1]})
    (tmp_path / "annotations/a.jsonl").rename(tmp_path / "a.jsonl")
    (tmp_path / "images/one").rename(tmp_path / "one")
    [question] = ingest(tmp_path, type="mmpr", path=str(meta))
    assert isinstance(question, Question)
    assert question.images == (CHINA,)
    assert question.where == "a.jsonl:1"


def test_pairs_are_read_as_questions_each_once(tmp_path: Path) -> None:
    entries = {name: entry("images/one", f"annotations/{name}.jsonl") for name in ("correct", "format", "prompts")}
    mmpr(tmp_path, entries, {"correct": PAIRS, "format": PAIRS, "prompts": PROMPTS[:1]})
    question, *rest = ingest(tmp_path, type="mmpr", path="meta.json")
    assert isinstance(question, Question)
    assert (question.kind, question.answer, question.where) == ("correct", "x", "annotations/correct.jsonl:1")
    assert [reject.reason for reject in rest if isinstance(reject, Reject)] == ["duplicate"] * 6


def test_entries_and_their_weights(tmp_path: Path) -> None:
    entries = {name: entry("images/one", f"annotations/{name}.jsonl", repeat_time=0.25) for name in "ab"}
    entries["b"]["repeat_time"] = 2
    mmpr(tmp_path, entries, {"a": PROMPTS, "b": [{"question": "B?"}]})
    source = opened(tmp_path, type="mmpr", path="meta.json")
    assert isinstance(source, WeightedSource)
    rows = [row for row in source.rows() if isinstance(row, SourceRow)]
    assert [(row.kind, source.repeat_time(row)) for row in rows] == [*[("a", 0.25)] * 3, ("b", 2.0)]
    [row] = opened(tmp_path, type="mmpr", path="meta.json", entries=["b"]).rows()
    assert isinstance(row, SourceRow)
    assert row.question == "B?"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("../two/secret.jpg", "image_outside_root"),
        ("/etc/passwd", "image_outside_root"),
        ("{folder}/images/two/secret.jpg", "image_outside_root"),
        ("gone.jpg", "image_missing"),
        ("https://example.org/x.jpg", "image_remote"),
        (7, "wrong_type"),
        ("{folder}/images/one/1.jpg", None),
    ],
)
def test_pictures_under_the_root_only(tmp_path: Path, image: Any, reason: str | None) -> None:
    image = image.format(folder=tmp_path) if isinstance(image, str) else image
    mmpr(tmp_path, {"e": entry("images/one", "annotations/a.jsonl")}, {"a": [{"image": image, "question": "q"}]})
    (tmp_path / "images/two").mkdir()
    (tmp_path / "images/two/secret.jpg").write_bytes(CHINA)
    [found] = ingest(tmp_path, type="mmpr", path="meta.json")
    assert (found.reason if isinstance(found, Reject) else None) == reason


def outside(folder: Path, root: str) -> None:
    """A release in ``folder/release`` whose rows want a picture of ``folder/other``."""
    other = folder / "other"
    other.mkdir()
    (other / "secret.jpg").write_bytes(CHINA)
    rows = [
        {"image": image, "question": "q"} for image in ("secret.jpg", "other/secret.jpg", str(other / "secret.jpg"))
    ]
    mmpr(folder / "release", {"e": entry(root.format(other=other), "annotations/a.jsonl")}, {"a": rows})
    (folder / "release/images/link").symlink_to(other)


@pytest.mark.parametrize("root", ["{other}", "../other", "images/../../other", "images/link", "/", ".."])
def test_no_root_outside_of_the_folder(tmp_path: Path, root: str) -> None:
    outside(tmp_path, root)
    with pytest.raises(SourceError, match=r"is not in the folder of meta\.json"):
        ingest(tmp_path, type="mmpr", path="release/meta.json")


def test_a_root_that_ends_where_it_began_leads_nowhere(tmp_path: Path) -> None:
    outside(tmp_path, "x" * 300 + "/..")
    rejects = [row for row in ingest(tmp_path, type="mmpr", path="release/meta.json") if isinstance(row, Reject)]
    assert [row.reason for row in rejects] == ["image_missing", "image_missing", "image_outside_root"]


@pytest.mark.parametrize("root", ["\0/..", "x/" * 5000 + ".."])
def test_a_root_that_cannot_be_a_path(tmp_path: Path, root: str) -> None:
    outside(tmp_path, root)
    with pytest.raises(SourceError, match="cannot be a path"):
        ingest(tmp_path, type="mmpr", path="release/meta.json")


@pytest.mark.parametrize("annotation", ["{other}/a.jsonl", "../other/a.jsonl", "annotations/link.jsonl", "/dev/zero"])
def test_no_annotation_outside_of_the_folder(tmp_path: Path, annotation: str) -> None:
    folder, other = tmp_path / "release", tmp_path / "other"
    other.mkdir()
    (other / "a.jsonl").write_text(json.dumps(PROMPTS[2]))
    mmpr(folder, {"e": entry("images/one", annotation.format(other=other))}, {})
    (folder / "annotations/link.jsonl").symlink_to(other / "a.jsonl")
    with pytest.raises(SourceError, match=r"is not in the folder of meta\.json"):
        ingest(tmp_path, type="mmpr", path="release/meta.json")


def test_text_only_entries_need_no_root(tmp_path: Path) -> None:
    mmpr(tmp_path, {"e": entry("none", "annotations/a.jsonl")}, {"a": [PROMPTS[2], PROMPTS[0]]})
    question, reject = ingest(tmp_path, type="mmpr", path="meta.json")
    assert isinstance(question, Question)
    assert isinstance(reject, Reject)
    assert reject.reason == "image_missing"


def test_every_bad_entry_is_named_at_once(tmp_path: Path) -> None:
    entries: dict[str, Any] = {
        "good": entry("images/one", "annotations/a.jsonl"),
        "gone": entry("images/one", "/far/b.jsonl"),
        "bare": {"root": "images/one"},
        "list": ["a"],
        "heavy": entry("images/one", "annotations/a.jsonl", repeat_time="often"),
        "yes": entry("images/one", "annotations/a.jsonl", repeat_time=True),
        "less": entry("images/one", "annotations/a.jsonl", repeat_time=-1),
    }
    mmpr(tmp_path, entries, {"a": PROMPTS})
    with pytest.raises(SourceError) as caught:
        opened(tmp_path, type="mmpr", path="meta.json")
    lines = str(caught.value).splitlines()
    assert [line.split("'")[1] for line in lines[:-1]] == ["gone", "bare", "list", "heavy", "yes", "less"]
    assert lines[0].startswith(str(tmp_path / "meta.json"))
    assert len(list(opened(tmp_path, type="mmpr", path="meta.json", entries=["good"]).rows())) == 3
    with pytest.raises(SourceError, match="has no entry other; it has: good, gone"):
        opened(tmp_path, type="mmpr", path="meta.json", entries=["other"])


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"{" * 100_000])
def test_no_meta_json(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "meta.json").write_bytes(data)
    with pytest.raises(SourceError, match=r"meta.json: is not MMPR's meta.json"):
        opened(tmp_path, type="mmpr", path="meta.json")
    with pytest.raises(SourceError, match="cannot be read"):
        opened(tmp_path, type="mmpr", path="other.json")

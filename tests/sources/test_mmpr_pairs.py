"""MMPR's releases as pairs: rows that share a question, paths of other machines, lines that are no pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.errors import SourceError
from mmpr.schema import PreferenceRow, Reject
from mmpr.sources.mmpr_pairs import Release, is_release, read_pairs
from tests.sources.source_helpers import CHINA, FLOWER

FAR = "/mnt/petrelfs/somebody/MMPR"


def line(chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    row = {"image": "1.jpg", "question": "<image>\nHow many?", "chosen": chosen, "rejected": rejected, "answer_gt": "3"}
    return {name: value for name, value in {**row, **more}.items() if value is not None}


def release(folder: Path, **entries: list[Any]) -> Path:
    """A release unpacked in ``folder``, with the paths of another machine in its ``meta.json``."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "images/one/sub").mkdir(parents=True)
    (folder / "images/one/1.jpg").write_bytes(CHINA)
    (folder / "images/one/sub/2.png").write_bytes(FLOWER)
    meta = {}
    for name, lines in entries.items():
        text = "\n".join(item if isinstance(item, str) else json.dumps(item) for item in lines)
        (folder / f"annotations/{name}.jsonl").write_text(text)
        root, annotation = f"{FAR}/images/one", f"{FAR}/annotations/{name}.jsonl"
        meta[name] = {"root": root, "annotation": annotation, "repeat_time": 0.5, "length": len(lines)}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder / "meta.json"


def read(path: Path, **options: Any) -> tuple[list[PreferenceRow], list[Reject]]:
    rejects: list[Reject] = []
    return list(read_pairs(path, rejects.append, **options)), rejects


def texts(row: PreferenceRow) -> list[tuple[str, str]]:
    return [(row.responses[pair.chosen].text, row.responses[pair.rejected].text) for pair in row.pairs]


def test_pairs_of_a_question_are_one_row_wherever_they_stand(tmp_path: Path) -> None:
    other = {"question": "<image> against <image>?", "image": ["1.jpg", "sub/2.png"]}
    lines = [line("a", "b"), line("x", "y", **other), line("a", "c"), line("x", "z", **other), line("d", "b")]
    rows, rejects = read(release(tmp_path, one=lines))
    assert rejects == []
    first, second = rows
    assert texts(first) == [("a", "b"), ("a", "c"), ("d", "b")]
    assert [response.text for response in first.responses] == ["a", "b", "c", "d"]
    assert (first.question, first.prompt, first.answer) == ("<image>\nHow many?", "<image>\nHow many?", "3")
    assert (first.source, first.images) == ("one", (CHINA,))
    assert texts(second) == [("x", "y"), ("x", "z")]
    assert second.images == (CHINA, FLOWER)
    assert first.id != second.id


def test_pictures_are_opened_when_they_are_asked_for(tmp_path: Path) -> None:
    lines = [line("a", "b"), line("a", "b", image="gone.jpg"), line("a", "b", image=None, question="Text?")]
    meta = release(tmp_path, one=lines)
    rejects: list[Reject] = []
    found = Release(tmp_path, rejects.append)
    assert (len(found), found.pairs, found.sources, found.repeat_time("one")) == (3, 3, ("one",), 0.5)
    assert [lazy.row.images for lazy in iter(found)] == [(), (), ()]
    assert [lazy.refs for lazy in iter(found)] == [("images/one/1.jpg",), ("images/one/gone.jpg",), ()]
    assert found[2].row.question == "Text?"
    assert rejects == []
    assert len(list(found.rows())) == 2
    [reject] = rejects
    assert (reject.source, reject.reason) == ("one", "image_missing")
    assert [row.id for row in found.rows(start=2)] == [found[2].row.id]
    with pytest.raises(IndexError):
        found[3]
    assert is_release(meta)
    assert is_release(tmp_path)
    assert not is_release(tmp_path / "images")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{broken", "bad_json"),
        (line("a", "a"), "same_text"),
        (line("a", " "), "empty_response"),
        (line("a", None), "missing_field"),  # type: ignore[arg-type]
        (line("a", 7), "wrong_type"),  # type: ignore[arg-type]
        (line("a\0", "b"), "bad_text"),
        (line("a", "\ud800"), "bad_text"),
        (line("a", "b", question=None), "missing_field"),
        (line("a", "b", question="<image><image>?"), "image_marks"),
        (line("a", "b", image=["1.jpg"] * 17), "too_many_images"),
        (line("a", "b", image="../../secret.jpg"), "image_outside_root"),
        (line("a", "b", image="https://example.org/1.jpg"), "image_remote"),
        (line("a", "b", image="words.jpg"), "image_not_a_picture"),
        (line("good", "bad"), "duplicate"),
    ],
)
def test_lines_that_are_no_pairs_are_told_and_stop_nothing(tmp_path: Path, bad: Any, reason: str) -> None:
    meta = release(tmp_path, one=[line("good", "bad"), bad, line("good", "worse")])
    (tmp_path / "images/one/words.jpg").write_text("these are words")
    rows, rejects = read(meta)
    assert texts(rows[0]) == [("good", "bad"), ("good", "worse")]
    assert len(rows) == 1
    assert [(reject.stage, reject.source, reject.reason) for reject in rejects] == [("read", "one", reason)]
    assert "annotations/one.jsonl" in rejects[0].id


def test_how_a_pair_was_made(tmp_path: Path) -> None:
    open_ended = line("a b c", "a b d", answer_gt=None)
    meta = release(
        tmp_path,
        correctness_rules=[line("a", "b")],
        format_rules=[line("a", "b"), line("a", "c", method="correctness", reason="said so")],
        open=[open_ended, {**open_ended, "rejected": "e", "method": ["odd"], "reason": 7}],
    )
    rows, _ = read(meta)
    found = {row.source: [(pair.method, pair.reason) for pair in row.pairs] for row in rows}
    assert found == {
        "correctness_rules": [("correctness", "")],
        "format_rules": [("format", ""), ("correctness", "said so")],
        "open": [("dropout", ""), ("dropout", "")],
    }


def test_what_is_told_of_a_response(tmp_path: Path) -> None:
    told = {"tokens": 7, "finish_reason": "length", "seed": 2**62 + 3, "sample": 5, "status": "correct", "answer": "3"}
    odd = {"tokens": "many", "seed": 2**64, "sample": -1, "status": "splendid", "answer": ["3"], "prefix_chars": 99}
    [row], _ = read(release(tmp_path, one=[line("abc", "abd", chosen_meta=told, rejected_meta=odd)]))
    chosen, rejected = row.responses
    assert {name: getattr(chosen, name) for name in told} == told
    assert (rejected.tokens, rejected.seed, rejected.sample, rejected.status, rejected.answer) == (0, 0, 1, "", None)
    assert rejected.prefix_chars == len("abd")


def test_a_release_without_marks_gets_its_pictures_first(tmp_path: Path) -> None:
    [row], _ = read(release(tmp_path, one=[line("a", "b", question="How many?", image=["1.jpg", "sub/2.png"])]))
    assert row.prompt == "<image>\n<image>\nHow many?"


def test_entries_are_chosen_by_name(tmp_path: Path) -> None:
    meta = release(tmp_path, one=[line("a", "b")], two=[line("a", "b")])
    rows, _ = read(meta, entries=("two",))
    assert [row.source for row in rows] == ["two"]
    with pytest.raises(SourceError, match="it has: one, two"):
        read(meta, entries=("three",))
    with pytest.raises(SourceError, match=r"name MMPR's meta\.json"):
        read(tmp_path / "images")


def test_an_empty_release(tmp_path: Path) -> None:
    assert read(release(tmp_path, one=[])) == ([], [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["image", "question", "chosen", "rejected", "answer_gt", "chosen_meta", "method", "reason"])


@settings(max_examples=60)
@given(st.lists(st.dictionaries(names, json_values, max_size=4), max_size=6))
def test_whatever_stands_in_the_file_every_line_is_a_pair_or_a_reject(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    meta = release(folder, one=[{**line("a", "b"), **change} for change in changes])
    rejects: list[Reject] = []
    found = Release(meta, rejects.append)
    assert found.pairs + len(rejects) == len(changes)
    rows = [lazy.row for lazy in iter(found)]
    assert len({row.id for row in rows}) == len(rows)
    lost = len(rejects)
    assert len(list(found.rows())) + sum(reject.reason != "duplicate" for reject in rejects[lost:]) == len(rows)

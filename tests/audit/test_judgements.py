"""audit.jsonl is written by people and tools: what is no judgement is named in a sentence, whatever it is."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.audit import judgements
from mmpr.audit.judgements import read_lines
from mmpr.errors import OutputError

ID = "0123456789abcdef" * 2
GOOD: dict[str, Any] = {
    "response": f"{ID}/4",
    "verdict": "correct",
    "says": "wrong",
    "instead": "incorrect",
    "why": "it says 12 cm 🙂",
    "who": "ada",
    "when": "2026-11-28T13:05:00Z",
}


def write(folder: Path, *lines: dict[str, Any] | str | bytes) -> Path:
    path = folder / "audit.jsonl"
    data = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path.write_bytes(b"\n".join(data) + b"\n")
    return path


def test_a_line_is_a_judgement(tmp_path: Path) -> None:
    least = {"response": f"{ID}/0", "verdict": "unsure", "says": "right"}
    path = write(tmp_path, "", b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "  ", least)
    first, second = read_lines(path)
    assert (first.id, first.sample, first.verdict, first.says, first.instead) == (
        ID,
        4,
        "correct",
        "wrong",
        "incorrect",
    )
    assert (first.number, first.who, first.why, first.when) == (2, "ada", GOOD["why"], GOOD["when"])
    assert (second.number, second.sample, second.who, second.instead) == (4, 0, "", "")


def test_the_last_word_of_a_person_counts(tmp_path: Path) -> None:
    other = {**GOOD, "who": "bob"}
    again = {**GOOD, "says": "right", "instead": ""}
    lines = read_lines(write(tmp_path, GOOD, other, again))
    assert [(line.number, line.who, line.says) for line in lines] == [(2, "bob", "wrong"), (3, "ada", "right")]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "is no JSON"),
        ("nonsense", "is no JSON"),
        ("[" * 60_000, "is no JSON"),
        ('{"a":' * 10_000, "is no JSON"),
        (b"\xff\xfe{}", "is no JSON"),
        (b"\x00", "is no JSON"),
        ("9" * 60_000, "is no JSON"),
        ("[1]", "is no JSON object"),
        ("null", "is no JSON object"),
        ("NaN", "is no JSON object"),
        ('"text"', "is no JSON object"),
        ({}, "lacks 'response'"),
        (without("verdict"), "lacks 'verdict'"),
        (without("says"), "lacks 'says'"),
        ({**GOOD, "extra\x1b[31m": 1}, r"has a field 'extra\x1b[31m'"),
        ({**GOOD, "response": 4}, "'response' is no text"),
        ({**GOOD, "response": None}, "'response' is no text"),
        ({**GOOD, "response": ["a"]}, "'response' is no text"),
        ({**GOOD, "response": "x/1"}, "'response' is not a question's id"),
        ({**GOOD, "response": f"{ID}/-1"}, "'response' is not a question's id"),
        ({**GOOD, "response": f"{ID}/10000"}, "'response' is not a question's id"),
        ({**GOOD, "response": f"{ID}/01"}, "'response' is not a question's id"),
        ({**GOOD, "response": f"{ID}/1\n"}, "'response' is not a question's id"),
        ({**GOOD, "response": f"../{ID}/1"}, "'response' is not a question's id"),
        ({**GOOD, "response": f"{ID}/١"}, "'response' is not a question's id"),
        ({**GOOD, "verdict": "Correct"}, "'verdict' is not one of correct, incorrect"),
        ({**GOOD, "says": "maybe"}, "'says' is not one of right, wrong, unsure"),
        ({**GOOD, "says": True}, "'says' is no text"),
        ({**GOOD, "instead": "timeout"}, "'instead' is not one of correct"),
        ({**GOOD, "says": "right"}, "has 'instead', but does not call the verdict wrong"),
        ({**GOOD, "instead": "correct"}, "calls the verdict correct wrong, and puts the same in its place"),
        ({**GOOD, "when": "yesterday"}, "'when' is no time"),
        ({**GOOD, "when": 5}, "'when' is no text"),
        ({**GOOD, "who": {"$ne": 1}}, "'who' is no text"),
        ({**GOOD, "why": "x" * 70_000}, "is longer than 65,536 bytes"),
        (b"x" * 5_000_000, "is longer than 65,536 bytes"),
    ],
)
def test_what_is_no_judgement_is_named_with_its_line(line: Any, complaint: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(OutputError) as error:
        read_lines(write(tmp_path, GOOD, line, GOOD))
    text = str(error.value)
    assert f"audit.jsonl line 2: {complaint}" in text
    assert "mend or delete the line" in text
    assert text.isprintable()
    assert len(text) < 400
    assert time.monotonic() - started < 5


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(OutputError, match="is no file"):
        read_lines(tmp_path / "audit.jsonl")
    (tmp_path / "audit.jsonl").rmdir()
    os.mkfifo(tmp_path / "audit.jsonl")  # opening it would wait for ever
    with pytest.raises(OutputError, match="is no file"):
        read_lines(tmp_path / "audit.jsonl")
    (tmp_path / "audit.jsonl").unlink()
    monkeypatch.setattr(judgements, "MAX_BYTES", 100)
    with pytest.raises(OutputError, match="is too large"):
        read_lines(write(tmp_path, GOOD, GOOD))


values = st.one_of(st.text(max_size=9), st.integers(), st.none())
trees = st.dictionaries(st.sampled_from([*GOOD, "x"]), values).map(lambda tree: json.dumps(tree).encode())


@given(st.lists(st.one_of(st.binary(max_size=60), trees)))
def test_anything_ends_with_judgements_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = write(tmp_path_factory.mktemp("a"), *lines)
    with contextlib.suppress(OutputError):
        assert isinstance(read_lines(path), list)

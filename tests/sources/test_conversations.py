"""Conversations: LLaVA, ShareGPT, ms-swift, LLaMA-Factory; turns that are context, and turns that make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmpr.errors import SourceError
from mmpr.schema import Question, Reject
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened

ASK, SAY = {"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "Three"}
PART = {"type": "image", "image": "a.png"}


def one(folder: Path, row: Any, **source: Any) -> Question | Reject:
    for name, data in (("a.png", FLOWER), ("b.jpg", CHINA)):
        (folder / name).write_bytes(data)
    (folder / "x.json").write_text(json.dumps([{"conversations": [ASK, SAY], "image": "a.png"}, row]))
    first, found = ingest(folder, type="llava", path="x.json", **source)
    assert isinstance(first, Question)
    return found


SEVERAL = [ASK, SAY, {"from": "human", "value": "And how large?"}, {"from": "gpt", "value": "5 cm"}]


@pytest.mark.parametrize(
    ("row", "question", "answer", "images"),
    [
        ({"id": "1", "image": "b.jpg", "conversations": [ASK, SAY]}, "<image>\nHow many?", "Three", (CHINA,)),
        ({"image": "b.jpg", "conversations": [ASK]}, "<image>\nHow many?", None, (CHINA,)),
        (
            {"image": "b.jpg", "conversations": SEVERAL},
            "user: <image>\nHow many?|assistant: Three|And how large?",
            "5 cm",
            (CHINA,),
        ),
        (
            {"image": "b.jpg", "conversations": [*SEVERAL[:3]]},
            "user: <image>\nHow many?|assistant: Three|And how large?",
            None,
            (CHINA,),
        ),
        (
            {"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "2+2?"}, SAY]},
            "system: Be brief.|2+2?",
            "Three",
            (),
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "<image><image>Which?"},
                    {"role": "assistant", "content": "left"},
                ],
                "images": ["a.png", "b.jpg"],
            },
            "<image><image>Which?",
            "left",
            (FLOWER, CHINA),
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [PART, {"type": "text", "text": "Which?"}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "left"}]},
                ]
            },
            "<image>\nWhich?",
            "left",
            (FLOWER,),
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which?"}]},
                    {"role": "assistant", "content": "left"},
                ],
                "images": [{"path": "b.jpg", "bytes": None}],
            },
            "<image>\nWhich?",
            "left",
            (CHINA,),
        ),
        (
            {"instruction": "How many?", "input": "Count.", "output": "3", "images": ["b.jpg"], "system": "Look."},
            "system: Look.|<image>\nHow many?\nCount.",
            "3",
            (CHINA,),
        ),
        (
            {"query": "<image>And now?", "response": "4", "history": [["Before?", "3"]], "images": ["b.jpg"]},
            "user: Before?|assistant: 3|<image>And now?",
            "4",
            (CHINA,),
        ),
        ({"instruction": "2+2?", "input": "", "output": ""}, "2+2?", None, ()),
        (  # marks that nobody placed go before the first turn, and an empty system prompt is none
            {
                "image": ["a.png", "b.jpg"],
                "system": " ",
                "conversations": [
                    {"from": "system", "value": ""},
                    {"from": "human", "value": " Which is red? "},
                    {"from": "gpt", "value": "The first.\n"},
                    {"from": "human", "value": "And the other?"},
                ],
            },
            "user: <image>\n<image>\nWhich is red?|assistant: The first.|And the other?",
            None,
            (FLOWER, CHINA),
        ),
        (
            {
                "image": ["a.png", "b.jpg"],
                "conversations": [ASK, SAY, {"from": "human", "value": "And in <image>?"}, SAY],
            },
            "user: <image>\nHow many?|assistant: Three|And in <image>?",
            "Three",
            (FLOWER, CHINA),
        ),
    ],
)
def test_layouts(tmp_path: Path, row: Any, question: str, answer: str | None, images: tuple[bytes, ...]) -> None:
    """The turns before the question are part of it, each before a ``|``."""
    found = one(tmp_path, row)
    assert isinstance(found, Question), found
    said = "|".join([*(f"{turn.role}: {turn.text}" for turn in found.context), found.question])
    assert (said, found.answer, found.images) == (question, answer, images)


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ({"conversations": []}, "no_conversation", "no turn"),
        ({"conversations": "text"}, "turns", "a list of turns"),
        ({"conversations": [SAY]}, "turns", "turn 1 is the assistant's"),
        ({"conversations": [ASK, ASK]}, "turns", "turn 2 is the user's"),
        ({"conversations": [ASK, SAY, SAY]}, "turns", "turn 3"),
        ({"conversations": [ASK, {"from": "function_call", "value": "f()"}]}, "turns", "function_call"),
        ({"conversations": [ASK, {"from": "system", "value": "late"}, SAY]}, "turns", "among the others"),
        ({"conversations": [{"from": "human", "value": 3}, SAY]}, "turns", "a number"),
        ({"conversations": ["text"]}, "turns", "a mapping is expected"),
        ({"conversations": [{"from": ["human"], "value": "x"}]}, "turns", "a turn is by"),
        ({"conversations": [ASK, SAY], "videos": ["a.mp4"]}, "turns", "videos"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "turns", "'audio'"),
        ({"query": "q", "history": ["x"]}, "turns", "no list of pairs"),
        ({"conversations": [ASK, SAY]}, "image_marks", "0 pictures"),
        ({"image": ["a.png", "b.jpg"], "conversations": SEVERAL}, "image_marks", "1 times <image> in the conversation"),
        (
            {"image": "a.png", "conversations": [ASK, {"from": "gpt", "value": "<image>"}, ASK]},
            "turns",
            "the assistant",
        ),
        ({"conversations": [{"from": "human", "value": " "}, SAY, SEVERAL[2]]}, "turns", "is empty"),
        (
            {"image": "a.png", "conversations": [{"from": "human", "value": "<image 1>"}, SAY, ASK]},
            "image_marks",
            "turn",
        ),
        ({"conversations": [{"from": "human", "value": "a\0b"}, SAY, SEVERAL[2]]}, "bad_text", "context holds a NUL"),
        ({"text": "no conversation"}, "no_conversation", "text"),
        (7, "not_an_object", ""),
    ],
)
def test_what_is_no_conversation_is_said(tmp_path: Path, row: Any, reason: str, detail: str) -> None:
    found = one(tmp_path, row)
    assert isinstance(found, Reject), found
    assert found.reason == reason
    assert detail in found.detail


def test_answers_can_be_left_out(tmp_path: Path) -> None:
    found = one(tmp_path, {"image": "b.jpg", "conversations": [ASK, SAY]}, columns={"answer": None})
    assert isinstance(found, Question)
    assert found.answer is None


def test_lines_folders_and_other_files(tmp_path: Path) -> None:
    """A folder as LLaMA-Factory has it: the data sets beside a file that describes them."""
    row = {"conversations": [{"from": "human", "value": "2+2?"}, SAY]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "b.json").write_text(json.dumps([{**row, "system": "x"}], indent=1))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"a": {"file_name": "a.jsonl"}}, indent=1))
    found = ingest(tmp_path, type="llava", path=".")
    assert [item.where for item in found if isinstance(item, Question)] == ["a.jsonl:1", "b.json[0]"]
    (tmp_path / "table.jsonl").write_text('{"question": "q"}\n')
    with pytest.raises(SourceError, match=r"no row has conversations.*it has: question; type: jsonl"):
        opened(tmp_path, type="llava", path="table.jsonl")

"""``audit.jsonl``: a line for each judgement of a person on a verdict. The audit page of a report saves such lines.

    {"response": "0123…cdef/4", "verdict": "correct", "says": "wrong", "instead": "incorrect", "why": "it says 12 cm",
     "who": "ada", "when": "2026-11-28T13:05:00Z"}

``response`` is the question's id and the position of the sample, ``verdict`` what the judge said when the person
looked. ``says`` is right, wrong or unsure; ``instead`` is the verdict that a wrong one should have been, if the person
knows. The last word of a person on a response counts. The file is made by people and tools: nothing in it is trusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from mmpr.errors import OutputError
from mmpr.schema import Says, Status

AUDIT = "audit.jsonl"
"""The file's name in the folder of a build."""

MAX_BYTES, MAX_LINE_BYTES = 64 << 20, 64 << 10

_FIELDS = ("response", "verdict", "says", "instead", "why", "who", "when")
_NEEDED = ("response", "verdict", "says")
_PLACE = re.compile(r"([0-9a-f]{32})/(0|[1-9][0-9]{0,3})")
_INSTEAD = ("", "correct", "incorrect", "unparseable", "unsure")


@dataclass(frozen=True, slots=True)
class Line:
    """A judgement as it stands in the file; ``id`` and ``sample`` say which response, ``number`` which line."""

    number: int
    id: str
    sample: int
    verdict: Status
    says: Says
    instead: str
    why: str
    who: str
    when: str


def read_lines(path: Path) -> list[Line]:
    """The judgements of a file, the last of each person on each response, in the order of the file.

    Raises:
        OutputError: it cannot be read, or a line is no judgement; the text names the line and what is wrong with it.
    """
    last: dict[tuple[str, str, int], Line] = {}
    for number, data in _raw_lines(path):
        try:
            line = parse_line(number, data)
        except ValueError as error:
            raise OutputError(f"{path} line {number}: {error}; mend or delete the line") from None
        last[line.who, line.id, line.sample] = line
    return sorted(last.values(), key=lambda line: line.number)


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers, of a file of bounded size."""
    try:
        if not path.is_file():
            raise OutputError(f"{path}: is no file; delete it, or put a file of judgements there")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise OutputError(
                f"{path}: is too large ({size:,} bytes, at most {MAX_BYTES:,}); take judgements out of it"
            )
        with path.open("rb") as file:
            number = 0
            while data := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(data) > MAX_LINE_BYTES:
                    what = f"is longer than {MAX_LINE_BYTES:,} bytes"
                    raise OutputError(f"{path} line {number}: {what}; mend or delete the line")
                if data.strip():
                    yield number, data.removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_line(number: int, data: bytes) -> Line:
    """A line as a judgement.

    Raises:
        ValueError: it is none; the text says what is wrong with it.
    """
    try:
        tree = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(tree, dict):
        raise ValueError("is no JSON object")
    if unknown := [name for name in tree if name not in _FIELDS]:
        raise ValueError(f"has a field {unknown[0][:40]!a}; there are {', '.join(_FIELDS)}")
    if missing := [name for name in _NEEDED if name not in tree]:
        raise ValueError(f"lacks {missing[0]!r}")
    said = {name: _text(tree, name) for name in _FIELDS}
    place = _PLACE.fullmatch(said["response"])
    if place is None:
        raise ValueError("'response' is not a question's id, a slash and the number of a sample")
    _one_of("verdict", said["verdict"], get_args(Status))
    _one_of("says", said["says"], get_args(Says))
    _one_of("instead", said["instead"], _INSTEAD)
    if said["instead"] and said["says"] != "wrong":
        raise ValueError("has 'instead', but does not call the verdict wrong")
    if said["instead"] == said["verdict"]:
        raise ValueError(f"calls the verdict {said['verdict']} wrong, and puts the same in its place")
    _check_time(said["when"])
    return Line(
        number=number,
        id=place[1],
        sample=int(place[2]),
        verdict=said["verdict"],  # type: ignore[arg-type]
        says=said["says"],  # type: ignore[arg-type]
        instead=said["instead"],
        why=said["why"],
        who=said["who"],
        when=said["when"],
    )


def _text(tree: dict[str, Any], name: str) -> str:
    value = tree.get(name, "")
    if type(value) is not str:
        raise ValueError(f"{name!r} is no text")
    return value


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name!r} is not one of {', '.join(filter(None, known))}")


def _check_time(when: str) -> None:
    if when:
        try:
            datetime.fromisoformat(when)
        except ValueError:
            raise ValueError("'when' is no time (2026-11-28T13:05:00Z)") from None

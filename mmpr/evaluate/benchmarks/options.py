"""Options of multiple choice: read out of a question's text, or written into it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmpr.errors import RowError

LETTER = "Answer with the option's letter from the given choices directly."
"""The instruction that is removed when reasoning is asked for."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST = 1_000
_STYLES = (r"\({}\)", r"(?<![A-Za-z0-9(]){}[:.)](?=\s)")


def with_options(question: str, options: Sequence[str]) -> str:
    """The question with its options, a line each, and the request for a letter."""
    lines = [f"{chr(ord('A') + place)}. {text}" for place, text in enumerate(options)]
    return "\n".join([question.rstrip(), "Options:", *lines, LETTER])


def with_request(question: str) -> str:
    """A question that shows its options already, with the request for a letter at its end."""
    return f"{question.rstrip()}\n{LETTER}"


def read_options(question: str, answer: str | None) -> tuple[str, ...]:
    """The options that a question shows as ``(A) x (B) y`` or ``A: x, B: y``; () when that is not certain.

    The last run of labels counts, and its last option ends with its line, as in MMStar and V*. Options that do not
    include the answer's letter were misread.
    """
    for style in _STYLES:
        options = _read(question, style)
        if len(options) >= 2 and all(options) and len(set(options)) == len(options):
            return options if max(map(len, options)) <= _LONGEST and _is_among(answer, options) else ()
    return ()


def option_columns(record: Mapping[str, Any], answer: str | None) -> tuple[str, ...]:
    """The options in the columns A, B, C, ... of a row, as far as they are filled.

    Raises:
        RowError: wrong_type (an option that is no text, or follows an empty one), wrong_answer (no such option).
    """
    cells = [record.get(letter) for letter in LETTERS]
    filled = [cell for cell in cells if cell is not None]
    if filled != cells[: len(filled)]:
        raise RowError("wrong_type", "an option follows an empty one")
    if not all(isinstance(cell, str | int | float) for cell in filled):
        raise RowError("wrong_type", "an option is no text")
    options = tuple(map(str, filled))
    if options and not _is_among(answer, options):
        raise RowError("wrong_answer", f"{str(answer)[:40]!a} names none of the {len(options)} options")
    return options


def unlabelled(options: Sequence[str]) -> tuple[str, ...]:
    """Options without the letters before them (``(A) Road``), when every option has its letter."""
    found = [
        re.match(rf"\s*[(\[]?{chr(ord('A') + place)}[)\].:]\s*(\S.*)", text, re.S) for place, text in enumerate(options)
    ]
    return tuple(one[1].strip() for one in found if one) if all(found) else tuple(text.strip() for text in options)


def letters_of(answer: str) -> str:
    """``A, C`` for ``C A``, ``AC`` or ``(A)(C)``; any other answer as it is."""
    bare = re.sub(r"[\s,;()./]|\band\b", "", answer)
    return ", ".join(sorted(set(bare))) if re.fullmatch(r"[A-Z]+", bare) else answer


def _is_among(answer: str | None, options: Sequence[str]) -> bool:
    """Whether an answer is the letter of an option, or no letter at all."""
    return answer is None or len(answer) != 1 or answer.upper() in LETTERS[: len(options)]


def _read(question: str, style: str) -> tuple[str, ...]:
    starts = list(re.finditer(style.format("A"), question))
    if not starts:
        return ()
    marks = [starts[-1]]
    while len(marks) < 26:
        label = re.compile(style.format(chr(ord("A") + len(marks))))
        found = label.search(question, marks[-1].end())
        if found is None:
            break
        marks.append(found)
    ends = [mark.start() for mark in marks[1:]]
    last = question.find("\n", marks[-1].end())
    ends.append(len(question) if last < 0 else last)
    return tuple(
        question[mark.end() : end].strip().rstrip(",;").rstrip() for mark, end in zip(marks, ends, strict=True)
    )

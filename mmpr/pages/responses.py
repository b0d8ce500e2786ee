"""A response as a page shows it: shortened, its final answer and what differs from another response marked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmpr.pages.safe_text import Piece, Span, pieces

SHORTENED_HEAD, SHORTENED_TAIL = 4_000, 2_000
"""Characters of a very long text that are kept at its beginning and at its end."""


@dataclass(frozen=True, slots=True)
class ShownResponse:
    """A response and what is known of it; None or empty where nothing is known.

    ``sample`` is its position in the rollout. ``text[answer_start:answer_end]`` is the final answer, both are -1 when
    it does not stand there word for word. A ``continued`` response begins with ``prefix_chars`` characters of the
    response at ``sample``. ``left_out`` counts the characters cut from a very long text; all positions are those in
    the shortened ``text``. ``status``, ``comparator`` and ``reason`` are the verdict's, empty for open-ended questions.
    """

    text: str
    sample: int | None
    tokens: int | None
    finish_reason: str
    status: str = ""
    answer: str | None = None
    answer_start: int = -1
    answer_end: int = -1
    comparator: str = ""
    reason: str = ""
    continued: bool = False
    prefix_chars: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class MarkedResponse:
    """A response and its text cut into marked pieces, as templates take it."""

    response: ShownResponse
    pieces: list[Piece]


def mark_response(
    response: ShownResponse, *, prefix_chars: int | None = None, differs: tuple[Span, ...] = ()
) -> MarkedResponse:
    """Mark the shared prefix (by default the response's own), the final answer, and the spans that differ."""
    if prefix_chars is None:
        prefix_chars = response.prefix_chars if response.continued else 0
    answer = (response.answer_start, response.answer_end)
    return MarkedResponse(response, pieces(response.text, prefix_chars=prefix_chars, answer=answer, differs=differs))


def judged_response(
    response: Mapping[str, Any], sample: int, verdict: Mapping[str, Any] | None, cut: int = 0
) -> ShownResponse:
    """A row of rollouts/ and its verdict (None when there is none); ``cut`` characters were cut from it before."""
    text, left_out = shorten(response["text"])
    said = verdict or {"status": "", "answer": None, "comparator": "", "reason": ""}
    start, end = find_answer(text, said["answer"])
    return ShownResponse(
        text=text,
        sample=sample,
        tokens=response["tokens"],
        finish_reason=response["finish_reason"],
        status=said["status"],
        answer=said["answer"],
        answer_start=start,
        answer_end=end,
        comparator=said["comparator"],
        reason=said["reason"],
        left_out=left_out + cut,
    )


def shorten(text: str) -> tuple[str, int]:
    """The text without the middle of a very long one, and the number of characters left out."""
    left_out = len(text) - SHORTENED_HEAD - SHORTENED_TAIL
    if left_out <= 0:
        return text, 0
    note = f"\n[… {left_out:,} characters left out …]\n"
    return f"{text[:SHORTENED_HEAD]}{note}{text[-SHORTENED_TAIL:]}", left_out


def find_answer(text: str, answer: str | None) -> tuple[int, int]:
    """Start and end of the answer's last occurrence, whole words first; (-1, -1) when it is not in the text."""
    last = (-1, -1)
    if answer:
        for found in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", text):
            last = found.span()
        if last == (-1, -1) and answer in text:
            last = (text.rindex(answer), text.rindex(answer) + len(answer))
    return last

"""Boxes: ``\\boxed{…}`` in a text, whatever stands in them."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from mmpr.answers.values.units import leading_unit

OPENED = re.compile(r"\\(?:boxed|fbox)\s*+(?:\{|(?=[\w\\-]))")
_BOX_OR_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*+(?:\{|(?=[\w\\-])))|\\(?!\\(?:boxed|fbox)).|[{}]", re.DOTALL)
_MISSPELLED = re.compile(r"(?:(?<![\\A-Za-z])b|\x08)oxed(?=[ \t]*+\{)")  # \x08 is \b, read as an escape
_NO_UNIT = re.compile(r"\s*+in\s++[a-z]")  # the word, not inches
_BARE_BOX = re.compile(r"\\[A-Za-z]+|[\w.,-]*\w")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s,;,，、.$]|\\[,;! ()\[\]]|\\q?quad|\\(?:text|mbox|textrm|mathrm)\s*+\{\s*+(?:and|or|,)?+\s*+\}|\band\b"
    r"|\bor\b|和|或)*+"
)
_MARKUP = re.compile(r"\\(?:text|mbox|textrm|mathrm)\b|\\[()\[\]]|[{}$]")
_AND_BEFORE_BOX = re.compile(r"[A-Za-z0-9_ ()'-]{0,40}\band\s*+(?:[A-Za-z](?:_?[A-Za-z0-9]{1,3})? ?= ?)?")
"""What stands between two boxes of one sentence that are one answer: "\\boxed{1} papers and \\boxed{2} bins"."""
_LONGEST_BETWEEN = 80  # characters
_CUT_TAIL = 200  # characters at the end of a text in which such a box begins
_LONGEST_CUT = 60  # characters that stand in a box at the end of a text, so that it was cut and not misspelled
_CUT_LETTER = re.compile(
    r"[\s*_$(]*+(?:\\(?:text|mathrm|textbf|mathbf)\s*+\{\s*+)?[(]?(?P<letter>[A-Z])[)]?[.]?[\s$}*]*+"
    r"|\s*+(?P<text>\\(?:text|mathrm|textbf|mathbf)\s*+\{[^{}]*+\})[\s$*]*+"
)


def spelled(text: str) -> str:
    """A text whose boxes all have their backslash: models write ``boxed{12}``, too."""
    return _MISSPELLED.sub(r"\\boxed", text) if "oxed" in text else text


@functools.lru_cache(maxsize=2)  # each form asks for those of the same text
def boxes(text: str) -> tuple[tuple[int, int, str], ...]:
    """Every closed outermost ``\\boxed{…}`` of a text as (start, end, content), in one pass over its braces."""
    outermost: list[tuple[int, int, int, int]] = []
    for box in _all_boxes(text):
        while outermost and outermost[-1][0] > box[0]:
            outermost.pop()  # it lies within this one
        outermost.append(box)
    return tuple((start, end, text[inside:closed]) for start, end, inside, closed in outermost)


def boxed_answer(text: str) -> str | None:
    """The content of the last box, with a unit that stands behind it; boxes joined by "and" or commas together."""
    found = [box for box in boxes(text) if box[2].strip()]
    if not found:
        return None
    parts = [found[-1]]
    for box in reversed(found[:-1]):
        if not _are_one_answer(text, box[1], parts[-1][0]):
            break
        parts.append(box)
    parts.reverse()
    contents = [_unwrap(box[2]) for box in parts]
    if len(parts) > 1:
        joined = {re.search(r"\bor\b|或", text[a[1] : b[0]]) is not None for a, b in itertools.pairwise(parts)}
        return (" or " if True in joined else ", ").join(contents)
    behind = re.sub(r"^(?:\s|\$|\\[)\]])++", " ", text[parts[0][1] : parts[0][1] + 60])
    unit = None if _NO_UNIT.match(behind) else leading_unit(behind)
    return f"{contents[0]} {unit}" if unit else contents[0]


def _are_one_answer(text: str, end: int, start: int) -> bool:
    """Whether what stands between the end of a box and the start of the next joins them."""
    if _BETWEEN_BOXES.fullmatch(text, end, start):
        return True
    if start - end > _LONGEST_BETWEEN:
        return False
    between = " ".join(_MARKUP.sub(" ", text[end:start]).split())
    return _AND_BEFORE_BOX.fullmatch(between) is not None


class CutBox(NamedTuple):
    """A box that the end of a text cuts short: where it starts, its content, and whether that is whole."""

    start: int
    content: str
    whole: bool


def cut_box(text: str) -> CutBox | None:
    """The box that the end of a text cuts short; None without one.

    A letter is whole, and so is a text command that is closed; a number might go on.
    """
    begin = max(0, len(text) - _CUT_TAIL)
    opened = None
    for opened in OPENED.finditer(text, begin):  # noqa: B007 - the last one
        pass
    if opened is None or not opened.group().endswith("{"):
        return None
    rest = text[opened.end() :]
    depth = 1
    for char in rest:
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return None
    whole = _CUT_LETTER.fullmatch(rest)
    if whole:
        return CutBox(opened.start(), whole["letter"] or whole["text"], True)
    rest = rest.strip()
    return CutBox(opened.start(), rest, False) if rest and len(rest) <= _LONGEST_CUT and "\n" not in rest else None


def _all_boxes(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Every closed box, inner ones first: where it starts and ends, and where its content does."""
    opened: list[tuple[int, int] | None] = []  # for each open brace (start of its box, start of its content)
    for mark in _BOX_OR_BRACE.finditer(text):
        token = mark.group()
        if token[0] == "\\" and mark.lastgroup is None:
            continue
        if token == "}":
            box = opened.pop() if opened else None
            if box is not None:
                yield box[0], mark.end(), box[1], mark.start()
        elif token.endswith("{"):
            opened.append((mark.start(), mark.end()) if mark["box"] else None)
        else:
            word = _BARE_BOX.match(text, mark.end())
            if word:
                yield mark.start(), word.end(), word.start(), word.end()


def _unwrap(content: str) -> str:
    """The innermost content of nested boxes."""
    found = {start: box for start, *box in _all_boxes(content)}
    inside, closed = 0, len(content)
    while True:
        start, end = inside, closed
        while start < end and content[start].isspace():
            start += 1
        while end > start and content[end - 1].isspace():
            end -= 1
        if start not in found or found[start][0] != end:
            return content[inside:closed]
        _, inside, closed = found[start]

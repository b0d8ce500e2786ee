"""Cells of CSV and TSV, found by searching for delimiters, quotes and line breaks: a cell is copied when it is needed.

(Python's csv module holds each row in memory twice, and reads cells of a picture's size only after a limit of the whole
process is raised.)
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import NamedTuple

from mmpr.errors import RowError

MAX_TEXT_BYTES = 1 << 20

Data = mmap.mmap | bytes | bytearray


class Span(NamedTuple):
    """The position of a cell in the data, without its quotes."""

    start: int
    end: int
    quoted: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


class BrokenRowError(Exception):
    """A malformed row; ``next`` is where the next row begins."""

    def __init__(self, detail: str, next: int) -> None:
        super().__init__(detail)
        self.next = next


def split_row(
    data: Data, place: int, most: int, delimiter: bytes = b"\t", more: Callable[[], bool] = lambda: False
) -> tuple[list[Span], int]:
    """The cells of the row that begins at ``place``, and where the next row begins.

    A cell that begins with a quote goes to the quote that closes it, over delimiters and line breaks; ``""`` stands for
    one. ``more`` puts further lines at the end of the data where a quote is open, as long as there are some.

    Raises:
        BrokenRowError: it has more than ``most`` cells, or its quotes are wrong; the next row is the next line.
    """
    line_end = first_end = _line_end(data, place)
    fields: list[Span] = []
    while True:
        if len(fields) == most:
            raise BrokenRowError(f"more than {most} cells", first_end + 1)
        if data[place : place + 1] == b'"':
            close = _closing_quote(data, place + 1, more)
            if close < 0:
                raise BrokenRowError("a quote is never closed", first_end + 1)
            fields.append(Span(place + 1, close, True))
            end = close + 1
            if end > line_end:
                line_end = _line_end(data, end)
            if data[end : end + 1] == b"\r" and end + 1 == line_end:
                end += 1
            if end < line_end and data[end : end + 1] != delimiter:
                raise BrokenRowError("text behind a closing quote", first_end + 1)
        else:
            end = data.find(delimiter, place, line_end)
            end = line_end if end < 0 else end
            stop = end - 1 if end == line_end and end > place and data[end - 1 : end] == b"\r" else end
            fields.append(Span(place, stop, False))
        if end >= line_end:
            return fields, line_end + 1
        place = end + 1


def cell_text(data: Data, field: Span, most: int = MAX_TEXT_BYTES) -> str:
    """The text of a cell.

    Raises:
        RowError: cell_too_long, not_utf8.
    """
    if field.size > most:
        raise RowError("cell_too_long", f"{field.size} bytes of text, the limit is {most}")
    try:
        text = bytes(data[field.start : field.end]).decode()
    except UnicodeDecodeError as error:
        raise RowError("not_utf8", f"byte {field.start + error.start}: {error.reason}") from None
    return text.replace('""', '"') if field.quoted else text


def _closing_quote(data: Data, place: int, more: Callable[[], bool]) -> int:
    while True:
        at = data.find(b'"', place)
        if at < 0:
            place = len(data)
            if not more():
                return -1
        elif data[at + 1 : at + 2] == b'"':
            place = at + 2
        else:
            return at


def _line_end(data: Data, place: int) -> int:
    end = data.find(b"\n", place)
    return len(data) if end < 0 else end

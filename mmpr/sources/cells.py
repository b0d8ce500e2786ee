"""From the values of a row - whatever JSON or Arrow make of it - to a SourceRow.

Every type that is not expected is a RowError that says what was found; nothing is guessed. Numbers become text as they
are written; a truth value is not a number.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from mmpr.config import Columns
from mmpr.errors import RowError, SourceError
from mmpr.schema import Reject, SourceRow

Picture = str | bytes
"""What a cell says of one picture: a path, text that is the picture (base64, ``data:``), or its bytes."""

# How PNG, JPEG, GIF, WEBP, BMP and TIFF files begin in base64. No path begins so and goes on that long without a dot.
_BASE64_HEAD = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk|SUkqA|TU0AK)[A-Za-z0-9+/\s]{40}")
_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.I)

_MISSING = object()


class Number(str):
    """A number of a JSON file, digit for digit as it is written there."""

    __slots__ = ()


def column(record: Mapping[str, Any], name: str | None) -> Any:
    """The value of a column, None when there is none; ``a.b`` is column ``a.b`` or else field ``b`` of column ``a``."""
    if name is None:
        return None
    value = _reach(record, name)
    return None if value is _MISSING else value


def has_column(record: Mapping[str, Any], name: str) -> bool:
    """Whether a record has that column, be it null."""
    return _reach(record, name) is not _MISSING


def _reach(record: Mapping[str, Any], name: str) -> Any:
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def make_row(
    record: Mapping[str, Any],
    columns: Columns,
    where: str,
    *,
    question: str | None,
    refer: Callable[[int, Picture], str],
) -> SourceRow:
    """A row of text and references.

    Args:
        record: column names to values.
        columns: which column is what.
        where: file and row, for messages.
        question: asked when the row has no question of its own.
        refer: the reference of picture k, given what its cell says.

    Raises:
        RowError: missing_field, wrong_type, empty_question.
    """
    asked = column(record, columns.question)
    if asked is None:
        asked = question
    if asked is None:
        raise RowError("missing_field", f"no {columns.question!r}; {_names(record)}")
    if type(asked) is not str:
        raise RowError("wrong_type", f"{columns.question!r} is {_kind(asked)}, text is expected")
    if not asked.strip():
        raise RowError("empty_question", f"{columns.question!r} is empty")
    pictures = picture_items(column(record, columns.images), columns.images)
    return SourceRow(
        where=where,
        question=asked,
        answer=_text(column(record, columns.answer), columns.answer) or None,
        choices=_choices(column(record, columns.choices), columns.choices),
        images=tuple(refer(k, picture) for k, picture in enumerate(pictures)),
        key=_text(column(record, columns.id), columns.id),
        kind=_text(column(record, columns.kind), columns.kind),
    )


def make_rows(
    records: Iterable[tuple[str, int, Mapping[str, Any] | RowError]],
    build: Callable[[Mapping[str, Any], str, int], SourceRow],
    source: str,
) -> Iterator[SourceRow | Reject]:
    """Rows of (where, place, record) triples; what cannot be read, and what ``build`` refuses, become rejects."""
    for where, place, record in records:
        try:
            if isinstance(record, RowError):
                raise record
            yield build(record, where, place)
        except RowError as error:
            yield Reject("ingest", source, where, error.reason, error.detail)


def picture_items(cell: Any, name: str | None) -> list[Picture]:
    """What a cell says of its pictures: nothing, one, or a list, each a text, bytes or ``{"bytes", "path"}``.

    Raises:
        RowError: wrong_type.
    """
    if cell is None or cell == "" or cell == b"":
        return []
    return [_picture_item(item, name) for item in (cell if isinstance(cell, list | tuple) else [cell])]


def _picture_item(item: Any, name: str | None) -> Picture:
    if isinstance(item, Mapping) and ("bytes" in item or "path" in item):
        data = item.get("bytes")
        # In JSON bytes can only be base64, told by the field's name and not by their look.
        if type(data) is str and data.strip() and not is_inline(data):
            return f"data:;base64,{data}"
        item = data if data else item.get("path")
    if type(item) is str and item.strip():
        return item
    if isinstance(item, bytes) and item:
        return item
    raise RowError("wrong_type", f"a picture in {name!r} is {_kind(item)}; a path, bytes or base64 is expected")


def is_inline(picture: Picture) -> bool:
    """Whether a cell holds the picture itself rather than a path to it."""
    return isinstance(picture, bytes) or bool(_DATA_URI.match(picture) or _BASE64_HEAD.match(picture))


def decode_inline(picture: Picture, max_bytes: int) -> bytes:
    """The file that a cell holds.

    Raises:
        RowError: image_too_large, image_broken (no valid base64).
    """
    if isinstance(picture, str):
        head = _DATA_URI.match(picture)
        text = picture[head.end() :] if head else picture
        if len(text) > max_bytes * 3 // 2:
            raise RowError("image_too_large", f"more than {max_bytes} bytes (images.max_bytes)")
        try:
            picture = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise RowError("image_broken", f"not base64: {error}") from None
    if len(picture) > max_bytes:
        raise RowError("image_too_large", f"{len(picture)} bytes, the limit is {max_bytes} (images.max_bytes)")
    return picture


def check_columns(columns: Columns, has: Callable[[str], bool], known: Iterable[str], where: str, asks: bool) -> None:
    """Refuse a column map that names columns which are not there.

    Columns left at their defaults may be absent, except the question's when no question is given (``asks``).

    Raises:
        SourceError: with what is there instead.
    """
    plain = Columns()
    for field in Columns.model_fields:
        name = getattr(columns, field)
        needed = name != getattr(plain, field) or (field == "question" and not asks)
        if name is not None and needed and not has(name):
            there = ", ".join(sorted(known)) or "nothing"
            raise SourceError(
                f"{where}: there is no column {name!r} (columns.{field}); it has: {there}; name the right one"
            )
    if columns.question is None and not asks:
        raise SourceError(f"{where}: without columns.question a question is needed: set the source's question")


def _text(value: Any, name: str | None) -> str:
    """Text or a number as text; ``""`` for nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value) if value.strip() else ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    raise RowError("wrong_type", f"{name!r} is {_kind(value)}, text or a number is expected")


def _choices(value: Any, name: str | None) -> tuple[str, ...]:
    """A list of texts, or a mapping of the letters A, B, ... to texts (the last ones may be null)."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        filled = {letter: text for letter, text in value.items() if text is not None}
        letters = [chr(ord("A") + place) for place in range(len(filled))]
        if sorted(filled) != letters:
            raise RowError("wrong_type", f"{name!r} has keys {_short(sorted(filled))}, A, B, C, ... are expected")
        value = [filled[letter] for letter in letters]
    if not isinstance(value, list | tuple):
        raise RowError("wrong_type", f"{name!r} is {_kind(value)}, a list or a mapping of letters is expected")
    texts = tuple(_text(item, name) for item in value)
    if not all(texts):
        raise RowError("wrong_type", f"{name!r} has an empty choice")
    return texts


def _kind(value: object) -> str:
    kinds = {str: "text", Number: "a number", bool: "true or false", type(None): "null", bytes: "bytes"}
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if type(value) is str and not value.strip():
        return "empty text"
    return kinds.get(type(value), f"{type(value).__name__} {_short(value)}")


def _names(record: Mapping[str, Any]) -> str:
    return f"the row has {_short(list(record))}"


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 120 else text[:120] + "..."

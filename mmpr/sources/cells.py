"""From the values of a row - whatever JSON or Arrow make of it - to a SourceRow.

Every type that is not expected is a RowError that says what was found; nothing is guessed (``mmpr.sources.values``).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from mmpr.config import Columns, HubSource, TableSource
from mmpr.errors import RowError, SourceError
from mmpr.schema import IMAGE_MARK, Reject, SourceRow
from mmpr.sources.values import (
    Number,
    answers_of,
    choices_in_columns,
    choices_of,
    kind_of,
    letter_of,
    list_of_text,
    present,
    short,
    text_of,
)

Picture = str | bytes
"""What a cell says of one picture: a path, an address, text that is the picture (base64, ``data:``), or its bytes."""

_DATA_URI = re.compile(r"data:[^,]{0,200},", re.I)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]++={0,2}\s*+")
_BASE64_HEAD = 64
"""Characters of base64 that tell what kind of file they are."""
_FILE_HEAD = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]", re.DOTALL
)

NUMBERED_MARK = re.compile(r"<image[ _]?(\d{1,2})>")
"""``<image 2>``: where the second picture stands, as MMMU and others write it."""

_MISSING = object()


def column(record: Mapping[str, Any], name: str | None) -> Any:
    """The value of a column, None when there is none; ``a.b`` is column ``a.b`` or else field ``b`` of column ``a``."""
    if name is None:
        return None
    value = _reach(record, name)
    return None if value is _MISSING else value


def has_column(record: Mapping[str, Any], name: str) -> bool:
    """Whether a record has that column, be it null."""
    return _reach(record, name) is not _MISSING


def names_in(record: Mapping[str, Any]) -> Iterator[str]:
    """The names of a record's columns, and of the fields in them (``column.field``)."""
    for name, value in record.items():
        yield str(name)
        if isinstance(value, list | tuple) and value:
            value = value[0]
        if isinstance(value, Mapping):
            yield from (f"{name}.{field}" for field in value)


def _reach(record: Mapping[str, Any], name: str) -> Any:
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            # ``answers.answer`` of a list of annotators
            value = [item.get(part) if isinstance(item, Mapping) else item for item in value]
            continue
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
    answer_index: int | None = None,
) -> SourceRow:
    """A row of text and references.

    Args:
        record: column names to values.
        columns: which column is what.
        where: file and row, for messages.
        question: asked when the row has no question of its own.
        refer: the reference of picture k (of ``pictures_of``), given what its cell says.
        answer_index: the number of the first option, where answers are numbers of options.

    Raises:
        RowError: missing_field, wrong_type, empty_question, too_many_answers, answer_index, image_marks.
    """
    asked = column(record, columns.question)
    if asked is None:
        asked = question
    if asked is None:
        raise RowError("missing_field", f"no {columns.question!r}; {_names(record)}")
    if type(asked) is not str:
        raise RowError("wrong_type", f"{columns.question!r} is {kind_of(asked)}, text is expected")
    if not asked.strip():
        raise RowError("empty_question", f"{columns.question!r} is empty")
    pictures = pictures_of(record, columns.images)
    asked, order = _by_numbers(asked, [number for number, _ in pictures])
    choices = _choices(record, columns.choices)
    answers = answers_of(column(record, columns.answer), columns.answer)
    if answer_index is not None:
        answers = [letter_of(answer, answer_index, len(choices)) for answer in answers]
    refs = [refer(k, picture) for k, (_, picture) in enumerate(pictures)]
    return SourceRow(
        where=where,
        question=asked,
        answer=Counter(answers).most_common(1)[0][0] if answers else None,
        choices=choices,
        images=tuple(refs[k] for k in order),
        key=text_of(present(column(record, columns.id)), columns.id),
        kind=text_of(present(column(record, columns.kind)), columns.kind),
        answers=tuple(answers) if len(answers) > 1 else (),
    )


def table_row(
    record: Mapping[str, Any], spec: TableSource | HubSource, where: str, refer: Callable[[int, Picture], str]
) -> SourceRow:
    """``make_row`` as the settings of a source want it."""
    return make_row(record, spec.columns, where, question=spec.question, refer=refer, answer_index=spec.answer_index)


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


def pictures_of(record: Mapping[str, Any], names: str | Sequence[str] | None) -> list[tuple[int, Picture]]:
    """A row's pictures with their numbers, from 1: the places in a list, or of the columns; empty ones are left out.

    Raises:
        RowError: wrong_type.
    """
    if names is None or isinstance(names, str):
        return _numbered(column(record, names), names)
    found = []
    for number, name in enumerate(names, start=1):
        here = picture_items(column(record, name), name)
        if len(here) > 1:
            raise RowError("wrong_type", f"{name!r} has {len(here)} pictures; columns.images names several columns")
        found += [(number, picture) for picture in here]
    return found


def picture_items(cell: Any, name: str | None) -> list[Picture]:
    """What a cell says of its pictures: nothing, one, or a list, each a text, bytes, ``{"bytes", "path"}`` or a part.

    A list may be written as text; empty places in it (null, NaN) are left out.

    Raises:
        RowError: wrong_type.
    """
    return [picture for _, picture in _numbered(cell, name)]


def _numbered(cell: Any, name: str | None) -> list[tuple[int, Picture]]:
    cell = present(cell)
    if cell is None or cell == "" or cell == b"":
        return []
    if isinstance(cell, str) and cell.startswith("[") and (listed := list_of_text(cell, len(cell))) is not None:
        cell = listed
    items = cell if isinstance(cell, list | tuple) else [cell]
    there = ((number, present(item)) for number, item in enumerate(items, start=1))
    return [(number, _picture_item(item, name)) for number, item in there if item is not None]


def _picture_item(item: Any, name: str | None) -> Picture:
    if isinstance(item, Mapping) and item.get("type") in ("image", "image_url"):  # a part of a chat message
        part = next((item[key] for key in ("image", "image_url", "url", "path") if item.get(key)), item)
        item = part.get("url", part) if isinstance(part, Mapping) else part
    if isinstance(item, Mapping) and ("bytes" in item or "path" in item):
        data = item.get("bytes")
        # In JSON bytes can only be base64, told by the field's name and not by their look.
        if type(data) is str and data.strip() and not is_inline(data):
            return f"data:;base64,{data}"
        item = data if data else item.get("path")
    if isinstance(item, str) and not isinstance(item, Number) and item.strip():
        return item
    if isinstance(item, bytes) and item:
        return item
    raise RowError("wrong_type", f"a picture in {name!r} is {kind_of(item)}; a path, bytes or base64 is expected")


def is_inline(picture: Picture) -> bool:
    """Whether a cell holds the picture itself rather than a path to it.

    Text is a picture when all of it is base64 and it begins like a file of pictures, so no path is taken for one.
    """
    if isinstance(picture, bytes) or _DATA_URI.match(picture):
        return True
    head = "".join(picture[: 2 * _BASE64_HEAD].split())[:_BASE64_HEAD]
    if len(head) < _BASE64_HEAD // 2 or not _BASE64.fullmatch(head):
        return False
    return bool(_FILE_HEAD.match(_from_base64(head[: len(head) // 4 * 4]))) and bool(_BASE64.fullmatch(picture))


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
            plain = head is not None and not head[0].lower().endswith(";base64,")
            picture = unquote_to_bytes(text) if plain else _from_base64(text)
        except (binascii.Error, ValueError) as error:
            raise RowError("image_broken", f"not base64: {error}") from None
    if len(picture) > max_bytes:
        raise RowError("image_too_large", f"{len(picture)} bytes, the limit is {max_bytes} (images.max_bytes)")
    return picture


def _from_base64(text: str) -> bytes:
    """The bytes of base64 in either alphabet, with or without padding and white space.

    Raises:
        ValueError: it is none.
    """
    text = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _by_numbers(question: str, numbers: Sequence[int]) -> tuple[str, list[int]]:
    """A question whose numbered marks are plain ones, and the pictures (positions in ``numbers``) in its order.

    Pictures that no mark names come first.

    Raises:
        RowError: image_marks.
    """
    marks = [int(mark) for mark in NUMBERED_MARK.findall(question)]
    if not marks:
        return question, list(range(len(numbers)))
    if IMAGE_MARK in question:
        raise RowError("image_marks", f"both {IMAGE_MARK} and numbered marks are in the question")
    if absent := sorted(set(marks) - set(numbers)):
        there = f"pictures {', '.join(map(str, numbers))}" if numbers else "no picture"
        raise RowError(
            "image_marks", f"the question names picture {absent[0]}, the row has {there}; is columns.images right?"
        )
    first = [place for place, number in enumerate(numbers) if number not in marks]
    text = IMAGE_MARK * len(first) + ("\n" if first else "") + NUMBERED_MARK.sub(IMAGE_MARK, question)
    return text, [*first, *(numbers.index(mark) for mark in marks)]


def check_columns(columns: Columns, has: Callable[[str], bool], known: Iterable[str], where: str, asks: bool) -> None:
    """Refuse a column map that names columns which are not there.

    Columns left at their defaults may be absent, except the question's when no question is given (``asks``).

    Raises:
        SourceError: with what is there instead.
    """
    plain = Columns()
    for field in Columns.model_fields:
        needed = getattr(columns, field) != getattr(plain, field) or (field == "question" and not asks)
        for name in columns.names(field):
            if needed and not has(name):
                there = ", ".join(sorted(known)) or "nothing"
                raise SourceError(
                    f"{where}: there is no column {name!r} (columns.{field}); it has: {there}; name the right one"
                )
    if columns.question is None and not asks:
        raise SourceError(f"{where}: without columns.question a question is needed: set the source's question")


def _choices(record: Mapping[str, Any], names: str | Sequence[str] | None) -> tuple[str, ...]:
    if names is None or isinstance(names, str):
        return choices_of(column(record, names), names)
    return choices_in_columns([column(record, name) for name in names], names)


def _names(record: Mapping[str, Any]) -> str:
    return f"the row has {short(list(record))}"

"""The values of a row's cells, whatever JSON or Arrow make of them, as texts: answers, options, numbers, dates.

Numbers become text as they are written, truth values ``true`` and ``false``, dates ISO 8601. NaN in a column that may
be empty is pandas' word for an empty cell.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from mmpr.errors import RowError

MAX_ANSWERS = 64
"""Acceptable answers of one question."""

_LIST_TEXT = 64 << 10
"""Characters of a list that is written as text."""
_QUOTED = r"'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\""
_LIST_ITEM = re.compile(rf"\s*+({_QUOTED}|[-+]?[\d.][\w.+-]*+)\s*+(,|(?=\]))", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}


class Number(str):
    """A number of a JSON file, digit for digit as it is written there."""

    __slots__ = ()


def present(value: Any) -> Any:
    """The value; None for NaN, by which pandas marks an empty cell."""
    return None if isinstance(value, float) and math.isnan(value) else value


def text_of(value: Any, name: str | None) -> str:
    """Text, or a number, truth value or date as text; ``""`` for nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value) if value.strip() else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, int | float) and math.isfinite(value):
        return str(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time() and value.tzinfo is None:
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise RowError("wrong_type", f"{name!r} is {kind_of(value)}, text or a number is expected")


def answers_of(value: Any, name: str | None) -> list[str]:
    """The acceptable answers that a cell holds: a list of texts (which may be written as text), or one; without blanks.

    Raises:
        RowError: wrong_type, too_many_answers.
    """
    if isinstance(value, str) and value.startswith(("['", '["')):
        value = list_of_text(value) or value
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) > MAX_ANSWERS:
        raise RowError("too_many_answers", f"{name!r} has {len(items)} answers, the limit is {MAX_ANSWERS}")
    if any(isinstance(item, Mapping) for item in items) and items is value:
        fields = next(list(item) for item in items if isinstance(item, Mapping))
        remedy = f"name a field of them: {name}.{'/'.join(map(str, fields[:5]))}"[:200]
        raise RowError("wrong_type", f"{name!r} is a list of mappings; {remedy}")
    return [text for item in items if (text := text_of(item, name))]


def letter_of(answer: str, first: int, many: int) -> str:
    """The letter of the option that an answer numbers; ``first`` is the number of the first option.

    Raises:
        RowError: answer_index.
    """
    try:
        place = int(answer.removesuffix(".0")) - first if len(answer) < 10 else -1
    except ValueError:
        place = -1
    if not 0 <= place < many:
        raise RowError("answer_index", f"{short(answer)} is the number of none of the {many} options (from {first})")
    return chr(ord("A") + place)


def choices_of(value: Any, name: str | None) -> tuple[str, ...]:
    """The options: a list of texts, be it written as text, or a mapping of the letters A, B, ... to texts.

    The last letters may have none.

    Raises:
        RowError: wrong_type.
    """
    value = present(value)
    if value is None:
        return ()
    if isinstance(value, Mapping):
        filled = {letter: text for letter, text in value.items() if text is not None}
        letters = [chr(ord("A") + place) for place in range(len(filled))]
        if sorted(filled) != letters:
            raise RowError("wrong_type", f"{name!r} has keys {short(sorted(filled))}, A, B, C, ... are expected")
        value = [filled[letter] for letter in letters]
    if isinstance(value, str):
        value = [] if not value.strip() else list_of_text(value.strip())
    if not isinstance(value, list | tuple):
        kind = "text that is no list" if value is None else kind_of(value)
        raise RowError("wrong_type", f"{name!r} is {kind}, a list or a mapping of letters is expected")
    texts = tuple(text_of(item, name) for item in value)
    if not all(texts):
        raise RowError("wrong_type", f"{name!r} has an empty choice")
    return texts


def choices_in_columns(values: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
    """The options in a column each, of which the last ones may be empty (RowError as ``choices_of``)."""
    texts = [text_of(present(value), name) for value, name in zip(values, names, strict=True)]
    while texts and not texts[-1]:
        texts.pop()
    if not all(texts):
        raise RowError("wrong_type", f"{names[texts.index('')]!r} is empty, and an option after it is not")
    return tuple(texts)


def list_of_text(text: str, most: int = _LIST_TEXT) -> list[str] | None:
    """The items of a list of texts and numbers that is written as text, as Python or JSON write it; None for others.

    Nothing is evaluated, the time is linear, and a text of more than ``most`` characters is none.
    """
    if len(text) > most or not (text.startswith("[") and text.rstrip().endswith("]")):
        return None
    items: list[str] = []
    place = 1
    while found := _LIST_ITEM.match(text, place):
        items.append(_unquoted(found[1]))
        place = found.end()
    return items if text[place:].strip() == "]" else None


def _unquoted(item: str) -> str:
    if item[0] not in "'\"":
        return item
    return _ESCAPE.sub(_unescaped, item[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    name = found[1]
    return chr(int(name[1:], 16)) if len(name) > 1 else _ESCAPED.get(name, name)


def kind_of(value: object) -> str:
    """What kind of value this is, in words."""
    kinds = {str: "text", Number: "a number", bool: "true or false", type(None): "null", bytes: "bytes"}
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if type(value) is str and not value.strip():
        return "empty text"
    return kinds.get(type(value), f"{type(value).__name__} {short(value)}")


def short(value: object) -> str:
    """A value as it can be shown in a message."""
    text = ascii(value)
    return text if len(text) <= 120 else text[:120] + "..."

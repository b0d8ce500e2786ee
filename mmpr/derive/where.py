"""Conditions on columns, as ``--where`` takes them: parsed into a function, never evaluated as code.

    pass_rate >= 0.1 and pass_rate <= 0.9 and not (source in ("charts", "maps") or kind == "count")

    condition  = all ("or" all)*
    all        = one ("and" one)*
    one        = "not" one | "(" condition ")" | column "is" ["not"] "null" | column ["not"] "in" "(" value, … ")"
               | column operator (value | column) | column of type flag
    operator   = == = != < <= > >= contains

Values are numbers, texts in quotes, true and false. A comparison with a column that has no value (null) is false.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmpr.errors import RecipeError

Type = Literal["number", "text", "flag"]
Value = float | str | bool | None
Row = Mapping[str, Value]
Test = Callable[[Row], bool]

MAX_CHARS = 4_000
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""\s*+(?:(?P<number>[-+]?(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d{1,3}+)?+)(?![\w.])
    |(?P<text>"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')
    |(?P<word>[A-Za-z_]\w*+)
    |(?P<sign>==|!=|<=|>=|=|<|>|\(|\)|,))""",
    re.VERBOSE,
)
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = ("and", "or", "not", "in", "is", "null", "true", "false", "contains")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was understood: the columns that it looks at, and whether it holds for a row of them."""

    text: str
    columns: frozenset[str]
    holds: Test


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


def parse_condition(text: str, columns: Mapping[str, Type]) -> Condition:
    """Understand a condition on columns of these types.

    Raises:
        RecipeError: it cannot be understood, or names a column that there is not; with the place and what there is.
    """
    if len(text) > MAX_CHARS:
        raise _problem(f"has {len(text):,} characters, at most {MAX_CHARS:,} are read")
    parser = _Parser(_tokens(text), columns)
    test = parser.condition(0)
    if (rest := parser.peek()).kind != "end":
        raise _problem(f"nothing is expected at character {rest.place}, where {rest.text!r} stands")
    return Condition(text, frozenset(parser.used), test)


def _problem(what: str) -> RecipeError:
    return RecipeError("--where", [what])


def _tokens(text: str) -> list[_Token]:
    tokens = []
    place = 0
    end = len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            bare = place + len(text[place:]) - len(text[place:].lstrip())
            raise _problem(f"cannot be read at character {bare}: {text[bare : bare + 20]!r} (texts stand in quotes)")
        kind = found.lastgroup or ""
        word = found[kind]
        place = found.end()
        if kind == "word" and word.lower() in _WORDS:
            kind, word = "sign", word.lower()
        tokens.append(_Token(kind, word, found.start(found.lastgroup or 0)))
    return [*tokens, _Token("end", "the end", end)]


class _Parser:
    """Recursive descent over tokens; ``used`` are the columns that were named."""

    def __init__(self, tokens: Sequence[_Token], columns: Mapping[str, Type]) -> None:
        self._tokens, self._columns, self._at = tokens, columns, 0
        self.used: set[str] = set()

    def peek(self) -> _Token:
        return self._tokens[self._at]

    def condition(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self._takes("or"):
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _all(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._takes("and"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self, depth: int) -> Test:
        if depth > MAX_DEPTH:
            raise _problem(f"is nested more than {MAX_DEPTH} deep")
        if self._takes("not"):
            negated = self._one(depth + 1)
            return lambda row: not negated(row)
        if self._takes("("):
            test = self.condition(depth + 1)
            self._expect(")")
            return test
        return self._comparison()

    def _comparison(self) -> Test:
        name = self._column()
        if self._takes("is"):
            wanted = not self._takes("not")
            self._expect("null")
            return lambda row: (row[name] is None) is wanted
        negated = self._takes("not")
        if self._takes("in"):
            values = self._list(name)
            return lambda row: row[name] is not None and (row[name] in values) is not negated
        if negated:
            raise self._expected("in")
        if self._takes("contains"):
            if self._columns[name] != "text":
                raise _problem(f"{name} is a {self._columns[name]}; only a text contains something")
            piece = str(self._value(name))
            return lambda row: row[name] is not None and piece in str(row[name])
        sign = self.peek()
        if sign.text not in _ORDER or sign.kind != "sign":
            if self._columns[name] == "flag":
                return lambda row: bool(row[name])
            raise self._expected("a comparison (== != < <= > >= in contains is)")
        self._at += 1
        return self._ordered(name, _ORDER[sign.text])

    def _ordered(self, name: str, order: Callable[[Any, Any], bool]) -> Test:
        """A comparison with a value or another column; ``order`` is how they compare."""
        if self.peek().kind == "word":
            other = self._column()
            if self._columns[other] != self._columns[name]:
                raise _problem(f"{name} is a {self._columns[name]}, {other} is a {self._columns[other]}")
            return lambda row: row[name] is not None and row[other] is not None and order(row[name], row[other])
        value = self._value(name)
        return lambda row: row[name] is not None and order(row[name], value)

    def _list(self, name: str) -> frozenset[Value]:
        self._expect("(")
        values = [self._value(name)]
        while self._takes(","):
            values.append(self._value(name))
        self._expect(")")
        return frozenset(values)

    def _column(self) -> str:
        token = self.peek()
        if token.kind != "word":
            raise self._expected("a column")
        if token.text not in self._columns:
            near = difflib.get_close_matches(token.text, self._columns, n=3, cutoff=0.5)
            meant = f"; do you mean {' or '.join(near)}?" if near else ""
            there = f" (a text stands in quotes; the columns are {', '.join(self._columns)})"
            raise _problem(f"there is no column {token.text!r}{meant}{there}")
        self._at += 1
        self.used.add(token.text)
        return token.text

    def _value(self, name: str) -> Value:
        """A value of a column's type."""
        token = self.peek()
        kind = self._columns[name]
        value: Value
        if token.kind == "number":
            found, value = "number", float(token.text)
        elif token.kind == "text":
            found, value = "text", re.sub(r"\\(.)", r"\1", token.text[1:-1])
        elif token.text in ("true", "false"):
            found, value = "flag", token.text == "true"
        else:
            raise self._expected(f"a {kind}, as {name} is one")
        if found != kind:
            raise _problem(f"{name} is a {kind}, and {token.text} at character {token.place} is a {found}")
        self._at += 1
        return value

    def _takes(self, sign: str) -> bool:
        token = self.peek()
        if token.kind != "sign" or token.text != sign:
            return False
        self._at += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self._expected(repr(sign))

    def _expected(self, what: str) -> RecipeError:
        token = self.peek()
        found = "the end" if token.kind == "end" else repr(token.text)
        return _problem(f"{what} is expected at character {token.place}, where {found} stands")

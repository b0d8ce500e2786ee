"""Every regular expression in mmpr takes linear time, whatever text it meets.

The patterns are collected from the modules (compiled ones in their globals, and the texts in calls of ``re`` within
functions). Pumps are derived from the parsed pattern: for each repeat a prefix that reaches it, a piece that it takes
again and again, and a suffix that breaks the match. Each pattern is used as mmpr uses it (match, fullmatch, search).
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pytest

import mmpr

ROOT = Path(mmpr.__file__).parent
_ANCHORED = {"match": "match", "fullmatch": "fullmatch"}  # every other function of re searches
_CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
_MADE_OF_ARGUMENTS = {
    "style.format('A')": "'|'.join(style.format('A') for style in _STYLES)",
    "style.format(chr(ord('A') + len(marks)))": "'|'.join(style.format('B') for style in _STYLES)",
}
"""What functions make patterns of, by the expression that makes them: the same for all arguments that there are."""

_SAMPLES = "a1 A.,:-\n\t\\{}()[]*_$'\"/=+<>|!?;^&%#~@0中，。：一B\x00é"
_SUFFIXES = ("", "\x00", "a\x00", "\n\x00", "}")
_SHORT = (20, 26, 34, 44, 57, 75, 97, 126, 164, 213, 277, 700)
"""Characters for which cubic and exponential work takes over 10 ms, long before it hangs the test."""
_LONG = 4_000  # characters of a pump: quadratic work takes several times the floor
_FLOOR_S = 0.002  # processor seconds for _LONG characters that need no closer look
_MOST = 8.0  # how much more work four times the characters may make: linear is 4, quadratic 16
_MOST_DOUBLED = 2.8  # the same for twice the characters: linear is 2, quadratic 4
_TRIES = 7


class Used(NamedTuple):
    """A pattern and how it is used."""

    place: str
    text: str | bytes
    flags: int
    methods: frozenset[str]


class Pump(NamedTuple):
    """A text of any length: ``prefix``, ``piece`` as often as it takes, ``suffix``."""

    prefix: str
    piece: str
    suffix: str

    def text(self, length: int) -> str:
        return self.prefix + self.piece * (length // len(self.piece)) + self.suffix


# --- collecting -------------------------------------------------------------------------------------------------------


def _sources() -> dict[str, ast.Module]:
    return {
        ".".join(("mmpr", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in sorted(ROOT.rglob("*.py"))
    }


def _flat(value: Any) -> Iterator[re.Pattern[Any]]:
    """Every compiled pattern in a value: the value itself, or within tuples, lists, sets and dictionaries."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for item in itertools.chain(value, value.values()):
            yield from _flat(item)
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from _flat(item)


def _names_in(node: ast.AST) -> frozenset[str]:
    return frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))


class _Uses:
    """How a module uses patterns: (names, method of re), (names looped over, loop variables), names it imports."""

    def __init__(self, tree: ast.Module) -> None:
        self.methods: list[tuple[frozenset[str], str]] = []
        self.loops: list[tuple[frozenset[str], frozenset[str]]] = []
        self.imported: set[tuple[str | None, str]] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in _CALLS:
                self.methods.append((_names_in(node.value), _ANCHORED.get(node.attr, "search")))
            elif isinstance(node, ast.For | ast.comprehension):
                self.loops.append((_names_in(node.iter), _names_in(node.target)))
            elif isinstance(node, ast.ImportFrom):
                self.imported |= {(node.module, name.name) for name in node.names}

    def of(self, name: str) -> set[str]:
        """The methods of the pattern (or of the patterns in the container) of a name, loops resolved."""
        names = {name}.union(*(targets for looped, targets in self.loops if name in looped))
        return {method for used, method in self.methods if used & names}


def _text_of(node: ast.expr, space: dict[str, Any]) -> str | bytes | None:
    """The text that an expression in a module is; what a function puts into an f-string stands as ``A``."""
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            for at, value in enumerate(part.values):
                if isinstance(value, ast.FormattedValue):
                    try:
                        eval(compile(ast.Expression(value.value), "pattern", "eval"), space)  # noqa: S307 - mmpr's own source
                    except NameError:
                        part.values[at] = ast.Constant("A")
    try:
        found = eval(compile(ast.fix_missing_locations(ast.Expression(node)), "pattern", "eval"), space)  # noqa: S307 - mmpr's own source
    except NameError:
        every = _MADE_OF_ARGUMENTS.get(ast.unparse(node))
        return None if every is None else str(eval(every, space))  # noqa: S307 - written above
    return found if isinstance(found, str | bytes) else None


def _in_functions(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls of ``re`` with a pattern, within functions."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.Lambda | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "re"
                    and node.func.attr in _CALLS
                ):
                    yield node


def _flags(call: ast.Call, space: dict[str, Any]) -> int:
    for node in (*call.args, *(keyword.value for keyword in call.keywords)):
        if re.fullmatch(r"re\.[A-Z]+( \| re\.[A-Z]+)*", ast.unparse(node)):
            return int(eval(compile(ast.Expression(node), "flags", "eval"), space))  # noqa: S307 - mmpr's own source
    return 0


@cache
def collected(room: str = "mmpr") -> tuple[tuple[Used, ...], tuple[str, ...]]:
    """Every pattern in the modules of a room, and the calls of ``re`` whose text could not be found out."""
    trees = _sources()
    uses = {module: _Uses(tree) for module, tree in trees.items()}
    found: dict[tuple[str | bytes, int], Used] = {}
    unknown = []

    def add(place: str, pattern: re.Pattern[Any], methods: set[str]) -> None:
        key = (pattern.pattern, pattern.flags)
        before = found[key].methods if key in found else frozenset()
        found[key] = Used(found[key].place if key in found else place, *key, before | methods)

    for module, tree in trees.items():
        if not module.startswith(room) or not any(
            isinstance(node, ast.Import) and "re" in {name.name for name in node.names} for node in tree.body
        ):
            continue
        space = vars(importlib.import_module(module))
        own = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for name in sorted(own):
            patterns = list(_flat(space.get(name)))
            if patterns:
                users = [one for at, one in uses.items() if at == module or (module, name) in one.imported]
                methods = set().union(*(one.of(name) for one in users))
                for pattern in patterns:
                    add(f"{module}.{name}", pattern, methods)
        for call in _in_functions(tree):
            text = _text_of(call.args[0], space)
            if text is None:
                if not (isinstance(call.args[0], ast.Name) and call.args[0].id in own):
                    unknown.append(f"{module}:{call.lineno}: {ast.unparse(call)}")
                continue
            method = _ANCHORED.get(call.func.attr, "search")  # type: ignore[attr-defined]
            add(f"{module}:{call.lineno}", re.compile(text, _flags(call, space)), {method})
    everything = frozenset({"match", "fullmatch", "search"})
    return tuple(one if one.methods else one._replace(methods=everything) for one in found.values()), tuple(unknown)


# --- deriving pumps ---------------------------------------------------------------------------------------------------


@cache
def _in_category(category: Any, char: str) -> bool:
    return re.match(_CATEGORIES[category], char) is not None


_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_FEW = 64  # a repeat of no more than so many turns is no pump of its own


def _accepts(op: Any, value: Any, char: str) -> bool:
    """Whether a node that takes one character takes this one."""
    if op is sre.LITERAL:
        return ord(char) == value
    if op is sre.NOT_LITERAL:
        return ord(char) != value
    if op is sre.ANY:
        return char != "\n"
    if op is sre.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    if op is sre.CATEGORY:
        return _in_category(value, char)
    negated = bool(value) and value[0][0] is sre.NEGATE
    return any(_accepts(kind, one, char) for kind, one in value if kind is not sre.NEGATE) != negated


_ONE = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)


def _nodes(sequence: Any) -> Iterator[tuple[Any, Any]]:
    """Every node of a parsed pattern."""
    for op, value in sequence:
        yield op, value
        for inner in _inner(op, value):
            yield from _nodes(inner)


def _inner(op: Any, value: Any) -> list[Any]:
    """The sequences within a node."""
    if op in _REPEATS:
        return [value[2]]
    if op is sre.BRANCH:
        return list(value[1])
    if op is sre.SUBPATTERN:
        return [value[3]]
    if op is sre.ATOMIC_GROUP:
        return [value]
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        return [value[1]]
    if op is sre.GROUPREF_EXISTS:
        return [part for part in value[1:] if part is not None]
    return []


def _alphabet(tree: Any) -> list[str]:
    """Characters, one for each set of the pattern's single-character nodes that take it."""
    ones = [(op, value) for op, value in _nodes(tree) if op in _ONE]
    chars = dict.fromkeys(_SAMPLES)
    for op, value in ones:
        for kind, item in value if op is sre.IN else [(op, value)]:
            if kind in (sre.LITERAL, sre.NOT_LITERAL):
                chars[chr(item)] = None
            elif kind is sre.RANGE:
                chars[chr(item[0])] = None
    taken: dict[tuple[bool, ...], str] = {}
    for char in chars:
        taken.setdefault(tuple(_accepts(op, value, char) for op, value in ones if op is not sre.LITERAL), char)
    return list(taken.values())


def _samples(sequence: Any, alphabet: list[str], full: bool, most: int = 8) -> list[str]:
    """Texts that a sequence takes; optional parts are there once when ``full``."""
    texts = [""]
    for op, value in sequence:
        if op in _ONE:
            ends = [char for char in alphabet if _accepts(op, value, char)][:1]
            if op is sre.LITERAL:
                ends = [chr(value)]
            elif not ends:
                ends = [chr(next(item[0] if isinstance(item, tuple) else item for _, item in value))]
        elif op in _REPEATS:
            times = max(value[0], min(1, value[1]) if full else 0)
            ends = [text * times for text in _samples(value[2], alphabet, full, most)]
        elif op is sre.BRANCH:
            ends = [text for part in value[1] for text in _samples(part, alphabet, full, 2)]
        elif op is sre.ASSERT and value[0] < 0:
            ends = _samples(value[1], alphabet, full, 1)
        elif op in (sre.SUBPATTERN, sre.ATOMIC_GROUP):
            ends = _samples(_inner(op, value)[0], alphabet, full, most)
        else:
            continue
        ends = list(dict.fromkeys(ends)) or [""]
        texts = [text + end for end, text in itertools.islice(itertools.product(ends, texts), most)]
    return texts


def _reached(sequence: Any, before: tuple[str, ...], alphabet: list[str]) -> Iterator[tuple[str, Any]]:
    """Every repeat of a sequence as (a text that reaches it, its body)."""
    for op, value in sequence:
        if op in _REPEATS and value[1] > _FEW:
            for text in before:
                yield text, value[2]
        for inner in _inner(op, value):
            yield from _reached(inner, before, alphabet)
        if op is not sre.BRANCH or len(value[1]) <= 40:
            ends = [_samples([(op, value)], alphabet, full, 3) for full in (False, True)]
            before = tuple(dict.fromkeys(a + b for part in ends for b in part[:2] for a in before))[:3]


def pumps(text: str | bytes, flags: int) -> list[Pump]:
    """Pumps for a pattern, derived from what ``re`` parses it to."""
    tree = parser.parse(text, flags & ~re.UNICODE if isinstance(text, bytes) else flags)
    alphabet = _alphabet(tree)
    found: dict[Pump, None] = {}
    for prefix, body in _reached(tree, ("",), alphabet):
        if len(body) == 1 and body[0][0] in _ONE:
            pieces = [char for char in alphabet if _accepts(body[0][0], body[0][1], char)]
            pieces = pieces or _samples(body, alphabet, True, 1)
        else:
            pieces = [piece for full in (False, True) for piece in _samples(body, alphabet, full)]
        for piece in dict.fromkeys(filter(None, pieces)):
            for suffix in _SUFFIXES:
                found[Pump(prefix, piece, suffix)] = None
            if prefix:  # the beginning of the pattern again and again: each is a place to begin
                for suffix in _SUFFIXES[:2]:
                    found[Pump("", prefix + piece, suffix)] = None
                    found[Pump("", prefix, suffix)] = None
    return list(found)


# --- measuring --------------------------------------------------------------------------------------------------------


def _work(used: Used, method: str, text: str) -> Any:
    pattern = re.compile(used.text, used.flags)
    subject = text.encode("utf-8", "replace") if isinstance(used.text, bytes) else text
    run: dict[str, Any] = {
        "match": pattern.match,
        "fullmatch": pattern.fullmatch,
        "search": lambda one: list(pattern.finditer(one)),
    }
    return run[method](subject)


def _cost(used: Used, method: str, text: str, tries: int) -> float:
    best = float("inf")
    for _ in range(tries):
        start = time.process_time()
        _work(used, method, text)
        best = min(best, time.process_time() - start)
    return best


def steep(used: Used) -> str | None:
    """The first pump for which a pattern takes more than linear time; None when there is none."""
    for pump in pumps(used.text, used.flags):
        for method in sorted(used.methods):
            for length in _SHORT:
                if (
                    _cost(used, method, pump.text(length), 1) > 0.01
                    and _cost(used, method, pump.text(length), 2) > 0.01
                ):
                    return f"{used.place}.{method}: {pump} takes over 10 ms for {length} characters"
            if _cost(used, method, pump.text(_LONG), 1) < _FLOOR_S:
                continue
            short, double, long = (_cost(used, method, pump.text(_LONG // n), _TRIES) for n in (4, 2, 1))
            if long / short >= _MOST and long / double >= _MOST_DOUBLED and long > _FLOOR_S:
                return f"{used.place}.{method}: {pump} takes {short:.4f}, {double:.4f}, {long:.4f} s"
    return None


# --- tests ------------------------------------------------------------------------------------------------------------


def test_no_pattern_is_missed():
    patterns, unknown = collected()
    assert not unknown, "\n".join(unknown)
    assert len(patterns) > 150


@pytest.mark.parametrize(
    "text", [r"(a+)+b", r"\s*;", r"final +answer *_* *x", r"<a>(.*?)</a>", r"(?:a|b|ab)*c", r"x*x*x*y"]
)
def test_pumps_show_what_is_not_linear(text):
    assert steep(Used("example", text, 0, frozenset({"search"})))


@pytest.mark.parametrize("text", [r"(?<!\s)\s++;", r"a++b", r"<a>[^<]*+", r"(?:[^ab]|a)*+c", r"x{0,3}y"])
def test_pumps_let_linear_patterns_pass(text):
    assert steep(Used("example", text, 0, frozenset({"match"}))) is None


def test_every_pattern_takes_linear_time():
    slow = [found for used in collected()[0] if (found := steep(used))]
    assert not slow, "\n".join(slow)

"""One mutated input from real ones: bytes, JSON trees, and the checksums that would hide a mutation."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

MAX_BYTES = 1 << 20
"""Mutated inputs are cut here; what is larger on purpose is a fixed input."""

_EDGE = 300  # bytes: headers and footers deserve more than their share
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 30_000)
_HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    10**400,
    float("nan"),
    float("-inf"),
    "",
    " ",
    "\0",
    "\ud800",
    "\u202eevil\u202c",
    "\x1b[2J\x07",
    "<image>",
    "<image>" * 50,
    "=1+1",
    "<script>alert(1)</script>",
    "{question.__class__}{0}",
    "../" * 10 + "etc/passwd",
    "/dev/zero",
    "x" * 5_000,
    "9" * 5_000,
    [],
    [[]] * 20,
    ["a.jpg"] * 300,
    {},
    {"": {"": {"": []}}},
    {"bytes": "AAAA", "path": None},
)


def mutated(dice: random.Random, data: bytes, others: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """``data`` after one to eight changes: bits, bytes, numbers, ranges moved or gone, words, pieces of others."""
    out = bytearray(data[:MAX_BYTES])
    for _ in range(min(dice.randrange(1, 9), dice.randrange(1, 9))):
        dice.choice(_CHANGES)(dice, out, others, words)
    return bytes(out[:MAX_BYTES])


def mutated_tree(dice: random.Random, tree: Any) -> Any:
    """A JSON tree with one to three of its nodes replaced, removed, repeated or renamed."""
    for _ in range(dice.randrange(1, 4)):
        tree = _change_node(dice, tree, depth=dice.randrange(5))
    return tree


def as_json(dice: random.Random, tree: Any) -> bytes:
    """A tree as one line of JSON, its odd characters escaped or as they are."""
    text = json.dumps(tree, ensure_ascii=dice.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums again, so that a decoder looks at what is in them."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out = bytearray(data)
    place = 8
    while place + 12 <= len(out):
        end = place + 8 + int.from_bytes(out[place : place + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(out)


def _place(dice: random.Random, out: bytearray) -> int:
    where = dice.random()
    if where < 0.4 or len(out) <= _EDGE:
        return dice.randrange(len(out) + 1)
    return dice.randrange(_EDGE) if where < 0.75 else len(out) - dice.randrange(_EDGE)


def _flip(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    if out:
        out[_place(dice, out) % len(out)] ^= 1 << dice.randrange(8)


def _byte(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    if out:
        out[_place(dice, out) % len(out)] = dice.choice((0, 0x7F, 0xFF, dice.randrange(256)))


def _number(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    size = dice.choice((1, 2, 4))
    number = (dice.choice(_NUMBERS) & (1 << 8 * size) - 1).to_bytes(size, dice.choice(("big", "little")))
    at = _place(dice, out)
    out[at : at + size] = number


def _insert(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = _place(dice, out)
    out[at:at] = dice.randbytes(dice.randrange(1, 30))


def _remove(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = _place(dice, out)
    del out[at : at + dice.randrange(1, 200)]


def _repeat(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = _place(dice, out)
    piece = out[at : at + dice.randrange(1, 100)]
    out[at:at] = piece * dice.choice((1, 2, 50))


def _cut(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    del out[dice.randrange(len(out) + 1) :]


def _splice(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    other = dice.choice(others)
    start = dice.randrange(len(other) + 1)
    at = _place(dice, out)
    piece = other[start : start + dice.randrange(1, 400)]
    out[at : at + (len(piece) if dice.random() < 0.5 else 0)] = piece


def _word(dice: random.Random, out: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = _place(dice, out)
    out[at:at] = dice.choice(words)


_Change = Callable[[random.Random, bytearray, Sequence[bytes], Sequence[bytes]], None]
_CHANGES: tuple[_Change, ...] = (_flip, _byte, _number, _number, _insert, _remove, _repeat, _cut, _splice, _word)


def _change_node(dice: random.Random, tree: Any, depth: int) -> Any:
    if depth and isinstance(tree, dict) and tree:
        name = dice.choice(sorted(tree, key=str))
        what = dice.random()
        if what < 0.1:
            return {key: value for key, value in tree.items() if key != name}
        if what < 0.2:
            return {**tree, str(dice.choice(_HOSTILE))[:40]: tree[name]}
        return {**tree, name: _change_node(dice, tree[name], depth - 1)}
    if depth and isinstance(tree, list) and tree:
        at = dice.randrange(len(tree))
        if dice.random() < 0.2:
            return [*tree, *tree[at : at + 1] * dice.choice((1, 30))]
        return [*tree[:at], _change_node(dice, tree[at], depth - 1), *tree[at + 1 :]]
    return dice.choice(_HOSTILE)

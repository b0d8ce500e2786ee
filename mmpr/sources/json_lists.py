"""A JSON list in a file, item by item: each item's bytes are found without reading the others into memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from mmpr.errors import RowError

_CHUNK = 1 << 20
_MOST_SIGNS = 4_000_000
"""Brackets and texts of an item that is passed over; a file with a larger one is not read on."""
_TEXT = rb'"(?:[^"\\]++|\\.)*+("?)'
_LEAVES = rb'(?:[\[{][^"\[\]{}]*+[\]}][^"\[\]{}]*+)++'
"""Lists and objects of numbers, one after the other: nothing that ends an item is in them."""
_WITHIN = re.compile(rb"(?s:" + _TEXT + rb")|" + _LEAVES + rb"|[\[\]{}]")
_BETWEEN = re.compile(rb"(?s:" + _TEXT + rb")|[\[\]{},]")
_REST_OF_TEXT = re.compile(rb'(?s:(?:[^"\\]++|\\.)*+("?))')


def begins_list(file: BinaryIO) -> bool:
    """Whether the text that begins here is a list, empty or of objects; the position stays."""
    place = file.tell()
    head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    file.seek(place)
    return head.startswith(b"[") and head[1:].lstrip()[:1] in (b"{", b"]", b"")


def list_items(file: BinaryIO, most: int) -> Iterator[tuple[int, bytes | RowError]]:
    """The items of the list that begins here: where each begins, and its bytes, or what is wrong with it.

    An item of more than ``most`` bytes is an error, and the next is read. Memory holds one item.
    """
    data = file.read(4096)
    start = data.index(b"[") + 1
    yield from items_from(file, start, most)


def items_from(file: BinaryIO, place: int, most: int) -> Iterator[tuple[int, bytes | RowError]]:
    """The same from an item on that begins at ``place``."""
    file.seek(place)
    data = b""  # from ``base`` on; searched up to ``at``; the item began at ``begin``
    base, at, begin = place, 0, place
    depth, signs, inside, dropped = 0, 0, False, False

    def item(end: int) -> bytes | RowError:
        if dropped or end - begin > most:
            return RowError("line_too_long", f"an item of {end - begin} bytes, the limit is {most}")
        return data[begin - base : end - base].strip()

    while chunk := file.read(_CHUNK):
        data += chunk
        text_at = -1  # where a text begins that has not ended
        while True:
            if inside:
                found = _REST_OF_TEXT.match(data, at)
                assert found is not None  # it matches nothing, too
                at = found.end()
                if not found[1]:
                    break
                inside = False
            found = (_WITHIN if depth else _BETWEEN).search(data, at)
            if found is None:
                at = len(data)
                break
            signs += 1
            if signs > _MOST_SIGNS:
                yield begin, RowError("line_too_long", "an item of millions of parts; the rest of the file is not read")
                return
            sign = data[found.start() : found.start() + 1]
            if sign == b'"':
                if not found[1]:
                    at = text_at = found.start()
                    break
                at = found.end()
                continue
            at = found.end()
            if found.end() > found.start() + 1:
                continue
            if sign in b"[{":
                depth += 1
            elif sign == b",":
                yield begin, item(base + found.start())
                begin, signs, dropped = base + at, 0, False
            elif depth:
                depth -= 1
            else:  # the end of the list
                last = item(base + found.start())
                if last:
                    yield begin, last
                rest = data[at:] + file.read(_CHUNK)
                if rest.strip():
                    yield base + at, RowError("bad_json", "something follows the list")
                return
        if len(data) - (begin - base) > most:
            dropped = True
            if text_at >= 0:
                inside, at = True, text_at + 1
                found = _REST_OF_TEXT.match(data, at)
                assert found is not None
                at = found.end()
        kept = at if dropped else begin - base
        data, base, at = data[kept:], base + kept, at - kept
    yield begin, RowError("bad_json", "the list does not end; the rest of the file is not read")

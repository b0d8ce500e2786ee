"""Regular files in a tar archive: names, places and sizes; nothing is unpacked, links and devices are passed over.

Python's tarfile keeps every member in memory and trusts the numbers in headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_BLOCK = 512
_LONGEST_NAME = 64 << 10
_LARGEST = 1 << 60
_FILES = (b"0", b"\0", b"7")


class Member(NamedTuple):
    """A regular file: its path, and where its bytes lie in the archive."""

    path: str
    place: int
    size: int


class BrokenTarError(Exception):
    """The archive cannot be read on."""


def tar_members(file: BinaryIO) -> Iterator[Member]:
    """The regular files of an archive, in order.

    Raises:
        BrokenTarError: it is no archive, damaged, or cut off.
    """
    place, long_name, long_size = 0, "", -1
    while True:
        file.seek(place)
        head = file.read(_BLOCK)
        if not head.strip(b"\0"):
            return  # the end, or an archive without one
        if len(head) < _BLOCK or not _is_header(head):
            raise BrokenTarError(f"no tar header at byte {place}")
        size, kind = _number(head[124:136]), head[156:157]
        if kind in (b"x", b"L"):
            if size > _LONGEST_NAME:
                raise BrokenTarError(f"a name of {size} bytes at byte {place}")
            data = file.read(size)
            if kind == b"L":
                long_name = _text(data)
            else:
                long_name, long_size = _extended(data, long_name)
        else:
            size = long_size if long_size >= 0 else size
            if kind in _FILES and (path := long_name or _name(head)) and not path.endswith("/"):
                yield Member(path, place + _BLOCK, size)
            long_name, long_size = "", -1
        place += _BLOCK + -(-size // _BLOCK) * _BLOCK
        if place > _LARGEST:
            raise BrokenTarError(f"a file of {size} bytes in a header")


def _is_header(head: bytes) -> bool:
    """Whether the sum in a header is that of its bytes."""
    total = sum(head) - sum(head[148:156]) + 8 * ord(" ")
    try:
        return _number(head[148:156]) == total
    except BrokenTarError:
        return False


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form of large sizes; never negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    try:
        value = int(digits or b"0", 8)
    except ValueError:
        raise BrokenTarError("a number in a header is none") from None
    if value < 0 or field[0] > 0x80:
        raise BrokenTarError("a number in a header is negative")
    return value


def _name(head: bytes) -> str:
    name = _text(head[:100])
    prefix = _text(head[345:500]) if head[257:262] == b"ustar" and head[262:263] == b"\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")


def _extended(data: bytes, name: str) -> tuple[str, int]:
    """The path and size in the records of a pax header; -1 for a size that is not told."""
    size = -1
    place = 0
    while place < len(data):
        length, _, _ = data[place : place + 20].partition(b" ")
        if not length.isdigit() or int(length) < len(length) + 3:
            break
        key, _, value = data[place + len(length) + 1 : place + int(length) - 1].partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "replace")
        elif key == b"size" and value.isdigit() and len(value) < 20:
            size = int(value)
        place += int(length)
    return name, size

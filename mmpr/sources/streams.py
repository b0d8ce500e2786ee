"""Text files as one stream of UTF-8 bytes, however they are packed: gzip, Zstandard, bzip2, UTF-16.

Positions are those in the unpacked text. A packed file is read forwards; going back begins at its start again.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

_PACKED = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2"))
_WIDE = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHUNK = 1 << 20


class _Reads(Protocol):
    def read(self, size: int, /) -> bytes: ...


def open_text(path: Path) -> BinaryIO:
    """A file's text as UTF-8 bytes; seekable, and buffered.

    Raises:
        OSError: it cannot be opened. Reading a damaged file raises one, too.
    """
    file = open_unpacked(path)
    encoding = _told(file, _WIDE)
    if encoding is None:
        return file
    return io.BufferedReader(_Forwards(lambda: _Utf8(open_unpacked(path), encoding)), _CHUNK)


def open_unpacked(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where it is packed; seekable, and buffered (OSError as ``open_text``)."""
    file = path.open("rb")
    codec = _told(file, _PACKED)
    if codec is None:
        return file
    file.close()
    return io.BufferedReader(_Forwards(lambda: _Unpacked(path, codec)), _CHUNK)


def _told(file: BinaryIO, kinds: tuple[tuple[bytes, str], ...]) -> str | None:
    """What a file is by its first bytes."""
    head = file.read(4)
    file.seek(0)
    return next((kind for magic, kind in kinds if head.startswith(magic)), None)


class _Unpacked:
    """A packed file's text."""

    def __init__(self, path: Path, codec: str) -> None:
        self._file = pa.CompressedInputStream(pa.OSFile(str(path)), codec)

    def read(self, size: int, /) -> bytes:
        """The next bytes; none at the end."""
        piece = bytearray(size)  # Arrow's own read loses such a piece wherever a file is damaged
        return bytes(memoryview(piece)[: self._file.readinto(piece)])


class _Utf8:
    """UTF-16 as UTF-8; half a surrogate pair stays half a pair, which spoils only the row that it stands in."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder(encoding)("surrogatepass").decode
        file.read(2)  # the byte order mark

    def read(self, size: int, /) -> bytes:
        """The next bytes, usually of a piece of ``size`` bytes; none at the end."""
        while data := self._file.read(max(size, 4)):
            if text := self._decode(data):
                return text.encode("utf-8", "surrogatepass")
        return b""


class _Forwards(io.RawIOBase):
    """What can only be read from its start on, as a file in which one can go anywhere."""

    def __init__(self, start: Callable[[], _Reads]) -> None:
        self._start, self._source = start, start()
        self._place = 0
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes, at a price."""
        return True

    def tell(self) -> int:
        """The position in the unpacked text."""
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, as far as a piece goes."""
        view = memoryview(buffer).cast("B")
        if not self._rest:
            try:
                self._rest = bytes(self._source.read(_CHUNK))
            except (pa.ArrowException, ValueError) as error:
                raise OSError(0, f"is damaged: {error}"[:300]) from None
        piece = self._rest[: len(view)]
        view[: len(piece)] = piece
        self._rest = self._rest[len(piece) :]
        self._place += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position; nothing but a position from the start or from here can be told.

        Raises:
            OSError: the text ends before it, or is damaged.
        """
        if whence == io.SEEK_CUR:
            offset += self._place
        elif whence != io.SEEK_SET:
            raise io.UnsupportedOperation("the end of a packed file is not known")
        if offset < self._place:
            self._source, self._place, self._rest = self._start(), 0, b""
        piece = bytearray(_CHUNK)
        while self._place < offset:
            if not self.readinto(memoryview(piece)[: offset - self._place]):
                break
        return self._place

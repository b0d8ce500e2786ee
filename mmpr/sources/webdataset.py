"""WebDataset: tar archives whose files make samples by their names (``007.jpg``, ``007.json``), read in place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mmpr.config import Recipe, TableSource
from mmpr.errors import RowError, SourceError
from mmpr.schema import content_id
from mmpr.sources import cells
from mmpr.sources.file_rows import FileRows, Found
from mmpr.sources.ids import Seen
from mmpr.sources.imagefolder import PICTURE_SUFFIXES
from mmpr.sources.jsonl import MAX_LINE_BYTES, check_records, parse_bounded
from mmpr.sources.streams import open_unpacked
from mmpr.sources.tars import BrokenTarError, Member, tar_members

SUFFIXES = (".tar", ".tgz")
KEY = "__key__"
_MAX_TEXT_BYTES = 64 << 10
_LOOK_SAMPLES = 20
_MOST_MEMBERS = 1_000


class _InTar(str):
    """A picture in an archive: ``PLACE#SIZEt``, which no path in a row can be taken for."""

    __slots__ = ()


class WebDataset(FileRows):
    """Archives with a column map.

    A sample's columns are ``__key__``, the endings of its files (``jpg``, ``txt``, ``cls``), the fields of its
    ``json``, and ``image``: its pictures in the archive's order. A picture's reference is ``@file#place#SIZEt``.
    """

    opens = staticmethod(open_unpacked)

    def __init__(self, spec: TableSource, recipe: Recipe) -> None:
        """Raises SourceError when a file is missing, is no archive or has not these columns."""
        super().__init__(spec, recipe, SUFFIXES)
        for path in self.files.values():
            self._look(path)

    def _look(self, path: Path) -> None:
        try:
            with self.opens(path) as file:
                found = list(itertools.islice(self._samples(file), _LOOK_SAMPLES))
                records = [self._record(file, sample) for sample in found]
        except (OSError, BrokenTarError) as error:
            raise SourceError(f"{path}: cannot be read as a tar archive: {error}") from None
        except RowError:
            return  # the row itself tells of it
        self.known |= check_records(records, self.columns, path, asks=self.spec.question is not None)

    def read(self, path: Path, name: str) -> Iterator[Found]:
        """Every sample of an archive (see ``FileRows``); one whose files do not stand together is an error."""
        seen = Seen()
        try:
            with self.opens(path) as file:
                for sample in self._samples(file):
                    key, where = _key(sample[0].path), f"{name}[{_key(sample[0].path)}]"
                    try:
                        if not seen.add(content_id(key)):
                            raise RowError("sample_split", "its files do not stand together; sort the archive by name")
                        yield where, sample[0].place, self._record(file, sample)
                    except RowError as error:
                        yield where, sample[0].place, error
        except (OSError, BrokenTarError) as error:
            yield name, 0, RowError("file_unreadable", str(error))

    def refer(self, name: str, place: int, k: int, picture: cells.Picture) -> str:
        """The reference of a picture in the archive; others are paths or addresses."""
        if isinstance(picture, _InTar):
            return f"@{name}#{picture}"
        if cells.is_inline(picture):
            raise RowError("wrong_type", "a picture stands in the sample's text; it is expected as a file of its own")
        return super().refer(name, place, k, picture)

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        if not ref.startswith("@"):
            return super().load(ref)
        name, place, told = ref[1:].rsplit("#", 2)
        size = int(told.removesuffix("t"))
        if size > self.limits.max_bytes:
            limit = f"the limit is {self.limits.max_bytes} (images.max_bytes)"
            raise RowError("image_too_large", f"{name}: {size} bytes, {limit}")
        try:
            return _read(self.file(name), Member(name, int(place), size))
        except OSError as error:
            raise RowError("image_unreadable", f"{name}: {error.strerror or error}") from None

    def _samples(self, file: BinaryIO) -> Iterator[list[Member]]:
        """The members of each sample; hidden files are none."""
        sample: list[Member] = []
        for member in tar_members(file):
            base = member.path.rsplit("/", 1)[-1]
            if base.startswith(".") or "." not in base:
                continue
            if sample and (_key(member.path) != _key(sample[0].path) or len(sample) >= _MOST_MEMBERS):
                yield sample
                sample = []
            sample.append(member)
        if sample:
            yield sample

    def _record(self, file: BinaryIO, sample: list[Member]) -> dict[str, Any]:
        """The columns of a sample; of its files only text that the map names is read."""
        record: dict[str, Any] = {}
        files: dict[str, Any] = {KEY: _key(sample[0].path)}
        pictures = []
        for member in sample:
            ending = _ending(member.path)
            if ending.endswith(_PICTURES):
                files[ending] = _InTar(f"{member.place}#{member.size}t")
                pictures.append(files[ending])
            elif ending == "json":
                if member.size > MAX_LINE_BYTES:
                    raise RowError("line_too_long", f"{member.size} bytes of JSON, the limit is {MAX_LINE_BYTES}")
                record = parse_bounded(_read(file, member))
            elif ending in self.columns.names():
                files[ending] = _text(file, member)
            else:
                files[ending] = None
        return {**record, **files, **({"image": pictures} if pictures else {})}


_PICTURES = tuple(suffix.removeprefix(".") for suffix in PICTURE_SUFFIXES)


def _key(path: str) -> str:
    folder, slash, base = path.rpartition("/")
    return f"{folder}{slash}{base.split('.', 1)[0]}"


def _ending(path: str) -> str:
    return path.rpartition("/")[2].split(".", 1)[1].lower()


def _text(file: BinaryIO, member: Member) -> str:
    if member.size > _MAX_TEXT_BYTES:
        raise RowError("line_too_long", f"{member.size} bytes of text, the limit is {_MAX_TEXT_BYTES}")
    try:
        return _read(file, member).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise RowError("not_utf8", f"{_ending(member.path)}: byte {error.start}: {error.reason}") from None


def _read(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.place)
    data = file.read(member.size)
    if len(data) < member.size:
        raise RowError("file_unreadable", f"the archive ends {member.size - len(data)} bytes before the file does")
    return data

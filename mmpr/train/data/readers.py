"""Records of Parquet, Arrow and JSONL files by their number, in bounded memory.

    open_records(path) ─▶ Records: len, [i] (a row as a dictionary), where(i) (file and row, for messages)

Steps ask for rows in a random order. Arrow files are mapped, lines of JSONL are found by their offset, and of Parquet
the row groups that were read last are kept.
"""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.errors import RowError, SourceError
from mmpr.sources import files, jsonl
from mmpr.sources.tables import saved_files

CACHE_BYTES = 256 << 20
"""Of row groups kept in memory by each process."""

_READ_ERRORS = (pa.ArrowException, OSError, ValueError, LookupError, OverflowError, TypeError)


class Records(Protocol):
    """A sequence of rows as dictionaries of column names."""

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        """A row.

        Raises:
            RowError: it cannot be read.
        """
        ...

    def where(self, place: int) -> str:
        """File and row, for messages."""
        ...

    def folder(self, place: int) -> Path:
        """The folder of the row's file, where its pictures' paths begin."""
        ...


class _Places:
    """Which group of which file holds row i."""

    def __init__(self, base: Path, sizes: Sequence[tuple[Path, int, int]]) -> None:
        self._base = base
        self.groups = [(path, group) for path, group, _ in sizes]
        self._starts = list(itertools.accumulate((size for _, _, size in sizes), initial=0))
        in_file: dict[Path, int] = {}
        self._first_in_file = []
        for path, _, size in sizes:
            self._first_in_file.append(in_file.get(path, 0))
            in_file[path] = in_file.get(path, 0) + size

    def __len__(self) -> int:
        return self._starts[-1]

    def find(self, place: int) -> tuple[int, int]:
        """The group's number and the row in it."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        group = bisect.bisect_right(self._starts, place) - 1
        return group, place - self._starts[group]

    def where(self, place: int) -> str:
        group, row = self.find(place)
        return f"{files.label(self.groups[group][0], self._base)}[{self._first_in_file[group] + row}]"

    def folder(self, place: int) -> Path:
        return self.groups[self.find(place)[0]][0].parent


class ParquetRecords:
    """Rows of Parquet files; the row groups read last stay in memory, ``cache_bytes`` of them."""

    def __init__(
        self, base: Path, paths: Sequence[Path], columns: Sequence[str] | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        """Look at the files' footers; ``columns`` are those that rows have, None: all.

        Raises:
            SourceError: a file is no Parquet, or lacks a column.
        """
        self._columns = None if columns is None else list(columns)
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()
        sizes = []
        for path in paths:
            try:
                with pq.ParquetFile(path) as file:
                    names = file.schema_arrow.names
                    sizes += [(path, g, file.metadata.row_group(g).num_rows) for g in range(file.num_row_groups)]
            except _READ_ERRORS as error:
                raise SourceError(f"{path}: cannot be read as Parquet: {error}") from None
            if missing := [name for name in self._columns or () if name not in names]:
                raise SourceError(f"{path}: has no column {', '.join(missing)}; it has: {', '.join(names)}")
        self._places = _Places(base, sizes)
        self.where, self.folder = self._places.where, self._places.folder

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._places)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        """A row (see ``Records``)."""
        group, row = self._places.find(place)
        try:
            return dict(self._group(group).slice(row, 1).to_pylist()[0])
        except _READ_ERRORS as error:
            raise RowError("file_unreadable", f"{self.where(place)}: {error}"[:300]) from None

    def _group(self, number: int) -> pa.Table:
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        path, group = self._places.groups[number]
        with pq.ParquetFile(path) as file:
            table = file.read_row_group(group, columns=self._columns, use_threads=False)
        self._cache[number] = table
        while len(self._cache) > 1 and sum(kept.nbytes for kept in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)
        return table


class ArrowRecords:
    """Rows of the Arrow streams that ``Dataset.save_to_disk`` writes, mapped into memory."""

    def __init__(self, base: Path, paths: Sequence[Path]) -> None:
        """Map the files.

        Raises:
            SourceError: a file is something else.
        """
        self._batches: list[pa.RecordBatch] = []
        sizes = []
        for path in paths:
            try:
                with pa.ipc.open_stream(pa.memory_map(str(path))) as stream:
                    for number, batch in enumerate(stream):
                        batch.validate()
                        self._batches.append(batch)
                        sizes.append((path, number, batch.num_rows))
            except _READ_ERRORS as error:
                raise SourceError(f"{path}: cannot be read as an Arrow stream of datasets: {error}") from None
        self._places = _Places(base, sizes)
        self.where, self.folder = self._places.where, self._places.folder

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._places)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        """A row (see ``Records``)."""
        batch, row = self._places.find(place)
        try:
            one = self._batches[batch].slice(row, 1)
            one.validate(full=True)  # the file's buffers are as they lie on disk
            return dict(one.to_pylist()[0])
        except _READ_ERRORS as error:
            raise RowError("bad_value", f"{self.where(place)}: {error}"[:300]) from None


class JsonlRecords:
    """Objects of JSONL files, one a line; lines are found by their offsets, 12 bytes each."""

    def __init__(self, base: Path, paths: Sequence[Path]) -> None:
        """Find the lines; a line that is no object is a row that cannot be read."""
        self._base, self._paths = base, list(paths)
        self._files, self._offsets, self._lines = array("i"), array("q"), array("i")
        for number, path in enumerate(self._paths):
            for where, offset, _ in jsonl.read_records(path, path.name):
                self._files.append(number)
                self._offsets.append(offset)
                self._lines.append(int(where.rpartition(":")[2]) if ":" in where else 0)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._offsets)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        """A row (see ``Records``)."""
        return jsonl.read_record_at(self._paths[self._files[place]], self._offsets[place])

    def where(self, place: int) -> str:
        """File and line."""
        return f"{files.label(self._paths[self._files[place]], self._base)}:{self._lines[place]}"

    def folder(self, place: int) -> Path:
        """The folder of the row's file."""
        return self._paths[self._files[place]].parent


def open_records(path: Path) -> Records:
    """Rows of a Parquet or JSONL file, of a folder of such files, or of what ``Dataset.save_to_disk`` wrote.

    Raises:
        SourceError: it is something else.
    """
    if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
        return ArrowRecords(path, saved_files(path))
    if path.suffix == ".jsonl":
        return JsonlRecords(*files.find_files(path, ".jsonl"))
    if path.is_dir() and not any(path.rglob("*.parquet")) and any(path.rglob("*.jsonl")):
        return JsonlRecords(*files.find_files(path, ".jsonl"))
    return ParquetRecords(*files.find_files(path, ".parquet"))

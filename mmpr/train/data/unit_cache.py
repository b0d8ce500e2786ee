"""Caches beside the data: token lengths and reference log-probabilities of its rows, computed once.

    CACHE/<key>/about.json                        what it was computed from; the key is its hash
    CACHE/<key>/part-00007-of-00120.parquet       a unit of rows, whole or absent

A unit that exists is not computed again, so a stopped computation goes on, on any number of processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import DataLoader, Dataset

from mmpr.errors import OutputError
from mmpr.schema import content_id
from mmpr.storage.shards import MANIFEST, Unit, write_json, write_shard
from mmpr.storage.tables import Row
from mmpr.train.changes import changes
from mmpr.train.progress import TrainProgress

Item = TypeVar("Item")
ABOUT = "about.json"
_OLD_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Workers:
    """Process ``rank`` of ``world``, each with its share of the units, and ``helpers`` that encode for it.

    Progress is shown on ``file`` (None: stderr).
    """

    rank: int = 0
    world: int = 1
    helpers: int = 0
    file: TextIO | None = None


ALONE = Workers()
"""One process, without helpers."""


class _Calls(Dataset[Item]):  # type: ignore[misc]  # the library has no types
    """``function(key)`` for each of ``keys``, called when an item is asked for."""

    def __init__(self, function: Callable[[int], Item], keys: Sequence[int]) -> None:
        self._function, self._keys = function, keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, number: int) -> Item:
        return self._function(self._keys[number])


def call_each(function: Callable[[int], Item], keys: Sequence[int], helpers: int) -> Iterator[Item]:
    """``function(key)`` for each key, in order; ``helpers`` processes work ahead."""
    if not helpers:
        return map(function, keys)
    return iter(DataLoader(_Calls(function, keys), batch_size=None, num_workers=helpers))


def cache_base(data: Path, otherwise: Path) -> Path:
    """Where caches of ``data`` lie: a build's own folder, ``.mmpr`` beside other data, or ``otherwise``.

    ``otherwise`` is taken where nothing can be written beside the data. No reader of data looks into ``.mmpr``.
    """
    folder = data if data.is_dir() else data.parent
    if not os.access(folder, os.W_OK):
        return otherwise
    return folder if (folder / MANIFEST).is_file() else folder / ".mmpr"


def open_cache(base: Path, about: Mapping[str, Any], name: str, file: TextIO | None = None) -> Path:
    """The folder under ``base`` of the cache that is computed from exactly ``about``; it is made if missing.

    When it is made beside other caches, a line on ``file`` says in what the most similar one differs.

    Raises:
        OutputError: it cannot be written, or its ``about.json`` says something else.
    """
    folder = base / content_id("cache", json.dumps(about, sort_keys=True))[:16]
    check_about(folder, about)
    if not (folder / ABOUT).exists():
        if nearest := _nearest(base, about):
            print(f"{name}  computed anew: {nearest}", file=file or sys.stderr)
        write_json(folder / ABOUT, about)
    _forget_half_written(folder)
    return folder


def check_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Refuse a cache that was computed from something else.

    Raises:
        OutputError: with what differs.
    """
    path = folder / ABOUT
    if not path.exists():
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}; delete {folder}") from None
    if lines := _differences(there, about):
        raise OutputError(f"{folder}: was computed from something else ({'; '.join(lines)}); delete it")


def _nearest(base: Path, about: Mapping[str, Any]) -> str:
    """A line about the cache under ``base`` that differs least; empty when there is none."""
    found = []
    for path in sorted(base.glob(f"*/{ABOUT}")):
        with contextlib.suppress(OSError, ValueError):
            lines = _differences(json.loads(path.read_text(encoding="utf-8")), about)
            found.append((len(lines), f"{path.parent} is of something else ({'; '.join(lines)})"))
    return min(found, default=(0, ""))[1]


def _differences(there: Any, about: Mapping[str, Any]) -> list[str]:
    """What differs between the ``about`` of a cache and the wanted one, a line each."""
    if not isinstance(there, dict):
        return ["its about.json is no object"]
    return [f"{name}: {was} there, {is_} here" for name, was, is_ in changes(there, about)]


def _forget_half_written(folder: Path) -> None:
    """Delete temporary files that are a day old; younger ones may belong to a process that is writing now."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _OLD_S:
                path.unlink()


def unit_paths(folder: Path, rows: int, unit_rows: int) -> list[Path]:
    """The files of all units, in order."""
    count = -(-rows // unit_rows)
    return [folder / Unit("train", number, count).file for number in range(count)]


def fill(
    folder: Path,
    noun: type[Row],
    keys: Sequence[int],
    unit_rows: int,
    compute: Callable[[Sequence[int]], Iterable[Row]],
    name: str,
    workers: Workers,
) -> None:
    """Compute the missing units of this process; ``compute(keys)`` yields a row for each key, in order.

    Raises:
        OutputError: the folder cannot be written.
    """
    paths = unit_paths(folder, len(keys), unit_rows)
    missing = [n for n, path in enumerate(paths) if n % workers.world == workers.rank and not path.exists()]
    units = {paths[n]: keys[n * unit_rows : (n + 1) * unit_rows] for n in missing}
    if not units:
        return
    progress = TrainProgress(name, "rows", sum(map(len, units.values())), file=workers.file)
    done = 0

    def counted(rows: Iterable[Row]) -> Iterator[Row]:
        nonlocal done
        for row in rows:
            yield row
            done += 1
            progress.update(done)

    try:
        for path, unit in units.items():
            write_shard(path, noun, counted(compute(unit)), {"rows": len(unit)})
    finally:
        progress.close()


def read_units(folder: Path, rows: int, unit_rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The table of each unit, in order.

    Raises:
        OutputError: one is missing or damaged.
    """
    for path in unit_paths(folder, rows, unit_rows):
        try:
            yield pq.read_table(path, columns=columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise OutputError(f"{path}: cannot be read ({error}); delete it and run again") from None

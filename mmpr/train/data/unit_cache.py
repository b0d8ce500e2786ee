"""What is computed once for a data set and kept beside it: lengths of rows, reference log-probabilities.

    CACHE/<key>/about.json                        what it was computed from; the key is its hash
    CACHE/<key>/part-00007-of-00120.parquet       a unit of rows, whole or absent

A unit that is there is done: the same call goes on where another one was stopped, on any number of processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmpr.errors import OutputError
from mmpr.progress import PLAIN_EVERY_S
from mmpr.schema import content_id
from mmpr.storage.shards import Unit, write_json, write_shard
from mmpr.storage.tables import Row
from mmpr.train.changes import changes

ABOUT = "about.json"
_OLD_S = 24 * 3600


class UnitProgress:
    """Rows done, rate and time left: a live line on a terminal, a plain line every ten seconds elsewhere."""

    def __init__(self, name: str, rows: int, file: TextIO | None = None) -> None:
        self._name, self._rows, self._file = name, rows, file or sys.stderr
        self._done = 0
        self._started_s = self._told_s = time.monotonic()
        console = Console(file=self._file)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description:<9}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(name, total=rows)

    def __enter__(self) -> UnitProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, rows: int) -> None:
        """So many more are done."""
        self._done += rows
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
            return
        now_s = time.monotonic()
        if now_s - self._told_s >= PLAIN_EVERY_S:
            self._told_s = now_s
            rate = self._done / (now_s - self._started_s)
            left_s = (self._rows - self._done) / rate if rate else float("inf")
            print(
                f"{self._name}  {self._done:,}/{self._rows:,} rows  {rate:,.1f} rows/s  {left_s:,.0f} s left",
                file=self._file,
                flush=True,
            )


def cache_base(data: Path, otherwise: Path) -> Path:
    """Where what is computed from ``data`` is kept: beside it, or in ``otherwise`` when nothing can be written there.

    A build has a place for it in its own folder; beside other data it goes to ``.mmpr``, which no reader looks into.
    """
    folder = data if data.is_dir() else data.parent
    if not os.access(folder, os.W_OK):
        return otherwise
    return folder if (folder / "manifest.json").is_file() else folder / ".mmpr"


def open_cache(base: Path, about: Mapping[str, Any], name: str, file: TextIO | None = None) -> Path:
    """The folder under ``base`` for what is computed from exactly this; made when it is not there.

    Where it is new but others are there, ``file`` is told in what the most similar one differs.

    Raises:
        OutputError: it cannot be written, or holds something else.
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
    if told := _differences(there, about):
        raise OutputError(f"{folder}: was computed from something else ({'; '.join(told)}); delete it")


def _nearest(base: Path, about: Mapping[str, Any]) -> str:
    """The cache under ``base`` that differs least, and in what; empty when there is none."""
    found = []
    for path in sorted(base.glob(f"*/{ABOUT}")):
        with contextlib.suppress(OSError, ValueError):
            told = _differences(json.loads(path.read_text(encoding="utf-8")), about)
            found.append((len(told), f"{path.parent} is of something else ({'; '.join(told)})"))
    return min(found, default=(0, ""))[1]


def _differences(there: Any, about: Mapping[str, Any]) -> list[str]:
    """In what a cache's ``about`` differs from what is wanted."""
    if not isinstance(there, dict):
        return ["its about.json is no object"]
    return [f"{name}: {was} there, {is_} here" for name, was, is_ in changes(there, about)]


def _forget_half_written(folder: Path) -> None:
    """Delete what killed writers left behind; others may be writing here right now, so only what is a day old."""
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
    rows: Sequence[int],
    unit_rows: int,
    work: Callable[[Sequence[int]], Iterable[Row]],
    *,
    name: str,
    rank: int = 0,
    world: int = 1,
    file: TextIO | None = None,
) -> None:
    """Compute the units that are missing, those of this process; ``work`` yields a result for each of the given rows.

    Raises:
        OutputError: the folder cannot be written.
    """
    paths = unit_paths(folder, len(rows), unit_rows)
    mine = [number for number, path in enumerate(paths) if number % world == rank and not path.exists()]
    todo = [rows[number * unit_rows : (number + 1) * unit_rows] for number in mine]
    if not todo:
        return
    with UnitProgress(name, sum(map(len, todo)), file) as progress:

        def told(results: Iterable[Row]) -> Iterable[Row]:
            for result in results:
                yield result
                progress.add(1)

        for number, unit in zip(mine, todo, strict=True):
            write_shard(paths[number], noun, told(work(unit)), {"rows": len(unit)})

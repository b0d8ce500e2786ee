"""Ids of millions of questions in a few megabytes of memory: SQLite keeps the rest in a temporary file.

The file has no name and is gone when its owner is; ``TMPDIR`` says on which disk it lies (some 30 bytes an id).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmpr.errors import SourceError

_CACHE_KIB = 8192
_SPARE = 10_000


class Seen:
    """Which ids were there before; the first 64 bits of an id stand for it."""

    def __init__(self) -> None:
        self._table = _temporary("CREATE TABLE seen (id INTEGER PRIMARY KEY)")

    def add(self, id: str) -> bool:
        """Remember an id (hex digits); whether it is a new one."""
        short = int(id[:16], 16) - 2**63  # SQLite's integers have a sign
        with _told():
            return self._table.execute("INSERT OR IGNORE INTO seen VALUES (?)", (short,)).rowcount == 1

    def __contains__(self, id: str) -> bool:
        """Whether an id was added."""
        with _told():
            found = self._table.execute("SELECT 1 FROM seen WHERE id = ?", (int(id[:16], 16) - 2**63,))
            return found.fetchone() is not None


@dataclass(frozen=True, slots=True)
class RowChanges:
    """How the rows of a source differ from those that were there before."""

    new: int = 0
    changed: int = 0
    gone: int = 0

    def __str__(self) -> str:
        return f"{self.new:,} new row{'s' if self.new != 1 else ''}, {self.changed:,} changed, {self.gone:,} gone"

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)


class KnownRows:
    """The rows that a source had, and which of them it has still."""

    def __init__(self) -> None:
        self._table = _temporary(
            "CREATE TABLE rows (id TEXT PRIMARY KEY, source TEXT, place TEXT, content TEXT, met INTEGER) WITHOUT ROWID"
        )
        self._table.execute("CREATE TABLE fresh (source TEXT, place TEXT)")
        self._changed: Counter[str] = Counter()
        self._new: Counter[str] = Counter()

    def add(self, id: str, source: str, place: str, content: str) -> None:
        """A row that was there; ``place`` says where (file and line), ``content`` is a hash of what it said."""
        with _told():
            self._table.execute("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, 0)", (id, source, place, content))

    def meet(self, id: str, source: str, place: str, content: str) -> bool:
        """A row that is there now; whether its id is a new one."""
        with _told():
            found = self._table.execute("SELECT content FROM rows WHERE id = ?", (id,)).fetchone()
            if found is None:
                self._table.execute("INSERT INTO fresh VALUES (?, ?)", (source, place))
                self._new[source] += 1
                return True
            self._table.execute("UPDATE rows SET met = 1 WHERE id = ?", (id,))
        self._changed[source] += found[0] != content
        return False

    def changes(self, source: str) -> RowChanges:
        """When all rows of a source were met. A new row in the place of one that is gone is a changed one."""
        with _told():
            (gone,) = self._table.execute(
                "SELECT count(*) FROM rows WHERE source = ? AND met = 0", (source,)
            ).fetchone()
            (replaced,) = self._table.execute(
                "SELECT count(*) FROM rows JOIN fresh USING (source, place) WHERE source = ? AND met = 0", (source,)
            ).fetchone()
        return RowChanges(self._new[source] - replaced, self._changed[source] + replaced, gone - replaced)


class Contents:
    """What was said under each id, as hashes; two things may say the same under one id."""

    def __init__(self) -> None:
        self._table = _temporary("CREATE TABLE contents (id TEXT PRIMARY KEY, owner INTEGER, parts TEXT) WITHOUT ROWID")

    def put(self, id: str, owner: int, parts: Mapping[str, str]) -> tuple[int, tuple[str, ...]] | None:
        """Remember what ``owner`` says under an id, as a hash for each part; None when the id is new.

        Otherwise who said something under it before, and the names of the parts that differ.
        """
        with _told():
            found = self._table.execute("SELECT owner, parts FROM contents WHERE id = ?", (id,)).fetchone()
            if found is None:
                self._table.execute("INSERT INTO contents VALUES (?, ?, ?)", (id, owner, json.dumps(dict(parts))))
                return None
        before = json.loads(found[1])
        return int(found[0]), tuple(name for name in {**before, **parts} if before.get(name) != parts.get(name))


class Lowest:
    """The ``most`` lowest of many different numbers of 128 bits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._highest: bytes | None = None
        self._table = _temporary("CREATE TABLE lowest (rank BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, rank: int) -> None:
        """Take a number into account; one that was there before changes nothing."""
        key = rank.to_bytes(16, "big")
        if self._highest is not None and key > self._highest:
            return
        with _told():
            self._count += self._table.execute("INSERT OR IGNORE INTO lowest VALUES (?)", (key,)).rowcount
        if self._count >= 2 * self._most + _SPARE:
            self._trim()

    def highest(self) -> int | None:
        """The highest of the ``most`` lowest numbers; None when there are not more than that."""
        if self._count <= self._most and self._highest is None:
            return None
        self._trim()
        return None if self._highest is None else int.from_bytes(self._highest, "big")

    def _trim(self) -> None:
        with _told():
            ranks = self._table.execute("SELECT rank FROM lowest ORDER BY rank LIMIT 1 OFFSET ?", (self._most - 1,))
            (self._highest,) = ranks.fetchone()
            self._table.execute("DELETE FROM lowest WHERE rank > ?", (self._highest,))
        self._count = self._most


def _temporary(table: str) -> sqlite3.Connection:
    with _told():
        connection = sqlite3.connect("", isolation_level=None)
        for command in (f"PRAGMA cache_size=-{_CACHE_KIB}", "PRAGMA journal_mode=OFF", table, "BEGIN"):
            connection.execute(command)
        return connection


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise SourceError(f"the temporary file of question ids: {error}; TMPDIR names another folder for it") from None

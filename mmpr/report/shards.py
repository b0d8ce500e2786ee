"""A build as a report reads it: its shards, unit by unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmpr.report.facts import read_facts
from mmpr.report.flow import index_rows, make_flow, rejected_by, rejected_rows
from mmpr.report.inputs import DECODERS, Asked, ShownRow, Unit
from mmpr.report.nouns import Dropped, Flow
from mmpr.report.pictures import Fingerprint, fingerprint
from mmpr.report.read import one, read_batches, read_columns, read_selected, read_unit
from mmpr.report.tally import Tally
from mmpr.storage.shards import Stage, shard
from mmpr.storage.shards import Unit as ShardUnit

_BATCH = 64
_LOSING = ("index-train", "index-heldout", "ingest-train", "ingest-heldout", "sample-train")
_COLUMNS: dict[Stage, tuple[str, ...]] = {
    "ingest": ("id", "source", "kind", "question", "answer", "images"),
    "sample": ("id", "prompt", "responses"),
    "verify": ("id", "pass_rate", "verdicts"),
    "pair": ("id", "responses", "pairs"),
}


class BuildInput:
    """A finished build (see ``mmpr.report.inputs.Input``)."""

    def __init__(self, out: Path) -> None:
        """Raises OutputError when the folder holds no finished build."""
        self.facts = read_facts(out)
        self._units = self.facts.units["train"]
        self._rejected = rejected_rows(self.facts)

    def units(self) -> Iterator[Unit]:
        """All units in order (see ``Input``)."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for unit in self._units:
                yield Unit(read_unit(self.facts.out, unit), self._asked(unit, pool))

    def heldout(self) -> Iterator[list[Asked]]:
        """The held-out questions (see ``Input``)."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for unit in self.facts.units["heldout"]:
                yield from self._asked(unit, pool)

    def ids(self, unit: int, places: Sequence[int]) -> list[str]:
        """Ids by places (see ``Input``)."""
        ids = one(read_columns(shard(self.facts.out, "ingest", self._units[unit]), ["id"]), "id")
        return [ids[place].as_py() for place in places]

    def rows(self, unit: int, places: Sequence[int]) -> list[ShownRow]:
        """Rows by places (see ``Input``)."""
        wanted, out = self.ids(unit, places), self.facts.out
        tables = {s: read_selected(shard(out, s, self._units[unit]), names, wanted) for s, names in _COLUMNS.items()}
        return [{stage: table[id] for stage, table in tables.items() if id in table} for id in wanted]

    def flow(self, tally: Tally) -> Flow:
        """Where everything went (see ``Input``)."""
        return make_flow(self.facts, tally, self._rejected)

    def lost(self) -> tuple[int, dict[str, int]]:
        """Rows, and those not used (see ``Input``)."""
        reasons = rejected_by(self._rejected, *_LOSING)
        at_index = sum(rejected_by(self._rejected, "index-train", "index-heldout").values())
        return index_rows(self.facts, "train") + index_rows(self.facts, "heldout") + at_index, reasons

    def dropped(self) -> tuple[Dropped, ...]:
        """Nothing: rejects/ has them all."""
        return ()

    def _asked(self, unit: ShardUnit, pool: ThreadPoolExecutor) -> Iterator[list[Asked]]:
        path = shard(self.facts.out, "ingest", unit)
        for batch in read_batches(path, ("id", "source", "question", "images"), _BATCH):
            prints = _prints(pool, batch)
            yield [Asked(row["id"], row["source"], row["question"], p) for row, p in zip(batch, prints, strict=True)]


def _prints(pool: ThreadPoolExecutor, batch: list[dict[str, Any]]) -> list[list[Fingerprint]]:
    """The fingerprints of each row's pictures; a picture that several rows have is decoded once a batch."""
    rows = [[image["bytes"] for image in row["images"]] for row in batch]
    distinct = list(dict.fromkeys(data for row in rows for data in row))
    known = dict(zip(distinct, pool.map(fingerprint, distinct), strict=True))
    return [[known[data] for data in row] for row in rows]

"""A finished build as a report reads it (see ``mmpr.report.load.dataset``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.compute as pc

from mmpr.audit.precision import Audited
from mmpr.pipeline.audited import read_audit
from mmpr.report.contents import Dropped
from mmpr.report.load.fingerprints import DECODERS, row_fingerprints
from mmpr.report.load.info import DatasetInfo, read_build_info
from mmpr.report.load.units import HashedQuestion, LoadedUnit, StoredRow, read_unit
from mmpr.schema import shown_question
from mmpr.storage.columns import column_of, read_batches, read_columns, read_selected
from mmpr.storage.shards import Stage, Unit, shard

RejectCounts = Counter[tuple[str, str]]
"""Rows of rejects/ by stage and split (``ingest-heldout``) and reason."""

_LOSING = ("index-train", "index-heldout", "ingest-train", "ingest-heldout", "sample-train")
_COLUMNS: dict[Stage, tuple[str, ...]] = {
    "ingest": ("id", "source", "kind", "question", "answer", "answers", "images", "context"),
    "sample": ("id", "prompt", "responses", "context"),
    "verify": ("id", "pass_rate", "verdicts"),
    "pair": ("id", "responses", "pairs"),
}


class BuildDataset:
    """A finished build; ``rejected`` counts its rows of rejects/."""

    def __init__(self, out: Path) -> None:
        """Raises OutputError when the folder holds no finished build."""
        self.info = read_build_info(out)
        self.rejected = rejected_rows(self.info)
        self._units = self.info.units["train"]

    def units(self) -> Iterator[LoadedUnit]:
        """All units in order. Raises OutputError when a shard cannot be read."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for unit in self._units:
                yield LoadedUnit(read_unit(self.info.out, unit), self._questions(unit, pool))

    def heldout(self) -> Iterator[list[HashedQuestion]]:
        """The held-out questions, in batches."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for unit in self.info.units["heldout"]:
                yield from self._questions(unit, pool)

    def ids(self, unit: int, places: Sequence[int]) -> list[str]:
        """The ids of the questions at these positions of a unit."""
        ids = column_of(read_columns(shard(self.info.out, "ingest", self._units[unit]), ["id"]), "id")
        return [ids[place].as_py() for place in places]

    def rows(self, unit: int, places: Sequence[int]) -> list[StoredRow]:
        """All that is stored of the questions at these positions of a unit."""
        wanted, out = self.ids(unit, places), self.info.out
        tables = {s: read_selected(shard(out, s, self._units[unit]), names, wanted) for s, names in _COLUMNS.items()}
        return [{stage: table[id] for stage, table in tables.items() if id in table} for id in wanted]

    def lost(self) -> tuple[int, dict[str, int]]:
        """The number of source rows that were looked at, and of those that were unusable, by reason."""
        reasons = rejected_by(self.rejected, *_LOSING)
        at_index = sum(rejected_by(self.rejected, "index-train", "index-heldout").values())
        return index_rows(self.info, "train") + index_rows(self.info, "heldout") + at_index, reasons

    def dropped(self) -> tuple[Dropped, ...]:
        """Nothing: rejects/ lists all of them."""
        return ()

    def audited(self) -> Audited | None:
        """What people say of the verdicts. Raises OutputError when ``audit.jsonl`` holds something else."""
        return read_audit(self.info.out, self._units)

    def _questions(self, unit: Unit, pool: ThreadPoolExecutor) -> Iterator[list[HashedQuestion]]:
        path = shard(self.info.out, "ingest", unit)
        for batch in read_batches(path, ("id", "source", "question", "images", "context")):
            yield [
                HashedQuestion(row["id"], row["source"], shown_question(row["question"], row.get("context")), prints)
                for row, prints in zip(batch, row_fingerprints(pool, batch), strict=True)
            ]


def rejected_rows(info: DatasetInfo) -> RejectCounts:
    """Count the rows of rejects/. Raises OutputError when a shard cannot be read."""
    found: RejectCounts = Counter()
    for name in sorted(name for name in info.rows if name.startswith("rejects/")):
        stage = "-".join(name.removeprefix("rejects/").split("-")[:2])
        for item in pc.value_counts(column_of(read_columns(info.out / name, ["reason"]), "reason")).to_pylist():
            found[stage, item["values"]] += item["counts"]
    return found


def rejected_by(rejected: RejectCounts, *stages: str) -> dict[str, int]:
    """The reasons of some stages with their counts, the most frequent first."""
    found: Counter[str] = Counter()
    for (stage, reason), count in rejected.items():
        if stage in stages:
            found[reason] += count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def index_rows(info: DatasetInfo, split: str) -> int:
    """How many source rows were taken into a split, by the footers of the index."""
    return sum(rows for name, rows in info.rows.items() if name.startswith(f"index/{split}/"))

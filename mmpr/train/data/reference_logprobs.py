"""The reference model's log-probabilities, computed once for a data set and kept beside it.

    PlannedRows, ReferenceModel ─compute_reference─▶ CACHE/<key>/part-*.parquet ─read_reference─▶ Reference

A cache belongs to one model revision, precision, way of encoding, data set and choice of pairs; anything else has
another folder. Each row is kept with a hash of its tokens and pictures, and is refused when they have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmpr.errors import MmprError, OutputError
from mmpr.schema import content_id
from mmpr.train.data.encoding import Encoded, Encoder
from mmpr.train.data.preference_data import TrainRows
from mmpr.train.data.step_plan import Ints, Pairs
from mmpr.train.data.unit_cache import ALONE, Workers, call_each, fill, open_cache, read_units
from mmpr.train.rows import EncodedRow, StepPart

FORMAT = 1
UNIT_ROWS = 256

Scores = Callable[[Sequence[StepPart]], list[Tensor]]


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """The summed log-probability of each response of a row (a float32 in all digits); None where no pair uses it."""

    row: int
    id: str
    content: str
    logps: tuple[float | None, ...]


class Reference:
    """The cached log-probabilities of a data set by row number, in 4 bytes a response and 16 a row."""

    def __init__(self, folder: Path, rows: Ints, contents: Any, logps: Any, first: Any) -> None:
        self._folder = folder
        self._rows, self._contents, self._logps, self._first = rows, contents, logps, first

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def attach(self, place: int, encoded: Encoded) -> EncodedRow:
        """The row with its reference log-probabilities; NaN for a response that no pair uses.

        Raises:
            MmprError: the row is not in the cache, or has changed since it was computed.
        """
        at = int(np.searchsorted(self._rows, place))
        if at == len(self._rows) or self._rows[at] != place:
            raise MmprError(f"{self._folder}: has no reference log-probabilities of row {encoded.row.id}")
        if self._contents[at].tobytes() != bytes.fromhex(encoded.content):
            raise MmprError(
                f"{self._folder}: row {encoded.row.id} has other tokens or pictures now than when its reference "
                "log-probabilities were computed; has the data or the processor changed? Delete the folder to compute "
                "them again"
            )
        values = torch.from_numpy(self._logps[self._first[at] : self._first[at + 1]].copy())
        return replace(encoded.row, reference=values)


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """The reference: its `Compute.scores`, the revision of its weights, and the precision in which it computes.

    ``scores`` gets about ``batch_tokens`` tokens at once; processes call it independently.
    """

    scores: Scores
    revision: str
    precision: str
    batch_tokens: int = 16384


@dataclass(frozen=True, slots=True)
class PlannedRows:
    """The rows of the data that a run needs: their numbers ``wanted``, ascending, and all ``pairs`` that fit."""

    rows: TrainRows
    encoder: Encoder
    pairs: Pairs
    wanted: Ints

    def part(self, place: int) -> tuple[int, StepPart, str]:
        """The number of a row, the row with all its pairs, and `Encoded.content`."""
        encoded = self.encoder.encode(self.rows[place])
        pairs = self.pairs.of_row(place)
        return place, StepPart(encoded.row, pairs, (1.0,) * len(pairs)), encoded.content


def compute_reference(planned: PlannedRows, model: ReferenceModel, base: Path, workers: Workers = ALONE) -> Path:
    """Compute what is not in the cache under ``base``; returns the folder for `read_reference`.

    Of a wanted row the responses of all its pairs are computed.

    Raises:
        OutputError: the folder cannot be written.
        MmprError: a log-probability is not finite, or a row cannot be encoded any more.
    """
    folder = open_cache(base, _about(planned, model), "reference", workers.file)

    def compute(places: Sequence[int]) -> Iterator[ReferenceRow]:
        parts = call_each(planned.part, places, workers.helpers)
        for batch in _batches(parts, model.batch_tokens):
            found = model.scores([part for _, part, _ in batch])
            for (place, part, content), values in zip(batch, found, strict=True):
                yield _row(place, part, content, values)

    fill(folder, ReferenceRow, planned.wanted.tolist(), UNIT_ROWS, compute, "reference", workers)
    return folder


def _about(planned: PlannedRows, model: ReferenceModel) -> dict[str, Any]:
    """What a cache is computed from, by name."""
    pairs = planned.pairs
    used = np.isin(pairs.row, planned.wanted)
    columns = (np.ascontiguousarray(column[used], "<i8") for column in (pairs.row, pairs.chosen, pairs.rejected))
    return {
        "format": FORMAT,
        "model": model.revision,
        "precision": model.precision,
        "encoding": planned.encoder.fingerprint,
        "data": planned.rows.fingerprint,
        "pairs": content_id(*(column.tobytes() for column in columns)),
    }


def read_reference(folder: Path, wanted: Ints) -> Reference:
    """What `compute_reference` has written for these rows.

    Raises:
        OutputError: a unit is missing or damaged, or of other rows.
    """
    table = pa.concat_tables(read_units(folder, len(wanted), UNIT_ROWS, ["row", "content", "logps"])).combine_chunks()
    found = table["row"].to_numpy()
    if not np.array_equal(found, wanted):
        raise OutputError(f"{folder}: holds other rows than the run asks for; delete it and run again")
    logps = table["logps"].combine_chunks()
    contents = np.array([bytes.fromhex(text) for text in table["content"].to_pylist()], "V16")
    values = logps.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return Reference(folder, found, contents, values, logps.offsets.to_numpy().astype(np.int64))


def _batches(
    parts: Iterable[tuple[int, StepPart, str]], batch_tokens: int
) -> Iterator[list[tuple[int, StepPart, str]]]:
    """Consecutive parts, at least one and about ``batch_tokens`` tokens at a time."""
    batch: list[tuple[int, StepPart, str]] = []
    size = 0
    for item in parts:
        row = item[1].row
        more = len(row.prompt_ids) + sum(len(row.response_ids[position]) for position in item[1].used)
        if batch and size + more > batch_tokens:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += more
    if batch:
        yield batch


def _row(place: int, part: StepPart, content: str, values: Tensor) -> ReferenceRow:
    if not bool(torch.isfinite(values).all()):
        raise MmprError(
            f"row {part.row.id}: the reference model's log-probabilities are not finite ({values.tolist()}); "
            "does the model load whole, and compute in a precision that it is made for?"
        )
    logps: list[float | None] = [None] * len(part.row.response_ids)
    for position, value in zip(part.used, values.tolist(), strict=True):
        logps[position] = value
    return ReferenceRow(place, part.row.id, content, tuple(logps))

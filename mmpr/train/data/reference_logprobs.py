"""The reference model's log-probabilities, computed once for a data set and kept beside it.

    Pairs ─compute_reference (Compute.scores)─▶ CACHE/<key>/part-*.parquet ─read_reference─▶ Reference: [row] ─▶ float32

A cache is of one model revision, one precision, one way of encoding, one data set and one choice of its pairs; what is
computed from anything else lies in another folder. Each row is kept with a hash of the very tokens and pictures that
the model was shown, and is refused when they are not the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmpr.errors import MmprError, OutputError
from mmpr.schema import content_id
from mmpr.train.data.encoding import Encoded, Encoder
from mmpr.train.data.preference_data import TrainRows
from mmpr.train.data.step_plan import Ints, Pairs
from mmpr.train.data.unit_cache import fill, open_cache, unit_paths
from mmpr.train.rows import EncodedRow, StepPart

FORMAT = 1
UNIT_ROWS = 256

Scores = Callable[[Sequence[StepPart]], list[Tensor]]


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """A row's summed log-probabilities, one a response (float32 in all digits); null where no pair uses it."""

    row: int
    id: str
    content: str
    logps: tuple[float | None, ...]


class Reference:
    """The cached log-probabilities of a data set, by row number; 4 bytes a response and 16 a row in memory."""

    def __init__(self, folder: Path, rows: Ints, contents: Any, logps: Any, first: Any) -> None:
        self._folder = folder
        self._rows, self._contents, self._logps, self._first = rows, contents, logps, first

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def attach(self, place: int, encoded: Encoded) -> EncodedRow:
        """The row with its reference log-probabilities (NaN where no pair of the plan uses the response).

        Raises:
            MmprError: the row is not in the cache, or was another one when it was computed.
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


def compute_reference(
    rows: TrainRows,
    encoder: Encoder,
    pairs: Pairs,
    wanted: Ints,
    scores: Scores,
    base: Path,
    *,
    model_revision: str,
    precision: str,
    batch_tokens: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    file: TextIO | None = None,
) -> Path:
    """Compute what is not there yet; returns the folder for ``read_reference``.

    Args:
        rows: the data.
        encoder: of the model.
        pairs: of the data, those that fit; of a wanted row the responses of all its pairs are computed.
        wanted: numbers of rows, ascending (``StepPlan.rows``).
        scores: ``Compute.scores`` of the reference model; processes call it each for itself, not equally often.
        base: where references are kept.
        model_revision: names the very weights.
        precision: in which the model computes.
        batch_tokens: about so many tokens are given to ``scores`` at once.
        workers: processes that encode beside this one.
        rank: this process; each does its share of the units.
        world: the number of processes.
        file: where progress is shown.

    Raises:
        OutputError: the folder cannot be written.
        MmprError: a log-probability is not finite, or a row cannot be encoded any more.
    """
    about = about_reference(rows, encoder, pairs, wanted, model_revision, precision)
    folder = open_cache(base, about, "reference", file)
    parts = _Parts(rows, encoder, pairs, wanted)

    def work(numbers: Sequence[int]) -> Iterator[ReferenceRow]:
        loader: Iterable[tuple[int, StepPart, str]] = DataLoader(
            parts, batch_size=None, sampler=numbers, num_workers=workers, collate_fn=None
        )
        for batch in _batches(loader, batch_tokens):
            found = scores([part for _, part, _ in batch])
            for (place, part, content), values in zip(batch, found, strict=True):
                yield _row(place, part, content, values)

    fill(
        folder,
        ReferenceRow,
        range(len(wanted)),
        UNIT_ROWS,
        work,
        name="reference",
        rank=rank,
        world=world,
        file=file,
    )
    return folder


def about_reference(
    rows: TrainRows, encoder: Encoder, pairs: Pairs, wanted: Ints, model_revision: str, precision: str
) -> dict[str, Any]:
    """What a cache is computed from, by name."""
    chosen = np.isin(pairs.row, wanted)
    columns = (np.ascontiguousarray(column[chosen], "<i8") for column in (pairs.row, pairs.chosen, pairs.rejected))
    return {
        "format": FORMAT,
        "model": model_revision,
        "precision": precision,
        "encoding": encoder.fingerprint,
        "data": rows.fingerprint,
        "pairs": content_id(*(column.tobytes() for column in columns)),
    }


def read_reference(folder: Path, wanted: Ints) -> Reference:
    """What ``compute_reference`` has written for these rows.

    Raises:
        OutputError: a unit is missing or damaged.
    """
    tables = []
    for path in unit_paths(folder, len(wanted), UNIT_ROWS):
        try:
            tables.append(pq.read_table(path, columns=["row", "content", "logps"], use_threads=False))
        except (pa.ArrowException, OSError) as error:
            raise OutputError(f"{path}: cannot be read ({error}); delete it and run again") from None
    table = pa.concat_tables(tables).combine_chunks()
    found = table["row"].to_numpy()
    if not np.array_equal(found, wanted):
        raise OutputError(f"{folder}: holds other rows than the run asks for; delete it and run again")
    logps = table["logps"].combine_chunks()
    contents = np.array([bytes.fromhex(text) for text in table["content"].to_pylist()], "V16")
    values = logps.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return Reference(folder, found, contents, values, logps.offsets.to_numpy().astype(np.int64))


class _Parts:
    """Rows as parts with all their pairs, for a DataLoader's workers."""

    def __init__(self, rows: TrainRows, encoder: Encoder, pairs: Pairs, wanted: Ints) -> None:
        self._rows, self._encoder, self._pairs, self._wanted = rows, encoder, pairs, wanted

    def __len__(self) -> int:
        return len(self._wanted)

    def __getitem__(self, number: int) -> tuple[int, StepPart, str]:
        place = int(self._wanted[number])
        encoded = self._encoder.encode(self._rows[place])
        both = self._pairs.of_row(place)
        return place, StepPart(encoded.row, both, (1.0,) * len(both)), encoded.content


def _batches(
    parts: Iterable[tuple[int, StepPart, str]], batch_tokens: int
) -> Iterator[list[tuple[int, StepPart, str]]]:
    """Consecutive parts of about so many tokens together, at least one."""
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

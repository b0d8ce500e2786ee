"""Every row looked at once: what can be trained on, and how long it is.

TrainRows, Encoder ─survey─▶ Survey ─pairs(max_tokens)─▶ Pairs for the plan, and a Reject for all that is left out
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import DataLoader

from mmpr.errors import OutputError, RowError
from mmpr.schema import Reject
from mmpr.storage.tables import arrow_schema
from mmpr.train.data.encoding import Encoder
from mmpr.train.data.preference_data import TrainRows, try_row
from mmpr.train.data.step_plan import Pairs
from mmpr.train.data.unit_cache import fill, open_cache, unit_paths

FORMAT = 2
UNIT_ROWS = 512


@dataclass(frozen=True, slots=True)
class RowLengths:
    """A row's lengths in tokens; one that cannot be used has no pairs, and says why in ``rejects``."""

    id: str
    source: str
    kind: str
    content: str
    prompt_tokens: int
    response_tokens: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    rejects: tuple[Reject, ...]


class _Looks:
    """Rows' lengths, for a DataLoader's workers."""

    def __init__(self, rows: TrainRows, encoder: Encoder, places: Sequence[int]) -> None:
        self._rows, self._encoder, self._places = rows, encoder, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> RowLengths:
        return look(self._rows, self._encoder, self._places[number])


def look(rows: TrainRows, encoder: Encoder, place: int) -> RowLengths:
    """Encode a row for its lengths."""
    row = try_row(rows, place)
    if isinstance(row, Reject):
        return RowLengths(row.id, row.source, "", "", 0, (), (), (), (row,))
    try:
        encoded = encoder.encode(row)
    except RowError as error:
        reject = Reject("encode", row.source, row.id, error.reason, error.detail)
        return RowLengths(row.id, row.source, row.kind, "", 0, (), (), (), (reject,))
    return RowLengths(
        id=row.id,
        source=row.source,
        kind=row.kind,
        content=encoded.content,
        prompt_tokens=len(encoded.row.prompt_ids),
        response_tokens=tuple(map(len, encoded.row.response_ids)),
        chosen=tuple(chosen for chosen, _ in encoded.pairs),
        rejected=tuple(rejected for _, rejected in encoded.pairs),
        rejects=encoded.rejects,
    )


class Survey:
    """The lengths of all rows, as columns (``RowLengths``): some 100 bytes a row and 12 a pair."""

    def __init__(self, table: pa.Table, rejects: Sequence[Reject], sources: Sequence[str] = ()) -> None:
        """``sources`` are names that count as known although no row may have them."""
        self._table = table.combine_chunks()
        self._rejects = tuple(rejects)
        self._sources = tuple(sources)

    def __len__(self) -> int:
        """The number of rows."""
        return int(self._table.num_rows)

    def pairs(self, max_tokens: int) -> tuple[Pairs, list[Reject]]:
        """The pairs whose prompt and longer response fit in ``max_tokens`` together, and what is left out.

        Rows keep their numbers; a row without a pair that fits is never planned.
        """
        sources = self._table["source"].combine_chunks().dictionary_encode()
        kinds = self._table["kind"].combine_chunks().dictionary_encode()
        prompt = self._column("prompt_tokens").astype(np.int32)
        tokens, first = self._lists("response_tokens")
        chosen, starts = self._lists("chosen")
        rejected, _ = self._lists("rejected")
        row = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(starts))
        longer = np.maximum(tokens[first[row] + chosen], tokens[first[row] + rejected])
        fits = prompt[row] + longer <= max_tokens
        rejects = list(self._rejects)
        for pair in np.flatnonzero(~fits).tolist():
            place = int(row[pair])
            detail = (
                f"responses {chosen[pair]} and {rejected[pair]}: {prompt[place] + longer[pair]} tokens, "
                f"the limit is {max_tokens} (data.max_tokens)"
            )
            rejects.append(Reject("encode", *self._named(place), "too_long", detail))
        keep = np.flatnonzero(fits)
        return (
            Pairs(
                row=row[keep],
                chosen=chosen[keep].astype(np.int16),
                rejected=rejected[keep].astype(np.int16),
                source=sources.indices.to_numpy().astype(np.int16),
                sources=tuple(dict.fromkeys([*sources.dictionary.to_pylist(), *self._sources])),
                kind=kinds.indices.to_numpy().astype(np.int16),
                kinds=tuple(kinds.dictionary.to_pylist()),
                prompt_tokens=prompt,
                response_tokens=tokens.astype(np.int32),
                first_response=first,
            ),
            rejects,
        )

    def _named(self, place: int) -> tuple[str, str]:
        return self._table["source"][place].as_py(), self._table["id"][place].as_py()

    def _column(self, name: str) -> Any:
        return self._table[name].combine_chunks().to_numpy(zero_copy_only=False)

    def _lists(self, name: str) -> tuple[Any, Any]:
        """A column of lists as its values, one row after the other, and where each row's begin."""
        lists = self._table[name].combine_chunks()
        return lists.flatten().to_numpy(zero_copy_only=False), lists.offsets.to_numpy().astype(np.int64)


def survey(
    rows: TrainRows,
    encoder: Encoder,
    base: Path,
    *,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    file: TextIO | None = None,
) -> Path:
    """Encode every row for its lengths, as far as that is not done yet; returns the folder for ``read_survey``.

    Args:
        rows: the data.
        encoder: of the model.
        base: where surveys are kept.
        workers: processes that encode beside this one.
        rank: this process; each does its share, and all must have ended before the survey is read.
        world: the number of processes.
        file: where progress is shown.

    Raises:
        OutputError: the folder cannot be written.
    """
    about = {"format": FORMAT, "data": rows.fingerprint, "encoding": encoder.fingerprint}
    folder = open_cache(base, about, "encode", file)

    def work(places: Sequence[int]) -> Iterator[RowLengths]:
        looks = _Looks(rows, encoder, places)
        if not workers:
            return (looks[number] for number in range(len(looks)))
        return iter(DataLoader(looks, batch_size=None, num_workers=workers))

    fill(folder, RowLengths, range(len(rows)), UNIT_ROWS, work, name="encode", rank=rank, world=world, file=file)
    return folder


def read_survey(folder: Path, rows: TrainRows) -> Survey:
    """What ``survey`` has written.

    Raises:
        OutputError: a unit is missing or damaged.
    """
    tables, rejects = [], list(rows.rejects)
    schema = arrow_schema(RowLengths)
    for path in unit_paths(folder, len(rows), UNIT_ROWS):
        try:
            table = pq.read_table(path, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise OutputError(f"{path}: cannot be read ({error}); delete it and run again") from None
        rejects += [Reject(**reject) for row in table["rejects"].to_pylist() for reject in row]
        tables.append(table.drop_columns(["rejects"]))
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    if len(table) != len(rows):
        raise OutputError(f"{folder}: holds {len(table)} rows, the data {len(rows)}; delete it and run again")
    return Survey(table, rejects, tuple(rows.weights))

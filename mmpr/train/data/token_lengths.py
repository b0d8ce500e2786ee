"""Token lengths of every row, measured once and kept in ``survey/`` beside the data.

TrainRows, Encoder ─measure_lengths─▶ TokenLengths ─pairs(max_tokens)─▶ Pairs for the plan, Rejects of all others
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmpr.errors import OutputError, RowError
from mmpr.schema import Reject
from mmpr.storage.tables import arrow_schema
from mmpr.train.data.encoding import Encoder
from mmpr.train.data.preference_data import TrainRows, try_row
from mmpr.train.data.step_plan import Pairs
from mmpr.train.data.unit_cache import ALONE, Workers, call_each, fill, open_cache, read_units

FORMAT = 3
UNIT_ROWS = 512


@dataclass(frozen=True, slots=True)
class RowLengths:
    """The lengths of a row in tokens, and its usable pairs as ``chosen`` and ``rejected`` responses.

    ``rejects`` says why other pairs, or the whole row, cannot be used. ``content``, ``as_sampled`` and ``prompt`` are
    those of `Encoded`.
    """

    id: str
    source: str
    kind: str
    content: str
    prompt_tokens: int
    response_tokens: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    rejects: tuple[Reject, ...]
    as_sampled: int = 0
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Sameness:
    """How much of the data is trained on as it was sampled, token by token.

    ``differs`` counts prompts that are other tokens than the model read, ``unknown`` those that cannot be compared.
    """

    responses: int
    as_sampled: int
    prompts: int
    differs: int
    unknown: int

    def __str__(self) -> str:
        made = self.responses - self.as_sampled
        told = [f"{self.as_sampled:,} of {self.responses:,} responses are the tokens that were sampled"]
        if made:
            told.append(f"{made:,} are made of their texts (foreign data, another tokenizer, or cut at sampling.stop)")
        told.append(f"{self.prompts - self.differs - self.unknown:,} of {self.prompts:,} prompts are those of sampling")
        if self.differs:
            told.append(f"{self.differs:,} are not")
        if self.unknown:
            told.append(f"{self.unknown:,} could not be compared")
        return "; ".join(told)


def measure_row(rows: TrainRows, encoder: Encoder, place: int) -> RowLengths:
    """Encode row ``place`` and return its lengths."""
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
        as_sampled=encoded.as_sampled,
        prompt=encoded.prompt,
    )


class TokenLengths:
    """The lengths of all rows as columns of `RowLengths`: about 100 bytes a row and 12 a pair."""

    def __init__(self, table: pa.Table, rejects: Sequence[Reject], sources: Sequence[str] = ()) -> None:
        """``sources`` are names that a recipe may weigh even if no row has them."""
        self._table = table.combine_chunks()
        self._rejects = tuple(rejects)
        self._sources = tuple(sources)

    def __len__(self) -> int:
        """The number of rows."""
        return int(self._table.num_rows)

    def sameness(self) -> Sameness:
        """How much of the data is as it was sampled."""
        prompts = Counter(self._table["prompt"].to_pylist())
        del prompts[""]  # rows that could not be encoded
        responses = len(self._lists("response_tokens")[0])
        as_sampled = int(self._column("as_sampled").sum())
        return Sameness(responses, as_sampled, prompts.total(), prompts["differs"], prompts["unknown"])

    def pairs(self, max_tokens: int) -> tuple[Pairs, list[Reject]]:
        """The pairs whose prompt and longer response have at most ``max_tokens``, and a reject for each other pair.

        Rows keep their numbers, those without a pair too.
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
        """A column of lists: all values, one row after the other, and ``[rows + 1]`` where each row's begin."""
        lists = self._table[name].combine_chunks()
        return lists.flatten().to_numpy(zero_copy_only=False), lists.offsets.to_numpy().astype(np.int64)


def measure_lengths(rows: TrainRows, encoder: Encoder, base: Path, workers: Workers = ALONE) -> Path:
    """Encode every row whose lengths are not in the cache under ``base``; returns the folder for `read_lengths`.

    All processes of ``workers`` must have ended before the folder is read.

    Raises:
        OutputError: the folder cannot be written.
    """
    about = {"format": FORMAT, "data": rows.fingerprint, "encoding": encoder.fingerprint}
    folder = open_cache(base, about, "encode", workers.file)

    def measure(places: Sequence[int]) -> Iterator[RowLengths]:
        return call_each(lambda place: measure_row(rows, encoder, place), places, workers.helpers)

    fill(folder, RowLengths, range(len(rows)), UNIT_ROWS, measure, "encode", workers)
    return folder


def read_lengths(folder: Path, rows: TrainRows) -> TokenLengths:
    """What `measure_lengths` has written.

    Raises:
        OutputError: a unit is missing or damaged.
    """
    tables, rejects = [], list(rows.rejects)
    for table in read_units(folder, len(rows), UNIT_ROWS):
        rejects += [Reject(**reject) for row in table["rejects"].to_pylist() for reject in row]
        tables.append(table.drop_columns(["rejects"]))
    table = pa.concat_tables(tables) if tables else arrow_schema(RowLengths).empty_table()
    if len(table) != len(rows):
        raise OutputError(f"{folder}: holds {len(table)} rows, the data {len(rows)}; delete it and run again")
    return TokenLengths(table, rejects, tuple(rows.weights))

"""How units enter the graph of stages: one by one, a bounded number ahead, so that the driver's memory knows no size.

A dataset made of a list keeps every block, and what Ray says of it, in the driver until the end. Here one task yields a
unit after the other, and waits when it is too far ahead of what lies on disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from mmpr.storage.shards import Stage, Unit, is_done

AHEAD = 16
"""Units let in for each one that the engines work on at once: so much later may a unit end than those begun with it."""

_LOOK_EVERY_S = 0.2


def units_as_rows(units: Sequence[Unit], out: Path, last: Stage, ahead: int) -> Any:
    """A dataset of one block a unit, so that each is scheduled, retried and finished alone.

    A unit enters when the one ``ahead`` places before it lies in ``out`` as ``last`` writes it.
    """
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 1  # bytes: Ray would put units that follow each other quickly into one block
    if _ForgetsBlocks not in context.custom_execution_callback_classes:
        context.custom_execution_callback_classes.append(_ForgetsBlocks)
    return ray.data.read_datasource(_Feed(units, out, last, ahead), override_num_blocks=1, num_cpus=0)


class _Feed(Datasource):  # type: ignore[misc]
    """Units as blocks of one row, from a single task."""

    def __init__(self, units: Sequence[Unit], out: Path, last: Stage, ahead: int) -> None:
        super().__init__()
        self._units, self._out, self._last, self._ahead = units, out, last, ahead

    def get_name(self) -> str:
        return "Units"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(_entering(self._units, self._out, self._last, self._ahead), unknown)]


def _entering(units: Sequence[Unit], out: Path, last: Stage, ahead: int) -> Callable[[], Iterator[pa.Table]]:
    def blocks() -> Iterator[pa.Table]:
        for place, unit in enumerate(units):
            while place >= ahead and not is_done(out, last, units[place - ahead]):
                time.sleep(_LOOK_EVERY_S)
            yield pa.table({"split": [unit.split], "number": [unit.number], "of": [unit.of], "error": [""]})

    return blocks


class _ForgetsBlocks:
    """Ray keeps a record of every block that an operator has put out, for a summary that nobody here asks for."""

    def before_execution_starts(self, executor: Any) -> None: ...
    def after_execution_succeeds(self, executor: Any) -> None: ...
    def after_execution_fails(self, executor: Any, error: Exception) -> None: ...

    def on_execution_step(self, executor: Any) -> None:
        for operator in executor._topology:
            for records in operator.get_stats().values():
                if isinstance(records, list):
                    records.clear()

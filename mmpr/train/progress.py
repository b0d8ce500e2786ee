"""What a person sees while a run trains: one live line on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmpr.command import printable
from mmpr.progress import PLAIN_EVERY_S


class TrainProgress:
    """Steps done, rate, time left, and the figures that tell whether it learns."""

    def __init__(self, done: int, steps: int, file: TextIO) -> None:
        self._done, self._steps, self._file = done, steps, file
        self._first = done
        self._started_s = self._told_s = time.monotonic()
        console = Console(file=file)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("train"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[details]}"),
            )
            self._bar = Progress(*columns, console=console, speed_estimate_period=60)
            self._task = self._bar.add_task("train", total=steps, completed=done, details="")
            self._bar.start()

    def step(self, line: Mapping[str, Any]) -> None:
        """A step is done."""
        self._done = int(line["step"])
        details = (
            f"loss {line['loss']:.3f}  margin {line['rewards/margins']:.2f}  "
            f"accuracy {line['rewards/accuracies']:.2f}  {line['tokens_per_second']:,.0f} tokens/s"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, details=details)
            return
        now_s = time.monotonic()
        if now_s - self._told_s >= PLAIN_EVERY_S or self._done == self._steps:
            self._told_s = now_s
            left_s = (now_s - self._started_s) / max(self._done - self._first, 1) * (self._steps - self._done)
            print(f"{self._done:,}/{self._steps:,} steps  {details}  {left_s:,.0f} s left", file=self._file, flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        text = printable(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._file, flush=True)

    def close(self) -> None:
        """The run has ended."""
        if self._bar is not None:
            self._bar.stop()

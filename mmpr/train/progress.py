"""How far encoding, the reference and training are: a live bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmpr.cli.command import printable
from mmpr.pipeline.progress import PLAIN_EVERY_S


class TrainProgress:
    """Shows how many of ``total`` things (``noun``: rows, steps) are done; ``done`` of them before this start."""

    def __init__(self, name: str, noun: str, total: int, done: int = 0, file: TextIO | None = None) -> None:
        self._name, self._noun, self._total, self._first = name, noun, total, done
        self._file = file or sys.stderr
        self._started_s = self._shown_s = time.monotonic()
        console = Console(file=self._file)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description:<9}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[details]}"),
            )
            self._bar = Progress(*columns, console=console, speed_estimate_period=60)
            self._task = self._bar.add_task(name, total=total, completed=done, details="")
            self._bar.start()

    def update(self, done: int, details: str = "", *, last: bool = False) -> None:
        """Show that ``done`` things are done, with ``details`` (default: the rate); the ``last`` line always stands."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, details=details)
            return
        now_s = time.monotonic()
        if now_s - self._shown_s < PLAIN_EVERY_S and not last:
            return
        self._shown_s = now_s
        here, passed_s = max(done - self._first, 1), now_s - self._started_s
        details = details or f"{here / max(passed_s, 1e-9):,.1f} {self._noun}/s"
        left_s = passed_s / here * (self._total - done)
        self.say(f"{self._name}  {done:,}/{self._total:,} {self._noun}  {details}  {left_s:,.0f} s left")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        text = printable(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._file, flush=True)

    def close(self) -> None:
        """End the live bar."""
        if self._bar is not None:
            self._bar.stop()

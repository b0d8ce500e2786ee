"""JSONL files with a line a step: each step once, however often the run was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmpr.errors import OutputError


class StepLog:
    """Appends lines with a ``step`` to a file."""

    def __init__(self, path: Path, done: int) -> None:
        """Open the file of a run that goes on after step ``done``; lines of steps that are run again are removed."""
        kept = read_steps(path, done)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(dict(line)) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Flush to disk, so that a checkpoint never has steps that the file lacks."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_steps(path: Path, done: int | None = None) -> list[dict[str, Any]]:
    """The lines of a file, up to step ``done`` (0: none) where it is given; a last line that was cut off is left out.

    Raises:
        OutputError: another line is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    steps = []
    for number, line in enumerate(lines, start=1):
        try:
            steps.append(dict(json.loads(line)))
        except ValueError:
            if number == len(lines):
                break
            raise OutputError(f"{path}: line {number} is damaged; delete the file to go on without it") from None
    return [step for step in steps if done is None or 0 < done >= step["step"]]

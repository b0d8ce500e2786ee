"""Checkpoints that are whole or absent: written under another name, flushed to disk, renamed.

RUN/writing/checkpoint-120/      being written by the Trainer; whatever lies here is never read
RUN/checkpoints/checkpoint-120/  whole
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from mmpr.storage.shards import writing

WRITING = "writing"
CHECKPOINTS = "checkpoints"
_NAME = re.compile(r"checkpoint-(\d+)")


def last_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint of a run."""
    found = _all(run)
    return found[-1] if found else None


def step_of(checkpoint: Path) -> int:
    """How many steps a checkpoint has seen."""
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def forget_half_written(run: Path) -> None:
    """Remove what a killed run was writing."""
    shutil.rmtree(run / WRITING, ignore_errors=True)


def publish(written: Path, place: Path) -> None:
    """Flush a folder and all in it to disk, then give it its name; what had that name goes.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        for path in sorted(written.rglob("*")):
            _sync(path)
        _sync(written)
        if place.exists():
            shutil.rmtree(place)
        written.rename(place)
        _sync(place.parent)


def keep_last(run: Path, keep: int) -> None:
    """Remove all checkpoints but the last few."""
    for checkpoint in _all(run)[:-keep]:
        # Renamed first: a folder that is half removed must not look like a checkpoint.
        doomed = run / WRITING / f"old-{checkpoint.name}"
        doomed.parent.mkdir(exist_ok=True)
        checkpoint.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _all(run: Path) -> list[Path]:
    folders = [path for path in (run / CHECKPOINTS).glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(folders, key=step_of)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Checkpoints, whole or absent: written to ``RUN/writing``, flushed to disk, renamed into ``RUN/checkpoints``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mmpr.storage.shards import sync, writing
from mmpr.train.run_folder import CHECKPOINTS, WRITING

_NAME = re.compile(r"checkpoint-(\d+)")


def last_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run, or None."""
    found = _all(run)
    return found[-1] if found else None


def step_of(checkpoint: Path) -> int:
    """The number of steps that were taken before a checkpoint."""
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def forget_half_written(run: Path) -> None:
    """Remove what a run was writing when it was killed."""
    shutil.rmtree(run / WRITING, ignore_errors=True)


def publish(written: Path, place: Path) -> None:
    """Flush a folder and all in it to disk, then rename it to ``place``, whose old content is removed.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        for path in sorted(written.rglob("*")):
            sync(path)
        sync(written)
        if place.exists():
            shutil.rmtree(place)
        written.rename(place)
        sync(place.parent)


def keep_last(run: Path, keep: int) -> None:
    """Remove all checkpoints but the last few."""
    for checkpoint in _all(run)[:-keep]:
        # Renamed first: a folder that is half removed must not be taken for a checkpoint.
        doomed = run / WRITING / f"old-{checkpoint.name}"
        doomed.parent.mkdir(exist_ok=True)
        checkpoint.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _all(run: Path) -> list[Path]:
    folders = [path for path in (run / CHECKPOINTS).glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(folders, key=step_of)

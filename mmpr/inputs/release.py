"""Releases of MMPR: ``meta.json``, or the folder that holds it."""

from __future__ import annotations

from pathlib import Path

from mmpr.sources.mmpr_pairs import OnReject, Release


def open_release(path: Path, on_reject: OnReject) -> Release:
    """The pairs of a release; goes through its text once. ``on_reject`` is told of every line that is no pair.

    Raises:
        SourceError: a file is missing or holds something else.
    """
    return Release(path, on_reject)


def meta_file(path: Path) -> Path:
    """The release's ``meta.json``."""
    return path / "meta.json" if path.is_dir() else path


def release_name(path: Path) -> str:
    """The name of the folder that the release lies in."""
    return meta_file(path).parent.resolve().name

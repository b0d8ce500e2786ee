"""What a path holds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmpr.sources.mmpr_pairs import is_release
from mmpr.storage.shards import MANIFEST, PLAN

Kind = Literal["build", "unfinished", "release", "table"]


def kind_of(path: Path) -> Kind | None:
    """What a path holds, told from the names of its files.

    ``build`` has a manifest, ``unfinished`` only a plan, ``release`` is a JSON file that is no list, or holds
    ``meta.json``. Anything else that is there is a ``table``. None when there is nothing of that name (it may be a
    glob).
    """
    if (path / MANIFEST).is_file():
        return "build"
    if (path / PLAN).is_file():
        return "unfinished"
    if is_release(path) and not _is_list(path):
        return "release"
    return "table" if path.exists() else None


def _is_list(path: Path) -> bool:
    """Whether a JSON file begins as a list: one of rows."""
    try:
        with path.open("rb") as file:
            return file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except OSError:  # a folder, or what cannot be read, which is told where it is opened
        return False

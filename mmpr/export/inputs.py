"""What is exported, in parts that are each done or not: the shards of a build, or slices of an MMPR release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from mmpr.errors import OutputError, SourceError
from mmpr.schema import PreferenceRow, Reject
from mmpr.sources.mmpr_pairs import Release, is_release
from mmpr.storage.manifest import file_sha256, read_manifest
from mmpr.storage.tables import read_rows

_QUESTIONS_A_PART = 1024

OnReject = Callable[[Reject], None]


class Input(Protocol):
    """Rows of pairs in ``parts`` parts, the same ones every time; ``sha256`` tells one input from another."""

    name: str
    sha256: str
    parts: int

    def rows(self, part: int, on_reject: OnReject) -> Iterator[PreferenceRow]:
        """The rows of a part; what cannot be read is told to ``on_reject``."""
        ...

    def repeat_time(self, source: str) -> float:
        """How much of a source is to be trained on; 1 is all, once."""
        ...


def open_input(path: Path, on_reject: OnReject) -> Input:
    """A finished build or a release; ``on_reject`` is told of a release's lines that are no pairs.

    Raises:
        OutputError, SourceError: it is neither, or damaged.
    """
    return _BuildInput(path) if check_input(path) == "build" else _ReleaseInput(path, on_reject)


def check_input(path: Path) -> Literal["build", "release"]:
    """What a path is, by the looks of it.

    Raises:
        SourceError: it is neither.
    """
    if (path / "manifest.json").exists():
        return "build"
    if is_release(path):
        return "release"
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder; name a finished build, or MMPR's meta.json or its folder")
    raise SourceError(f"{path}: neither a finished build (a folder with manifest.json) nor an MMPR release (meta.json)")


class _BuildInput:
    def __init__(self, out: Path) -> None:
        files = read_manifest(out).get("files")
        if not isinstance(files, dict):
            raise OutputError(f"{out / 'manifest.json'}: is damaged; python -m mmpr.check {out} tells more")
        self._out = out
        self._shards = {name: about for name, about in sorted(files.items()) if name.startswith("pairs/part-")}
        self.name, self.parts = out.resolve().name, len(self._shards)
        self.sha256 = file_sha256(out / "manifest.json")

    def rows(self, part: int, on_reject: OnReject) -> Iterator[PreferenceRow]:
        name, about = list(self._shards.items())[part]
        path = self._out / name
        try:
            whole = file_sha256(path) == about["sha256"]
        except (OSError, TypeError, KeyError):
            whole = False
        if not whole:
            raise OutputError(f"{path}: is missing or was changed; python -m mmpr.check {self._out} tells more")
        return read_rows(path, PreferenceRow)

    def repeat_time(self, source: str) -> float:
        return 1


class _ReleaseInput:
    def __init__(self, path: Path, on_reject: OnReject) -> None:
        self._on_reject = on_reject
        self._release = Release(path, lambda reject: self._on_reject(reject))
        self.name = (path if path.is_dir() else path.parent).resolve().name
        self.parts = -(-len(self._release) // _QUESTIONS_A_PART)
        meta = path / "meta.json" if path.is_dir() else path
        # Enough to tell releases apart: annotations are large, and nobody edits them while they are exported.
        told = [file_sha256(meta), len(self._release), self._release.pairs]
        self.sha256 = hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def rows(self, part: int, on_reject: OnReject) -> Iterator[PreferenceRow]:
        self._on_reject = on_reject
        start = part * _QUESTIONS_A_PART
        return self._release.rows(start, start + _QUESTIONS_A_PART)

    def repeat_time(self, source: str) -> float:
        return self._release.repeat_time(source)

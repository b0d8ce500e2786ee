"""What is exported, in parts that are each done or not: the shards of a build, or slices of an MMPR release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from mmpr.errors import OutputError, SourceError
from mmpr.inputs.build import open_build
from mmpr.inputs.kinds import kind_of
from mmpr.inputs.release import meta_file, open_release, release_name
from mmpr.schema import PreferenceRow
from mmpr.sources.mmpr_pairs import OnReject
from mmpr.storage.manifest import file_sha256
from mmpr.storage.shards import MANIFEST
from mmpr.storage.tables import read_rows

_QUESTIONS_A_PART = 1024


def check_source(path: Path) -> None:
    """Check that a path is a build or a release, without opening it.

    Raises:
        SourceError: it is neither.
    """
    kind = kind_of(path)
    if kind is None:
        raise SourceError(f"{path}: no such file or folder; name a finished build, or MMPR's meta.json or its folder")
    if kind not in ("build", "release"):
        raise SourceError(
            f"{path}: neither a finished build (a folder with {MANIFEST}) nor an MMPR release (meta.json)"
        )


class BuildParts:
    """The rows of a build, a part for each shard of ``pairs/``.

    ``sha256`` tells one build from another, ``system`` is the system prompt that all was asked with.
    """

    def __init__(self, out: Path) -> None:
        """Raises OutputError when the build is not finished or its manifest is damaged."""
        self._build = open_build(out)
        self.name, self.count = out.resolve().name, len(self._build.pair_shards)
        self.sha256 = file_sha256(out / MANIFEST)
        recipe = self._build.manifest.get("recipe") or {}
        self.system = str((recipe.get("chat") or {}).get("system") or "")

    def rows(self, part: int, on_reject: OnReject) -> Iterator[PreferenceRow]:
        """The rows of a part. Raises OutputError when the shard is not the one that the manifest names."""
        name = self._build.pair_shards[part]
        path = self._build.folder / name
        try:
            whole = file_sha256(path) == self._build.files[name]["sha256"]
        except (OSError, TypeError, KeyError):
            whole = False
        if not whole:
            raise OutputError(
                f"{path}: is missing or was changed; python -m mmpr.check {self._build.folder} tells more"
            )
        return read_rows(path, PreferenceRow)

    def repeat_time(self, source: str) -> float:
        """How often a source is to be trained on: once."""
        return 1


class ReleaseParts:
    """The rows of a release, 1,024 questions a part. ``sha256`` tells one release from another."""

    system = ""

    def __init__(self, path: Path, on_reject: OnReject) -> None:
        """Reads the text once; ``on_reject`` is told of lines that are no pairs. Raises SourceError."""
        self._on_reject = on_reject
        self._release = open_release(path, lambda reject: self._on_reject(reject))
        self.name = release_name(path)
        self.count = -(-len(self._release) // _QUESTIONS_A_PART)
        # Not of the annotations, which are large and are not edited while they are exported.
        told = [file_sha256(meta_file(path)), len(self._release), self._release.pairs]
        self.sha256 = hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def rows(self, part: int, on_reject: OnReject) -> Iterator[PreferenceRow]:
        """The rows of a part; ``on_reject`` is told of those that cannot be read."""
        self._on_reject = on_reject
        start = part * _QUESTIONS_A_PART
        return self._release.rows(start, start + _QUESTIONS_A_PART)

    def repeat_time(self, source: str) -> float:
        """How often ``meta.json`` wants a source to be trained on; below 1, which share of it."""
        return self._release.repeat_time(source)


Parts = BuildParts | ReleaseParts


def open_parts(path: Path, on_reject: OnReject) -> Parts:
    """A finished build or a release; ``on_reject`` is told of a release's lines that are no pairs.

    Raises:
        OutputError: it is a build that is damaged.
        SourceError: it is a release that is damaged.
    """
    return BuildParts(path) if kind_of(path) == "build" else ReleaseParts(path, on_reject)

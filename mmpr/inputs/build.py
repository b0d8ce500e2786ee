"""Builds: a finished one by its manifest, and the held-out questions of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpr.errors import OutputError
from mmpr.pipeline.plan import Build, read_build
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import MANIFEST, PLAN, shard


@dataclass(frozen=True, slots=True)
class FinishedBuild:
    """A finished build: its folder, what ``manifest.json`` says, and its files (rows, bytes, SHA-256) by name."""

    folder: Path
    manifest: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def pair_shards(self) -> list[str]:
        """The names of the files of ``pairs/``, in order."""
        return sorted(name for name in self.files if name.startswith("pairs/part-"))


def open_build(folder: Path) -> FinishedBuild:
    """A finished build.

    Raises:
        OutputError: the folder holds no finished build, or its manifest is damaged.
    """
    manifest = read_manifest(folder)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise OutputError(f"{folder / MANIFEST}: is damaged; python -m mmpr.check {folder} tells more")
    return FinishedBuild(folder, manifest, files)


def read_plan(folder: Path) -> Build:
    """The plan of a finished build.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    plan = read_build(folder)
    if plan is None:
        raise OutputError(f"{folder}: has a manifest and no plan ({PLAN}); copy the whole build")
    return plan


def heldout_shards(folder: Path) -> list[Path]:
    """The files of a build's held-out questions, whether or not the build is finished.

    Raises:
        OutputError: the build keeps none, or has not written all of them.
    """
    plan = read_build(folder)
    paths = [shard(folder, "ingest", unit) for unit in plan.of("heldout")] if plan else []
    if not paths:
        raise OutputError(
            f"{folder}: the build keeps no held-out questions; give its recipe a `heldout` and build again"
        )
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise OutputError(
            f"{folder}: {len(missing)} of {len(paths)} held-out shards are missing; run the build to its end"
        )
    return paths

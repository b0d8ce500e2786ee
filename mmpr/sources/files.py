"""Files of a source: which ones a recipe's path means, and pictures that never come from outside a root."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
from pathlib import Path

from mmpr.errors import RowError, SourceError
from mmpr.schema import content_id

PACKED_SUFFIXES = (".gz", ".zst", ".bz2")
"""What the names of packed files end with (``mmpr.sources.streams`` reads them)."""


def find_files(path: Path, suffix: str | tuple[str, ...]) -> tuple[Path, list[Path]]:
    """The files that a path means, sorted, and the folder that they lie under.

    ``path`` is a file, a folder (every file in it that ends with ``suffix``, at any depth) or a glob. Several suffixes
    may also be followed by that of a packed file, which counts where the file itself is not there.

    Raises:
        SourceError: there is none.
    """
    try:
        path.stat()
    except FileNotFoundError:
        pass  # it may be a glob
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise SourceError(f"{str(path)[:200]}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if path.is_dir():
        several = (suffix,) if isinstance(suffix, str) else suffix
        packed = [] if isinstance(suffix, str) else [f"{one}{more}" for one in several for more in PACKED_SUFFIXES]
        names = {item for one in (*several, *packed) for item in path.rglob(f"*{one}")}
        names = {item for item in names if item.suffix not in PACKED_SUFFIXES or item.with_suffix("") not in names}
        found = sorted(item for item in names if item.is_file() and not _hidden(item, path))
        if not found:
            told = " or ".join(f"*{one}" for one in several)
            raise SourceError(f"{path}: the folder holds no {told} file; name a file, a folder or a glob")
        return path, found
    if path.exists():
        if not path.is_file():
            raise SourceError(f"{path}: neither a file nor a folder")
        return path.parent, [path]
    if glob.has_magic(str(path)):
        found = sorted(Path(item) for item in glob.glob(str(path), recursive=True) if Path(item).is_file())
        if found:
            fixed = path.parts[: next(at for at, part in enumerate(path.parts) if glob.has_magic(part))]
            return Path(*fixed), found
        raise SourceError(f"{path}: no file matches this glob")
    raise SourceError(f"{path}: no such file or folder; paths in a recipe start at the recipe's own folder")


def fingerprint_of_files(path: Path) -> str:
    """A hash of the names, sizes and times of the files that a source's path means: it changes when one of them does.

    Of a folder all files count; of a file of JSON, all files of JSON beside it, which it may name (``meta.json``).
    """
    if path.is_dir():
        files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    elif path.suffix == ".json":
        files = [file for file in path.parent.rglob("*") if file.suffix in (".json", ".jsonl")]
    else:
        files = [path] if path.exists() else [Path(name) for name in glob.glob(str(path), recursive=True)]
    told = []
    for file in sorted(files):
        with contextlib.suppress(OSError):  # it is gone by now
            state = file.stat()
            told.append(f"{label(file, path.parent)} {state.st_size} {state.st_mtime_ns}")
    return content_id(*told)


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; a name that cannot be one is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def label(path: Path, base: Path) -> str:
    """A file's name for people and for references: relative to ``base``, with bytes that are no text replaced."""
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)
    return name.encode("utf-8", "replace").decode()


def under_root(root: Path, path: str) -> str:
    """A picture's path relative to its root when it is an absolute path inside; any other path as it is."""
    if path.startswith("/"):
        for place in (root, Path(os.path.realpath(root))):
            if Path(path).is_relative_to(place):
                return Path(path).relative_to(place).as_posix()
    return path


MAX_PATH = 4096
"""Characters; no system opens longer ones, and resolving a megabyte of ``a/a/a`` takes minutes."""


def is_address(path: str) -> bool:
    """Whether a picture's path is an address, be it of the web."""
    return "://" in path[:12]


def read_inside(root: Path, path: str, max_bytes: int) -> bytes:
    """The bytes of a regular file under ``root``.

    No absolute path, no ``..``, and no link may lead out of the root, not even one that is put there meanwhile; opening
    never waits (a FIFO is refused), and nothing is read of a file that is larger than ``max_bytes``. In a snapshot of
    the hub's cache, whose files are links, the snapshot's own data belong to the root. Where there is no such file,
    backslashes are read as Windows writes paths.

    Raises:
        RowError: image_outside_root, image_missing, image_not_a_file, image_too_large, image_unreadable, image_remote,
            image_empty.
    """
    if is_address(path):
        remedy = "fetch it and name the file, or allow its host (images.remote.hosts)"
        raise RowError("image_remote", f"{_shown(path)}: pictures are not downloaded; {remedy}")
    if len(path) > MAX_PATH:
        raise RowError("image_missing", f"{_shown(path)} cannot be the name of a file: {len(path):,} characters")
    if path.startswith("/") or ".." in path.split("/"):
        raise RowError("image_outside_root", f"{_shown(path)} is not under the source's root")
    try:
        real_root = os.path.realpath(root)
        real = os.path.realpath(os.path.join(real_root, path))
        if "\\" in path and not os.path.exists(real):
            return read_inside(root, path.replace("\\", "/"), max_bytes)
        if os.path.commonpath([real, real_root]) != real_root:
            real_root = _blobs(real_root) or real_root
        if os.path.commonpath([real, real_root]) != real_root:
            raise RowError("image_outside_root", f"{_shown(path)} is a link that leaves the source's root")
        handle = _open_without_links(real_root, os.path.relpath(real, real_root))
    except (FileNotFoundError, NotADirectoryError):
        raise RowError("image_missing", f"{_shown(path)} is no file under the source's root") from None
    except OSError as error:
        raise RowError("image_unreadable", f"{_shown(path)}: {error.strerror}") from None
    except ValueError:
        raise RowError("image_missing", f"{_shown(path)} cannot be the name of a file") from None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise RowError("image_not_a_file", f"{_shown(path)} is a folder, a device or a pipe")
        if facts.st_size > max_bytes:
            size = f"{facts.st_size} bytes, the limit is {max_bytes}"
            raise RowError("image_too_large", f"{_shown(path)}: {size} (images.max_bytes)")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(facts.st_size + 1)
    except OSError as error:
        raise RowError("image_unreadable", f"{_shown(path)}: {error.strerror}") from None
    finally:
        os.close(handle)
    if len(data) > facts.st_size:
        raise RowError("image_too_large", f"{_shown(path)}: grows while it is read")
    if not data:
        raise RowError("image_empty", f"{_shown(path)}: 0 bytes")
    return data


def _blobs(real_root: str) -> str | None:
    """Where the files of a snapshot in the hub's cache lie (``datasets--a--b/snapshots/…``); None of other folders."""
    parts = Path(real_root).parts
    for place in range(1, len(parts) - 1):
        if parts[place] == "snapshots" and _HUB_CACHE.fullmatch(parts[place - 1]):
            return os.path.join(*parts[:place], "blobs")
    return None


_HUB_CACHE = re.compile(r"(?:datasets|models)--[\w.-]+")


def _open_without_links(root: str, path: str) -> int:
    """Open a file below ``root`` folder by folder; a link where there was none a moment ago is an OSError."""
    *folders, name = path.split("/")
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)


def _hidden(path: Path, base: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(base).parts)


def _shown(path: str) -> str:
    return ascii(path if len(path) <= 200 else path[:200] + "...")

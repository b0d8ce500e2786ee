"""MMPR's ``meta.json``: which files an entry means, wherever the release was unpacked.

    {name: {root, annotation, data_augment, repeat_time, length}}

Paths in ``meta.json`` are those of the cluster that wrote it. They are looked for beside ``meta.json`` by their last
parts, the longest that exists. Nothing is read that does not lie in the folder of ``meta.json``, not even by a link.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mmpr.config import Columns
from mmpr.config.small_files import read_small
from mmpr.errors import RowError, SourceError
from mmpr.sources import cells, files, jsonl
from mmpr.sources.values import Number

_MAX_META_BYTES = 16 << 20
_LENGTH_DIGITS = 16


class Entry(NamedTuple):
    """One line of ``meta.json``, its paths repaired.

    ``repeat_time`` is how much of it the paper trains on, ``length`` how many lines it has by its own
    account (None: not said).
    """

    annotation: Path
    root: Path
    repeat_time: float
    length: int | None = None


class Meta:
    """The entries of a ``meta.json``, and the pictures that their rows refer to.

    A picture's reference is its root and path as far as they lie beside ``meta.json``, so that entries over the same
    pictures share them.
    """

    def __init__(self, path: Path, wanted: tuple[str, ...], max_bytes: int) -> None:
        """Look at the file and at the beginning of what it names.

        Raises:
            SourceError: a file is missing or holds something else.
        """
        self.folder = path.parent
        self.entries = _read_meta(path, wanted)
        self._max_bytes = max_bytes
        self._roots = {self._root_ref(entry.root): entry.root for entry in self.entries.values()}
        for entry in self.entries.values():
            jsonl.look(entry.annotation, Columns(), asks=False)

    def label(self, name: str) -> str:
        """An entry's file, for people."""
        return files.label(self.entries[name].annotation, self.folder)

    def refer(self, name: str, picture: cells.Picture) -> str:
        """The reference of a picture, given what a row of the entry says.

        Raises:
            RowError: wrong_type (the picture itself stands in the row).
        """
        if cells.is_inline(picture):
            raise RowError("wrong_type", "MMPR's pictures are paths; read embedded ones with type: jsonl")
        root = self.entries[name].root
        path = files.under_root(root, str(picture))
        return path if path.startswith("/") else f"{self._root_ref(root)}/{path}"

    def load(self, ref: str) -> bytes:
        """The file that a reference means.

        Raises:
            RowError: see ``files.read_inside``.
        """
        # The longest root that the reference starts with; roots may lie in one another.
        for root_ref in sorted(self._roots, key=len, reverse=True):
            if ref.startswith(f"{root_ref}/"):
                return files.read_inside(self._roots[root_ref], ref[len(root_ref) + 1 :], self._max_bytes)
        raise RowError("image_outside_root", f"{ref[:200]!a} is under no root of meta.json")

    def _root_ref(self, root: Path) -> str:
        return root.relative_to(self.folder).as_posix() if root.is_relative_to(self.folder) else str(root)


def _read_meta(meta: Path, wanted: tuple[str, ...]) -> dict[str, Entry]:
    try:
        tree = jsonl.parse_object(read_small(meta, _MAX_META_BYTES))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{meta}: cannot be read: {reason}; name MMPR's meta.json") from None
    except RowError as error:
        raise SourceError(f"{meta}: is not MMPR's meta.json: {error}") from None
    if unknown := [name for name in wanted if name not in tree]:
        raise SourceError(f"{meta}: has no entry {', '.join(unknown)}; it has: {', '.join(tree)}")
    entries: dict[str, Entry] = {}
    problems = []
    for name in wanted or tree:
        try:
            entries[name] = _read_entry(meta.parent, tree[name])
        except SourceError as error:
            problems.append(f"{meta}: entry {name!r}: {error}")
    if problems:
        raise SourceError("\n".join([*problems[:20], f"{len(problems)} of the entries; `entries` can choose others"]))
    return entries


def _read_entry(folder: Path, value: Any) -> Entry:
    if not isinstance(value, dict) or type(value.get("annotation")) is not str:
        raise SourceError("an object with root and annotation is expected")
    annotation = _find(folder, value["annotation"])
    if annotation is None or not annotation.is_file():
        raise SourceError(f"no file {value['annotation']}, nor one of that name beside meta.json")
    root = value.get("root") or ""
    if type(root) is not str:
        raise SourceError("root is not text")
    times = value.get("repeat_time", 1)
    if not isinstance(times, int | Number) or isinstance(times, bool) or not 0 <= float(times) < float("inf"):
        raise SourceError("repeat_time is not a number of at least 0")
    length = str(value.get("length", ""))
    # Entries of text alone name roots that do not exist; a picture under such a root is missing, which its row says.
    return Entry(
        annotation=annotation,
        root=_find(folder, root) or folder.joinpath(*_parts(root)[-1:]),
        repeat_time=float(times),
        length=int(length) if length.isdecimal() and len(length) < _LENGTH_DIGITS else None,
    )


def _find(folder: Path, written: str) -> Path | None:
    """The path as it is written, or else the longest of its ends that exists beside ``meta.json``.

    Raises:
        SourceError: it cannot be a path, or what exists does not lie in the folder.
    """
    if "\0" in written or len(written) > files.MAX_PATH:
        raise SourceError(f"{written[:80]!a} cannot be a path")
    parts = _parts(written)
    ends = [folder.joinpath(*parts[skip:]) for skip in range(len(parts))]
    found = [path for path in (Path(os.path.normpath(folder / written)), *ends) if _exists(path)]
    real = Path(os.path.realpath(folder))
    inside = next((path for path in found if Path(os.path.realpath(path)).is_relative_to(real)), None)
    if found and inside is None:
        raise SourceError(f"{written} is not in the folder of meta.json; put meta.json into a folder that holds it")
    return inside


def _parts(written: str) -> list[str]:
    return [part for part in PurePosixPath(written).parts if part not in ("/", "..")]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False  # a name that is too long for the file system, or no text

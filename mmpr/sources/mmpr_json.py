"""MMPR's ``meta.json`` with its JSONL files, as pairs or as prompts only.

    {name: {root, annotation, data_augment, repeat_time, length}}

Rows of pairs hold ``question``, ``chosen``, ``rejected``, ``answer_gt``, rows of prompts ``question`` and ``answer``.
Only questions are read: the responses of another model are not this one's, and a question with many pairs is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mmpr.config import Columns, MmprSource, Recipe
from mmpr.errors import RowError, SourceError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import cells, files, jsonl

_MAX_META_BYTES = 16 << 20
_PROMPTS = Columns(answer="answer")
_PAIRS = Columns(answer="answer_gt")


class _Entry(NamedTuple):
    annotation: Path
    root: Path
    repeat_time: float


class MmprJson:
    """The questions of a ``meta.json``; the name of a row's entry is its ``kind``.

    Paths in ``meta.json`` are those of the cluster that wrote it. One that does not exist is looked for beside
    ``meta.json`` by its last parts, the longest that exists. A picture's reference is its root and path as far as they
    lie beside ``meta.json``, so that entries over the same pictures share questions.
    """

    def __init__(self, spec: MmprSource, recipe: Recipe) -> None:
        """Raises SourceError when a file is missing or holds something else."""
        self._name = spec.name
        self._max_bytes = recipe.images.max_bytes
        meta = recipe.resolve(spec.path)
        self._folder = meta.parent
        self._entries = _read_meta(meta, spec.entries)
        self._roots = {self._root_ref(entry.root): entry.root for entry in self._entries.values()}
        for entry in self._entries.values():
            jsonl.look(entry.annotation, Columns(), asks=False)

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, entry by entry (see ``mmpr.sources.Source``)."""
        for name, entry in self._entries.items():

            def build(record: Mapping[str, Any], where: str, offset: int, name: str = name) -> SourceRow:
                return self._row(name, record, where)

            where = files.label(entry.annotation, self._folder)
            yield from cells.make_rows(jsonl.read_records(entry.annotation, where), build, self._name)

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        # The longest root that the reference starts with; roots may lie in one another.
        for root_ref in sorted(self._roots, key=len, reverse=True):
            if ref.startswith(f"{root_ref}/"):
                return files.read_inside(self._roots[root_ref], ref[len(root_ref) + 1 :], self._max_bytes)
        raise RowError("image_outside_root", f"{ref[:200]!a} is under no root of meta.json")

    def repeat_time(self, row: SourceRow) -> float:
        """The weight that ``meta.json`` gives to the row's entry."""
        return self._entries[row.kind].repeat_time

    def _row(self, name: str, record: Mapping[str, Any], where: str) -> SourceRow:
        root = self._entries[name].root

        def refer(k: int, picture: cells.Picture) -> str:
            if cells.is_inline(picture):
                raise RowError("wrong_type", "MMPR's pictures are paths; read embedded ones with type: jsonl")
            path = files.under_root(root, str(picture))
            return path if path.startswith("/") else f"{self._root_ref(root)}/{path}"

        columns = _PAIRS if "answer_gt" in record else _PROMPTS
        row = cells.make_row(record, columns, where, question=None, refer=refer)
        return SourceRow(row.where, row.question, row.answer, images=row.images, kind=name)

    def _root_ref(self, root: Path) -> str:
        return root.relative_to(self._folder).as_posix() if root.is_relative_to(self._folder) else str(root)


def _read_meta(meta: Path, wanted: tuple[str, ...]) -> dict[str, _Entry]:
    try:
        with meta.open("rb") as file:
            data = file.read(_MAX_META_BYTES + 1)
        tree = jsonl.parse_object(data)
    except OSError as error:
        raise SourceError(f"{meta}: cannot be read: {error.strerror}; name MMPR's meta.json") from None
    except RowError as error:
        raise SourceError(f"{meta}: is not MMPR's meta.json: {error}") from None
    if unknown := [name for name in wanted if name not in tree]:
        raise SourceError(f"{meta}: has no entry {', '.join(unknown)}; it has: {', '.join(tree)}")
    entries: dict[str, _Entry] = {}
    problems = []
    for name in wanted or tree:
        try:
            entries[name] = _read_entry(meta.parent, tree[name])
        except SourceError as error:
            problems.append(f"{meta}: entry {name!r}: {error}")
    if problems:
        raise SourceError("\n".join([*problems[:20], f"{len(problems)} of the entries; `entries` can choose others"]))
    return entries


def _read_entry(folder: Path, value: Any) -> _Entry:
    if not isinstance(value, dict) or type(value.get("annotation")) is not str:
        raise SourceError("an object with root and annotation is expected")
    annotation = _find(folder, value["annotation"])
    if annotation is None or not annotation.is_file():
        raise SourceError(f"no file {value['annotation']}, nor one of that name beside meta.json")
    root = value.get("root") or ""
    if type(root) is not str:
        raise SourceError("root is not text")
    times = value.get("repeat_time", 1)
    if not isinstance(times, int | cells.Number) or isinstance(times, bool) or not 0 <= float(times) < float("inf"):
        raise SourceError("repeat_time is not a number of at least 0")
    # Entries of text alone name roots that do not exist; a picture under such a root is missing, which its row says.
    return _Entry(annotation, _find(folder, root) or folder / PurePosixPath(root).name, float(times))


def _find(folder: Path, written: str) -> Path | None:
    """The path as it is written, or else the longest of its ends that exists beside ``meta.json``."""
    if "\0" in written:
        return None
    path = Path(os.path.normpath(folder / written))
    if path.exists():
        return path
    parts = [part for part in PurePosixPath(written).parts if part not in ("/", "..")]
    ends = (folder.joinpath(*parts[skip:]) for skip in range(len(parts)))
    return next((end for end in ends if end.exists()), None)

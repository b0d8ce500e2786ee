"""Rows in files that can be opened again at a row: what JSON, CSV and archives share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mmpr.config import Recipe, TableSource
from mmpr.errors import RowError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import cells, files
from mmpr.sources.pictures import load_picture
from mmpr.sources.streams import open_text

Found = tuple[str, int, dict[str, Any] | RowError]
"""A row: where it stands for people, its place in the file, and its columns or what is wrong with it."""


class FileRows:
    """Files of rows with a column map; a subclass knows how they are read.

    A picture's reference is its path under the root, its address, or ``@file#place#k`` when the row at that place
    holds picture k itself. ``known`` are the names of the columns that were seen at the files' beginnings.
    """

    opens: Callable[[Path], BinaryIO] = staticmethod(open_text)
    """How a file is opened."""

    def __init__(self, spec: TableSource, recipe: Recipe, suffixes: tuple[str, ...]) -> None:
        """Raises SourceError when there is no such file."""
        self.base, paths = files.find_files(recipe.resolve(spec.path), suffixes)
        self.files = {files.label(path, self.base): path for path in paths}
        self.root = recipe.resolve(spec.images_root) if spec.images_root else None
        self.spec, self.columns, self.limits = spec, spec.columns, recipe.images
        self.known: set[str] = set()
        self._held: tuple[str, BinaryIO] | None = None

    def read(self, path: Path, name: str) -> Iterator[Found]:
        """Every row of a file, in bounded memory."""
        raise NotImplementedError

    def read_at(self, name: str, file: BinaryIO, place: int) -> Mapping[str, Any]:
        """The columns of the row at a place of a file that ``read`` gave (RowError when it is no longer there)."""
        raise NotImplementedError

    def row(self, record: Mapping[str, Any], where: str, name: str, place: int) -> SourceRow:
        """The row that columns make (RowError as ``cells.make_row``)."""

        def refer(k: int, picture: cells.Picture) -> str:
            return self.refer(name, place, k, picture)

        return cells.table_row(record, self.spec, where, refer)

    def refer(self, name: str, place: int, k: int, picture: cells.Picture) -> str:
        """The reference of a row's picture k."""
        if cells.is_inline(picture):
            return f"@{name}#{place}#{k}"
        return path_ref(str(picture), self.root, self.files[name].parent, self.base)

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, file by file (see ``mmpr.sources.Source``)."""
        for name, path in self.files.items():

            def build(record: Mapping[str, Any], where: str, place: int, name: str = name) -> SourceRow:
                return self.row(record, where, name, place)

            yield from cells.make_rows(self.read(path, name), build, self.spec.name)

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        if not ref.startswith("@"):
            return load_picture(self.root or self.base, ref, self.limits)
        name, place, k = ref[1:].rsplit("#", 2)
        try:
            record = self.read_at(name, self.file(name), int(place))
        except OSError as error:
            raise RowError("image_unreadable", f"{name}: {error.strerror or error}") from None
        _, picture = cells.pictures_of(record, self.columns.images)[int(k)]
        return cells.decode_inline(picture, self.limits.max_bytes)

    def file(self, name: str) -> BinaryIO:
        """A file, kept open for the next picture: those of packed files are reached by reading on."""
        if self._held is None or self._held[0] != name:
            self.close()
            self._held = name, self.opens(self.files[name])
        return self._held[1]

    def close(self) -> None:
        """Let the file go that is kept open."""
        if self._held is not None:
            self._held[1].close()
            self._held = None


def path_ref(path: str, root: Path | None, folder: Path, base: Path) -> str:
    """A row's path as a reference: relative to ``root``, or (it starts at its file's ``folder``) to ``base``.

    An address stays as it is.
    """
    if files.is_address(path):
        return path
    inside = files.under_root(root or folder, path)
    if root is None and folder != base and not inside.startswith("/"):
        inside = f"{folder.relative_to(base).as_posix()}/{inside}"
    return f"./{inside}" if inside.startswith("@") else inside

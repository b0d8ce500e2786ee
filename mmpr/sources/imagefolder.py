"""Folders of pictures: with a ``metadata`` file that says what to ask of them, or a question and perhaps classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmpr.config import Columns, Recipe, TableSource
from mmpr.errors import SourceError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import files
from mmpr.sources.csv_rows import Csv
from mmpr.sources.jsonl import Jsonl
from mmpr.sources.pictures import load_picture
from mmpr.sources.tables import Parquet

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Of which a folder has one kind; the first that is there counts."""
CLASS = "label"
"""The column, as ``datasets`` names it, of the folder that a picture lies in."""
_DECODED = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
PICTURE_SUFFIXES = (*_DECODED, ".avif", ".heic", ".jp2", ".jxl", ".ppm", ".svg")
"""What counts as a picture by its name; kinds that are not decoded are rejected by name and not passed over."""


def open_imagefolder(spec: TableSource, recipe: Recipe) -> Jsonl | Csv | Parquet | ImageFolder:
    """The questions of a folder's metadata (at any depth), or one question asked of every picture.

    In metadata pictures stand in ``file_name`` unless the recipe maps another column.

    Raises:
        SourceError: no such folder, or neither metadata nor a question.
    """
    folder = recipe.resolve(spec.path)
    if not files.is_folder(folder):
        raise SourceError(f"{folder}: no such folder; paths in a recipe start at the recipe's own folder")
    name = next((name for name in METADATA if next(folder.rglob(name), None) is not None), None)
    if name is None:
        return ImageFolder(spec, recipe)
    if spec.columns.images == Columns().images:
        spec = spec.model_copy(update={"columns": spec.columns.model_copy(update={"images": "file_name"})})
    if name.endswith(".csv"):
        return Csv(spec, recipe, suffixes=(name,))
    if name.endswith(".parquet"):
        return Parquet(spec, recipe, suffix=name)
    return Jsonl(spec, recipe, suffixes=(name,))


class ImageFolder:
    """Every picture of a folder, sorted, with the recipe's one question; a reference is the path in the folder.

    Where the recipe's column of answers is ``label``, the folder that a picture lies in is the truth.
    """

    def __init__(self, spec: TableSource, recipe: Recipe) -> None:
        """Raises SourceError when the recipe asks nothing."""
        self._folder = recipe.resolve(spec.path)
        self._name, self._question = spec.name, spec.question or ""
        self._has_classes = spec.columns.answer == CLASS
        self._limits = recipe.images
        self.known = {CLASS} if any(self._classes()) else set()
        if not self._question.strip():
            told = f"no {', '.join(METADATA[:-1])} or {METADATA[-1]} in it"
            raise SourceError(f"{self._folder}: {told}, so the source needs a question to ask")

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every picture (see ``mmpr.sources.Source``); hidden files and other kinds of file are no rows."""
        for folder, folders, names in os.walk(self._folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith("."):
                    path = Path(folder, name)
                    ref, where = path.relative_to(self._folder).as_posix(), files.label(path, self._folder)
                    if self._has_classes and "/" not in ref:
                        detail = "lies in no folder of a class, whose name would be the truth"
                        yield Reject("ingest", self._name, where, "missing_field", detail)
                        continue
                    truth = path.parent.name.replace("_", " ") if self._has_classes else None
                    yield SourceRow(where, self._question, truth, images=(ref,))

    def load(self, ref: str) -> bytes:
        """A picture of the folder (see ``mmpr.sources.Source``)."""
        return load_picture(self._folder, ref, self._limits)

    def _classes(self) -> Iterator[Path]:
        """Folders with pictures in them, that may be classes."""
        for folder in self._folder.iterdir():
            visible = folder.is_dir() and not folder.name.startswith(".")
            if visible and any(item.name.lower().endswith(PICTURE_SUFFIXES) for item in folder.iterdir()):
                yield folder

"""Folders of pictures, with or without a ``metadata.jsonl`` that says what to ask of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmpr.config import Columns, Recipe, TableSource
from mmpr.errors import SourceError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import files
from mmpr.sources.jsonl import Jsonl

METADATA = "metadata.jsonl"
_DECODED = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
PICTURE_SUFFIXES = (*_DECODED, ".avif", ".heic", ".jp2", ".jxl", ".ppm", ".svg")
"""What counts as a picture by its name; kinds that are not decoded are rejected by name and not passed over."""


def open_imagefolder(spec: TableSource, recipe: Recipe) -> Jsonl | ImageFolder:
    """The questions of a folder's ``metadata.jsonl`` (at any depth), or one question asked of every picture.

    In ``metadata.jsonl`` pictures stand in ``file_name`` unless the recipe maps another column.

    Raises:
        SourceError: no such folder, or neither metadata nor a question.
    """
    folder = recipe.resolve(spec.path)
    if not files.is_folder(folder):
        raise SourceError(f"{folder}: no such folder; paths in a recipe start at the recipe's own folder")
    if next(folder.rglob(METADATA), None) is None:
        return ImageFolder(spec, recipe)
    if spec.columns.images == Columns().images:
        spec = spec.model_copy(update={"columns": spec.columns.model_copy(update={"images": "file_name"})})
    return Jsonl(spec, recipe, suffixes=(METADATA,))


class ImageFolder:
    """Every picture of a folder, sorted, with the recipe's one question; a reference is the path in the folder."""

    def __init__(self, spec: TableSource, recipe: Recipe) -> None:
        """Raises SourceError when the recipe asks nothing."""
        self._folder = recipe.resolve(spec.path)
        self._question = spec.question or ""
        self._max_bytes = recipe.images.max_bytes
        if not self._question.strip():
            raise SourceError(f"{self._folder}: no {METADATA} in it, so the source needs a question to ask")

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every picture (see ``mmpr.sources.Source``); hidden files and other kinds of file are no rows."""
        for folder, folders, names in os.walk(self._folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith("."):
                    path = Path(folder, name)
                    ref = path.relative_to(self._folder).as_posix()
                    yield SourceRow(files.label(path, self._folder), self._question, images=(ref,))

    def load(self, ref: str) -> bytes:
        """A picture of the folder (see ``mmpr.sources.Source``)."""
        return files.read_inside(self._folder, ref, self._max_bytes)

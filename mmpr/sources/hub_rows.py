"""Data sets of the Hugging Face hub, through ``datasets``: downloaded into its cache, or streamed.

A downloaded one is read as the Arrow files that it is. Of a streamed one nothing is kept: every pass over it, and every
unit of a build that needs a picture of it, begins at its start again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmpr.config import HubSource, Recipe
from mmpr.errors import RowError, SourceError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import cells
from mmpr.sources.arrow_values import as_written, features_of
from mmpr.sources.file_rows import path_ref
from mmpr.sources.pictures import load_picture
from mmpr.sources.tables import ArrowFiles


def open_hub(spec: HubSource, recipe: Recipe) -> HubFiles | HubStream:
    """A data set of the hub (SourceError when it cannot be had, or lacks a column)."""
    return HubStream(spec, recipe) if spec.streaming else HubFiles(spec, recipe)


class HubFiles(ArrowFiles):
    """A data set that was downloaded; paths of pictures in it lead into the hub's cache."""

    def __init__(self, spec: HubSource, recipe: Recipe) -> None:
        """Raises SourceError when it cannot be had, or lacks a column."""
        paths = _cached_files(spec.path, spec.config, spec.split, spec.revision)
        super().__init__(spec, recipe, paths[0].parent, paths)
        self._root = self._root or _hub_cache()


class HubStream:
    """A data set that is streamed. A picture's reference is ``@row#k``, or its path or address."""

    def __init__(self, spec: HubSource, recipe: Recipe) -> None:
        """Raises SourceError when it cannot be had, or lacks a column."""
        self._spec, self._limits = spec, recipe.images
        self._root = recipe.resolve(spec.images_root) if spec.images_root else _hub_cache()
        self._stream = _load(spec.path, spec.config, spec.split, spec.revision, streaming=True).decode(False)
        self._changes = _changes(self._stream.features)
        first = next(iter(self._records()), None)
        self.known: set[str] = set()
        if first is not None:
            record = first[1]
            self.known = set(cells.names_in(record))
            cells.check_columns(
                spec.columns, lambda name: cells.has_column(record, name), record, spec.path, spec.question is not None
            )
        self._held: tuple[int, Mapping[str, Any], Iterator[tuple[int, dict[str, Any]]]] | None = None

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row (see ``mmpr.sources.Source``)."""

        def build(record: Mapping[str, Any], where: str, number: int) -> SourceRow:
            def refer(k: int, picture: cells.Picture) -> str:
                if cells.is_inline(picture):
                    return f"@{number}#{k}"
                return path_ref(str(picture), self._root, self._root, self._root)

            return cells.table_row(record, self._spec, where, refer)

        found = ((f"{self._spec.path}[{number}]", number, record) for number, record in self._records())
        yield from cells.make_rows(found, build, self._spec.name)

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        if not ref.startswith("@"):
            return load_picture(self._root, ref, self._limits)
        number, k = map(int, ref[1:].split("#"))
        if self._held is None or self._held[0] > number:
            self._held = (-1, {}, self._records())
        at, record, rest = self._held
        while at < number:
            at, record = next(rest, (number + 1, {}))
            self._held = (at, record, rest)
        if at > number:
            raise RowError("image_missing", f"{self._spec.path}: has no row {number}; has the data set changed?")
        _, picture = cells.pictures_of(record, self._spec.columns.images)[k]
        return cells.decode_inline(picture, self._limits.max_bytes)

    def _records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            for number, record in enumerate(self._stream):
                yield number, {name: self._changes.get(name, _same)(value) for name, value in record.items()}
        except Exception as error:  # noqa: BLE001 - whatever the clients below raise
            raise _not_had(self._spec.path, error) from None


def _changes(features: Any) -> dict[str, Callable[[Any], Any]]:
    """What makes the values of a stream's columns what they are in files: names of classes, numbers as written."""
    if features is None:
        return {}
    schema = features.arrow_schema
    told = features_of((schema.metadata or {}).get(b"huggingface", b""))
    found = {field.name: as_written(field.type, told.get(field.name)) for field in schema}
    return {name: change for name, change in found.items() if change is not None}


def _same(value: Any) -> Any:
    return value


@functools.lru_cache(maxsize=64)
def _cached_files(path: str, config: str | None, split: str, revision: str | None) -> tuple[Path, ...]:
    """The Arrow files of a data set in the cache of ``datasets``, downloaded where they are not there."""
    table = _load(path, config, split, revision, streaming=False)
    found = tuple(Path(file["filename"]) for file in table.cache_files)
    if not found:
        raise SourceError(f"{path}: datasets keeps no file of the split {split!r}")
    return found


def _load(path: str, config: str | None, split: str, revision: str | None, *, streaming: bool) -> Any:
    import datasets

    try:
        return datasets.load_dataset(path, config, split=split, revision=revision, streaming=streaming)
    except Exception as error:  # noqa: BLE001 - whatever the clients below raise
        raise _not_had(path, error) from None


def _not_had(path: str, error: Exception) -> SourceError:
    """What to say of whatever ``datasets`` and the clients below it raise."""
    lines = str(error).strip().splitlines()
    told = f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
    return SourceError(
        f"{path}: the data set cannot be had from the hub ({told}); where there is no network, fetch it elsewhere with "
        "`hf download --repo-type dataset` and name its files (type: parquet, jsonl)"
    )


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)

"""Rows from Python of the user's own: a function that yields them, or an object with ``rows`` and perhaps ``load``."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from mmpr.config import Columns, PythonSource, Recipe
from mmpr.errors import MmprError, RowError, SourceError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import cells, files
from mmpr.sources.pictures import load_picture

_COLUMNS = Columns(choices="choices", id="id", kind="kind")


class PythonRows:
    """A ``Source`` around what the user gave.

    Rows are ``SourceRow`` objects, or mappings with ``question`` and, as far as there are any, ``answer``, ``image``
    (or ``images``), ``choices``, ``id`` and ``kind``, in the same order every time. Pictures are paths under the
    source's ``images_root``, or whatever the object's own ``load(reference) -> bytes`` takes.
    """

    def __init__(self, spec: PythonSource, recipe: Recipe) -> None:
        """Nothing is called yet. Raises SourceError when the user has given nothing by this source's name."""
        if spec.name not in recipe.extensions.sources:
            raise SourceError(f"is of type python: give its rows (--source {spec.name}=module:function, or sources=)")
        self._spec, self._given = spec, recipe.extensions.sources[spec.name]
        self._root, self._limits = recipe.resolve(spec.images_root), recipe.images

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row (see ``mmpr.sources.Source``).

        Raises:
            SourceError: the user's code raised something.
        """
        records = getattr(self._given, "rows", self._given)
        try:
            for number, record in enumerate(records(), start=1):
                yield self._row(record, f"{self._spec.name}:{number}")
        except MmprError:
            raise
        except Exception as error:
            raise SourceError(f"source {self._spec.name!r}: {_told(error)}") from error

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        own = getattr(self._given, "load", None)
        if own is None:
            return load_picture(self._root, ref, self._limits)
        try:
            data = own(ref)
        except RowError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's code raises what it likes; it costs this row
            raise RowError("image_missing", f"{ref[:200]!a}: {_told(error)}") from None
        if not isinstance(data, bytes):
            raise RowError("wrong_type", f"{ref[:200]!a}: load gave {type(data).__name__}, bytes are expected")
        return data

    def _row(self, record: Any, where: str) -> SourceRow | Reject:
        if isinstance(record, SourceRow | Reject):
            return record
        try:
            if not isinstance(record, Mapping):
                raise RowError("wrong_type", f"a row is a mapping, this is {type(record).__name__}")
            columns = _COLUMNS.model_copy(update={"images": "images"}) if "images" in record else _COLUMNS
            return cells.make_row(record, columns, where, question=None, refer=self._refer)
        except RowError as error:
            return Reject("ingest", self._spec.name, where, error.reason, error.detail)

    def _refer(self, place: int, picture: cells.Picture) -> str:
        if isinstance(picture, bytes) or cells.is_inline(picture):
            remedy = "give a path, or a class with `load(reference)` that finds it"
            raise RowError("wrong_type", f"picture {place} is the picture itself; {remedy}")
        return picture if hasattr(self._given, "load") else files.under_root(self._root, picture)


def _told(error: Exception) -> str:
    """An error of the user's code: what, and the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"

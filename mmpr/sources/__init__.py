"""Where questions come from.

    open_source(spec, recipe) ─▶ Source ─rows()─▶ SourceRow ─select─▶ SourceRow ─to_question (load + clean)─▶ Question
                                         └──────▶ Reject

A source reads text in one cheap pass and pictures one by one, when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from mmpr.config import Recipe, SourceSpec
from mmpr.schema import Reject, SourceRow


class Source(Protocol):
    """A place that holds questions and their pictures. Not to be shared between threads."""

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, in the same order every time, in bounded memory; a row that is wrong is a Reject."""
        ...

    def load(self, ref: str) -> bytes:
        """The encoded picture that a row of this source refers to.

        Raises:
            RowError: it cannot be had (``image_missing``, ``image_outside_root``, ...).
        """
        ...


@runtime_checkable
class WeightedSource(Source, Protocol):
    """A source that weighs its own rows, as MMPR's ``meta.json`` does."""

    def repeat_time(self, row: SourceRow) -> float:
        """The share of rows like this one that is wanted; 1 or more means all, once."""
        ...


def open_source(spec: SourceSpec, recipe: Recipe) -> Source:
    """The source that a recipe describes; its files are looked at, not read.

    Raises:
        SourceError: a file is missing, or of another layout than the recipe says.
    """
    # Imports wait until they are needed: most sources bring a library of their own.
    if spec.type == "digits":
        from mmpr.sources.digits import Digits

        return Digits(spec.split, spec.questions, spec.seed, **({"kinds": spec.kinds} if spec.kinds else {}))
    if spec.type == "easy_vqa":
        from mmpr.sources.easy_vqa_questions import EasyVqa

        return EasyVqa(spec.split, spec.questions, spec.seed, **({"kinds": spec.kinds} if spec.kinds else {}))
    if spec.type == "mmpr":
        from mmpr.sources.mmpr_json import MmprJson

        return MmprJson(spec, recipe)
    if spec.type == "jsonl":
        from mmpr.sources.jsonl import Jsonl

        return Jsonl(spec, recipe)
    if spec.type in ("csv", "tsv"):
        from mmpr.sources.csv_rows import Csv

        return Csv(spec, recipe)
    if spec.type == "llava":
        from mmpr.sources.conversations import Conversations

        return Conversations(spec, recipe)
    if spec.type == "webdataset":
        from mmpr.sources.webdataset import WebDataset

        return WebDataset(spec, recipe)
    if spec.type == "hub":
        from mmpr.sources.hub_rows import open_hub

        return open_hub(spec, recipe)
    if spec.type == "parquet":
        from mmpr.sources.tables import Parquet

        return Parquet(spec, recipe)
    if spec.type == "python":
        from mmpr.sources.python_rows import PythonRows

        return PythonRows(spec, recipe)
    if spec.type == "datasets":
        from mmpr.sources.tables import SavedDataset

        return SavedDataset(spec, recipe)
    from mmpr.sources.imagefolder import open_imagefolder

    return open_imagefolder(spec, recipe)

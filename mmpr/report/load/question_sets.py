"""Other people's questions, to be looked for among the training questions: what ``--against PATH`` names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmpr.config import ImagesSpec, Recipe, parse_recipe
from mmpr.errors import RowError, SourceError
from mmpr.inputs.kinds import kind_of
from mmpr.inputs.release import meta_file
from mmpr.inputs.table import column_names, table_type
from mmpr.report.load.fingerprints import Fingerprint, fingerprint
from mmpr.schema import Reject, shown_question
from mmpr.sources import open_source
from mmpr.storage.columns import read_batches
from mmpr.storage.images import clean_image

_QUESTIONS = ("question", "query", "problem", "prompt", "instruction", "text", "extra_info.question")
_IMAGES = ("decoded_image", "images", "image", "img", "picture", "pictures", "file_name", "image_path", "image_1")
_NO_QUESTION = "(picture)"  # what a source asks of pictures that have no question; never compared

OtherQuestion = tuple[str, str | None, Sequence[Fingerprint]]
"""Where a question stands, its text (None when only its pictures are known), and its pictures."""


def read_questions(path: Path) -> Iterator[OtherQuestion | Reject]:
    """The questions of a build, a release of MMPR, a table or a folder of pictures, and the rows that cannot be read.

    A table's columns are found by their usual names.

    Raises:
        SourceError: it is none of these, or no column looks like a question or a picture.
        OutputError: a shard of a build cannot be read.
    """
    return _build_questions(path) if kind_of(path) == "build" else _source_questions(path)


def _build_questions(path: Path) -> Iterator[OtherQuestion]:
    for shard in sorted([*path.glob("questions/*.parquet"), *path.glob("heldout/*.parquet")]):
        for batch in read_batches(shard, ("id", "question", "images", "context")):
            for row in batch:
                asked = shown_question(row["question"], row.get("context"))
                yield row["id"], asked, [fingerprint(image["bytes"]) for image in row["images"]]


def _source_questions(path: Path) -> Iterator[OtherQuestion | Reject]:
    recipe = _recipe(path)
    source = open_source(recipe.sources[0], recipe)
    limits = ImagesSpec()
    for row in source.rows():
        if isinstance(row, Reject):
            yield row
            continue
        try:
            prints = [fingerprint(clean_image(source.load(ref), limits)) for ref in row.images]
        except RowError as error:
            yield Reject("read", "", row.where, error.reason, error.detail)
            continue
        yield row.where, None if row.question == _NO_QUESTION else row.question, prints


def _recipe(path: Path) -> Recipe:
    """A recipe whose only source is the path."""
    kind = "mmpr" if kind_of(path) == "release" else table_type(path)
    spec: dict[str, Any] = {"name": "against", "path": str(path.absolute()), "type": kind or "parquet"}
    if kind == "mmpr":
        spec["path"] = str(meta_file(path).absolute())
    elif kind is None and path.is_dir():
        spec |= {"type": "imagefolder", "question": _NO_QUESTION}
    else:
        names, file = column_names(path, kind or "parquet")
        columns = _usual_columns(names, file)
        spec["columns"] = columns
        if columns["question"] is None and kind != "datasets":
            spec["question"] = _NO_QUESTION
    return parse_recipe({"name": "against", "model": {"path": "none"}, "sources": [spec]})


def _usual_columns(names: list[str], file: Path) -> dict[str, str | None]:
    """The columns that hold question and pictures, by their usual names."""
    question = next((name for name in _QUESTIONS if name in names), None)
    images = next((name for name in _IMAGES if name in names), None)
    if question is None and images is None:
        raise SourceError(
            f"{file}: no column looks like a question ({', '.join(_QUESTIONS)}) or a picture "
            f"({', '.join(_IMAGES)}); it has {', '.join(names)[:300]}"
        )
    return {"question": question, "answer": None, "images": images}

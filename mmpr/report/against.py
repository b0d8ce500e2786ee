"""Other people's questions, read by the same sources as a build's: what ``--against PATH`` names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.config import ImagesSpec, Recipe, parse_recipe
from mmpr.errors import RowError, SourceError
from mmpr.report.contamination import Others
from mmpr.report.pictures import fingerprint
from mmpr.report.read import read_batches
from mmpr.schema import Reject
from mmpr.sources import open_source
from mmpr.sources.files import find_files
from mmpr.sources.mmpr_pairs import is_release
from mmpr.storage.images import clean_image

_QUESTIONS = ("question", "query", "problem", "prompt", "instruction", "text", "extra_info.question")
_IMAGES = ("decoded_image", "images", "image", "img", "picture", "pictures", "file_name", "image_path", "image_1")
_ASKED = "(picture)"  # asked of every picture of a folder that has no questions; never compared
_FIRST_LINE = 1 << 20


def read_against(path: Path, taken: Sequence[str] = ()) -> Others:
    """The questions of a build, of Parquet or JSONL files, of ``Dataset.save_to_disk``, MMPR's meta.json or pictures.

    Columns are found by their usual names. Rows that cannot be read are counted and passed over. The result is called
    as the last part of the path, or by all of it when that name is ``taken``.

    Raises:
        SourceError: it is none of these, it is empty, or no column looks like a question or a picture.
    """
    others = Others(str(path) if not path.name or path.name in taken else path.name)
    (_add_build if (path / "manifest.json").is_file() else _add_source)(path, others)
    if not others.wheres:
        raise SourceError(f"{path}: holds no question or picture that can be read ({others.rejected} rows cannot)")
    return others


def _add_build(path: Path, others: Others) -> None:
    for shard in sorted([*path.glob("questions/*.parquet"), *path.glob("heldout/*.parquet")]):
        for batch in read_batches(shard, ("id", "question", "images"), 64):
            for stored in batch:
                prints = [fingerprint(image["bytes"]) for image in stored["images"]]
                others.add(stored["id"], stored["question"], prints)


def _add_source(path: Path, others: Others) -> None:
    recipe = _recipe(path)
    source = open_source(recipe.sources[0], recipe)
    limits = ImagesSpec()
    for row in source.rows():
        if isinstance(row, Reject):
            others.rejected += 1
            continue
        try:
            prints = [fingerprint(clean_image(source.load(ref), limits)) for ref in row.images]
        except RowError:
            others.rejected += 1  # told with the result
            continue
        others.add(row.where, None if row.question == _ASKED else row.question, prints)


def _recipe(path: Path) -> Recipe:
    """A recipe of one source, as nobody has to write it."""
    if path.is_dir() and is_release(path):
        path = path / "meta.json"
    spec: dict[str, Any] = {"name": "against", "path": str(path.absolute())}
    if path.name == "meta.json":
        spec["type"] = "mmpr"
    elif (path / "state.json").is_file():
        spec |= {"type": "datasets", "columns": _columns(_arrow_names(path), path)}
    elif path.is_dir() and not any(next(path.rglob(f"*{end}"), None) for end in (".parquet", ".jsonl")):
        spec |= {"type": "imagefolder", "question": _ASKED}
    elif path.is_dir() and next(path.rglob("metadata.jsonl"), None):
        first = next(path.rglob("metadata.jsonl"))
        spec |= {"type": "imagefolder", **_with_question(_columns(_json_names(first), first))}
    elif path.suffix == ".jsonl" or (path.is_dir() and not next(path.rglob("*.parquet"), None)):
        first = find_files(path, ".jsonl")[1][0]
        spec |= {"type": "jsonl", **_with_question(_columns(_json_names(first), first))}
    else:
        first = find_files(path, ".parquet")[1][0]
        spec |= {"type": "parquet", **_with_question(_columns(_parquet_names(first), first))}
    return parse_recipe({"name": "against", "model": {"path": "none"}, "sources": [spec]})


def _with_question(columns: dict[str, str | None]) -> dict[str, Any]:
    return {"columns": columns, **({} if columns["question"] else {"question": _ASKED})}


def _columns(names: list[str], path: Path) -> dict[str, str | None]:
    """Which columns hold question and pictures, by their usual names."""
    question = next((name for name in _QUESTIONS if name in names), None)
    images = next((name for name in _IMAGES if name in names), None)
    if question is None and images is None:
        raise SourceError(
            f"{path}: no column looks like a question ({', '.join(_QUESTIONS)}) or a picture "
            f"({', '.join(_IMAGES)}); it has {', '.join(names)[:300]}"
        )
    return {"question": question, "answer": None, "images": images}


def _json_names(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            row = json.loads(file.readline(_FIRST_LINE))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: the first line is no JSON object: {error}") from None
    if not isinstance(row, dict):
        raise SourceError(f"{path}: the first line is no JSON object")
    return [str(name) for name in row]


def _parquet_names(path: Path) -> list[str]:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: cannot be read as Parquet: {error}") from None
    nested = [f"{field.name}.{part.name}" for field in schema if pa.types.is_struct(field.type) for part in field.type]
    return [*schema.names, *nested]


def _arrow_names(path: Path) -> list[str]:
    try:
        info = json.loads((path / "dataset_info.json").read_text(encoding="utf-8"))
        return [str(name) for name in info["features"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: dataset_info.json cannot be read: {error}") from None

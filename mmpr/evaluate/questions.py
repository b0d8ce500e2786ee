"""The questions that ``--data`` names: held-out ones of a build, a table, or a public benchmark.

--data builds/quickstart     its held-out split
--data mine.jsonl            a source of a recipe: JSONL, Parquet, a `datasets` folder, a folder of images
--data mmstar:PATH           a benchmark (mmpr.evaluate.benchmarks)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmpr.config import Recipe, fingerprint
from mmpr.errors import OutputError, RowError, SourceError
from mmpr.evaluate.benchmarks.layout import LocalBenchmark
from mmpr.evaluate.benchmarks.options import LETTER
from mmpr.inputs.build import heldout_shards
from mmpr.inputs.kinds import kind_of
from mmpr.inputs.table import table_type
from mmpr.prompts import Template, strip_short_answer
from mmpr.schema import Question, Reject, question_id
from mmpr.sources import Source, open_source
from mmpr.sources.ingest import to_question
from mmpr.sources.selection import select_rows
from mmpr.storage.manifest import file_sha256
from mmpr.storage.shards import PLAN
from mmpr.storage.tables import read_rows
from mmpr.storage.trees import read_object
from mmpr.templates import stored_templates

WORD = "Answer the question using a single word or phrase."

# The settings of a build's engine that are taken over: number, size and precision, nothing that could name code.
_ENGINE = ("type", "actors", "tensor_parallel_size", "gpus_per_actor", "cpus_per_actor", "units_in_flight")
_ENGINE_ARGS = (
    *("dtype", "enforce_eager", "gpu_memory_utilization", "kv_cache_memory_bytes", "max_model_len"),
    *("max_num_batched_tokens", "max_num_seqs"),
)
# Where an answer ends, and what of it becomes text: the model is scored on such answers as it was sampled for.
_SAMPLING = ("max_tokens", "stop", "stop_token_ids", "skip_special_tokens")


@dataclass(frozen=True, slots=True)
class QuestionSource:
    """A set of questions that was named and is not read yet.

    ``specs`` are the entries of ``sources`` in a recipe for its questions. ``settings`` (``engine``, ``chat``,
    ``sampling``, ``images``) are a build's, the defaults when its questions are asked, and so are ``templates``, which
    are those of its sources by name. ``benchmark`` is None for anything else.
    """

    name: str
    origin: str
    path: Path
    specs: list[dict[str, Any]]
    settings: dict[str, Any]
    benchmark: LocalBenchmark | None = None
    is_build: bool = False
    templates: Mapping[str, Template] = field(default_factory=dict)


def find_data(word: str) -> QuestionSource:
    """The questions that ``--data`` names.

    Raises:
        SourceError: there are none.
        OutputError: it is a build that cannot be read, or holds no held-out questions.
    """
    name, colon, rest = word.partition(":")
    if colon and not Path(word).exists():
        from mmpr.evaluate.benchmarks import open_benchmark

        benchmark = open_benchmark(name, Path(rest))
        spec = {"name": benchmark.name, "type": "parquet", "path": rest, "rule": benchmark.rule}
        limits = {"images": benchmark.images.model_dump()}
        return QuestionSource(benchmark.name, word, Path(rest), [spec], limits, benchmark)
    path = Path(word)
    if kind_of(path) in ("build", "unfinished"):
        return _build(path, word)
    kind = table_type(path)
    if kind is None:
        raise SourceError(
            f"--data {word}: is neither a build, nor JSONL or Parquet (a file, a folder or a glob), nor NAME:PATH of a "
            "benchmark"
        )
    name = _slug(path.stem if path.suffix in (".jsonl", ".parquet") else path.absolute().name)
    return QuestionSource(name, word, path, [{"name": name, "type": kind, "path": str(path)}], {})


def read_questions(data: QuestionSource, recipe: Recipe) -> Iterator[Question | Reject]:
    """Every question with its pictures, and the rows that cannot be asked. ``recipe`` has limits and settings.

    Raises:
        SourceError: a file is missing, or of another layout.
        OutputError: a shard of the build is missing or damaged.
    """
    if data.is_build:
        for path in heldout_shards(data.path):
            yield from map(_usable, read_rows(path, Question))
        return
    spec, source = recipe.sources[0], _source(data, recipe)
    for row in select_rows(source, spec, recipe.seed):
        if isinstance(row, Reject):
            yield row
            continue
        id = question_id(spec.name, row)
        try:
            question = to_question(row, id, spec, source, recipe)
        except RowError as error:
            yield Reject("ingest", spec.name, f"{id} ({row.where})", error.reason, error.detail)
            continue
        yield question if data.benchmark else _usable(question)


def fingerprint_of(data: QuestionSource, recipe: Recipe) -> str:
    """16 hex digits that change when the questions change.

    They are a hash of a build's held-out shards, or of all rows of a source, in which pictures count by reference.
    Reads all of the text.
    """
    if data.is_build:
        return fingerprint([file_sha256(path) for path in heldout_shards(data.path)])
    digest = hashlib.sha256()
    for row in select_rows(_source(data, recipe), recipe.sources[0], recipe.seed):
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    limits = recipe.as_json()
    return fingerprint([digest.hexdigest(), limits["images"], limits["max_question_chars"]])


def with_instruction(question: Question) -> Question:
    """The question with an instruction to answer briefly at its end: its own, or else the usual one.

    The instruction is all that asks for a direct answer; templates that ask for reasoning remove it.
    """
    text = question.question.rstrip()
    if question.answer is None or strip_short_answer(text) != text:
        return question
    return replace(question, question=f"{text}\n{LETTER if question.choices else WORD}")


def _usable(question: Question) -> Question | Reject:
    if question.answer is not None:
        return question
    return Reject("ingest", question.source, question.id, "no_answer", "open-ended: there is no truth to judge by")


def _source(data: QuestionSource, recipe: Recipe) -> Source:
    return data.benchmark or open_source(recipe.sources[0], recipe)


def _build(path: Path, word: str) -> QuestionSource:
    heldout_shards(path)
    try:
        recipe = read_object(path / PLAN)["recipe"]
        engine = {key: recipe["engine"][key] for key in _ENGINE if key in recipe["engine"]}
        engine["args"] = {key: value for key, value in recipe["engine"]["args"].items() if key in _ENGINE_ARGS}
        sampling = {key: recipe["sampling"][key] for key in _SAMPLING if key in recipe["sampling"]}
        settings = {"engine": engine, "sampling": sampling, "images": recipe["images"]}
        if any((recipe.get("chat") or {}).values()):
            settings["chat"] = recipe["chat"]
        specs = list(recipe["heldout"])
        return QuestionSource(_slug(recipe["name"]), word, path, specs, settings, None, True, stored_templates(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{path / PLAN}: is damaged ({error!r})") from None


def _slug(name: object) -> str:
    """The name with only characters that sources and folders can have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(name)).strip("-._")[:60] or "data"

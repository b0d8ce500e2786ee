"""What is asked: the held-out questions of a build, a table of one's own, or a public benchmark.

--data builds/quickstart     its held-out split
--data mine.jsonl            a source of a recipe: JSONL, Parquet, a `datasets` folder, a folder of images
--data mmstar:PATH           a benchmark (mmpr.evaluate.benchmarks)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmpr.config import Recipe, fingerprint
from mmpr.errors import OutputError, RowError, SourceError
from mmpr.evaluate.nouns import Benchmark
from mmpr.plan import read_build
from mmpr.prompts import strip_short_answer
from mmpr.schema import Question, Reject, question_id
from mmpr.sources import Source, open_source
from mmpr.sources.ingest import to_question
from mmpr.sources.selection import select_rows
from mmpr.storage.manifest import file_sha256
from mmpr.storage.shards import Unit, shard
from mmpr.storage.tables import read_rows

WORD = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."

_SUFFIXES = {".jsonl": "jsonl", ".parquet": "parquet"}
# What of a build's engine is taken over: how many, how large and how precise, nothing that could name code.
_ENGINE = ("type", "actors", "tensor_parallel_size", "gpus_per_actor", "cpus_per_actor", "units_in_flight")
_ENGINE_ARGS = (
    *("dtype", "enforce_eager", "gpu_memory_utilization", "kv_cache_memory_bytes", "max_model_len"),
    *("max_num_batched_tokens", "max_num_seqs"),
)


@dataclass(frozen=True, slots=True)
class Data:
    """A set of questions that was named, not yet read.

    ``specs`` are the entries of a recipe that its questions belong to. ``settings`` (``engine``, ``sampling``,
    ``images``) are those of a build, the defaults of an evaluation of its questions. ``benchmark`` is None for what is
    no benchmark.
    """

    name: str
    origin: str
    path: Path
    specs: list[dict[str, Any]]
    settings: dict[str, Any]
    benchmark: Benchmark | None = None

    @property
    def is_build(self) -> bool:
        """Whether the questions are the held-out ones of a build."""
        return (self.path / "build.json").exists()


def find_data(word: str) -> Data:
    """What a word of the command line means.

    Raises:
        SourceError: there is no such thing.
        OutputError: it is a build that cannot be read, or holds no held-out questions.
    """
    name, colon, rest = word.partition(":")
    if colon and not Path(word).exists():
        from mmpr.evaluate.benchmarks import open_benchmark

        benchmark = open_benchmark(name, Path(rest))
        spec = {"name": benchmark.name, "type": "parquet", "path": rest, "rule": benchmark.rule}
        limits = {"images": benchmark.images.model_dump()}
        return Data(benchmark.name, word, Path(rest), [spec], limits, benchmark)
    path = Path(word)
    if (path / "build.json").exists():
        return _build(path, word)
    kind = _SUFFIXES.get(path.suffix) or (_kind_of_folder(path) if path.is_dir() else None)
    if kind is None:
        raise SourceError(
            f"--data {word}: is neither a build, nor JSONL or Parquet (a file, a folder or a glob), nor NAME:PATH of a "
            "benchmark"
        )
    name = _slug(path.stem if path.suffix in _SUFFIXES else path.absolute().name)
    return Data(name, word, path, [{"name": name, "type": kind, "path": str(path)}], {})


def read_questions(data: Data, recipe: Recipe) -> Iterator[Question | Reject]:
    """Every question with its pictures, and what cannot be asked; ``recipe`` has the limits and the source's settings.

    Raises:
        SourceError: a file is missing, or of another layout.
        OutputError: a shard of the build is missing or damaged.
    """
    if data.is_build:
        for path in _heldout(data.path):
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


def fingerprint_of(data: Data, recipe: Recipe) -> str:
    """16 hex digits that name the very questions.

    Of a build, its held-out shards; else every row as its source tells it, in which pictures count by reference. Costs
    a pass over the text.
    """
    if data.is_build:
        return fingerprint([file_sha256(path) for path in _heldout(data.path)])
    digest = hashlib.sha256()
    for row in select_rows(_source(data, recipe), recipe.sources[0], recipe.seed):
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    limits = recipe.as_json()
    return fingerprint([digest.hexdigest(), limits["images"], limits["max_question_chars"]])


def with_instruction(question: Question) -> Question:
    """The question with an instruction to answer briefly at its end: its own, or the usual one.

    A template that asks for reasoning takes it off again; direct answers are asked for by nothing else.
    """
    text = question.question.rstrip()
    if question.answer is None or strip_short_answer(text) != text:
        return question
    return replace(question, question=f"{text}\n{LETTER if question.choices else WORD}")


def _usable(question: Question) -> Question | Reject:
    if question.answer is not None:
        return question
    return Reject("ingest", question.source, question.id, "no_answer", "open-ended: there is no truth to judge by")


def _source(data: Data, recipe: Recipe) -> Source:
    return data.benchmark or open_source(recipe.sources[0], recipe)


def _heldout(out: Path) -> list[Path]:
    build = read_build(out)
    units: Sequence[Unit] = build.of("heldout") if build else []
    if not units:
        raise OutputError(f"{out}: the build keeps no held-out questions; give its recipe a `heldout` and build again")
    paths = [shard(out, "ingest", unit) for unit in units]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise OutputError(
            f"{out}: {len(missing)} of {len(paths)} held-out shards are missing; run the build to its end"
        )
    return paths


def _build(path: Path, word: str) -> Data:
    _heldout(path)
    try:
        recipe = json.loads((path / "build.json").read_text(encoding="utf-8"))["recipe"]
        engine = {key: recipe["engine"][key] for key in _ENGINE if key in recipe["engine"]}
        engine["args"] = {key: value for key, value in recipe["engine"]["args"].items() if key in _ENGINE_ARGS}
        settings = {"engine": engine, "sampling": {"max_tokens": recipe["sampling"]["max_tokens"]}}
        settings["images"] = recipe["images"]
        return Data(_slug(recipe["name"]), word, path, list(recipe["heldout"]), settings)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{path / 'build.json'}: is damaged ({error!r})") from None


def _kind_of_folder(path: Path) -> str | None:
    if (path / "dataset_info.json").exists():
        return "datasets"
    if next(path.rglob("metadata.jsonl"), None):
        return "imagefolder"
    return next((kind for suffix, kind in _SUFFIXES.items() if next(path.rglob(f"*{suffix}"), None)), None)


def _slug(name: object) -> str:
    """A name that a source, and a folder, can have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(name)).strip("-._")[:60] or "data"

"""What the tests of benchmarks share: real pictures, files in public layouts, and answers that are judged for real."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.config import parse_recipe
from mmpr.errors import RowError
from mmpr.evaluate.benchmarks import open_benchmark
from mmpr.evaluate.benchmarks.layout import LocalBenchmark
from mmpr.evaluate.results import Answered, Metric
from mmpr.pipeline.judging import judge_rollout
from mmpr.schema import Question, Reject, Response, Rollout, question_id
from mmpr.sources.digits import Digits
from mmpr.sources.ingest import to_question
from mmpr.sources.selection import select_rows


@cache
def pictures(many: int = 8) -> list[bytes]:
    """Real pictures, all different, as PNG files."""
    source = Digits("heldout", 60)
    refs = dict.fromkeys(ref for row in source.rows() for ref in row.images)
    found = list(dict.fromkeys(source.load(ref) for ref in refs))
    assert len(found) >= many
    return found[:many]


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def embedded(data: bytes) -> dict[str, Any]:
    """A picture as ``datasets`` stores it."""
    return {"bytes": data, "path": "picture.png"}


def write_tsv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """As pandas writes it: quotes where they are needed, nothing for None."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=3)
    return path


def ingest(benchmark: LocalBenchmark) -> list[Question | Reject]:
    """Everything that becomes of a benchmark's rows, pictures loaded and cleaned."""
    spec = {"name": benchmark.name, "type": "parquet", "path": "-", "rule": benchmark.rule}
    recipe = parse_recipe({"name": "t", "model": {"path": "./model"}, "sources": [spec]})
    [source] = recipe.sources
    found: list[Question | Reject] = []
    for row in select_rows(benchmark, source, 0):
        if isinstance(row, Reject):
            found.append(row)
            continue
        try:
            found.append(to_question(row, question_id(source.name, row), source, benchmark, recipe))
        except RowError as error:
            found.append(Reject("ingest", source.name, row.where, error.reason, error.detail))
    return found


def opened(name: str, path: Path) -> tuple[LocalBenchmark, list[Question]]:
    """A benchmark of which every row is good."""
    benchmark = open_benchmark(name, path)
    questions = ingest(benchmark)
    assert not [one for one in questions if isinstance(one, Reject)]
    return benchmark, [one for one in questions if isinstance(one, Question)]


def rejected(name: str, path: Path) -> list[tuple[str, str]]:
    """(where, reason) of the rows that fell out."""
    return [(one.id, one.reason) for one in ingest(open_benchmark(name, path)) if isinstance(one, Reject)]


def answer(question: Question, *texts: str, rule: str) -> Answered:
    """A question with these responses, judged by the build's own stage."""
    responses = tuple(Response(text, seed, "stop", 5) for seed, text in enumerate(texts))
    rollout = Rollout(question.id, question.source, "", "en", "", "m", "", 0, responses)
    verdicts = judge_rollout(question, rollout, rule, {}) if question.answer is not None else ()
    return Answered(replace(question, images=()), responses, verdicts)


def answer_all(benchmark: LocalBenchmark, questions: Sequence[Question], finals: Sequence[str]) -> list[Answered]:
    """One response a question, with that final answer."""
    return [
        answer(question, f"I looked at it.\nFinal answer: {final}", rule=benchmark.rule)
        for question, final in zip(questions, finals, strict=True)
    ]


def values(metrics: Sequence[Metric]) -> dict[tuple[str, str], float | None]:
    """Values by (name, group)."""
    found = {(metric.name, metric.group): metric.score for metric in metrics}
    assert len(found) == len(metrics)
    return found

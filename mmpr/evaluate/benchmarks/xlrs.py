"""XLRS-Bench (and its lite form): very large pictures from the air, some 10,000 by 10,000 pixels.

Parquet: ``image`` (a list), ``question``, ``multi-choice options`` (a list), ``answer`` (a set of letters),
``category`` (``TASK/SUBTASK``), ``l2-category``, ``index``. A question is right when the set of letters is right. Micro
accuracy is over all questions, macro accuracy the mean of the subtasks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmpr.config import Columns, ImagesSpec
from mmpr.errors import RowError
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.options import LETTERS, letters_of, unlabelled, with_options
from mmpr.evaluate.benchmarks.scores import kinds, mean, mean_of, means_by
from mmpr.evaluate.results import Answered, Metric
from mmpr.schema import SourceRow

_COLUMNS = Columns(images=None, choices="multi-choice options", id="index", kind="category")
_SEVERAL = "Overall Land use classification"


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    row = make_row(record, _COLUMNS, where)
    options, answer = unlabelled(row.choices), letters_of(row.answer) if row.answer else None
    if not options:
        raise RowError("missing_field", "no 'multi-choice options'")
    if answer is not None and not set(answer.split(", ")) <= set(LETTERS[: len(options)]):
        raise RowError("wrong_answer", f"{answer[:40]!a} names what is none of the {len(options)} options")
    several = row.kind.endswith(_SEVERAL)
    asked = (
        f"{row.question}\nThere may be more than one correct option; name the letters of all."
        if several
        else row.question
    )
    return replace(
        row,
        question=with_options(asked, options),
        choices=options,
        answer=answer,
        meta=json.dumps({"l2_category": str(record.get("l2-category") or "")}),
    )


def _metrics(answered: Sequence[Answered]) -> list[Metric]:
    subtasks = means_by(answered, kinds)
    tasks = means_by(answered, lambda one: [f"task: {one.question.kind.partition('/')[0]}"])
    return [mean(answered, "micro accuracy"), mean_of(subtasks, "macro accuracy"), *subtasks, *tasks]


XLRS = Layout(
    name="xlrs",
    patterns=("train*.parquet", "test*.parquet", "*.parquet"),
    pictures={".parquet": "image"},
    rule="multiple_choice",
    row=_row,
    metrics=_metrics,
    download="hf download initiacms/XLRS-Bench-lite --repo-type dataset --local-dir FOLDER",
    images=ImagesSpec(max_megapixels=150, max_bytes=512 << 20),
)

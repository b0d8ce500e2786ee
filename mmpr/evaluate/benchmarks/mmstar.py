"""MMStar: 1,500 questions of six categories, 250 each, every one of which needs its picture.

Parquet ``val``: ``index``, ``question`` with its options inside (``Options: A: ..., B: ...``), ``image``, ``answer`` (a
letter), ``category``, ``l2_category``. VLMEvalKit's TSV has the same columns, options perhaps in columns A, B, C, D.

Two averages are in use and are the same on the whole benchmark: over all questions, and over the six categories.
"Math" is the category ``math``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmpr.config import Columns
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.options import option_columns, read_options, with_options, with_request
from mmpr.evaluate.benchmarks.scores import kinds, mean, mean_of, means_by, row_meta
from mmpr.evaluate.results import Answered, Metric
from mmpr.schema import SourceRow

_COLUMNS = Columns(images=None, id="index", kind="category")


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    row = make_row(record, _COLUMNS, where)
    shown = read_options(row.question, row.answer)
    options = option_columns(record, row.answer)
    question = with_request(row.question) if shown or not options else with_options(row.question, options)
    meta = json.dumps({"l2_category": str(record.get("l2_category") or "")})
    return replace(row, question=question, choices=options or shown, meta=meta)


def _metrics(answered: Sequence[Answered]) -> list[Metric]:
    categories = means_by(answered, kinds)
    finer = means_by(answered, lambda one: [f"{one.question.kind}: {row_meta(one)['l2_category']}"])
    return [mean(answered), mean_of(categories, "mean of categories"), *categories, *finer]


MMSTAR = Layout(
    name="mmstar",
    patterns=("val*.parquet", "mmstar*.parquet", "mmstar*.tsv"),
    pictures={".parquet": "image", ".tsv": "image"},
    rule="multiple_choice",
    row=_row,
    metrics=_metrics,
    download="hf download Lin-Chen/MMStar --repo-type dataset --local-dir FOLDER",
)

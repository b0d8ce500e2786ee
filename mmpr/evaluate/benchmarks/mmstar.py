"""MMStar: 1,500 questions of six categories, 250 each, every one of which needs its picture.

Parquet ``val``: ``index``, ``question`` with its options inside (``Options: A: ..., B: ...``), ``image``, ``answer`` (a
letter), ``category``, ``l2_category``. VLMEvalKit's TSV has the same columns, options perhaps in columns A, B, C, D.

Two averages are in use and are the same on the whole benchmark: over all questions, and over the six categories.
"Math" is the category ``math``.

The published rule reads the letter at the beginning of the response: first of all, behind a bracket, or behind
"option" or "the answer is".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmpr.config import Columns
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.options import option_columns, read_options, with_options, with_request
from mmpr.evaluate.benchmarks.scores import Published, Score, kinds, mean, mean_of, means_by, row_meta
from mmpr.evaluate.results import Answered, Metric
from mmpr.schema import Question, SourceRow

_COLUMNS = Columns(images=None, id="index", kind="category")
_BEGINNINGS = (
    ("the first character", re.compile(r"(.)")),
    ("behind a bracket", re.compile(r"\((.)")),
    ('behind "option"', re.compile(r"option (.)")),
    ('behind "the answer is"', re.compile(r"the answer is (.)")),
)


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    row = make_row(record, _COLUMNS, where)
    shown = read_options(row.question, row.answer)
    options = option_columns(record, row.answer)
    question = with_request(row.question) if shown or not options else with_options(row.question, options)
    meta = json.dumps({"l2_category": str(record.get("l2_category") or "")})
    return replace(row, question=question, choices=options or shown, meta=meta)


def official(question: Question, response: str) -> Published:
    """Whether a response is right by the published rule."""
    want = (question.answer or "").strip().lower()
    said = response.lower().strip().replace("\n", " ")
    for how, beginning in _BEGINNINGS:
        found = beginning.match(said)
        if found and found[1] == want:
            return Published(True, how)
    return Published(False, "the letter is not at the beginning")


def _metrics(answered: Sequence[Answered], score: Score) -> list[Metric]:
    categories = means_by(answered, kinds, score=score)
    finer = means_by(answered, lambda one: [f"{one.question.kind}: {row_meta(one)['l2_category']}"], score=score)
    return [mean(answered, score=score), mean_of(categories, "mean of categories"), *categories, *finer]


MMSTAR = Layout(
    name="mmstar",
    patterns=("val*.parquet", "mmstar*.parquet", "mmstar*.tsv"),
    pictures={".parquet": "image", ".tsv": "image"},
    rule="multiple_choice",
    row=_row,
    metrics=_metrics,
    official=official,
    download="hf download Lin-Chen/MMStar --repo-type dataset --local-dir FOLDER",
)

"""XLRS-Bench (and its lite form): very large pictures from the air, some 10,000 by 10,000 pixels.

Parquet: ``image`` (a list), ``question``, ``multi-choice options`` (a list), ``answer`` (a set of letters),
``category`` (``TASK/SUBTASK``), ``l2-category``, ``index``. A question is right when the set of letters is right. Micro
accuracy is over all questions, macro accuracy the mean of the subtasks.

The published rule takes the letters A to E in brackets for the answer, or else every such letter of the response, also
within a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmpr.config import Columns, ImagesSpec
from mmpr.errors import RowError
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.options import LETTERS, letters_of, unlabelled, with_options
from mmpr.evaluate.benchmarks.scores import Published, Score, kinds, mean, mean_of, means_by
from mmpr.evaluate.results import Answered, Metric
from mmpr.schema import Question, SourceRow

_COLUMNS = Columns(images=None, choices="multi-choice options", id="index", kind="category")
_SEVERAL = "Overall Land use classification"
_LEADS = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",  # published so: a comma is missing between them
    "Best answer:Best option:",
)
"""What the published rule removes from a response before it looks for letters, in this order."""
_IN_BRACKETS = re.compile(r"\(([A-Ea-e])\)")
_LETTER = re.compile("[A-Ea-e]")
_CAPITAL = re.compile("[A-E]")


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


def official(question: Question, response: str) -> Published:
    """Whether a response is right by the published rule."""
    for lead in _LEADS:
        response = response.replace(lead, "")
    if not _CAPITAL.search(response):
        return Published(False, "no capital letter from A to E")
    bracketed = _IN_BRACKETS.findall(response)
    found = {name.upper() for name in bracketed or _LETTER.findall(response)}
    how = "letters in brackets" if bracketed else "every letter from A to E, also within words"
    return Published(found == set((question.answer or "").split(", ")), how)


def _metrics(answered: Sequence[Answered], score: Score) -> list[Metric]:
    subtasks = means_by(answered, kinds, score=score)
    tasks = means_by(answered, lambda one: [f"task: {one.question.kind.partition('/')[0]}"], score=score)
    return [mean(answered, "micro accuracy", score=score), mean_of(subtasks, "macro accuracy"), *subtasks, *tasks]


XLRS = Layout(
    name="xlrs",
    patterns=("train*.parquet", "test*.parquet", "*.parquet"),
    pictures={".parquet": "image"},
    rule="multiple_choice",
    row=_row,
    metrics=_metrics,
    official=official,
    download="hf download initiacms/XLRS-Bench-lite --repo-type dataset --local-dir FOLDER",
    images=ImagesSpec(max_megapixels=150, max_bytes=512 << 20),
)

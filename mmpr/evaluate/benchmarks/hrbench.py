"""HR-Bench 4K and 8K: 200 questions about pictures of that size, each asked four times with its options moved round.

TSV or Parquet, 800 rows each: ``index``, ``question``, ``answer`` (a letter), ``category`` (``single``, ``cross``),
``A`` to ``D``, ``cycle_category``, ``image`` (base64). The metric is the accuracy of each cycle, and its mean over the
cycles, over all and of each category. It has no interval: the four rows of a question are not independent, and the
files do not say which rows belong together.

The published rule is that of VLMEvalKit without a language model: the one letter of an option among the last words of
the response, else the one option whose text is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmpr.config import Columns
from mmpr.errors import RowError
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.options import LETTERS, option_columns, with_options
from mmpr.evaluate.benchmarks.scores import Published, Score, kinds, mean_of, means_by, row_meta
from mmpr.evaluate.results import Answered, Metric
from mmpr.schema import Question, SourceRow

_COLUMNS = Columns(images=None, id="index", kind="category")
_PUNCTUATION = re.compile(r"[.()\[\],:;!*#{}]")
_LAST_WORDS = 4
_NO_ANSWER = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
"""Refusals that VLMEvalKit knows."""


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    row = make_row(record, _COLUMNS, where)
    cycle = record.get("cycle_category")
    if cycle is None:
        raise RowError("missing_field", "no 'cycle_category'")
    options = option_columns(record, row.answer)
    if not options:
        raise RowError("missing_field", "no options in the columns A, B, ...")
    question = with_options(row.question, options)
    return replace(row, question=question, choices=options, meta=json.dumps({"cycle": str(cycle)}))


def official(question: Question, response: str) -> Published:
    """Whether a response is right by the published rule."""
    name, how = _inferred(response, question.choices)
    return Published(name == question.answer, how)


def _inferred(response: str, options: Sequence[str]) -> tuple[str | None, str]:
    """The letter that VLMEvalKit infers from a response, and how; None when it infers none."""
    if any(refusal in response for refusal in _NO_ANSWER):
        return None, "refusal"
    words = _PUNCTUATION.sub(" ", response).split()
    named = [name for name in LETTERS[: len(options)] if name in words]
    if len(named) == 1 and words.index(named[0]) >= len(words) - _LAST_WORDS:
        return named[0], "the only letter, among the last words"
    within = [name for name, text in zip(LETTERS, options, strict=False) if text.lower() in response.lower()]
    return (within[0], "the only option in it") if len(within) == 1 else (None, "no letter and no option inferred")


def _metrics(answered: Sequence[Answered], score: Score) -> list[Metric]:
    cycles = means_by(answered, _cycle, score=score)
    categories = [
        replace(mean_of(means_by(members, _cycle, score=score), "mean of cycles"), group=kind)
        for kind in sorted({kind for one in answered for kind in kinds(one)})
        if (members := [one for one in answered if one.question.kind == kind])
    ]
    return [mean_of(cycles, "mean of cycles"), *categories, *cycles]


def _cycle(one: Answered) -> list[str]:
    return [f"cycle {str(row_meta(one)['cycle']).removeprefix('cycle').strip()}"]


def _layout(size: str) -> Layout:
    return Layout(
        name=f"hrbench_{size}",
        patterns=(f"hr_bench_{size}*.parquet", f"hr*bench*{size}*.tsv"),
        pictures={".parquet": "image", ".tsv": "image"},
        rule="multiple_choice",
        row=_row,
        metrics=_metrics,
        official=official,
        download=f"hf download DreamMr/HR-Bench hr_bench_{size}.parquet --repo-type dataset --local-dir FOLDER",
    )


HRBENCH_4K = _layout("4k")
HRBENCH_8K = _layout("8k")

"""V* Bench: 191 questions about small things in large pictures, in ``test_questions.jsonl``.

Columns: ``image`` (a path), ``text`` with its options and the request for a letter, ``label``, ``category``
(``direct_attributes``, ``relative_position``), ``question_id``. The metric is accuracy, over all and of each category.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmpr.config import Columns
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.options import read_options
from mmpr.evaluate.benchmarks.scores import accuracy_by_kind
from mmpr.schema import SourceRow
from mmpr.sources import cells

_COLUMNS = Columns(question="text", answer="label", images=None, kind="category")


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    row = make_row(record, _COLUMNS, where)
    # question_id counts from 0 in each category.
    number = cells.column(record, "question_id")
    return replace(
        row, choices=read_options(row.question, row.answer), key="" if number is None else f"{row.kind}/{number}"
    )


VSTAR = Layout(
    name="vstar",
    patterns=("test_questions.jsonl",),
    pictures={".jsonl": "image"},
    rule="multiple_choice",
    row=_row,
    metrics=accuracy_by_kind,
    download="hf download craigwu/vstar_bench --repo-type dataset --local-dir FOLDER",
)

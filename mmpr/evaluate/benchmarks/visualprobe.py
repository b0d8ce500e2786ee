"""VisualProbe easy, medium and hard: open-ended questions about details of large pictures.

A JSON list (``val.json``) of ``images`` (paths), ``problem`` or ``question``, ``solution`` or ``answer``. The three lie
in data sets of their own; a folder that holds all of them is read as one. The difficulty, from the name of a file's
folder or of the first picture, is a question's kind. The metric is accuracy, over all and of each difficulty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmpr.config import Columns
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.scores import accuracy_by_kind
from mmpr.schema import SourceRow

_DIFFICULTY = re.compile(r"easy|medium|hard", re.I)


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    def first(*names: str) -> str:
        return next((name for name in names if record.get(name) is not None), names[0])

    columns = Columns(
        question=first("problem", "question", "prompt"),
        answer=first("solution", "answer", "ground_truth"),
        images=None,
        kind="difficulty",
    )
    named = _DIFFICULTY.findall(f"{where.rpartition('[')[0]} {_first_image(record)}")
    record = {**record, "difficulty": named[0].lower() if named else None}
    return make_row(record, columns, where)


def _first_image(record: Mapping[str, Any]) -> str:
    """The name of a row's first picture, ``visual_probe_hard_0.jpg``, for files that lie without their folder."""
    images = record.get("images")
    return images[0].rpartition("/")[2] if isinstance(images, list) and images and type(images[0]) is str else ""


VISUALPROBE = Layout(
    name="visualprobe",
    patterns=("val.json", "*.json"),
    pictures={".json": "images", ".jsonl": "images"},
    rule="default",
    row=_row,
    metrics=accuracy_by_kind,
    download=(
        "for d in Easy Medium Hard; do "
        "hf download Mini-o3/VisualProbe_$d --repo-type dataset --local-dir FOLDER/VisualProbe_$d; done"
    ),
)

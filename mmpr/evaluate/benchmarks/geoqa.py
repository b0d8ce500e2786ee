"""GeoQA's test questions as R1-V wrote them: 754 lines of ``image_path``, ``question`` and ``ground_truth`` ("140°").

The metric is accuracy by equality of mathematical answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpr.config import Columns
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.scores import accuracy_by_kind
from mmpr.schema import SourceRow

_COLUMNS = Columns(answer="ground_truth", images=None)


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    return make_row(record, _COLUMNS, where)


GEOQA = Layout(
    name="geoqa",
    patterns=("geoqa_test*.jsonl", "*test*.jsonl", "*.jsonl"),
    pictures={".jsonl": "image_path"},
    rule="default",
    row=_row,
    metrics=accuracy_by_kind,
    download=(
        "hf download Luckyjhg/Geo170K images.zip --repo-type dataset --local-dir FOLDER"
        "\n  unzip FOLDER/images.zip -d FOLDER"
        "\n  and put src/eval/prompts/geoqa_test_prompts.jsonl of github.com/Deep-Agent/R1-V into FOLDER"
    ),
)

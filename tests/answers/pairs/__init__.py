"""The labelled pairs: one file of JSON lines for each kind, one row a pair.

A row has ``id``, ``pred``, ``gold``, ``label`` (whether the prediction is right), ``kind``, ``reason`` (of the label)
and perhaps ``choices`` and ``rule``. ``python -m tests.answers.pairs ID`` judges single rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def load() -> list[dict[str, Any]]:
    """All pairs, by kind and number."""
    files = sorted(FOLDER.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]

"""The labelled pairs: one file of JSON lines for each kind, one row a pair.

A row has ``id``, ``pred``, ``gold`` (a text, or a list of acceptable ones), ``label``, ``kind``, ``reason`` (of the
label) and perhaps ``choices`` and ``rule``. ``label`` is true for a right prediction, false for a wrong one and null
where nobody can tell without the question. ``held_back`` was written before the rules were tuned on the other files,
and stayed unseen until then. ``python -m tests.answers.pairs ID`` judges single rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
STATUSES: dict[bool | None, tuple[str, ...]] = {
    True: ("correct",),
    False: ("incorrect", "unsure", "unparseable"),
    None: ("unsure",),
}
"""The statuses that a verdict may have for each label: a wrong answer is never called correct, and may be doubted."""


def load() -> list[dict[str, Any]]:
    """All pairs, by kind and number."""
    files = sorted(FOLDER.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]

"""Labelled responses as models write them, each with its final answer.

``responses.jsonl`` was written while extraction was made; ``heldback.jsonl`` before, and was first run at the end.
``answer`` is null where none is clear; ``sure`` is false where something may be the answer (several candidates, a
condition, a last sentence), so that the response is neither right nor wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FILES = ("responses", "heldback")


def load(name: str) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]

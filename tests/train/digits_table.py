"""A small table of pairs about real pictures, and the settings of a run of three steps on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers import REPOSITORY

MODEL = REPOSITORY / "data" / "demo_model"
SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "data": {"pairs_a_step": 6, "max_pairs_a_question": 2, "max_tokens": 512},
    "optimizer": {"learning_rate": 1e-4, "weight_decay": 0.0},
    "compute": {"precision": "float32"},
    "save": {"every_steps": 2},
    "watch": {"questions": 2, "every_steps": 100, "max_new_tokens": 8},
}


def digits_table(folder: Path) -> Path:
    """Write ``pairs.jsonl``: real pictures and questions of the digits source, with right and wrong answers."""
    from mmpr.sources.digits import Digits

    source = Digits("train", 9, kinds=["sum", "maximum"], seed=5)
    lines = []
    for number, row in enumerate(source.rows()):
        picture = folder / f"{number}.png"
        picture.write_bytes(source.load(row.images[0]))
        for wrong in ("0", "I do not know"):
            line = {
                "images": [picture.name],
                "prompt": row.question,
                "chosen": f"Final answer: {row.answer}",
                "rejected": f"Final answer: {wrong}" if wrong == "0" else wrong,
            }
            lines.append(json.dumps(line))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return folder

"""A judging process that fails where the real one must not: for tests of failure only."""

from __future__ import annotations

import os
from typing import Any

from mmpr.answers import killable


def _one(asked: dict[str, Any], item: Any) -> Any:
    text = str(item)
    if "DIE" in text:
        os._exit(1)
    while "HANG" in text:
        pass
    if "SWELL" in text:
        item = "Final answer: " + "9" * (killable.MEMORY_BYTES + 1)
    return judge_one(asked, item)


judge_one = killable._one
killable._one = _one


def serve() -> None:
    killable.serve()

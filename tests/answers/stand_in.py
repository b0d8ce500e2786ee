"""A judging process that fails where the real one must not: for tests of failure only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from mmpr.answers import killable, processes


def _answer(request: str) -> Iterable[str]:
    asked = json.loads(request)
    for item in asked["items"]:
        text = str(item)
        if "DIE" in text:
            os._exit(1)
        while "HANG" in text:
            pass
        yield json.dumps(_one(asked, item, text))


def _one(asked: dict[str, Any], item: Any, text: str) -> Any:
    if "SWELL" in text:
        item = "Final answer: " + "9" * (killable.MEMORY_BYTES + 1)
    return killable._one(asked, item)


def serve() -> None:
    processes.serve(_answer, memory_bytes=killable.MEMORY_BYTES, cpu_s=60)

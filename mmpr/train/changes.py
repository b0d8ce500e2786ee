"""In what two trees of plain values differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def changes(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each value that differs: its dotted name, what it was, and what it is; None where it is missing."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield name, before, now

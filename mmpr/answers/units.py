"""Units of measure."""

from __future__ import annotations

import re

_LEADING = re.compile(r"\s*(\\?%|percent\b|cm\b|m\b|km\b)")


def leading_unit(text: str) -> str | None:
    """The unit at the beginning of a text."""
    found = _LEADING.match(text)
    return found.group(1) if found else None

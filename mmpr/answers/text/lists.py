"""Lists as people write them: with commas, with "and", or numbered."""

from __future__ import annotations

import re

from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.wrapping import peel

_BOTH = re.compile(r"^both (?=\S+ and \S+$)", re.IGNORECASE)
_SPLIT = re.compile(
    r"(?:(?<!\s)\s++)?(?:[;、；，和与]|,(?!\d{3}(?!\d))|以及)\s*+(?:and\s++)?"
    r"|(?<!\s)\s++(?:&|and)\s++(?:and\s++)?|(?<!\s)[^\S\n]*+\n\s*+(?:and\s++)?"
)
_ITEM_NUMBER = re.compile(r"(?:^|(?<=[\s;,]))(?:\((\d{1,2})\)\s*+|(\d{1,2})[.)]\s++)(?=\S)")
_BRACKETED = re.compile(r"(\[|\{|\\\{|\()(.*)(\]|\}|\\\}|\))")


@remembered(4096)
def split_list(text: str) -> tuple[str, ...] | None:
    """The items of ``red, blue and green`` or ``1. red 2. blue``; None for a text that is no list."""
    inner = _BRACKETED.fullmatch(text)
    body = inner[2] if inner and not set("[]{}()") & set(inner[2]) else text
    if len(body) > 1_000:
        return None
    numbered = _numbered(body)
    items = [peel(item) for item in numbered or _SPLIT.split(_BOTH.sub("", body))]
    if len(items) < 2 or not all(items) or len(items) > 40 or any(len(item.split(" ")) > 5 for item in items):
        return None
    return tuple(items)


def _numbered(text: str) -> list[str] | None:
    """The items of "1. France 2. Germany", numbered from one without a gap."""
    found = list(_ITEM_NUMBER.finditer(text))
    if len(found) < 2 or found[0].start() or [int(one[1] or one[2]) for one in found] != list(range(1, len(found) + 1)):
        return None
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [text[one.end() : end] for one, end in zip(found, ends, strict=True)]

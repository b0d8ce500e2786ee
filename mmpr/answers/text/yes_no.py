"""Answers to yes-or-no questions."""

from __future__ import annotations

import re

from mmpr.answers.text.sentences import (
    predicate,
)

_YES_TEXT = (
    "yes true correct yeah yep yup 是 是的 对 对的 正确 真 有 有的 可以 能 会 √ ✓ ✔ right affirmative sure certainly"
)
YES = frozenset(_YES_TEXT.split())
_NO_TEXT = (
    "no false incorrect nope nah wrong negative "
    "否 不是 不 不对 错 错误 错的 不正确 不是的 不对的 假 没有 不可以 不能 不会 无 × ✗ ✘"
)
_NO = frozenset(_NO_TEXT.split())
YES_NO_GOLD = (YES | _NO) - {"right", "wrong", "negative", "sure", "certainly", "无"}
_POLAR = re.compile(
    r"(yes|true|yeah|yep|yup|correct|no|false|nope|nah|incorrect|是的|不是的?|不对的?|对的|错的|不正确|正确|错误|对|否|是|没有|(?:不?[能会]|不?可以|有)(?=[，,。])|不(?=[，,]))(?:[,.;:!，。；、—-]|\s++-|\s*+(?=\()|\s++(?=(?:indeed|the|because)\b|(?:it|there|they|he|she|this|that)\b(?:\s+(?:is|are|was|were|do|does|did|has|have|can|will)(?:n?'t)?\b|'))|$)\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_POLAR_WORDS = re.compile(r"\b(yes|true|no|false)\b", re.IGNORECASE)
_EMPHASIS = re.compile(r"^(?:indeed|absolutely|definitely|certainly|of course),? (?=(?:yes|no)\b)", re.IGNORECASE)
_NOT_TRUE = re.compile(r"\bnot (?:true|correct|right)\b")
_POLAR_SAID = re.compile(
    r"(?:it|this|that|the statement|the claim|the answer)(?:'s| is)\s+(?:a\s+)?(yes|true|correct|no|false"
    r"|incorrect|not true|not correct)(?:\s+statement|\s+that\s.*)?",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:but|actually|or|maybe|wait|however|and no|and yes|not sure|unless|sometimes|partly|partially"
    r")\b|也许|可能|或",
    re.IGNORECASE,
)


def polarity(answer: str) -> bool | None:
    """True for an answer that says yes, False for one that says no, None for neither or both."""
    answer = _EMPHASIS.sub("", answer)
    lowered = answer.casefold()
    if _NOT_TRUE.fullmatch(lowered):
        return False
    if lowered not in YES | _NO:
        lowered = (predicate(answer) or answer).casefold()
    if lowered in YES or lowered in _NO:
        return lowered in YES
    said = _POLAR_SAID.fullmatch(answer)
    if said:
        return said[1].casefold() in YES
    found = _POLAR.match(_NOT_TRUE.sub("", answer))
    if not found or _TAKEN_BACK.search(found[2]):
        return None
    have = found[1].casefold() in YES
    echoes = {word.casefold() for word in _POLAR_WORDS.findall(found[2])} if len(found[2]) < 30 else set()
    if echoes & ({"no", "false"} if have else {"yes", "true"}) and not re.match(
        r"there (?:is|are) no\b", found[2], re.IGNORECASE
    ):
        return None
    return have

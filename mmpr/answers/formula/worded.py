"""Formulas that are written in words."""

from __future__ import annotations

import re

from mmpr.answers.text.sentences import (
    peel,
)

MATH = re.compile(
    r"[\\^_=<>≤≥≠≈±√π∞∪∩∈°|]|\d\s*[-+*/×÷·!]|[-+*/×÷·]\s*[\d(]|[(\[{]\s*-?[\d.]|[A-Za-z]\s*[-+*/]\s*[A-Za-z]\b|^\s*-|\d[A-Za-z]\b|\)\s*\(|\b[a-z]\(|\d(?!st\b|nd\b|rd\b|th\b|am\b|pm\b)[a-z]{2,3}\b|sqrt|^[A-Za-zα-ω]$"
)
"""What only a formula has in it."""
_REALS = re.compile(
    r"(?:x (?:is|can be|=) |x ?\\in ?)?(?:the set of )?(?:all|any) real(?:s| numbers?)(?: x)?|(?:全体|所有|任意)实数",
    re.IGNORECASE,
)
_EMPTY = re.compile(r"(?:the )?(?:empty|null) set|空集", re.IGNORECASE)
_HAN_SIGNS = {
    "大于等于": " >= ", "大于或等于": " >= ", "不小于": " >= ", "小于等于": " <= ", "小于或等于": " <= ",
    "不大于": " <= ",
    "不等于": " != ", "大于": " > ", "小于": " < ", "等于": " = ", "或者": " or ", "或": " or ", "并且": " and ",
    "且": " and ", "和": " and ",
}  # fmt: skip
_BOUNDS = {
    "more than": ">", "greater than": ">", "over": ">", "less than": "<", "fewer than": "<", "smaller than": "<",
    "under": "<", "at least": ">=", "no less than": ">=", "at most": "<=", "no more than": "<=",
}  # fmt: skip
_BOUND = re.compile(rf"({'|'.join(_BOUNDS)}|[<>≤≥]=?)\s*(-?\d[\d.,/]*)", re.IGNORECASE)
_HAN_ROOT = re.compile(r"倍?根号(?=\d)")
_HAN_RELATION = re.compile("|".join(sorted(_HAN_SIGNS, key=len, reverse=True)))


def worded_formula(text: str) -> str:
    """A formula that is written in words ("all real numbers", "x小于3", "k>-1 且 k≠0") in signs."""
    for pattern, formula in ((_REALS, r"\mathbb{R}"), (_EMPTY, r"\emptyset")):
        if pattern.fullmatch(text):
            return formula
    bound = _BOUND.fullmatch(text)
    if bound:
        return f"x {_BOUNDS.get(bound[1].lower(), bound[1])} {bound[2]}"
    text = _HAN_ROOT.sub("√", text)
    if not text.isascii() and _HAN_RELATION.search(text):
        signs = _HAN_RELATION.sub(lambda found: _HAN_SIGNS[found.group()], text)
        if not re.search("[\u4e00-\u9fff]", signs) and MATH.search(signs):
            return peel(signs)
    return text

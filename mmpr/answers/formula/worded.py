"""What tells a formula from words, and formulas that are written in words."""

from __future__ import annotations

import re

from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.wrapping import peel

_MATH = re.compile(
    r"[\\^_=<>≤≥≠≈≅≌∽⊂⊆⊃⊇⊥∥±√π∞∪∩∈°|]|\d\s*[-+*/×÷·!]|[-+*/×÷·]\s*[\d(]|[(\[{]\s*-?[\d.]|[A-Za-z]\s*[-+*/]\s*[A-Za-z]\b|^\s*-|\d[A-Za-z]\b|\)\s*\(|\b[a-z]\(|\d(?!st\b|nd\b|rd\b|th\b|am\b|pm\b)[a-z]{2,3}\b|sqrt|^[A-Za-zα-ω]$"
)
"""Signs that stand in formulas only."""
_CODE = re.compile(
    r"(?:[A-Z]{1,5}+|[A-Za-z]{2,}+)[- ]?\d++[A-Za-z]{0,2}|\d++(?:-\d++)++|\d++[A-Z]{1,3}|[A-Za-z]{2,}+(?:-[A-Za-z]++)++"
    r"|[A-Za-z]++(?:-[A-Za-z]{2,}+)++|(?:the )?\d{2,3}0'?s|[A-Z]++\d++[A-Z0-9]*+"
)
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
_NOT_WORDED = frozenset("0123456789-+.$\\([{")
"""How no formula in words begins; a Chinese one may."""
_HAN_ROOT = re.compile(r"倍?根号(?=\d)")
_HAN_RELATION = re.compile("|".join(sorted(_HAN_SIGNS, key=len, reverse=True)))


@remembered(4096)
def worded_formula(text: str) -> str:
    """A formula in words ("all real numbers", "x小于3", "k>-1 且 k≠0") in signs; any other text as it is."""
    if text[:1] in _NOT_WORDED and text.isascii():
        return text
    for pattern, formula in ((_REALS, r"\mathbb{R}"), (_EMPTY, r"\emptyset")):
        if pattern.fullmatch(text):
            return formula
    bound = _BOUND.fullmatch(text)
    if bound:
        return f"x {_BOUNDS.get(bound[1].lower(), bound[1])} {bound[2]}"
    if text.isascii():
        return text
    text = _HAN_ROOT.sub("√", text)
    if _HAN_RELATION.search(text):
        signs = _HAN_RELATION.sub(lambda found: _HAN_SIGNS[found.group()], text)
        if not re.search("[\u4e00-\u9fff]", signs) and has_formula_signs(signs):
            return peel(signs)
    return text


@remembered(4096)
def has_formula_signs(text: str) -> bool:
    """Whether something stands in a text that only formulas have."""
    return _MATH.search(text) is not None


def looks_like_formula(text: str) -> bool:
    """Whether a text has the signs of a formula and is no code such as ``A12``, ``3-4`` or ``1990s``."""
    return has_formula_signs(text) and not _CODE.fullmatch(text)

"""The quantity that an answer states: in itself, behind an equals sign, or as the only number of a plain sentence."""

from __future__ import annotations

import re

from mmpr.answers.formula.worded import has_formula_signs
from mmpr.answers.text.numerals import NUMBER_WORDS
from mmpr.answers.text.sentences import conclusion, hedge, predicate, sentences, without_scene
from mmpr.answers.text.wrapping import peel
from mmpr.answers.values.expressions import expression_in_signs, parse_expression, valued
from mmpr.answers.values.quantities import DIGITS, Quantity, parse_quantity

_EQUATED = re.compile(r"[\d\s.,+*/×÷()=$%-]+|[A-Za-z][A-Za-z' ]*|[\u4e00-\u9fff]{1,8}")
_SO = re.compile(r", (?:so|thus|therefore|hence)(?: that)?,? ")
_SENTENCE = re.compile(r"[A-Za-z\u4e00-\u9fff][^=<>^*/\\\\{}]*")
_WORD_NUMBERS = "|".join(sorted(NUMBER_WORDS - {"second", "half", "quarter"}, key=len, reverse=True))
_MENTION = re.compile(
    rf"(?<![A-Za-z0-9_.,:/第-])(?:[-$€£¥]|-\$)?(?:{DIGITS})(?![\w]*[:/]\d)(?:%|°)?(?![A-Za-z]*\d)"
    rf"|\b(?:{_WORD_NUMBERS})(?:[- ](?:{_WORD_NUMBERS}))*\b",
    re.IGNORECASE,
)
_MORE = re.compile(r"(?<=\w) (?:more(?! than\b)|of (?:them|these|those))\b")
_EVERY = re.compile(r"(?<!\s)\s++(?:every|each) (?:day|night|week|month|year|hour|minute|person|time)$")
_PRESENT = re.compile(
    r"(?<!\s)\s++(?:are|is|were|was|can be seen|appear)(?: (?:visible|shown|there|present|standing|sitting|left|in|on"
    r"|at)\b(?s:.*))?$"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|there|see|count(?:ed)?|contains?|shows?|totals?|equals?|costs?|needs?|left|gets?|got|gives?|found|weighs?|takes?|makes?"
    r"|(?!red\b)\w{2,}ed|travels?|drives?|walks?|moves?|covers?|holds?|produces?|pays?|lasts?|measures?|ate|bakes?|reads?|wrote|saves?|spends?"
    r"|reach(?:es)?|increases?|decreases?|grows?|grew|uses?|used|sells?|sold|buys?|bought"
    r"|ran|earns?|earned|spent|wins?|won|lost|started|comes? to|answer|solution|total|=)\b|[有是为共剩]",
    re.IGNORECASE,
)


def quantity_said(answer: str, truth: str = "") -> Quantity | str | None:
    """The one quantity that an answer states.

    Returns None when there is none, and a text (the hedge, negation or bound) when there is one that must not be
    read; a word that the truth has, too, is no such hedge.
    """
    quantity = parse_quantity(answer)
    if quantity is not None:
        return quantity
    expression = expression_in_signs(answer)
    if expression is not None:
        return valued(expression)
    left, equals, right = answer.rpartition("=")
    if equals and not set("<>≤≥≠≈") & set(answer) and hedge(answer, truth) is None and _EQUATED.fullmatch(left):
        quantity = parse_quantity(right.strip())
        if quantity is not None:
            return quantity
    clauses = _SO.split(answer)
    if len(clauses) > 1 or len(sentences(answer)) > 1:
        last = peel(clauses[-1]) if len(clauses) > 1 else conclusion(answer)
        return quantity_said(last, truth) if last != answer else None
    said = predicate(answer)
    if said is not None and hedge(said, truth) is None and hedge(answer, truth, bounds=False) is None:
        quantity = parse_quantity(said) or (parse_expression(said) if has_formula_signs(said) else None)
        if quantity is not None:
            return valued(quantity)
    return hedge(answer, truth) or _only_quantity(without_scene(answer))


def _only_quantity(text: str) -> Quantity | None:
    """The only number of a plain sentence ("There are 3 birds on the wire."), with the unit behind it."""
    text = _EVERY.sub("", _PRESENT.sub("", text.strip()))
    if text[:1].isdigit():
        return parse_quantity(text)
    if len(text) > 200 or not _SENTENCE.fullmatch(text) or not (_VERB.search(text) or "\u4e00" <= text[0] <= "\u9fff"):
        return None
    found = list(_MENTION.finditer(text))
    if len(found) != 1:
        return None
    start, end = found[0].span()
    if start == 0:
        return parse_quantity(text)
    words = text[end:].split(" ")
    for count in (3, 2, 1):
        tail = " ".join(words[:count])
        quantity = parse_quantity((text[start:end] + tail).rstrip(",."))
        if quantity is not None and quantity.unit is not None and len(tail.strip()) > 1:
            return quantity
    return parse_quantity(_MORE.sub("", text[start:]))

"""The comparators: the kind of the truth decides how the answer is read, and the comparator of that kind decides."""

from __future__ import annotations

import re
from typing import NamedTuple

from mmpr.answers.algebra.equality import Prove, same
from mmpr.answers.compare_quantities import same_quantities
from mmpr.answers.formula.tree import Tree
from mmpr.answers.formula.worded import worded_formula
from mmpr.answers.text.lists import split_list
from mmpr.answers.text.sentences import (
    conclusion,
    hedge,
    is_refusal,
    math_spans,
    predicate,
    same_phrase,
    sentences,
    statement_of,
    superlative,
    without_place,
    without_reason,
    without_scene,
)
from mmpr.answers.text.words import same_text, words
from mmpr.answers.text.wrapping import peel
from mmpr.answers.text.yes_no import YES, YES_NO_GOLD, polarity
from mmpr.answers.values import dates
from mmpr.answers.values.expressions import expression_in_signs, parse_expression, valued
from mmpr.answers.values.quantities import Quantity, parse_quantity
from mmpr.answers.values.quantities_in_sentences import quantity_said
from mmpr.answers.values.ratios import parse_range, parse_ratio, parse_ratio_of_expressions

_OR = re.compile(r"(?:(?<!\s)\s++(?:,\s++)?|,\s++)or\s++|(?:(?<!\s)\s++)?或者?\s*+")
_AND = re.compile(r"\band\b|\\(?:land|wedge)\b")
_SPELT = re.compile(r"[^\W\d_]{2}")
_NUMERIC = re.compile(r"[\d\\=]")
_NARROW = re.compile(r"(?<=\d) (?=[A-Za-z°%])")
_ON = re.compile(r"^(?:on|in) ", re.IGNORECASE)
_TYPOGRAPHY = re.compile(r"\\(?:left|right|displaystyle|!|,|;|:)|\s|\\ ")
_NO_NUMBERS = frozenset(("set", "seq", "tuple", "list", "alt", "interval", "cup", "rel", "pm"))
_KINDS = {"cup": "interval", "minus": "set", "seq": "set", "alt": "set"}
_KINDS |= {kind: kind for kind in ("interval", "set", "tuple", "matrix")}
_NOT_ANY = re.compile(
    r"(?:there (?:are|were) )?no (?!.*(?:solution|root|answer|value)s)(?:[a-z]+ ){0,2}[a-z]+s(?: (?:in|on) .*)?",
    re.IGNORECASE,
)


class Judgement(NamedTuple):
    """``right``, the comparator that decided, and its reason."""

    right: bool
    comparator: str
    reason: str


def compare(answer: str, truth: str, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    """Judge an answer by the comparator for the kind of its truth; ``raw`` is the answer with its math delimiters.

    May raise what ``prove`` raises.
    """
    if answer == truth or _NARROW.sub("", answer) == _NARROW.sub("", truth):
        return Judgement(True, "identical", "the same characters")
    answer, truth = worded_formula(answer), worded_formula(truth)
    if is_refusal(truth):
        right = is_refusal(answer)
        reason = "both say that there is no answer" if right else "an answer where there is none"
        return Judgement(right, "refusal", reason)
    if truth.casefold() in YES_NO_GOLD:
        return _yes_no(answer, truth)
    if is_refusal(answer):
        return Judgement(False, "refusal", "says that there is no answer")
    answer = without_reason(answer)
    judgement = _calendar(answer, truth)
    if judgement is not None:
        return judgement
    quantity = parse_quantity(truth)
    if quantity is not None:
        return _number(answer, truth, quantity, raw, relaxed, prove)
    judgement = _ratio(answer, truth, prove) or _range(answer, truth, relaxed, prove)
    if judgement is not None:
        return judgement
    expression = expression_in_signs(truth)
    if expression is not None:
        return _expression(answer, truth, expression, raw, relaxed, prove)
    return _list(answer, truth, relaxed, prove) or _text(answer, truth)


def _yes_no(answer: str, truth: str) -> Judgement:
    want = truth.casefold() in YES
    have = polarity(answer)
    if have is None:
        return Judgement(False, "yes_no", "neither yes nor no")
    return Judgement(have == want, "yes_no", f"{'yes' if have else 'no'} against {'yes' if want else 'no'}")


def _calendar(answer: str, truth: str) -> Judgement | None:
    date = dates.parse_date(truth)
    if date is not None:
        other = dates.parse_date(answer) or dates.parse_date(statement_of(answer))
        return Judgement(other == date, "date", f"{other} against {date}")
    time = dates.parse_time(truth)
    if time is not None:
        have = dates.parse_time(answer) or dates.parse_time(statement_of(answer))
        right = have is not None and dates.same_time(time, have)
        return Judgement(right, "time", f"{have} against {time}")
    for parse in (dates.parse_day, dates.parse_month):
        named = parse(truth)
        if named is not None:
            right = named in (parse(answer), parse(_ON.sub("", statement_of(answer))))
            return Judgement(right, "date", "compared by name")
    return None


def _number(answer: str, truth: str, gold: Quantity, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    name = "quantity" if gold.unit else "number"
    if (gold.year or parse_quantity(answer) is None) and (year := dates.parse_year(statement_of(answer))) is not None:
        return Judgement(year == gold.number, "number", "years")
    if gold.number == 0 and _NOT_ANY.fullmatch(answer):
        return Judgement(True, name, "none of them")
    other = quantity_said(answer, truth)
    if isinstance(other, str):
        return Judgement(False, name, other)
    if other is None:
        spans = math_spans(raw)
        if len(spans) == 1 and hedge(raw) is None:
            other = quantity_said(peel(spans[0]), truth)
        if not isinstance(other, Quantity):
            return Judgement(False, name, "no single number in it")
    if other.tree[0] in _NO_NUMBERS:
        equal = same(gold.tree, other.tree, prove)
        return Judgement(equal, name, "one value" if equal else "not one value")
    right, reason = same_quantities(gold, other, prove, relaxed)
    return Judgement(right, name, reason)


def _ratio(answer: str, truth: str, prove: Prove) -> Judgement | None:
    """``1:\\sqrt{2}`` or ``3:4``, part by part; None for ``3 to 4`` when the answer is no ratio: it may be a range."""
    expressions = parse_ratio_of_expressions(truth)
    if expressions is not None:
        other = parse_ratio_of_expressions(answer) or parse_ratio_of_expressions(statement_of(answer)) or []
        right = len(other) == len(expressions) and all(
            same(a, b, prove) for a, b in zip(expressions, other, strict=True)
        )
        return Judgement(right, "ratio", "compared part by part")
    want = parse_ratio(truth.rpartition("=")[2])
    have = want and (parse_ratio(answer.rpartition("=")[2]) or parse_ratio(statement_of(answer)))
    if want is None or (have is None and "to" in truth):
        return None
    return Judgement(have == want, "ratio", "compared part by part")


def _range(answer: str, truth: str, relaxed: bool, prove: Prove) -> Judgement | None:
    """``10-20``, ``10 to 20 cm``: both ends, in order."""
    want = parse_range(truth)
    if want is None:
        return None
    have = parse_range(answer) or parse_range(statement_of(answer))
    right = have is not None and all(same_quantities(a, b, prove, relaxed)[0] for a, b in zip(want, have, strict=True))
    return Judgement(right, "range", "both ends compared")


def _expression(answer: str, truth: str, gold: Quantity, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    name = _kind(gold.tree)
    other = _expression_or_quantity(answer)
    if other is None and len(sentences(answer)) > 1:
        answer = conclusion(answer)
        other = _expression_or_quantity(answer)
    if other is None:
        reason = hedge(answer, truth)
        if reason is not None:
            return Judgement(False, name, reason)
        said = predicate(answer)
        other = _expression_or_quantity(said) if said else None
    if other is None:
        spans = math_spans(raw)
        other = parse_expression(peel(spans[0])) if len(spans) == 1 else None
    if other is None:
        if _without_typography(answer) == _without_typography(truth):
            return Judgement(True, name, "the same formula")
        return Judgement(False, name, "no formula that could be read")
    if gold.tree[0] == "alt" and other.tree[0] == "seq" and name != "set" and _AND.search(answer):
        return Judgement(False, name, "both at once against either")
    if gold.unit is None and other.unit is None:
        equal = same(gold.tree, other.tree, prove)
        return Judgement(equal, name, "equal" if equal else "not equal")
    right, reason = same_quantities(valued(gold), valued(other), prove, relaxed)
    return Judgement(right, name, reason)


def _expression_or_quantity(text: str) -> Quantity | None:
    return parse_expression(text) or parse_quantity(text)


def _kind(gold: Tree) -> str:
    """The comparator's name for a formula."""
    if gold[0] == "rel":
        return "equation" if set(gold[1]) == {"="} else "inequality"
    if gold[0] in ("seq", "alt") and any(part[0] == "rel" and set(part[1]) != {"="} for part in gold[1:]):
        return "inequality"
    return _KINDS.get(gold[0], "expression")


def _without_typography(text: str) -> str:
    return _TYPOGRAPHY.sub("", text).replace("dfrac", "frac").replace("tfrac", "frac")


def _list(answer: str, truth: str, relaxed: bool, prove: Prove) -> Judgement | None:
    want = split_list(_OR.sub(", ", truth))
    if want is None or not all(_NUMERIC.search(item) for item in want):
        want = split_list(truth)  # "or" joins the values of an unknown, but alternatives of a text
    if want is None:
        return None
    if all(parse_quantity(item) or expression_in_signs(item) for item in want):
        gold, other = parse_expression(truth), parse_expression(answer) or parse_expression(statement_of(answer))
        plain = not any(_has_unit(item) for item in (*want, *(split_list(answer) or ())))
        if gold and other and plain:
            equal = same(gold.tree, other.tree, prove)
            return Judgement(equal, "list", "the same values" if equal else "other values")
    if (not _NUMERIC.search(truth) or _SPELT.search(truth)) and same_text(truth, answer):
        return Judgement(True, "list", "the same text")
    have = split_list(answer) or split_list(statement_of(answer)) or split_list(peel(without_scene(answer)))
    if have is None or len(have) != len(want):
        return Judgement(False, "list", f"{len(have or ())} items against {len(want)}")
    ordered = truth.startswith("[") and answer.startswith("[")
    left = list(have)
    for item in want:
        candidates = left[:1] if ordered else left
        for at, candidate in enumerate(candidates):
            if compare(candidate, item, candidate, relaxed, prove).right:
                del left[at]
                break
        else:
            return Judgement(False, "list", f"{item!r} is missing")
    return Judgement(True, "list", "the same items")


def _has_unit(item: str) -> bool:
    quantity = parse_quantity(item) or parse_expression(item)
    return quantity is not None and quantity.unit is not None


def _text(answer: str, truth: str) -> Judgement:
    if same_text(truth, answer):
        return Judgement(True, "text", "the same words")
    said = predicate(answer)
    of_said = (said, peel(said), without_place(said)) if said else ()
    phrases = [phrase for phrase in (*of_said, peel(without_scene(answer)), superlative(answer)) if phrase]
    if any(same_text(truth, phrase) for phrase in phrases):
        return Judgement(True, "text", "the same words in a sentence")
    if any(same_phrase(truth, phrase) for phrase in (answer, *phrases)):
        return Judgement(True, "text", "the same words, one with what stands around them")
    first, *more = sentences(answer) or [""]
    if more and hedge(answer, truth) is None and len(words(first)) <= 6 and same_text(truth, peel(first)):
        return Judgement(True, "text", "the same words, then more")
    return Judgement(False, "text", "other words")

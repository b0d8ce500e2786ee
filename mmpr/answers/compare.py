"""The comparators: the kind of the truth decides how the answer is read, and the comparator of that kind decides."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mmpr.answers.algebra.equality import Prove, same
from mmpr.answers.compare_calendar import compare_calendar, is_calendar
from mmpr.answers.compare_quantities import rounds, same_quantities
from mmpr.answers.compare_texts import compare_texts, other_words
from mmpr.answers.formula.tree import Tree, number_tree
from mmpr.answers.formula.vocabulary import RELATIONS
from mmpr.answers.formula.worded import worded_formula
from mmpr.answers.judgement import Judgement
from mmpr.answers.text.lists import split_list
from mmpr.answers.text.numerals import parse_number
from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.sentences import (
    conclusion,
    hedge,
    is_refusal,
    math_spans,
    predicate,
    sentences,
    statement_of,
    without_reason,
    without_scene,
)
from mmpr.answers.text.words import contains_words, same_text, words
from mmpr.answers.text.wrapping import peel
from mmpr.answers.text.yes_no import YES, YES_NO_GOLD, polarity
from mmpr.answers.values import dates
from mmpr.answers.values.expressions import expression_in_signs, is_one_value, parse_expression, valued
from mmpr.answers.values.quantities import Quantity, parse_quantity
from mmpr.answers.values.quantities_in_sentences import quantity_said, says_other_numbers
from mmpr.answers.values.ratios import (
    parse_range,
    parse_ratio,
    parse_ratio_of_expressions,
    ratio_value,
    same_proportions,
)

_OR = re.compile(r"(?:(?<!\s)\s++(?:,\s++)?|,\s++)or\s++|(?:(?<!\s)\s++)?或者?\s*+")
_AND = re.compile(r"\band\b|\\(?:land|wedge)\b")
_SPELT = re.compile(r"[^\W\d_]{2}")
_NUMERIC = re.compile(r"[\d\\=]")
_NARROW = re.compile(r"(?<=\d) (?=[A-Za-z°%])")
_PLAIN_NUMBER = re.compile(r"[-+]?\d{1,15}(?:\.\d{1,15})?")
_IDENTICAL = Judgement(True, "identical", "the same characters")
_NO_ANSWER = Judgement(False, "refusal", "says that there is no answer")
_TYPOGRAPHY = re.compile(r"\\(?:left|right|displaystyle|!|,|;|:)|\s|\\ ")
_LETTER = re.compile(r"[A-H]")
_CANDIDATES = re.compile(r"(?<!\s)\s*+(?:,|;|、|\bor\b|\band\b|或者?|和)\s*+")
_ASIDE = re.compile(r"([^()]{1,60}) \([^()]{1,60}\)")
_ITEM_SPACES = 2  # in an item of a list
_DECIMAL_COMMA = re.compile(r"[-+]?\d{1,15},(?:\d{1,2}|\d{4,15})")
_NO_NUMBERS = frozenset(("set", "seq", "tuple", "list", "alt", "interval", "cup", "rel", "pm"))
_KINDS = {"cup": "interval", "minus": "set", "seq": "set", "alt": "set"}
_KINDS |= {kind: kind for kind in ("interval", "set", "tuple", "matrix")}
_NOT_ANY = re.compile(
    r"(?:there (?:are|were) )?no (?!.*(?:solution|root|answer|value)s)(?:[a-z]+ ){0,2}"
    r"(?:[a-z]+s|people|children|men|women|sheep|fish)(?: (?:in|on) .*)?",
    re.IGNORECASE,
)


def compare(answer: str, truth: str, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    """Judge an answer by the comparator for the kind of its truth; ``raw`` is the answer with its math delimiters.

    May raise what ``prove`` raises.
    """
    if _PLAIN_NUMBER.fullmatch(answer) and _PLAIN_NUMBER.fullmatch(truth):
        return _plain_numbers(answer, truth, relaxed, prove)
    judgement = _compare(answer, truth, raw, relaxed, prove)
    if judgement.right is not False:
        return judgement
    doubt = _doubt(answer, truth)
    aside = _ASIDE.fullmatch(answer) if doubt is None and answer.endswith(")") else None
    if aside:
        right = _compare(aside[1], truth, aside[1], relaxed, prove).right
        if right or (right is None and not expression_in_signs(statement_of(answer))):
            doubt = "the truth, and more in brackets"
    return judgement._replace(right=None, reason=doubt) if doubt else judgement


def _plain_numbers(answer: str, truth: str, relaxed: bool, prove: Prove) -> Judgement:
    """The word on two numbers in digits: what ``_compare`` says of these commonest answers, in a tenth of its time."""
    if answer == truth:
        return _IDENTICAL
    gold, other = parse_quantity(truth), parse_quantity(answer)
    assert gold is not None
    assert other is not None
    if gold.year and len(answer) == 4 and answer.isdigit():
        return Judgement(other.number == gold.number, "number", "years")
    right, reason = same_quantities(gold, other, prove, relaxed)
    return Judgement(right, "number", reason)


def _doubt(answer: str, truth: str) -> str | None:
    """Why an answer that was not found right need not be wrong; None when it differs from the truth."""
    if _LETTER.fullmatch(answer) and not _LETTER.fullmatch(truth):
        return "a letter, which may stand for an option"
    for listed, single in ((answer, truth), (truth, answer)):
        if _DECIMAL_COMMA.fullmatch(listed) and parse_number(listed.replace(",", ".")) == parse_number(single):
            return "a list of two numbers, or a decimal comma"
    value = parse_quantity(truth)
    if is_one_value(answer):
        return None
    wanted = None if value is None else value.number
    if wanted is not None:
        if any(parse_number(word) == wanted for word in words(answer) if word[-1].isdigit() or word[0].isdigit()):
            return "has the truth in it, among other things"
    elif len(words(truth)) < len(words(answer)) and contains_words(answer, truth):
        return "has the truth in it, among other things"
    return None


def _compare(answer: str, truth: str, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    if answer == truth or (answer.replace(" ", "") == truth.replace(" ", "") and _narrowed(answer) == _narrowed(truth)):
        return _IDENTICAL
    answer, truth = worded_formula(answer), worded_formula(truth)
    if _is_plain_text(truth):
        return _NO_ANSWER if is_refusal(answer) else compare_texts(without_reason(answer), truth)
    if answer in RELATIONS and truth in RELATIONS:
        return Judgement(RELATIONS[answer] == RELATIONS[truth], "relation", "two signs")
    if is_refusal(truth):
        right = is_refusal(answer)
        reason = "both say that there is no answer" if right else "an answer where there is none"
        return Judgement(right, "refusal", reason)
    if truth.casefold() in YES_NO_GOLD:
        return _yes_no(answer, truth)
    if is_refusal(answer):
        return _NO_ANSWER
    answer = without_reason(answer)
    judgement = _ratio_beside_number(answer, truth, prove) or compare_calendar(answer, truth)
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
    return _list(answer, truth, relaxed, prove) or compare_texts(answer, truth)


def _narrowed(text: str) -> str:
    """A text without the space between a number and its unit."""
    return _NARROW.sub("", text)


def _yes_no(answer: str, truth: str) -> Judgement:
    want = truth.casefold() in YES
    have = polarity(answer)
    if have is None and is_refusal(answer):
        return _NO_ANSWER
    if have is None:
        return Judgement(None, "yes_no", "neither yes nor no, or both")
    return Judgement(have == want, "yes_no", f"{'yes' if have else 'no'} against {'yes' if want else 'no'}")


@remembered(4096)
def _is_plain_text(truth: str) -> bool:
    """Whether a truth is words and nothing else: no refusal, yes or no, date, number, ratio, formula or list."""
    if len(truth) > 1 and truth.isalpha() and truth.isascii() and "sqrt" not in truth:  # one word
        return not (
            is_refusal(truth)
            or truth.casefold() in YES_NO_GOLD
            or dates.parse_time(truth)
            or dates.parse_day(truth) is not None
            or dates.parse_month(truth)
            or parse_quantity(truth)
        )
    return not (
        truth in RELATIONS
        or is_refusal(truth)
        or truth.casefold() in YES_NO_GOLD
        or ":" in truth
        or "比" in truth
        or is_calendar(truth)
        or parse_quantity(truth)
        or parse_ratio(truth.rpartition("=")[2])
        or parse_range(truth)
        or expression_in_signs(truth)
        or split_list(truth)
        or split_list(_OR.sub(", ", truth))
    )


def _number(answer: str, truth: str, gold: Quantity, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    name = "quantity" if gold.unit else "number"
    if (gold.year or parse_quantity(answer) is None) and (year := dates.parse_year(statement_of(answer))) is not None:
        return Judgement(year == gold.number, "number", "years")
    if (date := dates.parse_date(answer)) is not None and date[0] is not None and dates.parse_year(truth) is not None:
        return Judgement(None if date[0] == gold.number else False, "number", "a date against a year")
    if _NOT_ANY.fullmatch(answer):
        return Judgement(gold.number == 0, name, "none of them")
    other = quantity_said(answer, truth)
    if isinstance(other, str):
        differs = other.startswith("hedge") and says_other_numbers(answer, gold)
        return Judgement(False if differs else None, name, "other numbers" if differs else other)
    if other is None:
        spans = math_spans(raw)
        if len(spans) == 1 and hedge(raw) is None:
            other = quantity_said(peel(spans[0]), truth)
        if not isinstance(other, Quantity):
            judgement = _none_of(answer, truth, name, relaxed, prove)
            if judgement is None and says_other_numbers(answer, gold):
                judgement = Judgement(False, name, "other numbers")
            return judgement or Judgement(None, name, "no single number in it")
    if other.tree[0] in _NO_NUMBERS:
        equal = same(gold.tree, other.tree, prove)
        return Judgement(equal, name, "one value" if equal else "not one value")
    right, reason = same_quantities(gold, other, prove, relaxed)
    return Judgement(right, name, reason)


def _none_of(answer: str, truth: str, name: str, relaxed: bool, prove: Prove) -> Judgement | None:
    """The word on ``5 or 6``: wrong when none of its candidates can be the truth; None for what names no candidates."""
    parts = [parse_quantity(part) for part in _CANDIDATES.split(answer)]
    gold = parse_quantity(truth)
    if gold is None or len(parts) < 2 or None in parts:
        return None
    differ = all(part and same_quantities(gold, part, prove, relaxed)[0] is False for part in parts)
    return Judgement(False if differ else None, name, "several candidates")


def _ratio_beside_number(answer: str, truth: str, prove: Prove) -> Judgement | None:
    """The word on ``5:12`` beside 5/12 or ``1:1`` beside 1, whichever is the truth; None where it is not about that.

    The same value is not yet the same answer, but options may leave only one that it can be.
    """
    for ratio, number in ((answer, truth), (truth, answer)):
        parts = parse_ratio(ratio) if ":" in ratio or "比" in ratio else None
        value = ratio_value(parts) if parts else None
        other = parse_quantity(number) or expression_in_signs(number) if value is not None else None
        if value is not None and other is not None and other.unit is None and not other.noun:
            equal = same(number_tree(value), other.tree, prove)
            return Judgement(None if equal else False, "ratio", f"a ratio {'of' if equal else 'not of'} the number")
    return None


def _ratio(answer: str, truth: str, prove: Prove) -> Judgement | None:
    """``1:\\sqrt{2}`` or ``3:4``, part by part; None for ``3 to 4`` when the answer is no ratio: it may be a range."""
    expressions = parse_ratio_of_expressions(truth)
    if expressions is not None:
        other = parse_ratio_of_expressions(answer) or parse_ratio_of_expressions(statement_of(answer))
        if other is None:
            return Judgement(None, "ratio", "no ratio in it")
        right = len(other) == len(expressions) and all(
            same(a, b, prove) for a, b in zip(expressions, other, strict=True)
        )
        return Judgement(right, "ratio", "compared part by part")
    want = parse_ratio(truth.rpartition("=")[2])
    have = want and (parse_ratio(answer.rpartition("=")[2]) or parse_ratio(statement_of(answer)))
    if want is None or (have is None and "to" in truth):
        return None
    if have is None:
        return Judgement(None, "ratio", "no ratio in it")
    if have != want and same_proportions(have, want):
        return Judgement(None, "ratio", "the same ratio, not reduced")
    return Judgement(have == want, "ratio", "compared part by part")


def _range(answer: str, truth: str, relaxed: bool, prove: Prove) -> Judgement | None:
    """``10-20``, ``10 to 20 cm``: both ends, in order."""
    want = parse_range(truth)
    if want is None:
        return None
    have = parse_range(answer) or parse_range(statement_of(answer))
    if have is None:
        one = parse_quantity(answer)
        beyond = one is not None and one.unit in (None, want[1].unit) and _is_beyond(one, want)
        return Judgement(False if beyond else None, "range", "a value beyond both ends" if beyond else "no range in it")
    return Judgement(
        _all(same_quantities(a, b, prove, relaxed)[0] for a, b in zip(want, have, strict=True)),
        "range",
        "both ends compared",
    )


def _is_beyond(one: Quantity, ends: tuple[Quantity, Quantity]) -> bool:
    """Whether a number lies outside a range."""
    low, high = (end.number for end in ends)
    return None not in (one.number, low, high) and not low <= one.number <= high  # type: ignore[operator]


def _all(parts: Iterable[bool | None]) -> bool | None:
    """Whether all parts are right: False when one is wrong, None when one of the others is in doubt."""
    found = set(parts)
    return False if False in found else None if None in found else True


def _expression(answer: str, truth: str, gold: Quantity, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    name = _kind(gold.tree)
    other = _expression_or_quantity(answer)
    if other is None and len(sentences(answer)) > 1:
        answer = conclusion(answer)
        other = _expression_or_quantity(answer)
    if other is None:
        reason = hedge(answer, truth)
        if reason is not None:
            return Judgement(None, name, reason)
        said = predicate(answer)
        other = _expression_or_quantity(said) if said else None
    if other is None:
        spans = math_spans(raw)
        other = parse_expression(peel(spans[0])) if len(spans) == 1 else None
    if other is None:
        if _without_typography(answer) == _without_typography(truth):
            return Judgement(True, name, "the same formula")
        return Judgement(None, name, "no formula that could be read")
    if gold.tree[0] == "alt" and other.tree[0] == "seq" and name != "set" and _AND.search(answer):
        return Judgement(False, name, "both at once against either")
    if gold.unit is None and other.unit is None:
        if same(gold.tree, other.tree, prove):
            return Judgement(True, name, "equal")
        if rounds(valued(gold).tree, valued(other).tree):
            return Judgement(None, name, "equal when rounded")
        if other.tree[0] == "alt" and same(gold.tree, ("set", *other.tree[1:]), prove):
            return Judgement(None, name, "either against both")
        return Judgement(False, name, "not equal")
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
            if same(gold.tree, other.tree, prove):
                return Judgement(True, "list", "the same values")
            either = other.tree[0] == "alt" and same(gold.tree, ("set", *other.tree[1:]), prove)
            return Judgement(None if either else False, "list", "either against both" if either else "other values")
    if (not _NUMERIC.search(truth) or _SPELT.search(truth)) and same_text(truth, answer):
        return Judgement(True, "list", "the same text")
    have = split_list(answer) or split_list(statement_of(answer)) or split_list(peel(without_scene(answer)))
    if have is None:
        same_kind = all(map(parse_quantity, want)) and parse_quantity(answer) is not None
        return Judgement(False, "list", "one of several values") if same_kind else other_words(answer, truth)
    if len(have) != len(want):
        if any(item.count(" ") > _ITEM_SPACES for item in have) and all(contains_words(answer, item) for item in want):
            return Judgement(None, "list", "a sentence that has the truth in it, among other things")
        return Judgement(False, "list", f"{len(have)} items against {len(want)}")
    ordered = truth.startswith("[") and answer.startswith("[")
    left, doubtful = list(have), ""
    for item in want:
        candidates = left[:1] if ordered else left
        found = [compare(candidate, item, candidate, relaxed, prove).right for candidate in candidates]
        if True not in found and None not in found:
            return Judgement(False, "list", f"{item!r} is missing")
        if True not in found:
            doubtful = doubtful or item
        del left[found.index(True if True in found else None)]
    return (
        Judgement(None, "list", f"perhaps without {doubtful!r}")
        if doubtful
        else Judgement(True, "list", "the same items")
    )


def _has_unit(item: str) -> bool:
    quantity = parse_quantity(item) or parse_expression(item)
    return quantity is not None and quantity.unit is not None

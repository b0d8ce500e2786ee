"""The typed comparators: what the truth is decides how the answer is read, and one comparator decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from rapidfuzz.distance import Levenshtein

from mmpr.answers.algebra.equality import Prove, same
from mmpr.answers.amounts import Amount, same_amounts
from mmpr.answers.choices import GOLD_LETTER, GOLD_LETTER_TEXT, GOLD_LETTERS, Judgement, choose, statement_of
from mmpr.answers.extract import boxed_answer, extract, last_turn
from mmpr.answers.formula.names import named_value
from mmpr.answers.formula.tree import Tree
from mmpr.answers.formula.worded import MATH, worded_formula
from mmpr.answers.text.lists import split_list
from mmpr.answers.text.sentences import (
    conclusion,
    hedge,
    is_refusal,
    math_spans,
    peel,
    predicate,
    same_phrase,
    sentences,
    superlative,
    without_place,
    without_reason,
    without_scene,
)
from mmpr.answers.text.words import same_text, words
from mmpr.answers.text.yes_no import YES, YES_NO_GOLD, polarity
from mmpr.answers.values import dates
from mmpr.answers.values.quantities import parse_amount, parse_expression, sentence_amount

ANLS_THRESHOLD = 0.9

_OR = re.compile(r"\s*,?\s+or\s+|\s*或者?\s*")
_AND = re.compile(r"\band\b|\\(?:land|wedge)\b")
_EQUATED = re.compile(r"[\d\s.,+*/×÷()=$%-]+|[A-Za-z][A-Za-z' ]*|[\u4e00-\u9fff]{1,8}")
_SPELT = re.compile(r"[^\W\d_]{2}")
_NUMERIC = re.compile(r"[\d\\=]")
_NARROW = re.compile(r"(?<=\d) (?=[A-Za-z°%])")
_CODE = re.compile(
    r"(?:[A-Z]{1,5}|[A-Za-z]{2,})[- ]?\d+[A-Za-z]{0,2}|\d+(?:-\d+)+|\d+[A-Z]{1,3}|[A-Za-z]{2,}(?:-[A-Za-z]+)+"
    r"|[A-Za-z]+(?:-[A-Za-z]{2,})+|(?:the )?\d{2,3}0'?s|[A-Z]+\d+[A-Z0-9]*"
)
_NOT_ANY = re.compile(
    r"(?:there (?:are|were) )?no (?!.*(?:solution|root|answer|value)s)(?:[a-z]+ ){0,2}[a-z]+s(?: (?:in|on) .*)?",
    re.IGNORECASE,
)
_SO = re.compile(r", (?:so|thus|therefore|hence)(?: that)?,? ")
_RANGE = re.compile(r"(?:from |between |[Aa]ges? |[Aa]ged )?(\S+(?: \S+)?)\s*(?:-|to|~|and|至|到)\s*(\S+(?: \S+)?)")


def judge(prediction: str, gold: str, choices: Sequence[str], rule: str, prove: Prove) -> Judgement:
    """Judge one cleaned answer against the truth; may raise what ``prove`` raises."""
    if rule == "exact":
        equal = prediction == gold
        return Judgement(equal, "exact", "identical" if equal else "not identical")
    prediction = _final(prediction)
    truth = peel(_final(gold) if len(gold) > 200 or "boxed" in gold else gold)
    answer = peel(prediction)
    if not answer:
        return Judgement(False, "none", "nothing in it")
    if rule == "anls":
        return _anls(answer, truth)
    if (
        choices
        or rule == "multiple_choice"
        or GOLD_LETTER.fullmatch(truth)
        or GOLD_LETTER_TEXT.fullmatch(truth)
        or GOLD_LETTERS.fullmatch(truth)
    ):

        def same_option(option: str, text: str) -> bool:
            return _compare(text, option, text, False, prove).right

        judgement = choose(answer, truth, [peel(option) for option in choices], rule, same_option)
        if judgement is not None:
            return judgement
    return _compare(answer, truth, prediction, rule == "relaxed", prove)


def _final(text: str) -> str:
    """The final answer of a text that is more than one: its marker or its boxes."""
    if "<|" in text:
        text = last_turn(text)
    if "boxed" in text or len(text) > 40:
        found = boxed_answer(text) if "boxed" in text else None
        return extract(text) or found or text
    return text


def _anls(answer: str, truth: str) -> Judgement:
    left, right = " ".join(answer.casefold().split()), " ".join(truth.casefold().split())
    similarity = Levenshtein.normalized_similarity(left, right)
    if re.findall(r"\d+", left) != re.findall(r"\d+", right):
        return Judgement(False, "anls", f"other digits (similarity {similarity:.2f})")
    return Judgement(
        similarity >= ANLS_THRESHOLD, "anls", f"similarity {similarity:.2f}, at least {ANLS_THRESHOLD} is right"
    )


# --- everything else -------------------------------------------------------------------------------------------------


def _compare(answer: str, truth: str, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    if answer == truth or _NARROW.sub("", answer) == _NARROW.sub("", truth):
        return Judgement(True, "identical", "the same characters")
    answer, truth = worded_formula(answer), worded_formula(truth)
    if is_refusal(truth):
        right = is_refusal(answer)
        return Judgement(
            right, "refusal", "both say that there is no answer" if right else "an answer where there is none"
        )
    if truth.casefold() in YES_NO_GOLD:
        return _yes_no(answer, truth)
    if is_refusal(answer):
        return Judgement(False, "refusal", "says that there is no answer")
    answer = without_reason(answer)
    judgement = _calendar(answer, truth)
    if judgement is not None:
        return judgement
    amount = parse_amount(truth)
    if amount is not None:
        return _number(answer, truth, amount, raw, relaxed, prove)
    judgement = _expressions_ratio(answer, truth, prove)
    if judgement is not None:
        return judgement
    ratio = dates.parse_ratio(truth.rpartition("=")[2])
    if ratio is not None:
        have = dates.parse_ratio(answer.rpartition("=")[2]) or dates.parse_ratio(statement_of(answer))
        if have is not None or "to" not in truth:
            return Judgement(have == ratio, "ratio", "compared part by part")
    judgement = _span(answer, truth, relaxed, prove)
    if judgement is not None:
        return judgement
    expression = _formula(truth)
    if expression is not None:
        return _expression(answer, truth, expression, raw, relaxed, prove)
    judgement = _list(answer, truth, relaxed, prove)
    if judgement is not None:
        return judgement
    return _text(answer, truth)


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
            said = statement_of(answer)
            said = re.sub(r"^(?:on|in) ", "", said, flags=re.IGNORECASE)
            right = named in (parse(answer), parse(said))
            return Judgement(right, "date", "compared by name")
    return None


def _number(answer: str, truth: str, gold: Amount, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    name = "quantity" if gold.unit else "number"
    if (gold.year or parse_amount(answer) is None) and (year := dates.parse_year(statement_of(answer))) is not None:
        return Judgement(year == gold.number, "number", "years")
    if gold.number == 0 and _NOT_ANY.fullmatch(answer):
        return Judgement(True, name, "none of them")
    other = _amount_said(answer, truth)
    if isinstance(other, str):
        return Judgement(False, name, other)
    if other is None:
        spans = math_spans(raw)
        if len(spans) == 1 and hedge(raw) is None:
            other = _amount_said(peel(spans[0]), truth)
        if not isinstance(other, Amount):
            return Judgement(False, name, "no single number in it")
    if other.tree[0] in ("set", "seq", "tuple", "list", "alt", "interval", "cup", "rel", "pm"):
        equal = same(gold.tree, other.tree, prove)
        return Judgement(equal, name, "one value" if equal else "not one value")
    return Judgement(*_with_name(same_amounts(gold, other, prove, relaxed), name))


def _with_name(verdict: tuple[bool, str], name: str) -> tuple[bool, str, str]:
    return verdict[0], name, verdict[1]


def _amount_said(answer: str, truth: str = "") -> Amount | str | None:
    """The amount that an answer states, in itself or in a plain sentence; a string says why it must not be read."""
    amount = parse_amount(answer)
    if amount is not None:
        return amount
    if MATH.search(answer) and not _CODE.fullmatch(answer):
        amount = parse_expression(answer)
        if amount is not None:
            return _valued(amount)
    left, equals, right = answer.rpartition("=")
    if equals and not set("<>≤≥≠≈") & set(answer) and hedge(answer, truth) is None and _EQUATED.fullmatch(left):
        amount = parse_amount(right.strip())
        if amount is not None:
            return amount
    parts = _SO.split(answer) if _SO.search(answer) else sentences(answer)
    if len(parts) > 1:
        last = peel(parts[-1]) if _SO.search(answer) else conclusion(answer)
        return _amount_said(last, truth) if last != answer else None
    said = predicate(answer)
    if said is not None and hedge(said, truth) is None and hedge(answer, truth, bounds=False) is None:
        amount = parse_amount(said) or (parse_expression(said) if MATH.search(said) else None)
        if amount is not None:
            return _valued(amount)
    reason = hedge(answer, truth)
    if reason is not None:
        return reason
    return sentence_amount(without_scene(answer))


def _valued(amount: Amount) -> Amount:
    """``x = 7`` and ``3 + 4 = 7`` as 7."""
    if amount.tree[0] != "rel":
        return amount
    value = named_value(amount.tree)
    return amount if value is None else Amount(value, amount.unit)


def _expressions_ratio(answer: str, truth: str, prove: Prove) -> Judgement | None:
    """``1:\\sqrt{2}``, part by part."""
    want = _ratio_of_expressions(truth)
    if want is None:
        return None
    have = _ratio_of_expressions(answer) or _ratio_of_expressions(statement_of(answer))
    right = have is not None and len(have) == len(want) and all(map(same, want, have, [prove] * len(want)))
    return Judgement(right, "ratio", "compared part by part")


def _ratio_of_expressions(text: str) -> list[Tree] | None:
    parts = text.rpartition("=")[2].split(":")
    if not 2 <= len(parts) <= 3 or not set("\\√") & set(text) or "{" in text.replace("{", "", text.count("}")):
        return None
    found = [parse_expression(part.strip()) for part in parts]
    return [one.tree for one in found if one] if all(one and one.unit is None for one in found) else None


def _span(answer: str, truth: str, relaxed: bool, prove: Prove) -> Judgement | None:
    """``10-20``, ``10 to 20 cm``: both ends, in order."""
    ends = _range(truth)
    if ends is None:
        return None
    have = _range(answer) or _range(statement_of(answer))
    right = have is not None and all(same_amounts(a, b, prove, relaxed)[0] for a, b in zip(ends, have, strict=True))
    return Judgement(right, "range", "both ends compared")


@lru_cache(maxsize=4096)
def _range(text: str) -> tuple[Amount, Amount] | None:
    found = _RANGE.fullmatch(text)
    if not found or ("and" in text and not text.startswith("between")):
        return None
    low, high = parse_amount(found[1]), parse_amount(found[2])
    if low is None or high is None:
        return None
    return (Amount(low.tree, low.unit or high.unit), high)


@lru_cache(maxsize=8192)
def _formula(text: str) -> Amount | None:
    if not MATH.search(text) or _CODE.fullmatch(text):
        return None
    return parse_expression(text)


def _expression(answer: str, truth: str, gold: Amount, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    name = _kind(gold)
    other = parse_expression(answer) or parse_amount(answer)
    if other is None and len(sentences(answer)) > 1:
        answer = conclusion(answer)
        other = parse_expression(answer) or parse_amount(answer)
    if other is None:
        reason = hedge(answer, truth)
        if reason is not None:
            return Judgement(False, name, reason)
        said = predicate(answer)
        other = (parse_expression(said) or parse_amount(said)) if said else None
    if other is None:
        spans = math_spans(raw)
        other = parse_expression(peel(spans[0])) if len(spans) == 1 else None
    if other is None:
        if _normal_latex(answer) == _normal_latex(truth):
            return Judgement(True, name, "the same formula")
        return Judgement(False, name, "no formula that could be read")
    if gold.tree[0] == "alt" and other.tree[0] == "seq" and name != "set" and _AND.search(answer):
        return Judgement(False, name, "both at once against either")
    if gold.unit is None and other.unit is None:
        equal = same(gold.tree, other.tree, prove)
        return Judgement(equal, name, "equal" if equal else "not equal")
    gold, other = _valued(gold), _valued(other)
    return Judgement(*_with_name(same_amounts(gold, other, prove, relaxed), name))


def _kind(gold: Amount) -> str:
    if gold.tree[0] == "rel":
        return "equation" if set(gold.tree[1]) == {"="} else "inequality"
    kinds = {
        "interval": "interval",
        "cup": "interval",
        "minus": "set",
        "set": "set",
        "seq": "set",
        "alt": "set",
        "tuple": "tuple",
        "matrix": "matrix",
    }
    if gold.tree[0] in ("seq", "alt") and any(part[0] == "rel" and set(part[1]) != {"="} for part in gold.tree[1:]):
        return "inequality"
    return kinds.get(gold.tree[0], "expression")


def _normal_latex(text: str) -> str:
    text = re.sub(r"\\(?:left|right|displaystyle|!|,|;|:)|\s|\\ ", "", text)
    return text.replace("dfrac", "frac").replace("tfrac", "frac")


def _list(answer: str, truth: str, relaxed: bool, prove: Prove) -> Judgement | None:
    want = split_list(_OR.sub(", ", truth))
    if want is None or not all(_NUMERIC.search(item) for item in want):
        want = split_list(truth)  # "or" joins the values of an unknown, but alternatives of a text
    if want is None:
        return None
    if all(parse_amount(item) or _formula(item) for item in want):
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
            if _compare(candidate, item, candidate, relaxed, prove).right:
                del left[at]
                break
        else:
            return Judgement(False, "list", f"{item!r} is missing")
    return Judgement(True, "list", "the same items")


def _has_unit(item: str) -> bool:
    amount = parse_amount(item) or parse_expression(item)
    return amount is not None and amount.unit is not None


def _text(answer: str, truth: str) -> Judgement:
    if same_text(truth, answer):
        return Judgement(True, "text", "the same words")
    said = predicate(answer)
    sentence = (
        said,
        said and peel(said),
        peel(without_scene(answer)),
        said and without_place(said),
        superlative(answer),
    )
    phrases = list(filter(None, sentence))
    for phrase in phrases:
        if same_text(truth, phrase):
            return Judgement(True, "text", "the same words in a sentence")
    for phrase in (answer, *phrases):
        if same_phrase(truth, phrase):
            return Judgement(True, "text", "the same words, one with what stands around them")
    parts = sentences(answer)
    if (
        len(parts) > 1
        and hedge(answer, truth) is None
        and len(words(parts[0])) <= 6
        and same_text(truth, peel(parts[0]))
    ):
        return Judgement(True, "text", "the same words, then more")
    return Judgement(False, "text", "other words")

"""The typed comparators: what the truth is decides how the answer is read, and one comparator decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from mmpr.answers import choice, dates
from mmpr.answers.equality import Prove, named_value, same
from mmpr.answers.extract import boxed_answer, extract
from mmpr.answers.phrases import (
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
from mmpr.answers.quantity import Amount, parse_amount, parse_expression, same_amounts, sentence_amount
from mmpr.answers.text import same_text, words

ANLS_THRESHOLD = 0.9
SameOption = Callable[[str, str], bool]
"""Whether a text is an option: (option, text)."""


class Judgement(NamedTuple):
    """``right``, the comparator that decided, and its reason."""

    right: bool
    comparator: str
    reason: str


_YES = {
    "yes",
    "true",
    "correct",
    "yeah",
    "yep",
    "yup",
    "是",
    "是的",
    "对",
    "对的",
    "正确",
    "真",
    "有",
    "有的",
    "可以",
    "能",
    "会",
    "right",
    "affirmative",
    "sure",
    "certainly",
}
_NO = {
    "no",
    "false",
    "incorrect",
    "nope",
    "nah",
    "否",
    "不是",
    "不",
    "不对",
    "错",
    "错误",
    "错的",
    "不正确",
    "不是的",
    "不对的",
    "假",
    "没有",
    "不可以",
    "不能",
    "不会",
    "wrong",
    "negative",
    "无",
}
_YES_NO_GOLD = (_YES | _NO) - {"right", "wrong", "negative", "sure", "certainly", "无"}
_POLAR = re.compile(
    r"(yes|true|yeah|yep|yup|correct|no|false|nope|nah|incorrect|是的|不是|不对|不正确|正确|错误|对|否|是|没有|(?:不?[能会]|不?可以|有)(?=[，,。])|不(?=[，,]))(?:[,.;:!，。；、—-]|\s+-|\s*(?=\()|\s+(?=(?:indeed|the|because)\b|(?:it|there|they|he|she|this|that)\b(?:\s+(?:is|are|was|were|do|does|did|has|have|can|will)(?:n?'t)?\b|'))|$)\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_POLAR_WORDS = re.compile(r"\b(yes|true|no|false)\b", re.IGNORECASE)
_NOT_TRUE = re.compile(r"\bnot (?:true|correct|right)\b")
_POLAR_SAID = re.compile(
    r"(?:it|this|that|the statement|the claim|the answer)(?:'s| is)\s+(?:a\s+)?(yes|true|correct|no|false"
    r"|incorrect|not true|not correct)(?:\s+statement)?",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:but|actually|or|maybe|wait|however|and no|and yes|not sure|unless|sometimes|partly|partially"
    r")\b|也许|可能|或",
    re.IGNORECASE,
)

_MATH = re.compile(
    r"[\\^_=<>≤≥≠≈±√π∞∪∩∈°|]|\d\s*[-+*/×÷·!]|[-+*/×÷·]\s*[\d(]|[(\[{]\s*-?[\d.]|[A-Za-z]\s*[-+*/]\s*[A-Za-z]\b|^\s*-|\d[A-Za-z]\b|\)\s*\(|\b[a-z]\(|\d(?!st\b|nd\b|rd\b|th\b|am\b|pm\b)[a-z]{2,3}\b|sqrt|^[A-Za-zα-ω]$"
)
_OR = re.compile(r"\s*,?\s+or\s+|\s*或者?\s*")
_AND = re.compile(r"\band\b|\\(?:land|wedge)\b")
_EQUATED = re.compile(r"[\d\s.,+*/×÷()=$%-]+|[A-Za-z][A-Za-z' ]*|[\u4e00-\u9fff]{1,8}")
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
_HAN_ROOT = re.compile(r"根号(?=\d)")
_HAN_RELATION = re.compile("|".join(sorted(_HAN_SIGNS, key=len, reverse=True)))
_SPELT = re.compile(r"[^\W\d_]{2}")
_NUMERIC = re.compile(r"[\d\\=]")
_BOTH = re.compile(r"^both (?=\S+ and \S+$)", re.IGNORECASE)
_NARROW = re.compile(r"(?<=\d) (?=[A-Za-z°%])")
_CODE = re.compile(
    r"(?:[A-Z]{1,5}|[A-Za-z]{2,})[- ]?\d+[A-Za-z]{0,2}|\d+(?:-\d+)+|\d+[A-Z]{1,3}|[A-Za-z]{2,}(?:-[A-Za-z]+)+"
    r"|[A-Za-z]+(?:-[A-Za-z]{2,})+|(?:the )?\d{2,3}0'?s|[A-Z]+\d+[A-Z0-9]*"
)
_RANGE = re.compile(r"(?:from |between )?(\S+(?: \S+)?)\s*(?:-|to|~|and|至|到)\s*(\S+(?: \S+)?)")
_SPLIT = re.compile(r"\s*(?:;|、|；|，|\n|,(?!\d{3}(?!\d))|\s&\s|,?\s+and\s+|和|以及|与)\s*(?:and\s+)?")
_ITEM_NUMBER = re.compile(r"(?:^|(?<=\s))(\d{1,2})[.)]\s+(?=\S)")
_BRACKETED = re.compile(r"(\[|\{|\\\{|\()(.*)(\]|\}|\\\}|\))")
_STRONG_LETTER = re.compile(
    r"(?:(?:\b(?i:option|choice|answer|select|choose|pick|go with|go for|is|be)|选项|选|为|是)\s*[:：]?\s*"
    r"[(\[]?([A-Z])[)\]]?(?![A-Za-z0-9'])|[(\[]([A-Z])[)\]])"
)
_GOLD_LETTER = re.compile(
    r"[(\[]?\s*[A-Z]\s*[)\]]?\s*[.:)]?|\(?[a-e]\)?|\([a-z]\)|(?:[Oo]ption|[Cc]hoice|选项?)\s*[(\[]?[A-Za-z][)\]]?"
)
_GOLD_LETTERS = re.compile(r"\(?[A-H]\)?(?:\s*(?:,|;|、|&|\band\b|和)\s*(?:and\s+)?\(?[A-H]\)?)+")
_LETTER_REFUSED = re.compile(
    r"^(?:is|was|isn't)\b.*\b(?:not|n't|wrong|incorrect|false)\b|^(?:or|not|wrong|incorrect|maybe|but)\b|\?$"
    r"|\bor [A-Z]\b",
    re.IGNORECASE,
)
_SUBJECT_END = re.compile(r"\s+(?:is|are|was|were|because|since|as)\b|,|\s+[-(]|：|，")
_GOLD_LETTER_TEXT = re.compile(r"(?:\([A-H]\)|[A-H]\s*[.):])\s+(?![A-Z]\.)\S.*")


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
        or _GOLD_LETTER.fullmatch(truth)
        or _GOLD_LETTER_TEXT.fullmatch(truth)
        or _GOLD_LETTERS.fullmatch(truth)
    ):
        judgement = _choose(answer, truth, [peel(option) for option in choices], rule, prove)
        if judgement is not None:
            return judgement
    return _compare(answer, truth, prediction, rule == "relaxed", prove)


def _final(text: str) -> str:
    """The final answer of a text that is more than one: its marker or its boxes."""
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


# --- multiple choice -------------------------------------------------------------------------------------------------


def _choose(answer: str, truth: str, options: Sequence[str], rule: str, prove: Prove) -> Judgement | None:
    """Multiple choice; None when the truth is neither a letter nor an option."""
    options = choice.unlabelled(options)

    def same_option(option: str, text: str) -> bool:
        return _compare(text, option, text, False, prove).right

    several = choice.letters(truth) if options or rule == "multiple_choice" or _GOLD_LETTERS.fullmatch(truth) else None
    if several is not None and choice.index_of(truth, options, same_option) is None:
        found = choice.letters(answer) or choice.letters(_said(answer))
        return _choice_verdict(found == several, f"letters {_listed(found)}, wanted {_listed(several)}")
    want, want_text = _truth_letter(truth, options, same_option)
    if want is None:
        return None
    if not options and want > "H" and answer.islower() and len(answer) == 1:
        return _choice_verdict(False, f"the small letter {answer} against {want}")
    have, reason = _answer_letter(answer, options, want, want_text, same_option)
    if have is None:
        return Judgement(False, "multiple_choice", reason)
    return _choice_verdict(have == want, f"{have} against {want}")


def _choice_verdict(right: bool, reason: str) -> Judgement:
    return Judgement(right, "multiple_choice", reason)


def _listed(found: frozenset[str] | None) -> str:
    return "".join(sorted(found)) if found else "none"


def _said(answer: str) -> str:
    return predicate(answer) or answer


def _truth_letter(truth: str, options: Sequence[str], same_option: SameOption) -> tuple[str | None, str]:
    at = choice.index_of(truth, options, same_option) if options else None
    name = choice.letter(truth)
    if name is not None and (not options or ord(name) - ord("A") < len(options)):
        return name, options[ord(name) - ord("A")] if options else ""
    if at is not None:
        return chr(ord("A") + at), options[at]
    both = choice.letter_and_text(truth)
    if both is not None and (not options or ord(both[0]) - ord("A") < len(options)):
        return both
    return None, ""


def _answer_letter(
    answer: str, options: Sequence[str], want: str, want_text: str, same_option: SameOption
) -> tuple[str | None, str]:
    """The option an answer chooses, or None and why."""
    name = choice.letter(answer)
    if name is not None:
        return name, ""
    both = choice.letter_and_text(answer)
    if both is not None and not (options and ord(both[0]) - ord("A") >= len(options)):
        return _letter_with_text(*both, options, want_text, same_option)
    if options:
        at = choice.index_of(answer, options, same_option)
        said = predicate(answer) if at is None else None
        if said is not None:
            name = choice.letter(said)
            if name is not None:
                return name, ""
            at = choice.index_of(said, options, same_option)
        most = superlative(answer) if at is None else None
        if most is not None:
            at = choice.index_of(most, options, same_option)
        if at is not None:
            return chr(ord("A") + at), ""
    elif want_text and same_option(want_text, answer):
        return want, "the option's text"
    last = choice.letter(conclusion(answer)) if len(sentences(answer)) > 1 else None
    found = {one or two for one, two in _STRONG_LETTER.findall(answer)} or {last} - {None}
    others = choice.mentions(answer)
    reason = hedge(answer, bounds=False)
    if len(found) == 1 and others <= found and reason is None:
        return found.pop(), ""
    return None, reason or ("several letters" if len(others) > 1 else "no option")


def _letter_with_text(
    name: str, rest: str, options: Sequence[str], want_text: str, same_option: SameOption
) -> tuple[str | None, str]:
    if choice.letter(rest) not in (None, name) or (choice.letters(f"{name}, {rest}") and len(rest) < 12):
        return None, "several letters"
    explained = choice.is_explanation(rest)
    reason = "taken back" if _LETTER_REFUSED.search(rest) else None
    if options:
        texts = [rest, peel(sentences(rest)[0]), predicate(rest), _SUBJECT_END.split(rest, maxsplit=1)[0]]
        at = next(
            (at for text in texts if text and (at := choice.index_of(text, options, same_option)) is not None), None
        )
        if at is not None:
            if chr(ord("A") + at) == name:
                return name, ""
            return None, f"the letter {name} with the text of {chr(ord('A') + at)}"
        if not explained and not choice.only_names(rest, options, ord(name) - ord("A")):
            return None, f"the letter {name} with a text that is not its option"
    elif want_text and not explained:
        return (name, "") if same_option(want_text, rest) else (None, f"the letter {name} with another text")
    if reason or (choice.mentions(rest) - {name}):
        return None, reason or "several letters"
    return name, ""


# --- everything else -------------------------------------------------------------------------------------------------


def _compare(answer: str, truth: str, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    if answer == truth or _NARROW.sub("", answer) == _NARROW.sub("", truth):
        return Judgement(True, "identical", "the same characters")
    answer, truth = _worded_formula(answer), _worded_formula(truth)
    if is_refusal(truth):
        right = is_refusal(answer)
        return Judgement(
            right, "refusal", "both say that there is no answer" if right else "an answer where there is none"
        )
    if truth.casefold() in _YES_NO_GOLD:
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
    ratio = dates.parse_ratio(truth.rpartition("=")[2])
    if ratio is not None:
        have = dates.parse_ratio(answer.rpartition("=")[2]) or dates.parse_ratio(_said(answer))
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


def _worded_formula(text: str) -> str:
    """A formula that is written in words ("all real numbers", "x小于3", "k>-1 且 k≠0") in signs."""
    for pattern, formula in ((_REALS, r"\mathbb{R}"), (_EMPTY, r"\emptyset")):
        if pattern.fullmatch(text):
            return formula
    text = _HAN_ROOT.sub("√", text)
    if not text.isascii() and _HAN_RELATION.search(text):
        signs = _HAN_RELATION.sub(lambda found: _HAN_SIGNS[found.group()], text)
        if not re.search("[\u4e00-\u9fff]", signs) and _MATH.search(signs):
            return peel(signs)
    return text


def _yes_no(answer: str, truth: str) -> Judgement:
    want = truth.casefold() in _YES
    have = _polarity(answer)
    if have is None:
        return Judgement(False, "yes_no", "neither yes nor no")
    return Judgement(have == want, "yes_no", f"{'yes' if have else 'no'} against {'yes' if want else 'no'}")


def _polarity(answer: str) -> bool | None:
    lowered = answer.casefold()
    if lowered not in _YES | _NO:
        lowered = (predicate(answer) or answer).casefold()
    if lowered in _YES or lowered in _NO:
        return lowered in _YES
    said = _POLAR_SAID.fullmatch(answer)
    if said:
        return said[1].casefold() in _YES
    found = _POLAR.match(_NOT_TRUE.sub("", answer))
    if not found or _TAKEN_BACK.search(found[2]):
        return None
    have = found[1].casefold() in _YES
    echoes = {word.casefold() for word in _POLAR_WORDS.findall(found[2])} if len(found[2]) < 30 else set()
    if echoes & ({"no", "false"} if have else {"yes", "true"}) and not re.match(
        r"there (?:is|are) no\b", found[2], re.IGNORECASE
    ):
        return None
    return have


def _calendar(answer: str, truth: str) -> Judgement | None:
    date = dates.parse_date(truth)
    if date is not None:
        other = dates.parse_date(answer) or dates.parse_date(_said(answer))
        return Judgement(other == date, "date", f"{other} against {date}")
    time = dates.parse_time(truth)
    if time is not None:
        have = dates.parse_time(answer) or dates.parse_time(_said(answer))
        right = have is not None and dates.same_time(time, have)
        return Judgement(right, "time", f"{have} against {time}")
    for parse in (dates.parse_day, dates.parse_month):
        named = parse(truth)
        if named is not None:
            said = _said(answer)
            said = re.sub(r"^(?:on|in) ", "", said, flags=re.IGNORECASE)
            right = named in (parse(answer), parse(said))
            return Judgement(right, "date", "compared by name")
    return None


def _number(answer: str, truth: str, gold: Amount, raw: str, relaxed: bool, prove: Prove) -> Judgement:
    name = "quantity" if gold.unit else "number"
    if (gold.year or parse_amount(answer) is None) and (year := dates.parse_year(_said(answer))) is not None:
        return Judgement(year == gold.number, "number", "years")
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
    if _MATH.search(answer) and not _CODE.fullmatch(answer):
        amount = parse_expression(answer)
        if amount is not None:
            return _valued(amount)
    left, equals, right = answer.rpartition("=")
    if equals and not set("<>≤≥≠≈") & set(answer) and hedge(answer, truth) is None and _EQUATED.fullmatch(left):
        amount = parse_amount(right.strip())
        if amount is not None:
            return amount
    parts = sentences(answer)
    if len(parts) > 1:
        last = conclusion(answer)
        return _amount_said(last, truth) if last != answer else None
    said = predicate(answer)
    if said is not None and hedge(said, truth) is None and hedge(answer, truth, bounds=False) is None:
        amount = parse_amount(said) or (parse_expression(said) if _MATH.search(said) else None)
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


def _span(answer: str, truth: str, relaxed: bool, prove: Prove) -> Judgement | None:
    """``10-20``, ``10 to 20 cm``: both ends, in order."""
    ends = _range(truth)
    if ends is None:
        return None
    have = _range(answer) or _range(_said(answer))
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
    if not _MATH.search(text) or _CODE.fullmatch(text):
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
        gold, other = parse_expression(truth), parse_expression(answer) or parse_expression(_said(answer))
        plain = not any(_has_unit(item) for item in (*want, *(split_list(answer) or ())))
        if gold and other and plain:
            equal = same(gold.tree, other.tree, prove)
            return Judgement(equal, "list", "the same values" if equal else "other values")
    if (not _NUMERIC.search(truth) or _SPELT.search(truth)) and same_text(truth, answer):
        return Judgement(True, "list", "the same text")
    have = split_list(answer) or split_list(_said(answer)) or split_list(peel(without_scene(answer)))
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


@lru_cache(maxsize=8192)
def split_list(text: str) -> tuple[str, ...] | None:
    """The items of a list written out (``red, blue and green``); None for a text that is no list."""
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
    if len(found) < 2 or found[0].start() or [int(one[1]) for one in found] != list(range(1, len(found) + 1)):
        return None
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [text[one.end() : end] for one, end in zip(found, ends, strict=True)]


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

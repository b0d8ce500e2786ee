"""Numbers and quantities: an exact value, perhaps with a unit or a noun behind it."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from mmpr.answers.amounts import Amount, number_tree, scaled_tree
from mmpr.answers.formula.names import named_value
from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.formula.tree import FormulaError, Tree
from mmpr.answers.text.numerals import HAN_NUMERAL, NUMBER_WORDS, parse_number
from mmpr.answers.text.words import stem
from mmpr.answers.values import units
from mmpr.answers.values.units import Unit

_DIGITS = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,3}(?: \d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_HEAD = re.compile(
    rf"[-+]?\s?(?:(?:{_DIGITS})(?:\s*/\s*(?:{_DIGITS})|\s+\d+\s*/\s*\d+|\s*(?:[*x×·]|\\times|\\cdot)\s*10\s*\^\s*\{{?\s*-?\d+\s*\}}?|[eE][-+]?\d+(?![A-Za-z]))?)"
    r"(?:\s*(?i:hundred|thousand|million|billion|trillion|dozen)\b|(?:[kKMBT]|mn|bn)(?![A-Za-z/^])|\s?[百千]?[万亿](?!能))*"
)
_SHORT_SCALE = re.compile(r"[kKMBT]$|mn$|bn$")
_PER = re.compile(r"\s*/\s*(?=[a-z])|\s+per\s+")
_CURRENCY = re.compile(
    r"([-+]?)\s*(US\$|[$€£¥₹₩₽]|Rs\.?(?=\s*\d)|(?:USD|EUR|GBP|RMB|CNY|INR|JPY)(?=\s*\d))\s*([-+]?)\s*(?=[\d.])"
)
_APPROXIMATE = re.compile(
    r"(?:≈|~|\\approx|\\sim|approximately|approx\.?|circa|(?P<loose>about|around|roughly|大约是?|大概|约为?))\s*",
    re.IGNORECASE,
)
_NOUN = re.compile(r"[A-Za-z][A-Za-z'-]+(?: [A-Za-z'-]+){0,7}")
_NOUN_WORDS = 4  # "red wooden dining chairs": more words than that are no counted thing
_PLURALS_TEXT = "people sheep fish deer cattle police aircraft data dice bacteria criteria phenomena radii"
_PLURALS = frozenset(_PLURALS_TEXT.split())
_ARTICLE = re.compile(r"\b(?:the|a|an|this|that|his|her|its|their|my)\b ?", re.IGNORECASE)
_PLACE = re.compile(r"\b(?:per|in|on|of|at|with|for|from|near|behind|under)\b", re.IGNORECASE)
_NO_NOUN = re.compile(
    r"\b(?:I|a|an|the|my|mine|your|yours|his|her|hers|its|our|ours|their|theirs|he|she|it|we|they|you|them|him|us|me"
    r"|this|that|these|those|who|which|what|how|why|when|where|because|since|so|then|thus|hence|as|while|though"
    r"|also|too|very|just|only|even|still|yet|here|be|been|am|has|have|had|do|does|did|done|can|could|will|would"
    r"|shall|should|may|might|must|go|goes|went|get|gets|make|makes|say|says|said|see|seems?|answers?|wrong|right"
    r"|correct|incorrect|true|false|yes|no|none|ok|okay|sorry|sure)\b",
    re.IGNORECASE,
)
_HAN_COUNTER = re.compile(
    r"[个個只隻条條张張本辆輛位名头頭匹朵棵支枝把件双雙次种種家座间間层層岁歲人架艘杯瓶碗块塊片颗顆根台元角分度倍]?[\u4e00-\u9fff]{0,8}"
)
_HAN_RATE = re.compile(r"每(小时|分钟|秒)[行走跑]?([^每/]+)")
_HAN_NUMERALS = re.compile(f"[{HAN_NUMERAL}]+")
_HAN_HEAD = re.compile(
    rf"(?:[负負]?[{HAN_NUMERAL}0-9.,/]+(?:又|点|分之|[{HAN_NUMERAL}0-9.])*|百分之[{HAN_NUMERAL}0-9.点]+|一?半)"
)
_UNSAFE_TEXT = (
    "or and not than to less more fewer minus plus times but if by percent from until nor over versus vs through "
    "either half halves quarter quarters third thirds pair pairs dozen hundred thousand million billion point "
    "squared cubed root factorial modulo mod pi sqrt sin cos tan log ln is are was were e wait maybe divided "
    "multiplied remainder remaining later late early ago earlier before after instead"
)
_UNSAFE = frozenset(_UNSAFE_TEXT.split())
_ANGLE_INSIDE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_COMPOUND_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z'\"\u4e00-\u9fff]+)")
_COMPOUND = re.compile(r"(?:\d+(?:\.\d+)?\s*[A-Za-z'\"\u4e00-\u9fff]+(?:,? and |,? )?)+")
_SHORT_PARTS = {"'": "ft", '"': "in", "''": "in", "m": "min", "分": "分钟", "时": "小时"}
_SENTENCE = re.compile(r"[A-Za-z\u4e00-\u9fff][^=<>^*/\\\\{}]*")
_WORD_NUMBERS = "|".join(sorted(NUMBER_WORDS - {"second", "half", "quarter"}, key=len, reverse=True))
_MENTION = re.compile(
    rf"(?<![A-Za-z0-9_.,:/第-])(?:[-$€£¥]|-\$)?(?:{_DIGITS})(?![\w]*[:/]\d)(?:%|°)?(?![A-Za-z]*\d)"
    rf"|\b(?:{_WORD_NUMBERS})(?:[- ](?:{_WORD_NUMBERS}))*\b",
    re.IGNORECASE,
)
_FILLERS = frozenset(("more", "left", "remaining", "in total", "total", "in all", "altogether", "each"))
_AFTER_UNIT = re.compile(
    r"long|tall|wide|high|deep|old|thick|away|each|(?:in )?total|of (?:the |his |her |their )?[a-z]+(?: [a-z]+)?"
)
_SINGLE = re.compile(r"^(?:a|one|only one) single ")
_SHARE = re.compile(r"(%|percent)? ?of (?:the |all |a )?[a-z]+(?: [a-z]+){0,2}")
_YEAR_LIKE = re.compile(r"(?:1[5-9]|20)\d\d")
_CODE_TAIL = re.compile(r"[AC]")  # 5A and 12C are labels, 5 A and 12 C are not
_MORE = re.compile(r"(?<=\w) (?:more(?! than\b)|of (?:them|these|those))\b")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|[(,=]")
_CLOSE_UNIT = re.compile(r"(?<=[}\d)])(?=[a-z]{2}(?:\^\{?[23]\}?)?$)")  # 2\\sqrt{3}cm
_EVERY = re.compile(r"\s+(?:every|each) (?:day|night|week|month|year|hour|minute|person|time)$")
_PRESENT = re.compile(
    r"\s+(?:are|is|were|was|can be seen|appear)(?: (?:visible|shown|there|present|standing|sitting|left|in|on"
    r"|at)\b.*)?$"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|there|see|count(?:ed)?|contains?|shows?|totals?|equals?|costs?|needs?|left|gets?|got|gives?|found|weighs?|takes?|makes?"
    r"|(?!red\b)\w{2,}ed|travels?|drives?|walks?|moves?|covers?|holds?|produces?|pays?|lasts?|measures?|ate|bakes?|reads?|wrote|saves?|spends?"
    r"|reach(?:es)?|increases?|decreases?|grows?|grew|uses?|used|sells?|sold|buys?|bought"
    r"|ran|earns?|earned|spent|wins?|won|lost|started|comes? to|answer|solution|total|=)\b|[有是为共剩]",
    re.IGNORECASE,
)
_TWICE = re.compile(r"([^()]+) \(([^()]+)\)")  # 3 (three)
_DECADE = re.compile(r"\d{2,3}0'?s")


@lru_cache(maxsize=16384)
def parse_amount(text: str) -> Amount | None:
    """The amount that a whole text states; None when it is anything else (two numbers, a range, a sentence)."""
    value = parse_number(text)
    if value is not None:
        return Amount(number_tree(value, text), year=_YEAR_LIKE.fullmatch(text) is not None)
    if not text or len(text) > 200 or _DECADE.fullmatch(text):
        return None
    approximate = _APPROXIMATE.match(text)
    if approximate and approximate.end() < len(text):
        inner = parse_amount(text[approximate.end() :])
        loose = approximate["loose"] is not None and inner is not None and inner.tree[0] != "dec"
        return inner and Amount(inner.tree, inner.unit, inner.noun, loose)
    if text.startswith("零下"):
        below = parse_amount(text[2:])
        return below and Amount(scaled_tree(below.tree, Fraction(-1)), below.unit)
    money = _CURRENCY.match(text)
    if money:
        return _money(money, text)
    if text[0].isdigit() or text[0] in "-+.":
        found = _HEAD.match(text)
        if found:
            amount = _with_tail(found.group(), text[found.end() :])
            if amount is not None:
                return amount
    elif text[0].isalpha() and text[0].isascii():
        amount = _from_words(text)
        if amount is not None:
            return amount
    twice = _TWICE.fullmatch(text)
    if twice:
        one, two = parse_amount(twice[1]), parse_amount(twice[2])
        return one if one and two and one.number is not None and one.number == two.number else None
    if not text.isascii():
        rate = _HAN_RATE.fullmatch(text)
        if rate:
            return parse_amount(f"{rate[2]}/{rate[1]}")
        found = _HAN_HEAD.match(text)
        if found:
            return _with_tail(found.group(), text[found.end() :])
    return None


@lru_cache(maxsize=16384)
def parse_expression(text: str) -> Amount | None:
    """A formula with a unit behind it or without; None when it is neither (relations and sets included)."""
    unit: Unit | None = None
    head = text
    if _ANGLE_INSIDE.search(text) or ", " in text:
        pass
    elif text[0] in units.CURRENCY_SIGNS and text[1:2] == "\\":
        unit, head = units.parse_unit(units.CURRENCY_SIGNS[text[0]]), text[1:]
    elif text.endswith("%"):
        unit, head = units.PERCENT, text[:-1]
    elif text.endswith("°"):
        unit, head = units.DEGREE, text[:-1]
    else:
        words = _CLOSE_UNIT.sub(" ", text).split(" ")
        for count in range(min(3, len(words) - 1), 0, -1):
            tail = " ".join(words[-count:])
            if len(tail) > 1 or tail in "°%" or (tail in "mgsLNJWVA" and not _LETTER.search(" ".join(words[:-1]))):
                unit = units.parse_unit(tail)
                if unit:
                    head = " ".join(words[:-count])
                    break
    if head.endswith(("\\", "^", "_")):
        return None
    try:
        tree = parse_formula(head)
        if head == text or named_value(tree) is not None:
            return Amount(tree, unit)
    except FormulaError:
        if head == text:
            return None
    try:
        return Amount(parse_formula(text))
    except FormulaError:
        return None


def _money(found: re.Match[str], text: str) -> Amount | None:
    number, *per = _PER.split(text[found.end() :], maxsplit=1)
    rest = parse_amount(number)
    name = units.CURRENCY_SIGNS.get(found[2], found[2])
    unit = units.parse_unit("/".join([name, *per]))
    if rest is None or unit is None or (rest.noun and rest.unit is None):
        return None
    if rest.unit is not None and not units.compatible(rest.unit, unit):
        return None
    negative = "-" in (found[1], found[3])
    return Amount(scaled_tree(rest.tree, Fraction(-1)) if negative else rest.tree, unit)


def _with_tail(head: str, tail: str) -> Amount | None:
    head = head.strip()
    value = parse_number(head)
    if value is None and _SHORT_SCALE.search(head):
        shorter = _SHORT_SCALE.sub("", head)
        value, tail, head = parse_number(shorter), head[len(shorter) :] + tail, shorter
    if value is None or (tail[:1] and tail[0] in "0123456789.,/^*+=<>!([{\\:"):
        return None
    tree = number_tree(value, head)
    spaced = tail[:1] == " "
    tail = tail.strip()
    if tail.startswith("-"):
        unit = units.parse_unit(tail[1:])
        return Amount(tree, unit) if unit else None
    if not tail:
        return Amount(tree)
    if tail in ('"', "''"):
        return Amount(tree, units.parse_unit(_SHORT_PARTS[tail]))
    unit = None if _CODE_TAIL.fullmatch(tail) and not spaced else units.parse_unit(tail)
    if unit is None and _SHORT_SCALE.search(head) and head[-1] in "KMBT":  # 300K may be a temperature, 5M a scale
        unit = None
    if unit is not None:
        return Amount(tree, unit)
    if not spaced and tail.isascii() and not tail.startswith("%"):
        return _compound(head, tail)
    if tail in _FILLERS:
        return Amount(tree)
    share = _SHARE.fullmatch(tail)
    if share and (share[1] or 0 < value < 1):  # 20 % of the people, 2/3 of the pizza; not 2 of 5
        return Amount(tree, units.PERCENT if share[1] else None)
    described = _leading_unit_and_noun(tree, tail) or _compound(head, tail)
    if described is not None:
        return described
    noun = _noun(value, tail)
    return Amount(tree, noun=noun) if noun else None


def _leading_unit_and_noun(tree: Tree, tail: str) -> Amount | None:
    """``5 cm long``, ``30 km in total``, ``5 years old``, ``2 kg of apples``."""
    words = tail.split(" ")
    for count in range(min(3, len(words) - 1), 0, -1):
        unit = units.parse_unit(" ".join(words[:count]))
        if unit is not None and _AFTER_UNIT.fullmatch(" ".join(words[count:])):
            return Amount(tree, unit)
    return None


def _compound(head: str, tail: str) -> Amount | None:
    """``5 ft 3 in``, ``2 hours and 30 minutes``, ``2小时30分钟``: parts of one kind, each smaller than the one
    before."""
    text = f"{head} {tail}"
    if not text.isascii():
        text = _HAN_NUMERALS.sub(lambda found: str(parse_number(found.group())), text)
    parts = _COMPOUND_PART.findall(text)
    if not 2 <= len(parts) <= 3 or not _COMPOUND.fullmatch(text):
        return None
    total, last = Fraction(0), None
    metric = any(name in ("km", "cm", "mm") for _, name in parts)  # 2 m 50 cm, but 2 h 50 m
    for number, name in parts:
        value = parse_number(number)
        unit = units.parse_unit(name if metric else _SHORT_PARTS.get(name, name))
        if (
            value is None
            or unit is None
            or (last and (unit.dimensions != last.dimensions or unit.factor >= last.factor))
        ):
            return None
        total, last = total + value * unit.factor, unit
    return Amount(("num", total.numerator, total.denominator), last and Unit(last.dimensions))


def _is_plural(word: str) -> bool:
    return word.endswith("s") or stem(word.lower()) != word.lower() or word.lower() in _PLURALS


def _noun(value: Fraction, tail: str) -> tuple[str, ...]:
    """The counted thing behind a number; () when the words could change the number."""
    if _NOUN.fullmatch(tail):
        words = tail.split(" ")
        if len(words[0]) < 3 or any(word.lower() in _UNSAFE or word.lower() in NUMBER_WORDS for word in words):
            return ()
        thing, *place = _PLACE.split(tail, maxsplit=1)
        words = thing.split()
        if not (abs(value) == 1 or value.denominator > 1 or any(map(_is_plural, words))):
            return ()
        if len(words) > _NOUN_WORDS or _NO_NOUN.search(thing) or _NO_NOUN.search(_ARTICLE.sub("", "".join(place))):
            return ()
        return tuple(words)
    if (
        not tail.isascii()
        and _HAN_COUNTER.fullmatch(tail)
        and not re.search("[或和不到多几至以左约折成半第]|分之|次方|平方", tail)
    ):
        return (
            (re.sub("^[个個只隻条條张張本辆輛位名头頭匹朵棵支枝把件双雙次种種家座间間]", "", tail) or "个",)
            if len(tail) > 1
            else ("个",)
        )
    return ()


def _from_words(text: str) -> Amount | None:
    words = _SINGLE.sub("one ", text).split(" ")
    if re.split("-", words[0].lower())[0] not in NUMBER_WORDS and words[0].lower() not in (
        "a",
        "an",
        "minus",
        "negative",
    ):
        return None
    for count in range(min(len(words), 12), 0, -1):
        value = parse_number(" ".join(words[:count]))
        if value is None:
            continue
        tail = " ".join(words[count:])
        if not tail:
            return Amount(number_tree(value))
        if tail.startswith(("of ", "and ")):
            return None
        unit = units.parse_unit(tail)
        if unit is None and 0 < value < 1 and tail.startswith(("a ", "an ")):  # half a metre
            unit = units.parse_unit(tail.partition(" ")[2])
        if unit is not None:
            return Amount(number_tree(value), unit)
        described = _leading_unit_and_noun(number_tree(value), tail)
        if described is not None:
            return described
        noun = _noun(value, tail)
        return Amount(number_tree(value), noun=noun) if noun else None
    return None


def sentence_amount(text: str) -> Amount | None:
    """The only number of a plain sentence ("There are 3 birds on the wire."), with the unit behind it."""
    text = _EVERY.sub("", _PRESENT.sub("", text.strip()))
    if text[:1].isdigit():
        return parse_amount(text)
    if len(text) > 200 or not _SENTENCE.fullmatch(text) or not (_VERB.search(text) or "\u4e00" <= text[0] <= "\u9fff"):
        return None
    found = list(_MENTION.finditer(text))
    if len(found) != 1:
        return None
    rest = text[found[0].end() :]
    words = rest.split(" ")
    start = _MORE.sub("", text[found[0].start() :])
    if found[0].start() == 0:
        return parse_amount(text)
    for count in (3, 2, 1):
        tail = " ".join(words[:count])
        amount = parse_amount((found[0].group() + tail).rstrip(",."))
        if amount is not None and amount.unit is not None and len(tail.strip()) > 1:
            return amount
    return parse_amount(start)

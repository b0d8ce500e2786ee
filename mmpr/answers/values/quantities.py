"""Quantities: an exact value with a unit (``5 cm``), a counted thing (``3 birds``) or nothing behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from mmpr.answers.formula.tree import Tree, number_tree
from mmpr.answers.text.numerals import HAN_NUMERAL, NUMBER_WORDS, parse_number
from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.words import stem
from mmpr.answers.values import units
from mmpr.answers.values.units import Unit

DIGITS = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,3}(?: \d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_HEAD = re.compile(
    rf"[-+]?\s?(?:(?:{DIGITS})(?:\s*+/\s*+(?:{DIGITS})|\s++\d++\s*+/\s*+\d+|\s*+(?:[*x×·]|\\times|\\cdot)\s*+10\s*+\^\s*+\{{?+\s*+-?\d++\s*+\}}?|[eE][-+]?\d+(?![A-Za-z]))?)"
    r"(?:\s*+(?i:hundred|thousand|million|billion|trillion|dozen)\b|(?:[kKMBT]|mn|bn)(?![A-Za-z/^])|\s?(?:[百千]?[万亿](?!能)|[百千](?=[{HAN_DIGITS}0-9]))(?:[{HAN_DIGITS}0-9]++[十百千]?+[万亿]?+)*+)*"
)
_SHORT_SCALE = re.compile(r"[kKMBT]$|mn$|bn$")
_MONEY_SCALE = re.compile(r"(?<=\d)\s?([mbt])(?![A-Za-z])")  # £50m: metres are no money
_PER = re.compile(r"(?:(?<!\s)\s++)?/\s*+(?=[a-z])|(?<!\s)\s++per\s++")
_CURRENCY = re.compile(
    r"([-+]?+)\s*+(US\$|[$€£¥₹₩₽]|Rs\.?(?=\s*\d)|(?:USD|EUR|GBP|RMB|CNY|INR|JPY)(?=\s*\d))\s*+([-+]?+)\s*+(?=[\d.])"
)
_APPROXIMATE = re.compile(
    r"(?:≈|~|\\approx|\\sim|approximately|approx\.?|circa|(?P<loose>about|around|roughly|大约是?|大概|约为?))\s*",
    re.IGNORECASE,
)
_APPROXIMATE_BEGINS = frozenset("≈~\\aAcCrR大约概")
_CURRENCY_BEGINS = frozenset("+- U$€£¥₹₩₽REGCIJ")
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
_HAN_COUNTERS = (
    "个個只隻条條张張本辆輛位名头頭匹朵棵支枝把件双雙次种種家座间間层層岁歲人架艘杯瓶碗块塊片颗顆根台元角分度倍"
)
_HAN_COUNTER = re.compile(rf"[{_HAN_COUNTERS}]?[\u4e00-\u9fff]{{0,8}}")
_HAN_NO_NOUN = re.compile("[或和不到多几至以左约折成半第]|分之|次方|平方|角[形星]|边形")
_HAN_MEASURE = re.compile("^[个個只隻条條张張本辆輛位名头頭匹朵棵支枝把件双雙次种種家座间間]")
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
_COMPOUND_PART = re.compile(r"(?<!\d)(\d++(?:\.\d++)?)\s*+([A-Za-z'\"\u4e00-\u9fff]+)")
_COMPOUND = re.compile(r"(?:\d++(?:\.\d++)?\s*+[A-Za-z'\"\u4e00-\u9fff]++(?:,? and |,? )?+)++")
_SHORT_PARTS = {"'": "ft", '"': "in", "''": "in", "m": "min", "分": "分钟", "时": "小时"}
_FILLERS = frozenset(("more", "left", "remaining", "in total", "total", "in all", "altogether", "each"))
_AFTER_UNIT = re.compile(
    r"long|tall|wide|high|deep|old|thick|away|each|(?:in )?total|of (?:the |his |her |their )?[a-z]+(?: [a-z]+)?"
)
_SINGLE = re.compile(r"^(?:a|one|only one) single ")
_SHARE = re.compile(r"(%|percent)? ?of (?:the |all |a )?[a-z]+(?: [a-z]+){0,2}")
_YEAR_LIKE = re.compile(r"(?:1[5-9]|20)\d\d")
_CODE_TAIL = re.compile(r"[AC]")  # 5A and 12C are labels, 5 A and 12 C are not
_TWICE = re.compile(r"([^()]+) \(([^()]+)\)")  # 3 (three)
_COMMA_BEFORE_UNIT = re.compile(r"([-+]?\d{1,15}),(\d{1,2}|\d{4,15}) ?([^\d\s,].{0,40})")  # 3,5 cm, but no 1,234 cm
_UNIT_IN_BRACKETS = re.compile(r"([-+]?[\d.,/]{1,20} ?)\(([^()\d]{1,20})\)")  # 12 (cm)
_DECADE = re.compile(r"\d{2,3}0'?s")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with the unit or the counted thing behind it, if any."""

    tree: Tree
    unit: Unit | None = None
    noun: tuple[str, ...] = ()
    """The words of a counted thing."""
    loose: bool = False
    """Whether the text says "about" or the like."""
    year: bool = False
    """Whether the number may be a year."""

    @property
    def number(self) -> Fraction | None:
        """The exact rational value; None for an expression."""
        return Fraction(self.tree[1], self.tree[2]) if self.tree[0] in ("num", "dec") else None


def _written_tree(value: Fraction, text: str) -> Tree:
    """The tree of a number that is written as ``text``: a decimal keeps how many digits it shows."""
    if "." in text and "e" not in text.lower() and not text.rstrip(". ").endswith("}"):
        digits = re.sub(r"\D", "", text)
        part = len(text) - text.rindex(".") - 1
        if 10**part % value.denominator == 0:
            return ("dec", int(value * 10**part), 10**part, len(digits.lstrip("0")))
    return number_tree(value)


def scaled_tree(tree: Tree, factor: Fraction) -> Tree:
    """A value times an exact factor."""
    if tree[0] in ("num", "dec"):
        return number_tree(Fraction(tree[1], tree[2]) * factor)
    return ("mul", tree, number_tree(factor))


@remembered(4096)
def parse_quantity(text: str) -> Quantity | None:
    """The quantity that a whole text is; None when it is anything else (two numbers, a range, a sentence)."""
    value = parse_number(text)
    if value is not None:
        return Quantity(_written_tree(value, text), year=_YEAR_LIKE.fullmatch(text) is not None)
    if not text or len(text) > 200 or _DECADE.fullmatch(text):
        return None
    approximate = _APPROXIMATE.match(text) if text[0] in _APPROXIMATE_BEGINS else None
    if approximate and approximate.end() < len(text):
        inner = parse_quantity(text[approximate.end() :])
        loose = approximate["loose"] is not None and inner is not None and inner.tree[0] != "dec"
        return inner and Quantity(inner.tree, inner.unit, inner.noun, loose)
    if text.startswith("零下"):
        below = parse_quantity(text[2:])
        return below and Quantity(scaled_tree(below.tree, Fraction(-1)), below.unit)
    money = _CURRENCY.match(text) if text[0] in _CURRENCY_BEGINS else None
    if money:
        return _money(money, text)
    if text[0].isdigit() or text[0] in "-+.":
        comma = _COMMA_BEFORE_UNIT.fullmatch(text) if "," in text else None
        if comma and units.parse_unit(comma[3]):
            return parse_quantity(f"{comma[1]}.{comma[2]} {comma[3]}")
        found = _HEAD.match(text)
        quantity = _with_tail(found.group(), text[found.end() :]) if found else None
    else:
        quantity = _from_words(text) if text[0].isalpha() and text[0].isascii() else None
    if quantity is not None:
        return quantity
    twice = _TWICE.fullmatch(text) if text[-1] == ")" else None
    if twice:
        one, two = parse_quantity(twice[1]), parse_quantity(twice[2])
        if one and two and one.number is not None and one.number == two.number:
            return one
    behind = _UNIT_IN_BRACKETS.fullmatch(text) if text[-1] == ")" else None
    if behind:
        return parse_quantity(f"{behind[1].strip()} {behind[2]}")
    if not text.isascii():
        rate = _HAN_RATE.fullmatch(text)
        if rate:
            return parse_quantity(f"{rate[2]}/{rate[1]}")
        found = _HAN_HEAD.match(text)
        tail = text[found.end() :] if found else ""
        quantity = _with_tail(found.group(), tail) if found else None
        if quantity and quantity.noun and found and _HAN_NUMERALS.fullmatch(found.group()):
            return quantity if tail[0] in _HAN_COUNTERS else None  # 二氧化碳 are no two of anything
        return quantity
    return None


def _money(found: re.Match[str], text: str) -> Quantity | None:
    number, *per = _PER.split(text[found.end() :], maxsplit=1)
    number = _MONEY_SCALE.sub(lambda scale: scale[1].upper(), number)
    rest = parse_quantity(number)
    name = units.CURRENCY_SIGNS.get(found[2], found[2])
    unit = units.parse_unit("/".join([name, *per]))
    if rest is None or unit is None or (rest.noun and rest.unit is None):
        return None
    if rest.unit is not None and not units.compatible(rest.unit, unit):
        return None
    negative = "-" in (found[1], found[3])
    return Quantity(scaled_tree(rest.tree, Fraction(-1)) if negative else rest.tree, unit)


def _with_tail(head: str, tail: str) -> Quantity | None:
    head = head.strip()
    value = parse_number(head)
    if value is None and _SHORT_SCALE.search(head):
        shorter = _SHORT_SCALE.sub("", head)
        value, tail, head = parse_number(shorter), head[len(shorter) :] + tail, shorter
    if value is None or (tail[:1] and tail[0] in "0123456789.,/^*+=<>!([{\\:"):
        return None
    tree = _written_tree(value, head)
    spaced = tail[:1] == " "
    tail = tail.strip()
    if tail.startswith("-"):
        unit = units.parse_unit(tail[1:])
        return Quantity(tree, unit) if unit else None
    if not tail:
        return Quantity(tree)
    if tail in ('"', "''"):
        return Quantity(tree, units.parse_unit(_SHORT_PARTS[tail]))
    unit = None if _CODE_TAIL.fullmatch(tail) and not spaced else units.parse_unit(tail)
    if unit is not None:
        return Quantity(tree, unit)
    if not spaced and tail.isascii() and not tail.startswith("%"):
        return _compound(head, tail)
    if tail in _FILLERS:
        return Quantity(tree)
    share = _SHARE.fullmatch(tail)
    if share and (share[1] or 0 < value < 1):  # 20 % of the people, 2/3 of the pizza; not 2 of 5
        return Quantity(tree, units.PERCENT if share[1] else None)
    return _with_described_unit(tree, tail) or _compound(head, tail) or _counted(tree, value, tail)


def _with_described_unit(tree: Tree, tail: str) -> Quantity | None:
    """``5 cm long``, ``30 km in total``, ``5 years old``, ``2 kg of apples``."""
    words = tail.split(" ")
    for count in range(min(3, len(words) - 1), 0, -1):
        unit = units.parse_unit(" ".join(words[:count]))
        if unit is not None and _AFTER_UNIT.fullmatch(" ".join(words[count:])):
            return Quantity(tree, unit)
    return None


def _compound(head: str, tail: str) -> Quantity | None:
    """``5 ft 3 in``, ``2 hours and 30 minutes``, ``2小时30分钟``: units of one kind, each smaller than the last."""
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
    return Quantity(number_tree(total), last and Unit(last.dimensions))


def _counted(tree: Tree, value: Fraction, tail: str) -> Quantity | None:
    noun = _noun(value, tail)
    return Quantity(tree, noun=noun) if noun else None


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
    if tail.isascii() or not _HAN_COUNTER.fullmatch(tail) or _HAN_NO_NOUN.search(tail):
        return ()
    return (_HAN_MEASURE.sub("", tail) or "个",) if len(tail) > 1 else ("个",)


def _from_words(text: str) -> Quantity | None:
    words = _SINGLE.sub("one ", text).split(" ")
    first = words[0].lower()
    if first.partition("-")[0] not in NUMBER_WORDS and first not in ("a", "an", "minus", "negative"):
        return None
    for count in range(min(len(words), 12), 0, -1):
        value = parse_number(" ".join(words[:count]))
        if value is None:
            continue
        tree = number_tree(value)
        tail = " ".join(words[count:])
        if not tail:
            return Quantity(tree)
        if tail.startswith(("of ", "and ")):
            return None
        unit = units.parse_unit(tail)
        if unit is None and 0 < value < 1 and tail.startswith(("a ", "an ")):  # half a metre
            unit = units.parse_unit(tail.partition(" ")[2])
        if unit is not None:
            return Quantity(tree, unit)
        return _with_described_unit(tree, tail) or _counted(tree, value, tail)
    return None

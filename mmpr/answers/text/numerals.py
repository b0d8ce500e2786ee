"""Numbers as people write them (digits, words, Chinese numerals), read as exact rationals."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

_MAX_DIGITS = 400
_MAX_EXPONENT = 400
MAX_NUMBER_WORDS = 24

_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})++|\d{1,2}(?:,\d{2}(?!\d))++,\d{3}|\d{1,3}(?:[ '_]\d{3}(?!\d))++"
_DECIMAL = rf"(?:(?:{_GROUPED}|\d++)(?:\.\d*+)?|\.\d++)"
_PLAIN = re.compile(r"([-+]?)(\d{1,15})(?:\.(\d{1,15}))?")
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s?(?P<mantissa>{_DECIMAL})"
    r"(?:\s*+(?:[*xX×·]|\\times|\\cdot)\s*+10\s*+(?:\^|\*\*)\s*+\{?+\s*+(?P<power>[-+]?\d++)\s*+\}?|[eE](?P<exponent>[-+]?\d+))?"
)
_FRACTION = re.compile(rf"(?P<sign>[-+]?)\s?(?P<top>{_DECIMAL})\s*+/\s*+(?P<bottom>{_DECIMAL})")
_MIXED = re.compile(
    r"(?P<sign>[-+]?)\s?(?P<whole>\d+|\d{1,3}(?:[ ,]\d{3})+)(?:\s++(?:and\s++)?|\s*+-\s*+)"
    r"(?P<top>\d++)\s*+/\s*+(?P<bottom>\d++)"
)
_COMMA_DECIMAL = re.compile(r"([-+]?)(?:(0),(\d+)|(\d{1,3}(?:\.\d{3})+),(\d+)|(\d+),(\d{2}|\d{4,}))")
_OUT_OF = re.compile(r"([\w,.]+) out of (?:every )?([\w,.]+)")
_DOTTED = re.compile(r"([-+]?)(\d{1,3}(?:\.\d{3}){2,})")
REPEATING = re.compile(r"([-+]?+)((?:(?<!\d)\d++)?)\.(\d*+)(?:\\overline|\\bar|\\dot)\s*+\{?(\d++)\}?")
_SCALED = re.compile(rf"(?P<sign>[-+]?)\s?(?P<mantissa>{_DECIMAL})(?P<space>\s?)(?P<scale>[A-Za-z]+)\.?")

_SEPARATOR = re.compile(r"[ ,'_]")
_AND_A_HALF = re.compile(r"(\d+) and (?:a|one) (half|third|quarter)")
_TWO_WORDS = re.compile(rf"({_DECIMAL}) ([a-z]+) ([a-z]+)")

_ONES_TEXT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
ONES = {word: value for value, word in enumerate(_ONES_TEXT.split())}
_TENS_TEXT = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_TENS_TEXT.split(), start=2)} | {"fourty": 40}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_COUNTS = {"dozen": 12, "dozens": 12}
_SHORT_SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "mn": 10**6, "mln": 10**6, "bn": 10**9}
_SHORT_SCALES |= {"mil": 10**6, "mio": 10**6, "tn": 10**12}
_PARTS_TEXT = "third fourth fifth sixth seventh eighth ninth tenth"
_PARTS = {word: value for value, word in enumerate(_PARTS_TEXT.split(), start=3)}
_PARTS |= {"quarter": 4, "hundredth": 100, "thousandth": 1000}
_PARTS |= {f"{word}s": value for word, value in _PARTS.items()} | {"half": 2, "halves": 2}
_JOINING = frozenset(("and", "a", "an", "of", "over", "point"))
NUMBER_WORDS = frozenset((*ONES, *_TENS, *SCALES, *_COUNTS, *_PARTS))

_FIRST_WORDS = NUMBER_WORDS | _JOINING | {"minus", "negative"}

_HAN_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_HAN_DIGITS |= {digit: value for value, digit in enumerate("零壹贰叁肆伍陆柒捌玖")}
_HAN_STEPS = {"十": 10, "百": 100, "千": 1000, "拾": 10, "佰": 100, "仟": 1000}
_HAN_SCALES = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
HAN_DIGITS = "".join(_HAN_DIGITS)
HAN_NUMERAL = "".join([HAN_DIGITS, *_HAN_STEPS, *_HAN_SCALES])
_HAN_OR_DIGITS = re.compile(f"[{HAN_NUMERAL}][{HAN_NUMERAL}0-9]*+")
_HAN_MIXED = re.compile(rf"([-+]?)\s?({_DECIMAL}\s?[{HAN_NUMERAL}][{HAN_NUMERAL}0-9]*+)")
_HAN_PART = re.compile(rf"[\d,]++(?:\.\d++)?|[{HAN_NUMERAL}]")
_HAN_FRACTION = re.compile(f"(?:([{HAN_NUMERAL}0-9]+)又)?([{HAN_NUMERAL}0-9]+)分之([{HAN_NUMERAL}0-9.点]+)")
_HAN_POINT = re.compile(f"([{HAN_NUMERAL}]+)点([{HAN_DIGITS}]+)")


def parse_number(text: str) -> Fraction | None:
    """The exact value of a text that is one number and nothing else; None for any other text.

    Reads separators (``1,234``, ``1 234``, ``12,34,567``), decimal commas (``2,74``, not ``1,2``: that is a list),
    fractions, mixed numbers, powers of ten, scale words, words for numbers and Chinese numerals.
    """
    text = text.strip()
    plain = _PLAIN.fullmatch(text)
    if plain:
        sign, whole, part = plain.groups()
        if part is None:
            return Fraction(-int(whole) if sign == "-" else int(whole))
        return Fraction(int(f"{sign}{whole}{part}"), 10 ** len(part))
    if not text or len(text) > _MAX_DIGITS:
        return None
    head = text[0]
    share = _OUT_OF.fullmatch(text) if " out of " in text else None
    if share:
        part, whole = parse_number(share[1]), parse_number(share[2])
        return part / whole if part is not None and whole and part <= whole else None
    if head.isascii() and (head.isdigit() or head in "-+."):
        return _from_digits(text)
    if head.isascii() and head.isalpha():
        return _from_words(text)
    return _from_han(text)


def _from_digits(text: str) -> Fraction | None:
    found = _NUMBER.fullmatch(text)
    if found:
        exponent = found["power"] or found["exponent"] or "0"
        if len(exponent) > 5 or abs(int(exponent)) > _MAX_EXPONENT:
            return None
        return _signed(found["sign"], _decimal(found["mantissa"]) * Fraction(10) ** int(exponent))
    for sign, pattern, read in _FORMS:
        found = pattern.fullmatch(text) if sign in text else None
        if found:
            return read(found)
    return _from_han(text) if "分之" in text else _digits_and_words(text)


def _decimal(digits: str) -> Fraction:
    digits = _SEPARATOR.sub("", digits)
    whole, _, part = digits.partition(".")
    return Fraction(int((whole + part) or "0"), 10 ** len(part))


def _signed(sign: str | None, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _negated(value: Fraction | None) -> Fraction | None:
    return None if value is None else -value


def _fraction(found: re.Match[str]) -> Fraction | None:
    bottom = _decimal(found["bottom"])
    return _signed(found["sign"], _decimal(found["top"]) / bottom) if bottom else None


def _mixed(found: re.Match[str]) -> Fraction | None:
    top, bottom = int(found["top"]), int(found["bottom"])
    return _signed(found["sign"], _decimal(found["whole"]) + Fraction(top, bottom)) if top < bottom else None


def _comma(found: re.Match[str]) -> Fraction:
    whole = found[2] or found[4] or found[6]
    part = found[3] or found[5] or found[7]
    return _signed(found[1], _decimal(f"{whole.replace('.', '')}.{part}"))


def _scaled(found: re.Match[str]) -> Fraction | None:
    word = found["scale"]
    scale = SCALES.get(word.lower()) or _COUNTS.get(word.lower())
    if scale is None and not (found["space"] and len(word) == 1):
        scale = _SHORT_SCALES.get(word)
    return _signed(found["sign"], _decimal(found["mantissa"]) * scale) if scale else None


def _repeating(found: re.Match[str]) -> Fraction:
    lead, cycle = found[3], found[4]
    whole = Fraction(int((found[2] or "0") + lead), 10 ** len(lead))
    return _signed(found[1], whole + Fraction(int(cycle), (10 ** len(cycle) - 1) * 10 ** len(lead)))


def _dotted(found: re.Match[str]) -> Fraction:
    return _signed(found[1], Fraction(int(found[2].replace(".", ""))))


def _han_mixed(found: re.Match[str]) -> Fraction | None:
    value = _han_cardinal(found[2].replace(" ", ""))
    return None if value is None else _signed(found[1], value)


_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], Fraction | None]], ...] = (
    ("/", _FRACTION, _fraction), ("/", _MIXED, _mixed), (",", _COMMA_DECIMAL, _comma), ("", _SCALED, _scaled),
    (".", _DOTTED, _dotted), ("\\", REPEATING, _repeating), ("", _HAN_MIXED, _han_mixed),
)  # fmt: skip
"""A sign that a text of the form has, its pattern, and its reader."""


def _digits_and_words(text: str) -> Fraction | None:
    """``3 and a half``, ``2 million 500 thousand``, ``5 hundred thousand``."""
    half = _AND_A_HALF.fullmatch(text)
    if half:
        return Fraction(int(half[1])) + Fraction(1, _PARTS[half[2]])
    words = _TWO_WORDS.fullmatch(text)
    if words and words[2] in SCALES and words[3] in SCALES:
        return _decimal(words[1]) * SCALES[words[2]] * SCALES[words[3]]
    return None


def _from_words(text: str) -> Fraction | None:
    words = text.lower().replace("-", " ").replace(",", " ").split()
    if words and words[0] not in _FIRST_WORDS:
        return None
    sign = 1
    if words and words[0] in {"minus", "negative"}:
        sign, words = -1, words[1:]
        if words and words[0][0].isdigit():
            return _negated(parse_number(" ".join(words)))
    if (
        not words
        or len(words) > MAX_NUMBER_WORDS
        or not all(word in NUMBER_WORDS or word in _JOINING for word in words)
    ):
        return None
    value = _word_value(words)
    return None if value is None else sign * value


def _word_value(words: list[str]) -> Fraction | None:
    if "over" in words:
        at = words.index("over")
        top, bottom = _cardinal(words[:at]), _cardinal(words[at + 1 :])
        return Fraction(top, bottom) if top is not None and bottom else None
    if "point" in words:
        at = words.index("point")
        whole = _cardinal(words[:at]) if at else 0
        digits = [ONES.get(word, 10) for word in words[at + 1 :]]
        if whole is None or not digits or max(digits) > 9:
            return None
        return whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))
    if words[-1] in _PARTS:
        return _word_fraction(words)
    if words == ["dozens"]:
        return None
    if words[-1] in _COUNTS:
        count = 1 if words[:-1] in ([], ["a"], ["one"]) else _cardinal(words[:-1])
        if words[:-1] in (["half", "a"], ["half"]):
            return Fraction(6)
        return None if count is None else Fraction(count * 12)
    cardinal = _cardinal(words)
    return None if cardinal is None else Fraction(cardinal)


def _word_fraction(words: list[str]) -> Fraction | None:
    part = Fraction(1, _PARTS[words[-1]])
    head = words[:-1]
    if "and" in head:
        at = len(head) - 1 - head[::-1].index("and")
        whole = _cardinal(head[:at])
        count = 1 if head[at + 1 :] in ([], ["a"], ["one"]) else _cardinal(head[at + 1 :])
        return None if whole is None or count is None else whole + count * part
    if head in ([], ["a"], ["an"], ["one"]):
        return part if head or words[-1] in {"half", "quarter"} else None
    count = _cardinal(head)
    return None if count is None else count * part


def _cardinal(words: list[str]) -> int | None:
    """``two hundred and five thousand three`` by the grammar of English numbers; None for ``five two``."""
    total, group, room = 0, 0, 10**15
    last = 10**3  # what the next word of the group must stay below
    seen = False
    for at, word in enumerate(words):
        if word in {"a", "an"}:
            if at or len(words) == 1 or words[1] not in SCALES:
                return None
            group, last, seen = 1, 1, True
        elif word in ONES or word in _TENS:
            value = ONES.get(word, _TENS.get(word, 0))
            if last <= 10 and (value >= 10 or last == 1):
                return None
            if value >= last:
                return None
            group += value
            last = 10 if word in _TENS else 1
            seen = True
        elif word == "hundred":
            if not 0 < group < 100 or last == 100:
                return None
            group, last = group * 100, 100
        elif word in SCALES:
            scale = SCALES[word]
            if not group or scale >= room:
                return None
            total, group, room, last = total + group * scale, 0, scale, 10**3
        elif word != "and" or not seen or at == len(words) - 1:
            return None
    return total + group if seen else None


def _from_han(text: str) -> Fraction | None:
    if text[0] in "负負":
        return _negated(parse_number(text[1:]))
    fraction = _HAN_FRACTION.fullmatch(text)
    if fraction:
        whole = parse_number(fraction[1]) if fraction[1] else Fraction(0)
        bottom, top = parse_number(fraction[2]), parse_number(fraction[3])
        return whole + top / bottom if whole is not None and bottom and top is not None else None
    point = _HAN_POINT.fullmatch(text)
    if point:
        whole = parse_number(point[1])
        digits = "".join(str(_HAN_DIGITS[digit]) for digit in point[2])
        return None if whole is None else whole + Fraction(int(digits), 10 ** len(digits))
    if text in {"半", "一半"}:
        return Fraction(1, 2)
    return _han_cardinal(text) if _HAN_OR_DIGITS.fullmatch(text) else None


def _han_cardinal(text: str) -> Fraction | None:
    """``一亿二千万``, ``1亿2千万``, ``3万5`` (35,000): each digit counts what the step or scale behind it says.

    A last single digit without one counts a tenth of the step before it, unless a zero or more digits stand there.
    """
    if all(char in _HAN_DIGITS for char in text):
        return Fraction(int("".join(str(_HAN_DIGITS[char]) for char in text))) if len(text) < 20 else None
    total, myriads, section = Fraction(0), Fraction(0), Fraction(0)
    digit: Fraction | None = None
    last_step = 10
    for part in _HAN_PART.findall(text):
        if part in _HAN_STEPS:
            section += (1 if digit is None else digit) * _HAN_STEPS[part]
            last_step = _HAN_STEPS[part]
        elif part in _HAN_SCALES and _HAN_SCALES[part] == 10**4:
            myriads, section, last_step = (section + (digit or 0)) * 10**4, Fraction(0), 10**4
        elif part in _HAN_SCALES:
            total, myriads, section = (total + myriads + section + (digit or 0)) * 10**8, Fraction(0), Fraction(0)
            last_step = 10**8
        else:
            if digit:
                return None
            digit = Fraction(_HAN_DIGITS[part]) if part in _HAN_DIGITS else _decimal(part)
            if digit == 0 or digit >= 10:
                last_step = 10
            continue
        digit = None
    return total + myriads + section + (digit or 0) * (last_step // 10 if digit and last_step > 10 else 1)

"""The quantity that an answer states: in itself, behind an equals sign, or as the only number of a plain sentence."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import combinations, pairwise

from mmpr.answers.formula.worded import has_formula_signs
from mmpr.answers.text.numerals import HAN_NUMERAL, NUMBER_WORDS, parse_number
from mmpr.answers.text.sentences import conclusion, hedge, is_negated_or_bounded, predicate, sentences, without_scene
from mmpr.answers.text.words import words
from mmpr.answers.text.wrapping import peel
from mmpr.answers.values import units
from mmpr.answers.values.expressions import expression_in_signs, parse_expression, valued
from mmpr.answers.values.quantities import DIGITS, Quantity, parse_quantity

_EQUATED = re.compile(r"[\d\s.,+*/×÷()=$%-]+|[A-Za-z][A-Za-z' ]*|[\u4e00-\u9fff]{1,8}")
_NAME = re.compile(r"[A-Za-z]\w{0,3}")
_SO = re.compile(r", (?:so|thus|therefore|hence)(?: that)?,? ")
_WORD_NUMBERS = "|".join(sorted(NUMBER_WORDS - {"second", "half", "quarter"}, key=len, reverse=True))
_MENTION = re.compile(
    rf"(?<![A-Za-z0-9_.,:/第-])(?:[-$€£¥]|-\$)?(?:{DIGITS})(?: (?:hundred|thousand|million|billion|trillion|dozen)\b)?"
    r"(?![\w]*[:/]\d)(?:%|°)?(?![A-Za-z]*\d)"
    rf"|\b(?:{_WORD_NUMBERS})(?:[- ](?:{_WORD_NUMBERS}))*\b",
    re.IGNORECASE,
)
_MORE = re.compile(r"(?<=\w) (?:more(?! than\b)|of (?:them|these|those))\b")
_EVERY = re.compile(r"(?<!\s)\s++(?:every|each) (?:day|night|week|month|year|hour|minute|person|time)$")
_PRESENT = re.compile(
    r"(?<!\s)\s++(?:are|is|were|was|can be seen|appear)(?: (?:visible|shown|there|present|standing|sitting|left|in|on"
    r"|at)\b(?s:.*))?$"
)
_VERBS_TEXT = (
    "is are was were be has have had there see count counted contain contains show shows total totals equal equals "
    "cost costs need needs left get gets got give gives gave found weigh weighs take takes took make makes made "
    "travel travels drive drives drove walk walks move moves cover covers hold holds produce produces pay pays paid "
    "last lasts measure measures ate bake bakes read reads wrote save saves spend spends spent reach reaches "
    "increase increases decrease decreases grow grows grew use uses used sell sells sold buy buys bought leave "
    "leaves remain remains lend lent come comes came fit fits ran earn earns earned win wins won lost started "
    "answer solution went rose fell sent brought kept built drank flew caught score scores prefer prefers like "
    "likes chose receive receives collect collects"
)
_VERB = re.compile(
    rf"\b(?:{'|'.join(sorted(_VERBS_TEXT.split(), key=len, reverse=True))}|(?!red\b)\w{{2,}}ed|=)\b|[有是为共剩花买卖]",
    re.IGNORECASE,
)
_SCENE = re.compile(
    r"(?:after|before|when|once|since|because|as|while|on|in|at|out of|over|for|by|from|with|during|according to"
    r"|based on|subtracting|adding|removing|looking at|if (?:we|you|i)|so|then|therefore|thus|hence|overall|finally)\b"
    r"[^,.\d]{0,120}, ",
    re.IGNORECASE,
)
"""What a sentence says of the scene before it comes to its number: "After subtracting the cubes, "."""
_BOUNDED = re.compile(
    r"(?:\b(?:less|fewer|more|greater|larger|smaller|higher|lower|bigger|longer|shorter|older|younger) than"
    r"|\bat (?:least|most)|\bup to|\b(?:under|over|above|below|between|exceed(?:s|ed|ing)?|(?:minimum|maximum) of"
    r"|beyond|before|after|within|nearly|almost|around|about|approximately|roughly|some|close to|until|since)"
    r"|\b(?:twice|double|doubled|triple|half of|square of|cube of|root of|times|plus|minus|negative|third of"
    r"|quarter of|sum of|multiple of)"
    r"|\b(?:figure|fig\.|step|table|question|equation|section|option|part|page|chapter|case|line|row|column|problem"
    r"|example|graph|chart|image|picture|statement|choice|number|no\.|item|point)"
    r"|至少|至多|最多|最少|超过|不到|少于|多于|大于|小于|接近|将近|[近逾超几]|大约有?|大概有?|差不多有?|约|第)"
    r" ?(?:the |a |an )?$",
    re.IGNORECASE,
)
"""What makes a number behind it a bound, a guess, an operand or the number of a figure."""
_NUMBERED = re.compile(
    r"(?<![A-Za-z])(?!(?:A|The|All|Only|Exactly|Just|These|Those|My|Her|His|Their|Its|Our|And|So|Thus|Then|Answer|Total)\b)"
    r"[A-Z][a-z]{0,30} $"
)
"""A name that goes on with a number: Apollo 11, Room 8."""
_CHANGED = re.compile(
    r" ?(?:or (?:so|more|less|fewer)\b|and (?:more|then)\b|(?:before|after|until|ago|earlier|later)\b|squared|cubed"
    r"|times|plus\b|minus\b|divided|to the power|(?:more|less|fewer|higher|lower|larger|smaller) than"
    r"|以上|以下|以内|左右|多[^少]|几|倍|次方|平方(?![米厘分千公])|[-+][^ ])|[A-Za-z]|(?:st|nd|rd|th)\b",
    re.IGNORECASE,
)
"""What behind a number makes it another one."""
_SENTENCE_WITH_NUMBER = re.compile(r"[A-Za-z\d\u4e00-\u9fff][^=<>^*/\\\\{}]*")
_LONGEST = 300  # characters of a sentence that is read for its number
_THE_ONE = re.compile(r"\b(?:the|this|that|each|every|no|which|last|other|only|[a-z]{1,12}est) one$", re.IGNORECASE)
_FEWEST_WORDS = 3  # of a sentence beside its number


_OPERATION = re.compile(
    r"\b(?:twice|thrice|once|double|triple|half|halve[sd]?|third|quarter|squared?|cubed|root|times|plus|minus"
    r"|sum|product|difference|quotient|divided|multiplied|multiple|remainder|mod|modulo|binary|hex|octal|base|dozens?"
    r"|pairs?|score|point|hundred|thousand|million|billion|trillion|minus|negative|below|more|less|fewer"
    r"|percent|per|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?"
    r"|(?-i:May)|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b"
    rf"|\d[A-Za-z]|[A-Za-z]\d|\d ?(?:-|~|to\b) ?\d|[*/×÷^√!%\\:：{HAN_NUMERAL}倍折半余]|平方|次方|根号",
    re.IGNORECASE,
)
"""By what a number in an answer may become another one."""
_MEASURE = re.compile(
    r"\b(hour|minute|second|day|week|month|year|feet|foot|inch|yard|mile|dollar|cent|pound|ounce|metre|meter|km|cm|kg)"
)
_NUMERAL = re.compile(r"\d[\d,]*+(?:\.\d++)?|\.\d++")
_ORDINAL_END = re.compile(r"(?<=\d)(?:st|nd|rd|th)$")
_ONE = re.compile(r"\bones?\b", re.IGNORECASE)
"""As often a pronoun as a number."""
_MOST_NUMBERS = 4
_SCALES = (1, 100, 1000, Fraction(1, 100), Fraction(1, 1000))  # per cent, and K for a thousand
_NEAR = Fraction(1, 50)  # of the truth: so near a number may be the truth rounded


def says_other_numbers(answer: str, gold: Quantity) -> bool:
    """Whether an answer says numbers, and the truth is none of them and not what one step makes of two.

    So does "There are 5 cubes and 3 spheres." where the truth is 4; where it is 8, nobody can tell.
    """
    want = gold.number
    if want is None or gold.unit not in (None, units.PERCENT, units.DEGREE) or len(answer) > _LONGEST:
        return False
    if _OPERATION.search(answer) or is_negated_or_bounded(answer) or len(set(_MEASURE.findall(answer))) > 1:
        return False
    answer = _ONE.sub("", answer)
    spelt = [word for word in words(answer) if word.lstrip("-")[:1].isdigit()] if answer.isascii() else []
    said = [parse_number(_ORDINAL_END.sub("", one.rstrip(","))) for one in spelt or _NUMERAL.findall(answer)]
    numbers = [number for number in said if number is not None]
    if not numbers or len(numbers) < len(said) or len(numbers) > _MOST_NUMBERS:
        return False
    reached = {*numbers, sum(numbers)}
    for one, two in combinations(numbers, 2):
        reached |= {one + two, one - two, two - one, one * two, *((one / two, two / one) if one and two else ())}
    if any(abs(number * ten - want) <= abs(want) * _NEAR for number in reached for ten in _SCALES):
        return False
    written = spelt or _NUMERAL.findall(answer)
    return str(want) not in ("".join(written), *map("".join, pairwise(written)))  # 8 000


def quantity_said(answer: str, truth: str = "") -> Quantity | str | None:
    """The one quantity that an answer states.

    Returns None when there is none, and a text (the hedge, negation or bound) when there is one that must not be
    read; a word that the truth has, too, is no such hedge.
    """
    quantity = parse_quantity(answer)
    if quantity is not None:
        return quantity
    left, equals, right = answer.rpartition("=")
    if equals and _NAME.fullmatch(left.strip()):  # F = 10 N is 10 newtons, not 10 times N
        quantity = parse_quantity(right.strip())
        if quantity is not None:
            return quantity
    expression = expression_in_signs(answer)
    if expression is not None:
        return valued(expression)
    if equals and not set("<>≤≥≠≈") & set(answer) and hedge(answer, truth) is None and _EQUATED.fullmatch(left):
        quantity = parse_quantity(right.strip())
        if quantity is not None:
            return quantity
    clauses = _SO.split(answer)
    if len(clauses) > 1 or len(sentences(answer)) > 1:
        last = peel(clauses[-1]) if len(clauses) > 1 else conclusion(answer)
        return quantity_said(last, truth) if last != answer else None
    said = predicate(answer)
    bounded = said is not None and _BOUNDED.search(answer[: answer.rfind(said)])
    if said is not None and not bounded and hedge(said, truth) is None and hedge(answer, truth, bounds=False) is None:
        quantity = parse_quantity(said) or (parse_expression(said) if has_formula_signs(said) else None)
        if quantity is not None:
            return valued(quantity)
    scene = _SCENE.match(answer)
    if scene and hedge(scene.group()[3:], bounds=False) is None:
        inner = quantity_said(answer[scene.end() :], truth)
        if inner is not None:
            return inner
    reason = hedge(answer, truth, bounds=False)
    if reason is not None:
        return reason
    bare = (wanted := parse_quantity(truth)) is not None and wanted.unit is None
    return _only_quantity(without_scene(answer), bare) or hedge(answer, truth)


def _only_quantity(text: str, bare: bool) -> Quantity | None:
    """The only number of a plain sentence ("There are 3 birds on the wire."), with the unit behind it.

    Where the truth is a ``bare`` number, one that has neither a unit nor a counted thing behind it is read, too.
    """
    text = _EVERY.sub("", text.strip())
    present = _PRESENT.sub("", text)
    text = present if _MENTION.search(present) else text
    if len(text) > _LONGEST or not _SENTENCE_WITH_NUMBER.fullmatch(text):
        return parse_quantity(text)
    if not (_VERB.search(text) or "\u4e00" <= text[0] <= "\u9fff"):
        return parse_quantity(text)
    found = list(_MENTION.finditer(text))
    if len(found) > 1:  # "the tallest one" is no number beside another
        found = [one for one in found if not _THE_ONE.search(text, 0, one.end())]
    if len(found) != 1:
        return None
    start, end = found[0].span()
    if start == 0:
        return parse_quantity(text)
    before = text[max(0, start - 40) : start]
    if _BOUNDED.search(before) or _NUMBERED.search(before) or before[-1] in "√|":
        return None
    words = text[end:].split(" ")
    number = parse_quantity(text[start:end])
    for count in (3, 2, 1):
        tail = " ".join(words[:count])
        quantity = parse_quantity((text[start:end] + tail).rstrip(",."))
        if quantity is not None and len(tail.strip()) > 1:
            scaled = number is not None and quantity.number != number.number
            if quantity.unit is not None or scaled or (quantity.noun and count == 1):
                return quantity
    quantity = parse_quantity(_MORE.sub("", text[start:]))
    if quantity is not None or number is None or not (bare or number.unit) or _CHANGED.match(text, end):
        return quantity
    return number if len(text.split(" ")) > _FEWEST_WORDS or not text.isascii() else None

"""The comparator of plain words: the same words, other words, or words that may mean the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from mmpr.answers.judgement import Judgement
from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.sentences import (
    bare_phrase,
    hedge,
    predicate,
    same_phrase,
    sentences,
    superlative,
    without_place,
    without_scene,
)
from mmpr.answers.text.words import contains_words, same_text, words
from mmpr.answers.text.wrapping import peel
from mmpr.answers.text.yes_no import YES_NO_GOLD, polarity
from mmpr.answers.values.expressions import is_one_value

_DIGITS = re.compile(r"\d+")
_NEARLY = 0.9  # of the letters: a slip of the pen or of the reader
_SHORT_CAPITALS = 6
_STEM = 5  # letters that two forms of a word share, at least
_STEM_SHARE = 0.6
_SYMBOL = re.compile(
    r"[A-Z][a-z]|[A-Z][a-z]?\d{1,2}|[A-Z]{2,3}|(?=[A-Za-z]*(?:\d|[a-z][A-Z]|[A-Z][a-z]$))(?:[A-Z][a-z]?\d{0,3}){2,8}"
)
_PLAIN_WORDS = re.compile(r"[a-z]{3,}+(?: [a-z]{3,}+)*+|[\u4e00-\u9fff]{1,8}")
_HAN_SENSES = {"没有": "不", "无": "不", "非": "不"} | dict.fromkeys(("增大", "变大", "增加", "上升", "升高"), "增")
_HAN_SENSES |= dict.fromkeys(("减小", "变小", "减少", "下降", "降低"), "减") | {
    "变化": "变",
    "实数解": "解",
    "实根": "解",
}
_HAN_SENSE = re.compile("|".join(_HAN_SENSES))
"""Chinese words that mean the same in answers, which is not enough to be right."""
_NO_PLAIN_WORDS = re.compile(r"[^A-Za-z ,.'-]")
_FORMULA_SIGN = re.compile(r"[\\^{}|]")
_SPELT_IN_MANY_WAYS = frozenset(
    ("usa", "america", "uk", "great", "uae", "nyc", "none", "of", "above", "street", "saint", "and")
)
_A_THING = re.compile("一[只个隻個条條张張本辆輛位名头匹朵棵支把件座间架][\u4e00-\u9fff]")
"""What Chinese says with a number: "a dog"."""
_PHRASE_WORDS = 3  # without articles
_PHRASE_CHARACTERS = 8  # in Chinese
_PHRASE_LENGTH = 80
_POLAR_STARTS = frozenset(word[0] for word in YES_NO_GOLD)
_LONGEST_SENTENCE = 120
_CALLED = re.compile(
    r"\b(?:called|named|known as|belongs to|(?:made|written|painted|taken|published|designed|directed|sung|sold) by) "
    r"|叫做?|称为|属于",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\b(?:says?|reads?|written|titled|labell?ed|called|named|shows?|displays?)(?: as)?,? \"([^\"]{1,80})\""
)
_PROPER = re.compile(r"(?:[A-Z][\w'.-]*+(?: (?:[a-z]{2,3} )?)?){1,4}")
_SORTS = tuple(
    frozenset(names.split())
    for names in (
        "red blue green yellow black white orange purple pink brown gray",
        "left right top bottom front back north south east west",
        "spring summer autumn winter",
        "morning noon afternoon evening night",
        "sunny cloudy rainy snowy foggy",
        "circle square triangle rectangle pentagon hexagon octagon trapezoid rhombus parallelogram",
        "cube sphere cylinder cone pyramid",
        "solid liquid gas plasma",
        "mercury venus earth mars jupiter saturn uranus neptune",
        "africa europe asia australia antarctica",
        "dog cat horse cow sheep pig goat elephant giraffe zebra bear lion tiger monkey rabbit duck chicken",
        "tennis baseball basketball soccer hockey golf surfing skiing snowboarding skateboarding",
        "kitchen bathroom bedroom office garage",
        "car bus train bicycle motorcycle airplane boat truck",
        "breakfast lunch dinner",
    )
)
"""Sets of words of which one excludes the others: nothing is both, and none is another name of another."""
_SQUARES = frozenset(("square", "rectangle", "rhombus", "parallelogram"))
"""Shapes of which one may be another."""
_ELEMENTS_TEXT = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Nd W Pt Au Hg Tl Pb Bi Po Rn Ra Th U Pu"
)
_ELEMENTS = frozenset(_ELEMENTS_TEXT.split())
_ELEMENT = re.compile(r"[A-Z][a-z]?")


def compare_texts(answer: str, truth: str) -> Judgement:
    """Judge an answer to a truth that is plain words."""
    if _shares_nothing(answer, truth):
        return other_words(answer, truth)
    if same_text(truth, answer):
        return Judgement(True, "text", "the same words")
    phrases = _phrases(answer)
    if any(same_text(truth, phrase) for phrase in phrases):
        return Judgement(True, "text", "the same words in a sentence")
    if any(same_phrase(truth, phrase) for phrase in (answer, *phrases)):
        return Judgement(True, "text", "the same words, one with what stands around them")
    first, *more = sentences(answer) or [""]
    if more and hedge(answer, truth) is None and len(words(first)) <= 6 and same_text(truth, peel(first)):
        return Judgement(True, "text", "the same words, then more")
    return other_words(answer, truth)


@remembered(4096)
def _phrases(answer: str) -> tuple[str, ...]:
    """What a sentence says as an answer, in the ways in which it may be read; shorter first readings first."""
    said = predicate(answer)
    of_said = (said, peel(said), without_place(said)) if said else ()
    found = (*of_said, peel(without_scene(answer)), superlative(answer), _called(answer))
    return tuple(dict.fromkeys(phrase for phrase in found if phrase))


def _shares_nothing(answer: str, truth: str) -> bool:
    """Whether an answer has no word of the truth in any spelling, so that no phrase of it can be the truth.

    Only plain words of English are told so soon: numbers and names are spelt in more ways.
    """
    if not (truth.isascii() and answer.isascii()) or _NO_PLAIN_WORDS.search(truth) or _FORMULA_SIGN.search(answer):
        return False
    one, two = words(answer), words(truth)
    if not one or not two or not _SPELT_IN_MANY_WAYS.isdisjoint(two) or not set(one).isdisjoint(two):
        return False
    left, right = "".join(one), "".join(two)
    return left not in right and right not in left


def _called(answer: str) -> str | None:
    """The name that a plain sentence gives: behind "is called" or quoted; else None."""
    if len(answer) > _LONGEST_SENTENCE or len(sentences(answer)) > 1 or hedge(answer):
        return None
    found = _CALLED.search(answer)
    said = _QUOTED.findall(answer) if answer.count('"') == 2 else [answer[found.end() :]] if found else []
    return (peel(said[0]) or None) if said else None


def other_words(answer: str, truth: str) -> Judgement:
    """The word on a text that is not the truth: wrong when it is a few words, none of them the truth's.

    A sentence may say the same in other words; it is wrong only when it says another name, colour or direction.
    """
    polar = answer[:1].casefold() in _POLAR_STARTS and polarity(answer) is not None
    if polar or (is_one_value(answer) and not _A_THING.match(answer)):
        return Judgement(None, "text", "a value, yes or no against a text")
    if contains_words(answer, truth) or contains_words(truth, answer):
        return Judgement(None, "text", "one is in the other")
    if _akin(words(answer), words(truth)):
        return Judgement(None, "text", "nearly the same words")
    if _stands_for(answer, truth) or _stands_for(truth, answer):
        return Judgement(None, "text", "a symbol or initials against words")
    if hedge(answer, truth, bounds=False) is None:
        if _is_phrase(answer, len(words(truth))) or _of_one_sort(answer, truth):
            return Judgement(False, "text", "other words")
        if any(_of_one_sort(phrase, truth) for phrase in _phrases(answer)):
            return Judgement(False, "text", "other words in a sentence")
    return Judgement(None, "text", "a sentence from which no short answer can be read")


def _akin(one: Sequence[str], two: Sequence[str]) -> bool:
    """Whether two texts have the same words in another order, a slip of the pen, or other endings of a word."""
    if sorted(one) == sorted(two):
        return True
    left, right = " ".join(one), " ".join(two)
    if not (left.isascii() and right.isascii()) and _senses(left) == _senses(right):
        return True
    if _DIGITS.findall(left) != _DIGITS.findall(right):
        return False
    if Levenshtein.normalized_similarity(left, right, score_cutoff=_NEARLY) >= _NEARLY:
        return True
    few, many = (one, two) if len(one) < len(two) else (two, one)
    return len(few) == 1 and any(
        (common := _common_letters(few[0], word)) >= _STEM and common >= _STEM_SHARE * len(word) for word in many
    )


def _senses(text: str) -> str:
    return _HAN_SENSE.sub(lambda word: _HAN_SENSES[word.group()], text)


def _common_letters(one: str, two: str) -> int:
    """With how many equal letters two words begin."""
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def _stands_for(symbol: str, text: str) -> bool:
    """Whether a symbol may stand for a text: a chemical formula or element for plain words, initials for a name."""
    if not _SYMBOL.fullmatch(symbol.replace("_", "")):
        return False
    if symbol in ("".join(word[0] for word in text.split(" ") if word[:1].isupper()), _initials(text)):
        return True
    if not _PLAIN_WORDS.fullmatch(text):
        return False
    return any(map(str.isdigit, symbol)) or _ELEMENTS.issuperset(_ELEMENT.findall(symbol))


def _initials(text: str) -> str:
    return "".join(word[0] for word in text.split() if word not in ("of", "the", "and", "for")).upper()


def _is_phrase(text: str, wanted: int) -> bool:
    """Whether a text is an answer of a few words, no sentence: not much longer than the ``wanted`` words."""
    have = words(text)
    if not text.isascii() and len(have) == 1:  # Chinese
        return len(text) <= _PHRASE_CHARACTERS
    if " " not in text and len(text) <= _PHRASE_LENGTH:
        return True
    return len(have) <= max(_PHRASE_WORDS, wanted) and len(text) <= _PHRASE_LENGTH and predicate(text) is None


def _of_one_sort(phrase: str, truth: str) -> bool:
    """Whether two texts are of one sort (names, colours, seasons, …) and neither is short for the other."""
    left, right = phrase.casefold(), truth.casefold()
    if left.startswith(right) or right.startswith(left) or contains_words(truth, phrase):
        return False
    if truth.isupper() and len(truth) <= _SHORT_CAPITALS:  # initials, or the letters of options
        return False
    one, two = words(bare_phrase(phrase)), words(bare_phrase(truth))
    if any(sort.issuperset(one) and sort.issuperset(two) for sort in _SORTS) and not _SQUARES.issuperset((*one, *two)):
        return bool(one and two)
    return all(_PROPER.fullmatch(text) is not None for text in (phrase, truth))

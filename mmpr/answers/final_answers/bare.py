"""Bare answers: a line, or a whole reply, that is nothing but an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmpr.answers.text.characters import unspaced
from mmpr.answers.text.wrapping import unwrap

LONGEST_LINE = 200  # characters of one that is read
_LONGEST_PHRASE, _LONGEST_CJK_PHRASE, _MOST_WORDS = 60, 12, 6  # characters and words of a phrase
_MATH = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_MARKS = (("**", "**"), ("__", "__"), ("*", "*"), ("`", "`"), ('"', '"'), ("“", "”"), ("「", "」"), ("'", "'"))
_LEADING = re.compile(
    r"(?:∴|⇒|→|=>|➡|✅|>|-(?=[ \t])|=|(?:so|thus|hence|therefore|所以|因此|故|即)[ \t,，:：]*+(?=\S))\s*+", re.I
)
_OPTION_WORD = r"(?:(?:[Tt]he )?(?:[Oo]ption|OPTION|[Cc]hoice|[Aa]lternative|[Ll]etter|选项|選項|选|选择))"
_LETTER = re.compile(
    rf"(?:{_OPTION_WORD}\s*+[:：]?\s*+)?(?:[(（\[【]\s*+(?:[A-Z]|[a-h])\s*+[)）\]】]|[A-Z])\s*+(?:选项|項"
    rf"|项)?[.．:：、。)]?"
)
_LETTERS = re.compile(r"(?:选项)?[(（\[]?[A-H](?:\s*+(?:[,、，&和]|and)\s*+[A-H])++[)）\]]?|[A-H]{2,6}")
_OPTION = re.compile(
    rf"(?:{_OPTION_WORD}\s++)?(?:[(（\[]\s*+(?P<a>[A-Z])\s*+[)）\]]\s*+[.．:：、]?"
    rf"|(?P<b>[A-Z])\s?[.．:：、)）])\s*+(?=[^\s.．:：、)）]).{{1,150}}"
)
_NUMBER = re.compile(
    r"[-+−±≈~]?+\s?+(?:US)?[$€£¥₹]?+\s?+\d[\d,]*+(?:[.,]\d++)?+(?:\s?+[/:]\s?+\d[\d,.]*+)?+"
    r"(?:\s?+×\s?+10\^?\{?-?[\d⁰¹²³⁴-⁹⁻]{1,4}\}?)?+"
    r"(?:\s*+[A-Za-zÀ-ÖØ-öø-ɏµμΩА-яё][A-Za-zÀ-ÖØ-öø-ɏА-яё0-9²³°/·'.^]{0,15}+|\s*+[%°℃℉€$£¥‰]{1,2}+[a-zA-Z]?+"
    r"|\s?+[\u3040-\ud7af]{1,5}+){0,4}+"
)
_SENTENCE_WORD = re.compile(
    r"\b(?:is|are|was|were|has|have|the|then|so|if|we|i|it|this|that|there|to|from|add|subtract|multiply|divide|find"
    r"|let|use|and then)\b",
    re.IGNORECASE,
)
_PAIR = re.compile(r"[(\[{][^()\[\]{}]{1,60}[)\]}]")
_EQUATION = re.compile(
    r"(?P<name>[^\W\d_]|[A-Za-z∠△\\][^=≈+*/×÷<>≤≥?]{0,40})(?:=|≈|\\approx)(?P<chain>[^=≈]*+(?:[=≈][^=≈]++)*+)"
)
_LONGEST_VALUE = 80  # characters of a formula that stands alone
_NO_VALUE = re.compile(r"[?？]|\b(?:so|then)\b")
_OPEN_END = tuple("+-−×÷*/=(:：,，、")
_WORDS_TEXT = (
    "yes no true false right wrong correct incorrect none unanswerable oui non vrai faux ja nein richtig falsch sí si "
    "verdadero falso sim não verdadeiro sì vero да нет верно неверно نعم لا हाँ नहीं はい いいえ 예 네 아니요 아니오 "
    "是 否 不是 对 错 正确 错误 有 没有 能 不能 可以 不可以 √ × ✓ ✗"
)
_WORDS = frozenset(_WORDS_TEXT.split())
_HEADING = re.compile(
    r"(?:step|notes?|explanation|solution|analysis|conclusion|(?:final )?answer|reasoning|summary|given"
    r"|步骤|解析|分析|解答|答案|结论|解|注意|总结)(?:\s*+\d++)?[:：]?",
    re.IGNORECASE,
)
_LIST_ITEM = re.compile(r"(?:\d++[.)、]|[-*•])\s")
_NOT_A_PHRASE = re.compile(
    r"(?:i|i'm|we|let|let's|sorry|sure|hello|hi|okay|ok|it|there|this|that|these|those|he|she|they|you|please|to|if"
    r"|based|looking|first|step|what|which|how|why|who|where|when"
    r"|the (?:image|picture|photo|chart|figure|answer|question))\b"
    r"|抱歉|对不起|我|这|那|首先|图|请|让|根据|你好|您好|嗯|好的",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|could|may|might|must|should|would|will|do|does|did|shows?|cannot)\b"
    r"|n't\b|[是有为]|可能|应该|需要|です|ます|입니다",
    re.IGNORECASE,
)
_PUNCTUATION = re.compile(r"[.!?。！？:：;；,，、\\{}<>|]")
_STEP = re.compile(r"step\s?\d|step$|第.步", re.IGNORECASE)
_REASON = re.compile(r"(?<!\s)\s*+[,;，；]?\s*+(?:\b(?:because|since|as we)\b|因为|由于)", re.IGNORECASE)
_SEVERAL = re.compile(r"[,;，；、]|\b(?:and|or)\b|\\text|[或和且]")
"""What stands between two statements of a line, not within a chain of equal values."""
FACTORIAL = re.compile(r"\([^()]{0,40}[-+*/\d][^()]{0,40}\)!$")
"""A factorial at the end of a text, whose sign ends no sentence."""
_FINAL_PUNCTUATION = ".。．!！;；,，"


@dataclass(frozen=True)
class Bare:
    """An answer that stands alone: its kind and itself without the marks around it; ``label`` of an option."""

    kind: str
    text: str
    label: str = ""


def bare_answer(line: str) -> Bare | None:
    """What a line is, if it is an answer and nothing else.

    Kinds: ``letter``, ``option`` (with its text), ``number`` (with a unit), ``equation``, ``formula``, ``word`` (yes,
    true), ``bold`` (a short text in bold).
    """
    line = line.strip()
    if not line or len(line) > LONGEST_LINE or _LIST_ITEM.match(line):
        return None
    lead = _LEADING.match(line)
    line = line[lead.end() :] if lead else line
    before, bold, math = None, False, False
    while line != before:
        before = line
        for opening, closing in _MATH:
            line = unwrap(line, opening, closing)
        math = math or line != before
        inner = line
        for opening, closing in _MARKS:
            line = unwrap(line, opening, closing)
            bold = bold or (opening in ("**", "__") and line != inner)
        stripped = line if FACTORIAL.search(line) else line.rstrip(_FINAL_PUNCTUATION).rstrip()
        if len(stripped) > 1 and not _LETTER.fullmatch(line) and not line.endswith("..."):
            line = stripped
    return _plain(line, math) or (Bare("bold", line) if bold and _is_phrase(line) else None)


def _plain(line: str, math: bool) -> Bare | None:
    if _LETTER.fullmatch(line) or _LETTERS.fullmatch(line):
        return Bare("letter", line)
    option = _OPTION.fullmatch(line)
    if option:
        return Bare("option", line, option["a"] or option["b"])
    if line.casefold() in _WORDS:
        return Bare("word", line)
    if _NUMBER.fullmatch(line) and not _SENTENCE_WORD.search(line):
        return Bare("number", line)
    if _PAIR.fullmatch(line) and any(char.isdigit() for char in line):
        return Bare("number", line)
    equation = _EQUATION.fullmatch(line)
    if equation and _is_value(equation["chain"]) and len(equation["name"].split()) <= 4:
        reason = _REASON.search(line)
        if reason:
            return _plain(line[: reason.start()].rstrip(), math)
        parts = re.split("[=≈]", line)
        name = equation["name"].strip()
        if _SENTENCE_WORD.search(name):
            return None
        if any(_SEVERAL.search(part) for part in parts[1:-1]):  # x = 2 or x = -2
            return Bare("equation", line)
        return Bare("equation", line if len(parts) <= 2 else f"{name} = {parts[-1].strip()}")
    if math and len(line) <= _LONGEST_VALUE and "=" not in line and not line.endswith(_OPEN_END):
        return Bare("formula", line)
    return None


def bare_reply(text: str) -> Bare | None:
    """What a whole reply is, if it is an answer and nothing else: as ``bare_answer``, or a phrase of a few words."""
    text = text.strip()
    if len(text) > LONGEST_LINE or "\n" in text:
        return None
    found = bare_answer(text)
    if found is not None:
        return found
    phrase = text.rstrip(".。") if len(text.split()) <= 2 else text
    return Bare("phrase", phrase) if _is_phrase(phrase) else None


def _is_value(chain: str) -> bool:
    value = re.split("[=≈]", chain)[-1].strip()
    return 0 < len(value) <= _LONGEST_VALUE and not value.endswith(_OPEN_END) and not _NO_VALUE.search(value)


def _is_phrase(text: str) -> bool:
    """Whether a text is a few words that could name something, and no sentence, heading or greeting."""
    text = text.strip()
    cjk = any(map(unspaced, text))
    return (
        0 < len(text) <= (_LONGEST_CJK_PHRASE if cjk else _LONGEST_PHRASE)
        and len(text.split()) <= _MOST_WORDS
        and any(char.isalnum() for char in text)
        and _PUNCTUATION.search(text if cjk else text[-1]) is None
        and not any(pattern.match(text) for pattern in (_NOT_A_PHRASE, _STEP))
        and not _HEADING.fullmatch(text)
        and not _VERB.search(text)
    )

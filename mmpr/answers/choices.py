"""Multiple choice: the option that the truth is, and the options that an answer may choose.

The exact text of an option wins before everything, then comes a letter. An answer that may choose several options is
wrong when the truth is none of them, and in doubt when it is one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from mmpr.answers.judgement import Judgement
from mmpr.answers.text.option_letters import (
    index_of,
    is_explanation,
    letter,
    letter_and_text,
    letters,
    mentions,
    named_with_letter,
    only_names,
    unlabelled,
)
from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.sentences import (
    conclusion,
    hedge,
    is_refusal,
    predicate,
    sentences,
    statement_of,
    superlative,
    without_reason,
)
from mmpr.answers.text.words import contains_words
from mmpr.answers.text.wrapping import peel
from mmpr.answers.values.expressions import is_one_value
from mmpr.answers.values.ratios import parse_ratio

SameOption = Callable[[str, str], bool | None]
"""Called as (option, text): whether the text is the same answer as the option; None where that is in doubt."""

_STRONG_LETTER = re.compile(
    r"(?:(?:\b(?i:option|choice|answer|select|choose|pick|go with|go for|is|be)|选项|选|为|是)\s*+[:：]?+\s*+"
    r"[(\[]?+([A-Z])[)\]]?(?![A-Za-z0-9'])|[(\[]([A-Z])[)\]])"
)
_TRUE_LETTER = re.compile(
    r"[(\[]?+\s*+[A-Z]\s*+[)\]]?+\s*+[.:)]?|\(?[a-e]\)?|\([a-z]\)|(?:[Oo]ption|[Cc]hoice|选项?)\s*+[(\[]?[A-Za-z][)\]]?"
)
_TRUE_LETTERS = re.compile(r"\(?[A-H]\)?(?:\s*+(?:,|;|、|&|\band\b|和)\s*+(?:and\s++)?+\(?[A-H]\)?)++")
_LETTER_REFUSED = re.compile(
    r"^(?:is|was|isn't)\b.*\b(?:not|n't|wrong|incorrect|false)\b|^(?:or|not|wrong|incorrect|maybe|but)\b|\?$"
    r"|\bor [A-Z]\b",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    r"(?:it is |it's )?the (first|second|third|fourth|fifth|last) (?:option|choice|answer|one|statement)", re.IGNORECASE
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_SUBJECT = re.compile(r"(?:it|they)(?: will| would)? (.+?)\.?", re.IGNORECASE)
_SUBJECT_END = re.compile(r"(?<!\s)\s++(?:(?:is|are|was|were|because|since|as)\b|[-(])|[,：，]")
_COMPACT_LETTERS = re.compile(r"(?=[A-H]{2,6}$)A?B?C?D?E?F?G?H?")
_OR_ANOTHER = re.compile(r"\bor\b(?: [a-z]+){0,2} \(?[A-H]\b")
_DIGIT = re.compile(r"\d")
_ASIDE = re.compile(r"(?<!\s)\s*+\([^()]{2,60}\)$")
_WORD = re.compile(r"[A-Za-z]{3}")
_SHORT = 12  # characters behind a letter that may be more letters
_MINUS = re.compile(r"-(?![\s-])(?![A-Za-z]{2})")
_CANDIDATES = re.compile(r"(?<!\s)\s*+(?:,|;|/|、|\bor\b|\band\b|或者?|和)\s*+")
_NONE_OF_THEM = re.compile(
    r"(?:it is |it's )?(?:none|neither|not any)(?: of (?:the )?(?:above|these|them|options|choices|given options))?"
    r"(?: is (?:correct|right))?|(?:以上)?(?:都不是|均不是|都不对|没有正确(?:答案|选项))",
    re.IGNORECASE,
)
_NONE = re.compile(r"\b(?:none|neither|nor|no|not)\b|不|没|无|以上", re.IGNORECASE)
_TRUE_LETTER_WITH_TEXT = re.compile(r"(?:\([A-H]\)|[A-H]\s*+[.):])\s++(?![A-Z]\.)\S.*")


@remembered(4096)
def is_choice(truth: str) -> bool:
    """Whether a truth looks like the letter of an option, several letters, or a letter with its text."""
    return any(
        pattern.fullmatch(truth) for pattern in (_TRUE_LETTER, _TRUE_LETTER_WITH_TEXT, _TRUE_LETTERS, _COMPACT_LETTERS)
    )


class _Choice(NamedTuple):
    """The letters of the options that an answer may choose: one when it is clear, else several or none, and why."""

    names: frozenset[str]
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Options:
    """The texts of the options, and how a text is found among them; no texts when they are not known."""

    texts: tuple[str, ...]
    same: SameOption

    def has(self, name: str) -> bool:
        """Whether a letter may be that of an option."""
        return not self.texts or ord(name) - ord("A") < len(self.texts)

    def text(self, name: str) -> str:
        """The text of an option, or ``""`` where it is not known."""
        at = ord(name) - ord("A")
        return self.texts[at] if 0 <= at < len(self.texts) else ""

    def first(self, name: str) -> str:
        """The letter of the first option with the same text: either letter stands for it."""
        text = self.text(name)
        return _name(_places(self.texts)[0][text]) if text else name

    def exactly(self, text: str) -> str | None:
        """The letter of the option whose text this is, character by character or in another case."""
        if not self.texts:
            return None
        plain, folded = _places(self.texts)
        at = plain.get(text)
        if at is None and not letter(text):
            at = folded.get(text.casefold())
        if at is not None:
            return _name(at)
        several = letters(text) if "(" not in text else None
        if several is not None:
            named = [at for at, other in enumerate(self.texts) if letters(other) == several]
            return _name(named[0]) if len(named) == 1 else None
        return None

    def find(self, text: str | None) -> str | None:
        """The letter of the only option that a text is; None when it is none or several of them."""
        if not text or not self.texts:
            return None
        name = self.exactly(text)
        if name is not None:
            return name
        distinct = tuple(dict.fromkeys(self.texts))
        at = index_of(text, distinct, self.same)
        if at is None and _DIGIT.search(text) and (is_one_value(text) or parse_ratio(text)) and hedge(text) is None:
            # a value that differs from all options but one is that one
            found = [self.same(option, text) for option in distinct]
            at = found.index(None) if found.count(None) == 1 and found.count(False) == len(found) - 1 else None
        return None if at is None else _name(self.texts.index(distinct[at]))

    def named_in(self, text: str) -> frozenset[str]:
        """The letters of the options whose words stand in a text; a number there need not be the option."""
        return frozenset(
            _name(at)
            for at, other in enumerate(self.texts)
            if contains_words(text, other) and (_WORD.search(other) or not other.isascii())
        )


@lru_cache(maxsize=1024)
def _places(texts: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """Where each text of the options stands first, and where it does in any case."""
    backwards = list(enumerate(texts))[::-1]
    return {text: at for at, text in backwards}, {text.casefold(): at for at, text in backwards}


def _name(at: int) -> str:
    return chr(ord("A") + at)


def names_option(truth: str, options: Sequence[str], same_option: SameOption) -> bool:
    """Whether a truth is the letter of an option, letters of several, or an option's text.

    Where no options are known, any letter may be one. Nothing is inferred from the other options, as it is of answers.
    """
    known = _Options(_unlabelled(tuple(options)), same_option)
    if known.exactly(truth) is not None:
        return True
    name, several, both = letter(truth), letters(truth), letter_and_text(truth)
    if name is not None or several is not None:
        return all(known.has(one) for one in several or (name or "",))
    if index_of(truth, tuple(dict.fromkeys(known.texts)), same_option) is not None:
        return True
    return both is not None and known.has(both[0])


def choose(answer: str, truth: str, options: Sequence[str], rule: str, same_option: SameOption) -> Judgement | None:
    """Judge an answer as the choice of an option; None when the truth is neither a letter nor an option."""
    known = _Options(_unlabelled(tuple(options)), same_option)
    exact = known.exactly(truth)
    compact = _COMPACT_LETTERS.fullmatch(truth) is not None
    asked = options or rule == "multiple_choice" or compact or _TRUE_LETTERS.fullmatch(truth)
    several = letters(truth) if asked and exact is None else None
    if several is not None and known.find(truth) is None:
        judgement = _choose_several(answer, several, known)
        unread = judgement.right is None and compact and not (options or rule == "multiple_choice")
        return None if unread else judgement
    want, want_text = _truth_letter(truth, exact, known)
    if want is None:
        return None
    if answer == truth:
        return Judgement(True, "multiple_choice", "the same characters")
    if not options and want > "H" and answer.islower() and len(answer) == 1:
        return Judgement(False, "multiple_choice", f"the small letter {answer} against {want}")
    choice = _choice(answer, known, want, want_text)
    names = frozenset(map(known.first, choice.names))
    if names:
        listed = " or ".join(sorted(names))
        right: bool | None = known.first(want) in names
        if right and (choice.doubt or len(names) > 1):
            right = None
        elif not right and exact is not None and known.first(exact) in names:
            right = None  # a truth that is a letter and the text of another option
        return Judgement(right, "multiple_choice", f"{choice.doubt or listed} against {want}")
    if is_refusal(answer):
        return Judgement(False, "refusal", "says that there is no answer")
    if options and _NONE_OF_THEM.fullmatch(answer) and not any(map(_NONE.search, options)):
        return Judgement(False, "multiple_choice", "none of the options, which are known")
    if choice.doubt or not want_text:
        return Judgement(None, "multiple_choice", choice.doubt or "no option")
    if same_option(want_text, answer) is False:
        return Judgement(False, "multiple_choice", "no option")
    named = known.named_in(answer) if hedge(answer) is None else frozenset()
    if named and known.first(want) not in map(known.first, named) and want not in mentions(answer):
        return Judgement(False, "multiple_choice", f"a sentence with {' and '.join(sorted(named))} against {want}")
    return Judgement(None, "multiple_choice", "perhaps an option")


def _choose_several(answer: str, several: frozenset[str], options: _Options) -> Judgement:
    """Judge letters against those of a truth with several; the texts of options count as their letters."""
    found = letters(answer) or letters(statement_of(answer)) or letters(peel(_ASIDE.sub("", without_reason(answer))))
    one = letter(answer)
    both = letter_and_text(answer) if found is None and one is None else None
    if one is not None or both is not None:
        found = found or frozenset(one or (both[0] if both else ""))
    parts = [options.find(part) for part in _CANDIDATES.split(answer)] if found is None else []
    if parts and None not in parts:
        found = frozenset(part for part in parts if part)
    if found is None:
        return Judgement(None, "multiple_choice", f"no letters, wanted {_listed(several)}")
    return Judgement(found == several, "multiple_choice", f"letters {_listed(found)}, wanted {_listed(several)}")


def _listed(found: frozenset[str]) -> str:
    return "".join(sorted(found))


@lru_cache(maxsize=1024)
def _unlabelled(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(option.split()) for option in unlabelled(options))


def _truth_letter(truth: str, exact: str | None, options: _Options) -> tuple[str | None, str]:
    """The letter and the text of the option that the truth is; None and an empty text when it is none.

    A bare capital letter of an option is that option, whatever texts there are: so the data sets tell their truths.
    """
    name = letter(truth)
    if name is not None and options.has(name) and (exact is None or truth.strip("()") == name):
        return name, options.text(name)
    name = exact or options.find(truth)
    if name is not None:
        return name, options.text(name)
    both = letter_and_text(truth)
    return both if both is not None and options.has(both[0]) else (None, "")


def _choice(answer: str, options: _Options, want: str, want_text: str) -> _Choice:
    """The options that an answer may choose."""
    short = without_reason(answer)
    exact = options.exactly(answer) or options.exactly(short)
    name = letter(answer)
    if exact is not None:
        if name is None or not options.has(name) or answer.strip("()") != name:
            return _Choice(frozenset(exact))
        doubt = "a letter that is a text, too" if options.first(name) != options.first(exact) else ""
        return _Choice(frozenset((exact, name)), doubt)
    name = name or _ordinal(short, options.texts)
    if name is None and not (hedge(answer, bounds=False) or "").startswith("hedge"):
        name = letter(short)
    if name is not None:
        return _Choice(frozenset(name))
    both = letter_and_text(answer)
    if both is not None and options.has(both[0]):
        return _letter_with_text(*both, options, want_text)
    several = letters(answer) or frozenset()
    if len(several) > 1 and max(several) <= "H" and all(map(options.has, several)):
        return _Choice(several, "several letters")
    if options.texts:
        name = named_with_letter(answer, options.texts, options.same) or _said(answer, options)
        if name is not None:
            return _Choice(frozenset(name))
    elif want_text and options.same(want_text, answer):
        return _Choice(frozenset(want))
    last = letter(conclusion(answer)) if len(sentences(answer)) > 1 else None
    found = {one or two for one, two in _STRONG_LETTER.findall(answer)} or ({last} if last else set())
    others = frozenset(filter(options.has, mentions(answer)))
    reason = hedge(answer, bounds=False) or ""
    if len(found) == 1 and others <= found and not reason:
        return _Choice(frozenset(found))
    if others and not reason.startswith("negation"):
        return _Choice(others, reason or "a letter in a sentence")
    parts = [options.find(part) for part in _CANDIDATES.split(answer)]
    if len(parts) > 1 and None not in parts:
        return _Choice(frozenset(part for part in parts if part), "several options")
    return _Choice(frozenset(), reason)


def _said(answer: str, options: _Options) -> str | None:
    """The letter of the option whose text an answer is, or says in a sentence around it."""
    name = options.find(answer)
    subject = _SUBJECT.fullmatch(without_reason(answer)) if name is None else None
    if subject is not None:
        name = options.find(subject[1])
    said = predicate(answer) if name is None else None
    if said is not None:
        name = letter(said) or options.find(said)
    return name or options.find(superlative(answer))


def _ordinal(answer: str, options: Sequence[str]) -> str | None:
    """C of "the third option"; None for other texts."""
    found = _ORDINAL.fullmatch(answer)
    if not found or (found[1].lower() == "last" and not options):
        return None
    return _name(len(options) - 1 if found[1].lower() == "last" else _ORDINALS.index(found[1].lower()))


def _letter_with_text(name: str, rest: str, options: _Options, want_text: str) -> _Choice:
    """The letter of "B. Paris" when its text does not speak against it; else what it may choose, and why."""
    readings = _readings(rest)
    if any(options.first(exact) == options.first(name) for text in readings if (exact := options.exactly(peel(text)))):
        return _Choice(frozenset(name))
    other, several = letter(rest), letters(f"{name}, {rest}") if len(rest) < _SHORT else None
    if (other is not None and other != name) or several:
        meant = {name, other, options.find(peel(rest)), *(several or ())}
        return _Choice(frozenset(one for one in meant if one and options.has(one)), "several letters")
    if _LETTER_REFUSED.search(rest) and not _OR_ANOTHER.search(rest):
        return _Choice(frozenset(), "taken back")
    explained = is_explanation(rest)
    others = frozenset(one for one in mentions(rest) - {name} if options.has(one))
    if options.texts:
        for reading in readings:
            texts = [
                reading,
                peel(sentences(reading)[0]),
                predicate(reading),
                _SUBJECT_END.split(reading, maxsplit=1)[0],
            ]
            at = next((at for text in texts if text and (at := options.find(peel(text))) is not None), None)
            if at is not None and options.first(at) == options.first(name):
                return _Choice(frozenset(name))
            if at is not None and reading == readings[-1]:
                return _Choice(frozenset((name, at)), f"the letter {name} with the text of {at}")
        if not explained and not only_names(rest, options.texts, ord(name) - ord("A")):
            meant = {name} | options.named_in(rest) | others
            return _Choice(frozenset(meant), f"the letter {name} with a text that is not its option")
    elif want_text and not explained and not any(options.same(want_text, reading) for reading in readings):
        return _Choice(frozenset(name), f"the letter {name} with another text")
    return _Choice(frozenset((name, *others)), "several letters" if others else "")


def _readings(rest: str) -> list[str]:
    """The text behind a letter: ``-5`` has a minus sign, ``- Paris`` a dash, and ``- 5`` may have either."""
    bare = rest.lstrip("- ")
    if not rest.startswith("-") or _MINUS.match(rest):
        return [rest]
    return [f"-{bare}", bare]

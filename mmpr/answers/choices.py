"""Multiple choice: the option that the truth is, and the option that an answer chooses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mmpr.answers.compare import Judgement
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
from mmpr.answers.text.sentences import (
    conclusion,
    hedge,
    predicate,
    sentences,
    statement_of,
    superlative,
    without_reason,
)
from mmpr.answers.text.wrapping import peel

SameOption = Callable[[str, str], bool]
"""Called as (option, text): whether the text is the same answer as the option."""

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
_TRUE_LETTER_WITH_TEXT = re.compile(r"(?:\([A-H]\)|[A-H]\s*+[.):])\s++(?![A-Z]\.)\S.*")


def is_choice(truth: str) -> bool:
    """Whether a truth looks like the letter of an option, several letters, or a letter with its text."""
    return any(pattern.fullmatch(truth) for pattern in (_TRUE_LETTER, _TRUE_LETTER_WITH_TEXT, _TRUE_LETTERS))


def choose(answer: str, truth: str, options: Sequence[str], rule: str, same_option: SameOption) -> Judgement | None:
    """Judge an answer as the choice of an option; None when the truth is neither a letter nor an option."""
    options = unlabelled(options)
    several = letters(truth) if options or rule == "multiple_choice" or _TRUE_LETTERS.fullmatch(truth) else None
    if several is not None and index_of(truth, options, same_option) is None:
        found = letters(answer) or letters(statement_of(answer))
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


def _truth_letter(truth: str, options: Sequence[str], same_option: SameOption) -> tuple[str | None, str]:
    """The letter and the text of the option that the truth is; None and an empty text when it is none."""
    at = index_of(truth, options, same_option) if options else None
    name = letter(truth)
    if name is not None and (not options or ord(name) - ord("A") < len(options)):
        return name, options[ord(name) - ord("A")] if options else ""
    if at is not None:
        return chr(ord("A") + at), options[at]
    both = letter_and_text(truth)
    if both is not None and (not options or ord(both[0]) - ord("A") < len(options)):
        return both
    return None, ""


def _answer_letter(
    answer: str, options: Sequence[str], want: str, want_text: str, same_option: SameOption
) -> tuple[str | None, str]:
    """The option an answer chooses, or None and why."""
    name = letter(answer) or _ordinal(answer, options)
    if name is None and not (hedge(answer, bounds=False) or "").startswith("hedge"):
        name = letter(without_reason(answer))
    if name is not None:
        return name, ""
    both = letter_and_text(answer)
    if both is not None and not (options and ord(both[0]) - ord("A") >= len(options)):
        return _letter_with_text(*both, options, want_text, same_option)
    if options:
        name = named_with_letter(answer, options, same_option)
        if name is not None:
            return name, ""
        at = index_of(answer, options, same_option)
        subject = _SUBJECT.fullmatch(without_reason(answer)) if at is None else None
        if subject is not None:
            at = index_of(subject[1], options, same_option)
        said = predicate(answer) if at is None else None
        if said is not None:
            name = letter(said)
            if name is not None:
                return name, ""
            at = index_of(said, options, same_option)
        most = superlative(answer) if at is None else None
        if most is not None:
            at = index_of(most, options, same_option)
        if at is not None:
            return chr(ord("A") + at), ""
    elif want_text and same_option(want_text, answer):
        return want, "the option's text"
    last = letter(conclusion(answer)) if len(sentences(answer)) > 1 else None
    found = {one or two for one, two in _STRONG_LETTER.findall(answer)} or {last} - {None}
    others = mentions(answer)
    reason = hedge(answer, bounds=False)
    if len(found) == 1 and others <= found and reason is None:
        return found.pop(), ""
    return None, reason or ("several letters" if len(others) > 1 else "no option")


def _ordinal(answer: str, options: Sequence[str]) -> str | None:
    """C of "the third option"; None for other texts."""
    found = _ORDINAL.fullmatch(answer)
    if not found or (found[1].lower() == "last" and not options):
        return None
    return chr(ord("A") + (len(options) - 1 if found[1].lower() == "last" else _ORDINALS.index(found[1].lower())))


def _letter_with_text(
    name: str, rest: str, options: Sequence[str], want_text: str, same_option: SameOption
) -> tuple[str | None, str]:
    """The letter of "B. Paris" when its text does not speak against it; else None and why."""
    if letter(rest) not in (None, name) or (letters(f"{name}, {rest}") and len(rest) < 12):
        return None, "several letters"
    explained = is_explanation(rest)
    reason = "taken back" if _LETTER_REFUSED.search(rest) else None
    if options:
        texts = [rest, peel(sentences(rest)[0]), predicate(rest), _SUBJECT_END.split(rest, maxsplit=1)[0]]
        at = next(
            (at for text in texts if text and (at := index_of(text, options, same_option)) is not None),
            None,
        )
        if at is not None:
            if chr(ord("A") + at) == name:
                return name, ""
            return None, f"the letter {name} with the text of {chr(ord('A') + at)}"
        if not explained and not only_names(rest, options, ord(name) - ord("A")):
            return None, f"the letter {name} with a text that is not its option"
    elif want_text and not explained:
        return (name, "") if same_option(want_text, rest) else (None, f"the letter {name} with another text")
    if reason or (mentions(rest) - {name}):
        return None, reason or "several letters"
    return name, ""

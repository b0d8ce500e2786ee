"""Option letters in a text (``B``, ``(b)``, ``Option B: Paris``), and which option a text is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.words import same_text, words

_ALONE = re.compile(r"[(\[{<【]?+\s*+(?P<a>[A-Za-z])\s*+[)\]}>】]?+\s*+[.:,;、)]?+(?:(?<=\s)only|\s++only)?")
_NAMED = re.compile(
    r"(?:(?:the\s++)?(?:(?:correct|right|best|final)\s++)?(?:option|choice|answer|letter|alternative|statement|figure|image|picture|graph)s?\s*+(?:is|:)?+\s*+(?:(?:option|choice)\s++)?|(?:[故应應]该?)?(?:选项|选择|选)|答案[是为]?|it\s++is\s++|it's\s++)"
    r"\s*+[(\[]?+(?P<a>[A-Za-z])[)\]]?+\s*+(?:项|选项)?+\s*+[.:,、)]?",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:(?:option|choice|answer|选项|选)\s*+[:：]?+\s*+)?(?:[(\[]\s*+(?P<a>[A-Za-z])\s*+[)\]]\s*+[.:、,]?|(?P<b>[A-Z])\s*+[.:、)）。]|(?P<c>[A-Z])\s++(?:=|(?=-)|(?=[\u4e00-\u9fff])|(?=\()|(?=because\b|since\b))|(?P<d>[A-Z])\s*+[,;]|(?P<e>[a-z])\s*+[.)](?=\s))\s*+(?P<rest>[^\s_].*)",
    re.IGNORECASE,
)
_NAMED_LEADING = re.compile(
    r"(?:option|choice|选项)\s++[(\[]?(?P<a>[A-Z])[)\]]?(?:\s*+[.:,、]\s++|\s++)(?P<rest>\S.*)", re.IGNORECASE
)
_TRAILING = re.compile(
    r"(?P<rest>\S.*?)(?<!\s)\s*+(?:[(\[]\s*+(?:(?:option|choice|answer)\s++)?(?P<a>[A-Z])\s*+[)\]]|[,-]\s*+(?:option|choice)\s++(?P<b>[A-Z]))",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"(?:选项?)?[(\[]?(?P<a>[A-Z])[)\]]?\s*+(?:选项|项)?(?:是?(?:正确|对)的?)?(?<=[项确对的])"
    r"|(?:[A-Za-z ]{3,60}\bthat\s++)?(?:(?i:option|choice|answer|statement|figure|graph|image)\s++)?"
    r"[(\[]?(?P<b>[A-Z])[)\]]?\s++(?:is|would be|looks"
    r"|seems to be|must be)\s++(?:the\s++)?(?:correct|right|best|true|answer|final)(?:\s++\w++){0,2}"
)
_MENTION = re.compile(
    r"(?<![A-Za-z0-9'’∠△])(?:[(\[]([A-Za-z])[)\]]|([B-HJ-Z])(?![A-Za-z0-9'’])|(A)(?=\s*+(?:$|[.,;:)\]]|is\b|or\b|and\b|项)))"
)
_SET = re.compile(r"[(\[{]?+\s*+[A-Z](?:(?:\s*+(?:[,;、&和]|and)\s*+|\s++)(?:and\s++)?[A-Z])++\s*+[)\]}]?|[A-Z]{2,8}")
_IN_BRACKETS = re.compile(r"\(([A-Z])\)")
_CHOSEN = re.compile(r"^(?:[故应應]?选[择项]?[:：]?|both\s|(?:options?|choices?|statements?)\s)", re.IGNORECASE)
_BECAUSE = re.compile(r"(?:[,;]?\s*+(?:because|since|as|for|which|given)\b|因为|由于|,?\s*+so\b)", re.IGNORECASE)
_LABEL = re.compile(r"\s*+[(\[]?([A-Za-z])[)\].:、)]\s*+(\S.*)")


@remembered(4096)
def letter(text: str) -> str | None:
    """The one letter that a text is: ``B``, ``(b)``, ``Option B.``, ``选B``; None for any other text."""
    if len(text) > 60:
        return None
    found = _ALONE.fullmatch(text) or _NAMED.fullmatch(text) or _SAID.fullmatch(text)
    return next(filter(None, found.groups())).upper() if found else None


@remembered(4096)
def letter_and_text(text: str) -> tuple[str, str] | None:
    """A letter and the text of its option (``B. Paris``, ``(B) 12 cm``, ``Paris (B)``); None for any other text.

    A dash stays with the text: ``(B) -5`` has a minus sign.
    """
    found = _LEADING.fullmatch(text) or _NAMED_LEADING.fullmatch(text)
    if found:
        groups = found.groupdict()
        name = next(groups[key] for key in "abcde" if groups.get(key))
        return name.upper(), groups["rest"].strip()
    found = _TRAILING.fullmatch(text)
    if found:
        return (found["a"] or found["b"]).upper(), found["rest"].strip().rstrip(",-").strip()
    return None


@remembered(4096)
def letters(text: str) -> frozenset[str] | None:
    """The letters of ``A, C``, ``AC`` or ``A and C``; None when the text is no such list."""
    text = _IN_BRACKETS.sub(r" \1 ", _CHOSEN.sub("", text)).strip()
    if not _SET.fullmatch(text):
        return None
    found = [char for char in text if "A" <= char <= "Z"]
    return frozenset(found) if len(set(found)) == len(found) else None


def mentions(text: str) -> frozenset[str]:
    """The option letters in a sentence, without the article "A" and the pronoun "I"."""
    return frozenset((found[1] or found[2] or found[3]).upper() for found in _MENTION.finditer(text))


def unlabelled(choices: Sequence[str]) -> tuple[str, ...]:
    """The options' texts without the letters that some sources write into them."""
    found = [_LABEL.fullmatch(choice) for choice in choices]
    if all(one and one[1].upper() == chr(ord("A") + at) for at, one in enumerate(found)):
        return tuple(one[2] for one in found if one)
    return tuple(choices)


def is_explanation(text: str) -> bool:
    """Whether what follows a letter only explains it."""
    return _BECAUSE.match(text) is not None


def index_of(text: str, choices: Sequence[str], same: Callable[[str, str], bool | None]) -> int | None:
    """The index of the only option that a text is, by ``same`` (option, text); None when none or several are."""
    exact = [at for at, choice in enumerate(choices) if choice.strip().casefold() == text.strip().casefold()]
    if len(exact) == 1:
        return exact[0]
    found = [at for at, choice in enumerate(choices) if same(choice, text)]
    if not found and len(choices) > 1:
        found = [at for at, part in enumerate(distinctive(tuple(choices))) if part and same_text(part, text)]
    return found[0] if len(found) == 1 else None


def named_with_letter(text: str, choices: Sequence[str], same: Callable[[str, str], bool | None]) -> str | None:
    """``C`` of ``C 18`` where the third option is 18; None when letter and option do not belong together."""
    name, _, rest = text.partition(" ")
    at = ord(name) - ord("A") if len(name) == 1 else -1
    return name if rest and 0 <= at < len(choices) and same(choices[at], rest) else None


def only_names(text: str, choices: Sequence[str], at: int) -> bool:
    """Whether a text has the words of that option in it, and of no other option."""
    have = f" {' '.join(words(text))} "
    named = [i for i, choice in enumerate(choices) if f" {' '.join(words(choice))} " in have]
    return named == [at]


@lru_cache(maxsize=1024)
def distinctive(choices: tuple[str, ...]) -> tuple[str, ...]:
    """The options without the words that all of them begin or end with: "Atlantic" of "Atlantic Ocean"."""
    split = [choice.split() for choice in choices]
    shortest = min(map(len, split))
    start = 0
    while start < shortest - 1 and len({words[start].casefold() for words in split}) == 1:
        start += 1
    end = 0
    while end < shortest - start - 1 and len({words[-1 - end].casefold() for words in split}) == 1:
        end += 1
    return tuple(" ".join(words[start : len(words) - end]) for words in split) if start or end else ()

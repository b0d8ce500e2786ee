"""Whether a phrase that names an answer means it: it is not refused, assumed, taken back or on a condition."""

from __future__ import annotations

import re

from mmpr.answers.final_answers.found import Naming
from mmpr.answers.final_answers.languages import LANGUAGES, words
from mmpr.answers.text.characters import lower, plain

_CLAUSE = 160  # characters before a naming in which its clause begins
_SENTENCE_LENGTH = 160  # characters of the sentence that follows a naming
_BEHIND = 60  # characters behind a naming that may take it back


def alternatives(kind: str) -> str:
    """The words of a kind in all languages; those with spaces between words end where a word ends."""
    return rf"(?:(?:{words(kind, True)})(?![^\W\d_])|(?:{words(kind, False)}))"


def apart(kind: str) -> str:
    """The same where no other word goes on before them."""
    return rf"(?:(?:^|[\s,，(])(?:{words(kind, True)})(?![^\W\d_])|(?:{words(kind, False)}))"


_CLAUSE_START = re.compile(r"[.;:!?。；：！？\n](?=[^\d]|$)|[,，](?=若|如果|当|否则|假如)")
_CONDITION = re.compile(
    rf"[\s\-*•(（\"“]*+(?:(?:and|but|or|或者|而|但|и|y|et|und|e)[ \t,]*+)?{alternatives('condition')}"
)
_CONCLUDED = re.compile(rf"(?:^|[\s,，])(?:(?:{words('so', True)})[ \t,，]|(?:{words('so', False)}))")
_ASSUMED = re.compile(rf"{apart('assumed')}(?:[^.;。；]{{0,60}})$")
_ASSUMED_START = re.compile(rf"[\s\-*•(（]*+(?:(?:now|so|first|let)[ \t,]++(?:me |us )?)?{alternatives('assumed')}")
_REFUSED = re.compile(apart("refused"))
_NEGATED = re.compile(
    r"(?:^|[\s(])(?:not|cannot|never|neither|nor|rules? out|eliminated?|excluded?)\b|n't\b"
    r"|(?<!不符合题意)不(?!正确的|符合)|没|非|排除"
    r"|(?:^|\s)(?:n'est pas|nicht|kein|no es|não|non|не)(?![^\W\d_])|ません|ではない|아니|않"
)
REFUSED_BEHIND = re.compile(
    rf"[?？吗]|{'|'.join(language.refused for language in LANGUAGES if language.code in ('ja', 'ko'))}"
)
REFUSED_BEFORE = re.compile(rf"(?:^|[\s(]){alternatives('refused')}[ \t(*]*+$")
_SENTENCE = re.compile(r"[^\n。]{0,160}?(?:[.](?=\s|$)|[。\n]|$)")
_UNLESS = re.compile(
    r"\b(?:unless|only if|provided that|assuming that|in which case)\b|除非|前提是|es sei denn|à moins que"
    r"|a menos que|если только"
)
_TAKEN_BACK = re.compile(
    rf"[\s*_.]*+(?:[,，(（]?[ \t]*+(?:which|that|who|这|这个选项|该项)?[ \t]*+(?:is|was|would be|are|是|也|ist|est|es|é"
    rf"|è)?[ \t]*+{alternatives('refused')}"
    rf"|[,，]?[ \t]*+(?:unless|only if|assuming|if and only if|除非|前提是))"
)


def given(text: str, naming: Naming) -> bool:
    """Whether a naming gives its answer: it is not refused, assumed, taken back or on a condition."""
    window = lower(plain(text[max(0, naming.start - _CLAUSE) : naming.start]))
    starts = [found.end() for found in _CLAUSE_START.finditer(window)]
    clause = window[starts[-1] :] if starts else window
    supposed = _ASSUMED.search(clause) or _ASSUMED_START.match(clause) or _CONDITION.match(clause)
    if supposed and not _CONCLUDED.search(clause, supposed.start() + 1):
        return False
    if naming.letters:
        return _TAKEN_BACK.match(lower(plain(text[naming.end : naming.end + _BEHIND]))) is None
    if text[max(0, naming.end - 8) : naming.end].rstrip(" *_")[-1:] in (":", "：", "="):
        return True  # what follows a label is its answer
    rest = _SENTENCE.match(lower(text[naming.end : naming.end + _SENTENCE_LENGTH]))
    return rest is None or _UNLESS.search(rest.group()) is None


def refused(text: str) -> bool:
    """Whether a text says no to something."""
    return _REFUSED.search(lower(plain(text))) is not None


def negated(text: str) -> bool:
    """Whether a text negates what it says; one that speaks of something false may say what is false."""
    return _NEGATED.search(lower(plain(text))) is not None

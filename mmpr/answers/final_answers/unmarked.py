"""Answers that nothing marks: the option called right or arrived at, and lines that are nothing but an answer."""

from __future__ import annotations

import re

from mmpr.answers.final_answers.bare import Bare, bare_answer, bare_reply
from mmpr.answers.final_answers.clip import OPTION_TEXT, finish, last_sentence
from mmpr.answers.final_answers.found import Found
from mmpr.answers.final_answers.languages import words
from mmpr.answers.final_answers.marked import option_of
from mmpr.answers.final_answers.phrases import namings
from mmpr.answers.final_answers.stance import given, negated, refused
from mmpr.answers.text.characters import plain

SHORT_REPLY = 200  # characters of a reply that is nothing but an answer
_MOST_MARKERS = 16  # tried from the last one back: a response with more of them and no answer behind any has none
CONDITIONAL = re.compile(rf"[\s*_]*+(?:{words('condition')})(?![^\W\d_]|$)", re.IGNORECASE)

_ARRIVES = (
    r"(?:correspond(?:s|ing)?[ \t](?:to|with)|match(?:es)?(?:[ \t]with)?|closest[ \t]to|consistent[ \t]with"
    r"|agrees?[ \t]with|leads?[ \t]to|points?[ \t]to|equals?|gives|yields|namely|i\.e\.,?|is|as|in|selects?|describes?"
    r"|supports?|(?:it|this|that|which|answer|these|value|result)(?:'s\b|[ \t](?:is|gives|means|suggests|indicates))"
    r"|对应|對應|符合|与|與|和|即|就是|也就是|为|是|应为|应是|只有|接近|属于|选中|に|は|と"
    r"|correspond à|entspricht|corresponde a|corrisponde a|соответствует)"
)
_OPTION_WORD = (
    r"(?:the[ \t]|la[ \t]|a[ \t])?(?:answer[ \t])?"
    r"(?:option|choice|statement|figure|graph|opción|opção|opzione|вариант|选项|選項|選択肢)(?:的|是|为)?"
)
_MARKUP = r"[ \t*_`$“\"「]*+"
_SAYS_SO = r"(?:一致|相符|相同|对应|吻合|符合|选项|項|项|に該当します|に該当する|である|です)?"
_END = rf"(?:[.．:：、)）][ \t]*+[^\n。]{{0,60}})?[)）\]】*_`$”\"」]*+[ \t]*+{_SAYS_SO}[.。!！]?[ \t*_]*+$"
_ALONE = r"[(（]?(?P<letter>[A-Z])(?![A-Za-z])[)）]?[*_`$]*+(?:选项|项|選項)?[.。]?[ \t]*+$"
_ARRIVED = (
    re.compile(  # which corresponds to option C
        rf"{_ARRIVES}[ \t:：]*+{_MARKUP}{_OPTION_WORD}[ \t:：]*+{_MARKUP}[(（\[]?"
        rf"(?P<letter>[A-Z](?![A-Za-z0-9_'’])){_END}",
        re.IGNORECASE,
    ),
    re.compile(  # the area is (D)
        rf"\b(?:is|are|equals|be|est|ist|es|é|è)(?:[ \t:]|\*)++{_MARKUP}\((?P<letter>[A-Z])\)[*_`$]*+[.]?[ \t]*+$"
    ),
    re.compile(  # therefore, D
        rf"(?:^|[.。!！;；][ \t]*+|[,，][ \t]?)(?i:{words('so')})(?:[,，、:：]?[ \t]*+)"
        rf"{_MARKUP}(?:(?i:option|choice)[ \t])?{_ALONE}"
    ),
    re.compile(rf"(?:应|就|应当|應|应该|也就)(?:为|是|選|选)[ \t]*+(?:选项)?[ \t]*+{_ALONE}"),
    re.compile(  # it must be D
        rf"(?:^|[\s,])(?:[Ii]t|[Tt]his|[Tt]hat|which)(?:'s|[ \t](?:is|(?:must|would|should) be))[ \t]{_ALONE}"
    ),
    re.compile(  # the description in option B fits the picture
        r"\b(?i:option|choice|statement|figure|graph)[ \t]\(?(?P<letter>[A-Z])\)?[ \t]"
        r"(?:fits|matches|satisfies|works|remains|best|describes|agrees"
        r"|is[ \t](?:the[ \t](?:only|one|best)|supported|consistent|left))\b[^\n]{0,80}$"
    ),
)


def called_right(text: str) -> Found | None:
    """The one option that is called right; not sure when there are several."""
    named = [mark for mark in namings(text) if mark.kind == "right" and given(text, mark)][-_MOST_MARKERS:]
    said = {mark.letters for mark in named}
    if not said:
        return None
    if len(said) > 1:
        return Found(", ".join(sorted(said)), False, "several options are called right")
    return Found(option_of(text, named[-1]), True, "the option that is called right")


def arrived_at(text: str) -> Found | None:
    """The option that the last sentence arrives at: "which corresponds to option C", "the area is (D)"."""
    line = plain(text.rstrip().rpartition("\n")[2][-SHORT_REPLY * 2 :]).strip()
    sentence = last_sentence(line)
    for pattern in _ARRIVED:
        found = pattern.search(line)
        if found is None or negated(sentence[: max(0, found.start("letter") - len(line) + len(sentence))]):
            continue
        if CONDITIONAL.match(sentence):
            return Found(found["letter"], False, "a condition")
        rest = OPTION_TEXT.match(line, found.end("letter"))
        said = finish(line[rest.end() :]) if rest else None
        answer = f"{found['letter']}. {said}" if said else found["letter"]
        return Found(answer, True, "the option that the last sentence arrives at")
    return None


_POLITE = re.compile(
    r"(?:let me know|i hope|hope this|feel free|please let|if you (?:have|need)|thank|note that you|希望"
    r"|如有|如果您?还?有|祝)",
    re.IGNORECASE,
)
_RULE = re.compile(r"(?:[-*_=#~]{2,}+|[\s.。])++")
_POLAR_REPLY = re.compile(
    r"(?:yes|no|true|false|是的|不是|不|没有|有|对|oui|non|ja|nein|sí|sim|não|да|нет)[,，.。;；](?!\d)", re.IGNORECASE
)
_MOST_LINES = 40  # in which the second option of a list stands, if the first line is its first
_LONGEST_POLITE = 200  # characters of such a sentence
_MOST_POLITE = 8  # lines at the end that are polite or empty of content
_FULL_STOPS = tuple(".。．!！")
_NO_CONTENT = frozenset(("```", "\\[", "\\]", "$$"))


def without_politeness(text: str) -> str:
    """A text without the polite lines, sentences and rules at its end."""
    text = text.rstrip()
    for _ in range(_MOST_POLITE):
        rest, _newline, line = text.rpartition("\n")
        end = line[-_LONGEST_POLITE:]
        said = last_sentence(end)
        if len(said) < len(end.strip()) and _POLITE.match(said):
            text = text[: -len(said)].rstrip()
        elif rest.strip() and (_POLITE.match(line.strip("*_ ")) or _RULE.fullmatch(line)):
            text = rest.rstrip()
        else:
            break
    return text


def _lines(text: str) -> list[str]:
    """The lines of a text that have content; the lines of a display are one."""
    found: list[str] = []
    opening = ""
    for line in map(str.strip, text.split("\n")):
        if opening:
            found[-1] += line
            opening = "" if line.endswith(opening) else opening
        elif line in (r"\[", "$$"):
            found.append(line)
            opening = r"\]" if line == r"\[" else "$$"
        elif line and line not in _NO_CONTENT:
            found.append(line)
    return found


def bare_lines(text: str) -> Found | None:
    """An answer that stands alone: the whole reply, the last line, or the first line before an explanation."""
    lines = _lines(text)
    if not lines:
        return None
    if len(lines) == 1:
        reply = bare_reply(lines[0])
        if reply is not None and reply.kind == "phrase" and refused(reply.text):
            return None
        if reply is None:
            polar = _POLAR_REPLY.match(lines[0])
            return Found(finish(lines[0]), True, "a yes or no") if polar and len(lines[0]) <= SHORT_REPLY else None
        return Found(finish(reply.text), True, "the whole reply")
    last, before, first = bare_answer(lines[-1]), bare_answer(lines[-2]), bare_answer(lines[0])
    if last is not None and last.kind == "option" and _follows(before, last):
        return (
            None if first is None or first.kind == "option" else Found(first.text, False, "options behind a bare line")
        )
    if last is not None and before is not None and last.kind == before.kind != "equation" and not _same(last, before):
        return Found(f"{before.text}, {last.text}", False, "several bare lines")
    if first is not None and first.kind not in ("letter", "option", "number", "word"):
        first = None
    if last is not None and first is not None and len(lines) > 2 and not _same(first, last) and first.kind == last.kind:
        return Found(last.text, False, "two bare lines")
    if last is not None:
        return Found(finish(last.text), True, "the last line")
    explained = (
        len(" ".join(lines[1:]).split()) > 4
        or len("".join(lines[1:])) > 20
        or any(line.endswith(_FULL_STOPS) for line in lines[1:])
    )
    listed = (
        first is not None and first.label and any(_follows(first, bare_answer(line)) for line in lines[1:_MOST_LINES])
    )
    if first is not None and explained and not listed:
        return Found(finish(first.text), True, "the first line")
    return None


def _follows(before: Bare | None, after: Bare | None) -> bool:
    """Whether two options are neighbours in a list of options."""
    if before is None or after is None or not before.label or not after.label:
        return False
    return ord(after.label) == ord(before.label) + 1


def _same(one: Bare, two: Bare) -> bool:
    return one.text.strip("()[]. ") == two.text.strip("()[]. ") or bool(one.label and one.label == two.label)

"""Phrases that name a final answer: where they stand in a text, in any language of ``languages.py``.

One pass finds the words; what stands around each of them tells whether it names an answer. Every look around is
bounded, so that a text of any length takes linear time.
"""

from __future__ import annotations

import functools
import re

from mmpr.answers.final_answers.found import Naming
from mmpr.answers.final_answers.languages import LANGUAGES, words
from mmpr.answers.final_answers.stance import REFUSED_BEFORE, REFUSED_BEHIND, alternatives, refused
from mmpr.answers.text.characters import lower, plain, unspaced

_BEFORE = 110  # characters before a word that are looked at
_SHORT_LINE = 24  # the same before a label that is no name of an answer
_LINE_MARKS = " *_#>-"
_LINE = 48  # characters that may stand before a label on its line
_MOST_MENTIONS = 3  # options before a verdict that it may be about
_MOST_WORDS = 120  # that may name an answer, looked at from the last one back


# --- pieces of patterns -----------------------------------------------------------------------------------------------


_BE, _ADVERB = alternatives("be"), alternatives("adverb")
_OPTION_WORD = "|".join(sorted(words("option").replace("|的", "").split("|"), key=lambda word: (-len(word), word)))
_NAME_WORD = "|".join(sorted(f"{_OPTION_WORD}|{words('answer')}".split("|"), key=lambda word: (-len(word), word)))
_ADVERBS = rf"(?:[ \t,、]*+{_ADVERB}){{0,3}}+"
_OPEN = r"[(\[【「“\"'‘*_`$< \t]{0,8}+(?:\\(?:\(|(?:text|textbf|mathbf|mathrm|boxed)\{[(\[*]{0,2}+))?[ \t]{0,4}+"
_CLOSE = r"[)\]】」”\"'’*_`$}]{0,8}+"
_LETTER_END = r"(?![A-Za-z0-9_])(?!['’][a-z])(?!\.[A-Z])"
_LIST = rf"[A-Z](?:[ \t]?(?:[、,&和]|,?[ \t]?and\b)[ \t]?[A-Z]{_LETTER_END})*+"
_LETTERS = rf"(?:{_LIST}|[A-H]{{2,6}}|(?<=\()[a-h](?=\))){_LETTER_END}"

_STEMS = frozenset(word.rstrip("*") for word in words("verdict").split("|") if word.endswith("*"))
_CHOSEN = frozenset(words("chosen").split("|"))
_ROLES: dict[str, set[str]] = {}
for _role, _kind in (
    *((kind, kind) for kind in ("answer", "label", "option", "choose", "verdict")),
    ("verdict", "answer"),
):
    for _word in words(_kind).split("|"):
        _ROLES.setdefault(_word.rstrip("*"), set()).add(_role)
_ANSWER_WORDS = frozenset(words("answer").split("|"))
_KEY = re.compile("|".join(map(re.escape, sorted(_ROLES, key=lambda word: (-len(word), word)))))

_MARKS_BEHIND = r"[ \t]*+(?P<close>[*_`\"'”’」』】\])}]{0,6}+)[ \t]*+"
_LINK = re.compile(
    rf"(?:[ \t]++(?:{words('final', True)}|{words('right', True)})(?![^\W\d_])){{0,2}}+"
    rf"(?:[ \t]*+(?:の選択肢|の番号|の記号|选项|option letter|option|choice|letter)(?![^\W\d_]))?{_MARKS_BEHIND}"
    r"(?:(?P<colon>[:：=]|(?<=ans)\.(?=[ \t]))|(?P<dash>[-–—](?=[ \t]))|(?P<open>(?=\n|$))|(?P<math>(?=\$|\\[(\[b]))"
    rf"|(?:(?:(?:to|for|of|in|here|on|that|which|we|you|du|de|à|zu|für)\b[^.:：。\n]{{0,80}}?[ \t])?{_ADVERBS}[ \t]*+)?"
    rf"(?P<be>{_BE})(?!否|什么|多少|哪|不是){_ADVERBS}[ \t]*+[:：]?"
    r"|(?P<none>))"
)
_OPTION_BEHIND = re.compile(
    rf"[ \t]*+[:：=]{{0,1}}+[ \t]*+(?:(?:the|la|le|il|die|a|o|das|l'|el)[ \t]?)?(?:(?i:answer|answers"
    rf"|{_NAME_WORD}))?[ \t]*+[:：]?[ \t]*+"
    rf"{_OPEN}(?:(?i:option|choice|letter|选项)[ \t]*+)?(?P<letters>{_LETTERS})(?P<after>{_CLOSE})"
)
_RIGHT_BEFORE = re.compile(
    rf"(?:(?:^|[^\w])(?:{words('right', True)})|(?:{words('right', False)}))"
    rf"(?:[ \t]*+的|[ \t]++(?:{_NAME_WORD}|statement|multiple[- ]choice))?[ \t*_]*$"
)
_RIGHT_BEHIND = re.compile(rf"[ \t]++(?:{words('right', True)})(?![^\W\d_])")
_RESTRICTED = re.compile(
    rf"[ \t]++(?:that|which)\b[^.:\n]{{0,80}}?[ \t](?:is"
    rf"|are)[ \t:*]*+{_OPEN}(?P<letters>{_LETTERS})(?P<after>{_CLOSE})[.]?[ \t]*+(?:\n|$)"
)
_WRONG_BEFORE = re.compile(rf"(?:{words('wrong')})(?:的)?[ \t*_]*$")
_OTHER_BEFORE = re.compile(rf"(?:{words('other')})[ \t*_]*$")
_FINAL_BEFORE = re.compile(rf"(?:{words('final', True)}|{words('final', False)})[ \t*_]*$")
_LINE_BEFORE = re.compile(r"[^.,;:?!。，；：？！\n]*$")
_OPENED = re.compile(r"[【\[(（][ \t*_]*(?:正确|最终|参考|标准)?$")
_HINDI_TAIL = re.compile(r"[ \t]++(?=[^।.\n]{1,60}[ \t](?:है|हैं|होगा|होगी)[ \t]*+(?:[।.\n]|$))")
_VERB_FIRST = re.compile(
    r"(?:ist|lautet|beträgt|wäre|c'est|es|é|è)[ \t](?:(?:die|das|der|la|a|le)[ \t])?(?:[a-zäöü]{3,14}[ \t])?$"
)
_SUBJECT = re.compile(
    r"(?:\b(?:i|we|let us|let's|so|therefore|thus|hence|to)(?:'d|'ll)?,?(?: (?:would|will|should|can|must"
    r"|have to|now))?"
    r"(?: (?:therefore|thus|then|also))?) $"
)
_NEEDS_SUBJECT = frozenset(LANGUAGES[0].choose.split("|"))  # English: "I choose B", not "students choose B"
_NOT_CHOSEN = (*"不勿未别没误错漏多单备待只人若", "不能", "不应", "不可", "不会", "不要")
_CHOSEN_TO_BE = re.compile("[择擇了出]?(?:的?(?:是|为|為))?")
_ENDS_CHOICE = re.compile(
    r"[ \t]*+(?:选项|選項|项|項|$|[.。,，;；:：、!！)）\]】”」*`\n}]|(?=最|更|作为|即可|才"
    r"|[(（]|[\u3040-\u30ff]|[은는이가을를로와과의인입번예임]))"
    r"|[ \t]++(?!\S{1,4}[的与和])"
)
_MENTION = re.compile(
    rf"(?<![A-Za-z0-9_'’\\])(?<!\d[ -])(?P<option>(?i:{_NAME_WORD})[ \t]*+)?"
    rf"(?P<open>{_OPEN})(?P<letters>{_LETTERS})(?P<close>{_CLOSE})"
)
_MAY_MENTION = re.compile(r"[A-Z](?![a-z0-9_])|\([a-h]\)")  # what every list of letters has
_VERDICT_BEHIND = re.compile(
    r"(?P<text>[.．:：、)]?[^\n。;；!?！？]{1,60}?)??"
    r"[ \t,]{0,2}+(?:两|三|四)?(?:选项|選項|项|項|번)?的?(?:说法|描述|表述|叙述|判断)?[ \t]{0,2}+"
    rf"(?P<be>(?:{_BE}|[をにと을를에과와])(?:[ \t]?(?:(?:the|correct|right|best|la|a|die|das|der|le|il|only|quella|most"
    rf"|one that is)(?![^\W\d_])|l'|唯一的?|最も|最|{_ADVERB})){{0,4}}+"
    rf"[ \t]?(?:{_NAME_WORD})?)?(?P<said>[ \t]{{0,2}}+(?:均|都|也|最も|最|更|才|[*_(（])*)"
)
_MADE = re.compile(
    rf"\b(?:makes?|making|leaves?|leaving|with|ist"
    rf"|lautet)[ \t]{_OPEN}(?:(?i:{_NAME_WORD})[ \t])?(?P<letters>{_LETTERS}){_CLOSE}"
    r"(?: alone)?(?: as)?(?: the| die| das)?[ \t]*(?:only )?$"
)
_NAMES_ANSWER = re.compile(
    rf"(?:[ \t]*+的?[ \t]*+(?:and [a-z]{{1,12}} )?)(?:{_NAME_WORD}|answer|answers|response|solution"
    rf"|lösung|的?那?一?[个项])"
)
_JOINED_BEFORE = re.compile(r"[A-Z][)\]]?[ \t]*(?:,|and|or|&|和|或|、)[ \t]*[(\[]?$")
_NUMERALS = frozenset("IVX")
_NO_COPULA = re.compile("[\u0400-\u04ff\u0600-\u06ff\u0900-\u097f]")  # Russian, Arabic, Hindi
_COPULA = re.compile(r"\b(?:is|are)\b|[是为]")
_WORD_AFTER = re.compile(r" (?!(?:is|was|would|cannot|isn't)\b)[a-z]")
_QUOTED = re.compile(r"[\"“(（][^\"”)）]{0,60}+[\"”)）]")
_ENDS_IN_NAME = re.compile(rf"(?:{words('answer')}|{words('option', True)})[ \t]*+$")
_NOT_RIGHT_ANGLE = re.compile(r"[ \t-]*+(?:angled?|triangles?|angles?|hand|side|isosceles|prism|吗|与否|值)")
_PLACE = re.compile(
    r"(?:angle|triangle|point|line|vertex|segment|side|edge|arc|circle|set|event|∠|△|点|角|线段|集合"
    r"|直线|\\angle)[ \t]*+$"
)

# --- finding ----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)  # each form asks for those of the same text
def namings(text: str) -> tuple[Naming, ...]:
    """Every naming of an answer in a text, in their order, also those that give none: ``given`` tells."""
    shown = plain(text)
    lowered = lower(shown)
    found = []
    tried = 0
    for hit in reversed(list(_KEY.finditer(lowered))):
        if not _whole_word(lowered, *hit.span(), hit.group()):
            continue
        naming = _naming(shown, lowered, *hit.span(), hit.group())
        if naming is not None:
            found.append(naming)
        tried += 1
        if tried == _MOST_WORDS:
            break
    return tuple(reversed(found))


def _naming(shown: str, lowered: str, start: int, end: int, word: str) -> Naming | None:
    """What a word that may name an answer names, by the roles that it may have."""
    roles = _ROLES[word]
    before = lowered[max(0, start - _BEFORE) : start]
    found = None
    if "verdict" in roles:
        found = _verdict(shown, lowered, start, end, word)
    if found is None and "answer" in roles:
        found = _answer(shown, lowered, before, start, end)
    if found is None and "label" in roles:
        found = _label(lowered, before, start, end)
    if found is None and "option" in roles:
        found = _option(shown, lowered, before, start, end)
    if found is None and "choose" in roles:
        found = _choice(shown, lowered, before, start, end, word)
    return found


def refuses_option(text: str) -> bool:
    """Whether a text is about one option and says no to it: ``B, which is wrong``; not ``B, not C``."""
    shown = plain(text)
    option = _MENTION.match(shown)
    if option is None or shown[option.end() :].lstrip(" ").startswith((".", ":", "、", ")")):
        return False
    rest = shown[option.end() :]
    if option["letters"] in ("A", "I") and _WORD_AFTER.match(rest):
        return False  # the article, the pronoun
    return refused(rest) and _MENTION.search(rest) is None


def _whole_word(lowered: str, start: int, end: int, word: str) -> bool:
    """Whether a word that was found is none that is part of another word."""
    if unspaced(word[0]):
        return True
    inside = start > 0 and lowered[start - 1].isalpha() and not unspaced(lowered[start - 1])
    goes_on = end < len(lowered) and lowered[end].isalpha() and not unspaced(lowered[end])
    return not inside and (word in _STEMS or not goes_on)


def _answer(shown: str, lowered: str, before: str, start: int, end: int) -> Naming | None:
    """What a name of an answer names: ``Final answer: 5``, ``【答案】B``, ``die Antwort lautet 3,5``."""
    if _WRONG_BEFORE.search(before) or _OTHER_BEFORE.search(before):
        return None
    link = _LINK.match(lowered, end)
    if link is None:
        return None
    final = _FINAL_BEFORE.search(before) is not None or lowered.startswith("答案", start)
    line = before.rpartition("\n")[2]
    first = len(line) <= _LINE and _LINE_BEFORE.match(line) is not None and "\n" in f"\n{before}"[-_LINE - 1 :]
    if before.endswith(('"', "'")) and link["close"][:1] == before[-1] and link["colon"] is not None:
        return None  # a key of JSON
    named = next(name for name in ("colon", "dash", "open", "math", "be", "none") if link[name] is not None)
    if named == "none":
        if _OPENED.search(before) and link["close"]:  # 【答案】B
            return Naming(start, link.end(), "label")
        if _HINDI_TAIL.match(lowered, end):
            return Naming(start, end, "sentence")
        if lowered.startswith(("故填", "应填"), start):
            return Naming(start, link.end(), "sentence")
        if first and "**" in link["close"] and before.endswith("**"):  # **答案** 25 cm
            return Naming(start, link.end(), "label")
        if _VERB_FIRST.search(before):  # ist die richtige Antwort (D)
            return Naming(start, link.end(), "sentence")
        behind = _OPTION_BEHIND.match(shown, end)
        alone = final or (first and not line.strip(_LINE_MARKS))
        if alone and behind and _ENDS_CHOICE.match(shown, behind.end()):  # 答案B
            return Naming(start, behind.end("letters"), "option", behind["letters"])
        return None
    if named == "dash" and not (final or first):
        return None
    strong = final if named in ("be", "open", "math", "dash") else final or first
    return Naming(start, link.end(), "label" if strong else "sentence")


def _label(lowered: str, before: str, start: int, end: int) -> Naming | None:
    """What a label names that is a name of an answer only at the beginning of a line: ``Result: 5``."""
    link = _LINK.match(lowered, end)
    if link is None:
        return None
    if link["be"] is not None and _FINAL_BEFORE.search(before):  # the final result is 5
        return Naming(start, link.end(), "sentence")
    if link["none"] is not None and _VERB_FIRST.search(before):
        return Naming(start, link.end(), "sentence")
    line = before.rpartition("\n")[2]
    if len(line) > _SHORT_LINE or _LINE_BEFORE.match(line) is None:
        return None
    if link["colon"] is not None or (_OPENED.search(before) and link["close"]):
        loose = lowered.startswith(("solution", "conclusion"), start)
        return Naming(start, link.end(), "line" if loose else "label")
    return None


def _option(shown: str, lowered: str, before: str, start: int, end: int) -> Naming | None:
    """The option that is named as the right one: ``the correct option is B``."""
    restricted = _RESTRICTED.match(shown, end)
    if restricted:
        return Naming(start, restricted.end("letters"), "option", restricted["letters"])
    link = _LINK.match(lowered, end)
    hindi = "\u0900" <= lowered[start] <= "\u097f"
    if link is None or not (hindi or any(link[name] is not None for name in ("be", "colon", "dash"))):
        return None
    right = (
        _RIGHT_BEFORE.search(before) is not None
        or _WRONG_BEFORE.search(before) is not None
        or _RIGHT_BEHIND.match(lowered, end) is not None
    )
    line = before.rpartition("\n")[2]
    if not right and not (
        link["colon"] is not None and not line.strip(_LINE_MARKS) and lowered.startswith(("option", "choice"), start)
    ):
        return None
    behind = _OPTION_BEHIND.match(shown, link.end())
    if behind is None or not _ENDS_CHOICE.match(shown, behind.end()):
        return None
    return Naming(start, behind.end("letters"), "option", behind["letters"])


def _choice(shown: str, lowered: str, before: str, start: int, end: int, word: str) -> Naming | None:
    """The option that is chosen: ``故选B``, ``I would choose B``."""
    han = word[0] in "选選"
    if han:
        if before.endswith(_NOT_CHOSEN):
            return None
        to_be = _CHOSEN_TO_BE.match(shown, end)
        end = to_be.end() if to_be else end
    elif word in _NEEDS_SUBJECT and not _SUBJECT.search(before):
        return None
    behind = _OPTION_BEHIND.match(shown, end)
    if behind is None or (han and not _ENDS_CHOICE.match(shown, behind.end())):
        return None
    return Naming(start, behind.end("letters"), "option", behind["letters"])


def _verdict(shown: str, lowered: str, start: int, end: int, word: str) -> Naming | None:
    """The option before a verdict: ``option C, the pancreas, is the correct answer``, ``B正确``."""
    window = shown[max(0, start - _BEFORE) : start]
    if _MAY_MENTION.search(window) is None:
        return None
    made = _MADE.search(window)
    found, said = made, None
    if not made:
        for mention in reversed(list(_MENTION.finditer(window))[-_MOST_MENTIONS:]):
            said = _VERDICT_BEHIND.fullmatch(window, mention.end())
            if said:
                found = mention
                break
    if found is None or _NOT_RIGHT_ANGLE.match(lowered, end):
        return None
    at = start - len(window) + found.start("letters")
    named = _NAMES_ANSWER.match(lowered, end) is not None
    if said:
        spaced = not unspaced(word[0])
        bracket = said["said"].strip().endswith(("(", "（"))
        if said["be"] is None and (word in _ANSWER_WORDS or (not bracket and spaced and not _NO_COPULA.match(word))):
            return None
        listed = bracket and (said["text"] or "").startswith((".", "．", ":", "：", "、"))  # A. 细胞膜（正确）
        marked = found["option"] or "(" in found["open"] or ")" in found["close"] or listed
        stated = not bracket and _COPULA.search(_QUOTED.sub("", said["text"] or "")) is not None
        if said["text"] and (not marked or stated or refused(said["text"])):
            return None
        if found["letters"] in _NUMERALS and (found["option"] or "").lower().startswith("statement"):
            return None  # statement I is correct: a numeral, no option
        if not marked and _PLACE.search(lowered[max(0, at - 24) : at]):
            return None
        named = named or (
            said["be"] is not None and _ENDS_IN_NAME.search(lowered, max(0, start - 16), start) is not None
        )
    if _JOINED_BEFORE.search(shown, max(0, at - 12), at):
        return None  # (A) and (C)
    if REFUSED_BEHIND.search(lowered, end, end + 14) or REFUSED_BEFORE.search(lowered, max(0, at - 12), at):
        return None
    chosen = bool(made) or named or word in _CHOSEN or word in _ANSWER_WORDS
    return Naming(at, at + len(found["letters"]), "option" if chosen else "right", found["letters"])

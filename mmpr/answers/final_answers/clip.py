"""From the place where an answer is named to the answer itself."""

from __future__ import annotations

import re

from mmpr.answers.final_answers.bare import FACTORIAL, bare_answer
from mmpr.answers.final_answers.boxes import OPENED, boxed_answer, boxes
from mmpr.answers.final_answers.languages import words
from mmpr.answers.final_answers.phrases import namings
from mmpr.answers.final_answers.stance import refused
from mmpr.answers.text.characters import unspaced
from mmpr.answers.text.wrapping import unwrap

LONGEST = 2_000  # characters: what is longer is an essay, not an answer
_ABBREVIATED = 20  # characters before a full stop in which an abbreviation is looked for

EMPTY_TALK = re.compile(
    r"(?:correct|right|wrong|incorrect|below|above|as follows|follows|therefore|thus|here|shown|found|given|unclear"
    r"|the following|unknown|obvious|derived|obtained|based on|choices?|options?|not|n't|nicht|pas"
    r"|não|не)\b[^\d]{0,40}$"
    r"|(?:not|nicht|не|不是|不|否|如下|什么|下列|以下|正确|错误)(?![^\W\d_a-z]?$)|(?:choices|options) (?:are|is)\b"
    r"|(?:아닙니다|아니다|아니|नहीं)|[^\n]{0,20}(?:ではありません|ではない|이 아닙니다|가 아닙니다|नहीं है)$",
    re.IGNORECASE,
)
"""What stands behind "the answer is" and is no answer."""
PLACEHOLDER = re.compile(
    r"[\s.…_\-?$*{}()（）\[\]\u3000]*+"
    r"|\$?\\?(?:FINAL_?\\?_?ANSWER|YOUR_ANSWER|your answer|[\[<{](?:your |the )?(?:final )?(?:answer"
    r"|letter|option letter)[\]>}])\$?"
    r"|\.\.(?:['\"”].{0,8})?|.{0,2}(?:\.\.\.?|…)(?:[\"'”].{0,8}|.{0,3})",
    re.IGNORECASE | re.DOTALL,
)
"""What a prompt has in the place of the answer: ``..``, ``$FINAL_ANSWER``."""
BECAUSE = re.compile(
    rf"(?:[,;，；][ \t]++|(?<![ \t,;，；])[ \t]++)(?:{words('because', True)})(?![^\W\d_])"
    rf"|[,，、]?(?:{words('because', False)})|[,，;；]\s*+(?:because|since|although|but|as the|as it|unless)"
    r"|(?<![ \t])[ \t]*+(?:解析|理由|解释|说明|分析|点评|详解)[:：]|(?<![ \t])[ \t]*+【"
    r"|(?<![ \t])[ \t]++(?:Explanation|Reason|Reasoning|Justification|Rationale)[ \t*]*+:",
    re.IGNORECASE,
)
"""Where the reason behind an answer begins."""
_SENTENCE_END = re.compile(r"[.!?](?=\s++(?:\D|(?<![Nn]o\.\s)\d)|$)|[。！？।]")  # "No. 5" ends none
_ABBREVIATION = re.compile(
    r"[A-Za-z]|[A-Z](?:\.[A-Z])+|[ap]\.m|mr|mrs|ms|dr|st|vs|jr|sr|inc|ltd|co|corp|approx|etc|fig|mt|ft|in|oz|lb|sq",
    re.IGNORECASE,
)
_BEFORE_ABBREVIATION = re.compile(r"[\s(「“\"*]")
_MARKS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("`", "`"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"),
    ('"', '"'), ("“", "”"), ("「", "」"),
)  # fmt: skip
_FINAL_PUNCTUATION = tuple(".。．!！;；,，।")
_EMPTY = frozenset((".", "..", "...", "?", "-", "$", r"\[", r"\(", r"\[\]", r"\(\)"))
_OPENINGS = {r"\[": r"\]", "$$": "$$", "```": "```"}
_TAIL_WORDS = re.compile(
    rf"(?P<tail>(?<=[A-Z])번(?:{words('tail')})?|(?<=[A-Z])の「[^」\n]{{0,40}}」?(?:{words('tail')})?"
    rf"|(?<![ \t])[ \t]*+(?:のよう)?(?:{words('tail')})(?:よ|ね)?)[.。！!।]?[ \t]*+$"
)
OPTION_TEXT = re.compile(
    r"[)）\]】*_`]{0,3}+[ \t]?[.．:：、)][*_]{0,2}+[ \t]*+(?=[^\s.。,，;；:：)）*】])"
    r"|[)）\]][*_]{0,2}+[ \t]*+(?=.)(?![\s.。,，;；:：)）*】选選项項的]"
    r"|(?:is|as|are|was|because|since|which|that|and|or|for|to|in)\b)"
)
"""What stands between an option's letter and its text."""
_ONE_OPTION = re.compile(
    r"[(（\[【\"'“]*+(?:(?:option|choice|letter|选项|選項|вариант|opción|opção|alternativa|l'option|la)[ \t]*+)?"
    r"[(（\[]?(?P<letter>[A-Z])[)）\]】]?(?:选项|項|项)?[\"'”]?[.:]?(?:(?P<sep>[.．:：、)]?[ \t]).{0,150})?",
    re.IGNORECASE | re.DOTALL,
)
_LETTER_THEN_WORDS = re.compile(
    r"([(（]?[A-Z][)）]?)(?:[*_]{2})?[,;，；][ \t]*+(?!(?:and|or|und|et|y|e|и|和)\b)(?=[a-z]{2}|[^\x00-\u2fff]{2})"
)
_LETTER_THEN_SENTENCE = re.compile(
    r"([(（]?[A-Z][)）]?)[*_]{0,2}\.[ \t]++(?:The (?:answer|other|correct|reason|remaining)|This|That|These|Note|It"
    r"|However|Explanation|Because|Since|Options? [A-Z]|[A-Z] is\b|A common|Some (?:might|may|people|students)|Many"
    r"|Therefore|So|Thus|I|We|You)\b"
)
_ONLY_ITEM = re.compile(r"[\s*_:：]*\n[ \t]*(?:1[.)]|[-•](?=[ \t]+[A-Za-z(\[*$\\]))[ \t]+")
_SECOND_ITEM = re.compile(r"\n[ \t]*(?:2[.)]|[-•])[ \t]")
_BOLD_FIRST = re.compile(r"\*\*(?P<inside>[^*\n]{1,80})\*\*(?P<rest>[^\n]*+)")
_BOLD_INSIDE = re.compile(r"\*\*([^*\n]{1,60})\*\*[.。]?[ \t]*+$")
_FOLLOWED = re.compile(r"[ \t]*+(?:[(（–—,，;；]|-[ \t]|:)")
_ONE_LETTER = re.compile(r"[(（\[]?[A-Z][)）\]]?[.:]?")
_CARRIER = re.compile(
    r"(?:so,? |thus,? |therefore,? |hence,? )?(?:the|la|die|le) |(?:最终|正确|本题|所以|因此|故)*答案", re.IGNORECASE
)
_OPTION_NAMED = re.compile(
    rf"(?:the[ \t])?(?:{words('option', True)}|选项|選項|選択肢|图)[ \t]*+[:：]?[ \t]*+"
    r"[*_]{0,2}(?P<letter>[(（]?(?-i:[A-Z])[)）]?)[*_]{0,2}(?:选项|項|项)?",
    re.IGNORECASE,
)


def is_option(answer: str) -> bool:
    """Whether an answer is the letter of an option, maybe with its text."""
    found = _ONE_OPTION.fullmatch(answer)
    return (
        found is not None
        and found["letter"].isupper()
        and (not found["sep"] or found["sep"].strip() != "" or ")" in answer[:4])
    )


def is_prose(answer: str) -> bool:
    """Whether what stands behind a label is rather a sentence than an answer."""
    if bare_answer(answer) is not None:
        return False
    return len(answer.split()) > 3 or sum(map(unspaced, answer)) > 8


def last_sentence(line: str) -> str:
    """The last sentence of a line."""
    line = line.rstrip()
    begin = 0
    for end in _SENTENCE_END.finditer(line):
        if end.end() >= len(line):
            break
        if end.group() == "." and _is_abbreviated(line, end.start()):
            continue
        begin = end.end()
    return line[begin:].strip()


def _is_abbreviated(line: str, at: int) -> bool:
    """Whether the full stop at a place of a line ends an abbreviation."""
    first = max(0, at - _ABBREVIATED)
    *before, word = _BEFORE_ABBREVIATION.split(line[first:at])
    return bool(before or not first) and _ABBREVIATION.fullmatch(word) is not None


def clip(text: str) -> str:
    """The answer at the beginning of what follows a marker: a display, or the first sentence of the first line."""
    item = _ONLY_ITEM.match(text)
    if item and not _SECOND_ITEM.search(text, item.end(), item.end() + LONGEST):
        text = text[item.end() :]
    text = re.sub(r"^[\s:：}、，]+", "", text)
    odd = text.partition("\n")[0].count("**") % 2 == 1
    bold = None if odd else _BOLD_FIRST.match(text)
    if bold:
        inside = bold["inside"].strip()
        if _FOLLOWED.match(bold["rest"]) or (bare_answer(inside.rstrip(".:")) and _ONE_LETTER.fullmatch(inside)):
            return inside
    if odd and not text.startswith("**"):  # the bold began before the marker: **Answer: I** (text)
        head, _, rest = text.partition("\n")[0].partition("**")
        if head.strip() and (_FOLLOWED.match(rest) or _ONE_LETTER.fullmatch(head.strip())):
            return head
    text = re.sub(r"^[\s*_:：]+", "", text)
    for opening, closing in _OPENINGS.items():
        if text.startswith(opening):
            inner, closed, _ = text[len(opening) :].partition(closing)
            if closed:
                return boxed_answer(inner) or inner
    line = whole_line(text)
    line = _nested(line)
    boxed = boxed_answer(line)
    if boxed is not None:
        return boxed
    because = BECAUSE.search(line)
    if because and because.start() > 0:
        line = line[: because.start()]
    line = first_sentence(line)
    alone = _LETTER_THEN_SENTENCE.match(line)
    if alone:
        return alone[1]
    letter = _LETTER_THEN_WORDS.match(line)
    if letter:
        return letter[1]
    if is_prose(line) and (bold := _BOLD_INSIDE.search(line)) and line.count("**") == 2:
        return bold[1]
    tail = _TAIL_WORDS.search(line) if not line.isascii() and not refused(line) else None
    return line[: tail.start("tail")] if tail and tail.start("tail") > 0 else line


def _nested(line: str) -> str:
    """What follows the last naming within a line that names the answer once more: ``Final answer: The answer is 7.``"""
    if not _CARRIER.match(line):
        return line
    inside = next((mark for mark in namings(line) if mark.kind != "right"), None)
    if inside is None or not line[inside.end :].strip(" .。*"):
        return line if inside is None or not inside.letters else inside.letters
    begin = inside.end - len(inside.letters)
    return re.sub(r"^[\s*_:：]+", "", line[begin:])


def whole_line(text: str) -> str:
    """The first line, or all lines of a formula that is still open at its end."""
    line, newline, _rest = text.partition("\n")
    begin = re.search(r"\\begin\{(\w+\*?)\}", line)
    if newline and begin:
        end = text.find(f"\\end{{{begin.group(1)}}}")
        if 0 <= end < LONGEST:
            return text[:end] + whole_line(text[end:])
    if newline and OPENED.search(line) and not boxes(line):
        found = boxes(text)
        if found and found[0][0] < len(line):
            return text[: found[0][1]] + text[found[0][1] :].partition("\n")[0]
    return line


def first_sentence(line: str) -> str:
    """The first sentence of a line; abbreviations and stops within dollars end none."""
    begin, stop = len(line) - len(line.lstrip()), len(line.rstrip())
    last_dollar = line.rfind("$")
    dollars = counted = 0
    for end in _SENTENCE_END.finditer(line):
        at = end.start()
        dollars += line.count("$", counted, at)
        counted = at
        if end.group() == "." and (at <= begin or _is_abbreviated(line, at)):
            continue
        if dollars % 2 and last_dollar >= end.end():
            continue
        if end.end() < stop:
            return line[:at]
    return line


def _without_final_punctuation(answer: str) -> str:
    """An answer without its final punctuation; an ellipsis stays."""
    end = len(answer)
    while answer.endswith(_FINAL_PUNCTUATION, 0, end) and not answer.endswith("...", 0, end):
        if answer.endswith(")!", 0, end) and FACTORIAL.search(answer[:end]):
            break
        end -= 1
        while end and answer[end - 1].isspace():
            end -= 1
    return answer[:end]


def _balanced(answer: str) -> str:
    """An answer up to a closing brace or a quote at its end that it does not open."""
    if "}" in answer:
        depth = 0
        for at, char in enumerate(answer):
            depth += (char == "{") - (char == "}")
            if depth < 0:
                return answer[:at] if at else answer
    if answer.endswith("$") and answer.count("$") == 1:
        return answer[:-1]
    for quote in ('"', "'"):
        if answer.endswith(quote) and answer.count(quote) == 1 and not answer[-2:-1].isdigit():
            return answer[:-1]
    return answer


def finish(answer: str) -> str | None:
    """An answer without the marks and punctuation around it; None when nothing is left or it is far too long."""
    answer = _balanced(answer.strip()).strip()
    before = None
    while answer != before:
        before = answer
        for opening, closing in _MARKS:
            if answer.startswith(opening):
                answer = unwrap(answer, opening, closing)
        answer = _without_final_punctuation(answer)
        if answer.endswith("**") and answer.count("**") % 2:
            answer = answer[:-2].rstrip()
    named = _OPTION_NAMED.fullmatch(answer)
    answer = named["letter"] if named else answer
    return None if not answer or len(answer) > LONGEST or answer[0] == "}" or answer in _EMPTY else answer

"""Find the final answer in a response, or nothing.

Strong forms (``Final answer:``, ``\\boxed{}``, ``<answer>``, ``答案：``) beat weak ones ("the answer is", "Ans:");
among equals the last one wins. Only the text after a closed ``<think>`` counts. A response that names no final answer
has none: reasoning is never taken for an answer.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator

from mmpr.answers.text.wrapping import unwrap
from mmpr.answers.values.units import leading_unit

TEMPLATES = frozenset({"en", "zh", "en_v2", "zh_v2", "en_r1", "zh_r1", "plain", "direct"})

_TAIL = 32_768  # characters: an answer stands at the end, so a runaway response costs no more than this
_LONGEST = 2_000  # characters: what is longer is an essay, not an answer
_REACH = 4_000  # characters behind a marker in which its answer is looked for
_MOST_MARKERS = 16  # tried from the last one back: a response with more of them and no answer behind any has none
_ABBREVIATED = 64  # characters before a full stop in which an abbreviation is looked for
_SHORT_REPLY = 200  # characters of a reply that is nothing but an answer

_STOP = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end|user|assistant)\|>|</s>|<end_of_turn>")
_STRONG = re.compile(
    r"(?:\bfinal[ \t]++answer|最终答案|最后答案|正确答案|答案)[ \t]*+[*_]{0,3}+[ \t]*+"
    r"(?:[:：=]|\bis\b[ \t]*+:?+|[是为為][ \t]*+[:：]?+|[-–—](?=[ \t])|(?=\n|$|\$|\\[(\[b]))[ \t]*+[*_]{0,3}",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"(?:\b(?:answer|ans|result)[ \t]*+[*_]{0,3}+[ \t]*+[:：=]"
    r"|\banswer[ \t]*+[*_]{0,3}+[ \t]*+(?=\n|\$|\\[(\[b])"
    r"|\b(?:answer|(?:correct|right|best)[ \t]++(?:option|choice))(?:[ \t]++(?:to|for|of)\b[^.:\n]{0,80}?)?"
    r"(?<![ \t])[ \t]++(?:is|(?:would|should|must|will)[ \t]++be|comes[ \t]++out[ \t]++to)\b[ \t]*+:?+"
    r"|(?:故|应|應|所以|因此|因而|正确)?(?:选项?|選項?|选择|選擇)(?:是|为|為|择)?"
    r"[ \t]*+[:：]?+[ \t]*+(?=[(（]?[A-Z]\b))[ \t]*+[*_]{0,3}",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*+(?:\{|(?=[\w\\-]))")
_BOX_OR_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*+(?:\{|(?=[\w\\-])))|\\(?!\\(?:boxed|fbox)).|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\[A-Za-z]+|[\w.,-]*\w")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s,;，、.$]|\\[,;! ()\[\]]|\\q?quad|\\(?:text|mbox|textrm|mathrm)\s*+\{\s*+(?:and|or|,)?+\s*+\}|\band\b"
    r"|\bor\b|和|或)*+"
)
_EMPTY_TALK = re.compile(
    r"(?:correct|right|wrong|incorrect|below|above|as follows|therefore|thus|here|shown|found|given|the "
    r"following|unclear)"
    r"\b[^\d]{0,40}$",
    re.IGNORECASE,
)
_BECAUSE = re.compile(
    r"(?:[,;，；][ \t]++|(?<![ \t,;，；])[ \t]++)"
    r"(?:because|since|as we|which (?:is|means|matches)|so that|given that)\b"
    r"|[,，;；]?因为|[,，;；]\s*+(?:because|since)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s++\S|$)|[。！？]")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|[A-Z](?:\.[A-Z])+|[ap]\.m|mr|mrs|ms|dr|st|vs|no|jr|sr|inc|ltd|co|corp|approx|etc|fig|mt|ft|in|oz|lb|sq)$",
    re.IGNORECASE,
)
_MARKS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("`", "`"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"),
    ('"', '"'), ("“", "”"), ("「", "」"),
)  # fmt: skip
_FINAL_PUNCTUATION = tuple(".。．!！;；,，")
_EMPTY = frozenset((".", "..", "...", "?", "-", "$", r"\[", r"\(", r"\[\]", r"\(\)"))
_OPENINGS = {r"\[": r"\]", "$$": "$$", "```": "```"}


def extract(response: str, template: str | None = None) -> str | None:
    """The final answer of a response, or None when there is no clear one.

    ``template`` names the prompt that was asked (``en``, ``zh``, ``en_v2``, ``zh_v2``, ``en_r1``, ``zh_r1``,
    ``plain``, ``direct``); None accepts any known form. To ``direct`` a short reply of one line is itself the answer.
    Raises ValueError for another name, never anything else.
    """
    if template is not None and template not in TEMPLATES:
        raise ValueError(f"unknown template {template!r}: one of {', '.join(sorted(TEMPLATES))}")
    if not isinstance(response, str):
        return None
    text = _after_thinking(last_turn(response[-_TAIL:]))
    if text is None:
        return None
    boxed_form = template is not None and template.endswith(("_v2", "_r1"))
    for find in (_box, _strong, _weak) if boxed_form else (_strong, _weak):
        answer = find(text)
        if answer is not None:
            return answer
    if template == "direct" and len(text.strip()) <= _SHORT_REPLY and "\n" not in text.strip():
        return _finish(text)
    return None


@functools.lru_cache(maxsize=2)  # each form asks for those of the same text
def boxes(text: str) -> tuple[tuple[int, int, str], ...]:
    """Every closed outermost ``\\boxed{…}`` of a text as (start, end, content), in one pass over its braces."""
    outermost: list[tuple[int, int, int, int]] = []
    for box in _all_boxes(text):
        while outermost and outermost[-1][0] > box[0]:
            outermost.pop()  # it lies within this one
        outermost.append(box)
    return tuple((start, end, text[inside:closed]) for start, end, inside, closed in outermost)


def _all_boxes(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Every closed box, inner ones first: where it starts and ends, and where its content does."""
    opened: list[tuple[int, int] | None] = []  # for each open brace (start of its box, start of its content)
    for mark in _BOX_OR_BRACE.finditer(text):
        token = mark.group()
        if token[0] == "\\" and mark.lastgroup is None:
            continue
        if token == "}":
            box = opened.pop() if opened else None
            if box is not None:
                yield box[0], mark.end(), box[1], mark.start()
        elif token.endswith("{"):
            opened.append((mark.start(), mark.end()) if mark["box"] else None)
        else:
            word = _BARE_BOX.match(text, mark.end())
            if word:
                yield mark.start(), word.end(), word.start(), word.end()


def boxed_answer(text: str) -> str | None:
    """The content of the last box, with a unit that stands behind it; boxes joined by "and" or commas together."""
    found = [box for box in boxes(text) if box[2].strip()]
    if not found:
        return None
    parts = [found[-1]]
    for box in reversed(found[:-1]):
        if not _BETWEEN_BOXES.fullmatch(text, box[1], parts[-1][0]):
            break
        parts.append(box)
    parts.reverse()
    contents = [_unwrap(box[2]) for box in parts]
    if len(parts) > 1:
        joined = {re.search(r"\bor\b|或", text[a[1] : b[0]]) is not None for a, b in itertools.pairwise(parts)}
        return (" or " if True in joined else ", ").join(contents)
    unit = leading_unit(re.sub(r"^(?:\s|\$|\\[)\]])++", " ", text[parts[0][1] : parts[0][1] + 60]))
    return f"{contents[0]} {unit}" if unit else contents[0]


def last_turn(text: str) -> str:
    """A text up to the first token that ends a turn, unless nothing stands before it."""
    for stop in _STOP.finditer(text):
        if text[: stop.start()].strip():
            return text[: stop.start()]
    return text


def _after_thinking(text: str) -> str | None:
    head, closed, tail = text.rpartition("</think>")
    if closed:
        return tail if tail.strip() else head
    return None if "<think>" in text else text


def _box(text: str) -> str | None:
    return _finish(boxed_answer(text) or "")


def _strong(text: str) -> str | None:
    """The answer of the last strong form: what follows a marker (or a box in it), a box, or a tag."""
    spots = [(mark.start(), mark.end()) for mark in _STRONG.finditer(text)]
    last_box = max((box[0] for box in boxes(text)), default=-1)
    tag_start, tagged = _last_tag(text)
    if tagged is not None and tag_start > max([last_box, *(spot[0] for spot in spots)]):
        return _finish(_clip(tagged[:_REACH]))
    for start, end in reversed(spots[-_MOST_MARKERS:]):
        if start < last_box:
            break
        answer = _finish(_clip(text[end : end + _REACH]))
        if answer is not None:
            return answer
    if last_box >= 0:
        return _box(text)
    return None if tagged is None else _finish(tagged)


def _last_tag(text: str) -> tuple[int, str | None]:
    """Where the last closed ``<answer>`` starts, and what stands in it; -1 and None without one."""
    start, found, opened = -1, None, None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened = opened or tag
        elif opened:
            start, found, opened = opened.start(), text[opened.end() : tag.start()], None
    return start, found


def _weak(text: str) -> str | None:
    for mark in reversed(list(_WEAK.finditer(text))[-_MOST_MARKERS:]):
        answer = _finish(_clip(text[mark.end() : mark.end() + _REACH]))
        if answer is not None and not _EMPTY_TALK.match(answer):
            return answer
    return None


def _clip(text: str) -> str:
    """The answer at the beginning of what follows a marker: a display, or the first sentence of the first line."""
    text = re.sub(r"^[\s*_:：]+", "", text)
    for opening, closing in _OPENINGS.items():
        if text.startswith(opening):
            inner, closed, _ = text[len(opening) :].partition(closing)
            if closed:
                return boxed_answer(inner) or inner
    line = _line(text)
    nested = _STRONG.match(line) or re.match(r"(?:so,? |thus,? |therefore,? |hence,? )?the ", line, re.IGNORECASE)
    if nested:
        inside = _STRONG.search(line) or _WEAK.search(line)
        if inside and line[inside.end() :].strip():
            line = re.sub(r"^[\s*_:：]+", "", line[inside.end() :])
    boxed = boxed_answer(line)
    if boxed is not None:
        return boxed
    because = _BECAUSE.search(line)
    if because and because.start() > 0:
        line = line[: because.start()]
    return _first_sentence(line)


def _line(text: str) -> str:
    """The first line, or all lines of a formula that is still open at its end."""
    line, newline, _rest = text.partition("\n")
    begin = re.search(r"\\begin\{(\w+\*?)\}", line)
    if newline and begin:
        end = text.find(f"\\end{{{begin.group(1)}}}")
        if 0 <= end < _LONGEST:
            return text[:end] + _line(text[end:])
    if newline and _BOX.search(line) and not boxes(line):
        found = boxes(text)
        if found and found[0][0] < len(line):
            return text[: found[0][1]] + text[found[0][1] :].partition("\n")[0]
    return line


def _first_sentence(line: str) -> str:
    begin, stop = len(line) - len(line.lstrip()), len(line.rstrip())
    last_dollar = line.rfind("$")
    dollars = counted = 0
    for end in _SENTENCE_END.finditer(line):
        at = end.start()
        dollars += line.count("$", counted, at)
        counted = at
        if end.group() == "." and (at <= begin or _ABBREVIATION.search(line, max(0, at - _ABBREVIATED), at)):
            continue
        if dollars % 2 and last_dollar >= end.end():
            continue
        if end.end() < stop:
            return line[:at]
    return line


def _unwrap(content: str) -> str:
    """The innermost content of nested boxes."""
    found = {start: box for start, *box in _all_boxes(content)}
    inside, closed = 0, len(content)
    while True:
        start, end = inside, closed
        while start < end and content[start].isspace():
            start += 1
        while end > start and content[end - 1].isspace():
            end -= 1
        if start not in found or found[start][0] != end:
            return content[inside:closed]
        _, inside, closed = found[start]


def _without_final_punctuation(answer: str) -> str:
    """An answer without its final punctuation; an ellipsis stays."""
    end = len(answer)
    while answer.endswith(_FINAL_PUNCTUATION, 0, end) and not answer.endswith("...", 0, end):
        end -= 1
        while end and answer[end - 1].isspace():
            end -= 1
    return answer[:end]


def _finish(answer: str) -> str | None:
    """An answer without the marks and punctuation around it; None when nothing is left or it is far too long."""
    answer = answer.strip()
    before = None
    while answer != before:
        before = answer
        for opening, closing in _MARKS:
            if answer.startswith(opening):
                answer = unwrap(answer, opening, closing)
        answer = _without_final_punctuation(answer)
        if answer.endswith("**") and answer.count("**") % 2:
            answer = answer[:-2].rstrip()
    return None if not answer or len(answer) > _LONGEST or answer[0] == "}" or answer in _EMPTY else answer

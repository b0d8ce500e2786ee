"""Strong and weak forms: boxes, tags, JSON, labels, and sentences that name the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmpr.answers.final_answers.bare import LONGEST_LINE, bare_answer, bare_reply
from mmpr.answers.final_answers.boxes import boxed_answer, boxes
from mmpr.answers.final_answers.clip import (
    BECAUSE,
    EMPTY_TALK,
    LONGEST,
    OPTION_TEXT,
    PLACEHOLDER,
    clip,
    finish,
    first_sentence,
    is_option,
    is_prose,
    whole_line,
)
from mmpr.answers.final_answers.found import Found, Naming
from mmpr.answers.final_answers.phrases import namings
from mmpr.answers.final_answers.stance import given

_REACH = 4_000  # characters behind a marker in which its answer is looked for
_LONGEST_OPTION = 150  # characters of an option's text
_MOST_MARKERS = 16  # tried from the last one back: a response with more of them and no answer behind any has none

_TAG = re.compile(r"<(/?)(?:answer|final_answer|finalanswer|conclusion|output)>", re.IGNORECASE)
_JSON = re.compile(
    r"[\"'](?:(?:final|correct|the)[_ ]?)?(?:answer|option|choice|答案|最终答案"
    r"|正确答案)(?:[_ ](?:letter|option))?[\"']\s*+:\s*+"
    r"(?:\"(?P<double>(?:[^\"\\]|\\.){0,2000}+)\"|'(?P<single>(?:[^'\\]|\\.){0,2000}+)'"
    r"|\[(?P<list>[^\[\]{}]{0,2000}+)\]"
    r"|(?P<value>-?\d[\d.,]*+(?<!,)|true|false))",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"\\([\"'/\\])")
_HASHES = re.compile(r"^[ \t]*+####[ \t]++([^\n]++)$", re.MULTILINE)


@dataclass(frozen=True)
class Named:
    """A place of a text that names an answer."""

    start: int
    answer: str
    why: str


def marked_answer(text: str, template: str | None) -> Named | None:
    """The answer that a strong or a weak form names."""
    marks = namings(text)
    strong = _strong(text, marks, template is not None and template.endswith(("_v2", "_r1")))
    weak = _weak(text, marks)
    if strong is None or weak is None:
        return strong or weak
    later = weak.start > strong.start
    if later and ((is_option(weak.answer) and not is_option(strong.answer)) or is_prose(strong.answer)):
        return weak
    return strong


def _strong(text: str, marks: Sequence[Naming], boxed_form: bool) -> Named | None:
    """The last strong form; where a box was asked for, the last box before all others."""
    found = boxes(text)
    box = None
    if found and (content := finish(boxed_answer(text) or "")) is not None and not PLACEHOLDER.fullmatch(content):
        box = Named(found[-1][0], content, "box")
    if box is not None and boxed_form:
        return box
    best = _last_of(_tagged(text), _json(text), _hashes(text), box)
    return _labelled(text, marks, best.start if best else -1) or best


def _labelled(text: str, marks: Sequence[Naming], floor: int) -> Named | None:
    """The last label with an answer behind it that does not stand before ``floor``."""
    for mark in reversed([mark for mark in marks if mark.kind in ("label", "line")][-_MOST_MARKERS:]):
        if mark.start < floor:
            break
        if not given(text, mark):
            continue
        answer = finish(clip(text[mark.end : mark.end + _REACH]))
        if answer is None or PLACEHOLDER.fullmatch(answer):
            continue
        colon = text[max(0, mark.end - 8) : mark.end].rstrip(" \t*_").endswith((":", "：", "="))
        if not colon and EMPTY_TALK.match(answer):
            continue
        if mark.kind == "label" or bare_answer(answer) is not None:
            return Named(mark.start, answer, "label")
    return None


def _last_of(*named: Named | None) -> Named | None:
    return max((one for one in named if one is not None), key=lambda one: one.start, default=None)


def _last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for one in pattern.finditer(text):
        found = one
    return found


def _tagged(text: str) -> Named | None:
    """The content of the last ``<answer>``, which the end of the text may leave open."""
    start, content, opened = -1, None, None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened = opened or tag
        elif opened:
            start, content, opened = opened.start(), text[opened.end() : tag.start()], None
    if opened and len(text) - opened.end() <= LONGEST_LINE and bare_reply(text[opened.end() :]) is not None:
        start, content = opened.start(), text[opened.end() :]
    if content is None:
        return None
    shown = content[:_REACH]
    marks = () if "boxed" in shown else namings(shown)
    named = _labelled(shown, marks, -1) or _weak(shown, marks)
    answer = named.answer if named else finish(clip(shown)) or finish(content)
    return None if answer is None or PLACEHOLDER.fullmatch(answer) else Named(start, answer, "tag")


def _json(text: str) -> Named | None:
    """The last answer in JSON, closed or not."""
    found = _last_match(_JSON, text)
    if found is None:
        return None
    if found["list"] is not None:
        answer = ", ".join(part.strip().strip("\"'") for part in found["list"].split(","))
    else:
        answer = next(value for name in ("double", "single", "value") if (value := found[name]) is not None)
        answer = _ESCAPED.sub(r"\1", answer)
    finished = finish(answer)
    return None if finished is None or PLACEHOLDER.fullmatch(finished) else Named(found.start(), finished, "JSON")


def _hashes(text: str) -> Named | None:
    """The answer behind GSM8K's ``####`` on the last line that has it."""
    found = _last_match(_HASHES, text)
    answer = bare_answer(found[1]) if found else None
    return Named(found.start(), answer.text, "####") if found and answer else None


def _weak(text: str, marks: Sequence[Naming]) -> Named | None:
    """The last weak form that gives an answer."""
    for mark in reversed([mark for mark in marks if mark.kind in ("sentence", "option", "label")][-_MOST_MARKERS:]):
        if not given(text, mark):
            continue
        answer = option_of(text, mark) if mark.letters else finish(clip(text[mark.end : mark.end + _REACH]))
        if answer is None or PLACEHOLDER.fullmatch(answer):
            continue
        if mark.letters or not EMPTY_TALK.match(answer):
            return Named(mark.start, answer, "sentence")
    return None


def option_of(text: str, mark: Naming) -> str:
    """The letters that a naming gives, with the option's text where it follows."""
    begin = mark.end - len(mark.letters)
    letters = text[begin : mark.end]
    follows = OPTION_TEXT.match(text, mark.end) if mark.start < begin else None
    if follows:
        said = finish(first_sentence(whole_line(text[follows.end() : follows.end() + LONGEST])))
        if said is not None and not BECAUSE.match(f", {said}") and len(said) <= _LONGEST_OPTION:
            opened = text[begin - 1 : begin] if text[begin - 1 : begin] in ("(", "（", "[") else ""
            return f"{opened}{letters}{text[mark.end : follows.end()]}{said}"
    return letters


def withdrawn(text: str) -> Found | None:
    """What the last naming names that is refused, assumed or on a condition: it may be the answer, or not."""
    for mark in reversed(namings(text)[-_MOST_MARKERS:]):
        if mark.kind != "right" and not given(text, mark):
            answer = option_of(text, mark) if mark.letters else finish(clip(text[mark.end : mark.end + _REACH]))
            if answer is not None and not PLACEHOLDER.fullmatch(answer):
                return Found(answer, False, "an answer that is refused, assumed or on a condition")
    return None

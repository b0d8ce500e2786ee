"""Find the final answer in a response, or nothing.

What a person would take for the final answer is looked for in this order, after the model's reasoning:

1. strong forms: ``\\boxed{}``, ``<answer>``, JSON, ``#### 5``, and labels (``Final answer: 5``, ``【答案】B``);
2. weak forms: sentences that name it ("the answer is 5", "故选B", "C ist die richtige Antwort");
3. the one option that is called right ("选项B正确"), or that the last sentence arrives at ("the area is (D)");
4. a line that is nothing but an answer: the last one, the first one before an explanation, or the whole reply.

Among equals the last one wins. An answer that is refused, assumed or given on a condition is none. The parts are in
``final_answers/``; its ``languages.py`` has the phrases, its ``families.py`` the marks of model families.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmpr.answers.final_answers.boxes import cut_box, spelled
from mmpr.answers.final_answers.clip import LONGEST, clip, finish, last_sentence
from mmpr.answers.final_answers.families import after_reasoning
from mmpr.answers.final_answers.found import LAST_SENTENCE, ONE_SENTENCE, Found
from mmpr.answers.final_answers.languages import words
from mmpr.answers.final_answers.marked import marked_answer, withdrawn
from mmpr.answers.final_answers.phrases import namings, refuses_option
from mmpr.answers.final_answers.unmarked import SHORT_REPLY, arrived_at, bare_lines, called_right, without_politeness
from mmpr.answers.text.characters import lower
from mmpr.answers.text.sentences import is_refusal

TEMPLATES = frozenset({"en", "zh", "en_v2", "zh_v2", "en_r1", "zh_r1", "plain", "direct"})

_TAIL = 16_384  # characters: an answer stands at the end, so a runaway response costs no more than this
_PREFACE = 40  # characters that may stand before the echo of a question


def extract(response: str, template: str | None = None) -> str | None:
    """The final answer of a response, or None when there is no clear one.

    ``template`` names the prompt that was asked (``en``, ``zh``, ``en_v2``, ``zh_v2``, ``en_r1``, ``zh_r1``,
    ``plain``, ``direct``); None accepts any known form. To ``direct`` a short reply of one line is itself the answer.
    Raises ValueError for another name, never anything else.
    """
    found = find_answer(response, template)
    return found.answer if found.sure else None


def find_answer(response: str, template: str | None = None) -> Found:
    """The final answer of a response, and whether it is sure; see ``extract`` for the template and what is raised."""
    if template is not None and template not in TEMPLATES:
        raise ValueError(f"unknown template {template!r}: one of {', '.join(sorted(TEMPLATES))}")
    if not isinstance(response, str):
        return Found(None, True, "no text")
    shown, reasoning = after_reasoning(spelled(response[-_TAIL:]))
    if shown is None:
        return Found(None, True, "the reasoning does not end")
    if not shown.strip() and reasoning.strip():
        inside = marked_answer(reasoning, template)
        return Found(inside.answer if inside else None, inside is None, "an answer only within the reasoning")
    first = None
    for turn in _turns(shown):
        found = _in_turn(turn, template)
        if found.answer is not None and found.sure:
            return found
        first = first or found
        if len(turn.strip()) > _PREFACE and not _ECHO.match(turn):
            break  # what follows the model's own words is an invented turn
    return first or Found(None, True, "empty")


# --- turns ------------------------------------------------------------------------------------------------------------

_ROLE = (
    r"(?:question|q|problem|user|human|instruction|input|问题|题目|用户|提问|質問|問題|질문|문제|frage"
    r"|pregunta|pergunta"
    r"|domanda|вопрос|السؤال|प्रश्न)"
)
_TURN = rf"(?:\*\*|__|#{{1,6}}[ \t]*+(?:\*\*)?)?{_ROLE}(?:[ \t]?\d{{1,3}})?[ \t]?(?:\*\*)?[ \t]?[:：]"
_NEXT_TURN = re.compile(rf"\n[ \t]*+{_TURN}|(?<=\s)(?-i:USER|Human|HUMAN):", re.IGNORECASE)
_ECHO = re.compile(rf"\s*+{_TURN}", re.IGNORECASE)


def _turns(text: str) -> Iterator[str]:
    """A text cut where another turn is invented (``Question: …``, ``User: …``)."""
    start = 0
    for mark in _NEXT_TURN.finditer(text):
        if text[start : mark.start()].strip():
            yield text[start : mark.start()]
            start = mark.start()
    yield text[start:]


def _in_turn(text: str, template: str | None) -> Found:
    """The answer of one turn."""
    named = marked_answer(text, template)
    cut = cut_box(text)
    if cut is not None and (cut.whole or named is None or named.start >= cut.start or "boxed{" in named.answer):
        return Found(cut.content, cut.whole, "a box that is cut short")
    if named is not None:
        return Found(named.answer, True, named.why)
    text = without_politeness(text)
    for look in (called_right, arrived_at, bare_lines):
        found = look(text)
        if found is not None:
            return found
    unsure = withdrawn(text)
    if unsure is not None:
        return unsure
    reply = text.strip()
    if template == "direct" and reply and len(reply) <= SHORT_REPLY and "\n" not in reply:
        return Found(finish(reply), not refuses_option(reply), "the reply to a direct question")
    return _maybe(text)


# --- what may be an answer --------------------------------------------------------------------------------------------

_DECLINED = re.compile(rf"(?:{words('no_answer')})")
_WHOLE = re.compile(r"[.。．!！）)\]}”\"'」』$*`…%।]$|[입습]니다$|です$|ます$")
_STEPS = re.compile(r"(?:\d++[.)、]|[-*•#])\s")
_STEP = re.compile(r"(?:step|schritt|étape|paso|passo|шаг|步骤|ステップ|단계)[ \t]*+\d++\W*+$", re.IGNORECASE)
_PROMPT = re.compile(
    r"\b(?:answer with|please (?:use|answer|select|write)|use the format|in this form|write your (?:answer|conclusion)"
    r"|final answer: ?\.\.|answer the question|select (?:one|the correct))|请(?:用|使用|先|回答|选择|以"
    r"|在)|请.{0,20}作答",
    re.IGNORECASE,
)
_BLANK = re.compile(r"[(（][\s\u3000]*+[)）]|_{3,}")


def _maybe(text: str) -> Found:
    """What may be the answer of a text that names none: its last sentence."""
    line = text.strip().rpartition("\n")[2].strip()[-LONGEST:]
    sentence = last_sentence(line)
    if not any(char.isalnum() for char in sentence):
        return Found(None, True, "no answer")
    if sentence.rstrip("*_ ").endswith(("?", "？", ":", "：")) or _declines(text[-2 * SHORT_REPLY :]):
        return Found(None, True, "a question or a refusal")
    if not _WHOLE.search(line):
        return Found(None, True, "cut off without an answer")
    if (
        _STEPS.match(line)
        or _STEP.match(sentence)
        or _PROMPT.search(line)
        or _BLANK.search(line)
        or _names_nothing(line)
    ):
        return Found(None, True, "no answer in the last line")
    return Found(finish(sentence), False, ONE_SENTENCE if sentence == text.strip() else LAST_SENTENCE)


def _declines(text: str) -> bool:
    """Whether the end of a text says that there is no answer."""
    return is_refusal(text) or _DECLINED.search(lower(text)) is not None


def _names_nothing(line: str) -> bool:
    """Whether a line has a label and no answer behind it."""
    return any(mark.kind == "label" and finish(clip(line[mark.end :])) in (None, "") for mark in namings(line))

"""Prompt templates: a question becomes a prompt, a prompt becomes chat messages.

Templates are read from files by ``mmpr.templates``. Before the question may stand other turns: a system prompt, worked
examples of the template, the earlier turns of a conversation. Sampling, training and exports put them together here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmpr.config import OptionsSpec
from mmpr.schema import IMAGE_MARK, Question, Turn, content_id

OPTIONS = OptionsSpec()

# Sources end their questions with these; they contradict a prompt that asks for reasoning (paper, appendix).
_INSTRUCTIONS = (
    r"answer (?:the question )?(?:using|with|in) (?:a|one) (?:single )?(?:word|number)"
    r"(?: or (?:a )?(?:short )?phrase| or number)?",
    r"answer (?:the question )?with (?:a )?(?:short answer|(?:single )?word or phrase)",
    r"answer with the (?:option(?:['’]s)? letter|letter of the (?:correct )?option)"
    r"(?: from the given choices)?(?: directly)?",
    r"please (?:directly )?(?:answer|provide|select) (?:with )?the (?:correct )?(?:option(?:['’]s)? )?letter"
    r"(?: directly)?",
    r"(?:please )?answer (?:with )?[\"']?yes[\"']? or [\"']?no[\"']?",
    r"请?(?:直接)?(?:用|以)(?:一个)?(?:单词|词|字|数字)(?:(?:或|或者)(?:短语|词组))?(?:来)?回答(?:这个|该|上述)?(?:问题)?",
    r"请?(?:直接)?(?:从(?:给定的?|所给)?选项中)?(?:选择|回答|给出|作答)(?:正确)?(?:答案|选项)的?(?:选项)?字母",
    r"请?(?:直接)?(?:用|以|回答) ?[“\"]?是[”\"]?(?:或|或者|还是)[“\"]?(?:否|不是)[”\"]?"
    r"(?:来)?(?:回答)?(?:这个问题|问题)?",
)
_SHORT_ANSWER = re.compile(
    rf"(?:^|(?<=[\s.?!:。？！：，])|(?<=[\u4e00-\u9fff]))(?:{'|'.join(_INSTRUCTIONS)})\s*[.。!！]?$", re.I
)
_LONGEST_INSTRUCTION = 200


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that a model is shown: the last turn's text, the turns before it, and the pictures of all in their order."""

    text: str
    context: tuple[Turn, ...] = ()
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A named prompt text holding ``{question}`` once and ``{choices}`` at most once.

    ``context`` are turns that come before every question, a system prompt and worked examples, and ``images`` the
    pictures of these.
    """

    name: str
    text: str
    context: tuple[Turn, ...] = ()
    images: tuple[bytes, ...] = ()

    @property
    def sha256(self) -> str:
        """Identifies the wording and its pictures, whatever the name: 64 hex digits, of most templates of the text."""
        if not self.context:
            return hashlib.sha256(self.text.encode()).hexdigest()
        turns = [part for turn in self.context for part in (turn.role, turn.text)]
        told = content_id(self.text, str(len(turns)), *turns, *self.images)
        return hashlib.sha256(told.encode()).hexdigest()

    def ask(self, question: Question, options: OptionsSpec = OPTIONS) -> Prompt:
        """What a model is shown to ask it a question, the turns of its conversation among it."""
        return Prompt(
            self.render(question.question, question.choices, options),
            one_system((*self.context, *question.context)),
            (*self.images, *question.images),
        )

    @property
    def shows_choices(self) -> bool:
        """Whether it shows the options of a question."""
        return "{choices}" in self.text

    def render(self, question: str, choices: Sequence[str] = (), options: OptionsSpec = OPTIONS) -> str:
        """The prompt for a question: short-answer instructions removed, leading pictures before the template's words.

        ``{choices}`` becomes the options, shown as ``options`` says; of a question without any, its line goes.
        ``plain`` changes nothing. Marks inside the question's text stay where they are. A question that already stands
        in this template, as MMPR's released ones do, is not put into it twice.
        """
        text = self.text.strip()
        if text == "{question}":
            return question
        marks, words = _leading_marks(strip_short_answer(question))
        if not choices:
            text = text.replace("\n{choices}", "")
        before, after = (part.replace("{choices}", options.shown(choices)) for part in text.split("{question}"))
        if before and words.startswith(before) and words.endswith(after):
            words = strip_short_answer(words[len(before) : len(words) - len(after)])
        return IMAGE_MARK * marks + ("\n" if marks else "") + before + words + after


def strip_short_answer(question: str) -> str:
    """The question without a closing instruction to answer in a word, a letter, or yes or no."""
    words = question.rstrip()
    tail = words[-_LONGEST_INSTRUCTION:]
    return (words[: len(words) - len(tail)] + _SHORT_ANSWER.sub("", tail)).rstrip()


def one_system(turns: Sequence[Turn], system: str = "") -> tuple[Turn, ...]:
    """The turns with all system prompts, ``system`` first, as one turn at the beginning; without any there is none.

    Chat templates take one.
    """
    told = [text for text in (system, *(turn.text for turn in turns if turn.role == "system")) if text]
    spoken = (turn for turn in turns if turn.role != "system")
    return (*([Turn("system", "\n\n".join(told))] if told else ()), *spoken)


def all_turns(prompt: str, system: str = "", context: Sequence[Turn] = ()) -> tuple[Turn, ...]:
    """The turns of a prompt from the system prompt, if there is one, to the user's last."""
    return one_system((*context, Turn("user", prompt)), system)


def to_messages(prompt: str, system: str = "", context: Sequence[Turn] = ()) -> list[dict[str, Any]]:
    """A prompt in the form that ``apply_chat_template`` takes, a message a turn (``all_turns``).

    ``"<image>\\nHow many?"`` becomes ``[{"type": "image"}, {"type": "text", "text": "How many?"}]``: each mark is a
    picture, and one line break after it goes, since chat templates put their own.
    """
    return [{"role": turn.role, "content": _parts(turn.text)} for turn in all_turns(prompt, system, context)]


def _parts(said: str) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for place, text in enumerate(said.split(IMAGE_MARK)):
        if place:
            content.append({"type": "image"})
            text = text.removeprefix("\n")
        if text:
            content.append({"type": "text", "text": text})
    return content or [{"type": "text", "text": ""}]  # a turn that was nothing but a picture, without it


def prints_parts(rendered: str, messages: list[dict[str, Any]]) -> str:
    """What is wrong with a chat template that printed the list of a message's parts instead of its text, or nothing.

    Some public ones do with a system prompt (GLM-4.1V's), in sampling as in training.
    """
    roles = dict.fromkeys(message["role"] for message in messages if str(message["content"]) in rendered)
    return (
        f"the chat template prints the parts of the {' and the '.join(roles)} message as a Python list; put the text "
        f"of {'chat.system' if 'system' in roles else 'these turns'} into the questions' template, or name another "
        "chat.template"
        if roles
        else ""
    )


def without_images(prompt: str) -> str:
    """The prompt with its pictures taken away (paper, section 3.1: dropout next-token prediction)."""
    return prompt.replace(IMAGE_MARK + "\n", "").replace(IMAGE_MARK, "")


def blind(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns with their pictures taken away."""
    return tuple(replace(turn, text=without_images(turn.text)) for turn in turns)


def _leading_marks(question: str) -> tuple[int, str]:
    marks, words = 0, question.lstrip()
    while words.startswith(IMAGE_MARK):
        marks, words = marks + 1, words.removeprefix(IMAGE_MARK).lstrip()
    return marks, words

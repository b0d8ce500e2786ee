"""Prompt templates: a question becomes a prompt, a prompt becomes chat messages.

A template is a text file with ``{question}`` in it, once, and perhaps ``{choices}``. The paper's six live in
``prompts/`` (``en zh en_v2 zh_v2 en_r1 zh_r1``), beside ``plain``, which asks the question as it is, and
``en_choices``, which is ``en`` with the options.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpr.config import OptionsSpec, SourceSpec
from mmpr.config.small_files import read_small
from mmpr.errors import MmprError
from mmpr.resources import PROMPTS
from mmpr.schema import IMAGE_MARK

OPTIONS = OptionsSpec()
MAX_TEMPLATE_BYTES = 100 << 10

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
class Template:
    """A named prompt text holding ``{question}`` once and ``{choices}`` at most once.

    ``sha256`` is of the text, as 64 hex digits.
    """

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Identifies the wording, whatever the name."""
        return hashlib.sha256(self.text.encode()).hexdigest()

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


def load_template(name: str, folder: Path = Path(".")) -> Template:
    """A template of ``prompts/`` by name, or a file by its path (``./mine.txt``), relative to ``folder``.

    Raises:
        MmprError: there is no such template, or it does not hold ``{question}`` exactly once.
    """
    path, text = read_prompt(name, folder, PROMPTS)
    if text.count("{question}") != 1:
        raise MmprError(
            f"template {path}: must hold {{question}} exactly once, it holds it {text.count('{question}')} times"
        )
    if text.count("{choices}") > 1:
        raise MmprError(f"template {path}: holds {{choices}} {text.count('{choices}')} times, once is enough")
    if IMAGE_MARK in text:
        raise MmprError(f"template {path}: must not hold {IMAGE_MARK}; pictures come with the question")
    return Template(name, text)


def read_prompt(name: str, folder: Path, ours: Path) -> tuple[Path, str]:
    """The file and the text of a prompt: one of the folder ``ours`` by name, or a path relative to ``folder``.

    Raises:
        MmprError: there is no such file, or it is no text.
    """
    is_path = name.startswith((".", "/"))
    path = folder / name if is_path else ours / f"{name}.txt"
    known = ", ".join(sorted(file.stem for file in ours.glob("*.txt")))
    if not is_path and not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise MmprError(f"template {name!r}: name one of {known}, or a file (./mine.txt)")
    try:
        return path, read_small(path, MAX_TEMPLATE_BYTES).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise MmprError(f"template {path}: is not UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise MmprError(f"template {name!r}: {reason}; there are {known}") from None


def source_template(spec: SourceSpec, name: str, folder: Path) -> Template:
    """``load_template`` for a source of a recipe (MmprError, too, where it shows options and the source has none)."""
    template = load_template(name, folder)
    columns = getattr(spec, "columns", None)
    if template.shows_choices and columns is not None and columns.choices is None:
        raise MmprError(f"source {spec.name!r}: template {name!r} shows options; name their column (columns.choices)")
    return template


def strip_short_answer(question: str) -> str:
    """The question without a closing instruction to answer in a word, a letter, or yes or no."""
    words = question.rstrip()
    tail = words[-_LONGEST_INSTRUCTION:]
    return (words[: len(words) - len(tail)] + _SHORT_ANSWER.sub("", tail)).rstrip()


def to_messages(prompt: str, system: str = "") -> list[dict[str, Any]]:
    """A user turn, after a system prompt if there is one, in the form that ``apply_chat_template`` takes.

    ``"<image>\\nHow many?"`` becomes ``[{"type": "image"}, {"type": "text", "text": "How many?"}]``: each mark is a
    picture, and one line break after it goes, since chat templates put their own.
    """
    content: list[dict[str, Any]] = []
    for place, text in enumerate(prompt.split(IMAGE_MARK)):
        if place:
            content.append({"type": "image"})
            text = text.removeprefix("\n")
        if text:
            content.append({"type": "text", "text": text})
    before = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    return [*before, {"role": "user", "content": content}]


def prints_parts(rendered: str, messages: list[dict[str, Any]]) -> str:
    """What is wrong with a chat template that printed the list of a message's parts instead of its text, or nothing.

    Some public ones do with a system prompt (GLM-4.1V's), in sampling as in training.
    """
    roles = [message["role"] for message in messages if str(message["content"]) in rendered]
    return (
        f"the chat template prints the parts of the {' and the '.join(roles)} message as a Python list; put the text "
        "of chat.system into the questions' template, or name another chat.template"
        if roles
        else ""
    )


def without_images(prompt: str) -> str:
    """The prompt with its pictures taken away (paper, section 3.1: dropout next-token prediction)."""
    return prompt.replace(IMAGE_MARK + "\n", "").replace(IMAGE_MARK, "")


def _leading_marks(question: str) -> tuple[int, str]:
    marks, words = 0, question.lstrip()
    while words.startswith(IMAGE_MARK):
        marks, words = marks + 1, words.removeprefix(IMAGE_MARK).lstrip()
    return marks, words

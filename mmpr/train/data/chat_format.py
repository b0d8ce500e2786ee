"""How a model's chat template writes an answer, found by having it write one.

A message of an assistant becomes the text that the template puts after the prompt, up to the token with which it ends a
message (where there is none: the token that begins the next turn, if the model stops at it, else the tokenizer's end of
sequence). What a model has sampled needs the prompt and that token alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from mmpr.config import ChatSpec
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.errors import MmprError
from mmpr.prompts import prints_parts, to_messages

_ASKED, _ANSWERED = "Mmpr asks?", "Mmpr answers."
# How templates strip an answer, the most common first.
_STRIPS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    str.strip,
    str.lstrip,
    str.rstrip,
    lambda text: text.strip("\n"),
    lambda text: text.lstrip("\n"),
    lambda text: text.rstrip("\n"),
)
TEMPLATE_ERRORS = (
    TemplateError, MmprError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError,
)  # fmt: skip
"""What a chat template, a program of its own, may raise."""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How a chat template writes an answer.

    Attributes:
        parts: whether it takes content as a list of parts; else it takes plain text.
        head: the text between the prompt and the answer (often empty).
        end: the text after the answer, up to and with the token that ends it.
        end_token_id: that token.
        tail: the end of the prompt, after the question.
        strip: how the template strips white space of the answer.
        problem: why the template cannot write an answer after the prompt (empty: it can).
    """

    parts: bool
    head: str
    end: str
    end_token_id: int
    tail: str
    strip: Callable[[str], str]
    problem: str = ""


def find_format(processor: Any, stops: Collection[int] = (), chat: ChatSpec = DEFAULT_CHAT) -> ChatFormat:
    """Find the format by rendering an answer with the chat template of a processor or tokenizer.

    ``stops`` are tokens at which the model ends an answer, ``chat`` the settings of the chat format.

    Raises:
        MmprError: there is no template that can be used, or nothing ends an answer.
    """
    parts, prompt = _asked(processor, chat)
    messages = to_messages(_ASKED, chat.system)

    def answered(answer: str, *more: dict[str, Any]) -> str:
        said = [*messages, {"role": "assistant", "content": [{"type": "text", "text": answer}]}, *more]
        return render(processor, said, parts=parts, prompt=False, chat=chat)

    tail = prompt.rpartition(_ASKED)[2]
    tokenizer = getattr(processor, "tokenizer", processor)
    try:
        whole = answered(_ANSWERED)
    except TEMPLATE_ERRORS as error:
        whole, problem = "", f"chat template: it refuses an answer: {error}"[:300]
    else:
        problem = "" if whole.startswith(prompt) and _ANSWERED in whole[len(prompt) :] else _not_after(prompt, whole)
    if problem:
        end, end_token_id = _end(tokenizer, whole.partition(_ANSWERED)[2])
        return ChatFormat(parts, "", end, end_token_id, tail, _STRIPS[0], problem)
    head, _, after = whole[len(prompt) :].partition(_ANSWERED)
    padded = f" \n{_ANSWERED}\n "
    kept = answered(padded)[len(prompt) :]
    strip = next((strip for strip in _STRIPS if head + strip(padded) + after == kept), _STRIPS[0])
    if not after.strip():
        with contextlib.suppress(*TEMPLATE_ERRORS):  # a template may take one turn only
            after = _stop_of_turn(tokenizer, answered(_ANSWERED, *messages).partition(_ANSWERED)[2], stops) or after
    end, end_token_id = _end(tokenizer, after)
    return ChatFormat(parts, head, end, end_token_id, tail, strip)


def _not_after(prompt: str, whole: str) -> str:
    return (
        "chat template: with an answer it does not begin with the prompt "
        f"(add_generation_prompt gives {prompt[-60:]!r}, the conversation {whole[-100:]!r}); use another template"
    )


def _stop_of_turn(tokenizer: Any, after: str, stops: Collection[int]) -> str:
    """What follows an answer before another turn, when that begins with a token at which the model stops."""
    first = tokenizer(after, add_special_tokens=False)["input_ids"][:1]
    return str(tokenizer.convert_ids_to_tokens(first[0])) if first and first[0] in stops else ""


def _asked(processor: Any, chat: ChatSpec) -> tuple[bool, str]:
    """Whether the template takes content as a list of parts, and a prompt that it makes."""
    problem: object = "it leaves the question out"
    for parts in (True, False):
        messages = to_messages(_ASKED, chat.system)
        try:
            prompt = render(processor, messages, parts=parts, prompt=True, chat=chat)
        except TEMPLATE_ERRORS as error:
            problem = error
            continue
        # A template that expects plain text would print the list.
        if prompt.count(_ASKED) == 1 and f"'{_ASKED}'" not in prompt and f'"{_ASKED}"' not in prompt:
            if printed := prints_parts(prompt, messages):
                raise MmprError(printed)
            return parts, prompt
    raise MmprError(f"the model has no chat template that can be used: {problem}"[:500]) from None


def render(
    processor: Any, messages: Sequence[Mapping[str, Any]], *, parts: bool, prompt: bool, chat: ChatSpec = DEFAULT_CHAT
) -> str:
    """The text that the chat template makes of messages, with the generation prompt if ``prompt`` is true.

    ``parts`` says whether the template takes content as a list of parts (`ChatFormat.parts`).

    Raises:
        MmprError: there are pictures, and the template takes plain text.
        TEMPLATE_ERRORS: the template refuses the messages.
    """
    given: list[dict[str, Any]]
    if parts:
        given = [{**message, "content": [dict(part) for part in message["content"]]} for message in messages]
    elif any(part["type"] != "text" for message in messages for part in message["content"]):
        raise MmprError("its messages are plain text, without a place for pictures")
    else:
        given = [{**message, "content": "".join(part["text"] for part in message["content"])} for message in messages]
    own = {"chat_template": chat.template} if chat.template else {}
    settings = {**chat.template_kwargs, **own, "tokenize": False, "add_generation_prompt": prompt}
    return str(processor.apply_chat_template(given, **settings))


def _end(tokenizer: Any, after: str) -> tuple[str, int]:
    """The text that follows an answer up to the token that ends it, and that token."""
    added = tokenizer.added_tokens_decoder
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in tokenizer.all_special_ids or (token in added and added[token].special):
            text = tokenizer.convert_ids_to_tokens(token)
            return after[: after.index(text) + len(text)], int(token)
    if tokenizer.eos_token is None:
        raise MmprError("chat template: nothing ends an answer, and the tokenizer has no end of sequence")
    return str(tokenizer.eos_token), int(tokenizer.eos_token_id)

"""Prompts and responses of tables, as text or chat messages, in the one form that training uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpr.errors import RowError
from mmpr.prompts import to_messages
from mmpr.schema import IMAGE_MARK
from mmpr.sources.ingest import check_words, with_marks

Messages = tuple[Mapping[str, Any], ...]
"""Chat messages whose content is a list of parts, image or text."""


_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant"}
"""Names of the two sides in ShareGPT's conversations; a system is called so everywhere."""
_PICTURES = ("image", "image_url")
_FILE = "file://"


def to_turns(messages: Any) -> list[Any]:
    """Messages of a column, ``{"from", "value"}`` as ``{"role", "content"}``; what is no message stays what it is.

    Raises:
        RowError: wrong_type.
    """
    if not isinstance(messages, list):
        raise RowError("wrong_type", "a conversation is no list of messages")
    return [
        {"role": _ROLES.get(str(turn["from"]), turn["from"]), "content": turn.get("value")}
        if isinstance(turn, Mapping) and turn.get("from") is not None
        else turn
        for turn in messages
    ]


def turn_pictures(turns: Any) -> list[Any]:
    """The pictures that stand in the parts of messages, as a cell would hold them; none where a part has no own one.

    A part is ``{"type": "image", "image": ...}`` (or ``path``, ``url``, ``base64``) or has an ``image_url``.
    """
    contents = [turn.get("content") for turn in turns if isinstance(turn, Mapping)]
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, Mapping)]
    cells = [_own_picture(part) for part in parts if part.get("type") in _PICTURES]
    return [cell for cell in cells if cell is not None]


def _own_picture(part: Mapping[str, Any]) -> Any:
    if part.get("base64") is not None:
        return {"bytes": part["base64"]}
    cell = next((part[name] for name in ("image", "image_url", "path", "url") if part.get(name) is not None), None)
    if isinstance(cell, Mapping) and cell.get("url") is not None:
        cell = cell["url"]
    return cell.removeprefix(_FILE) if isinstance(cell, str) else cell


def read_prompt(prompt: Any, pictures: int) -> Messages:
    """A prompt, text or messages, as messages whose content is parts.

    Pictures that have no place in it come before the text of the first message of the user.

    Raises:
        RowError: missing_field, wrong_type, image_marks, unsupported_part, bad_text.
    """
    if type(prompt) is str:
        check_words("prompt", prompt)
        return tuple(to_messages(with_marks(prompt, pictures)))
    if not isinstance(prompt, list) or not prompt:
        raise RowError("missing_field" if prompt is None else "wrong_type", "'prompt' is neither text nor messages")
    messages: list[dict[str, Any]] = [
        {"role": _role(message), "content": _parts(message.get("content"))} for message in prompt
    ]
    if pictures and not any(part["type"] == "image" for message in messages for part in message["content"]):
        marked = [_marked(message["content"]) for message in messages]
        users = [place for place, message in enumerate(messages) if message["role"] == "user"]
        if any(part["type"] == "image" for content in marked for part in content):
            messages = [{**message, "content": content} for message, content in zip(messages, marked, strict=True)]
        elif users:
            messages[users[0]]["content"] = [{"type": "image"}] * pictures + messages[users[0]]["content"]
    check_marks(tuple(messages), pictures)
    return tuple(messages)


def _role(message: Any) -> str:
    if not isinstance(message, Mapping) or type(message.get("role")) is not str:
        raise RowError("wrong_type", "a message of 'prompt' has no role")
    check_words("role", message["role"])
    return str(message["role"])


def _parts(content: Any) -> list[dict[str, Any]]:
    """The content of a message, text or parts, as parts."""
    if type(content) is str:
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise RowError("wrong_type", "a message's content is neither text nor a list of parts")
    parts: list[dict[str, Any]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in _PICTURES:
            parts.append({"type": "image"})
        elif kind == "text" and type(part.get("text")) is str:
            check_words("prompt", part["text"])
            parts.append({"type": "text", "text": part["text"]})
        else:
            raise RowError(
                "unsupported_part", f"a part of a message of type {ascii(kind)[:100]}; image or text is read"
            )
    return parts


def _marked(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same parts with an image part for each ``<image>`` in their text."""
    return [
        made
        for part in parts
        for made in (to_messages(part["text"])[0]["content"] if IMAGE_MARK in part.get("text", "") else [part])
    ]


def check_marks(prompt: Messages, pictures: int) -> None:
    """Raise RowError (image_marks) unless the prompt has one image part for each picture."""
    marks = sum(part["type"] == "image" for message in prompt for part in message["content"])
    if marks != pictures:
        raise RowError("image_marks", f"{marks} places for pictures in the prompt, {pictures} pictures")


def read_response(answer: Any, name: str) -> str:
    """The text of a response, which is text or a single message of the assistant."""
    if isinstance(answer, list):
        if len(answer) != 1:
            raise RowError("several_turns", f"{name!r} has {len(answer)} messages after the prompt; one is read")
        parts = _parts(answer[0].get("content") if isinstance(answer[0], Mapping) else None)
        if _role(answer[0]) != "assistant" or any(part["type"] != "text" for part in parts):
            raise RowError("wrong_type", f"{name!r} is not the assistant's text")
        answer = "".join(part["text"] for part in parts)
    if type(answer) is not str:
        raise RowError("missing_field" if answer is None else "wrong_type", f"{name!r} is neither text nor messages")
    check_words(name, answer)
    if not answer.strip():
        raise RowError("empty_response", f"{name!r} is empty")
    return answer


def split_conversations(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """Prompt, chosen and rejected: the common beginning of two conversations, and what follows it in each.

    TRL reads rows without a prompt in this way.
    """
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        return None, chosen, rejected
    same = 0
    for left, right in zip(chosen[:-1], rejected[:-1], strict=False):
        if left != right:
            break
        same += 1
    return chosen[:same], chosen[same:], rejected[same:]

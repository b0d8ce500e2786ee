"""Conversations as questions: LLaVA and ShareGPT, ms-swift, LLaMA-Factory, OpenAI's messages.

    conversations: [{from: human, value}, {from: gpt, value}]    LLaVA, ShareGPT, LLaMA-Factory
    messages:      [{role: user, content}, {role: assistant, content}]    ms-swift, OpenAI (content: text or parts)
    instruction, input, output    or    query, response    with history and system    LLaMA-Factory's alpaca, ms-swift

The last user turn asks; what stands before it is context and is shown as the turns that it was. The assistant's turn
after it is the truth, or there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmpr.config import Recipe, TableSource
from mmpr.errors import RowError, SourceError
from mmpr.schema import IMAGE_MARK, Role, SourceRow, Turn
from mmpr.sources.jsonl import Jsonl
from mmpr.sources.values import kind_of, short

SUFFIXES = (".json", ".jsonl")
_NO_ROWS = ("dataset_info.json", "dataset_infos.json")

_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
_ALPACA = (("instruction", "input", "output"), ("query", "", "response"))
_OTHER_MEDIA = ("videos", "video", "audios", "audio")


class Conversations(Jsonl):
    """Files of conversations, one a line or in one list; as rows they have ``question``, ``answer`` and ``image``."""

    def __init__(self, spec: TableSource, recipe: Recipe) -> None:
        """Raises SourceError when a file is missing or holds something else."""
        super().__init__(spec, recipe, suffixes=SUFFIXES, but=_NO_ROWS)

    def check(self, path: Path, records: list[dict[str, Any]]) -> None:
        """See from the first rows whether they are conversations (SourceError when they are not)."""
        if records and not any(_is_conversation(record) for record in records):
            there = ", ".join(sorted({str(name) for record in records for name in record}))[:300]
            raise SourceError(
                f"{path}: no row has conversations, messages, instruction or query; it has: {there}; type: jsonl reads "
                "rows with columns of your own"
            )
        shaped = []
        for record in records:
            try:
                shaped.append(self.shape(record))
            except RowError:
                continue  # the row itself tells of it
        super().check(path, shaped)

    def shape(self, record: dict[str, Any]) -> dict[str, Any]:
        """A conversation as a row; its other columns stay (RowError as ``as_row``)."""
        return as_row(record)

    def row(self, record: Mapping[str, Any], where: str, name: str, place: int) -> SourceRow:
        """The row that a conversation makes, with the turns before its question."""
        return replace(super().row(record, where, name, place), context=record["context"])


def as_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A conversation as ``question``, ``answer`` (None: there is none), ``image`` and ``context`` (the turns before the
    question), with its other columns.

    Raises:
        RowError: no_conversation, turns (what is no alternation of user and assistant, tools, videos).
    """
    for name in _OTHER_MEDIA:
        if record.get(name):
            raise RowError("turns", f"has {name}; only pictures and text are read")
    pictures: list[Any] = []
    turns = list(_turns(record, pictures))
    told = [turn for turn in turns if turn.role == "system"]
    spoken = turns[len(told) :]
    if not spoken:
        raise RowError("no_conversation", f"there is no turn; the row has {short(list(record))}")
    if any(turn.role == "system" for turn in spoken):
        raise RowError("turns", "a system turn stands among the others")
    for place, turn in enumerate(spoken):
        if turn.role != ("user", "assistant")[place % 2]:
            raise RowError("turns", f"turn {place + 1} is the {turn.role}'s; user and assistant must take turns")
    answer = spoken.pop().text if spoken[-1].role == "assistant" else None
    question = spoken.pop().text
    image = pictures or record.get("images") or record.get("image")
    context = (*(turn for turn in told if turn.text.strip()), *spoken)
    return {**record, "question": question, "answer": answer, "image": image, "context": context}


def _is_conversation(record: Mapping[str, Any]) -> bool:
    return any(name in record for name in ("conversations", "conversation", "messages", "instruction", "query"))


def _turns(record: Mapping[str, Any], pictures: list[Any]) -> Iterator[Turn]:
    """The turns of a row in order; pictures that stand in them are put into the list."""
    system = record.get("system")
    if isinstance(system, str) and system.strip():
        yield Turn("system", system)
    turns = next((record[name] for name in ("conversations", "conversation", "messages") if record.get(name)), None)
    if turns is not None:
        if not isinstance(turns, list):
            raise RowError("turns", f"the conversation is {kind_of(turns)}, a list of turns is expected")
        yield from (_turn(turn, pictures) for turn in turns)
        return
    for ask, more, answer in _ALPACA:
        if ask in record:
            yield from _history(record.get("history"))
            words = [record.get(ask), record.get(more) if more else None]
            yield Turn("user", "\n".join(_words(text, ask, pictures) for text in words if text))
            if record.get(answer):
                yield Turn("assistant", _words(record[answer], answer, pictures))
            return


def _turn(turn: Any, pictures: list[Any]) -> Turn:
    if not isinstance(turn, Mapping):
        raise RowError("turns", f"a turn is {kind_of(turn)}, a mapping is expected")
    who, what = ("from", "value") if "from" in turn else ("role", "content")
    role = turn.get(who)
    if not isinstance(role, str) or role not in _ROLES:
        raise RowError("turns", f"a turn is by {short(role)}; user, assistant and system are read")
    return Turn(_ROLES[role], _words(turn.get(what), what, pictures))


def _history(history: Any) -> Iterator[Turn]:
    if not history:
        return
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise RowError("turns", "history is no list of pairs")
    for asked, answered in history:
        yield Turn("user", _words(asked, "history", []))
        yield Turn("assistant", _words(answered, "history", []))


def _words(content: Any, name: str, pictures: list[Any]) -> str:
    """What is said: text, or parts, each picture of which leaves a mark."""
    if type(content) is str:
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise RowError("turns", f"{name!r} is {kind_of(content)}, text or a list of parts is expected")
    said = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            said.append(part["text"])
        elif kind in ("image", "image_url"):
            said.append(IMAGE_MARK)
            if len(part) > 1:  # {"type": "image"} alone stands for the next of the row's pictures
                pictures.append(part)
        else:
            raise RowError("turns", f"a part of {name!r} is {short(kind)}; text and image are read")
    return "\n".join(said)

"""One pair in each format; ``docs/formats.md`` shows them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from mmpr.prompts import all_turns, to_messages
from mmpr.schema import IMAGE_MARK, Pair, PairedResponse, PreferenceRow, Turn

Format = Literal["trl", "mmpr", "llama-factory", "ms-swift"]
Images = Literal["bytes", "files"]

IMAGES: dict[Format, tuple[Images, ...]] = {
    "trl": ("bytes", "files"),
    "mmpr": ("files",),
    "llama-factory": ("files",),
    "ms-swift": ("files", "bytes"),
}
"""How each format can hold pictures, its default first."""

_SHAREGPT = {"user": "human", "assistant": "gpt"}
_MEDIA = (IMAGE_MARK, "<video>", "<audio>")
_RESERVED: dict[Format, tuple[str, ...]] = {
    "trl": (IMAGE_MARK,),
    "mmpr": (IMAGE_MARK,),
    "llama-factory": _MEDIA,
    "ms-swift": (*_MEDIA, "<img>", "<bbox>", "<ref-object>", "<cot-process>", "<start-image>"),
}


_TEXTS = pa.list_(pa.string())
_MESSAGES = pa.list_(
    pa.struct([("role", pa.string()), ("content", pa.list_(pa.struct([("type", pa.string()), ("text", pa.string())])))])
)
_TURN = pa.struct([("from", pa.string()), ("value", pa.string())])
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])

SCHEMAS: dict[Format, pa.Schema] = {
    "trl": pa.schema(
        [
            *((name, pa.string()) for name in ("id", "source", "method")),
            ("images_file_names", _TEXTS),
            *((name, _MESSAGES) for name in ("prompt", "chosen", "rejected")),
            ("answer", pa.string()),
        ]
    ),
    "llama-factory": pa.schema(
        [
            ("id", pa.string()),
            ("conversations", pa.list_(_TURN)),
            ("chosen", _TURN),
            ("rejected", _TURN),
            ("images", _TEXTS),
            ("system", pa.string()),
        ]
    ),
    "ms-swift": pa.schema(
        [("id", pa.string()), ("messages", pa.list_(_MESSAGE)), ("rejected_response", pa.string()), ("images", _TEXTS)]
    ),
}
"""The columns of what `record` gives, where it is written as Parquet (trl: with pictures as files).

As JSON lines the columns would have no types, and `datasets` takes them from what it reads first: of rows without
pictures ``images`` is a list of nothing, and the next file, or the next 10 MB, are refused. The schemas carry no
features of `datasets`, which its versions before 4 would not understand.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message's content: of type ``text``, or of type ``image`` without a text."""

    type: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a conversation."""

    role: str
    content: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class TrlRow:
    """A row of TRL's vision preference format, with its pictures."""

    id: str
    source: str
    method: str
    images: tuple[bytes, ...]
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    answer: str | None
    answers: tuple[str, ...] = ()


def reserved_mark(format: Format, row: PreferenceRow, pair: Pair) -> str | None:
    """A mark in the pair's text that the format's reader would take for a picture or a command; None without one.

    Such a row is not only misread: training stops when the number of marks is not that of the pictures.
    """
    said = (turn.text.replace(IMAGE_MARK, "") for turn in all_turns(row.prompt, context=row.context))
    texts = (*said, *_texts(row, pair))
    return next((mark for mark in _RESERVED[format] if any(mark in text for text in texts)), None)


def has_place(format: Format, row: PreferenceRow) -> bool:
    """Whether the format has a place for all that the row was asked with: MMPR's is a single text."""
    return format != "mmpr" or not row.context


def trl_row(row: PreferenceRow, pair: Pair, system: str = "") -> TrlRow:
    """A pair in TRL's format, with its pictures, after a system prompt if there is one."""
    chosen, rejected = _texts(row, pair)
    return TrlRow(
        id=row.id,
        source=row.source,
        method=pair.method,
        images=row.images,
        prompt=_messages(to_messages(row.prompt, system, row.context)),
        chosen=(Message("assistant", (Part("text", chosen),)),),
        rejected=(Message("assistant", (Part("text", rejected),)),),
        answer=row.answer,
        answers=row.answers,
    )


def record(format: Format, row: PreferenceRow, pair: Pair, pictures: Sequence[str], system: str = "") -> dict[str, Any]:
    """A pair as a row of its format; ``pictures`` are paths or data URIs.

    MMPR's has no place for a system prompt, nor for other turns before the prompt (``has_place``).
    """
    chosen, rejected = _texts(row, pair)
    if format == "trl":
        flat = dataclasses.asdict(trl_row(dataclasses.replace(row, images=()), pair, system))
        # `datasets` turns a column of this name into one called `images`, which holds the pictures themselves.
        flat["images_file_names"] = list(pictures)
        left_out = {"images", *(() if row.answers else ("answers",))}
        return {name: value for name, value in flat.items() if name not in left_out}
    told, *spoken = all_turns(row.prompt, system, row.context)
    if told.role != "system":
        told, spoken = Turn("system", ""), [told, *spoken]
    if format == "llama-factory":
        return {
            "id": row.id,
            "conversations": [{"from": _SHAREGPT[turn.role], "value": turn.text} for turn in spoken],
            "chosen": {"from": "gpt", "value": chosen},
            "rejected": {"from": "gpt", "value": rejected},
            "images": list(pictures),
            "system": told.text or None,
        }
    if format == "ms-swift":
        turns = [*([told] if told.text else ()), *spoken, Turn("assistant", chosen)]
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        return {"id": row.id, "messages": messages, "rejected_response": rejected, "images": list(pictures)}
    paths = [path.removeprefix("images/") for path in pictures]  # the root that meta.json names
    image = {"image": paths[0] if len(paths) == 1 else paths} if paths else {}
    truth: dict[str, Any] = {} if row.answer is None else {"answer_gt": row.answer}
    if row.answers:
        truth["answers"] = list(row.answers)
    return {
        "id": row.id,
        "source": row.source,
        **image,
        "question": row.prompt,
        "chosen": chosen,
        "rejected": rejected,
        **truth,
        "method": pair.method,
        "reason": pair.reason,
        "chosen_meta": _meta(row.responses[pair.chosen]),
        "rejected_meta": _meta(row.responses[pair.rejected]),
    }


def picture_path(data: bytes) -> str:
    """The path of a picture, named by its content, so that it is stored once however many questions show it."""
    digest = hashlib.sha256(data).hexdigest()[:32]
    return f"images/{digest[:2]}/{digest}.{_suffix(data)}"


def data_uri(data: bytes) -> str:
    """A picture as a data URI."""
    kind = {"jpg": "jpeg"}.get(_suffix(data), _suffix(data))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _suffix(data: bytes) -> str:
    return "png" if data.startswith(b"\x89PNG") else "jpg"


def _texts(row: PreferenceRow, pair: Pair) -> tuple[str, str]:
    return row.responses[pair.chosen].text, row.responses[pair.rejected].text


def _messages(messages: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message(turn["role"], tuple(Part(**part) for part in turn["content"])) for turn in messages)


def _meta(response: PairedResponse) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(response).items() if name != "text"}

"""A row of somebody's table of pairs: which of its columns are prompt, pictures and responses.

Read are tables of TRL, LLaMA-Factory, ms-swift, RLHF-V and VLFeedback (``LAYOUTS``), as their documentation shows them.
A row's columns say which of them it is; a row of none of these layouts is an error that names them.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmpr.errors import RowError
from mmpr.schema import IMAGE_MARK
from mmpr.sources import cells
from mmpr.sources.ingest import check_words
from mmpr.train.data.messages import (
    Messages,
    read_prompt,
    read_response,
    split_conversations,
    to_turns,
    turn_pictures,
)

LAYOUTS = (
    "prompt (or question), chosen, rejected",
    "chosen, rejected (whole conversations)",
    "conversations or messages, chosen, rejected",
    "instruction (and input), chosen, rejected",
    "messages (or query, response), rejected_response or rejected_messages",
    "prompt, completions with ratings",
    "text (JSON of question, chosen, rejected)",
)
"""The columns of pairs, as they are told to whoever has others. Besides: images or image, system, history, source."""

_PICTURES = ("images", "image", "images_file_names")
_PROMPTS = ("prompt", "question", "query", "instruction")
_TURNS = ("conversations", "messages", "conversation")
_RESPONSES = ("response", "output", "chosen")
_SYSTEMS = ("system", "system_prompt")
_RATINGS = ("rating", "score", "overall_score")
_MAX_COMPLETIONS = 64


@dataclass(frozen=True, slots=True)
class TableRow:
    """What a row of a table says.

    Attributes:
        source: the data set that it comes from.
        pictures: paths, bytes or base64, in the order of their places in the prompt.
        prompt: chat messages, one image part for each picture.
        pairs: (chosen, rejected) texts.
        layout: one of ``LAYOUTS``.
        columns: the columns that were read.
    """

    source: str
    pictures: tuple[cells.Picture, ...]
    prompt: Messages
    pairs: tuple[tuple[str, str], ...]
    layout: str
    columns: frozenset[str]


class _Columns:
    """A record whose columns are asked for by name; ``read`` are those that were there."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        self.read: set[str] = set()

    def get(self, *names: str) -> Any:
        """The value of the first of these columns that is not null."""
        for name in names:
            if self._record.get(name) is not None:
                self.read.add(name)
                return self._record[name]
        return None

    def has(self, name: str) -> bool:
        """Whether that column is there and not null."""
        return self._record.get(name) is not None

    def names(self) -> str:
        """The names of all columns, for messages."""
        return ", ".join(ascii(name)[1:-1] for name in list(self._record)[:40])[:300] or "nothing"


def read_table_row(record: Mapping[str, Any], name: str) -> TableRow:
    """Prompt, pictures and pairs of a row; ``name`` is its source unless it names one.

    Raises:
        RowError: missing_field, wrong_type, image_marks, several_turns, empty_response, same_text, no_pair, ...
    """
    columns = _Columns(record)
    given = columns.get("source")
    source = given if type(given) is str and given else name
    check_words("source", source)
    pictures = cells.picture_items(_picture_cell(columns), "images")
    prompt, responses, layout = _conversation(columns)
    system = columns.get(*_SYSTEMS)
    if type(system) is str and system.strip():
        prompt = _with_system(prompt, system)
    if not pictures and not isinstance(prompt, str):
        pictures = cells.picture_items(turn_pictures(prompt), "prompt")
    messages = read_prompt(prompt, len(pictures))
    pairs = tuple(
        (read_response(chosen, "chosen"), read_response(rejected, "rejected")) for chosen, rejected in responses
    )
    if all(chosen == rejected for chosen, rejected in pairs):
        raise RowError("same_text", "chosen and rejected are the same")
    different = tuple((chosen, rejected) for chosen, rejected in pairs if chosen != rejected)
    return TableRow(source, tuple(pictures), messages, different, LAYOUTS[layout], frozenset(columns.read))


def _picture_cell(columns: _Columns) -> Any:
    """The first of the columns of pictures that holds any."""
    for name in _PICTURES:
        if columns.has(name) and (cell := columns.get(name)) not in ([], ()):
            return cell
    return None


def _conversation(columns: _Columns) -> tuple[Any, list[tuple[Any, Any]], int]:
    """The prompt (text or turns), what was answered to it as (chosen, rejected), and the number of the layout."""
    if columns.has("text") and not columns.has("chosen"):
        columns = _unpacked(columns)
        return _prompt(columns), [_sides(columns)], 6
    if columns.has("completions"):
        return _prompt(columns), _rated(columns.get("completions")), 5
    if columns.has("rejected_messages") or columns.has("rejected_response"):
        return *_swift(columns), 4
    chosen, rejected = _sides(columns)
    if any(columns.has(name) for name in _TURNS) and not _are_whole(chosen, rejected):
        return to_turns(columns.get(*_TURNS)), [(chosen, rejected)], 2
    if not any(columns.has(name) for name in _PROMPTS):
        prompt, chosen, rejected = split_conversations(chosen, rejected)
        if prompt is None:
            raise _unknown(columns)
        return prompt, [(chosen, rejected)], 1
    prompt = _prompt(columns)
    prompt, chosen, rejected = _without_prompt(prompt, chosen, rejected)
    return prompt, [(chosen, rejected)], 3 if "instruction" in columns.read else 0


def _swift(columns: _Columns) -> tuple[Any, list[tuple[Any, Any]]]:
    """Prompt, and chosen and rejected, of ms-swift's rows: the messages end with what was chosen."""
    if columns.has("rejected_messages"):
        turns = _need(columns.get(*_TURNS), "messages")
        prompt, chosen, rejected = split_conversations(to_turns(turns), to_turns(columns.get("rejected_messages")))
        return prompt, [(chosen, rejected)]
    rejected = columns.get("rejected_response")
    if not any(columns.has(name) for name in _TURNS):
        return _prompt(columns), [(_need(columns.get(*_RESPONSES), "response"), rejected)]
    *prompt, last = to_turns(columns.get(*_TURNS)) or [{}]
    if not prompt or not isinstance(last, Mapping) or last.get("role") != "assistant":
        raise RowError("missing_field", "'messages' do not end with the assistant's answer, the chosen one")
    return prompt, [([last], to_turns(rejected) if isinstance(rejected, list) else rejected)]


def _are_whole(chosen: Any, rejected: Any) -> bool:
    """Whether both are conversations with the prompt in them, and not only what was answered."""
    return isinstance(chosen, list) and isinstance(rejected, list) and min(len(chosen), len(rejected)) > 1


def _sides(columns: _Columns) -> tuple[Any, Any]:
    """What was chosen and what was rejected; messages of either spelling as turns."""
    sides = []
    for name in ("chosen", "rejected"):
        value = columns.get(name)
        if value is None:
            raise _unknown(columns)
        value = [value] if isinstance(value, Mapping) else value
        sides.append(to_turns(value) if isinstance(value, list) else value)
    return sides[0], sides[1]


def _prompt(columns: _Columns) -> Any:
    """The prompt, text or turns, with the turns of ``history`` before it."""
    prompt = columns.get(*_PROMPTS)
    if prompt is None:
        raise _unknown(columns)
    if isinstance(prompt, list):
        return to_turns(prompt)
    if type(prompt) is not str:
        raise RowError("wrong_type", "the prompt is neither text nor messages")
    more = columns.get("input") if "instruction" in columns.read else None
    if type(more) is str and more.strip():
        prompt = f"{prompt}\n{more}"
    history = columns.get("history")
    if not history:
        return prompt
    if not isinstance(history, list) or not all(isinstance(both, list) and len(both) == 2 for both in history):
        raise RowError("wrong_type", "'history' is no list of [question, answer]")
    roles = itertools.cycle(("user", "assistant"))
    texts = [text for both in history for text in both]
    return [{"role": role, "content": text} for text, role in zip([*texts, prompt], roles, strict=False)]


def _without_prompt(prompt: Any, chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """The same without the prompt in the responses, where they are whole conversations beside it.

    The conversations then say what was asked, as they do for TRL; a prompt that is not among it is an error.
    """
    if not _are_whole(chosen, rejected):
        return prompt, chosen, rejected
    asked, chosen, rejected = split_conversations(chosen, rejected)
    column = set(map(_words, prompt)) if isinstance(prompt, list) else {_words(prompt)}
    if not column <= set(map(_words, asked)):
        raise RowError("prompt_differs", "the conversations do not begin with what the column of the prompt says")
    return asked, chosen, rejected


def _words(said: Any) -> str:
    """The text of a turn, or of a prompt, without marks of pictures."""
    content = said.get("content") if isinstance(said, Mapping) else said
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return str(content).replace(IMAGE_MARK, "").strip()


def _with_system(prompt: Any, system: str) -> Any:
    """The prompt with what the system says before it, unless the prompt says so itself."""
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if any(isinstance(turn, Mapping) and turn.get("role") == "system" for turn in turns):
        return prompt
    return [{"role": "system", "content": system}, *turns]


def _unpacked(columns: _Columns) -> _Columns:
    """The columns that stand as a JSON object in ``text``."""
    text = columns.get("text")
    try:
        value = json.loads(text) if type(text) is str else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _unknown(columns)
    return _Columns(value)


def _rated(completions: Any) -> list[tuple[Any, Any]]:
    """Pairs of completions of which one is rated higher; its rating is the mean of all that it was given."""
    if isinstance(completions, Mapping):  # a table keeps a list of structs as lists, one for each field
        lists = {name: values for name, values in completions.items() if isinstance(values, list)}
        completions = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=False)]
    if not isinstance(completions, list):
        raise RowError("wrong_type", "'completions' is no list")
    if len(completions) > _MAX_COMPLETIONS:
        raise RowError("too_many_completions", f"{len(completions)} completions, the limit is {_MAX_COMPLETIONS}")
    found = [(_rating(one), one.get("response")) for one in completions if isinstance(one, Mapping)]
    rated = [(rating, text) for rating, text in found if rating is not None and text is not None]
    if len(rated) < 2:
        raise RowError("missing_field", f"{len(rated)} of {len(completions)} completions have a response and a rating")
    ordered = sorted(rated, key=lambda item: -item[0])
    pairs = [(one[1], other[1]) for one, other in itertools.combinations(ordered, 2) if one[0] > other[0]]
    if not pairs:
        raise RowError("no_pair", "all completions are rated alike")
    return pairs


def _rating(completion: Mapping[str, Any]) -> float | None:
    """The mean of a completion's ratings by aspect (VLFeedback), or its own; None where nothing is a number."""
    aspects = completion.get("annotations")
    given: Sequence[Any] = [completion.get(name) for name in _RATINGS]
    if isinstance(aspects, Mapping):
        given = [aspect.get("Rating") for aspect in aspects.values() if isinstance(aspect, Mapping)]
    numbers = [number for value in given if (number := _number(value)) is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _need(value: Any, name: str) -> Any:
    if value is None:
        raise RowError("missing_field", f"no {name!r}")
    return value


def _unknown(columns: _Columns) -> RowError:
    """An error for a row that says its pair in no way that is read."""
    return RowError("missing_field", f"the row has {columns.names()}; pairs are read from {'; from '.join(LAYOUTS)}")

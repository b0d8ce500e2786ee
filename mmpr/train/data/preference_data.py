"""Questions with their pairs, wherever they come from; pictures are read when a row is asked for.

    read_train_rows(path) ─▶ TrainRows: len, [i] ─▶ TrainRow
        a build's folder           pairs/, as they are
        MMPR's meta.json           see ``mmpr.sources.mmpr_pairs``
        a table of pairs           Parquet, JSONL or a folder of ``datasets``, as TRL has them: ``prompt`` (or
                                   ``question``), ``chosen``, ``rejected``, ``images`` (or ``image``); text or messages

Only positions and hashes are kept in memory, whatever the size of the pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmpr.config import ImagesSpec
from mmpr.errors import OutputError, RowError
from mmpr.prompts import to_messages
from mmpr.schema import IMAGE_MARK, Reject, content_id
from mmpr.sources import cells, files
from mmpr.sources.ingest import check_words, with_marks
from mmpr.sources.mmpr_meta import Meta
from mmpr.sources.mmpr_pairs import Release, is_release
from mmpr.storage.images import clean_image
from mmpr.storage.manifest import read_manifest
from mmpr.train.data.readers import ParquetRecords, Records, open_records
from mmpr.train.rows import TrainRow

Messages = tuple[Mapping[str, Any], ...]


class TrainRows(Protocol):
    """A sequence of rows.

    Attributes:
        fingerprint: 32 hex digits of what the rows say; where pictures are files beside the text, their paths count.
        weights: how often the pairs of a source are meant to be seen, as the data itself says (MMPR's repeat_time).
        processor: arguments of the model's processor by source, as a build was sampled with.
        rejects: what was found wrong while the rows were counted.
    """

    fingerprint: str
    weights: Mapping[str, float]
    processor: Mapping[str, Mapping[str, Any]]
    rejects: list[Reject]

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def __getitem__(self, place: int) -> TrainRow:
        """A row with its pictures.

        Raises:
            RowError: it cannot be used.
        """
        ...

    def origin(self, place: int) -> tuple[str, str]:
        """The source and the file and row, for messages about a row that cannot be had."""
        ...


def read_train_rows(path: Path) -> TrainRows:
    """The rows of a build, a release of MMPR, or a table of pairs.

    Raises:
        OutputError: the folder is a build that is not finished.
        SourceError: it is nothing that is known, or a file cannot be read.
    """
    if (path / "manifest.json").is_file() or (path / "build.json").is_file():
        return BuildRows(path)
    if is_release(path):
        return ReleaseRows(path)
    return PairTable(open_records(path), path.stem)


class BuildRows:
    """The rows of a finished build, in the order of its files."""

    def __init__(self, out: Path) -> None:
        """Raises OutputError when the build is not finished, SourceError when a file cannot be read."""
        manifest = read_manifest(out)
        table = manifest["files"]
        names = sorted(name for name in table if name.startswith("pairs/"))
        columns = ["id", "source", "kind", "images", "prompt", "responses", "pairs"]
        self._records = ParquetRecords(out, [out / name for name in names], columns)
        self.fingerprint = content_id("build", *(part for name in names for part in (name, table[name]["sha256"])))
        self.weights: Mapping[str, float] = {}
        self.processor = _processor_arguments(manifest.get("recipe"))
        self.rejects: list[Reject] = []

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._records)

    def __getitem__(self, place: int) -> TrainRow:
        """A row (see ``TrainRows``)."""
        record = self._records[place]
        try:
            images = tuple(image["bytes"] for image in record["images"])
            texts = [response["text"] for response in record["responses"]]
            pairs = [(texts[pair["chosen"]], texts[pair["rejected"]]) for pair in record["pairs"]]
            prompt = tuple(to_messages(record["prompt"]))
            if not all(type(value) is bytes for value in images) or not all(type(text) is str for text in texts):
                raise TypeError("a picture or a response is null")
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise RowError("bad_row", f"is no row of a build: {type(error).__name__}: {error}"[:300]) from None
        _check_marks(prompt, len(images))
        return _row(record["id"], record["source"], images, prompt, pairs, record["kind"])

    def origin(self, place: int) -> tuple[str, str]:
        """The file and row (see ``TrainRows``)."""
        return "", self._records.where(place)


class ReleaseRows:
    """The rows of a ``meta.json``: an entry's pairs that ask the same question about the same pictures are one."""

    def __init__(self, path: Path) -> None:
        """Raises SourceError when a file is missing or holds something else."""
        self.rejects: list[Reject] = []
        self.processor: Mapping[str, Mapping[str, Any]] = {}
        self._release = Release(path, self.rejects.append)
        names = self._release.sources
        self.weights: Mapping[str, float] = {name: self._release.repeat_time(name) for name in names}
        meta = Meta(path / "meta.json" if path.is_dir() else path, (), ImagesSpec().max_bytes)
        digest = hashlib.sha256()
        for name, entry in meta.entries.items():
            with entry.annotation.open("rb") as file:
                digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
        self.fingerprint = digest.hexdigest()[:32]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._release)

    def __getitem__(self, place: int) -> TrainRow:
        """A row (see ``TrainRows``)."""
        row = self._release.load(self._release[place])
        pairs = [(row.responses[pair.chosen].text, row.responses[pair.rejected].text) for pair in row.pairs]
        return _row(row.id, row.source, row.images, tuple(to_messages(row.prompt)), pairs)

    def origin(self, place: int) -> tuple[str, str]:
        """The entry and its first line (see ``TrainRows``)."""
        lazy = self._release[place]
        return lazy.row.source, lazy.where


class PairTable:
    """A table with one pair a row; pairs of the same prompt and pictures, wherever they stand, are one row here."""

    def __init__(self, records: Records, name: str) -> None:
        """Go through the table once; ``name`` is the source of rows without a ``source`` of their own."""
        self._records, self._name = records, name
        self._limits = ImagesSpec()
        self.weights: Mapping[str, float] = {}
        self.processor: Mapping[str, Mapping[str, Any]] = {}
        self.rejects: list[Reject] = []
        keys, places = bytearray(), []
        digest = hashlib.sha256()
        for place in range(len(records)):
            try:
                pair = self._pair(place)
            except RowError as error:
                self.rejects.append(Reject("read", name, records.where(place), error.reason, error.detail))
                continue
            pictures = [self._picture_id(place, picture) for picture in pair.pictures]
            key = content_id(pair.source, json.dumps(pair.prompt), str(len(pictures)), *pictures)
            keys += bytes.fromhex(key)
            places.append(place)
            digest.update(content_id(key, pair.chosen, pair.rejected).encode())
        self.fingerprint = digest.hexdigest()[:32]
        self._group(bytes(keys), np.array(places, np.int64))

    def __len__(self) -> int:
        """The number of rows, each with all its pairs."""
        return len(self._starts)

    def __getitem__(self, place: int) -> TrainRow:
        """A row (see ``TrainRows``)."""
        places = self._places[self._starts[place] : self._ends[place]].tolist()
        pairs = [self._pair(at) for at in places]
        first = pairs[0]
        images = tuple(clean_image(self._picture(places[0], picture), self._limits) for picture in first.pictures)
        texts = list(dict.fromkeys((pair.chosen, pair.rejected) for pair in pairs))
        return _row(self._ids[place].tobytes().hex(), first.source, images, first.prompt, texts)

    def origin(self, place: int) -> tuple[str, str]:
        """The file and row of its first pair (see ``TrainRows``)."""
        return self._name, self._records.where(int(self._places[self._starts[place]]))

    def _group(self, keys: bytes, places: Any) -> None:
        """Sort pairs by their keys; rows stand in the order of their first pairs."""
        words = np.frombuffer(keys, dtype=[("high", ">u8"), ("low", ">u8")])
        order = np.lexsort((words["low"], words["high"]))  # stable: a row's pairs stay in order
        new = np.ones(len(order), bool)
        new[1:] = words[order][1:] != words[order][:-1]
        starts = np.flatnonzero(new)
        by_place = np.argsort(order[starts], kind="stable")
        self._places = places[order]
        self._starts = starts[by_place]
        self._ends = np.append(starts[1:], len(order))[by_place]
        self._ids = np.frombuffer(keys, np.uint8).reshape(-1, 16)[order[self._starts]]

    def _pair(self, place: int) -> _Pair:
        return _Pair(self._records[place], self._name)

    def _picture_id(self, place: int, picture: cells.Picture) -> str | bytes:
        if cells.is_inline(picture):
            return picture
        return f"{self._records.folder(place)}/{picture!s}"

    def _picture(self, place: int, picture: cells.Picture) -> bytes:
        if cells.is_inline(picture):
            return cells.decode_inline(picture, self._limits.max_bytes)
        folder = self._records.folder(place)
        return files.read_inside(folder, files.under_root(folder, str(picture)), self._limits.max_bytes)


class _Pair:
    """A row of a table of pairs, made uniform."""

    def __init__(self, record: Mapping[str, Any], name: str) -> None:
        """Raises RowError: missing_field, wrong_type, image_marks, several_turns, empty_response, same_text, ..."""
        source = record.get("source")
        self.source = source if type(source) is str and source else name
        column = "images" if record.get("images") is not None else "image"
        self.pictures = cells.picture_items(record.get(column), column)
        chosen, rejected = record.get("chosen"), record.get("rejected")
        prompt = record.get("prompt") if record.get("prompt") is not None else record.get("question")
        if prompt is None:
            prompt, chosen, rejected = _shared_beginning(chosen, rejected)
        self.prompt = _messages(prompt, len(self.pictures))
        self.chosen, self.rejected = _answer(chosen, "chosen"), _answer(rejected, "rejected")
        if self.chosen == self.rejected:
            raise RowError("same_text", "chosen and rejected are the same")


def _processor_arguments(recipe: Any) -> Mapping[str, Mapping[str, Any]]:
    """A build's processor arguments by source, of what is trained on and what is held out."""
    try:
        sources = [*recipe.get("sources", ()), *recipe.get("heldout", ())] if recipe else []
        return {source["name"]: dict(source["processor"]) for source in sources if source.get("processor")}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutputError(f"manifest.json: its recipe is damaged ({error!r}); run the build again") from None


def _row(
    id: str, source: str, images: tuple[bytes, ...], prompt: Messages, pairs: list[tuple[str, str]], kind: str = ""
) -> TrainRow:
    """A row of pairs of texts; each distinct text becomes one response."""
    position: dict[str, int] = {}
    for pair in pairs:
        for text in pair:
            position.setdefault(text, len(position))
    return TrainRow(
        id=id,
        source=source,
        images=images,
        prompt=prompt,
        responses=tuple(position),
        pairs=tuple((position[chosen], position[rejected]) for chosen, rejected in pairs),
        kind=kind,
    )


def _messages(prompt: Any, pictures: int) -> Messages:
    """A prompt, text or messages, as messages whose content is parts; pictures without a place go first.

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
    _check_marks(tuple(messages), pictures)
    return tuple(messages)


def _role(message: Any) -> str:
    if not isinstance(message, Mapping) or type(message.get("role")) is not str:
        raise RowError("wrong_type", "a message of 'prompt' has no role")
    return str(message["role"])


def _parts(content: Any) -> list[dict[str, Any]]:
    """Content of a message as parts."""
    if type(content) is str:
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise RowError("wrong_type", "a message's content is neither text nor a list of parts")
    parts: list[dict[str, Any]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "image":
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
    """Parts with ``<image>`` in their text made into pictures."""
    return [
        made
        for part in parts
        for made in (to_messages(part["text"])[0]["content"] if IMAGE_MARK in part.get("text", "") else [part])
    ]


def _check_marks(prompt: Messages, pictures: int) -> None:
    marks = sum(part["type"] == "image" for message in prompt for part in message["content"])
    if marks != pictures:
        raise RowError("image_marks", f"{marks} places for pictures in the prompt, {pictures} pictures")


def _answer(answer: Any, name: str) -> str:
    """A response: text, or a single message of the assistant."""
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


def _shared_beginning(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """Prompt, chosen and rejected of two conversations that begin alike, as TRL reads rows without a prompt."""
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        return None, chosen, rejected
    same = 0
    for left, right in zip(chosen[:-1], rejected[:-1], strict=False):
        if left != right:
            break
        same += 1
    return chosen[:same], chosen[same:], rejected[same:]


def try_row(rows: TrainRows, place: int) -> TrainRow | Reject:
    """A row, or what is wrong with it."""
    try:
        return rows[place]
    except RowError as error:
        source, where = rows.origin(place)
        return Reject("read", source, where, error.reason, error.detail)

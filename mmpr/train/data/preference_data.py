"""Preference data: questions with their pairs, from a build, a release of MMPR or a table.

    read_train_rows(path) ─▶ TrainRows: len, [i] ─▶ TrainRow
        a build's folder           the rows of pairs/
        MMPR's meta.json           see ``mmpr.sources.mmpr_pairs``
        a table of pairs           Parquet, JSONL or a folder of ``datasets``, as TRL has them: ``prompt`` (or
                                   ``question``), ``chosen``, ``rejected``, ``images`` (or ``image``); text or messages

Pictures are read when a row is asked for; only positions and hashes of rows are kept in memory.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmpr.config import ChatSpec, ImagesSpec
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.errors import OutputError, RowError
from mmpr.inputs.build import open_build
from mmpr.inputs.kinds import kind_of
from mmpr.inputs.release import meta_file, open_release
from mmpr.prompts import to_messages
from mmpr.schema import Reject, content_id
from mmpr.sources import cells, files
from mmpr.sources.mmpr_meta import Meta
from mmpr.storage.images import clean_image
from mmpr.train.data.messages import Messages, check_marks, read_prompt, read_response, split_conversations
from mmpr.train.data.readers import ParquetRecords, Records, open_records
from mmpr.train.rows import TrainRow


class TrainRows(ABC):
    """Rows of preference data by their number.

    Attributes:
        fingerprint: 32 hex digits of what the rows say; of pictures in files of their own the paths count.
        weights: how often the pairs of a source are meant to be seen, where the data says it (MMPR's repeat_time).
        processor: arguments of the model's processor by source, as a build was sampled with.
        chat: settings of the chat format, as a build was sampled with.
        rejects: rows that were found unusable while the others were counted.
    """

    fingerprint: str

    def __init__(self) -> None:
        self.weights: Mapping[str, float] = {}
        self.processor: Mapping[str, Mapping[str, Any]] = {}
        self.chat = DEFAULT_CHAT
        self.rejects: list[Reject] = []

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, place: int) -> TrainRow:
        """A row with its pictures; raises RowError when it cannot be used."""

    @abstractmethod
    def origin(self, place: int) -> tuple[str, str]:
        """Source, and file and row, for messages about a row that cannot be used."""


def read_train_rows(path: Path) -> TrainRows:
    """The rows of a build, a release of MMPR, or a table of pairs.

    Raises:
        OutputError: the folder is a build that is not finished.
        SourceError: it is none of these, or a file cannot be read.
    """
    kind = kind_of(path)
    if kind in ("build", "unfinished"):
        return BuildRows(path)
    return ReleaseRows(path) if kind == "release" else PairTable(open_records(path), path.stem)


class BuildRows(TrainRows):
    """The rows of a finished build, in the order of its files."""

    def __init__(self, out: Path) -> None:
        """Raises OutputError when the build is not finished, SourceError when a file cannot be read."""
        super().__init__()
        build = open_build(out)
        names = build.pair_shards
        columns = ["id", "source", "kind", "images", "prompt", "responses", "pairs"]
        self._records = ParquetRecords(
            out, [out / name for name in names], columns, ("prompt_token_ids", "tokenizer_sha256")
        )
        self.fingerprint = content_id(
            "build", *(part for name in names for part in (name, build.files[name]["sha256"]))
        )
        recipe = build.manifest.get("recipe")
        self.processor, self.chat = _processor_arguments(recipe), _chat(recipe)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, place: int) -> TrainRow:
        record = self._records[place]
        try:
            images = tuple(image["bytes"] for image in record["images"])
            texts = [response["text"] for response in record["responses"]]
            pairs = [(texts[pair["chosen"]], texts[pair["rejected"]]) for pair in record["pairs"]]
            prompt = tuple(to_messages(record["prompt"], self.chat.system))
            if not all(type(value) is bytes for value in images) or not all(type(text) is str for text in texts):
                raise TypeError("a picture or a response is null")
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise RowError("bad_row", f"is no row of a build: {type(error).__name__}: {error}"[:300]) from None
        check_marks(prompt, len(images))
        row = _row(record["id"], record["source"], images, prompt, pairs, record["kind"])
        by_text = {response["text"]: response for response in record["responses"]}
        kept = [by_text[text] for text in row.responses]
        return replace(
            row,
            sampled=True,
            token_ids=tuple(tuple(response.get("token_ids") or ()) for response in kept),
            prompt_token_ids=tuple(record.get("prompt_token_ids") or ()),
            tokenizer_sha256=record.get("tokenizer_sha256") or "",
            logprobs=tuple(response.get("logprob") for response in kept),
        )

    def origin(self, place: int) -> tuple[str, str]:
        """No source, and the file and row."""
        return "", self._records.where(place)


class ReleaseRows(TrainRows):
    """The rows of a ``meta.json``: one for all pairs of an entry with the same question and pictures."""

    def __init__(self, path: Path) -> None:
        """Raises SourceError when a file is missing or holds something else."""
        super().__init__()
        self._release = open_release(path, self.rejects.append)
        names = self._release.sources
        self.weights = {name: self._release.repeat_time(name) for name in names}
        meta = Meta(meta_file(path), (), ImagesSpec().max_bytes)
        digest = hashlib.sha256()
        for name, entry in meta.entries.items():
            with entry.annotation.open("rb") as file:
                digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
        self.fingerprint = digest.hexdigest()[:32]

    def __len__(self) -> int:
        return len(self._release)

    def __getitem__(self, place: int) -> TrainRow:
        row = self._release.load(self._release[place])
        pairs = [(row.responses[pair.chosen].text, row.responses[pair.rejected].text) for pair in row.pairs]
        return _row(row.id, row.source, row.images, tuple(to_messages(row.prompt)), pairs)

    def origin(self, place: int) -> tuple[str, str]:
        """The source, and the entry and its first line."""
        lazy = self._release[place]
        return lazy.row.source, lazy.where


class PairTable(TrainRows):
    """A table with one pair a row: one row here for all pairs with the same prompt and pictures."""

    def __init__(self, records: Records, name: str) -> None:
        """Read the table once; ``name`` is the source of rows that name none."""
        self._records, self._name = records, name
        super().__init__()
        self._limits = ImagesSpec()
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
        return len(self._starts)

    def __getitem__(self, place: int) -> TrainRow:
        places = self._places[self._starts[place] : self._ends[place]].tolist()
        pairs = [self._pair(at) for at in places]
        first = pairs[0]
        images = tuple(clean_image(self._picture(places[0], picture), self._limits) for picture in first.pictures)
        texts = list(dict.fromkeys((pair.chosen, pair.rejected) for pair in pairs))
        return _row(self._ids[place].tobytes().hex(), first.source, images, first.prompt, texts)

    def origin(self, place: int) -> tuple[str, str]:
        """The source, and the file and row of its first pair."""
        return self._name, self._records.where(int(self._places[self._starts[place]]))

    def _group(self, keys: bytes, places: Any) -> None:
        """Make one row of all pairs with the same key; rows come in the order of their first pairs."""
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
    """A row of a table: its source, pictures, prompt as messages, and responses as text."""

    def __init__(self, record: Mapping[str, Any], name: str) -> None:
        """Raises RowError: missing_field, wrong_type, image_marks, several_turns, empty_response, same_text, ..."""
        source = record.get("source")
        self.source = source if type(source) is str and source else name
        column = "images" if record.get("images") is not None else "image"
        self.pictures = cells.picture_items(record.get(column), column)
        chosen, rejected = record.get("chosen"), record.get("rejected")
        prompt = record.get("prompt") if record.get("prompt") is not None else record.get("question")
        if prompt is None:
            prompt, chosen, rejected = split_conversations(chosen, rejected)
        self.prompt = read_prompt(prompt, len(self.pictures))
        self.chosen, self.rejected = read_response(chosen, "chosen"), read_response(rejected, "rejected")
        if self.chosen == self.rejected:
            raise RowError("same_text", "chosen and rejected are the same")


def _chat(recipe: Any) -> ChatSpec:
    """A build's settings of the chat format."""
    try:
        return ChatSpec.model_validate((recipe or {}).get("chat") or {})
    except (AttributeError, ValueError) as error:
        raise OutputError(f"manifest.json: its recipe is damaged ({error!r}); run the build again") from None


def _processor_arguments(recipe: Any) -> Mapping[str, Mapping[str, Any]]:
    """A build's processor arguments by source, for its training and its held-out questions."""
    try:
        sources = [*recipe.get("sources", ()), *recipe.get("heldout", ())] if recipe else []
        return {source["name"]: dict(source["processor"]) for source in sources if source.get("processor")}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutputError(f"manifest.json: its recipe is damaged ({error!r}); run the build again") from None


def _row(
    id: str, source: str, images: tuple[bytes, ...], prompt: Messages, pairs: list[tuple[str, str]], kind: str = ""
) -> TrainRow:
    """A row of pairs of texts, with each distinct text as one response."""
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


def try_row(rows: TrainRows, place: int) -> TrainRow | Reject:
    """A row, or the reject that says why it cannot be used."""
    try:
        return rows[place]
    except RowError as error:
        source, where = rows.origin(place)
        return Reject("read", source, where, error.reason, error.detail)

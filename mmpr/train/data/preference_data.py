"""Preference data: questions with their pairs, from a build, a release of MMPR or a table.

    read_train_rows(path) ─▶ TrainRows: len, [i] ─▶ TrainRow
        a build's folder           the rows of pairs/
        MMPR's meta.json           see ``mmpr.sources.mmpr_pairs``
        a table of pairs           Parquet, JSONL, a JSON list or a folder of ``datasets``, in one of the layouts of
                                   ``mmpr.train.data.layouts``; an export of mmpr, too
        several of these           one after the other

Pictures are read when a row is asked for; only positions and hashes of rows are kept in memory.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmpr.config import ChatSpec, ImagesSpec
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.errors import OutputError, RowError, SourceError
from mmpr.inputs.build import open_build
from mmpr.inputs.kinds import kind_of
from mmpr.inputs.release import meta_file, open_release
from mmpr.prompts import to_messages
from mmpr.schema import Reject, Turn, content_id
from mmpr.sources import cells
from mmpr.sources.mmpr_meta import Meta
from mmpr.storage.images import clean_image
from mmpr.train.data.layouts import read_table_row
from mmpr.train.data.messages import Messages, check_marks
from mmpr.train.data.readers import ParquetRecords, Records, open_records, read_picture
from mmpr.train.rows import TrainRow


class TrainRows(ABC):
    """Rows of preference data by their number.

    Attributes:
        fingerprint: 32 hex digits of what the rows say; of pictures in files of their own the paths count.
        weights: how often the pairs of a source are meant to be seen, where the data says it (MMPR's repeat_time).
        processor: arguments of the model's processor by source, as a build was sampled with.
        chat: settings of the chat format, as a build was sampled with.
        rejects: rows that were found unusable while the others were counted.
        notes: how the data was read, a line each, where that does not go without saying.
    """

    fingerprint: str

    def __init__(self) -> None:
        self.weights: Mapping[str, float] = {}
        self.processor: Mapping[str, Mapping[str, Any]] = {}
        self.chat = DEFAULT_CHAT
        self.rejects: list[Reject] = []
        self.notes: list[str] = []

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, place: int) -> TrainRow:
        """A row with its pictures; raises RowError when it cannot be used."""

    @abstractmethod
    def origin(self, place: int) -> tuple[str, str]:
        """Source, and file and row, for messages about a row that cannot be used."""


def read_train_rows(*paths: Path, images_root: Path | None = None) -> TrainRows:
    """The rows of builds, releases of MMPR or tables of pairs, one after the other.

    ``images_root`` is where the paths of pictures in tables start (None: see ``Records.roots``).

    Raises:
        OutputError: a folder is a build that is not finished, or two of them were sampled in ways that contradict.
        SourceError: it is none of these, a file cannot be read, or no row of a table is a pair.
    """
    stems = [path.stem for path in paths]
    # Sources are weighed by name, so that tables of the same name are told apart by their folders.
    names = [
        stem if stems.count(stem) == 1 else f"{path.absolute().parent.name}/{stem}"
        for path, stem in zip(paths, stems, strict=True)
    ]
    found = [_open(path, name, images_root) for path, name in zip(paths, names, strict=True)]
    return found[0] if len(found) == 1 else SeveralRows(dict(zip(map(str, paths), found, strict=True)))


def _open(path: Path, name: str, images_root: Path | None) -> TrainRows:
    """The rows of one path; ``name`` is the source of a table's rows that name none."""
    kind = kind_of(path)
    if kind in ("build", "unfinished"):
        return BuildRows(path)
    return ReleaseRows(path) if kind == "release" else PairTable(open_records(path, images_root), name)


class BuildRows(TrainRows):
    """The rows of a finished build, in the order of its files."""

    def __init__(self, out: Path) -> None:
        """Raises OutputError when the build is not finished, SourceError when a file cannot be read."""
        super().__init__()
        build = open_build(out)
        names = build.pair_shards
        columns = ["id", "source", "kind", "images", "prompt", "responses", "pairs"]
        self._records = ParquetRecords(
            out, [out / name for name in names], columns, ("prompt_token_ids", "tokenizer_sha256", "context")
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
            context = [Turn(turn["role"], turn["text"]) for turn in record.get("context") or ()]
            prompt = tuple(to_messages(record["prompt"], self.chat.system, context))
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
    """A table of pairs: one row here for all pairs with the same prompt and pictures."""

    def __init__(self, records: Records, name: str) -> None:
        """Read the table once; ``name`` is the source of rows that name none. Raises SourceError without any pair."""
        self._records, self._name = records, name
        super().__init__()
        self._limits = ImagesSpec()
        keys, places, numbers = bytearray(), array("q"), array("i")
        digest = hashlib.sha256()
        layouts: Counter[str] = Counter()
        unread: dict[str, None] = {}
        for place in range(len(records)):
            try:
                record = records[place]
                row = read_table_row(record, self._name)
            except RowError as error:
                self.rejects.append(Reject("read", name, records.where(place), error.reason, error.detail))
                continue
            layouts[row.layout] += len(row.pairs)
            unread |= dict.fromkeys(
                name for name, cell in record.items() if cell is not None and name not in row.columns
            )
            pictures = [self._picture_id(place, picture) for picture in row.pictures]
            key = content_id(row.source, json.dumps(row.prompt), str(len(pictures)), *pictures)
            for number, (chosen, rejected) in enumerate(row.pairs):
                keys += bytes.fromhex(key)
                places.append(place)
                numbers.append(number)
                digest.update(content_id(key, chosen, rejected).encode())
        if self.rejects and not places:
            first = self.rejects[0]
            raise SourceError(f"{name}: none of its {len(records):,} rows is a pair; {first.id}: {first.detail}")
        self.fingerprint = digest.hexdigest()[:32]
        self._group(bytes(keys), np.array(places, np.int64), np.array(numbers, np.int32))
        for layout, pairs in layouts.most_common():
            self.notes.append(f"{name}: {pairs:,} pairs, read as {layout}")
        if unread:
            self.notes.append(f"{name}: columns that are not read: {', '.join(map(str, unread))}"[:500])

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, place: int) -> TrainRow:
        span = slice(self._starts[place], self._ends[place])
        places, numbers = self._places[span].tolist(), self._numbers[span].tolist()
        rows = {at: read_table_row(self._records[at], self._name) for at in dict.fromkeys(places)}
        first = rows[places[0]]
        most = self._limits.max_bytes
        found = (read_picture(self._records, places[0], picture, most) for picture in first.pictures)
        images = tuple(clean_image(data, self._limits) for data in found)
        texts = list(dict.fromkeys(rows[at].pairs[number] for at, number in zip(places, numbers, strict=True)))
        return _row(self._ids[place].tobytes().hex(), first.source, images, first.prompt, texts)

    def origin(self, place: int) -> tuple[str, str]:
        """The source, and the file and row of its first pair."""
        return self._name, self._records.where(int(self._places[self._starts[place]]))

    def _group(self, keys: bytes, places: Any, numbers: Any) -> None:
        """Make one row of all pairs with the same key; rows come in the order of their first pairs."""
        words = np.frombuffer(keys, dtype=[("high", ">u8"), ("low", ">u8")])
        order = np.lexsort((words["low"], words["high"]))  # stable: a row's pairs stay in order
        new = np.ones(len(order), bool)
        new[1:] = words[order][1:] != words[order][:-1]
        starts = np.flatnonzero(new)
        by_place = np.argsort(order[starts], kind="stable")
        self._places, self._numbers = places[order], numbers[order]
        self._starts = starts[by_place]
        self._ends = np.append(starts[1:], len(order))[by_place]
        self._ids = np.frombuffer(keys, np.uint8).reshape(-1, 16)[order[self._starts]]

    def _picture_id(self, place: int, picture: cells.Picture) -> str | bytes:
        if cells.is_inline(picture):
            return picture
        return f"{self._records.images_root or self._records.folder(place)}/{picture!s}"


class SeveralRows(TrainRows):
    """The rows of several data sets, one after the other."""

    def __init__(self, parts: Mapping[str, TrainRows]) -> None:
        """``parts`` by the paths that they were read from. Raises OutputError where sources contradict each other."""
        super().__init__()
        self._parts = list(parts.values())
        self._starts = list(itertools.accumulate(map(len, self._parts), initial=0))
        self.fingerprint = content_id("several", *(part.fingerprint for part in self._parts))
        self.weights = _merged("weights (repeat_time)", [part.weights for part in self._parts])
        self.processor = _merged("processor arguments", [part.processor for part in self._parts])
        self.chat = _one_chat([part.chat for part in self._parts if isinstance(part, BuildRows)])
        self.rejects = [reject for part in self._parts for reject in part.rejects]
        for path, part in parts.items():
            self.notes += [f"{path}: {len(part):,} questions", *part.notes]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, place: int) -> TrainRow:
        part, inside = self._find(place)
        return part[inside]

    def origin(self, place: int) -> tuple[str, str]:
        """See ``TrainRows.origin``."""
        part, inside = self._find(place)
        return part.origin(inside)

    def _find(self, place: int) -> tuple[TrainRows, int]:
        """The data set of a row, and the row's number in it."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        number = bisect.bisect_right(self._starts, place) - 1
        return self._parts[number], place - self._starts[number]


def _merged(what: str, maps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One map by source of several. Raises OutputError when two say different things of a source."""
    merged: dict[str, Any] = {}
    for found in maps:
        for source, value in found.items():
            if merged.setdefault(source, value) != value:
                raise OutputError(
                    f"--data: the data sets have different {what} for the source {source!r} "
                    f"({merged[source]}, {value}); train on them one after the other"
                )
    return merged


def _one_chat(chats: Sequence[ChatSpec]) -> ChatSpec:
    """The settings of the chat format of several builds. Raises OutputError when they are not the same."""
    if any(chat != chats[0] for chat in chats):
        raise OutputError("--data: the builds were sampled with different settings of `chat`; train on them one by one")
    return chats[0] if chats else DEFAULT_CHAT


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

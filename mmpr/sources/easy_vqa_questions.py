"""The easy-VQA data set (Victor Zhou, MIT): one coloured shape a picture, the package's own questions and answers."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple

from mmpr.errors import RowError, SourceError
from mmpr.schema import IMAGE_MARK, SourceRow
from mmpr.sources.digits import DESCRIBE_REQUESTS

Split = Literal["pretrain", "train", "heldout"]

QUESTION_KINDS = ("shape", "colour", "presence", "absence")
KINDS = (*QUESTION_KINDS, "describe")

SHAPES = ("circle", "rectangle", "triangle")
COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")

_SPLITS = ("pretrain", "train", "heldout")
_PRETRAIN_PICTURES = 2500  # of the package's 4,000 train pictures; the others are the split `train`
_SPLIT_SEED = 4000  # divides the pictures once and for all; no option, so that no two runs can disagree


class Record(NamedTuple):
    """One question of the package."""

    text: str
    answer: str
    picture: int


class EasyVqa:
    """``questions`` of the package's questions over one split's pictures.

    The package's train pictures are divided into ``pretrain`` and ``train``; its test pictures are ``heldout``.
    Kinds are balanced to within one, their order is shuffled, and no question is asked twice of a picture.
    """

    def __init__(self, split: Split, questions: int, seed: int = 0, kinds: Sequence[str] = QUESTION_KINDS) -> None:
        """Take ``questions`` questions of ``kinds`` (names of ``KINDS``).

        Raises SourceError for an unknown split or kind.
        """
        if split not in _SPLITS:
            raise SourceError(f"easy_vqa: no split {split!r}; choose one of {', '.join(_SPLITS)}")
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            names = ", ".join(unknown) or "(empty list)"
            raise SourceError(f"easy_vqa: no kind {names}; choose from {', '.join(KINDS)}")
        self.split = split
        self.questions = questions
        self.seed = seed
        self.kinds = tuple(kinds)

    def rows(self) -> Iterator[SourceRow]:
        """The questions, text only.

        Raises SourceError when the split holds fewer questions of a kind than asked for.
        """
        rng = random.Random(f"easy_vqa/{self.split}/{self.seed}")
        facts = picture_facts(self.split)
        stocks = questions_by_kind(self.split)
        for stock in stocks.values():
            rng.shuffle(stock)
        order = [self.kinds[number % len(self.kinds)] for number in range(self.questions)]
        rng.shuffle(order)
        for number, kind in enumerate(order):
            if not stocks[kind]:
                raise SourceError(f"easy_vqa: the split {self.split!r} has too few {kind} questions; ask for fewer")
            text, answer, picture = stocks[kind].pop()
            yield SourceRow(
                where=f"easy_vqa/{self.split}:{number}",
                question=f"{IMAGE_MARK}\n{text}",
                answer=answer,
                images=(f"easy_vqa:{_part(self.split)}/{picture}",),
                kind=kind,
                meta=json.dumps(facts.get(picture, {})),
            )

    def load(self, ref: str) -> bytes:
        """The picture of a reference such as ``easy_vqa:train/17``: the package's own PNG file.

        Raises RowError when the reference is none, or names a picture of another split.
        """
        match = re.fullmatch(r"easy_vqa:(train|test)/([0-9]{1,6})", ref)
        if match is None:
            raise RowError("image_reference", f"{ref!r} is not like 'easy_vqa:train/17'")
        part, picture = match[1], int(match[2])
        if part != _part(self.split) or picture not in split_pictures(self.split):
            raise RowError("image_reference", f"{ref!r} names a picture outside the split {self.split!r}")
        return (_package() / part / "images" / f"{picture}.png").read_bytes()


def questions_by_kind(split: Split) -> dict[str, list[tuple[str, str | None, int]]]:
    """All that can be asked about a split's pictures: (text, answer, picture) under each of ``KINDS``.

    Descriptions are asked for only where the picture's shape and colour are both known.
    """
    pictures = split_pictures(split)
    questions: dict[str, list[tuple[str, str | None, int]]] = {kind: [] for kind in KINDS}
    for record in dict.fromkeys(records(_part(split))):
        if record.picture in pictures:
            questions[kind_of(record)].append(record)
    described = [picture for picture, facts in picture_facts(split).items() if len(facts) == 2]
    questions["describe"] = [(request, None, picture) for picture in described for request in DESCRIBE_REQUESTS]
    return questions


def kind_of(record: Record) -> str:
    """``shape`` or ``colour`` (what is asked for), ``presence`` (is there a ...?) or ``absence`` (is there no ...?)."""
    if record.answer in SHAPES:
        return "shape"
    if record.answer in COLOURS:
        return "colour"
    return "absence" if _negated(record) else "presence"


@lru_cache
def picture_facts(split: Split) -> dict[int, dict[str, str]]:
    """Each picture's ``shape`` and ``colour``, as far as the package's questions and answers about it tell them.

    A fact is told by an answer ("what color is the circle?" - "red") or by what a question takes for granted or has
    confirmed. About one picture in nine lacks one of the two.
    """
    facts: dict[int, dict[str, str]] = {picture: {} for picture in sorted(split_pictures(split))}
    for record in records(_part(split)):
        if record.picture not in facts:
            continue
        denied = record.answer in ("yes", "no") and (record.answer == "yes") == _negated(record)
        for word in [record.answer, *([] if denied else _words(record))]:
            if word in SHAPES:
                facts[record.picture]["shape"] = word
            elif word in COLOURS:
                facts[record.picture]["colour"] = word
    return facts


@lru_cache
def split_pictures(split: Split) -> frozenset[int]:
    """The numbers of a split's pictures, within the package's train or test part."""
    pictures = sorted({record.picture for record in records(_part(split))})
    if split == "heldout":
        return frozenset(pictures)
    random.Random(_SPLIT_SEED).shuffle(pictures)
    return frozenset(pictures[:_PRETRAIN_PICTURES] if split == "pretrain" else pictures[_PRETRAIN_PICTURES:])


@lru_cache
def records(part: str) -> tuple[Record, ...]:
    """The package's questions of its part ``train`` or ``test``."""
    return tuple(Record(*entry) for entry in json.loads((_package() / part / "questions.json").read_text("utf-8")))


def _part(split: Split) -> str:
    return "test" if split == "heldout" else "train"


def _words(record: Record) -> list[str]:
    return re.findall("[a-z]+", record.text)


def _negated(record: Record) -> bool:
    return not {"no", "not"}.isdisjoint(_words(record))


def _package() -> Path:
    """The folder of the package's data. Raises SourceError when easy-vqa is missing."""
    try:
        module = import_module("easy_vqa")
    except ImportError as error:
        raise SourceError("easy_vqa: easy-vqa is not installed; run `pip install easy-vqa==1.0`") from error
    return Path(str(module.__file__)).parent / "data"

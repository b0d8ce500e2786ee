"""Reasoning questions over montages of real handwritten digits (scikit-learn's copy of the UCI optical digits).

A picture is two to four of the 1,797 scans, enlarged and placed in reading order into a 2 x 2 grid; nothing is drawn.
Every answer follows from the scans' own labels.
"""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from mmpr.errors import RowError, SourceError
from mmpr.schema import IMAGE_MARK, SourceRow

Split = Literal["pretrain", "train", "heldout"]

SPLIT_SIZES: dict[Split, int] = {"pretrain": 1000, "train": 400, "heldout": 397}
"""How many of the 1,797 digits each split owns; no digit is in two."""

REASONING_KINDS = ("sum", "difference", "maximum", "count", "comparison", "choice")
KINDS = (*REASONING_KINDS, "describe")

DESCRIBE_REQUESTS = (
    "Describe the picture in detail.",
    "What can you see in the picture? Describe it in detail.",
    "Give a detailed description of the picture.",
    "Tell me everything that the picture shows.",
)
"""Open-ended requests; they have no single right answer."""

CHOICE_SUFFIX = "Answer with the option's letter from the given choices directly."

PICTURE_PIXELS = 64
_FORMS: dict[str, tuple[str, ...]] = {
    "sum": ("sum",),
    "difference": ("difference",),
    "maximum": ("maximum",),
    "count": ("larger", "even", "odd"),
    "comparison": ("first_last", "sum_over"),
    "choice": ("sum", "difference", "maximum"),
}
_DIGIT_PIXELS = 8
_SPLIT_SEED = 1797  # divides the digits once and for all; no option, so that no two runs can disagree
_PHRASES: dict[str, tuple[str, ...]] = {
    "sum": (
        "What is the sum of the digits in the picture?",
        "Add up all the digits in the picture. What is the total?",
        "If you add the digits together, what do you get?",
    ),
    "difference": (
        "What is the largest digit minus the smallest digit?",
        "How much larger is the largest digit than the smallest digit?",
        "What is the difference between the largest and the smallest digit?",
    ),
    "maximum": (
        "What is the largest digit in the picture?",
        "Which digit in the picture has the highest value?",
        "What is the maximum of the digits shown?",
    ),
    "larger": (
        "How many digits are larger than {0}?",
        "Count the digits that are larger than {0}. How many are there?",
    ),
    "even": (
        "How many digits are even?",
        "Count the even digits. How many are there?",
    ),
    "odd": (
        "How many digits are odd?",
        "Count the odd digits. How many are there?",
    ),
    "first_last": (
        "Is the first digit larger than the last digit?",
        "Is the value of the first digit greater than that of the last digit?",
    ),
    "sum_over": (
        "Is the sum of the digits larger than {0}?",
        "Do the digits add up to more than {0}?",
    ),
}


class Asked(NamedTuple):
    """A question with its answer; ``form`` names its wording, ``limit`` is the number it compares with (if any)."""

    text: str
    answer: str | None
    choices: tuple[str, ...]
    form: str
    limit: int


class Digits:
    """``questions`` questions over pictures of one split's digits.

    Kinds are balanced to within one, their order is shuffled; the same arguments give the same rows for ever.
    No two rows ask the same question of the same picture.
    """

    def __init__(self, split: Split, questions: int, seed: int = 0, kinds: Sequence[str] = REASONING_KINDS) -> None:
        """Take ``questions`` questions of ``kinds`` (names of ``KINDS``).

        Raises SourceError for an unknown split or kind.
        """
        if split not in SPLIT_SIZES:
            raise SourceError(f"digits: no split {split!r}; choose one of {', '.join(SPLIT_SIZES)}")
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise SourceError(f"digits: no kind {', '.join(unknown) or '(empty list)'}; choose from {', '.join(KINDS)}")
        self.split = split
        self.questions = questions
        self.seed = seed
        self.kinds = tuple(kinds)

    def rows(self) -> Iterator[SourceRow]:
        """The questions, text only."""
        pool = split_indices(self.split)
        labels = scans()[1]
        rng = random.Random(f"digits/{self.split}/{self.seed}")
        order = [self.kinds[number % len(self.kinds)] for number in range(self.questions)]
        rng.shuffle(order)
        seen = set()
        for number, kind in enumerate(order):
            while True:
                indices = rng.sample(pool, rng.randint(2, 4))
                digits = [labels[index] for index in indices]
                asked = ask(kind, digits, rng)
                reference = "digits:" + ",".join(map(str, indices))
                if (reference, asked.text) not in seen:
                    break
            seen.add((reference, asked.text))
            yield SourceRow(
                where=f"digits/{self.split}:{number}",
                question=f"{IMAGE_MARK}\n{asked.text}",
                answer=asked.answer,
                choices=asked.choices,
                images=(reference,),
                kind=kind,
                meta=json.dumps({"digits": digits}),
            )

    def load(self, ref: str) -> bytes:
        """The picture of a reference such as ``digits:12,803,4,1490`` as PNG, 64 x 64, RGB.

        Raises RowError when the reference is none, or names a digit of another split.
        """
        if re.fullmatch(r"digits:[0-9]{1,4}(,[0-9]{1,4}){1,3}", ref) is None:
            raise RowError("image_reference", f"{ref!r} is not like 'digits:12,803,4'")
        indices = [int(part) for part in ref.removeprefix("digits:").split(",")]
        if not set(indices) <= set(split_indices(self.split)):
            raise RowError("image_reference", f"{ref!r} names a digit outside the split {self.split!r}")
        buffer = io.BytesIO()
        Image.fromarray(montage(indices)).save(buffer, "PNG")
        return buffer.getvalue()


def ask(kind: str, digits: Sequence[int], rng: random.Random) -> Asked:
    """A question of ``kind`` about ``digits`` (in reading order); form, limit and wording are drawn from ``rng``."""
    if kind == "describe":
        return Asked(rng.choice(DESCRIBE_REQUESTS), None, (), "describe", 0)
    form = rng.choice(_FORMS[kind])
    limit = rng.randint(2, 7) if form == "larger" else max(1, sum(digits) + rng.randint(-5, 4))
    text = rng.choice(_PHRASES[form]).format(limit)
    truth = answer_of(form, digits, limit)
    if kind != "choice":
        return Asked(text, truth, (), form, limit)
    options = _options(int(truth), sum_asked=form == "sum", rng=rng)
    lines = [f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True)]
    return Asked("\n".join([text, *lines, CHOICE_SUFFIX]), "ABCD"[options.index(truth)], options, form, limit)


def answer_of(form: str, digits: Sequence[int], limit: int) -> str:
    """The true answer to a form of question (a key of the phrase table) about ``digits``."""
    numbers = {
        "sum": sum(digits),
        "difference": max(digits) - min(digits),
        "maximum": max(digits),
        "larger": sum(digit > limit for digit in digits),
        "even": sum(digit % 2 == 0 for digit in digits),
        "odd": sum(digit % 2 == 1 for digit in digits),
    }
    if form in numbers:
        return str(numbers[form])
    holds = digits[0] > digits[-1] if form == "first_last" else sum(digits) > limit
    return "yes" if holds else "no"


def _options(truth: int, sum_asked: bool, rng: random.Random) -> tuple[str, ...]:
    """Four different numbers in random order, one of them the truth and none impossible at first sight."""
    highest = truth + 6 if sum_asked else 9
    near = [number for number in range(max(0, truth - 6), min(truth + 6, highest) + 1) if number != truth]
    options = [truth, *rng.sample(near, 3)]
    rng.shuffle(options)
    return tuple(map(str, options))


def montage(indices: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Two to four digits in reading order on a 2 x 2 grid, white ink on black.

    Shape: (64, 64, 3), uint8.
    """
    images = scans()[0]
    grid = np.zeros((2, 2, _DIGIT_PIXELS, _DIGIT_PIXELS), np.uint8)
    for place, index in enumerate(indices):
        grid[place // 2, place % 2] = images[index]
    side = 2 * _DIGIT_PIXELS
    flat = grid.transpose(0, 2, 1, 3).reshape(side, side)
    enlarged = np.kron(flat, np.ones((PICTURE_PIXELS // side, PICTURE_PIXELS // side), np.uint8))
    return np.repeat(enlarged[:, :, None], 3, axis=2)


@lru_cache
def split_indices(split: Split) -> tuple[int, ...]:
    """The digits that belong to ``split``, as positions in scikit-learn's data set."""
    order = list(range(sum(SPLIT_SIZES.values())))
    random.Random(_SPLIT_SEED).shuffle(order)
    start = 0
    for name, size in SPLIT_SIZES.items():
        if name == split:
            break
        start += size
    return tuple(order[start : start + SPLIT_SIZES[split]])


@lru_cache
def scans() -> tuple[np.ndarray[Any, np.dtype[np.uint8]], list[int]]:
    """All scans, shape (1797, 8, 8), uint8 in 0..255, and their labels.

    Raises SourceError when scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SourceError("digits: scikit-learn is not installed; run `pip install scikit-learn`") from error
    data = load_digits()
    return np.round(data.images * (255 / 16)).astype(np.uint8), [int(label) for label in data.target]

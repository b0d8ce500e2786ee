"""Dropout pairs: do rejected continuations say more that is not in the picture than the chosen ones they replace?

The paper's premise (section 3.1), measured with what the quickstart knows of its pictures: which digits stand where, or
which shape in which colour. What a description states is found by its wording, which is the demo model's
(``data/demo_text.py``); a claim about things that the picture does not have at all is false. Chosen and rejected share
their first half; only what is claimed after it counts, on both sides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.prove.results import Mean, bootstrap_of
from mmpr.schema import PreferenceRow, Question
from mmpr.sources.easy_vqa_questions import COLOURS, SHAPES
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows

Facts = Mapping[str, Any]
"""``{"digits": [3, 8, 5]}``, or ``shape`` and ``colour`` as far as they are known."""

_NUMBERS = ("zero", "one", "two", "three", "four")
_DIGIT = r"an? (\d)\b"
_RELATIONS = {"larger than": 1, "smaller than": -1, "equal to": 0}
_CLAIMS = {
    "number": re.compile(rf"\b({'|'.join(_NUMBERS)}) handwritten digits"),
    "top": re.compile(rf"top row stands? {_DIGIT}(?: and {_DIGIT})?"),
    "bottom": re.compile(rf"bottom row stands? {_DIGIT}(?: and {_DIGIT})?"),
    "empty": re.compile(r"(bottom row is empty)"),
    "largest": re.compile(r"largest digit is (\d+)\b"),
    "smallest": re.compile(r"smallest is (\d+)\b"),
    "last": re.compile(r"last digit is (?:an? )?(\d+)\b"),
    "even": re.compile(r"number of even digits is (\d+)\b"),
    "relation": re.compile(rf"first digit is ({'|'.join(_RELATIONS)}) the last digit"),
    "shape": re.compile(rf"\b({'|'.join(SHAPES)})\b"),
    "colour": re.compile(rf"(?<!white on )\b({'|'.join(COLOURS)})\b"),
}


class Claim(NamedTuple):
    """What a text says of the picture, where the word stands that says it, and whether it is so."""

    what: str
    place: int
    holds: bool


def claims(text: str, facts: Facts) -> Iterator[Claim]:
    """Everything in a description that the facts decide; what they leave open (an unknown colour) is no claim."""
    for what, pattern in _CLAIMS.items():
        for match in pattern.finditer(text):
            for number, word in enumerate(match.groups()):
                holds = None if word is None else _holds(what, number, word, facts)
                if holds is not None:
                    yield Claim(what, match.start(number + 1), holds)


def _holds(what: str, number: int, word: str, facts: Facts) -> bool | None:
    """Whether the ``number``-th word of a claim is right; None when nobody knows."""
    digits: Sequence[int] = facts.get("digits", ())
    if what in ("shape", "colour"):
        if digits:
            return False
        return word == facts[what] if what in facts else None
    if not digits:
        return False
    match what:
        case "top" | "bottom":
            row = digits[:2] if what == "top" else digits[2:]
            return number < len(row) and int(word) == row[number]
        case "number":
            return _NUMBERS.index(word) == len(digits)
        case "empty":
            return len(digits) == 2
        case "relation":
            return _RELATIONS[word] == (digits[0] > digits[-1]) - (digits[0] < digits[-1])
        case "even":
            return int(word) == sum(digit % 2 == 0 for digit in digits)
        case _:
            return int(word) == {"largest": max(digits), "smallest": min(digits), "last": digits[-1]}[what]


@dataclass(frozen=True, slots=True)
class Hallucination:
    """Chosen and rejected second halves of a source's dropout pairs.

    ``false_claims`` is the share of claims that are false, ``responses`` the share of responses with a false claim;
    each for chosen, rejected, and rejected minus chosen. Questions are drawn again for the intervals.
    """

    source: str
    questions: int
    pairs: int
    claims: tuple[int, int]
    false_claims: tuple[Mean, Mean, Mean]
    responses: tuple[Mean, Mean, Mean]


def measure(build: Path) -> list[Hallucination]:
    """Each source of a build that has dropout pairs, and all of them."""
    counts: dict[str, list[Any]] = {}
    for source, table in _counts(build):
        counts.setdefault(source, []).append(table)
        counts.setdefault("all", []).append(table)
    return [
        _summed(source, np.array(counts[source])) for source in sorted(counts, key=lambda name: (name == "all", name))
    ]


def _counts(build: Path) -> Iterator[tuple[str, list[list[int]]]]:
    """For each question its source, and of chosen and rejected: responses, claims, false claims, responses with one."""
    names = sorted(read_manifest(build)["files"])
    facts = {
        question.id: json.loads(question.meta)
        for name in names
        if name.startswith("questions/")
        for question in read_rows(build / name, Question, without=("images",))
        if question.answer is None
    }
    for name in names:
        if name.startswith("pairs/"):
            for row in read_rows(build / name, PreferenceRow, without=("images",)):
                if any(pair.method == "dropout" for pair in row.pairs):
                    yield row.source, _of_row(row, facts[row.id])


def _of_row(row: PreferenceRow, facts: Facts) -> list[list[int]]:
    sums = np.zeros((2, 4), np.int64)
    for pair in row.pairs:
        if pair.method == "dropout":
            kept = row.responses[pair.rejected].prefix_chars
            for side, place in enumerate((pair.chosen, pair.rejected)):
                found = [claim for claim in claims(row.responses[place].text, facts) if claim.place >= kept]
                false = sum(not claim.holds for claim in found)
                sums[side] += (1, len(found), false, false > 0)
    table: list[list[int]] = sums.tolist()
    return table


def _summed(source: str, table: Any) -> Hallucination:
    """From counts ``[questions, 2, 4]``."""

    def shares(top: int, bottom: int) -> tuple[Mean, Mean, Mean]:
        def three(sums: Any) -> Any:
            chosen, rejected = (sums[..., side, top] / np.maximum(sums[..., side, bottom], 1) for side in (0, 1))
            return np.stack([chosen, rejected, rejected - chosen], -1)

        first, second, third = bootstrap_of(table, three)
        return first, second, third

    totals = table.sum(0)
    return Hallucination(
        source=source,
        questions=len(table),
        pairs=int(totals[0, 0]),
        claims=(int(totals[0, 1]), int(totals[1, 1])),
        false_claims=shares(2, 1),
        responses=shares(3, 0),
    )

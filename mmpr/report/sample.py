"""What is shown: a seeded choice of questions for the gallery, and of verdicts for the audit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from mmpr.report.draw import draw
from mmpr.report.findings import example_numbers
from mmpr.report.inputs import Input, ShownRow
from mmpr.report.nouns import AuditItem, GalleryQuestion, Picture, ShownPair, ShownResponse
from mmpr.report.pictures import shown
from mmpr.report.tally import FLAGS, OUTCOMES, Tally

GALLERY = 160
_EXAMPLES_EACH = 6
_GALLERY_BYTES = 6 << 20
_AUDIT_BYTES = 3 << 20
_HEAD, _TAIL = 4_000, 2_000  # characters that are shown of a very long text
_AUDIT_TAIL = 1_500


class Rows:
    """Everything stored of a few questions, by their numbers."""

    def __init__(self, given: Input, tally: Tally, numbers: Iterable[int]) -> None:
        """Read them unit by unit. Raises OutputError when a file cannot be read."""
        self._rows: dict[int, ShownRow] = {}
        for unit, some, places in _by_unit(tally, numbers):
            self._rows.update(zip(some, given.rows(unit, places), strict=True))

    def __getitem__(self, number: int) -> ShownRow:
        return self._rows[number]


def question_ids(given: Input, tally: Tally, numbers: Iterable[int]) -> dict[int, str]:
    """The ids of questions by their numbers."""
    return {
        number: id
        for unit, some, places in _by_unit(tally, numbers)
        for number, id in zip(some, given.ids(unit, places), strict=True)
    }


def _by_unit(tally: Tally, numbers: Iterable[int]) -> Iterator[tuple[int, list[int], list[int]]]:
    """Units (their position) with those of these numbers that stand in them, and their places there."""
    wanted = np.unique(np.fromiter(numbers, dtype=np.int64))
    ends = np.cumsum([len(flags) for flags in tally.flags])
    unit_of = np.searchsorted(ends, wanted, side="right")
    for at in np.unique(unit_of).tolist():
        some = wanted[unit_of == at]
        yield at, some.tolist(), (some - (ends[at] - len(tally.flags[at]))).tolist()


def choose(tally: Tally, seed: int) -> list[int]:
    """Numbers of the gallery's questions: some examples of every finding, then all sources and outcomes by turns."""
    chosen: dict[int, None] = {}
    for name in FLAGS:
        chosen |= dict.fromkeys(example_numbers(tally, name, seed)[:_EXAMPLES_EACH])
    source, outcome = tally.all_of(tally.source_of), tally.all_of(tally.outcome_of)
    groups = []
    for group in np.unique(source * len(OUTCOMES) + outcome):
        members = np.flatnonzero(source * len(OUTCOMES) + outcome == group)
        groups.append(members[np.argsort(draw(seed, members), kind="stable")[:GALLERY]])
    for turn in zip_longest(*groups):
        for number in turn:
            if number is not None and len(chosen) < GALLERY:
                chosen.setdefault(int(number))
    return sorted(chosen)


def gallery(tally: Tally, rows: Rows, numbers: Sequence[int]) -> tuple[GalleryQuestion, ...]:
    """The questions of these numbers, as many as the page has room for."""
    flags, outcomes = tally.all_of(tally.flags), tally.all_of(tally.outcome_of)
    found: list[GalleryQuestion] = []
    left = _GALLERY_BYTES
    for number in numbers:
        keys = tuple(name for bit, name in enumerate(FLAGS) if flags[number] >> bit & 1)
        question = _question(rows[number], OUTCOMES[outcomes[number]], keys)
        left -= _bytes(question.pictures) + sum(len(response.text) for response in question.responses)
        if left < 0:
            break
        found.append(question)
    return tuple(found)


def audit(rows: Rows, drawn: Sequence[tuple[int, int]]) -> tuple[AuditItem, ...]:
    """The drawn verdicts, as many as the page has room for."""
    items: list[AuditItem] = []
    left = _AUDIT_BYTES
    for number, sample in drawn:
        row = rows[number]
        asked, verdict = row["ingest"], row["verify"]["verdicts"][sample]
        response = row["sample"]["responses"][sample]
        tail = response["text"][-_AUDIT_TAIL:]
        item = AuditItem(
            key=f"{asked['id']}/{sample}",
            id=asked["id"],
            source=asked["source"],
            question=shorten(asked["question"])[0],
            pictures=_pictures(asked),
            truth=asked["answer"] or "",
            response=judged({**response, "text": tail}, sample, verdict, len(response["text"]) - len(tail)),
        )
        left -= _bytes(item.pictures) + len(item.response.text)
        if left < 0:
            break
        items.append(item)
    return tuple(items)


def _question(row: ShownRow, outcome: str, keys: tuple[str, ...]) -> GalleryQuestion:
    asked = row["ingest"]
    paired: Mapping[str, Any] = row.get("pair", {"responses": [], "pairs": []})
    responses, place = _sampled(row, paired) if "sample" in row else _told(paired)
    return GalleryQuestion(
        id=asked["id"],
        source=asked["source"],
        kind=asked["kind"],
        pictures=_pictures(asked),
        question=shorten(asked["question"])[0],
        prompt=shorten(row["sample"]["prompt"])[0] if "sample" in row else "",
        answer=asked["answer"],
        pass_rate=row["verify"]["pass_rate"] if "verify" in row else None,
        outcome=outcome,
        responses=tuple(responses),
        pairs=tuple(
            ShownPair(place[pair["chosen"]], place[pair["rejected"]], pair["method"], pair["reason"])
            for pair in paired["pairs"]
        ),
        findings=keys,
    )


def _sampled(row: ShownRow, paired: Mapping[str, Any]) -> tuple[list[ShownResponse], dict[int, int]]:
    """All responses, those of the rollout first, and where the ones in pairs stand among them."""
    sampled = row["sample"]["responses"]
    verdicts = row["verify"]["verdicts"] if "verify" in row else [None] * len(sampled)
    responses = [
        judged(response, at, verdict) for at, (response, verdict) in enumerate(zip(sampled, verdicts, strict=True))
    ]
    place: dict[int, int] = {}
    for at, response in enumerate(paired["responses"]):
        if response["continued"]:
            place[at] = len(responses)
            responses.append(_continued(response))
        else:
            place[at] = response["sample"]
    return responses, place


def _told(paired: Mapping[str, Any]) -> tuple[list[ShownResponse], dict[int, int]]:
    """The responses of a release, which tells of little but their texts."""
    responses = []
    for response in paired["responses"]:
        known = {**response, "comparator": "", "reason": ""}
        one = _continued(response) if response["continued"] else judged(response, response["sample"], known)
        responses.append(one if one.tokens else replace(one, sample=None, tokens=None))
    return responses, {at: at for at in range(len(responses))}


def judged(response: Mapping[str, Any], sample: int, verdict: Mapping[str, Any] | None, cut: int = 0) -> ShownResponse:
    """A response as the page shows it; of a text before it ``cut`` characters are left out already."""
    text, left_out = shorten(response["text"])
    about = verdict or {"status": "", "answer": None, "comparator": "", "reason": ""}
    start, end = find_answer(text, about["answer"])
    return ShownResponse(
        text=text,
        sample=sample,
        tokens=response["tokens"],
        finish_reason=response["finish_reason"],
        status=about["status"],
        answer=about["answer"],
        answer_start=start,
        answer_end=end,
        comparator=about["comparator"],
        reason=about["reason"],
        left_out=left_out + cut,
    )


def _continued(response: Mapping[str, Any]) -> ShownResponse:
    text, left_out = shorten(response["text"])
    prefix = response["prefix_chars"]
    if left_out and prefix > _HEAD:
        prefix = max(len(text) - _TAIL, prefix - len(response["text"]) + len(text))
    return ShownResponse(
        text=text,
        sample=response["sample"],
        tokens=response["tokens"],
        finish_reason=response["finish_reason"],
        continued=True,
        prefix_chars=prefix,
        left_out=left_out,
    )


def shorten(text: str) -> tuple[str, int]:
    """A text with the middle of a very long one left out, and how many characters that were."""
    left_out = len(text) - _HEAD - _TAIL
    if left_out <= 0:
        return text, 0
    return f"{text[:_HEAD]}\n[… {left_out:,} characters left out …]\n{text[-_TAIL:]}", left_out


def find_answer(text: str, answer: str | None) -> tuple[int, int]:
    """Where the final answer stands: its last occurrence that is not a part of a longer word; (-1, -1) when nowhere."""
    last = (-1, -1)
    if answer:
        for found in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", text):
            last = found.span()
        if last == (-1, -1) and answer in text:
            last = (text.rindex(answer), text.rindex(answer) + len(answer))
    return last


def _pictures(asked: Mapping[str, Any]) -> tuple[Picture, ...]:
    return tuple(shown(image["bytes"]) for image in asked["images"])


def _bytes(pictures: Sequence[Picture]) -> int:
    return sum(len(picture.data) for picture in pictures)

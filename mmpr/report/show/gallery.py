"""Questions for the gallery and verdicts for the audit, chosen by the seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from mmpr.pages.pictures import Picture, small_copy
from mmpr.pages.responses import SHORTENED_HEAD, SHORTENED_TAIL, ShownResponse, judged_response, shorten
from mmpr.report.contents import AuditItem, GalleryQuestion, ShownPair
from mmpr.report.load.dataset import Dataset
from mmpr.report.load.units import StoredRow
from mmpr.report.measure.dataset_statistics import FLAGS, OUTCOMES, Statistics
from mmpr.report.measure.findings import example_numbers
from mmpr.report.measure.sampling import random_numbers
from mmpr.schema import shown_question, shown_truth

GALLERY = 160
_EXAMPLES_EACH = 6
_GALLERY_BYTES = 6 << 20
_AUDIT_BYTES = 3 << 20
_AUDIT_TAIL = 1_500  # characters at the end of a response, where its answer stands


def read_shown_rows(dataset: Dataset, stats: Statistics, numbers: Iterable[int]) -> dict[int, StoredRow]:
    """All that is stored of questions, by their numbers; read unit by unit.

    Raises:
        OutputError: a file cannot be read.
    """
    return {
        number: row
        for unit, some, places in _by_unit(stats, numbers)
        for number, row in zip(some, dataset.rows(unit, places), strict=True)
    }


def question_ids(dataset: Dataset, stats: Statistics, numbers: Iterable[int]) -> dict[int, str]:
    """The ids of questions, by their numbers."""
    return {
        number: id
        for unit, some, places in _by_unit(stats, numbers)
        for number, id in zip(some, dataset.ids(unit, places), strict=True)
    }


def _by_unit(stats: Statistics, numbers: Iterable[int]) -> Iterator[tuple[int, list[int], list[int]]]:
    """(unit, numbers of the questions in it, their positions in it) for every unit that has some of the questions."""
    wanted = np.unique(np.fromiter(numbers, dtype=np.int64))
    ends = np.cumsum([len(flags) for flags in stats.flags])
    unit_of = np.searchsorted(ends, wanted, side="right")
    for at in np.unique(unit_of).tolist():
        some = wanted[unit_of == at]
        yield at, some.tolist(), (some - (ends[at] - len(stats.flags[at]))).tolist()


def choose(stats: Statistics, seed: int) -> list[int]:
    """Numbers of the gallery's questions: examples of every finding, then each source and outcome in turn."""
    chosen: dict[int, None] = {}
    for name in FLAGS:
        chosen |= dict.fromkeys(example_numbers(stats, name, seed)[:_EXAMPLES_EACH])
    source, outcome = stats.all_of(stats.source_of), stats.all_of(stats.outcome_of)
    groups = []
    for group in np.unique(source * len(OUTCOMES) + outcome):
        members = np.flatnonzero(source * len(OUTCOMES) + outcome == group)
        groups.append(members[np.argsort(random_numbers(seed, members), kind="stable")[:GALLERY]])
    for turn in zip_longest(*groups):
        for number in turn:
            if number is not None and len(chosen) < GALLERY:
                chosen.setdefault(int(number))
    return sorted(chosen)


def gallery(stats: Statistics, rows: Mapping[int, StoredRow], numbers: Sequence[int]) -> tuple[GalleryQuestion, ...]:
    """The questions of these numbers, as many as fit on the page."""
    flags, outcomes = stats.all_of(stats.flags), stats.all_of(stats.outcome_of)
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


def audit(rows: Mapping[int, StoredRow], verdicts: Sequence[tuple[int, int]]) -> tuple[AuditItem, ...]:
    """The chosen verdicts, as many as fit on the page, the unsure ones first; ``verdicts`` are (question, sample)."""
    items: list[AuditItem] = []
    left = _AUDIT_BYTES
    for number, sample in verdicts:
        row = rows[number]
        asked, verdict = row["ingest"], row["verify"]["verdicts"][sample]
        response = row["sample"]["responses"][sample]
        tail = response["text"][-_AUDIT_TAIL:]
        item = AuditItem(
            key=f"{asked['id']}/{sample}",
            id=asked["id"],
            source=asked["source"],
            question=shorten(_asked(asked))[0],
            pictures=_pictures(asked),
            truth=shown_truth(asked["answer"], asked.get("answers")) or "",
            response=judged_response({**response, "text": tail}, sample, verdict, len(response["text"]) - len(tail)),
        )
        left -= _bytes(item.pictures) + len(item.response.text)
        if left < 0:
            break
        items.append(item)
    return tuple(sorted(items, key=lambda item: item.response.status != "unsure"))


def _asked(question: Mapping[str, Any]) -> str:
    return shown_question(question["question"], question.get("context"))


def _prompt(rollout: Mapping[str, Any]) -> str:
    return shown_question(rollout["prompt"], rollout.get("context"))


def _question(row: StoredRow, outcome: str, keys: tuple[str, ...]) -> GalleryQuestion:
    asked = row["ingest"]
    paired: Mapping[str, Any] = row.get("pair", {"responses": [], "pairs": []})
    responses, place = _build_responses(row, paired) if "sample" in row else _release_responses(paired)
    return GalleryQuestion(
        id=asked["id"],
        source=asked["source"],
        kind=asked["kind"],
        pictures=_pictures(asked),
        question=shorten(_asked(asked))[0],
        prompt=shorten(_prompt(row["sample"]))[0] if "sample" in row else "",
        answer=shown_truth(asked["answer"], asked.get("answers")),
        pass_rate=row["verify"]["pass_rate"] if "verify" in row else None,
        outcome=outcome,
        responses=tuple(responses),
        pairs=tuple(
            ShownPair(place[pair["chosen"]], place[pair["rejected"]], pair["method"], pair["reason"])
            for pair in paired["pairs"]
        ),
        findings=keys,
    )


def _build_responses(row: StoredRow, paired: Mapping[str, Any]) -> tuple[list[ShownResponse], dict[int, int]]:
    """A build's responses, those of the rollout first, and the position among them of each response in pairs."""
    sampled = row["sample"]["responses"]
    verdicts = row["verify"]["verdicts"] if "verify" in row else [None] * len(sampled)
    responses = [
        judged_response(response, at, verdict)
        for at, (response, verdict) in enumerate(zip(sampled, verdicts, strict=True))
    ]
    place: dict[int, int] = {}
    for at, response in enumerate(paired["responses"]):
        if response["continued"]:
            place[at] = len(responses)
            responses.append(_continued(response))
        else:
            place[at] = response["sample"]
    return responses, place


def _release_responses(paired: Mapping[str, Any]) -> tuple[list[ShownResponse], dict[int, int]]:
    """The same for a release, which tells little but the texts."""
    responses = []
    for response in paired["responses"]:
        known = {**response, "comparator": "", "reason": ""}
        one = _continued(response) if response["continued"] else judged_response(response, response["sample"], known)
        responses.append(one if one.tokens else replace(one, sample=None, tokens=None))
    return responses, {at: at for at in range(len(responses))}


def _continued(response: Mapping[str, Any]) -> ShownResponse:
    text, left_out = shorten(response["text"])
    prefix = response["prefix_chars"]
    if left_out and prefix > SHORTENED_HEAD:
        prefix = max(len(text) - SHORTENED_TAIL, prefix - len(response["text"]) + len(text))
    return ShownResponse(
        text=text,
        sample=response["sample"],
        tokens=response["tokens"],
        finish_reason=response["finish_reason"],
        continued=True,
        prefix_chars=prefix,
        left_out=left_out,
    )


def _pictures(asked: Mapping[str, Any]) -> tuple[Picture, ...]:
    return tuple(small_copy(image["bytes"]) for image in asked["images"])


def _bytes(pictures: Sequence[Picture]) -> int:
    return sum(len(picture.data) for picture in pictures)

"""Why a build lacks what it lacks: the reasons that are counted, in words, each with an example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any

from mmpr.errors import OutputError
from mmpr.schema import Reject, Verdicts
from mmpr.storage.columns import read_batches
from mmpr.storage.counts import UNKNOWN
from mmpr.storage.tables import read_rows

_REASONS = {
    "all_correct": "all responses are right",
    "none_correct": "no response is right",
    "all_unparseable": "no response names an answer",
    "correct_only_truncated": "right only where truncated",
    "wrong_only_truncated": "wrong only where truncated",
    "nothing_to_reject": "nothing to reject",
    "all_entailed": "every wrong answer contains the right one",
    "all_left_out": "no possible pair is kept by the settings of pairing",
    "not_judged": "no response could be judged",
    "no_continuation": "no continuation differs",
    "unparseable": "no clear answer",
    "unsure": "may be right: the judge cannot tell",
    "unclear": "no clear word",
    "not_asked": "not asked: truncated, or the text of another",
    "timeout": "the judge ran out of time",
    "error": "the judge failed",
    "entailed": "the wrong answer contains the right one",
    "undecided": "could not be compared in time",
    "capped": "over the cap of pairs a question",
    "pass_rate": "of a question outside of pairing.pass_rate",
    "lengths_differ": "lengths differ by more than pairing.length_balance",
    "length_balance": "left out to balance the lengths of both sides",
    "response_used_up": "a response is in pairing.max_pairs_a_response pairs",
    "over_its_share": "of a question that pairing.keep leaves out",
    "not_selected": "not selected",
    "left_out_before": "left out by the build that this one was made of",
    "truncated": "truncated",
    "empty_continuation": "empty continuation",
    "same": "continuation is the same text",
    "same_as_another": "continuation is another response's text",
    "repeated": "continuation repeats another one",
}
_JUDGED = (
    *("all_correct", "none_correct", "all_unparseable", "correct_only_truncated", "wrong_only_truncated"),
    *("nothing_to_reject", "all_entailed", "all_left_out", "not_judged"),
)
"""Outcomes of questions with a truth."""

_SHOWN_CHARS = 300
_LOOKED_AT = 20
"""Files in which an example of a question without a pair is looked for."""


@dataclass(frozen=True, slots=True)
class Reason:
    """So many things of a source that a stage left out for one reason; ``example`` is the first of them, in words."""

    stage: str
    source: str
    name: str
    count: int
    example: str

    def __str__(self) -> str:
        example = f"; for example {self.example}" if self.example else ""
        return f"{self.count:,} x {reason_text(self.name)} ({self.source}, {self.stage}){example}"


def reason_text(name: str) -> str:
    """The name of a counted reason, as words for people."""
    return _REASONS.get(name, name.replace("_", " "))


def reject_reasons(out: Path) -> list[Reason]:
    """Why rows and responses were dropped, from ``rejects/``: by stage, source and reason, the commonest first.

    Raises:
        OutputError: a file of it is damaged.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], Reject] = {}
    for path in sorted((out / "rejects").glob("*.parquet")):
        for reject in read_rows(path, Reject):
            key = (reject.stage, reject.source, reject.reason)
            counts[key] += 1
            first.setdefault(key, reject)
    return [Reason(*key, count, _words(f"{first[key].id}: {first[key].detail}")) for key, count in counts.most_common()]


def unpaired_reasons(out: Path, counts: Mapping[str, Mapping[str, int]]) -> list[Reason]:
    """Why questions have no pair, the commonest first; ``counts`` are those of the stage ``pair`` in the manifest."""
    found = [
        Reason("pair", source, what.removeprefix("questions/"), count, "")
        for source, names in counts.items()
        for what, count in names.items()
        if what.startswith("questions/") and what != "questions/paired"
    ]
    found.sort(key=lambda reason: -reason.count)
    return [Reason(r.stage, r.source, r.name, r.count, _example(out, r.source, r.name)) for r in found]


def commonest(reasons: Sequence[Reason], most: int = 3) -> list[str]:
    """The first reasons of a list that is sorted by count over all stages, a line each."""
    return [str(reason) for reason in sorted(reasons, key=lambda reason: -reason.count)[:most]]


def _example(out: Path, source: str, outcome: str) -> str:
    """A question of a source that fared so: what was asked, the truth, and what was answered.

    Of open-ended questions, which have no verdicts, the first of the source.
    """
    for path in islice(sorted((out / "verdicts").glob("*.parquet")), _LOOKED_AT):
        for row in _readable(path, Verdicts):
            statuses = {verdict.status for verdict in row.verdicts}
            if row.source == source and _fits(outcome, statuses):
                answers = list(dict.fromkeys(verdict.answer or "no answer" for verdict in row.verdicts))
                asked = _asked(out, path.name, "id", row.id)
                return _words(f"{asked} was answered {', '.join(map(repr, answers[:4]))}")
    if outcome in _JUDGED:
        return ""
    files = [path.name for path in islice(sorted((out / "questions").glob("*.parquet")), _LOOKED_AT)]
    return _words(next(filter(None, (_asked(out, file, "source", source) for file in files)), ""))


def _fits(outcome: str, statuses: set[Any]) -> bool:
    """Whether a question whose responses were judged so may have fared like this."""
    if outcome == "all_correct":
        return statuses == {"correct"}
    if outcome == "all_unparseable":
        return statuses == {"unparseable"}
    if outcome == "not_judged":
        return statuses <= set(UNKNOWN)
    if outcome == "none_correct":
        return "correct" not in statuses and not statuses <= {"unparseable"} and not statuses <= set(UNKNOWN)
    return outcome in _JUDGED and "correct" in statuses and len(statuses) > 1


def _asked(out: Path, file: str, column: str, value: str) -> str:
    """The first question of a file that has this value in a column, and its truth; empty when there is none."""
    for batch in read_batches(out / "questions" / file, ("id", "source", "question", "answer")):
        for row in batch:
            if row[column] == value:
                truth = "" if row["answer"] is None else f" (truth {row['answer']!r})"
                return f"{shorten(row['question'], 120, placeholder='…')!r}{truth}"
    return ""


def _readable(path: Path, noun: Any) -> Iterator[Any]:
    """The rows of a shard; none of one that cannot be read, since an example is not worth an error."""
    try:
        yield from read_rows(path, noun)
    except OutputError:
        return


def _words(text: str) -> str:
    return shorten(text, _SHOWN_CHARS, placeholder="…")

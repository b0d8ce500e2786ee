"""Where everything went: rows to questions to responses to pairs, every part counted, and every number known twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow.compute as pc

from mmpr.report.facts import Facts
from mmpr.report.histogram import METHODS
from mmpr.report.nouns import Flow, FlowCheck, FlowPart, FlowStage
from mmpr.report.read import one, read_columns
from mmpr.report.tally import OUTCOMES, Tally
from mmpr.report.view import STATUSES

_WORDS = {
    "all_correct": "all responses are right",
    "none_correct": "no response is right",
    "all_unparseable": "no response names an answer",
    "correct_only_truncated": "right only where truncated",
    "nothing_to_reject": "nothing to reject",
    "all_entailed": "every wrong answer contains the right one",
    "not_judged": "no response could be judged",
    "no_continuation": "no continuation differs",
    "unparseable": "no clear answer",
    "timeout": "the judge ran out of time",
    "error": "the judge failed",
    "entailed": "the wrong answer contains the right one",
    "capped": "over the cap of pairs a question",
    "truncated": "truncated",
    "empty_continuation": "empty continuation",
    "same": "continuation is the same text",
    "same_as_another": "continuation is another response's text",
    "repeated": "continuation repeats another one",
}


def words(name: str) -> str:
    """A counted reason for people."""
    return _WORDS.get(name, name.replace("_", " "))


def rejected_rows(facts: Facts) -> Counter[tuple[str, str]]:
    """Rows of rejects/ by stage (``index-train``, ``ingest-heldout``, ...) and reason, counted from the shards."""
    found: Counter[tuple[str, str]] = Counter()
    for name in sorted(name for name in facts.rows if name.startswith("rejects/")):
        stage = "-".join(name.removeprefix("rejects/").split("-")[:2])
        for item in pc.value_counts(one(read_columns(facts.out / name, ["reason"]), "reason")).to_pylist():
            found[stage, item["values"]] += item["counts"]
    return found


def index_rows(facts: Facts, split: str) -> int:
    """How many source rows were taken into a split, from the shards' own metadata."""
    return sum(rows for name, rows in facts.rows.items() if name.startswith(f"index/{split}/"))


def make_flow(facts: Facts, tally: Tally, rejected: Counter[tuple[str, str]]) -> Flow:
    """The stages of a build and the numbers that are known twice."""
    return Flow(tuple(_stages(facts, tally, rejected)), tuple(_checks(facts, tally, rejected)))


def _stages(facts: Facts, tally: Tally, rejected: Counter[tuple[str, str]]) -> Iterator[FlowStage]:
    counts = tally.counts
    taken, kept_out = index_rows(facts, "train"), index_rows(facts, "heldout")
    heldout = sum(rows for name, rows in facts.rows.items() if name.startswith("heldout/"))
    not_selected = facts.count("index", "not_selected")
    at_index = rejected_by(rejected, "index-train", "index-heldout")
    yield FlowStage(
        "rows",
        "Rows of the sources",
        "rows",
        taken + kept_out + not_selected + sum(at_index.values()),
        (
            FlowPart("taken", "taken to be asked", taken, True, "taken"),
            FlowPart("heldout", "kept for evaluation", kept_out, True, "heldout"),
            *dropped_parts({"not_selected": not_selected}),
            *dropped_parts(at_index),
        ),
    )
    yield FlowStage(
        "heldout",
        "Held-out rows",
        "rows",
        kept_out,
        (
            FlowPart("heldout_questions", "questions for evaluation", heldout, True),
            *dropped_parts(rejected_by(rejected, "ingest-heldout")),
        ),
    )
    yield FlowStage(
        "taken",
        "Rows to ask",
        "rows",
        taken,
        (
            FlowPart("questions", "questions", counts["questions"], True, "questions"),
            *dropped_parts(rejected_by(rejected, "ingest-train")),
        ),
    )
    yield FlowStage(
        "questions",
        "Questions",
        "questions",
        counts["questions"],
        (
            FlowPart("asked", "asked", counts["rollouts"], True, "asked"),
            *dropped_parts(rejected_by(rejected, "sample-train")),
        ),
    )
    outcomes = {name: counts[f"outcome/{name}"] for name in OUTCOMES if name not in ("paired", "not_asked")}
    yield FlowStage(
        "asked",
        "Questions asked",
        "questions",
        counts["rollouts"],
        (FlowPart("paired", "have pairs", counts["outcome/paired"], True), *dropped_parts(outcomes)),
    )
    statuses = tally.categories["statuses"].totals()
    judged = sum(statuses.values())
    usable = ("correct", "incorrect", "unparseable")
    yield FlowStage(
        "responses",
        "Responses",
        "responses",
        counts["responses"],
        (
            *(
                FlowPart(status, words(status), statuses[status], status in usable, "possible" * (status in usable))
                for status in STATUSES
                if statuses[status] or status in usable[:2]
            ),
            FlowPart("open_ended", "open-ended", _open(counts), True, "open_ended"),
        ),
    )
    yield FlowStage(
        "open_ended",
        "Open-ended responses",
        "responses",
        counts["responses"] - judged,
        (
            FlowPart("continued", "continued without the picture", counts["open/continued"], True, "possible"),
            *dropped_parts({name: counts[f"open/{name}"] for name in ("same_text", "truncated", "empty")}),
            *dropped_parts({"over the cap of continuations": counts["open/capped"]}),
            *dropped_parts({"refused by the engine": counts["open/refused"]}),
        ),
    )
    pairs = {method: counts[f"pairs/{method}"] for method in METHODS}
    skipped = {name.removeprefix("skipped/"): by for name, by in facts.named("pair", "skipped/").items()}
    yield FlowStage(
        "possible",
        "Possible pairs",
        "pairs",
        counts["possible/correctness"] + counts["possible/format"] + counts["continuations"],
        (
            *(FlowPart(method, f"{method} pairs", by, True) for method, by in pairs.items()),
            *dropped_parts(skipped),
        ),
    )


def _open(counts: Counter[str]) -> int:
    return sum(by for name, by in counts.items() if name.startswith("open/"))


def dropped_parts(reasons: dict[str, int]) -> tuple[FlowPart, ...]:
    """Parts of what fell out, by reason."""
    return tuple(FlowPart(name, words(name), by, False) for name, by in reasons.items() if by)


def rejected_by(rejected: Counter[tuple[str, str]], *stages: str) -> dict[str, int]:
    """Reasons of some stages with their counts, the most frequent first."""
    found: Counter[str] = Counter()
    for (stage, reason), by in rejected.items():
        if stage in stages:
            found[reason] += by
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _checks(facts: Facts, tally: Tally, rejected: Counter[tuple[str, str]]) -> Iterator[FlowCheck]:
    counts = tally.counts
    yield FlowCheck(
        "rows taken", facts.count("index", "selected"), index_rows(facts, "train") + index_rows(facts, "heldout")
    )
    yield FlowCheck("questions", facts.count("ingest", "questions"), counts["questions"])
    heldout = sum(rows for name, rows in facts.rows.items() if name.startswith("heldout/"))
    yield FlowCheck("held-out questions", facts.count("heldout", "questions"), heldout)
    for stage, at in (
        ("index", ("index-train", "index-heldout")),
        ("ingest", ("ingest-train",)),
        ("heldout", ("ingest-heldout",)),
        ("sample", ("sample-train",)),
        ("complete", ("complete-train",)),
        ("verify", ("verify-train",)),
    ):
        told = {name.removeprefix("rejected/"): by for name, by in facts.named(stage, "rejected/").items()}
        seen = rejected_by(rejected, *at)
        for reason in sorted({*told, *seen}):
            yield FlowCheck(f"dropped at {stage}: {words(reason)}", told.get(reason, 0), seen.get(reason, 0))
    yield FlowCheck("responses", facts.count("sample", "responses"), counts["responses"])
    yield FlowCheck("tokens of responses", facts.count("sample", "tokens"), counts["response_tokens"])
    finished = tally.categories["finish_reasons"].totals()
    yield from _same("responses that ended with", facts.named("sample", "finish/"), finished)
    yield from _same("verdicts", facts.named("verify", ""), tally.categories["statuses"].totals(), STATUSES)
    yield FlowCheck("continuations", facts.count("complete", "continuations"), counts["continuations"])
    outcomes = Counter({name: counts[f"outcome/{name}"] for name in OUTCOMES if name != "not_asked"})
    yield from _same("questions", facts.named("pair", "questions/"), outcomes)
    yield from _same("pairs by", facts.named("pair", "pairs/"), Counter({m: counts[f"pairs/{m}"] for m in METHODS}))


def _same(
    title: str, told: dict[str, int], seen: Counter[str], names: Iterable[str] | None = None
) -> Iterator[FlowCheck]:
    """Checks of counts that go by name in both; ``names`` are the only ones that matter."""
    known = {name.rsplit("/", 1)[-1]: by for name, by in told.items()}
    for name in sorted({*known, *(name for name, by in seen.items() if by)}):
        if names is None or name in names:
            yield FlowCheck(f"{title} {words(name)}", known.get(name, 0), seen[name])

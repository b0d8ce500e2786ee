"""The data flow: how many rows became questions, responses and pairs, what was dropped, and whether it adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mmpr.pipeline.reasons import reason_text
from mmpr.report.contents import Flow, FlowCheck, FlowPart, FlowStage
from mmpr.report.load.build import RejectCounts, index_rows, rejected_by
from mmpr.report.load.dataset import Dataset
from mmpr.report.load.info import DatasetInfo
from mmpr.report.load.release import ReleaseDataset
from mmpr.report.measure.dataset_statistics import OUTCOMES, Statistics
from mmpr.report.measure.joined import WORDS
from mmpr.storage.counts import JUDGED, METHODS, STATUSES, methods_made


def make_flow(dataset: Dataset, stats: Statistics) -> Flow:
    """The flow of a build or a release; call it when all units were counted."""
    if isinstance(dataset, ReleaseDataset):
        return _release_flow(dataset, stats)
    return build_flow(dataset.info, stats, dataset.rejected)


def build_flow(info: DatasetInfo, stats: Statistics, rejected: RejectCounts) -> Flow:
    """The stages of a build, and the numbers that the manifest has too."""
    return Flow(tuple(_stages(info, stats, rejected)), tuple(_checks(info, stats, rejected)))


def _release_flow(dataset: ReleaseDataset, stats: Statistics) -> Flow:
    """Lines to pairs: every line is a pair or was dropped. ``meta.json`` also says how many lines there are."""
    lines, lost = dataset.lost()
    methods = _pairs_made(stats)
    kept = FlowPart("pairs", "pairs", dataset.pairs, True, "pairs")
    stages = (
        FlowStage("rows", "Lines of the release", "lines", lines, (kept, *_dropped(lost))),
        FlowStage("pairs", "Pairs", "pairs", dataset.pairs, tuple(methods)),
    )
    checks = (FlowCheck(f"lines of {name}", told, count) for name, told, count in dataset.lines() if told is not None)
    return Flow(stages, tuple(checks))


def _stages(info: DatasetInfo, stats: Statistics, rejected: RejectCounts) -> Iterator[FlowStage]:
    counts = stats.counts
    taken, held_out = index_rows(info, "train"), index_rows(info, "heldout")
    not_selected = info.count("index", "not_selected")
    at_index = rejected_by(rejected, "index-train", "index-heldout")
    rows = taken + held_out + not_selected + sum(at_index.values())
    parts = [
        FlowPart("taken", "taken to be asked", taken, True, "taken"),
        FlowPart("heldout", "kept for evaluation", held_out, True, "heldout"),
    ]
    dropped = (*_dropped({"not_selected": not_selected}), *_dropped(at_index))
    yield FlowStage("rows", "Rows of the sources", "rows", rows, (*parts, *dropped))

    part = FlowPart("heldout_questions", "questions for evaluation", _heldout_rows(info), True)
    dropped = _dropped(rejected_by(rejected, "ingest-heldout"))
    yield FlowStage("heldout", "Held-out rows", "rows", held_out, (part, *dropped))

    part = FlowPart("questions", "questions", counts["questions"], True, "questions")
    dropped = _dropped(rejected_by(rejected, "ingest-train"))
    yield FlowStage("taken", "Rows to ask", "rows", taken, (part, *dropped))

    part = FlowPart("asked", "asked", counts["rollouts"], True, "asked")
    dropped = _dropped(rejected_by(rejected, "sample-train"))
    yield FlowStage("questions", "Questions", "questions", counts["questions"], (part, *dropped))

    part = FlowPart("paired", "have pairs", counts["outcome/paired"], True)
    dropped = _dropped({name: counts[f"outcome/{name}"] for name in OUTCOMES if name not in ("paired", "not_asked")})
    yield FlowStage("asked", "Questions asked", "questions", counts["rollouts"], (part, *dropped))

    statuses = stats.categories["statuses"].totals()
    goes_to = dict.fromkeys(JUDGED, "possible")
    if info.recipe.get("adjudicate"):
        goes_to["unsure"] = "adjudicated"
    parts = [
        FlowPart(name, reason_text(name), statuses[name], name in goes_to, goes_to.get(name, ""))
        for name in STATUSES
        if statuses[name] or name in ("correct", "incorrect")
    ]
    open_ended = sum(count for name, count in counts.items() if name.startswith("open/"))
    part = FlowPart("open_ended", "open-ended", open_ended, True, "open_ended")
    yield FlowStage("responses", "Responses", "responses", counts["responses"], (*parts, part))

    if "unsure" in goes_to:
        parts = [
            FlowPart(word, f"{word} by the model's word", counts[f"adjudicated/{word}"], True, "possible")
            for word in ("correct", "incorrect")
        ]
        reasons = {name: counts[f"adjudicated/{name}"] for name in ("unclear", "not_asked")}
        reasons["refused by the engine"] = sum(rejected_by(rejected, "adjudicate-train").values())
        title = "Unsure responses, put to a model"
        yield FlowStage("adjudicated", title, "responses", statuses["unsure"], (*parts, *_dropped(reasons)))

    part = FlowPart("continued", "continued without the picture", counts["open/continued"], True, "possible")
    reasons = {name: counts[f"open/{name}"] for name in ("same_text", "truncated", "empty")}
    reasons["over the cap of continuations"] = counts["open/capped"]
    reasons["refused by the engine"] = counts["open/refused"]
    total = counts["responses"] - sum(statuses.values())
    yield FlowStage("open_ended", "Open-ended responses", "responses", total, (part, *_dropped(reasons)))

    parts = _pairs_made(stats)
    skipped = {name.removeprefix("skipped/"): count for name, count in info.named("pair", "skipped/").items()}
    total = counts["possible/correctness"] + counts["possible/format"] + counts["continuations"]
    yield FlowStage("possible", "Possible pairs", "pairs", total, (*parts, *_dropped(skipped)))


def _heldout_rows(info: DatasetInfo) -> int:
    return sum(rows for name, rows in info.rows.items() if name.startswith("heldout/"))


def _pairs_made(stats: Statistics) -> list[FlowPart]:
    """The pairs that were made, by method."""
    counts = stats.counts
    methods = methods_made(lambda name: counts[name])
    return [FlowPart(method, f"{method} pairs", counts[f"pairs/{method}"], True) for method in methods]


def _dropped(reasons: dict[str, int]) -> tuple[FlowPart, ...]:
    """The parts that were dropped, by reason."""
    return tuple(FlowPart(name, reason_text(name), by, False) for name, by in reasons.items() if by)


def _checks(info: DatasetInfo, stats: Statistics, rejected: RejectCounts) -> Iterator[FlowCheck]:
    counts = stats.counts
    yield FlowCheck(
        "rows taken", info.count("index", "selected"), index_rows(info, "train") + index_rows(info, "heldout")
    )
    yield FlowCheck("questions", info.count("ingest", "questions"), counts["questions"])
    yield FlowCheck("held-out questions", info.count("heldout", "questions"), _heldout_rows(info))
    for stage, at in (
        ("index", ("index-train", "index-heldout")),
        ("ingest", ("ingest-train",)),
        ("heldout", ("ingest-heldout",)),
        ("sample", ("sample-train",)),
        ("complete", ("complete-train",)),
        ("verify", ("verify-train",)),
        ("adjudicate", ("adjudicate-train",)),
    ):
        told = {name.removeprefix("rejected/"): by for name, by in info.named(stage, "rejected/").items()}
        seen = rejected_by(rejected, *at)
        for reason in sorted({*told, *seen}):
            yield FlowCheck(f"dropped at {stage}: {reason_text(reason)}", told.get(reason, 0), seen.get(reason, 0))
    yield FlowCheck("responses", info.count("sample", "responses"), counts["responses"])
    yield FlowCheck("tokens of responses", info.count("sample", "tokens"), counts["response_tokens"])
    finished = stats.categories["finish_reasons"].totals()
    yield from _same("responses that ended with", info.named("sample", "finish/"), finished)
    yield from _same("verdicts", info.named("verify", ""), stats.categories["statuses"].totals(), STATUSES)
    words: Counter[str] = Counter({word: counts[f"adjudicated/{word}"] for word in WORDS})
    yield from _same("words of the verifier:", info.named("adjudicate", ""), words, WORDS)
    yield FlowCheck("continuations", info.count("complete", "continuations"), counts["continuations"])
    outcomes = Counter({name: counts[f"outcome/{name}"] for name in OUTCOMES if name != "not_asked"})
    yield from _same("questions", info.named("pair", "questions/"), outcomes)
    yield from _same("pairs by", info.named("pair", "pairs/"), Counter({m: counts[f"pairs/{m}"] for m in METHODS}))


def _same(
    title: str, told: dict[str, int], seen: Counter[str], names: Iterable[str] | None = None
) -> Iterator[FlowCheck]:
    """A check for each name that is counted on either side; ``names``, where given, are the only ones compared."""
    known = {name.rsplit("/", 1)[-1]: by for name, by in told.items()}
    for name in sorted({*known, *(name for name, by in seen.items() if by)}):
        if names is None or name in names:
            yield FlowCheck(f"{title} {reason_text(name)}", known.get(name, 0), seen[name])

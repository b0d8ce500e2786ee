"""The proof of a build: what is stored is what the manifest says, and every pair is right by the judge of today.

checksums ─▶ unit by unit: pictures decode, ids are unique, pairs follow from the responses, judged again ─▶ counts
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmpr.config import ImagesSpec
from mmpr.errors import OutputError, RowError
from mmpr.plan import read_build
from mmpr.progress import Steps
from mmpr.schema import (
    IMAGE_MARK,
    Completion,
    Completions,
    IndexedRow,
    Pair,
    PairedResponse,
    PreferenceRow,
    Question,
    Reject,
    Response,
    Rollout,
    Verdicts,
    sample_seed,
)
from mmpr.stages import judge_rollout
from mmpr.storage.images import clean_image
from mmpr.storage.integrity import Problem, check_files
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import Stage, Unit, index_shard, rejects_shard, shard
from mmpr.storage.tables import read_rows

Count = tuple[str, str, str]

_DECODERS = 2
_REBUILD = "build again into another folder"
_REPAIR = "run the build command again with --from pair"
_REJUDGE = "run the build command again with --from verify"
# Sums that only the stage itself can tell; nothing stored says them.
_UNSTORED = ("not_selected", "skipped/", "questions/")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the recipe asks for: its seed, by source the responses a question and the rule, and the pictures' limits."""

    seed: int
    samples: Mapping[str, int]
    rules: Mapping[str, str]
    limits: ImagesSpec


@dataclass(slots=True)
class _Tally:
    """What the rows add up to, by (stage, source, what), and all ids seen."""

    counts: dict[Count, int] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)

    def count(self, stage: str, source: str, what: str, by: int = 1) -> None:
        self.counts[stage, source, what] = self.counts.get((stage, source, what), 0) + by

    def is_new(self, table: str, id: str) -> bool:
        known = self.ids.setdefault(table, set())
        new = id not in known
        known.add(id)
        return new


def verify(out: Path, steps: Steps) -> Iterator[Problem]:
    """Everything that is wrong with a build.

    Raises:
        OutputError: there is no finished build, or its manifest cannot be read.
    """
    manifest = read_manifest(out)
    files = manifest.get("files", {})
    steps.begin("checksums", len(files) if isinstance(files, dict) else 0)
    yield from check_files(out, lambda _: steps.advance())
    try:
        recipe = manifest["recipe"]
        asked = _Asked(
            int(recipe["seed"]),
            {str(spec["name"]): int(spec["samples"] or recipe["sampling"]["samples"]) for spec in recipe["sources"]},
            {str(spec["name"]): str(spec["rule"]) for spec in recipe["sources"]},
            ImagesSpec(**recipe["images"]),
        )
        told = {
            (stage, source, what): int(count)
            for stage, sources in manifest["counts"].items()
            for source, counts in sources.items()
            for what, count in counts.items()
        }
        build = read_build(out)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield Problem("manifest.json", f"is damaged ({error!r})", "restore it from a copy")
        return
    except OutputError as error:
        yield Problem("build.json", str(error), "restore it from a copy")
        return
    if build is None:
        return  # check_files has missed it
    tally = _Tally()
    steps.begin("rows", sum(build.units.values()))
    for split in ("train", "heldout"):
        for unit in build.of(split):
            yield from _guarded(unit.file, _unit(out, unit, asked, tally))
            steps.advance()
    yield from _guarded("rejects", _rejects(out, tally))
    yield from _compare(told, tally.counts)


def _guarded(where: str, check: Iterable[Problem]) -> Iterator[Problem]:
    """The problems of a unit; a shard that cannot be read is one of them."""
    try:
        yield from check
    except OutputError as error:
        yield Problem(where, str(error), "restore it from a copy")


def _unit(out: Path, unit: Unit, asked: _Asked, tally: _Tally) -> Iterator[Problem]:
    """All rows of a unit in all folders."""
    stage = "ingest" if unit.split == "train" else "heldout"
    indexed = {row.id for row in read_rows(index_shard(out, unit), IndexedRow)}
    for row in read_rows(index_shard(out, unit), IndexedRow):
        tally.count("index", row.source, "selected")
    questions: dict[str, Question] = {}
    where = shard(out, "ingest", unit).relative_to(out).as_posix()
    for question in read_rows(out / where, Question):
        tally.count(stage, question.source, "questions")
        if not tally.is_new("questions", question.id):
            yield Problem(f"{where} row {question.id}", "this id stands in the build twice", _REBUILD)
        if question.id not in indexed:
            yield Problem(f"{where} row {question.id}", "is not in the index of its unit", _REBUILD)
        questions[question.id] = question
    for id in sorted(indexed - questions.keys() - _rejected(out, "ingest", unit)):
        yield Problem(f"{where} row {id}", "is in the index of its unit, but neither here nor in rejects/", _REBUILD)
    yield from _pictures(where, questions.values(), asked.limits)
    if unit.split == "train":
        yield from _answers(out, unit, questions, asked, tally)


def _pictures(where: str, questions: Iterable[Question], limits: ImagesSpec) -> Iterator[Problem]:
    """Every picture decodes, and there is one mark for each."""

    def problem(question: Question) -> Problem | None:
        row = f"{where} row {question.id}"
        if question.question.count(IMAGE_MARK) != len(question.images):
            return Problem(row, f"{len(question.images)} pictures, but other marks in its text", _REBUILD)
        for place, image in enumerate(question.images):
            try:
                clean_image(image, limits)
            except RowError as error:
                return Problem(row, f"picture {place} does not decode ({error})", _REBUILD)
        return None

    with ThreadPoolExecutor(_DECODERS) as pool:
        yield from (found for found in pool.map(problem, questions) if found)


def _rejected(out: Path, stage: str, unit: Unit) -> set[str]:
    """Ids of the questions that a stage has dropped; ingest tells where they stand behind the id."""
    path = rejects_shard(out, stage, unit)
    return {reject.id.split(" ")[0] for reject in read_rows(path, Reject)} if path.exists() else set()


def _samples(rollout: Rollout, asked: _Asked) -> Iterator[str]:
    """What is wrong with the number or the seeds of a question's responses."""
    want = asked.samples.get(rollout.source, 0)
    if len(rollout.responses) != want:
        yield f"has {len(rollout.responses)} responses, the recipe asks for {want}"
    elif any(
        response.seed != sample_seed(asked.seed, rollout.id, place) for place, response in enumerate(rollout.responses)
    ):
        yield "has responses of other seeds than the recipe's"


def _answers(
    out: Path, unit: Unit, questions: Mapping[str, Question], asked: _Asked, tally: _Tally
) -> Iterator[Problem]:
    """Rollouts, completions, verdicts and pairs of a unit."""

    def path(stage: Stage) -> Path:
        return shard(out, stage, unit)

    rollouts: dict[str, Rollout] = {}
    for rollout in read_rows(path("sample"), Rollout):
        if rollout.id in rollouts:
            yield Problem(f"rollouts/{unit.file} row {rollout.id}", "stands there twice", _REBUILD)
        rollouts[rollout.id] = rollout
    for id in sorted(questions.keys() - rollouts.keys() - _rejected(out, "sample", unit)):
        yield Problem(f"rollouts/{unit.file} row {id}", "has no responses, and is not in rejects/", _REBUILD)
    for rollout in rollouts.values():
        for what in _samples(rollout, asked):
            yield Problem(f"rollouts/{unit.file} row {rollout.id}", what, _REBUILD)
        tally.count("sample", rollout.source, "responses", len(rollout.responses))
        tally.count("sample", rollout.source, "tokens", sum(response.tokens for response in rollout.responses))
        tally.count("sample", rollout.source, "prompt_tokens", rollout.prompt_tokens)
        for response in rollout.responses:
            tally.count("sample", rollout.source, f"finish/{response.finish_reason}")
    completions = {row.id: row for row in read_rows(path("complete"), Completions)}
    for row in completions.values():
        if row.completions:
            tally.count("complete", row.source, "continuations", len(row.completions))
            tally.count("complete", row.source, "tokens", sum(item.continuation.tokens for item in row.completions))
    for verdicts in read_rows(path("verify"), Verdicts):
        for verdict in verdicts.verdicts:
            tally.count("verify", verdicts.source, verdict.status)
    for folder, ids in (("rollouts", rollouts), ("completions", completions)):
        for id in ids.keys() - questions.keys():
            yield Problem(f"{folder}/{unit.file} row {id}", "answers no question of its unit", _REBUILD)

    for pairs in read_rows(path("pair"), PreferenceRow):
        where = f"pairs/{unit.file} row {pairs.id}"
        tally.count("pair", pairs.source, "questions/paired")
        for pair in pairs.pairs:
            tally.count("pair", pairs.source, f"pairs/{pair.method}")
        if not tally.is_new("pairs", pairs.id):
            yield Problem(where, "this id stands in pairs/ twice", _REPAIR)
        question, rollout_of = questions.get(pairs.id), rollouts.get(pairs.id)
        if question is None or rollout_of is None:
            yield Problem(where, "has no question or no responses in its unit", _REPAIR)
            continue
        problems = [
            *_same(pairs, question, rollout_of),
            *_from_responses(pairs, rollout_of, completions.get(pairs.id)),
        ]
        if not problems:
            problems = [*_judged(pairs, question, rollout_of, asked.rules.get(pairs.source, "default"))]
        yield from (replace(problem, where=where) for problem in problems)


def _same(row: PreferenceRow, question: Question, rollout: Rollout) -> Iterator[Problem]:
    """What a row of pairs/ repeats is what the other folders hold."""
    for name in ("source", "kind", "question", "answer", "images"):
        if getattr(row, name) != getattr(question, name):
            yield Problem("", f"its {name} is not that of questions/", _REPAIR)
    if row.prompt != rollout.prompt:
        yield Problem("", "its prompt is not that of rollouts/", _REPAIR)


def _from_responses(row: PreferenceRow, rollout: Rollout, completions: Completions | None) -> Iterator[Problem]:
    """Every response is one that was sampled or continued, and every pair names two of them."""
    written = {
        (item.response, len(item.prefix), _joined(item)) for item in (completions.completions if completions else ())
    }
    for place, paired in enumerate(row.responses):
        response = _sampled(paired)
        if not 0 <= paired.sample < len(rollout.responses):
            yield Problem("", f"response {place} was never sampled", _REPAIR)
        elif not paired.continued and response != rollout.responses[paired.sample]:
            yield Problem("", f"response {place} is not the one that was sampled", _REPAIR)
        elif paired.continued and (paired.sample, paired.prefix_chars, response) not in written:
            yield Problem("", f"response {place} is not the continuation that was sampled", _REPAIR)
    for place, pair in enumerate(row.pairs):
        if not {pair.chosen, pair.rejected} <= set(range(len(row.responses))) or pair.chosen == pair.rejected:
            yield Problem("", f"pair {place} does not name two of the row's responses", _REPAIR)
    if not row.pairs:
        yield Problem("", "has no pair", _REPAIR)


def _sampled(paired: PairedResponse) -> Response:
    """A response of a pair as rollouts/ holds it."""
    return Response(paired.text, paired.seed, paired.finish_reason, paired.tokens)


def _joined(item: Completion) -> Response:
    """A beginning that was kept with its continuation, as one response."""
    end = item.continuation
    return Response(item.prefix + end.text, end.seed, end.finish_reason, item.prefix_tokens + end.tokens)


def _judged(row: PreferenceRow, question: Question, rollout: Rollout, rule: str) -> Iterator[Problem]:
    """Chosen is right and rejected is not, by the judge of today; dropout pairs share their beginning."""
    statuses: list[str] = []
    if question.answer is not None:
        again = tuple(_sampled(response) for response in row.responses)
        statuses = [verdict.status for verdict in judge_rollout(question, replace(rollout, responses=again), rule, {})]
    for place, pair in enumerate(row.pairs):
        what = _dropout(row, pair) if question.answer is None else _correctness(pair, statuses)
        if not what and row.responses[pair.chosen].finish_reason != "stop":
            what = "its chosen response is truncated"
        if what:
            yield Problem("", f"pair {place}: {what}", _REJUDGE if statuses else _REPAIR)


def _correctness(pair: Pair, statuses: list[str]) -> str:
    """What is wrong with a pair of a question with an answer; empty when nothing is."""
    if pair.method == "dropout":
        return "is a dropout pair, but the question has an answer"
    if statuses[pair.chosen] != "correct":
        return f"its chosen response is judged {statuses[pair.chosen]}, not correct"
    if statuses[pair.rejected] not in ("incorrect", "unparseable"):
        return f"its rejected response is judged {statuses[pair.rejected]}"
    return ""


def _dropout(row: PreferenceRow, pair: Pair) -> str:
    """What is wrong with a pair of an open-ended question; empty when nothing is."""
    chosen, rejected = row.responses[pair.chosen], row.responses[pair.rejected]
    if pair.method != "dropout":
        return f"is a {pair.method} pair, but the question has no answer"
    if chosen.continued or not rejected.continued or chosen.sample != rejected.sample:
        return "its rejected response does not continue the chosen one"
    if chosen.text[: rejected.prefix_chars] != rejected.text[: rejected.prefix_chars]:
        return "chosen and rejected do not share the beginning that was kept"
    if "".join(chosen.text.split()) == "".join(rejected.text.split()):
        return "chosen and rejected are the same"
    return ""


def _rejects(out: Path, tally: _Tally) -> Iterator[Problem]:
    """Count what was dropped; the name of a file begins with its stage."""
    for path in sorted((out / "rejects").glob("*.parquet")):
        stage, split = path.name.split("-")[:2]
        for reject in read_rows(path, Reject):
            what = f"rejected/{reject.reason}"
            tally.count("heldout" if (stage, split) == ("ingest", "heldout") else stage, reject.source, what)
    yield from ()


def _compare(told: Mapping[Count, int], found: Mapping[Count, int]) -> Iterator[Problem]:
    """The manifest's counts against those of the rows."""
    for count in sorted({*told, *found}):
        says, sum_ = told.get(count, 0), found.get(count, 0)
        unstored = count[2].startswith(_UNSTORED) and count[2] != "questions/paired"
        if says != sum_ and not unstored:
            sums = f"says {says} for {'/'.join(count)}, the rows add up to {sum_}"
            yield Problem("manifest.json", sums, _REBUILD)

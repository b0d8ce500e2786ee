"""Verify a build: its files are those of the manifest, and every pair is right by the judge of this version.

checksums ─▶ unit by unit: pictures decode, ids are unique, pairs follow from the responses, judged again ─▶ counts
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmpr.check.pairs import REJUDGE, REPAIR, pair_problems, sampled
from mmpr.check.words import Said, word_problems
from mmpr.config import AdaptiveSpec, ImagesSpec
from mmpr.errors import OutputError, RowError
from mmpr.extension import RuleFunction, fingerprint_of
from mmpr.pipeline.adaptive import counts_of
from mmpr.pipeline.audited import read_judgements
from mmpr.pipeline.job import read_adjudications
from mmpr.pipeline.judging import NO_RULES
from mmpr.pipeline.plan import read_build
from mmpr.pipeline.progress import Steps
from mmpr.schema import (
    ANSWERED,
    IMAGE_MARK,
    RULES,
    Completion,
    Completions,
    IndexedRow,
    PreferenceRow,
    Question,
    Reject,
    Response,
    Rollout,
    Verdicts,
    content_id,
    sample_seed,
)
from mmpr.sources.ids import Seen
from mmpr.storage.images import clean_image
from mmpr.storage.integrity import Problem, check_files
from mmpr.storage.manifest import read_manifest, recipes_of
from mmpr.storage.shards import MANIFEST, PLAN, Stage, Unit, index_shard, rejects_shard, shard
from mmpr.storage.tables import read_rows

Count = tuple[str, str, str]
"""Stage, source, and what is counted."""

_DECODERS = 2
_REBUILD = "build again into another folder"
# Counts that only the stage itself knows: they cannot be counted again from what is stored.
_UNSTORED = ("not_selected", "skipped/", "questions/", "adaptive/")


_LIMITS = ImagesSpec()


@dataclass(frozen=True, slots=True)
class _SourceSettings:
    """What the recipe says of a source: the run's seed, how many
    responses a question may have, the matcher's rule, limits of pictures."""

    seed: int = 0
    samples: frozenset[int] = frozenset({0})
    rule: str = "default"
    limits: ImagesSpec = _LIMITS


_UNKNOWN_SOURCE = _SourceSettings()


@dataclass(frozen=True, slots=True)
class _Settings:
    """The settings of each source, and rules of the user's own."""

    by_source: Mapping[str, _SourceSettings]
    own_rules: Mapping[str, RuleFunction]

    def of(self, source: str) -> _SourceSettings:
        """The settings of a source; none of its own for one that no recipe names."""
        return self.by_source.get(source, _UNKNOWN_SOURCE)


@dataclass(slots=True)
class RowCounts:
    """Counts of the rows, and the ids that were there before; memory does not grow with the number of ids."""

    counts: dict[Count, int] = field(default_factory=dict)
    ids: dict[str, Seen] = field(default_factory=dict)

    def count(self, stage: str, source: str, what: str, by: int = 1) -> None:
        """Add to a count."""
        self.counts[stage, source, what] = self.counts.get((stage, source, what), 0) + by

    def is_new(self, table: str, id: str) -> bool:
        """Whether a table had no row of this id before."""
        if table not in self.ids:
            self.ids[table] = Seen()
        return self.ids[table].add(content_id(id))  # a damaged shard may hold any text as an id


def verify(out: Path, steps: Steps, rules: Mapping[str, RuleFunction] = NO_RULES) -> Iterator[Problem]:
    """Everything that is wrong with a build; ``rules`` are the user's own, by which pairs are judged again.

    Raises:
        OutputError: there is no finished build, or its manifest cannot be read.
    """
    manifest = read_manifest(out)
    files = manifest.get("files", {})
    steps.begin("checksums", len(files) if isinstance(files, dict) else 0)
    yield from check_files(out, lambda _: steps.advance())
    try:
        settings = _Settings(
            {name: found for recipe in recipes_of(manifest) for name, found in _source_settings(recipe)}, rules
        )
        told = {
            (stage, source, what): int(count)
            for stage, sources in manifest["counts"].items()
            for source, counts in sources.items()
            for what, count in counts.items()
        }
        build = read_build(out)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield Problem(MANIFEST, f"is damaged ({error!r})", "restore it from a copy")
        return
    except OutputError as error:
        yield Problem(PLAN, str(error), "restore it from a copy")
        return
    judged_by = {settings.of(str(spec["name"])).rule for spec in manifest["recipe"]["sources"]}
    yield from _rule_problems(judged_by, rules, manifest.get("extensions", {}))
    if build is None:
        return  # check_files has missed it
    rows = RowCounts()
    steps.begin("rows", sum(build.units.values()))
    for split in ("train", "heldout"):
        for unit in build.of(split):
            yield from _guarded(unit.file, _unit(out, unit, settings, rows))
            steps.advance()
    yield from _guarded("rejects", _rejects(out, rows))
    yield from _compare(told, rows.counts)


def _source_settings(recipe: Mapping[str, Any]) -> Iterator[tuple[str, _SourceSettings]]:
    limits, sampling = ImagesSpec(**recipe["images"]), recipe["sampling"]
    adaptive = AdaptiveSpec(**sampling["adaptive"]) if sampling.get("adaptive") else None
    for spec in (*recipe["sources"], *recipe["heldout"]):
        most = int(spec["samples"] or sampling["samples"])
        samples = frozenset(counts_of(adaptive, most) if adaptive else {most})
        yield str(spec["name"]), _SourceSettings(int(recipe["seed"]), samples, str(spec["rule"]), limits)


def _guarded(where: str, check: Iterable[Problem]) -> Iterator[Problem]:
    """The problems of a unit, or that a shard of it cannot be read."""
    try:
        yield from check
    except OutputError as error:
        yield Problem(where, str(error), "restore it from a copy")


def _unit(out: Path, unit: Unit, settings: _Settings, rows: RowCounts) -> Iterator[Problem]:
    """Problems in the rows of a unit, in all folders."""
    stage = "ingest" if unit.split == "train" else "heldout"
    indexed = {row.id for row in read_rows(index_shard(out, unit), IndexedRow)}
    for row in read_rows(index_shard(out, unit), IndexedRow):
        rows.count("index", row.source, "selected")
    questions: dict[str, Question] = {}
    where = shard(out, "ingest", unit).relative_to(out).as_posix()
    for question in read_rows(out / where, Question):
        rows.count(stage, question.source, "questions")
        if not rows.is_new("questions", question.id):
            yield Problem(f"{where} row {question.id}", "this id stands in the build twice", _REBUILD)
        if question.id not in indexed:
            yield Problem(f"{where} row {question.id}", "is not in the index of its unit", _REBUILD)
        questions[question.id] = question
    for id in sorted(indexed - questions.keys() - _rejected(out, "ingest", unit)):
        yield Problem(f"{where} row {id}", "is in the index of its unit, but neither here nor in rejects/", _REBUILD)
    yield from _pictures(where, questions.values(), settings)
    if unit.split == "train":
        yield from _answers(out, unit, questions, settings, rows)


def _pictures(where: str, questions: Iterable[Question], settings: _Settings) -> Iterator[Problem]:
    """Questions with a picture that does not decode, or without one mark for each picture."""

    def problem(question: Question) -> Problem | None:
        row = f"{where} row {question.id}"
        marks = sum(text.count(IMAGE_MARK) for text in (question.question, *(turn.text for turn in question.context)))
        if marks != len(question.images):
            return Problem(row, f"{len(question.images)} pictures, but other marks in its text", _REBUILD)
        for place, image in enumerate(question.images):
            try:
                clean_image(image, settings.of(question.source).limits)
            except RowError as error:
                return Problem(row, f"picture {place} does not decode ({error})", _REBUILD)
        return None

    with ThreadPoolExecutor(_DECODERS) as pool:
        yield from (found for found in pool.map(problem, questions) if found)


def _rejected(out: Path, stage: str, unit: Unit) -> set[str]:
    """Ids of the questions that a stage dropped; ingest writes their file and row behind the id."""
    path = rejects_shard(out, stage, unit)
    return {reject.id.split(" ")[0] for reject in read_rows(path, Reject)} if path.exists() else set()


def _samples(rollout: Rollout, settings: _Settings) -> Iterator[str]:
    """What is wrong with a question's responses: their number, their seeds, why they ended."""
    seed, want = settings.of(rollout.source).seed, settings.of(rollout.source).samples
    if len(rollout.responses) not in want:
        yield f"has {len(rollout.responses)} responses, the recipe asks for {' or '.join(map(str, sorted(want)))}"
    elif any(response.seed != sample_seed(seed, rollout.id, place) for place, response in enumerate(rollout.responses)):
        yield "has responses of other seeds than the recipe's"
    if any(response.token_ids and len(response.token_ids) != response.tokens for response in rollout.responses):
        yield "has a response whose token ids are not as many as its tokens"
    for reason in sorted({response.finish_reason for response in rollout.responses} - {*ANSWERED}):
        yield f"has a response that is no answer (finish_reason {reason!r})"


def _answers(
    out: Path, unit: Unit, questions: Mapping[str, Question], settings: _Settings, rows: RowCounts
) -> Iterator[Problem]:
    """Problems in the rollouts, completions, verdicts and pairs of a unit."""

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
        for what in _samples(rollout, settings):
            yield Problem(f"rollouts/{unit.file} row {rollout.id}", what, _REBUILD)
        rows.count("sample", rollout.source, "responses", len(rollout.responses))
        rows.count("sample", rollout.source, "tokens", sum(response.tokens for response in rollout.responses))
        rows.count("sample", rollout.source, "prompt_tokens", rollout.prompt_tokens)
        for response in rollout.responses:
            rows.count("sample", rollout.source, f"finish/{response.finish_reason}")
    completions = {row.id: row for row in read_rows(path("complete"), Completions)}
    for done in completions.values():
        if done.completions:
            rows.count("complete", done.source, "continuations", len(done.completions))
            rows.count("complete", done.source, "tokens", sum(item.continuation.tokens for item in done.completions))
    typed = {row.id: row for row in read_rows(path("verify"), Verdicts)}
    for verdicts in typed.values():
        for verdict in verdicts.verdicts:
            rows.count("verify", verdicts.source, verdict.status)
    adjudications, judgements = read_adjudications(out, unit), read_judgements(out, unit)
    for problem in word_problems(adjudications.values(), typed):
        yield replace(problem, where=f"adjudications/{unit.file} row {problem.where}")
    for row in adjudications.values():
        for word in row.words:
            rows.count("adjudicate", row.source, word.word)
            rows.count("adjudicate", row.source, "tokens", sum(reply.tokens for reply in word.replies))
    for folder, ids in (("rollouts", rollouts), ("completions", completions)):
        for id in ids.keys() - questions.keys():
            yield Problem(f"{folder}/{unit.file} row {id}", "answers no question of its unit", _REBUILD)

    for pairs in read_rows(path("pair"), PreferenceRow):
        where = f"pairs/{unit.file} row {pairs.id}"
        rows.count("pair", pairs.source, "questions/paired")
        for pair in pairs.pairs:
            rows.count("pair", pairs.source, f"pairs/{pair.method}")
        if not rows.is_new("pairs", pairs.id):
            yield Problem(where, "this id stands in pairs/ twice", REPAIR)
        question, rollout_of = questions.get(pairs.id), rollouts.get(pairs.id)
        if question is None or rollout_of is None:
            yield Problem(where, "has no question or no responses in its unit", REPAIR)
            continue
        problems = [
            *_same(pairs, question, rollout_of),
            *_from_responses(pairs, rollout_of, completions.get(pairs.id)),
        ]
        if not problems:
            rule = settings.of(pairs.source).rule
            said = Said(adjudications.get(pairs.id), judgements.get(pairs.id))
            problems = [*pair_problems(pairs, question, rollout_of, said, rule, settings.own_rules)]
        yield from (replace(problem, where=where) for problem in problems)


def _same(row: PreferenceRow, question: Question, rollout: Rollout) -> Iterator[Problem]:
    """Differences between a row of pairs/ and what the other folders say of its question."""
    for name in ("source", "kind", "question", "answer", "answers"):
        if getattr(row, name) != getattr(question, name):
            yield Problem("", f"its {name} is not that of questions/", REPAIR)
    own = row.images[max(0, len(row.images) - len(question.images)) :]  # after those of the template's examples
    marks = sum(text.count(IMAGE_MARK) for text in (row.prompt, *(turn.text for turn in row.context)))
    if own != question.images or marks != len(row.images):
        yield Problem("", "its images is not that of questions/", REPAIR)
    for name in ("prompt", "context", "prompt_token_ids", "tokenizer_sha256"):
        if getattr(row, name) != getattr(rollout, name):
            yield Problem("", f"its {name} is not that of rollouts/", REPAIR)


def _from_responses(row: PreferenceRow, rollout: Rollout, completions: Completions | None) -> Iterator[Problem]:
    """Responses that were neither sampled nor continued, and pairs that do not name two of the responses."""
    written = {
        (item.response, len(item.prefix), _joined(item)) for item in (completions.completions if completions else ())
    }
    for place, paired in enumerate(row.responses):
        response = sampled(paired)
        if not 0 <= paired.sample < len(rollout.responses):
            yield Problem("", f"response {place} was never sampled", REPAIR)
        elif not paired.continued and response != replace(rollout.responses[paired.sample], logprobs=()):
            yield Problem("", f"response {place} is not the one that was sampled", REPAIR)
        elif paired.continued and (paired.sample, paired.prefix_chars, response) not in written:
            yield Problem("", f"response {place} is not the continuation that was sampled", REPAIR)
    for place, pair in enumerate(row.pairs):
        if not {pair.chosen, pair.rejected} <= set(range(len(row.responses))) or pair.chosen == pair.rejected:
            yield Problem("", f"pair {place} does not name two of the row's responses", REPAIR)
    if not row.pairs:
        yield Problem("", "has no pair", REPAIR)


def _joined(item: Completion) -> Response:
    """The kept beginning of a response and its continuation, as one response."""
    end = item.continuation
    tokens, ids = item.prefix_tokens + end.tokens, (*item.prefix_token_ids, *end.token_ids)
    return Response(item.prefix + end.text, end.seed, end.finish_reason, tokens, ids if end.token_ids else ())


def _rule_problems(
    names: Iterable[str], rules: Mapping[str, RuleFunction], told: Mapping[str, Mapping[str, str]]
) -> Iterator[Problem]:
    """Rules of the user's own that are not given, or not those that the build was judged by."""
    for name in sorted(set(names) - set(RULES)):
        if name not in rules:
            remedy = f"add --rule {name}=module:function"
            yield Problem(MANIFEST, f"pairs of the rule {name!r} were not judged again: it is not mmpr's", remedy)
        elif told.get("rules", {}).get(name) != fingerprint_of(rules[name]):
            yield Problem(MANIFEST, f"pairs were judged by another version of the rule {name!r}", REJUDGE)


def _rejects(out: Path, rows: RowCounts) -> Iterator[Problem]:
    """Count the rows of rejects/, whose files are named by their stage."""
    for path in sorted((out / "rejects").glob("*.parquet")):
        stage, split = path.name.split("-")[:2]
        for reject in read_rows(path, Reject):
            what = f"rejected/{reject.reason}"
            rows.count("heldout" if (stage, split) == ("ingest", "heldout") else stage, reject.source, what)
    yield from ()


def _compare(told: Mapping[Count, int], found: Mapping[Count, int]) -> Iterator[Problem]:
    """Differences between the counts of the manifest and those of the rows."""
    for count in sorted({*told, *found}):
        says, sum_ = told.get(count, 0), found.get(count, 0)
        unstored = count[2].startswith(_UNSTORED) and count[2] != "questions/paired"
        if says != sum_ and not unstored:
            sums = f"says {says} for {'/'.join(count)}, the rows add up to {sum_}"
            yield Problem(MANIFEST, sums, _REBUILD)

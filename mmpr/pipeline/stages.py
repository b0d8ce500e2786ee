"""The stages of a build, each a function of one unit of work: read what the stage before wrote, write one shard.

    ingest_unit   index       ─▶ questions/     pictures loaded and checked
    sample_unit   questions/  ─▶ rollouts/      K responses a question                        (engine)
    complete_unit rollouts/   ─▶ completions/   open-ended: continued without the picture     (engine)
    verify_unit   rollouts/   ─▶ verdicts/      each response against the truth
    pair_unit     all of them ─▶ pairs/

A unit whose shard is there is done: the function returns its counts and does nothing. Counts are named
``<source>/<what>`` and lie in the shard's footer, so that a resumed build adds up like an undisturbed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mmpr.config import DropoutSpec, DropoutVariant, Recipe
from mmpr.engine import Engine, Request
from mmpr.errors import RowError
from mmpr.pipeline.adaptive import next_round, why_stop
from mmpr.pipeline.choosing import is_kept
from mmpr.pipeline.dropout import keep_prefix
from mmpr.pipeline.judging import judge_rollout
from mmpr.pipeline.pairing import (
    Pairing,
    balanced,
    distinct,
    left_out,
    pair_by_correctness,
    pair_by_dropout,
    pass_rate,
)
from mmpr.prompts import Template, load_template, without_images
from mmpr.schema import (
    Completion,
    Completions,
    IndexedRow,
    PreferenceRow,
    Question,
    Reject,
    Rollout,
    Verdicts,
    sample_seed,
)
from mmpr.sources import open_source
from mmpr.sources.ingest import to_question
from mmpr.storage.counts import UNKNOWN
from mmpr.storage.shards import (
    STAGES,
    Stage,
    Unit,
    add_counts,
    earlier_shard,
    index_shard,
    is_done,
    shard,
    write_rejects,
    write_shard,
)
from mmpr.storage.tables import Row, read_counts, read_rows

Counts = dict[str, int]
Answers = TypeVar("Answers", Rollout, Completions)


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker must know: the recipe, where the build lies, and which model it is (its revision).

    ``questions`` is where the questions lie when others ask them too, in the folder of a build that has ingested them.
    ``stages`` are those that are done; ingest, sample and verify always are.
    """

    recipe: Recipe
    out: Path
    model_revision: str
    questions: Path | None = None
    stages: tuple[Stage, ...] = STAGES

    def asked(self, unit: Unit) -> Path:
        """The shard of a unit's questions."""
        return shard(self.questions or self.out, "ingest", unit)


@dataclass(slots=True)
class _Tally:
    """Counts and rejects of a unit while it is worked on."""

    stage: Stage
    counts: Counts = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)

    def count(self, source: str, what: str, by: int = 1) -> None:
        add_counts(self.counts, {f"{source}/{what}": by})

    def reject(self, source: str, id: str, error: RowError) -> None:
        self.rejects.append(Reject(self.stage, source, id, error.reason, error.detail))
        self.count(source, f"rejected/{error.reason}")


def ingest_unit(job: Job, unit: Unit) -> Counts:
    """Load and check a unit's questions and pictures."""
    if job.asked(unit).exists():
        return read_counts(job.asked(unit))
    tally = _Tally("ingest")
    questions = []
    rows = list(read_rows(index_shard(job.out, unit), IndexedRow))
    names = {row.source for row in rows}
    sources = {name: open_source(job.recipe.source(name), job.recipe) for name in sorted(names)}
    for row in rows:
        try:
            spec = job.recipe.source(row.source)
            questions.append(to_question(row.row, row.id, spec, sources[row.source], job.recipe))
            tally.count(row.source, "questions")
        except RowError as error:
            tally.reject(row.source, f"{row.id} ({row.row.where})", error)
    return _finish(job, unit, tally, Question, questions)


async def sample_unit(job: Job, unit: Unit, engine: Engine, on_progress: Callable[[Counts], None]) -> Counts:
    """Draw every question's responses; all questions of the unit are with the engine at once.

    Of a question that has responses already (``earlier/``), only those that it lacks are drawn. With
    ``sampling.adaptive`` they are drawn in rounds, and judged in between, until there is a reason to stop.
    """
    if is_done(job.out, "sample", unit):
        return read_counts(shard(job.out, "sample", unit))
    tally = _Tally("sample")
    earlier = _earlier(job, "sample", unit, Rollout)
    templates: dict[str, Template] = {}

    async def ask(question: Question) -> Rollout | None:
        spec = job.recipe.source(question.source)
        name = spec.open_template if question.answer is None else spec.template
        if name not in templates:
            templates[name] = load_template(name, job.recipe.folder)
        template = templates[name]
        prompt = template.render(question.question, question.choices, spec.options)
        rollout = earlier.get(question.id)
        most, adaptive, stop = job.recipe.samples(spec.name), job.recipe.sampling.adaptive, None
        try:
            while len(rollout.responses if rollout else ()) < most:
                have = rollout.responses if rollout else ()
                if adaptive and rollout and (stop := await why_stop(question, rollout, job.recipe)):
                    break
                upto = next_round(adaptive, len(have), most) if adaptive else most
                seed = sample_seed(job.recipe.seed, question.id, len(have))
                request = Request(prompt, question.images, upto - len(have), seed, processor=spec.processor)
                reply = await engine.generate(request)
                tokens = sum(response.tokens for response in reply.responses)
                on_progress({"responses": len(reply.responses), "tokens": tokens})
                rollout = Rollout(
                    id=question.id,
                    source=question.source,
                    prompt=prompt,
                    template=template.name,
                    template_sha256=template.sha256,
                    model=job.recipe.model.path,
                    model_revision=job.model_revision,
                    prompt_tokens=reply.prompt_tokens,
                    responses=(*have, *reply.responses),
                    prompt_token_ids=reply.prompt_token_ids,
                    tokenizer_sha256=engine.about.tokenizer_sha256,
                    chat_template_sha256=engine.about.chat_template_sha256,
                    reasoning_opened=engine.about.reasoning_opened,
                )
        except RowError as error:
            tally.reject(question.source, question.id, error)
            rollout = None
        on_progress({"questions": 1})
        if rollout is None:
            return None
        if adaptive:
            tally.count(question.source, f"adaptive/{stop or 'most'}")
            tally.count(question.source, "adaptive/fixed_tokens", round(_mean_tokens(rollout) * most))
        _count_rollout(tally, rollout)
        return rollout

    rollouts = await _gather(ask(question) for question in _questions(job, unit))
    return await asyncio.to_thread(_finish, job, unit, tally, Rollout, rollouts)


def _mean_tokens(rollout: Rollout) -> float:
    return sum(response.tokens for response in rollout.responses) / len(rollout.responses)


def _count_rollout(tally: _Tally, rollout: Rollout) -> None:
    tally.count(rollout.source, "responses", len(rollout.responses))
    tally.count(rollout.source, "tokens", sum(response.tokens for response in rollout.responses))
    tally.count(rollout.source, "prompt_tokens", rollout.prompt_tokens)
    for response in rollout.responses:
        tally.count(rollout.source, f"finish/{response.finish_reason}")


def _earlier(job: Job, stage: Stage, unit: Unit, noun: type[Answers]) -> dict[str, Answers]:
    """What a stage wrote of the questions of a unit before they were given more samples, by id."""
    path = earlier_shard(job.out, stage, unit)
    return {row.id: row for row in read_rows(path, noun)} if path.exists() else {}


async def complete_unit(job: Job, unit: Unit, engine: Engine, on_progress: Callable[[Counts], None]) -> Counts:
    """Continue halves of the responses to open-ended questions (paper, section 3.1)."""
    if is_done(job.out, "complete", unit):
        return read_counts(shard(job.out, "complete", unit))
    tally = _Tally("complete")
    recipe = job.recipe
    earlier = _earlier(job, "complete", unit, Completions)

    async def go_on(question: Question, rollout: Rollout, place: int, variant: DropoutVariant) -> Completion | None:
        before = earlier.get(question.id)
        for done in before.completions if before else ():
            if (done.response, done.start_ratio, done.with_image) == (place, variant.start_ratio, variant.with_image):
                tally.count(question.source, "continuations")
                tally.count(question.source, "tokens", done.continuation.tokens)
                return done
        response = rollout.responses[place]
        ids, ends = engine.spelling(response)
        prefix, prefix_tokens = keep_prefix(response.text, ends, variant.start_ratio)
        prefix_ids = ids[:prefix_tokens]
        name = f"{question.id}/{variant.start_ratio}/{variant.with_image}"
        request = Request(
            prompt=rollout.prompt if variant.with_image else without_images(rollout.prompt),
            images=question.images if variant.with_image else (),
            samples=1,
            seed=sample_seed(recipe.seed, name, place),
            prefix=prefix,
            prefix_token_ids=prefix_ids,
            processor=recipe.source(question.source).processor,
        )
        try:
            reply = await engine.generate(request)
        except RowError as error:
            tally.reject(question.source, question.id, error)
            return None
        continuation = reply.responses[0]
        tally.count(question.source, "continuations")
        tally.count(question.source, "tokens", continuation.tokens)
        on_progress({"continuations": 1, "tokens": continuation.tokens})
        return Completion(
            place, variant.start_ratio, variant.with_image, prefix, prefix_tokens, continuation, prefix_ids
        )

    async def all_of(question: Question, rollout: Rollout) -> Completions:
        plan = _to_continue(rollout, recipe.dropout, _max_pairs(recipe, question.source, recipe.dropout.max_pairs))
        done = await _gather(go_on(question, rollout, place, variant) for place, variant in plan)
        return Completions(question.id, question.source, tuple(done))

    rollouts = {rollout.id: rollout for rollout in read_rows(shard(job.out, "sample", unit), Rollout)}
    rows = await _gather(
        all_of(question, rollouts[question.id])
        for question in _questions(job, unit, pictures=any(variant.with_image for variant in recipe.dropout.variants))
        if question.answer is None and question.id in rollouts
    )
    return await asyncio.to_thread(_finish, job, unit, tally, Completions, rows)


def verify_unit(job: Job, unit: Unit) -> Counts:
    """Judge every response to a question with a known answer."""
    if is_done(job.out, "verify", unit):
        return read_counts(shard(job.out, "verify", unit))
    tally = _Tally("verify")
    rollouts = {rollout.id: rollout for rollout in read_rows(shard(job.out, "sample", unit), Rollout)}
    rows = []
    for question in _questions(job, unit, pictures=False):
        if question.answer is None or question.id not in rollouts:
            continue
        # The recipe's rule, not the stored question's: it may have changed since, that is what judging again is for.
        rule = job.recipe.source(question.source).rule
        verdicts = judge_rollout(question, rollouts[question.id], rule, job.recipe.extensions.rules)
        for place, verdict in enumerate(verdicts):
            tally.count(question.source, verdict.status)
            if verdict.status in UNKNOWN:
                error = RowError(verdict.status, f"response {place}: {verdict.reason}")
                tally.reject(question.source, question.id, error)
        rows.append(Verdicts(question.id, question.source, pass_rate(verdicts), verdicts))
    return _finish(job, unit, tally, Verdicts, rows)


def pair_unit(job: Job, unit: Unit) -> Counts:
    """Pair the judged and the continued responses of a unit."""
    if is_done(job.out, "pair", unit):
        return read_counts(shard(job.out, "pair", unit))
    tally = _Tally("pair")
    recipe = job.recipe
    rollouts = {rollout.id: rollout for rollout in read_rows(shard(job.out, "sample", unit), Rollout)}
    verdicts = {row.id: row for row in read_rows(shard(job.out, "verify", unit), Verdicts)}
    completions = {row.id: row for row in read_rows(shard(job.out, "complete", unit), Completions)}
    asked = [question for question in _questions(job, unit) if question.id in rollouts]
    pairings = []
    for question in asked:
        rollout = rollouts[question.id]
        if question.answer is None:
            most = _max_pairs(recipe, question.source, recipe.dropout.max_pairs)
            done = completions[question.id].completions
            pairing = pair_by_dropout(rollout, done, max_pairs=most, spec=recipe.pairing)
        else:
            pairing = pair_by_correctness(
                rollout,
                verdicts[question.id].verdicts,
                choices=question.choices,
                max_pairs=_max_pairs(recipe, question.source, recipe.pairing.max_pairs),
                format_pairs=recipe.pairing.format_pairs,
                spec=recipe.pairing,
            )
        if not is_kept(recipe.pairing, question.id, question.source, question.kind):
            pairing = left_out(pairing, "over_its_share")
        pairings.append(pairing)
    if recipe.pairing.length_balance is not None:
        pairings = balanced(pairings)
    rows = []
    for question, pairing in zip(asked, pairings, strict=True):
        tally.count(question.source, f"questions/{pairing.outcome}")
        for pair in pairing.pairs:
            tally.count(question.source, f"pairs/{pair.method}")
        for reason, by in pairing.skipped.items():
            tally.count(question.source, f"skipped/{reason}", by)
        if pairing.pairs:
            rate = verdicts[question.id].pass_rate if question.id in verdicts else None
            rows.append(_preference_row(question, rollouts[question.id], rate, pairing))
    return _finish(job, unit, tally, PreferenceRow, rows)


def _preference_row(question: Question, rollout: Rollout, rate: float | None, pairing: Pairing) -> PreferenceRow:
    return PreferenceRow(
        id=question.id,
        source=question.source,
        kind=question.kind,
        images=question.images,
        question=question.question,
        prompt=rollout.prompt,
        answer=question.answer,
        pass_rate=rate,
        responses=pairing.responses,
        pairs=pairing.pairs,
        prompt_token_ids=rollout.prompt_token_ids,
        tokenizer_sha256=rollout.tokenizer_sha256,
        answers=question.answers,
    )


def judge_unit(job: Job, unit: Unit) -> Counts:
    """Verify a unit and, where the job pairs, pair it; returns the counts of both stages."""
    counts = dict(verify_unit(job, unit))
    if "pair" in job.stages:
        add_counts(counts, pair_unit(job, unit))
    return counts


def questions_of(counts: Counts) -> int:
    """How many questions the counts of an ingested unit tell of, over all sources."""
    return sum(by for name, by in counts.items() if name.endswith("/questions"))


def _to_continue(rollout: Rollout, dropout: DropoutSpec, max_pairs: int) -> list[tuple[int, DropoutVariant]]:
    """Which responses are continued, and how: different, complete ones, no more than can become pairs."""
    whole = [place for place in distinct(rollout.responses) if rollout.responses[place].finish_reason == "stop"]
    whole = [place for place in whole if rollout.responses[place].text.strip()]
    return [(place, variant) for place in whole for variant in dropout.variants][:max_pairs]


def _max_pairs(recipe: Recipe, source: str, default: int) -> int:
    return default if default == 0 else recipe.source(source).max_pairs or default


def _questions(job: Job, unit: Unit, pictures: bool = True) -> Iterator[Question]:
    return read_rows(job.asked(unit), Question, without=() if pictures else ("images",))


async def _gather(work: Iterable[Awaitable[Row | None]]) -> list[Row]:
    """All results that are not None, in order. When one fails the others are cancelled, not left running."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_await(item)) for item in work]
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return [result for task in tasks if (result := task.result()) is not None]


async def _await(item: Awaitable[Row]) -> Row:
    return await item


def _finish(job: Job, unit: Unit, tally: _Tally, noun: type[Row], rows: list[Row]) -> Counts:
    """Write the unit's rejects, then its shard, which says that both are there."""
    write_rejects(job.out, tally.stage, unit, tally.rejects)
    write_shard(shard(job.out, tally.stage, unit), noun, rows, tally.counts)
    earlier_shard(job.out, tally.stage, unit).unlink(missing_ok=True)
    return tally.counts

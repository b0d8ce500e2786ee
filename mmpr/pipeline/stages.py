"""The stages of a build, each a function of one unit of work: read what the stage before wrote, write one shard.

    ingest_unit     index       ─▶ questions/      pictures loaded and checked
    sample_unit     questions/  ─▶ rollouts/       K responses a question                        (engine)
    complete_unit   rollouts/   ─▶ completions/    open-ended: continued without the picture     (engine)
    verify_unit     rollouts/   ─▶ verdicts/       each response against the truth
    adjudicate_unit verdicts/   ─▶ adjudications/  a verifier's word where the judge is unsure   (its engine)
    pair_unit       all of them ─▶ pairs/

Adjudication is a recipe's choice, and has a job of its own, since its engine runs another model.

A unit whose shard is there is done: the function returns its counts and does nothing. Counts are named
``<source>/<what>`` and lie in the shard's footer, so that a resumed build adds up like an undisturbed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from mmpr.config import DropoutSpec, DropoutVariant
from mmpr.engine import Engine, Request
from mmpr.errors import RowError
from mmpr.pipeline.adaptive import next_round, why_stop
from mmpr.pipeline.adjudicating import load_verifier_prompt, read_word, shown_to_verifier, to_adjudicate
from mmpr.pipeline.audited import read_judgements
from mmpr.pipeline.choosing import is_kept
from mmpr.pipeline.dropout import keep_prefix
from mmpr.pipeline.job import Counts, Job, Tally, finish, gather, max_pairs_of, read_adjudications, read_questions
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
from mmpr.pipeline.standing import standing_verdicts
from mmpr.prompts import blind, without_images
from mmpr.schema import (
    Adjudication,
    Adjudications,
    Completion,
    Completions,
    IndexedRow,
    PreferenceRow,
    Question,
    Rollout,
    Verdicts,
    sample_seed,
)
from mmpr.sources import open_source
from mmpr.sources.ingest import to_question
from mmpr.storage.counts import UNKNOWN
from mmpr.storage.shards import (
    Stage,
    Unit,
    add_counts,
    earlier_shard,
    index_shard,
    is_done,
    shard,
)
from mmpr.storage.tables import read_counts, read_rows

Answers = TypeVar("Answers", Rollout, Completions)


def ingest_unit(job: Job, unit: Unit) -> Counts:
    """Load and check a unit's questions and pictures."""
    if job.asked(unit).exists():
        return read_counts(job.asked(unit))
    tally = Tally("ingest")
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
    return finish(job, unit, tally, Question, questions)


async def sample_unit(job: Job, unit: Unit, engine: Engine, on_progress: Callable[[Counts], None]) -> Counts:
    """Draw every question's responses; all questions of the unit are with the engine at once.

    Of a question that has responses already (``earlier/``), only those that it lacks are drawn. With
    ``sampling.adaptive`` they are drawn in rounds, and judged in between, until there is a reason to stop.
    """
    if is_done(job.out, "sample", unit):
        return read_counts(shard(job.out, "sample", unit))
    tally = Tally("sample")
    earlier = _earlier(job, "sample", unit, Rollout)

    async def ask(question: Question) -> Rollout | None:
        spec = job.recipe.source(question.source)
        template = job.template(question)
        prompt = template.ask(question, spec.options)
        rollout = earlier.get(question.id)
        most, adaptive, stop = job.recipe.samples(spec.name), job.recipe.sampling.adaptive, None
        try:
            while len(rollout.responses if rollout else ()) < most:
                have = rollout.responses if rollout else ()
                if adaptive and rollout and (stop := await why_stop(question, rollout, job.recipe)):
                    break
                upto = next_round(adaptive, len(have), most) if adaptive else most
                seed = sample_seed(job.recipe.seed, question.id, len(have))
                request = Request(
                    prompt=prompt.text,
                    context=prompt.context,
                    images=prompt.images,
                    samples=upto - len(have),
                    seed=seed,
                    processor=spec.processor,
                )
                reply = await engine.generate(request)
                tokens = sum(response.tokens for response in reply.responses)
                on_progress({"responses": len(reply.responses), "tokens": tokens})
                rollout = Rollout(
                    id=question.id,
                    source=question.source,
                    prompt=prompt.text,
                    context=prompt.context,
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

    rollouts = await gather(ask(question) for question in read_questions(job, unit))
    return await asyncio.to_thread(finish, job, unit, tally, Rollout, rollouts)


def _mean_tokens(rollout: Rollout) -> float:
    return sum(response.tokens for response in rollout.responses) / len(rollout.responses)


def _count_rollout(tally: Tally, rollout: Rollout) -> None:
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
    tally = Tally("complete")
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
            context=rollout.context if variant.with_image else blind(rollout.context),
            images=(*job.template(question).images, *question.images) if variant.with_image else (),
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
        plan = _to_continue(rollout, recipe.dropout, max_pairs_of(recipe, question.source, recipe.dropout.max_pairs))
        done = await gather(go_on(question, rollout, place, variant) for place, variant in plan)
        return Completions(question.id, question.source, tuple(done))

    rollouts = {rollout.id: rollout for rollout in read_rows(shard(job.out, "sample", unit), Rollout)}
    rows = await gather(
        all_of(question, rollouts[question.id])
        for question in read_questions(
            job, unit, pictures=any(variant.with_image for variant in recipe.dropout.variants)
        )
        if question.answer is None and question.id in rollouts
    )
    return await asyncio.to_thread(finish, job, unit, tally, Completions, rows)


def verify_unit(job: Job, unit: Unit) -> Counts:
    """Judge every response to a question with a known answer."""
    if is_done(job.out, "verify", unit):
        return read_counts(shard(job.out, "verify", unit))
    tally = Tally("verify")
    rollouts = {rollout.id: rollout for rollout in read_rows(shard(job.out, "sample", unit), Rollout)}
    rows = []
    for question in read_questions(job, unit, pictures=False):
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
    return finish(job, unit, tally, Verdicts, rows)


async def adjudicate_unit(job: Job, unit: Unit, engine: Engine, on_progress: Callable[[Counts], None]) -> Counts:
    """Put the verdicts of which the judge is unsure to a verifier; ``job.recipe`` is the verifier's."""
    spec = job.recipe.adjudicate
    if spec is None:
        return {}
    if is_done(job.out, "adjudicate", unit):
        return read_counts(shard(job.out, "adjudicate", unit))
    tally = Tally("adjudicate")
    prompt = load_verifier_prompt(spec.prompt, job.recipe.folder)

    async def ask(question: Question, rollout: Rollout, place: int, answer: str | None) -> Adjudication | None:
        options = job.recipe.source(question.source).options
        text = prompt.render(question, shown_to_verifier(rollout, place), answer, options)
        seed = sample_seed(job.recipe.seed, f"{question.id}/adjudicate/{place}")
        on_progress({"questions": 1})
        try:
            reply = await engine.generate(Request(text, (), spec.samples, seed))
        except RowError as error:
            tally.reject(question.source, question.id, RowError(error.reason, f"response {place}: {error.detail}"))
            return None
        word = read_word(reply.responses)
        tokens = sum(response.tokens for response in reply.responses)
        tally.count(question.source, word)
        tally.count(question.source, "tokens", tokens)
        on_progress({"responses": len(reply.responses), "tokens": tokens})
        return Adjudication(place, word, reply.responses)

    async def all_of(question: Question, rollout: Rollout, row: Verdicts) -> Adjudications | None:
        places = to_adjudicate(rollout, row.verdicts)
        words = await gather(ask(question, rollout, place, row.verdicts[place].answer) for place in places)
        about = (spec.model.path, job.model_revision, prompt.name, prompt.sha256)
        return Adjudications(question.id, question.source, *about, tuple(words)) if words else None

    rollouts = {rollout.id: rollout for rollout in read_rows(shard(job.out, "sample", unit), Rollout)}
    unsure = {row.id: row for row in read_rows(shard(job.out, "verify", unit), Verdicts)}
    rows = await gather(
        all_of(question, rollouts[question.id], unsure[question.id])
        for question in read_questions(job, unit, pictures=False)
        if question.id in unsure
    )
    return await asyncio.to_thread(finish, job, unit, tally, Adjudications, rows)


def pair_unit(job: Job, unit: Unit) -> Counts:
    """Pair the judged and the continued responses of a unit."""
    if is_done(job.out, "pair", unit):
        return read_counts(shard(job.out, "pair", unit))
    tally = Tally("pair")
    recipe = job.recipe
    rollouts = {rollout.id: rollout for rollout in read_rows(shard(job.out, "sample", unit), Rollout)}
    verdicts = {row.id: row for row in read_rows(shard(job.out, "verify", unit), Verdicts)}
    completions = {row.id: row for row in read_rows(shard(job.out, "complete", unit), Completions)}
    adjudications, judgements = read_adjudications(job.out, unit), read_judgements(job.out, unit)
    asked = [question for question in read_questions(job, unit) if question.id in rollouts]
    pairings = []
    for question in asked:
        rollout = rollouts[question.id]
        if question.answer is None:
            most = max_pairs_of(recipe, question.source, recipe.dropout.max_pairs)
            done = completions[question.id].completions
            pairing = pair_by_dropout(rollout, done, max_pairs=most, spec=recipe.pairing)
        else:
            pairing = pair_by_correctness(
                rollout,
                standing_verdicts(
                    verdicts[question.id].verdicts, adjudications.get(question.id), judgements.get(question.id)
                ),
                choices=question.choices,
                max_pairs=max_pairs_of(recipe, question.source, recipe.pairing.max_pairs),
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
            rows.append(_preference_row(job, question, rollouts[question.id], rate, pairing))
    return finish(job, unit, tally, PreferenceRow, rows)


def _preference_row(
    job: Job, question: Question, rollout: Rollout, rate: float | None, pairing: Pairing
) -> PreferenceRow:
    return PreferenceRow(
        id=question.id,
        source=question.source,
        kind=question.kind,
        images=(*job.template(question).images, *question.images),
        question=question.question,
        prompt=rollout.prompt,
        context=rollout.context,
        answer=question.answer,
        pass_rate=rate,
        responses=pairing.responses,
        pairs=pairing.pairs,
        prompt_token_ids=rollout.prompt_token_ids,
        tokenizer_sha256=rollout.tokenizer_sha256,
        answers=question.answers,
    )


async def generate_unit(job: Job, unit: Unit, engine: Engine, on_progress: Callable[[Counts], None]) -> None:
    """Those of the job's stages that ask an engine."""
    for stage, work in (("sample", sample_unit), ("complete", complete_unit), ("adjudicate", adjudicate_unit)):
        if stage in job.stages:
            await work(job, unit, engine, on_progress)


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

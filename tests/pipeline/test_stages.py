"""The stages over real pictures with the replay engine, one after the other: nothing is lost, nothing counted twice."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmpr.engine import Reply, Request
from mmpr.engine.replay import ReplayEngine
from mmpr.errors import EngineDeadError, RowError
from mmpr.pipeline.job import Counts, Job
from mmpr.pipeline.plan import make_plan, read_build, write_index
from mmpr.pipeline.stages import complete_unit, ingest_unit, pair_unit, sample_unit, verify_unit
from mmpr.schema import Completions, PreferenceRow, Question, Reject, Response, Rollout, Verdicts, sample_seed
from mmpr.storage.shards import Unit, shard, write_shard
from mmpr.storage.tables import read_counts, read_rows
from tests.conftest import SmallBuild
from tests.helpers import build_without_ray, small_recipe, small_tree

FOLDERS: dict[str, type[Any]] = {
    "questions": Question,
    "rollouts": Rollout,
    "completions": Completions,
    "verdicts": Verdicts,
    "pairs": PreferenceRow,
}


def rows_of(out: Path, folder: str) -> dict:
    """The rows of a folder by id; no id stands twice."""
    rows = [row for path in sorted((out / folder).glob("*.parquet")) for row in read_rows(path, FOLDERS[folder])]
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: row for row in rows}


def rejects_of(out: Path) -> list[Reject]:
    return [row for path in sorted((out / "rejects").glob("*.parquet")) for row in read_rows(path, Reject)]


# a whole build adds up


def test_every_question_has_its_responses_with_their_seeds(small_build: SmallBuild) -> None:
    questions, rollouts = rows_of(small_build.out, "questions"), rows_of(small_build.out, "rollouts")
    assert list(questions) == list(rollouts)
    seeds = []
    for rollout in rollouts.values():
        assert len(rollout.responses) == small_build.recipe.samples(rollout.source)
        for place, response in enumerate(rollout.responses):
            assert response.seed == sample_seed(small_build.recipe.seed, rollout.id, place)
            seeds.append(response.seed)
        assert rollout.prompt.count("<image>") == len(questions[rollout.id].images)
        assert (rollout.model, rollout.model_revision) == ("none", "replay")
        assert rollout.template == (
            "plain" if questions[rollout.id].answer is None else "zh" if rollout.source == "own" else "en"
        )
        assert small_build.manifest["prompts"][rollout.template] == rollout.template_sha256
    assert len(set(seeds)) == len(seeds)


def test_questions_hold_clean_pictures(small_build: SmallBuild) -> None:
    for question in rows_of(small_build.out, "questions").values():
        assert question.question.count("<image>") == len(question.images)
        for image in question.images:
            picture = Image.open(io.BytesIO(image))
            picture.load()
            assert picture.mode == "RGB"


def test_questions_come_out_as_paired_or_with_a_reason(small_build: SmallBuild) -> None:
    counts = small_build.manifest["counts"]
    questions = rows_of(small_build.out, "questions")
    pairs = rows_of(small_build.out, "pairs")
    for source, ingest in counts["ingest"].items():
        outcomes = {name: n for name, n in counts["pair"][source].items() if name.startswith("questions/")}
        assert sum(outcomes.values()) == ingest["questions"]
        assert outcomes.get("questions/paired", 0) == sum(row.source == source for row in pairs.values())
        for method in ("correctness", "format", "dropout"):
            stored = sum(p.method == method for row in pairs.values() if row.source == source for p in row.pairs)
            assert counts["pair"][source].get(f"pairs/{method}", 0) == stored
    assert set(pairs) <= set(questions)


def test_responses_with_a_truth_have_one_verdict_each(small_build: SmallBuild) -> None:
    counts = small_build.manifest["counts"]
    questions, rollouts = rows_of(small_build.out, "questions"), rows_of(small_build.out, "rollouts")
    verdicts = rows_of(small_build.out, "verdicts")
    assert set(verdicts) == {id for id, question in questions.items() if question.answer is not None}
    for id, row in verdicts.items():
        assert len(row.verdicts) == len(rollouts[id].responses)
    for source in counts["ingest"]:
        judged = counts["verify"].get(source, {})
        expected = sum(len(rollouts[id].responses) for id in verdicts if questions[id].source == source)
        statuses = ("correct", "incorrect", "unparseable", "timeout", "error", "unsure")
        assert sum(judged.get(status, 0) for status in statuses) == expected
        stored = Counter(v.status for row in verdicts.values() if row.source == source for v in row.verdicts)
        assert {status: judged[status] for status in statuses if status in judged} == stored
    everything: Counter[str] = Counter()
    for judged in counts["verify"].values():
        everything.update(judged)
    assert min(everything["correct"], everything["incorrect"], everything["unparseable"]) > 10


def test_sample_counts_are_those_of_the_rows(small_build: SmallBuild) -> None:
    counts = small_build.manifest["counts"]["sample"]
    rollouts = rows_of(small_build.out, "rollouts").values()
    for source, told in counts.items():
        responses = [r for rollout in rollouts if rollout.source == source for r in rollout.responses]
        finished = Counter(f"finish/{r.finish_reason}" for r in responses)
        assert told == {
            "responses": len(responses),
            "tokens": sum(r.tokens for r in responses),
            "prompt_tokens": sum(r.prompt_tokens for r in rollouts if r.source == source),
            **finished,
        }


def test_continuations_start_with_half_of_a_whole_response(small_build: SmallBuild) -> None:
    questions, rollouts = rows_of(small_build.out, "questions"), rows_of(small_build.out, "rollouts")
    completions = rows_of(small_build.out, "completions")
    assert set(completions) == {id for id, question in questions.items() if question.answer is None}
    seeds = set()
    for id, row in completions.items():
        assert row.completions
        assert len(row.completions) <= 15
        for completion in row.completions:
            original = rollouts[id].responses[completion.response]
            assert original.finish_reason == "stop"
            assert completion.prefix == original.text[: len(original.text) // 2]
            assert completion.prefix_tokens == len(completion.prefix)
            seeds.add(completion.continuation.seed)
    assert len(seeds) == sum(len(row.completions) for row in completions.values())
    assert not seeds & {r.seed for rollout in rollouts.values() for r in rollout.responses}


def test_rows_of_pairs_hold_what_the_other_folders_say(small_build: SmallBuild) -> None:
    questions, rollouts = rows_of(small_build.out, "questions"), rows_of(small_build.out, "rollouts")
    verdicts = rows_of(small_build.out, "verdicts")
    methods: Counter[str] = Counter()
    for id, row in rows_of(small_build.out, "pairs").items():
        question = questions[id]
        assert (row.images, row.question, row.answer) == (question.images, question.question, question.answer)
        assert (row.source, row.kind, row.prompt) == (question.source, question.kind, rollouts[id].prompt)
        assert row.pass_rate == (verdicts[id].pass_rate if id in verdicts else None)
        for pair in row.pairs:
            chosen, rejected = row.responses[pair.chosen], row.responses[pair.rejected]
            methods[pair.method] += 1
            assert chosen.text != rejected.text
            assert chosen.text == rollouts[id].responses[chosen.sample].text
            assert chosen.finish_reason == "stop"
            if pair.method != "dropout":
                assert rejected.text == rollouts[id].responses[rejected.sample].text
                assert verdicts[id].verdicts[chosen.sample].status == "correct"
                assert verdicts[id].verdicts[rejected.sample].status in ("incorrect", "unparseable")
    assert min(methods[name] for name in ("correctness", "format", "dropout")) > 5


# one unit at a time, engines that misbehave


class Engine(ReplayEngine):
    """Replays, and fails as told."""

    def __init__(self, recipe, fails: Callable[[Request], Exception | None] = lambda _: None) -> None:
        super().__init__(recipe)
        self.requests: list[Request] = []
        self.fails = fails
        self.busy = self.most = self.cancelled = 0

    async def generate(self, request: Request) -> Reply:
        self.requests.append(request)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await asyncio.sleep(0)
            if error := self.fails(request):
                raise error
            await asyncio.sleep(0.001)
            return await super().generate(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.busy -= 1


@pytest.fixture
def job(tmp_path: Path) -> tuple[Job, list[Unit]]:
    recipe = small_recipe(tmp_path)
    plan = make_plan(recipe, "r")
    build = write_index(tmp_path / "out", plan)
    job = Job(recipe, tmp_path / "out", plan.model.revision, plan.templates)
    for unit in build.of("train"):
        ingest_unit(job, unit)
    return job, list(build.of("train"))


def sampled(job: Job, unit: Unit, engine: Engine) -> tuple[Counts, Counts]:
    seen: Counter[str] = Counter()
    counts = asyncio.run(sample_unit(job, unit, engine, seen.update))
    return counts, dict(seen)


def completed(job: Job, unit: Unit, engine: Engine) -> Counts:
    return asyncio.run(complete_unit(job, unit, engine, lambda _: None))


def test_all_questions_of_a_unit_are_asked_at_once_for_all_samples(job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    engine = Engine(the_job.recipe)
    counts, seen = sampled(the_job, units[0], engine)
    assert engine.most == len(engine.requests) == 12
    assert {request.samples for request in engine.requests} == {8}
    assert seen["questions"] == 12
    assert seen["responses"] == sum(n for name, n in counts.items() if name.endswith("/responses")) == 96
    assert read_counts(shard(the_job.out, "sample", units[0])) == counts


def test_a_unit_that_is_done_is_not_done_again(job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    first, _ = sampled(the_job, units[0], Engine(the_job.recipe))
    made = shard(the_job.out, "sample", units[0]).read_bytes()
    engine = Engine(the_job.recipe, lambda _: EngineDeadError("must not be asked"))
    assert sampled(the_job, units[0], engine)[0] == first
    assert engine.requests == []
    assert shard(the_job.out, "sample", units[0]).read_bytes() == made


def test_responses_do_not_depend_on_the_order_of_units(small_build: SmallBuild, tmp_path: Path) -> None:
    shutil.copytree(small_build.out, tmp_path / "out")
    build = read_build(tmp_path / "out")
    assert build is not None
    for folder in ("rollouts", "completions"):
        shutil.rmtree(tmp_path / "out" / folder)
    job = Job(small_build.recipe, tmp_path / "out", "replay", make_plan(small_build.recipe, "r").templates)

    async def backwards() -> None:
        engines = [Engine(small_build.recipe), Engine(small_build.recipe)]
        await asyncio.gather(
            *(sample_unit(job, u, engines[u.number % 2], lambda _: None) for u in reversed(build.of("train")))
        )
        for unit in reversed(build.of("train")):
            await complete_unit(job, unit, engines[0], lambda _: None)

    asyncio.run(backwards())
    for folder in ("rollouts", "completions"):
        for path in (small_build.out / folder).iterdir():
            assert (tmp_path / "out" / folder / path.name).read_bytes() == path.read_bytes()


def test_a_refused_request_is_a_reject_and_the_others_go_on(job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    unit = units[1]
    counted = [0]

    def third(_: Request) -> Exception | None:
        counted[0] += 1
        return RowError("engine_refused", "too long") if counted[0] == 3 else None

    engine = Engine(the_job.recipe, third)
    counts, seen = sampled(the_job, unit, engine)
    asked = len(engine.requests)
    refused = [reject for reject in rejects_of(the_job.out) if reject.stage == "sample"]
    assert [(r.reason, r.detail) for r in refused] == [("engine_refused", "too long")]
    rollouts = rows_of(the_job.out, "rollouts")
    assert len(rollouts) == asked - 1
    assert refused[0].id not in rollouts
    assert refused[0].id in rows_of(the_job.out, "questions")
    assert sum(n for name, n in counts.items() if "/rejected/" in name) == 1
    assert seen["questions"] == asked
    # and the stages after it do without that question
    completed(the_job, unit, Engine(the_job.recipe))
    verify_unit(the_job, unit)
    paired = pair_unit(the_job, unit)
    assert sum(n for name, n in paired.items() if "/questions/" in name) == asked - 1


def test_a_refused_continuation_is_a_reject_too(job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    for unit in units:
        sampled(the_job, unit, Engine(the_job.recipe))
    place = [0]

    def every_second(_: Request) -> Exception | None:
        place[0] += 1
        return RowError("engine_refused", "no") if place[0] % 2 else None

    counts: Counter[str] = Counter()
    for unit in units:
        counts.update(completed(the_job, unit, Engine(the_job.recipe, every_second)))
    stored = sum(len(row.completions) for row in rows_of(the_job.out, "completions").values())
    refused = [reject for reject in rejects_of(the_job.out) if reject.stage == "complete"]
    assert len(refused) == sum(n for name, n in counts.items() if "/rejected/" in name) == -(-place[0] // 2)
    assert stored == sum(n for name, n in counts.items() if name.endswith("/continuations")) == place[0] // 2


@pytest.mark.parametrize("stage", ["sample", "complete"])
def test_a_dead_engine_leaves_no_shard_and_no_running_request(stage: str, job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    unit = units[2]  # it has open questions
    if stage == "complete":
        sampled(the_job, unit, Engine(the_job.recipe))
    asked = [0]

    def dies(_: Request) -> Exception | None:
        asked[0] += 1
        return EngineDeadError("gone") if asked[0] == 4 else None

    engine = Engine(the_job.recipe, dies)
    work = sampled if stage == "sample" else completed
    with pytest.raises(EngineDeadError, match="gone"):
        work(the_job, unit, engine)
    assert engine.busy == 0
    assert engine.cancelled > 0
    assert not shard(the_job.out, stage, unit).exists()  # type: ignore[arg-type]
    work(the_job, unit, Engine(the_job.recipe))
    assert shard(the_job.out, stage, unit).exists()  # type: ignore[arg-type]


def test_what_is_continued_has_no_picture_unless_a_variant_says_so(tmp_path: Path) -> None:
    variants = [{"start_ratio": 0.5}, {"start_ratio": 0.25, "with_image": True}]
    recipe = small_recipe(tmp_path, dropout={"variants": variants, "max_pairs": 4})
    plan = make_plan(recipe, "r")
    build = write_index(tmp_path / "out", plan)
    job = Job(recipe, tmp_path / "out", "replay", make_plan(recipe, "r").templates)
    engine = Engine(recipe)
    for unit in build.of("train"):
        ingest_unit(job, unit)
        sampled(job, unit, Engine(recipe))
        completed(job, unit, engine)
    for request in engine.requests:
        assert request.prefix
        assert request.samples == 1
        assert request.prompt.count("<image>") == len(request.images)
    assert Counter(bool(request.images) for request in engine.requests).keys() == {True, False}
    for row in rows_of(tmp_path / "out", "completions").values():
        assert [(c.start_ratio, c.with_image) for c in row.completions] == [(0.5, False), (0.25, True)] * 2
    assert len({request.seed for request in engine.requests}) == len(engine.requests)


def test_dropout_can_be_turned_off(tmp_path: Path) -> None:
    manifest = build_without_ray(small_recipe(tmp_path, "dropout.max_pairs=0"), tmp_path / "out")
    assert manifest["counts"]["complete"] == {}
    assert manifest["counts"]["pair"]["open"] == {"questions/no_continuation": 6}


def test_the_engine_hears_of_processor_and_samples_of_each_source(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    tree["sources"][0] |= {"processor": {"max_tiles": 6}, "samples": 3}
    recipe = small_recipe(tmp_path, sources=tree["sources"])
    write_index(tmp_path / "out", make_plan(recipe, "r"))
    job, unit = Job(recipe, tmp_path / "out", "replay", make_plan(recipe, "r").templates), Unit("train", 0, 4)
    ingest_unit(job, unit)
    engine = Engine(recipe)
    sampled(job, unit, engine)
    assert {(request.samples, request.processor["max_tiles"]) for request in engine.requests} == {(3, 6)}


# judging


def stored(job: Job, unit: Unit, texts: list[str], template: str) -> None:
    """Put responses of one's own in place of the sampled ones."""
    sampled(job, unit, Engine(job.recipe))
    path = shard(job.out, "sample", unit)
    responses = tuple(Response(text, 10 + i, "stop", 1) for i, text in enumerate(texts))
    rows = [dataclasses.replace(row, responses=responses, template=template) for row in read_rows(path, Rollout)]
    write_shard(path, Rollout, rows, {})


@pytest.mark.parametrize("template", ["en", "./mine.txt", "/abs/mine.txt", "house_style"])
def test_responses_are_judged_whatever_the_template_is_called(template: str, job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    stored(the_job, units[0], ["Final answer: 999", "I do not know"], template)
    verify_unit(the_job, units[0])
    truths = {id: question.answer for id, question in rows_of(the_job.out, "questions").items()}
    for row in rows_of(the_job.out, "verdicts").values():
        truth = truths[row.id] or ""
        number, word = (verdict.status for verdict in row.verdicts)
        assert number == "incorrect" or (number == "unsure" and not truth.isdigit())
        assert word == "unparseable"
        assert row.pass_rate == 0


def test_reasoning_that_the_prompt_opened_and_nobody_ended_is_no_answer(job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    stored(the_job, units[0], ["So: Final answer: 999", "So it is 5.</think>Final answer: 999"], "en")
    path = shard(the_job.out, "sample", units[0])
    rows = [dataclasses.replace(row, reasoning_opened="<think>") for row in read_rows(path, Rollout)]
    write_shard(path, Rollout, rows, {})
    verify_unit(the_job, units[0])
    for row in rows_of(the_job.out, "verdicts").values():
        assert [verdict.answer for verdict in row.verdicts] == [None, "999"]


def test_timeouts_and_errors_are_rejects_and_make_no_pair(
    job: tuple[Job, list[Unit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmpr.schema import Status, Verdict

    the_job, units = job
    unit = units[0]
    statuses: list[Status] = ["correct", "timeout", "error"]
    stored(the_job, unit, [f"Final answer: {i}" for i in range(3)], "en")
    monkeypatch.setattr(
        "mmpr.pipeline.judging.judge_responses",
        lambda responses, *_: [Verdict(s, r[-1]) for s, r in zip(statuses, responses, strict=True)],
    )
    counts = verify_unit(the_job, unit)
    rows = rows_of(the_job.out, "verdicts")
    rejects = [reject for reject in rejects_of(the_job.out) if reject.stage == "verify"]
    assert Counter(reject.reason for reject in rejects) == {"timeout": len(rows), "error": len(rows)}
    assert counts["digits/timeout"] == counts["digits/rejected/timeout"] == len(rows)
    assert {row.pass_rate for row in rows.values()} == {1.0}
    completed(the_job, unit, Engine(the_job.recipe))
    assert pair_unit(the_job, unit) == {"digits/questions/nothing_to_reject": len(rows)}
    assert rows_of(the_job.out, "pairs") == {}


def test_the_recipes_rule_judges_not_the_stored_one(job: tuple[Job, list[Unit]]) -> None:
    the_job, units = job
    unit = units[0]
    answers = [q.answer for q in rows_of(the_job.out, "questions").values()]
    stored(the_job, unit, [f"Final answer: {answer}.0" for answer in answers if answer and answer.isdigit()][:1], "en")

    def correct(rule: str) -> int:
        sources = [dict(source) for source in the_job.recipe.as_json()["sources"]]
        sources[0]["rule"] = rule
        recipe = small_recipe(the_job.recipe.folder, sources=sources)
        shard(the_job.out, "verify", unit).unlink(missing_ok=True)
        return verify_unit(dataclasses.replace(the_job, recipe=recipe), unit).get("digits/correct", 0)

    assert correct("default") > correct("exact") == 0


def test_a_build_in_pieces_is_the_build_in_one(small_build: SmallBuild, tmp_path: Path) -> None:
    from unittest import mock

    class StopError(Exception):
        pass

    stop_after = [0]

    def stops(call):
        def run(*args, **kwargs):
            stop_after[0] -= 1
            if stop_after[0] < 0:
                raise StopError
            return call(*args, **kwargs)

        return run

    out = tmp_path / "out"
    for steps in range(0, 40, 3):
        stop_after[0] = steps
        with mock.patch("mmpr.pipeline.job.write_shard", stops(write_shard)):
            try:
                manifest = build_without_ray(small_build.recipe, out)
            except StopError:
                continue
            break
    assert steps > 3
    assert manifest == small_build.manifest

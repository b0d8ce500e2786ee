"""A model as the last judge: what it is asked, what its reply says, and what pairs do with it; nothing asked twice."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmpr.build import build, dry_run
from mmpr.check.__main__ import main as check
from mmpr.config import OptionsSpec, Recipe, parse_recipe
from mmpr.engine import Reply, Request, start_engine
from mmpr.engine.replay import ReplayEngine
from mmpr.errors import EngineDeadError, MmprError, OutputError, RecipeError, RowError
from mmpr.pipeline import adjudicating
from mmpr.pipeline.adjudicating import VerifierPrompt, load_verifier_prompt, read_word, to_adjudicate
from mmpr.pipeline.job import Job
from mmpr.pipeline.pairing import pair_by_correctness
from mmpr.pipeline.plan import make_plan, read_build
from mmpr.pipeline.stages import adjudicate_unit, pair_unit
from mmpr.pipeline.standing import ADJUDICATED, standing_verdicts
from mmpr.report.make import make_report
from mmpr.runners import local
from mmpr.schema import (
    Adjudication,
    Adjudications,
    PreferenceRow,
    Question,
    Reject,
    Response,
    Rollout,
    Verdict,
    Verdicts,
)
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import STAGES, Unit, shard
from mmpr.storage.tables import read_rows
from tests.helpers import build_without_ray, small_recipe
from tests.report.measure.test_flow import assert_adds_up, flow_of, parts
from tests.test_check import reseal, rewrite

ANSWERS = [2, 3, 4, 7, "B", "yes", "no", "3 or 5", "yes or no", "perhaps 7"]
VERIFIER = {"path": "verifier"}


def recipe_with(folder: Path, replies: list[str], **spec: Any) -> Recipe:
    """The small recipe with answers of which the judge is often unsure, and a verifier that replies so."""
    engine = {"type": "replay", "args": {"replies": replies}}
    return small_recipe(
        folder,
        engine={"type": "replay", "args": {"answers": ANSWERS}},
        adjudicate={"model": VERIFIER, "engine": engine, **spec},
    )


def rows_of(out: Path, folder: str, noun: Any) -> list[Any]:
    return [row for path in sorted((out / folder).glob("*.parquet")) for row in read_rows(path, noun)]


# what is asked


@pytest.mark.parametrize("name", ["compass_verifier", "xverify"])
def test_our_prompts_show_all_that_a_verifier_needs(name: str) -> None:
    question = Question("q", "s", "<image>\nWhich colour?", "B", ("red", "blue {truth}"), (b"",))
    prompt = load_verifier_prompt(name, Path())
    text = prompt.render(question, "It is {question} <image>, so B.", None, OptionsSpec())
    assert "<image>" not in text
    for shown in ("Which colour?\nA. red\nB. blue {truth}", "It is {question} , so B."):
        assert shown in text
    open_question = replace(question, choices=(), answer="blue", answers=("blue", "navy", "blue"))
    assert "{choices}" not in prompt.render(open_question, "x", None, OptionsSpec())
    assert "blue or navy" in prompt.render(open_question, "x", None, OptionsSpec())


@pytest.mark.parametrize(
    ("text", "answer", "asked"),
    [
        ("{question}|{truth}|{response}", "5", "q|t|So 5."),
        ("{question}|{truth}|{answer}", "5", "q|t|5"),
        ("{question}|{truth}|{answer}", None, "q|t|So 5."),
        ("{0} {question.__class__} {question}|{truth}|{response}", None, "{0} {question.__class__} q|t|So 5."),
    ],
)
def test_a_prompt_of_ones_own(text: str, answer: str | None, asked: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(text)
    prompt = load_verifier_prompt("./mine.txt", tmp_path)
    assert prompt.render(Question("i", "s", "q", "t"), "So 5.", answer, OptionsSpec()) == asked


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{question} {response}", "lacks {truth}"),
        ("{question} {truth}", "lacks {response}"),
        ("{truth} {answer}", "lacks {question}"),
        ("{question} {truth} {response} {truth}", "holds {truth} more than once"),
        (b"\xff", "is not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_prompt_that_lacks_something_is_a_recipes_problem(
    text: str | bytes | None, complaint: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "mine.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError, match=complaint):
        make_plan(recipe_with(tmp_path, ["A"], prompt="./mine.txt"), "r")


def test_only_what_could_stand_in_a_pair_is_asked() -> None:
    ends = [("a", "stop"), ("b", "length"), ("a ", "stop"), ("c", "stop"), ("d", "stop")]
    responses = tuple(Response(text, at, end, 1) for at, (text, end) in enumerate(ends))
    rollout = Rollout("i", "s", "p", "en", "", "m", "r", 1, responses)
    verdicts = [Verdict("unsure")] * 4 + [Verdict("incorrect")]
    assert to_adjudicate(rollout, verdicts) == [0, 3]


@pytest.mark.parametrize(
    ("opened", "text", "shown"),
    [
        ("", "<think>It may be 3.</think>So 5.", "So 5."),
        ("<think>", "It may be 3.</think>\nSo 5.", "So 5."),
        ("", "Plain. So 5.", "Plain. So 5."),
        ("", "<think>It may be 3 or 5", "<think>It may be 3 or 5"),
    ],
)
def test_a_verifier_is_shown_what_comes_after_reasoning(opened: str, text: str, shown: str) -> None:
    responses = (Response(text, 0, "stop", 1),)
    rollout = Rollout("i", "s", "p", "en", "", "m", "r", 1, responses, reasoning_opened=opened)
    assert adjudicating.shown_to_verifier(rollout, 0) == shown


# what a reply says


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        *[(reply, "correct") for reply in ("A", "A.", " (A)\n", "[Correct]", "correct", "CORRECT", "**A**", "`A`")],
        *[(reply, "correct") for reply in (r"\boxed{A}", "A: CORRECT", "A - Correct", r"$\boxed{\text{A}}$")],
        *[(reply, "correct") for reply in ("Judgement: Correct", "Final Judgment: A", '"Correct"')],
        ("Analysis step by step:\n\nB is what he says, 4.\n\nFinal Judgment: \\boxed{A} - CORRECT", "correct"),
        ("**Final Judgment:** \\boxed{B} - INCORRECT", "incorrect"),
        ("<think>Is it A? No.</think>\n\nB", "incorrect"),
        *[(reply, "incorrect") for reply in ("B", "[Incorrect]", "incorrect.", "(B)", "B: INCORRECT")],
        *[
            (reply, "unclear")
            for reply in ("C", "C: INVALID", "INVALID", "", " ", "yes", "true", "1", "D", "AB", "A B")
        ],
        *[
            (reply, "unclear")
            for reply in ("A or B", "A: INCORRECT", "not correct", "in correct", "A, I think", "A\nB")
        ],
        *[(reply, "unclear") for reply in ("The answer is A", "I judge that it is correct.", "Correct\n\nWait.", "А")],
        ("He chose A.\nA", "unclear"),
        ("<think>It is A. A", "unclear"),
        ("Final Judgment: A or B", "unclear"),
        ("A" * 1_000_000, "unclear"),
        ("- " * 500_000, "unclear"),
    ],
)
def test_a_reply_is_read_strictly(reply: str, word: str) -> None:
    assert read_word([Response(reply, 0, "stop", 1)]) == word


@pytest.mark.parametrize(
    ("replies", "word"),
    [
        ("AA", "correct"),
        ("BBB", "incorrect"),
        ("AB", "unclear"),
        ("AAC", "unclear"),
        ("", "unclear"),
    ],
)
def test_all_replies_must_say_the_same(replies: str, word: str) -> None:
    assert read_word([Response(reply, at, "stop", 1) for at, reply in enumerate(replies)]) == word


def test_a_truncated_reply_says_nothing() -> None:
    assert read_word([Response("A", 0, "length", 1)]) == "unclear"
    assert read_word([Response("A", 0, "stop", 1), Response("A", 1, "length", 1)]) == "unclear"


# what pairs do with it


def words(*said: str) -> Adjudications:
    told = tuple(Adjudication(at, word, ()) for at, word in enumerate(said) if word)  # type: ignore[arg-type]
    return Adjudications("i", "s", "m", "r", "p", "", told)


def test_a_model_never_overrules_the_judge() -> None:
    statuses = ("correct", "incorrect", "unparseable", "timeout", "error", "unsure", "unsure", "unsure")
    judged = [Verdict(status, "1", "number") for status in statuses]  # type: ignore[arg-type]
    said = words(*["incorrect"] * 3, *["correct"] * 2, "correct", "incorrect", "unclear")
    standing = standing_verdicts(judged, said)
    assert standing[:5] == tuple(judged[:5])
    assert [(v.status, v.comparator) for v in standing[5:]] == [
        ("correct", ADJUDICATED),
        ("incorrect", ADJUDICATED),
        ("unsure", "number"),
    ]
    assert standing_verdicts(judged, None) == tuple(judged)
    assert standing_verdicts([], words("correct")) == ()


def pairs_of(judged: list[tuple[str, str | None, str]], most: int = 15) -> list[tuple[str, int, int, str]]:
    """(method, chosen, rejected, reason) of verdicts given as (status, answer, comparator), by their positions."""
    responses = tuple(Response(f"text {at}\nend {70 + at}", at, "stop", 1) for at in range(len(judged)))
    rollout = Rollout("i", "s", "p", "en", "", "m", "r", 1, responses)
    pairing = pair_by_correctness(rollout, [Verdict(*one) for one in judged], max_pairs=most)  # type: ignore[arg-type]
    at = [response.sample for response in pairing.responses]
    return [(pair.method, at[pair.chosen], at[pair.rejected], pair.reason) for pair in pairing.pairs]


def test_pairs_that_stand_on_a_word_say_so() -> None:
    typed_right, typed_wrong = ("correct", "3", "number"), ("incorrect", "4", "number")
    word_right, word_wrong = ("correct", "3 cats", ADJUDICATED), ("incorrect", None, ADJUDICATED)
    found = pairs_of([typed_right, typed_wrong, word_right, word_wrong])
    assert sorted(found) == [
        ("adjudicated", 0, 3, "3 is right, end 73 is wrong by the word of a model"),
        ("adjudicated", 2, 1, "3 cats is right by the word of a model, 4 is wrong"),
        ("adjudicated", 2, 3, "3 cats is right by the word of a model, end 73 is wrong by the word of a model"),
        ("correctness", 0, 1, "3 is right, 4 is wrong"),
    ]


def test_a_word_takes_the_place_of_no_pair_of_the_judge() -> None:
    judged = [("correct", "3", "number"), ("incorrect", "4", "number"), ("unparseable", None, "none")]
    alone = pairs_of(judged, most=3)
    said: list[Any] = [("correct", f"x{at}", ADJUDICATED) for at in range(5)] + [
        ("incorrect", f"y{at}", ADJUDICATED) for at in range(5)
    ]
    found = pairs_of(judged + said, most=3)
    assert found[:2] == alone
    assert [method for method, *_ in found] == ["correctness", "format", "adjudicated"]


def test_the_guard_holds_for_words_too() -> None:
    """A sentence that holds the right answer is not rejected because a model calls it wrong."""
    assert pairs_of([("correct", "3", "number"), ("incorrect", "3 or 5", ADJUDICATED)]) == []


# the stage


class Counting(ReplayEngine):
    """Counts what it is asked, and fails as told."""

    def __init__(self, recipe: Recipe, fails: Callable[[int], Exception | None] = lambda _: None) -> None:
        super().__init__(recipe)
        self.asked: list[str] = []
        self._fails = fails

    async def generate(self, request: Request) -> Reply:
        self.asked.append(request.prompt)
        if error := self._fails(len(self.asked)):
            raise error
        return await super().generate(request)


@pytest.fixture
def verified(tmp_path: Path) -> tuple[Job, Unit]:
    """A unit that waits for the verifier, with more than ten unsure verdicts, and the verifier's job."""
    plan = make_plan(recipe_with(tmp_path, ["A", "B", "C"]), "r")
    out = tmp_path / "out"
    build(plan, out, None, "local")
    for folder in ("adjudications", "pairs"):
        for path in (out / folder).iterdir():
            path.unlink()
    assert plan.verifier is not None
    job = Job(plan.verifier.recipe, out, "replay", plan.templates, stages=("adjudicate", "pair"))
    build_plan = read_build(out)
    assert build_plan is not None
    unsure = {
        unit: sum(v.status == "unsure" for row in read_rows(shard(out, "verify", unit), Verdicts) for v in row.verdicts)
        for unit in build_plan.of("train")
    }
    unit = max(unsure, key=lambda unit: unsure[unit])
    assert unsure[unit] > 10
    return job, unit


def ask(job: Job, unit: Unit, engine: ReplayEngine) -> dict[str, int]:
    return asyncio.run(adjudicate_unit(job, unit, engine, lambda _: None))


def test_a_refused_request_is_a_reject_and_no_word(verified: tuple[Job, Unit]) -> None:
    job, unit = verified
    engine = Counting(job.recipe, lambda at: RowError("engine_error", "it broke") if at % 3 == 0 else None)
    counts = ask(job, unit, engine)
    refused = [
        r for r in rows_of(job.out, "rejects", Reject) if r.stage == "adjudicate" and r.detail.endswith("it broke")
    ]
    said = [word for row in read_rows(shard(job.out, "adjudicate", unit), Adjudications) for word in row.words]
    assert len(refused) == len(engine.asked) // 3 > 2
    assert len(refused) + len(said) == len(engine.asked)
    assert {w.replies[0].text: w.word for w in said} == {"A": "correct", "B": "incorrect", "C": "unclear"}
    told = Counter(
        name.split("/", 1)[1] for name, by in counts.items() for _ in range(by) if not name.endswith("tokens")
    )
    assert told == Counter(word.word for word in said) + Counter({"rejected/engine_error": len(refused)})
    pair_unit(job, unit)
    assert {pair.method for row in read_rows(shard(job.out, "pair", unit), PreferenceRow) for pair in row.pairs} >= {
        "adjudicated"
    }


def test_a_dead_verifier_leaves_no_shard_and_what_is_there_is_not_asked_again(verified: tuple[Job, Unit]) -> None:
    job, unit = verified
    with pytest.raises(EngineDeadError, match="gone"):
        ask(job, unit, Counting(job.recipe, lambda at: EngineDeadError("gone") if at == 5 else None))
    assert not shard(job.out, "adjudicate", unit).exists()
    engine = Counting(job.recipe)
    first = ask(job, unit, engine)
    asked = len(engine.asked)
    assert asked > 10
    assert ask(job, unit, engine) == first
    assert len(engine.asked) == asked


# whole builds


@pytest.fixture(scope="module")
def adjudicated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adjudicated")
    build_without_ray(recipe_with(folder, ["A", "B", "C", "I am not sure"]), folder / "out")
    return folder / "out"


def test_words_stand_beside_verdicts(adjudicated: Path, tmp_path: Path) -> None:
    """What the judge says is what it says without a verifier; words are about the unsure alone."""
    plain = build_without_ray(
        small_recipe(tmp_path, engine={"type": "replay", "args": {"answers": ANSWERS}}), tmp_path / "plain"
    )
    assert rows_of(adjudicated, "verdicts", Verdicts) == rows_of(tmp_path / "plain", "verdicts", Verdicts)
    verdicts = {row.id: row for row in rows_of(adjudicated, "verdicts", Verdicts)}
    said = rows_of(adjudicated, "adjudications", Adjudications)
    assert {verdicts[row.id].verdicts[word.response].status for row in said for word in row.words} == {"unsure"}
    assert {(row.model, row.model_revision, row.prompt) for row in said} == {("verifier", "replay", "compass_verifier")}
    assert len({word.word for row in said for word in row.words}) == 3
    assert "adjudicate" not in plain["counts"]
    assert "adjudicate" not in plain["recipe"]
    assert not (tmp_path / "plain" / "adjudications").exists()

    def typed(out: Path) -> dict[str, list[tuple[str, str, str]]]:
        return {
            row.id: [
                (p.method, row.responses[p.chosen].text, row.responses[p.rejected].text)
                for p in row.pairs
                if p.method != "adjudicated"
            ]
            for row in rows_of(out, "pairs", PreferenceRow)
        }

    before, after = typed(tmp_path / "plain"), typed(adjudicated)
    assert {id: pairs for id, pairs in after.items() if pairs} == before
    rates = {row.id: row.pass_rate for row in rows_of(adjudicated, "pairs", PreferenceRow)}
    assert all(rates[row.id] == row.pass_rate for row in rows_of(tmp_path / "plain", "pairs", PreferenceRow))


def test_report_and_card_count_them(adjudicated: Path) -> None:
    flow = flow_of(adjudicated)
    assert_adds_up(flow)
    said = Counter(word.word for row in rows_of(adjudicated, "adjudications", Adjudications) for word in row.words)
    told = parts(flow, "adjudicated")
    [finding] = [one for one in make_report(adjudicated).findings if one.key == "unsure"]
    assert (
        f"{said['correct'] + said['incorrect']} stand by the word of a verifier, the others make no" in finding.sentence
    )
    assert {word: told[word] for word in said} == said
    made = sum(p.method == "adjudicated" for row in rows_of(adjudicated, "pairs", PreferenceRow) for p in row.pairs)
    assert parts(flow, "possible")["adjudicated"] == made > 20
    assert f"{made:,} by the word of a verifier model" in " ".join((adjudicated / "README.md").read_text().split())
    assert (
        f"{said['correct']} correct, {said['incorrect']} incorrect, {said['unclear']} unclear"
        in (adjudicated / "README.md").read_text()
    )


def test_check_derives_all_but_the_words(adjudicated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check([str(adjudicated), "--verify"]) == 0, capsys.readouterr().out
    assert check([str(adjudicated)]) == 0
    said = Counter(word.word for row in rows_of(adjudicated, "adjudications", Adjudications) for word in row.words)
    line = f"adjudicated: {said['correct']} correct, {said['incorrect']} incorrect, {said['unclear']} unclear\n"
    assert line in capsys.readouterr().out


def first_word(row: Adjudications, **changes: Any) -> Adjudications:
    return replace(row, words=(replace(row.words[0], **changes), *row.words[1:]))


def without_replies(row: Adjudications) -> Adjudications | None:
    """The row without the replies of its first word, which keeps its meaning; None where that is unclear anyway."""
    return None if row.words[0].word == "unclear" else first_word(row, replies=())


@pytest.mark.parametrize(
    ("folder", "noun", "change", "complaint"),
    [
        ("adjudications", Adjudications, lambda row: without_replies(row), "but the replies say unclear"),
        (
            "adjudications",
            Adjudications,
            lambda row: first_word(row, response=10_000),
            "of which the judge is not unsure",
        ),
        ("adjudications", Adjudications, lambda row: replace(row, words=row.words[1:]), "the rows add up to"),
        ("adjudications", Adjudications, lambda row: replace(row, id="0" * 32), "of which the judge is not unsure"),
        (
            "pairs",
            PreferenceRow,
            lambda row: with_method(row, "correctness", "adjudicated"),
            "no side stands on the word",
        ),
        (
            "pairs",
            PreferenceRow,
            lambda row: with_method(row, "adjudicated", "correctness"),
            "a side stands on the word",
        ),
    ],
)
def test_planted_faults_are_found(
    folder: str,
    noun: Any,
    change: Any,
    complaint: str,
    adjudicated: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(adjudicated, out)
    rewrite(out, folder, noun, change)
    reseal(out)
    assert check([str(out), "--verify"]) == 1
    assert complaint in capsys.readouterr().out


def with_method(row: PreferenceRow, old: str, new: str) -> PreferenceRow | None:
    """The row with one pair of another method; None when it has none to change."""
    at = next((at for at, pair in enumerate(row.pairs) if pair.method == old), None)
    if at is None:
        return None
    pairs = list(row.pairs)
    pairs[at] = replace(pairs[at], method=new)  # type: ignore[arg-type]
    return replace(row, pairs=tuple(pairs))


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}


def test_a_build_that_its_verifier_stopped_goes_on(
    adjudicated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verifier dies in the middle: the same command asks it for the rest alone, and ends with the same bytes."""
    asked: Counter[str] = Counter()
    dies_at = [60]

    def start(recipe: Recipe, model_path: str, log: Path | None) -> ReplayEngine:
        counted = model_path == "verifier"

        class Dying(ReplayEngine):
            async def generate(self, request: Request) -> Reply:
                asked["verifier" if counted else "model"] += 1
                if counted and asked["verifier"] == dies_at[0]:
                    raise EngineDeadError("gone")
                return await super().generate(request)

        return Dying(recipe)

    monkeypatch.setattr(local, "start_engine", start)
    recipe, out = recipe_with(tmp_path, ["A", "B", "C", "I am not sure"]), tmp_path / "out"
    with pytest.raises(MmprError, match="gone"):
        build(make_plan(recipe, "r"), out, None, "local")
    assert not (out / "manifest.json").exists()
    stored = sum(len(row.words) for row in rows_of(out, "adjudications", Adjudications))
    sampled = asked["model"]
    assert 0 < stored < 60
    asked.clear()
    dies_at[0] = -1
    build(make_plan(recipe, "r"), out, None, "local")
    total = sum(len(row.words) for row in rows_of(out, "adjudications", Adjudications))
    assert asked == {"verifier": total - stored}
    assert sampled > 0
    assert files(out) == files(adjudicated)


def test_it_is_turned_on_and_off_for_a_build_that_is_there(adjudicated: Path, tmp_path: Path) -> None:
    plain = small_recipe(tmp_path, engine={"type": "replay", "args": {"answers": ANSWERS}})
    recipe, out = recipe_with(tmp_path, ["A", "B", "C", "I am not sure"]), tmp_path / "out"
    build_without_ray(plain, out)
    before = files(out)
    with pytest.raises(OutputError, match="'adjudicate' changed; add --from adjudicate"):
        build_without_ray(recipe, out)
    build_without_ray(recipe, out, "adjudicate")
    assert files(out) == files(adjudicated)
    with pytest.raises(OutputError, match="'adjudicate' changed; add --from adjudicate"):
        build_without_ray(plain, out, "pair")
    build_without_ray(plain, out, "adjudicate")
    assert files(out) == before
    assert STAGES.index("adjudicate") < STAGES.index("pair")


@pytest.mark.ray
def test_ray_gives_the_same_bytes(adjudicated: Path, tmp_path: Path) -> None:
    """Two graphs one after the other, each with engines of its own, in one session of Ray."""
    recipe = recipe_with(tmp_path, ["A", "B", "C", "I am not sure"])
    build(make_plan(recipe, "r"), tmp_path / "out", None, "ray")
    assert files(tmp_path / "out") == files(adjudicated)


def test_pairs_are_made_again_without_asking(
    adjudicated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = recipe_with(tmp_path, ["A", "B", "C", "I am not sure"]), tmp_path / "out"
    build_without_ray(recipe, out)
    monkeypatch.setattr(local, "start_engine", lambda *_: pytest.fail("an engine was started"))
    build_without_ray(recipe, out, "pair")
    assert files(out) == files(adjudicated)


def test_without_unsure_verdicts_no_engine_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(
        local, "start_engine", lambda *args, **log: (started.append(args[1]), start_engine(*args, **log))[1]
    )
    source = {"name": "digits", "type": "digits", "split": "train", "questions": 18, "kinds": ["sum"]}
    recipe = recipe_with(tmp_path, ["A"]).model_copy()
    tree = {**recipe.as_json(), "sources": [source], "engine": {"type": "replay", "args": {"answers": list(range(10))}}}
    build_without_ray(parse_recipe(tree, folder=tmp_path), tmp_path / "out")
    assert started == ["none"]
    assert read_manifest(tmp_path / "out")["counts"]["adjudicate"] == {}


def test_a_dry_run_tells_the_most_replies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = recipe_with(tmp_path, ["A"], samples=3)
    assert dry_run(make_plan(recipe, "r"), tmp_path / "out") == 0
    with_answer = {"digits": 18, "easy-vqa": 5, "own": 10}  # five of the source's bad rows have an answer, too
    most = 3 * sum(by * recipe.samples(name) for name, by in with_answer.items())
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("verifier"))
    assert f"at most {most:,} replies" in told
    assert "prompt compass_verifier" in told


def test_a_prompt_is_known_by_its_words() -> None:
    assert VerifierPrompt("a", "x").sha256 == VerifierPrompt("b", "x").sha256 != VerifierPrompt("a", "y").sha256

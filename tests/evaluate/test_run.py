"""Evaluations from end to end: what is stored, what follows, what is refused, and a kill in the middle."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmpr.config import ImagesSpec
from mmpr.engine import Request
from mmpr.engine.replay import ReplayEngine
from mmpr.errors import OutputError, RecipeError, SourceError
from mmpr.evaluate.results import Answered, Differing, Metric
from mmpr.evaluate.score import read_answers, read_evaluation
from mmpr.evaluate.store import finished_runs
from mmpr.evaluate.terminal import show
from mmpr.extension import Extensions
from mmpr.schema import Question, Reject, Response, Rollout, Verdicts, sample_seed
from mmpr.storage.shards import locked
from mmpr.storage.tables import read_rows
from tests.conftest import SmallBuild
from tests.evaluate.evaluations import REPLAY, evaluate_here
from tests.report.reports import HIDDEN, LONG, MARKUP
from tests.report.show.test_page import Elements


def contents(root: Path) -> dict[str, str]:
    """Every file of an evaluation with its hash, but what Ray and the engines said."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "logs" not in path.parts and path.name != ".lock"
    }


def rows(folder: Path, noun: type[Any]) -> list[Any]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in read_rows(path, noun)]


def test_the_held_out_questions_are_asked_as_the_build_would(small_build: SmallBuild, tmp_path: Path) -> None:
    evaluation = evaluate_here(["one"], small_build.out, tmp_path / "r", samples=3, styles=("reason", "direct"))
    heldout = {question.id: question for question in rows(small_build.out / "heldout", Question)}
    reason, direct = (run.folder for run in finished_runs(tmp_path / "r"))
    assert (reason.name, direct.name) == ("reason-3x", "direct-3x")
    for folder, template in ((reason, "en"), (direct, "direct")):
        rollouts = rows(folder / "rollouts", Rollout)
        assert [rollout.id for rollout in rollouts] == list(heldout)
        for rollout in rollouts:
            question = heldout[rollout.id]
            assert rollout.template == template
            assert [r.seed for r in rollout.responses] == [sample_seed(0, rollout.id, at) for at in range(3)]
            assert rollout.prompt.startswith("<image>\nYour task" if template == "en" else question.question)
            assert ("Answer " in rollout.prompt.rsplit("\n", 1)[1]) == (template == "direct")
        # Responses of which the judge cannot tell are listed in rejects/.
        assert {path.name for path in folder.iterdir()} == {"rollouts", "verdicts", "rejects", "run.json"}
    verdicts = rows(reason / "verdicts", Verdicts)
    right = sum(verdict.status == "correct" for row in verdicts for verdict in row.verdicts)
    assert 0 < right < 3 * len(heldout)
    whole = evaluation.results[0].groups[0]
    assert whole.accuracy == pytest.approx(right / (3 * len(heldout)))
    assert [k for k, _ in whole.pass_at] == [1, 2, 3]
    assert json.loads((tmp_path / "r" / "report.json").read_text())["results"][0]["groups"][0]["accuracy"] == (
        pytest.approx(whole.accuracy)
    )


def test_models_are_compared_and_added_beside(small_build: SmallBuild, tmp_path: Path) -> None:
    root = tmp_path / "r"
    evaluate_here(["one"], small_build.out, root)
    before = {name: sha for name, sha in contents(root).items() if name.startswith(("data", "runs"))}
    evaluation = evaluate_here(["<b>two"], small_build.out, root, "engine.args.answers=[5, 6, 7, A, no]")
    assert {name: sha for name, sha in contents(root).items() if name in before} == before
    (paired,) = evaluation.paired
    assert (paired.first, paired.second) == ("one", "<b>two")
    first, second = ({r.question.id: r for r in read_answers(run)} for run in finished_runs(root))
    right = [{id for id, r in of.items() if r.verdicts[0].status == "correct"} for of in (first, second)]
    whole = paired.groups[0]
    assert (whole.only_first, whole.only_second) == (len(right[0] - right[1]), len(right[1] - right[0]))
    assert whole.difference == pytest.approx((len(right[1]) - len(right[0])) / len(first))
    assert set(paired.examples) == right[0] ^ right[1]
    assert paired.examples
    page = (root / "index.html").read_text()
    assert "<b>two" not in page
    assert "&lt;b&gt;two" in page
    assert all(id[:12] in page for id in paired.examples)
    assert page.count("data:image/") >= len(paired.examples)
    # other ways of asking lie beside too
    more = evaluate_here(["one"], small_build.out, root, samples=2)
    assert {(r.model, r.way) for r in more.results} == {("one", "greedy"), ("<b>two", "greedy"), ("one", "2x")}
    assert len(more.paired) == 1


def test_answers_that_mean_harm(
    small_build: SmallBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Markup, escapes and a megabyte: text on the page and in the terminal, and little of it."""
    respond = ReplayEngine._respond
    harm = MARKUP + HIDDEN.removesuffix("\ud800")

    def hostile(engine: ReplayEngine, request: Request, seed: int) -> Response:
        made = respond(engine, request, seed)
        return replace(made, text=f"{harm} {LONG}\n{harm}\n{made.text}")

    evaluate_here(["one"], small_build.out, tmp_path)
    monkeypatch.setattr(ReplayEngine, "_respond", hostile)
    evaluation = evaluate_here(["two"], small_build.out, tmp_path, "engine.args.answers=[5, 6, 7, A, no]")
    assert evaluation.paired[0].examples
    stored = [
        r.text
        for run in finished_runs(tmp_path)
        for row in rows(run.folder / "rollouts", Rollout)
        for r in row.responses
    ]
    assert sum(len(text) > 1_000_000 for text in stored) == len(stored) // 2
    page = (tmp_path / "index.html").read_text()
    assert len(page) < 2_000_000
    elements = Elements(page)
    assert [one for one in elements.found if "harm" in str(one)] == []
    assert [text for _, text in elements.blocks if "harm" in text] == []
    assert "&lt;script&gt;window.harm=1" in page
    assert not {"\u202e", "\x1b", "\x07", "\0", "\u200b", "\u2066"} & set(page)
    show(evaluation)
    assert capsys.readouterr().out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("changed", "more", "said"),
    [
        (("seed=4",), {}, "seed was 0, is 4"),
        (("sampling.max_tokens=9",), {}, "sampling.max_tokens was 64, is 9"),
        ((), {"template": "en_v2"}, 'template was "en", is "en_v2"'),
    ],
)
def test_a_changed_setting_is_refused(
    small_build: SmallBuild, tmp_path: Path, changed: tuple[str, ...], more: dict, said: str
) -> None:
    root = tmp_path / "r"
    evaluate_here(["one"], small_build.out, root)
    before = contents(root)
    with pytest.raises(OutputError, match="use another --out, or delete it") as refused:
        evaluate_here(["one"], small_build.out, root, *changed, **more)
    assert said in str(refused.value)
    assert contents(root) == before
    evaluate_here(["one"], small_build.out, root)
    assert contents(root) == before


def test_a_model_can_be_given_another_name_but_not_be_two(small_build: SmallBuild, tmp_path: Path) -> None:
    root = tmp_path / "r"
    evaluate_here(["one"], small_build.out, root)
    before = {name: sha for name, sha in contents(root).items() if "rollouts" in name}
    assert evaluate_here(["base=one"], small_build.out, root).results[0].model == "base"
    assert {name: sha for name, sha in contents(root).items() if "rollouts" in name} == before
    with pytest.raises(RecipeError, match="these have the same weights: a, b"):
        evaluate_here(["a=one", "b=one"], small_build.out, root)


def test_a_table_is_asked_and_what_cannot_be_is_kept(tmp_path: Path) -> None:
    lines = [{"question": f"What is {n} + {n}?", "answer": 2 * n, "kind": "sum"} for n in range(70)]
    bad = [{"question": "Describe it."}, {"question": "Where?", "answer": "1", "image": "gone.png"}]
    (tmp_path / "sums.jsonl").write_text("\n".join(json.dumps(line) for line in [*lines, *bad]))
    root = tmp_path / "r"
    evaluation = evaluate_here(["one"], tmp_path / "sums.jsonl", root, "data.columns.kind=kind")
    (asked,) = evaluation.data
    assert (asked.questions, dict(asked.left_out)) == (70, {"no_answer": 1, "image_missing": 1})
    assert {group.kind for group in evaluation.results[0].groups} == {"", "sum"}
    rejects = rows(root / "data" / asked.name / "rejects", Reject)
    assert sorted(reject.reason for reject in rejects) == ["image_missing", "no_answer"]
    # data that changed lies beside, with other numbers
    (tmp_path / "sums.jsonl").write_text("\n".join(json.dumps(line) for line in lines[:5]))
    again = evaluate_here(["one"], tmp_path / "sums.jsonl", root, "data.columns.kind=kind")
    assert sorted(asked.questions for asked in again.data) == [5, 70]
    (tmp_path / "sums.jsonl").write_text('{"question": "Describe it."}\n')
    with pytest.raises(SourceError, match="no question that can be asked and judged"):
        evaluate_here(["one"], tmp_path / "sums.jsonl", root)


def test_a_question_that_the_engine_refuses_counts_as_wrong(
    small_build: SmallBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmpr.engine.replay import ReplayEngine
    from mmpr.errors import RowError

    generate = ReplayEngine.generate
    refused: list[Request] = []

    async def picky(self: ReplayEngine, request: Request) -> object:
        if not refused or request is refused[0]:
            refused.append(request)
            raise RowError("engine_refused", "too long")
        return await generate(self, request)

    monkeypatch.setattr(ReplayEngine, "generate", picky)
    evaluation = evaluate_here(["one", "two"], small_build.out, tmp_path / "r")
    one, two = (result.groups[0] for result in evaluation.results)
    assert (one.questions, one.samples, one.unanswered) == (14, 13, 1)
    assert (two.questions, two.samples, two.unanswered) == (14, 14, 0)
    assert evaluation.paired[0].groups[0].questions == 14


def test_a_question_that_the_engine_fails_to_answer_is_left_out_and_counted(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share = "engine.args.faults={error: 0.3}"
    for model, fault in (("one", share), ("two", "engine.args.faults={}")):
        evaluation = evaluate_here([model], small_build.out, tmp_path, fault)
    one, two = (result.groups[0] for result in evaluation.results)
    assert 0 < one.failed < 14
    assert (one.questions, one.samples, one.unanswered) == (14, 14 - one.failed, 0)
    assert (two.questions, two.samples, two.failed) == (14, 14, 0)
    assert evaluation.paired[0].groups[0].questions == 14 - one.failed
    run = finished_runs(tmp_path)[0]
    rejects = [reject for reject in rows(run.folder / "rejects", Reject) if reject.stage == "sample"]
    assert {reject.reason for reject in rejects} == {"engine_error"}
    assert {reject.id for reject in rejects} == {row.question.id for row in read_answers(run) if row.failed}
    right = sum(row.verdicts[0].status == "correct" for row in read_answers(run) if not row.failed)
    assert one.accuracy == pytest.approx(right / (14 - one.failed))
    show(evaluation)
    assert f"{one.failed} failed by the engine)" in " ".join(capsys.readouterr().out.split())
    assert f"{one.failed} questions left out: the engine failed to answer" in (tmp_path / "index.html").read_text()


def test_a_benchmark_does_not_hear_of_questions_that_the_engine_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmpr.evaluate.benchmarks as benchmarks

    sums = Sums()
    monkeypatch.setattr(benchmarks, "open_benchmark", lambda name, path: sums)
    monkeypatch.setattr(sums, "metrics", lambda answered: [Metric("heard of", 1.0, len(answered))], raising=False)
    evaluation = evaluate_here(["one"], "sums:somewhere", tmp_path / "r", "engine.args.faults={error: 2 + 2}")
    assert [metric.count for metric in evaluation.results[0].metrics] == [2]


class Sums:
    """A benchmark of three sums, one of them without an answer, with a metric of its own."""

    name, rule, images = "sums", "exact", ImagesSpec(max_megapixels=7)

    def rows(self):
        from mmpr.schema import SourceRow

        for n, answer in ((1, "2"), (2, "4"), (3, None)):
            yield SourceRow(f"sums:{n}", f"What is {n} + {n}?", answer, kind="sum", meta=f'{{"n": {n}}}')

    def load(self, ref: str) -> bytes:
        raise AssertionError(ref)

    def metrics(self, answered: list[Answered]) -> list[Metric]:
        assert [json.loads(one.question.meta)["n"] for one in answered] == [1, 2, 3]
        assert [len(one.verdicts) for one in answered] == [1, 1, 0]
        assert all(len(one.responses) == 1 for one in answered)
        return [Metric("of mine", 0.25, len(answered), "all", 0.1, 0.5)]

    def differing(self, answered: list[Answered]) -> list[Differing]:
        return [Differing(answered[0].question.id, 0, "2", "3", "right officially only: heard")]


def test_a_benchmark_has_its_own_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmpr.evaluate.benchmarks as benchmarks

    monkeypatch.setattr(benchmarks, "open_benchmark", lambda name, path: Sums())
    evaluation = evaluate_here(["one"], "sums:somewhere", tmp_path / "r")
    (result,) = evaluation.results
    assert result.metrics == (Metric("of mine", 0.25, 3, "all", 0.1, 0.5),)
    assert result.groups[0].questions == 2  # what has no truth is asked, and not counted
    assert result.differing == (("right officially only: heard", 1),)
    assert "right officially only: heard" in (tmp_path / "r" / "index.html").read_text()
    # they stay when other data are evaluated in the same folder
    assert read_evaluation(tmp_path / "r").results[0].metrics == result.metrics


def test_wrong_models_and_folders_are_refused_before_anything_starts(small_build: SmallBuild, tmp_path: Path) -> None:
    from mmpr.evaluate.run import evaluate

    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError) as refused:
        evaluate(
            [str(tmp_path / "empty"), f"other={tmp_path}"],
            str(small_build.out),
            tmp_path / "r",
            overrides=["engine.type=vllm"],
        )
    assert len(refused.value.problems) == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is not empty and holds no evaluation"):
        evaluate_here(["one"], small_build.out, tmp_path / "full")
    with locked(tmp_path / "r"), pytest.raises(OutputError, match="another"):
        evaluate_here(["one"], small_build.out, tmp_path / "r")


def test_a_damaged_file_is_named(small_build: SmallBuild, tmp_path: Path) -> None:
    root = tmp_path / "r"
    evaluate_here(["one"], small_build.out, root)
    (path,) = root.glob("runs/*/*/*/run.json")
    path.write_text("{")
    with pytest.raises(OutputError, match=r"run\.json: cannot be read"):
        evaluate_here(["one"], small_build.out, root)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_kill_loses_and_repeats_nothing(small_build: SmallBuild, tmp_path: Path) -> None:
    """With Ray: killed after its first responses, the same command ends with the same files as an undisturbed one."""
    lines = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(200)]
    (tmp_path / "sums.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    evaluate_here(["one", "two"], tmp_path / "sums.jsonl", undisturbed, "engine.cpus_per_actor=0.5")

    def start(delay_s: float) -> subprocess.Popen[str]:
        words = ["--model", "one", "--model", "two", "--data", str(tmp_path / "sums.jsonl"), "--out", str(killed)]
        settings = [*REPLAY, "engine.cpus_per_actor=0.5", f"engine.args.delay_s={delay_s}"]
        command = [sys.executable, "-m", "mmpr.evaluate", *words, *settings]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    process = start(0.2)
    deadline = time.monotonic() + 200
    while not list(killed.glob("runs/*/*/*/rollouts/part*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[0]
    process.kill()
    process.communicate()
    assert not (killed / "report.json").exists()
    process = start(0)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "units are there" in output
    assert {name: sha for name, sha in contents(killed).items() if not name.endswith("run.json")} == {
        name: sha for name, sha in contents(undisturbed).items() if not name.endswith("run.json")
    }
    runs = [json.loads(path.read_text()) for path in sorted(killed.glob("runs/*/*/*/run.json"))]
    theirs = [json.loads(path.read_text()) for path in sorted(undisturbed.glob("runs/*/*/*/run.json"))]
    assert [run["settings"] for run in runs] == [run["settings"] for run in theirs]


def test_a_rule_of_ones_own_judges_held_out_questions(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"question": "How many?", "answer": "3"}\n{"question": "How many then?", "answer": "4"}\n')

    def anything(answer: str, truth: str, choices: tuple[str, ...]) -> bool:
        return True

    words = ("data.rule=anything",)
    with pytest.raises(RecipeError, match="--rule anything=module:function"):
        evaluate_here(["m"], table, tmp_path / "out", *words)
    evaluate_here(["m"], table, tmp_path / "out", *words, extensions=Extensions({"anything": anything}))
    [verdicts] = (tmp_path / "out").rglob("verdicts/*.parquet")
    judged = [
        verdict for row in read_rows(verdicts, Verdicts) for verdict in row.verdicts if verdict.answer is not None
    ]
    assert judged
    assert {(verdict.status, verdict.comparator) for verdict in judged} == {("correct", "anything")}

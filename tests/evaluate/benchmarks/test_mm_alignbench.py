"""Requests for the judge, its replies, win rate and reward."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmpr.errors import SourceError
from mmpr.evaluate.benchmarks import open_benchmark
from mmpr.evaluate.benchmarks.layout import LocalBenchmark
from mmpr.evaluate.benchmarks.mm_alignbench import grade, judge_prompt, judgement_id, read_replies, win_metrics
from mmpr.evaluate.results import Answered
from mmpr.schema import Question, Response, Rollout
from mmpr.storage.shards import Unit, shard, write_shard
from tests.evaluate.benchmarks.bench_helpers import (
    answer,
    in_base64,
    opened,
    pictures,
    rejected,
    values,
    write_jsonl,
    write_tsv,
)

INDICES = ["0", "1", "2", "3_rev", "4"]
TYPES = ["art", "art", "chart", "chart", "chart"]


def bench(folder: Path) -> Path:
    rows = [
        {
            "index": index,
            "image": in_base64(pictures()[place]),
            "question": "Tell a story about it.",
            "claude3_sonnet": f"Reference {{question}} {index}\nin two lines.",
            "type": TYPES[place],
            "gt": "It is a digit." if place == 0 else None,
        }
        for place, index in enumerate(INDICES)
    ]
    write_tsv(folder / "MMAlignBench.tsv", rows)
    return folder


def answers(folder: Path, model: str = "mine") -> tuple[LocalBenchmark, list[Answered]]:
    benchmark, questions = opened("mm_alignbench", bench(folder))
    return benchmark, [answer(one, f"{model} says {one.kind}", rule=benchmark.rule) for one in questions]


def reply(folder: Path, verdicts: dict[str, str], model: str = "mine", name: str = "judge.jsonl") -> None:
    lines = [
        {"id": judgement_id(index, f"{model} says {kind}"), "reply": f"I think so. {verdicts[index]}"}
        for index, kind in zip(INDICES, TYPES, strict=True)
        if index in verdicts
    ]
    write_jsonl(folder / name, lines)


def test_win_rate_and_reward_by_the_judges_replies(tmp_path: Path) -> None:
    benchmark, answered = answers(tmp_path)
    assert all(not one.verdicts and one.question.answer is None for one in answered)
    # Much better, worse, a tie; sides the other way round: A is the model, and much better; no verdict: a tie.
    reply(tmp_path, {"0": "[[B>>A]]", "1": "[[A>B]]", "2": "[[A=B]]", "3_rev": "[[A>>B]]", "4": "nothing"})
    assert values(benchmark.metrics(answered)) == {
        ("win rate", ""): 2 / 5,
        ("reward", ""): (100 - 50 + 0 + 100 + 0) / 5,
        ("share judged", ""): 4 / 5,
        ("win rate", "art"): 1 / 2,
        ("reward", "art"): 25,
        ("win rate", "chart"): 1 / 3,
        ("reward", "chart"): pytest.approx(100 / 3),
    }


def test_replies_about_another_model_do_not_count(tmp_path: Path) -> None:
    benchmark, mine = answers(tmp_path)
    reply(tmp_path, dict.fromkeys(INDICES, "[[B>A]]"), model="other")
    assert values(benchmark.metrics(mine)) == {("win rate", ""): None, ("reward", ""): None}
    reply(tmp_path, dict.fromkeys(INDICES[:3], "[[A>B]]"), name="judge-2.jsonl")
    assert values(benchmark.metrics(mine))["reward", ""] == -50 * 3 / 5


def test_without_replies_there_is_no_number(tmp_path: Path) -> None:
    benchmark, answered = answers(tmp_path)
    assert values(benchmark.metrics(answered)) == {("win rate", ""): None, ("reward", ""): None}


@pytest.mark.parametrize(
    ("text", "index", "score"),
    [
        ("so [[B>>A]]", "1", 2),
        ("so [[B>A]]", "1", 1),
        ("[[A=B]]", "1", 0),
        ("[[A>B]]", "1", -1),
        ("[[A>>B]]", "1", -2),
        ("[[A>>B]]", "1_rev", 2),
        ("[[B>A]]", "1_rev", -1),
        ("[[A=B]]", "1_rev", 0),
        ("[[B>A]] and again [[B>A]]", "1", 1),
        ("[[B>A]] or [[A>B]]", "1", None),
        ("[[A>A]]", "1", None),
        ("A is better", "1", None),
        ("", "1", None),
    ],
)
def test_grades(text: str, index: str, score: int | None) -> None:
    assert grade(text, index) == score


def test_metrics_of_nothing() -> None:
    assert values(win_metrics([])) == {("win rate", ""): None, ("reward", ""): None, ("share judged", ""): None}


def test_the_prompt_has_both_answers_in_their_places(tmp_path: Path) -> None:
    _, questions = opened("mm_alignbench", bench(tmp_path))
    response = "My {second} story."
    plain, turned = judge_prompt(questions[0], response), judge_prompt(questions[3], response)
    assert plain.index("Reference {question} 0") < plain.index(response)
    assert turned.index("Reference {question} 3_rev") > turned.index(response)
    assert "It is a digit." in plain
    assert "known truth" not in turned
    assert "<image>" not in plain
    assert plain.count("Tell a story about it.") == 1


@pytest.mark.parametrize("line", ['{"id": 1, "reply": "x"}', '{"id": "a"}', "[1]", "{"])
def test_replies_that_are_none(tmp_path: Path, line: str) -> None:
    path = tmp_path / "judge.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(SourceError, match=r"judge.jsonl(?::1|\[0\])"):
        read_replies([path])


def test_rows_without_a_reference_fall_out(tmp_path: Path) -> None:
    row = {"index": "1", "image": in_base64(pictures()[0]), "question": "?", "claude3_sonnet": None, "type": "art"}
    assert rejected("mm_alignbench", write_tsv(tmp_path / "x.tsv", [row])) == [("x.tsv[0]", "missing_field")]


def test_requests_are_printed_from_the_folder_of_an_evaluation(tmp_path: Path) -> None:
    _, questions = opened("mm_alignbench", bench(tmp_path))
    out, unit = tmp_path / "out", Unit("train", 0, 1)
    data = "mm_alignbench-0123abcd"
    write(out / "data" / data, "ingest", unit, Question, questions)
    rollouts = [
        Rollout(one.id, one.source, "p", "plain", "", "m", "", 1, (Response(f"Story {one.kind}", 0, "stop", 3),) * 2)
        for one in questions
    ]
    write(out / "runs" / data / "m-1" / "reason-greedy", "sample", unit, Rollout, rollouts)
    command = [sys.executable, "-m", "mmpr.evaluate.benchmarks.mm_alignbench", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    requests = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["id"] for one in requests] == [
        judgement_id(index, f"Story {kind}") for index, kind in zip(INDICES, TYPES, strict=True)
    ]
    assert [one["image"] for one in requests] == [in_base64(question.images[0]) for question in questions]
    assert "Story art" in requests[0]["prompt"]


def write(folder: Path, stage: Any, unit: Unit, noun: Any, rows: list[Any]) -> None:
    shard(folder, stage, unit).parent.mkdir(parents=True)
    write_shard(shard(folder, stage, unit), noun, rows, {})


def test_opening_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="hf download PhoenixZ/MM-AlignBench"):
        open_benchmark("mm_alignbench", tmp_path / "none")

"""Nothing built is not success: the status says so, with the commonest reasons and an example of each."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from mmpr.build import _next_command, main
from mmpr.check.rejects import main as rejects
from mmpr.config import parse_recipe
from mmpr.pipeline.plan import make_plan
from mmpr.resources import PIPELINES, RESOURCES
from tests.conftest import SmallBuild

ANSWERED = [{"question": f'What is "{n}" + 1?', "answer": "7"} for n in range(4)]
BROKEN = [
    {"question": "Where?", "answer": "1", "image": "gone.png"},
    {"question": "Who?", "answer": "1", "image": "a/../../b"},
]


def recipe(folder: Path, rows: list[dict[str, Any]], answers: list[str]) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tree = {
        "name": "mine",
        "model": {"path": "none"},
        "engine": {"type": "replay", "args": {"answers": answers}},
        "sampling": {"samples": 4},
        "sources": [{"name": "s", "type": "jsonl", "path": "rows.jsonl"}],
    }
    (folder / "r.yaml").write_text(json.dumps(tree))
    return folder / "r.yaml"


@pytest.mark.parametrize(
    ("rows", "answers", "says"),
    [
        (
            ANSWERED,
            ["8"],
            ["built of 4 questions", "no response is right (s, pair); for example", "(truth '7')", "'8'"],
        ),
        ([*ANSWERED[:1], *BROKEN], ["8"], ["built of 1 questions", "1 x image missing (s, ingest)", "no response is"]),
        (BROKEN, ["8"], ["built of 0 questions", "1 x image missing", "gone.png", "1 x image outside root"]),
        ([{"question": ""}], ["8"], ["no usable question", "1 x empty question (s, ingest)", "rows.jsonl:1"]),
    ],
)
def test_a_build_without_a_pair_fails_and_says_why(
    rows: list[dict[str, Any]], answers: list[str], says: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # and so it does when it is run again
        assert main([str(recipe(tmp_path, rows, answers)), "--out", str(out), "--runner", "local"]) == 1
        told = capsys.readouterr()
        assert all(words in told.err for words in says), told.err
        assert "next " not in told.out
    assert rejects([str(out)]) == 0
    shown = capsys.readouterr().out
    assert "for example" in shown
    assert "Traceback" not in shown


def test_an_engine_that_refuses_everything_stops_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says the engine's words, and does not ask all of the other questions first."""
    rows = [{"question": f"How many, {n}?", "answer": "7"} for n in range(300)]
    path = recipe(tmp_path, rows, ["8"])
    words = [str(path), "--out", str(tmp_path / "out"), "--runner", "local", "engine.args.faults={refuse: How}"]
    assert main(words) == 1
    told = capsys.readouterr()
    assert "the engine refused the first 100 requests with the same words: engine_refused: the replay" in told.err
    assert "next " not in told.out


def test_rejects_in_words(small_build: SmallBuild, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert rejects([str(small_build.out)]) == 0
    told = capsys.readouterr().out
    assert "         2  bad text  [own, ingest: bad_text]\n            for example rows.jsonl:" in told
    assert "questions without a pair: " in told
    assert rejects([str(small_build.out), "--source", "easy-vqa"]) == 0
    assert "[own" not in capsys.readouterr().out
    assert rejects([str(tmp_path)]) == 1
    assert "there is no build here" in capsys.readouterr().err


def plan_of(tree: dict[str, Any], folder: Path) -> Any:
    (folder / "rows.jsonl").write_text(json.dumps(ANSWERED[0]))
    sources = [{"name": "s", "type": "jsonl", "path": str(folder / "rows.jsonl")}]
    return make_plan(parse_recipe({"sources": sources, **tree}, folder=PIPELINES), "r")


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (
            {"name": "quickstart", "model": {"path": "../data/demo_model"}},
            ["quickstart", "--data", "b", "--model", "DEMO"],
        ),
        ({"name": "mine", "model": {"path": "../data/demo_model"}}, ["--data", "b", "--model", "DEMO"]),
        (
            {"name": "quickstart", "model": {"path": "a/b", "trust_remote_code": True}, "engine": {"type": "replay"}},
            ["--data", "b", "--model", "a/b"],
        ),
    ],
)
def test_the_next_command_is_for_this_build(
    tree: dict[str, Any], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe's model and the general settings; the quickstart's own are for its own model."""
    monkeypatch.chdir(tmp_path)
    found = shlex.split(_next_command(plan_of(tree, tmp_path), "b").partition(" train ")[2])
    code = ["model.trust_remote_code=true"] if tree["model"].get("trust_remote_code") else []
    demo = str(RESOURCES / "data" / "demo_model")
    assert found == [*(demo if word == "DEMO" else word for word in words), "--out", "runs/b", *code]

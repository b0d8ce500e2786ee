"""What ``import mmpr`` gives: every name, light to import, and the same as the commands."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import mmpr
from mmpr.errors import MmprError, OutputError, RecipeError
from mmpr.schema import PreferenceRow, Question, Rollout, Verdicts
from mmpr.storage.tables import read_rows
from tests.conftest import SmallBuild
from tests.report.releases import make_release


def test_all_names_are_there() -> None:
    assert set(mmpr.__all__) <= set(dir(mmpr))
    for name in mmpr.__all__:
        assert callable(getattr(mmpr, name)), name
        assert getattr(mmpr, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mmpr.nothing


def test_commands_stay_modules() -> None:
    for name in ("build", "train", "evaluate", "export", "report", "check"):
        assert name not in mmpr.__all__


def test_importing_it_is_quick() -> None:
    code = "import time\nbegun = time.process_time()\nimport mmpr\nmmpr.__all__\nprint(time.process_time() - begun)"
    seconds = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )
    assert seconds < 0.3


def test_a_build_is_iterated(small_build: SmallBuild) -> None:
    build = mmpr.open_dataset(small_build.out)
    questions, rollouts, verdicts = list(build.questions()), list(build.rollouts()), list(build.verdicts())
    assert [type(rows[0]) for rows in (questions, rollouts, verdicts)] == [Question, Rollout, Verdicts]
    assert [rollout.id for rollout in rollouts] == [question.id for question in questions]
    rows = [row for file in sorted((small_build.out / "pairs").iterdir()) for row in read_rows(file, PreferenceRow)]
    expected = [
        (row.id, row.images, row.responses[pair.chosen].text, row.responses[pair.rejected].text)
        for row in rows
        for pair in row.pairs
    ]
    assert [(pair.id, pair.images, pair.chosen, pair.rejected) for pair in build.pairs()] == expected
    assert build.manifest()["recipe"]["name"] == small_build.recipe.name


def test_a_release_and_a_table_are_iterated(tmp_path: Path) -> None:
    meta = make_release(tmp_path / "release")
    released = list(mmpr.open_dataset(meta).pairs())
    assert released
    assert all(pair.chosen != pair.rejected for pair in released)
    with pytest.raises(OutputError, match="is no build, and only builds have rollouts/"):
        next(mmpr.open_dataset(meta).rollouts())
    table = tmp_path / "table.jsonl"
    table.write_text(json.dumps({"prompt": "How many?", "chosen": "3", "rejected": "4"}))
    [pair] = mmpr.open_dataset(table).pairs()
    assert (pair.chosen, pair.rejected, pair.source) == ("3", "4", "table")
    assert pair.prompt[0]["content"] == [{"type": "text", "text": "How many?"}]


def test_rows_that_cannot_be_used_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.jsonl"
    good = {"prompt": "How many?", "chosen": "3", "rejected": "4"}
    gone = {**good, "prompt": "Which?", "images": ["none.png"]}
    table.write_text("\n".join(json.dumps(row) for row in (good, {**good, "chosen": 3}, gone)))
    assert len(list(mmpr.open_dataset(table).pairs())) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"note: 2 rows of {table} cannot be used; the first is table.jsonl:2: wrong_type")
    assert len(told.splitlines()) == 1


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no such file or folder"):
        mmpr.open_dataset(tmp_path / "none")
    with pytest.raises(RecipeError):
        mmpr.load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="model: is missing"):
        mmpr.load_recipe({"name": "mine"})


@pytest.mark.parametrize(
    ("completion", "truth", "reward"),
    [
        ("Final answer: 5", "5", 1.0),
        ("Final answer: 6", "5", 0.0),
        ("I see a lot.", "5", 0.0),
        ([{"role": "assistant", "content": "Final answer: 5.0"}], "5", 1.0),
        ([{"role": "assistant", "content": [{"type": "text", "text": "Final answer: 5"}]}], "5", 1.0),
    ],
)
def test_the_judge_as_a_reward(completion: Any, truth: str, reward: float) -> None:
    function = mmpr.reward_function()
    assert function(prompts=["?"], completions=[completion], answer=[truth], completion_ids=[[1]]) == [reward]


def test_a_reward_by_options_and_by_a_rule_of_ones_own() -> None:
    pick = mmpr.reward_function("multiple_choice", answer="solution")
    assert pick(completions=["Final answer: red"] * 2, solution=["B", "A"], choices=[["blue", "red"]] * 2) == [1.0, 0.0]

    def unsure(answer: str, truth: str, choices: tuple[str, ...]) -> bool | None:
        return None if answer == "unsure" else answer == truth

    assert mmpr.reward_function(unsure)(completions=["Final answer: unsure", "Final answer: 5"], answer=["5"] * 2) == [
        None,
        1,
    ]
    with pytest.raises(MmprError, match="needs the column 'answer'; there are solution"):
        mmpr.reward_function()(completions=["5"], solution=["5"])


def test_a_recipe_that_is_loaded_takes_no_more_settings(tmp_path: Path) -> None:
    recipe = mmpr.load_recipe("quickstart", ["engine.type=replay"])
    with pytest.raises(MmprError, match="belong to load_recipe"):
        mmpr.build_dataset(recipe, tmp_path, overrides=["seed=1"])


def test_functions_are_the_commands(small_build: SmallBuild, tmp_path: Path) -> None:
    page = mmpr.write_report(small_build.out, tmp_path / "report")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    exported = mmpr.export_pairs(small_build.out, "mmpr", tmp_path / "exported")
    assert exported["counts"]["pairs"] == sum(1 for _ in mmpr.open_dataset(small_build.out).pairs())
    assert mmpr.check_build(small_build.out) == []
    assert sum(1 for _ in mmpr.open_dataset(tmp_path / "exported" / "meta.json").pairs()) == exported["counts"]["pairs"]


@pytest.mark.ray
def test_they_work_outside_of_the_main_thread(small_build: SmallBuild, tmp_path: Path) -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            mmpr.build_dataset(small_build.recipe, tmp_path / "out")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not raised
    assert sum(1 for _ in mmpr.open_dataset(tmp_path / "out").pairs()) > 0

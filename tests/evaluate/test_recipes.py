"""What the words of a command mean, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmpr.config import ModelSpec, TableSource
from mmpr.errors import MmprError, OutputError, RecipeError, SourceError
from mmpr.evaluate.questions import find_data
from mmpr.evaluate.recipes import base_recipe, name_models, way_of
from tests.conftest import SmallBuild


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"q": "What is 2 + 2?", "answer": "4"}\n{"q": "Describe it."}\n')
    return path


def test_a_builds_settings_are_the_defaults_and_overrides_win(small_build: SmallBuild) -> None:
    data = find_data(str(small_build.out))
    assert data.name == "small"
    recipe = base_recipe(data, None, None, ["engine.args.dtype=float32", "seed=3"])
    assert (recipe.engine.type, recipe.sampling.max_tokens) == ("replay", 64)
    assert recipe.engine.args == {"dtype": "float32"}  # what names code or is unknown is not taken over
    assert (recipe.sampling.samples, recipe.sampling.temperature, recipe.seed) == (1, 0.0, 3)
    assert [(spec.name, spec.template) for spec in recipe.sources] == [("digits-heldout", "en")]
    assert way_of(recipe.sampling) == "greedy"
    several = base_recipe(data, 4, "en_v2", ["sampling.temperature=0.7"])
    assert (several.sampling.samples, several.sampling.temperature) == (4, 0.7)
    assert (way_of(several.sampling), several.sources[0].template) == ("4x", "en_v2")


@pytest.mark.parametrize(
    "told", [{}, {"skip_special_tokens": True}, {"stop": ["\nQuestion:"], "stop_token_ids": [2]}], ids=str
)
def test_answers_are_written_down_as_the_build_wrote_them(
    told: dict[str, Any], small_build: SmallBuild, tmp_path: Path
) -> None:
    """A build of an earlier version tells less of its sampling."""
    out = tmp_path / "out"
    shutil.copytree(small_build.out, out)
    plan = json.loads((out / "build.json").read_text())
    first = ("samples", "temperature", "top_p", "top_k", "max_tokens")
    plan["recipe"]["sampling"] = {name: plan["recipe"]["sampling"][name] for name in first} | told
    (out / "build.json").write_text(json.dumps(plan))
    sampling = base_recipe(find_data(str(out)), None, None, []).sampling
    assert set(sampling.identity()) == {*first, *told}
    assert {name: sampling.identity()[name] for name in told} == told


def test_a_tables_settings_are_those_of_a_source(table: Path) -> None:
    data = find_data(str(table))
    recipe = base_recipe(data, None, None, ["data.columns.question=q", "data.rule=relaxed", "data.name=sums"])
    (spec,) = recipe.sources
    assert isinstance(spec, TableSource)
    assert (spec.type, spec.name, spec.rule, spec.columns.question) == ("jsonl", "sums", "relaxed", "q")


@pytest.mark.parametrize(
    ("overrides", "samples", "said"),
    [
        (["sampling.samples=4"], None, "use --samples"),
        (["model.path=x"], None, "use --model"),
        (["data.template=zh"], None, "use --template"),
        (["dropout.max_pairs=3"], None, "an evaluation has the settings engine, chat, sampling"),
        (["sources.0.rule=exact"], None, "an evaluation has the settings"),
        (["sampling.temperature=0"], 4, "all samples are the same"),
        (["engine.actors=none"], None, "engine.actors"),
        (["nonsense"], None, "nonsense"),
    ],
)
def test_wrong_settings_are_refused(table: Path, overrides: list[str], samples: int | None, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        base_recipe(find_data(str(table)), samples, None, overrides)


def test_held_out_questions_are_asked_as_they_are(small_build: SmallBuild) -> None:
    with pytest.raises(RecipeError, match="asked as they are"):
        base_recipe(find_data(str(small_build.out)), None, None, ["data.rule=exact"])


def test_all_problems_are_told_at_once(table: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        base_recipe(find_data(str(table)), None, None, ["pairing.max_pairs=1", "sampling.samples=2"])
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(
    ("words", "labels", "paths"),
    [
        (["org/one"], ["one"], ["org/one"]),
        (["a/model", "b/model"], ["a/model", "b/model"], ["a/model", "b/model"]),
        (["a/model", "b/other"], ["model", "other"], ["a/model", "b/other"]),
        (["base=a/model", "b/model"], ["base", "b/model"], ["a/model", "b/model"]),
        (["org/one@v2"], ["one"], ["org/one"]),
    ],
)
def test_models_are_called(words: list[str], labels: list[str], paths: list[str]) -> None:
    models = name_models(words, ModelSpec(path="none"))
    assert [model.label for model in models] == labels
    assert [model.spec.path for model in models] == paths
    assert models[0].spec.revision == ("v2" if words == ["org/one@v2"] else None)


def test_folders_are_no_names_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run/best=1", "run/x@y"):
        (tmp_path / name).mkdir(parents=True)
    models = name_models(["run/best=1", "run/x@y"], ModelSpec(path="none"))
    assert [model.spec.path for model in models] == ["./run/best=1", "./run/x@y"]
    assert all(model.spec.is_local for model in models)


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(RecipeError, match="two models are called 'one'"):
        name_models(["a/one", "one=b/two"], ModelSpec(path="none"))


def test_only_harmless_engine_arguments_come_from_a_build(tmp_path: Path, small_build: SmallBuild) -> None:
    import shutil

    out = tmp_path / "out"
    shutil.copytree(small_build.out, out)
    tree = json.loads((out / "build.json").read_text())
    tree["recipe"]["engine"]["args"] = {"dtype": "bfloat16", "worker_cls": "evil.Worker", "trust_remote_code": True}
    tree["recipe"]["model"]["trust_remote_code"] = True
    (out / "build.json").write_text(json.dumps(tree))
    recipe = base_recipe(find_data(str(out)), None, None, [])
    assert recipe.engine.args == {"dtype": "bfloat16"}
    assert recipe.model.trust_remote_code is False


@pytest.mark.parametrize("word", ["nowhere", "nowhere/at/all.txt", "nobench:x"])
def test_what_is_no_data_is_refused(word: str) -> None:
    with pytest.raises(MmprError):
        find_data(word)


def test_a_build_without_held_out_questions_is_refused(tmp_path: Path, small_build: SmallBuild) -> None:
    import shutil

    out = tmp_path / "out"
    shutil.copytree(small_build.out, out)
    next((out / "heldout").iterdir()).unlink()
    with pytest.raises(OutputError, match="1 of 2 held-out shards are missing"):
        find_data(str(out))
    tree = json.loads((out / "build.json").read_text())
    tree["units"]["heldout"] = 0
    (out / "build.json").write_text(json.dumps(tree))
    with pytest.raises(OutputError, match="keeps no held-out questions"):
        find_data(str(out))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    from mmpr.evaluate.questions import read_questions

    data = find_data(str(tmp_path / "gone.jsonl"))
    with pytest.raises(SourceError, match="no such file"):
        list(read_questions(data, base_recipe(data, None, None, [])))

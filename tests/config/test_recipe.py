"""Recipes: every problem at once, in words; nothing that YAML can do gets past."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.config import Recipe, fingerprint, later_settings, load_recipe, parse_recipe
from mmpr.config.settings import MAX_RECIPE_BYTES
from mmpr.errors import RecipeError
from tests.helpers import QUICKSTART

DIGITS = {"name": "digits", "type": "digits", "split": "train", "questions": 3}
ROWS = {"name": "rows", "type": "jsonl", "path": "rows.jsonl"}


def tree(**settings: Any) -> dict[str, Any]:
    return copy.deepcopy({"name": "r", "model": {"path": "m"}, "sources": [DIGITS, ROWS], **settings})


def problems(value: object, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(value, overrides)
    assert caught.value.exit_status == 2
    return caught.value.problems


def yaml_problem(folder: Path, text: str | bytes) -> str:
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    (problem,) = caught.value.problems
    return problem


def test_the_papers_settings_are_the_defaults() -> None:
    recipe = parse_recipe(tree())
    assert (recipe.sampling.samples, recipe.sampling.temperature, recipe.pairing.max_pairs) == (32, 1.0, 15)
    assert [(v.start_ratio, v.with_image) for v in recipe.dropout.variants] == [(0.5, False)]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("min_p=1.5", "sampling.min_p: input should be less than or equal to 1 (it is 1.5)"),
        ("presence_penalty=3", "sampling.presence_penalty: input should be less than or equal to 2 (it is 3)"),
        ("repetition_penalty=0", "sampling.repetition_penalty: input should be greater than 0 (it is 0)"),
        ("stop=['']", "sampling.stop.0: string should have at least 1 character"),
        ("stop=Question", "sampling.stop: input should be a valid array (it is 'Question')"),
        ("stop_token_ids=[-1]", "sampling.stop_token_ids.0: input should be greater than or equal to 0 (it is -1)"),
        ("minp=0.1", "sampling.minp: not a setting; do you mean 'min_p'?"),
        ("args.min_token=4", "sampling.args: vLLM's SamplingParams have no 'min_token'; do you mean 'min_tokens'?"),
        ("args.presence_penality=4", "no 'presence_penality'; do you mean 'presence_penalty'?"),
        ("args.xyz=4", "sampling.args: vLLM's SamplingParams have no 'xyz'"),
        ("args.min_p=0.1", "sampling.args: write 'min_p' as sampling.min_p"),
        ("args.n=4", "sampling.args: write 'n' as sampling.samples"),
        ("args.seed=4", "sampling.args: write 'seed' as seed"),
        ("args.prompt_logprobs=4", "sampling.args: 'prompt_logprobs' has no place in a build"),
        ("args.logprobs=4", "write 'logprobs' as sampling.logprobs"),
        ("args={n: 1, xyz: 2}", "write 'n' as sampling.samples; vLLM's SamplingParams have no 'xyz'"),
    ],
)
def test_wrong_settings_of_sampling_are_told(setting: str, said: str) -> None:
    (problem,) = problems(tree(), f"sampling.{setting}")
    assert said in problem


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("n=4", "n: not a setting; do you mean sampling.samples?"),
        ("sampling.n=4", "sampling.n: not a setting; do you mean sampling.samples?"),
        ("stop=[x]", "stop: not a setting of this part; there is sampling.stop"),
        ("sampling.max_new_tokens=4", "sampling.max_new_tokens: not a setting; do you mean sampling.max_tokens?"),
        ("engine.tp=2", "engine.tp: not a setting; do you mean engine.tensor_parallel_size?"),
        ("sources.rows.limit=2", "sources.1.limit: not a setting; do you mean sources.NAME.max_questions?"),
        ("model.xyz=2", "model.xyz: not a setting; there are path, revision, trust_remote_code"),
        ("sources.rows.zzz=2", "sources.1.zzz: not a setting; there are name, template, open_template, rule, samples"),
    ],
)
def test_unknown_settings_are_answered_with_those_that_there_are(setting: str, said: str) -> None:
    (problem,) = problems(tree(), setting)
    assert problem.startswith(said)


def test_settings_that_came_later_are_told_where_they_are_set() -> None:
    sampling = parse_recipe(tree(), ["sampling.stop=[Question]", "sampling.args={min_tokens: 3}"]).sampling
    later = {"stop": ["Question"], "args": {"min_tokens": 3}}
    assert later_settings(sampling.model_dump(mode="json")) == later
    assert sampling.identity() == {**parse_recipe(tree()).sampling.identity(), **later}
    assert later_settings({"samples": 4, "temperature": 0.5}) == {}  # as the first version wrote it


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        tree(
            nam="x",
            seed=-1,
            sampling={"temprature": 1, "samples": 0, "top_p": "high"},
            model={},
            sources=[{**DIGITS, "split": "test", "path": "x"}, {**ROWS, "colums": {}}, {"name": "n", "type": "excel"}],
        ),
        "no-equals-sign",
        "seed.x=1",
    )
    assert len(found) == 12, found
    text = "\n".join(found)
    for part in (
        "nam: not a setting; do you mean 'name'?",
        "seed: ",
        "sampling.temprature: not a setting; do you mean 'temperature'?",
        "sampling.samples: input should be greater than or equal to 1 (it is 0)",
        "sampling.top_p: ",
        "model.path: is missing",
        "sources.0.split: ",
        "sources.0.path: not a setting of this part",
        "sources.1.colums: not a setting; do you mean 'columns'?",
        "sources.2.type: must be one of 'digits', 'easy_vqa', 'mmpr', ",
        "override 'no-equals-sign': write it as key.path=value",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sources": []}, "sources: "),
        ({"sources": [DIGITS, DIGITS]}, "two sources have the same name: digits"),
        ({"heldout": [DIGITS]}, "two sources have the same name: digits"),
        ({"name": "../evil"}, "name: "),
        ({"name": "a/b"}, "name: "),
        ({"sources": [{**DIGITS, "name": "a/b"}]}, "sources.0.name: "),
        ({"folder": "/"}, "folder: not a setting of recipes"),
        ({"unit_questions": 0}, "unit_questions: "),
        ({"unit_questions": 1.5}, "unit_questions: "),
        ({"unit_questions": "12"}, "unit_questions: "),
        ({"seed": True}, "seed: "),
        ({"unit_questions": 10**30}, "unit_questions: is too large a number"),
        ({"images": {"max_bytes": -1}}, "images.max_bytes: "),
        ({"images": {"max_megapixels": -0.5}}, "images.max_megapixels: "),
        ({"sampling": {"max_tokens": -5}}, "sampling.max_tokens: "),
        ({"sampling": {"samples": 1025}}, "sampling.samples: "),
        ({"sampling": {"temperature": float("nan")}}, "sampling.temperature: "),
        ({"sampling": {"temperature": float("inf")}}, "sampling.temperature: "),
        ({"images": {"max_megapixels": float("inf")}}, "images.max_megapixels: "),
        ({"dropout": {"variants": [{"start_ratio": 1}]}}, "dropout.variants.0.start_ratio: "),
        ({"sampling": None}, "sampling: "),
        ({"sources": [{"name": "x"}]}, "sources.0.type: is missing"),
        ({"sources": ["digits"]}, "sources.0: "),
        ({"sources": {"digits": DIGITS}}, "sources: "),
        # names that are also kinds of source, as settings
        ({"digits": 1}, "digits: not a setting"),
        ({"mmpr": 1}, "mmpr: not a setting"),
        ({"sources": [{**DIGITS, "jsonl": 1}]}, "sources.0.jsonl: not a setting"),
        ({"sampling": {"seed": 1}}, "sampling.seed: not a setting of this part"),
        ({"sources": [{"name": "x", "type": "jsonl"}]}, "sources.0.path: is missing"),
        (
            {"sources": [{**ROWS, "columns": {"answr": "a"}}]},
            "sources.0.columns.answr: not a setting; do you mean 'answer'?",
        ),
        ({1: 2}, "1: not a setting"),
        ({"engine": {"args": {"x": b"bytes"}}}, "no number, text, list or mapping"),
        ({("a",): 1}, "no number, text, list or mapping"),
    ],
)
def test_one_problem(settings: dict, problem: str) -> None:
    (found,) = problems({**tree(), **settings})
    assert found.startswith(problem) or problem in found


@pytest.mark.parametrize("value", [None, [], "text", 3, [tree()]])
def test_a_recipe_is_a_mapping(value: object) -> None:
    (found,) = problems(value)
    assert found.startswith("a recipe is a mapping of names to values, this is ")


# override, where to look, what is found there
OVERRIDES = [
    ("sampling.samples=8", lambda r: r.sampling.samples, 8),
    ("sampling.temperature=1e-1", lambda r: r.sampling.temperature, 0.1),
    ("sampling.temperature=0", lambda r: r.sampling.temperature, 0.0),
    ("name=other", lambda r: r.name, "other"),
    ("model.path=a=b", lambda r: r.model.path, "a=b"),
    ("model.revision=", lambda r: r.model.revision, None),
    ("sources.0.questions=7", lambda r: r.sources[0].questions, 7),
    ("sources.digits.questions=7", lambda r: r.sources[0].questions, 7),
    ("sources.rows.columns.answer=truth", lambda r: r.sources[1].columns.answer, "truth"),
    ("sources.rows.columns={answer: truth}", lambda r: r.sources[1].columns.answer, "truth"),
    ("engine.args.dtype=bfloat16", lambda r: r.engine.args, {"dtype": "bfloat16"}),
    ("engine.args={}", lambda r: r.engine.args, {}),
    ("dropout.variants=[{start_ratio: 0.25}]", lambda r: r.dropout.variants[0].start_ratio, 0.25),
    ("pairing.format_pairs=false", lambda r: r.pairing.format_pairs, False),
    ('name="8"', lambda r: r.name, "8"),
]


@pytest.mark.parametrize(("override", "look", "value"), OVERRIDES)
def test_override(override: str, look: Any, value: object) -> None:
    assert look(parse_recipe(tree(), [override])) == value


def test_of_thousands_of_problems_the_first_are_told() -> None:
    started = time.process_time()
    found = problems(tree(**{f"key{at}": at for at in range(5_000)}))
    assert len(found) == 51
    assert found[-1] == "and 4,950 more problems"
    assert time.process_time() - started < 3


def test_later_overrides_win_and_the_callers_tree_stays() -> None:
    given_tree = tree()
    assert parse_recipe(given_tree, ["seed=1", "seed=2"]).seed == 2
    assert given_tree == tree()


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("seed", "write it as key.path=value"),
        ("=3", "write it as key.path=value"),
        ("", "write it as key.path=value"),
        ("seed=[", "the value is not YAML"),
        ("seed=!!python/object/apply:os.getcwd []", "the value is not YAML"),
        ("seed=*x", "the value is not YAML"),
        ("sources.9.questions=1", "there is no '9' in the recipe"),
        ("sources.nobody.questions=1", "there is no 'nobody' in the recipe"),
        ("sources.9=1", "there is no '9' in the recipe"),
        ("name.x=1", "there is no 'x' in the recipe"),
        ("name.x.y=1", "there is no 'x' in the recipe"),
        ("sampling.sampels=1", "sampling.sampels: not a setting; do you mean 'samples'?"),
        ("seed=many", "seed: "),
        ("seed=", "seed: "),
    ],
)
def test_wrong_override(override: str, problem: str) -> None:
    (found,) = problems(tree(), override)
    assert problem in found


def nested(levels: int) -> str:
    return "name: " + "[" * levels + "]" * levels


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "aliases are not allowed in recipes"),
        ("a: &a {<<: *a}\n", "aliases are not allowed in recipes"),
        ("name: x\nname: y\n", "the key 'name' stands twice"),
        ("model: {path: a, path: b}\n", "the key 'path' stands twice"),
        ("name: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("name: !!python/name:os.system\n", "could not determine a constructor"),
        ("? [a, b]\n: 1\n", "is not a YAML recipe"),
        ("? {a: b}\n: 1\n", "is not a YAML recipe"),
        ("name: [\n", "is not a YAML recipe"),
        ("name: 'x\n", "is not a YAML recipe"),
        ("---\na: 1\n---\nb: 1\n", "is not a YAML recipe"),
        ("\tname: x", "is not a YAML recipe"),
        (nested(50_000), "is not a YAML recipe"),
        ("seed: " + "9" * 5000, "is not a YAML recipe"),
        ("a: 2020-13-45\n", "is not a YAML recipe"),
        (b"name: \xff\xfe", "is not UTF-8 text"),
        (b"\x00\x01", "is not a YAML recipe"),
        (b"", "a recipe is a mapping of names to values, this is empty"),
        ("just words", "a recipe is a mapping"),
        ("#" * (MAX_RECIPE_BYTES + 1), "larger than 128 KiB"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_hostile_yaml(tmp_path: Path, text: str | bytes, problem: str) -> None:
    started = time.process_time()
    assert problem in yaml_problem(tmp_path, text)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    "line", ["seed: 2020-01-01", "seed: !!binary aGk=", "seed: !!set {a, b}", '"\\ud800": 1', "~: 1"]
)
def test_yaml_that_no_recipe_means(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"name: r\nmodel: {{path: m}}\nsources: [{json.dumps(DIGITS)}]\n{line}\n")
    with pytest.raises(RecipeError):
        load_recipe(path)


def test_a_missing_recipe_or_a_folder(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(RecipeError, match=words):
            load_recipe(path)


def test_paths_start_at_the_recipes_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "r.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps(tree()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    recipe = load_recipe(Path("deep/r.yaml"))
    assert recipe.resolve("x/y") == tmp_path / "deep" / "x" / "y"
    assert recipe.resolve("/x") == Path("/x")
    assert recipe.resolve("~/x") == Path("/home/someone/x")
    assert recipe.resolve("~nobody-of-that-name/x") == tmp_path / "deep" / "~nobody-of-that-name" / "x"


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"name: r\nmodel: {{path: m}}\nsampling: {{temperature: 5e-1}}\nsources: [{json.dumps(DIGITS)}]\n")
    assert load_recipe(path).sampling.temperature == 0.5


def test_a_recipe_says_the_same_again_from_its_own_json() -> None:
    recipe = parse_recipe(tree(heldout=[{**DIGITS, "name": "h", "split": "heldout"}]))
    again = parse_recipe(json.loads(json.dumps(recipe.as_json())))
    assert again == recipe
    assert "folder" not in recipe.as_json()


def test_recipes_do_not_change() -> None:
    recipe = parse_recipe(tree())
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]


def test_samples_of_a_source_come_before_the_recipes() -> None:
    recipe = parse_recipe(tree(sources=[{**DIGITS, "samples": 4}, ROWS], sampling={"samples": 9}))
    assert (recipe.samples("digits"), recipe.samples("rows")) == (4, 9)


def test_the_quickstart_is_right() -> None:
    recipe = load_recipe(QUICKSTART)
    sources: Sequence[Any] = recipe.sources
    heldout: Sequence[Any] = recipe.heldout
    assert sum(source.questions for source in sources) >= 1500
    assert sum(source.questions for source in heldout) >= 1000
    assert {source.split for source in heldout} == {"heldout"}
    assert {source.split for source in sources} == {"train"}
    assert recipe.sampling.samples == 8


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*Recipe.model_fields, "sources.0", "x"])


@given(
    st.dictionaries(NAMES, JSON, max_size=4),
    st.lists(st.text(max_size=12) | NAMES.map(lambda n: f"{n}=[1"), max_size=2),
)
def test_any_tree_is_a_recipe_or_a_list_of_problems(settings: dict, overrides: list[str]) -> None:
    try:
        recipe = parse_recipe({**tree(), **settings}, overrides)
    except RecipeError as error:
        text = str(error)
        assert len(text.splitlines()) > 1
    else:
        assert parse_recipe(recipe.as_json()).as_json() == recipe.as_json()


@given(JSON)
def test_fingerprints_do_not_depend_on_the_order_of_keys(value: object) -> None:
    turned = dict(reversed(value.items())) if isinstance(value, dict) else value
    assert fingerprint(turned) == fingerprint(value)
    assert fingerprint([value, 1]) != fingerprint([value, 2])

"""Recipes of training runs: what is read, what is refused, and that everything wrong is told at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmpr.errors import RecipeError
from mmpr.train.recipe import TrainRecipe, load_train_recipe, parse_train_recipe
from tests.helpers import REPOSITORY

RECIPES = sorted((REPOSITORY / "pipelines" / "train").glob("*.yaml"))


def test_the_recipes_that_come_with_mmpr_are_right() -> None:
    assert {path.stem for path in RECIPES} >= {"quickstart", "full-8gpu", "lora-1gpu"}
    for path in RECIPES:
        assert isinstance(load_train_recipe(path), TrainRecipe)


@pytest.mark.parametrize(
    ("name", "rate", "pairs", "tokens"),
    [
        ("internvl2-8b", 5e-6, 256, 6144),
        ("internvl2.5-8b", 1e-6, 256, 8192),
        ("internvl2-76b", 1e-6, 512, 8192),
        ("internvl3-8b", 2e-7, 256, 12288),
        ("internvl3-38b", 2e-7, 512, 8192),
        ("qwen2.5-vl-7b", 2e-7, 256, 8192),
    ],
)
def test_recipes_of_models_have_the_released_settings(name: str, rate: float, pairs: int, tokens: int) -> None:
    recipe = load_train_recipe(Path(name))
    optimizer, data = recipe.optimizer, recipe.data
    assert (optimizer.learning_rate, data.pairs_a_step, data.max_tokens) == (rate, pairs, tokens)
    assert (optimizer.warmup, optimizer.weight_decay, optimizer.schedule) == (0.03, 0.05, "cosine")
    assert recipe.objective == TrainRecipe(name="x").objective
    assert recipe.name == f"mpo-{name}"


def test_defaults_are_the_papers() -> None:
    recipe = load_train_recipe(None)
    assert (recipe.objective.preference, recipe.objective.quality, recipe.objective.generation) == (0.8, 0.2, 1.0)
    assert recipe.objective.beta == 0.1
    assert recipe.data.pairs_a_step == 256
    assert recipe.data.epochs == 1
    optimizer = recipe.optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.betas) == (5e-6, 0.05, (0.9, 0.999))
    assert optimizer.schedule == "cosine"


def test_overrides_reach_everywhere() -> None:
    recipe = load_train_recipe(
        RECIPES[0],
        ["optimizer.learning_rate=2e-7", "data.source_weights.digits=0.5", "lora.rank=8", "model.freeze=[vision]"],
    )
    assert recipe.optimizer.learning_rate == 2e-7
    assert recipe.data.source_weights == {"digits": 0.5}
    assert recipe.lora is not None
    assert recipe.lora.rank == 8
    assert recipe.model.freeze == ("vision",)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("lr=1", "lr: not a setting; do you mean optimizer.learning_rate?"),
        ("data.batch_size=1", "data.batch_size: not a setting; do you mean data.pairs_a_step?"),
        ("optimizer.learing_rate=1", "optimizer.learing_rate: not a setting; do you mean 'learning_rate'?"),
        ("learning_rate=1", "learning_rate: not a setting of this part"),
        ("data.pairs_a_step=0", "data.pairs_a_step: input should be greater than or equal to 1 (it is 0)"),
        ("data.pairs_a_step=1.5", "data.pairs_a_step"),
        ("compute.parallel=ddp", "compute.parallel: input should be 'data' or 'fsdp2'"),
        ("objective={preference: 0, quality: 0, generation: 0}", "objective: all weights are 0"),
        ("objective.beta=.nan", "objective.beta"),
        ("model.freeze=[vision, projector, decoder]", "model.freeze: all parts are frozen"),
        ("model.freeze=[tower]", "model.freeze"),
        ("data.source_weights={a: -1}", "data.source_weights.a: must be 0 or more"),
        ("nonsense", "write it as key.path=value"),
    ],
)
def test_what_is_wrong_is_told(override: str, problem: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_train_recipe({"name": "x"}, [override])
    assert any(problem in line for line in raised.value.problems), raised.value.problems


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as raised:
        parse_train_recipe({"data": {"epochs": 0}, "optimizer": {"betas": [0.9]}, "what": 1})
    assert len(raised.value.problems) == 4


def test_json_round_trip() -> None:
    recipe = load_train_recipe(RECIPES[0], ["data.source_weights.a=2"])
    assert parse_train_recipe(json.loads(json.dumps(recipe.as_json()))) == recipe


def test_a_recipe_is_read_without_torch() -> None:
    code = "import sys, mmpr.train.recipe\nprint({'torch', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_off_is_off_although_yaml_reads_it_as_false() -> None:
    assert parse_train_recipe({"name": "x"}, ["compute.sharing=off"]).compute.sharing == "off"


def test_a_list_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("- a\n")
    with pytest.raises(RecipeError, match="mapping"):
        load_train_recipe(tmp_path / "r.yaml")

"""What there is to do: everything once, each job behind what it needs, with settings that the commands understand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.prove.arms import ARMS, Arm
from benchmarks.prove.jobs import Job, Setup, plan
from mmpr.config import load_recipe
from mmpr.train.recipe import load_train_recipe

REPOSITORY = Path(__file__).resolve().parents[3]


def setup_in(out: Path) -> Setup:
    recipes = REPOSITORY / "pipelines"
    return Setup(
        out / "data", out / "model", recipes / "train" / "quickstart.yaml", recipes / "quickstart.yaml", out / "runs"
    )


def jobs_of(out: Path, seeds: int = 3) -> list[Job]:
    return plan(ARMS, range(seeds), setup_in(out))


def test_every_arm_is_trained_and_measured_with_every_seed_and_the_base_once(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    kinds = [job.kind for job in jobs]
    assert (kinds.count("train"), kinds.count("evaluate"), kinds.count("build")) == (3 * len(ARMS), 4, 1)
    assert (
        len({job.name for job in jobs})
        == len({job.result for job in jobs})
        == len({job.log for job in jobs})
        == len(jobs)
    )


def test_a_seeds_models_are_measured_together_when_all_are_trained(tmp_path: Path) -> None:
    job = next(job for job in jobs_of(tmp_path) if job.name == "evaluate seed 1")
    assert set(job.needs) == {f"train {arm.name}, seed 1" for arm in ARMS}
    models = [job.words[place + 1] for place, word in enumerate(job.words) if word == "--model"]
    folder = tmp_path / "runs" / "seed-1"
    assert models == [f"{arm.name}={folder / arm.name / 'training' / 'model'}" for arm in ARMS]
    assert job.words[-2:] == ("--style", "both")


def test_what_a_job_needs_stands_before_it(tmp_path: Path) -> None:
    seen: set[str] = set()
    for job in jobs_of(tmp_path):
        assert seen.issuperset(job.needs)
        seen.add(job.name)


def test_the_second_round_starts_from_the_first_rounds_model_and_its_data(tmp_path: Path) -> None:
    jobs = {job.name: job for job in jobs_of(tmp_path)}
    first = tmp_path / "runs" / "seed-0" / "mpo"
    build, second = jobs["build mpo, seed 0"], jobs["train mpo-2, seed 1"]
    assert build.needs == ("train mpo, seed 0",)
    assert second.needs == (build.name,)
    words = " ".join(second.words)
    assert f"--data {first / 'build'} --model {first / 'training' / 'model'}" in words
    assert build.result == first / "build" / "manifest.json"
    recipe = load_recipe(Path(build.words[1]), [word for word in build.words[2:] if "=" in word])
    assert recipe.model.path == str(first / "training" / "model")
    assert not recipe.heldout
    sources: Sequence[Any] = recipe.sources
    assert [source.questions for source in sources] == [600, 200, 80, 40]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_each_arms_settings_are_settings_of_the_recipe(arm: Arm, tmp_path: Path) -> None:
    job = next(job for job in jobs_of(tmp_path) if job.name == f"train {arm.name}, seed 2")
    recipe = load_train_recipe(Path(job.words[1]), [word for word in job.words[2:] if "=" in word])
    weights = (recipe.objective.preference, recipe.objective.quality, recipe.objective.generation)
    wanted = {"sft": (0, 0, 1), "dpo": (1, 0, 0), "dpo+": (1, 0, 1), "bco+": (0, 1, 1)}
    assert weights == wanted.get(arm.name, (0.8, 0.2, 1.0))
    assert recipe.objective.shift == (arm.name != "mpo-no-shift")
    assert recipe.seed == 2
    left_out = {source for source, weight in recipe.data.source_weights.items() if weight == 0}
    assert left_out == {"easy-vqa-open", *(["digits-open"] if arm.name == "mpo-correctness" else [])}


def test_done_is_what_has_its_last_file(tmp_path: Path) -> None:
    job = next(job for job in jobs_of(tmp_path) if job.kind == "train")
    job.result.parent.mkdir(parents=True)
    assert not job.is_done()
    job.result.write_text(json.dumps({}))
    assert job.is_done()

"""What there is to do, in which order, and whether it is done: trainings, builds and evaluations, each a command.

    OUT/base/evaluation/            the model before training, by python -m mmpr.evaluate
    OUT/seed-0/mpo/training/        a run of python -m mmpr.train
    OUT/seed-0/mpo/build/           data by its model, for an arm that goes on from it, by python -m mmpr.build;
                                    of the first seed only
    OUT/seed-0/evaluation/          all models of a seed

All three commands go on where they were stopped, and so does this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.prove.arms import BASE, Arm

Kind = Literal["train", "build", "evaluate"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What all arms have in common: ``data`` and ``model`` of the first round, the recipes, where everything goes."""

    data: Path
    model: Path
    training: Path
    building: Path
    out: Path

    def folder(self, arm: str, seed: int) -> Path:
        """Where an arm's work with a seed lies."""
        return self.of(seed) / arm

    def of(self, seed: int | None) -> Path:
        """Where everything with a seed lies; the base has none."""
        return self.out / (BASE if seed is None else f"seed-{seed}")


@dataclass(frozen=True, slots=True)
class Job:
    """A command. ``needs`` are names of jobs that must be done before; ``result`` is written last, so it says *done*.

    ``log`` is what the command prints.
    """

    name: str
    kind: Kind
    words: tuple[str, ...]
    result: Path
    log: Path
    needs: tuple[str, ...] = ()

    def is_done(self) -> bool:
        """Whether it has ended well, now or in an earlier run."""
        return self.result.exists()


def plan(arms: Sequence[Arm], seeds: Sequence[int], setup: Setup) -> list[Job]:
    """All jobs, each behind those that it needs."""
    jobs = [_evaluation(None, {BASE: setup.model}, setup, ())]
    first: tuple[str, ...] = ()  # computes the reference log-probabilities that the others find beside the data
    for seed in seeds:
        models: dict[str, Path] = {}
        trained: list[str] = []
        for arm in arms:
            data, model, needs = setup.data, setup.model, first
            if arm.after:
                before = setup.folder(arm.after, seeds[0])
                data, model, needs = before / "build", _model(before), (_name("build", arm.after, seeds[0]),)
            training = _training(arm, seed, data, model, setup, needs)
            jobs.append(training)
            first = first or (training.name,)
            for other in arms:
                if other.after == arm.name and seed == seeds[0]:
                    jobs.append(_build(arm, seed, setup, other.building, (training.name,)))
            models[arm.name] = _model(setup.folder(arm.name, seed))
            trained.append(training.name)
        jobs.append(_evaluation(seed, models, setup, trained))
    return jobs


def _training(arm: Arm, seed: int, data: Path, model: Path, setup: Setup, needs: tuple[str, ...]) -> Job:
    folder = setup.folder(arm.name, seed)
    run = folder / "training"
    words = ("mmpr.train", str(setup.training), f"seed={seed}", "watch.questions=0", *arm.settings)
    paths = ("--data", str(data), "--model", str(model), "--out", str(run))
    return Job(
        _name("train", arm.name, seed), "train", (*words, *paths), run / "result.json", folder / "train.log", needs
    )


def _build(arm: Arm, seed: int, setup: Setup, building: tuple[str, ...], needs: tuple[str, ...]) -> Job:
    folder = setup.folder(arm.name, seed)
    out = folder / "build"
    settings = (f"model.path={json.dumps(str(_model(folder).absolute()))}", "heldout=[]", *building)
    words = ("mmpr.build", str(setup.building), *settings, "--out", str(out))
    return Job(_name("build", arm.name, seed), "build", words, out / "manifest.json", folder / "build.log", needs)


def _evaluation(seed: int | None, models: Mapping[str, Path], setup: Setup, needs: Sequence[str]) -> Job:
    folder = setup.of(seed)
    out = folder / "evaluation"
    named = [word for arm, model in models.items() for word in ("--model", f"{arm}={model}")]
    words = ("mmpr.evaluate", *named, "--data", str(setup.data), "--out", str(out), "--style", "both")
    name = "evaluate base" if seed is None else f"evaluate seed {seed}"
    return Job(name, "evaluate", words, out / "index.html", folder / "evaluate.log", tuple(needs))


def _model(folder: Path) -> Path:
    return folder / "training" / "model"


def _name(kind: Kind, arm: str, seed: int) -> str:
    return f"{kind} {arm}, seed {seed}"

"""Evaluations without Ray: the stages of an evaluation, one unit after the other, with the replay engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from mmpr.engine.replay import ReplayEngine
from mmpr.evaluate import run
from mmpr.evaluate.recipes import PlannedRun
from mmpr.evaluate.results import Evaluation
from mmpr.stages import sample_unit, verify_unit

REPLAY = ("engine.type=replay", "engine.args.answers=[1, 2, 3, 4, B, yes]")


def ask_here(asking: Sequence[PlannedRun], root: Path) -> None:
    """What Ray would do, one unit after the other."""
    for one in asking:
        job, engine = run.job_of(one), ReplayEngine(one.recipe)
        for unit in one.run.stored.all_units():
            asyncio.run(sample_unit(job, unit, engine, lambda _: None))
            verify_unit(job, unit)


def evaluate_here(models: Sequence[str], data: Path | str, root: Path, *overrides: str, **more: Any) -> Evaluation:
    """``mmpr.evaluate.run.evaluate`` with the replay engine and without Ray."""
    with mock.patch.object(run, "_ask", ask_here):
        return run.evaluate(models, str(data), root, overrides=(*REPLAY, *overrides), **more)

"""Evaluations without Ray: the stages of an evaluation, one unit after the other, with the replay engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpr.evaluate import run
from mmpr.evaluate.results import Evaluation

REPLAY = ("engine.type=replay", "engine.args.answers=[1, 2, 3, 4, B, yes]")


def evaluate_here(models: Sequence[str], data: Path | str, root: Path, *overrides: str, **more: Any) -> Evaluation:
    """``mmpr.evaluate.run.evaluate`` with the replay engine and without Ray."""
    return run.evaluate(models, str(data), root, overrides=(*REPLAY, *overrides), runner="local", **more)

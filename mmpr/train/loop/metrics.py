"""What a step is told by: sums over pairs on each rank, means over all of them, a line of ``metrics.jsonl`` a step.

Names are TRL's where TRL has one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmpr.errors import OutputError
from mmpr.train import distributed
from mmpr.train.losses import Terms

MEANS = (
    "loss",
    "loss/dpo",
    "loss/bco",
    "loss/sft",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "lengths/chosen",
    "lengths/rejected",
)
"""Means over the pairs of a step. ``loss`` is what is minimised, the terms are unweighted."""


class Tally:
    """Sums over the pairs that this rank has seen of one step."""

    def __init__(self) -> None:
        self.pairs = 0
        self._sums: dict[str, Tensor | float] = dict.fromkeys(MEANS, 0.0)

    def add(
        self,
        losses: Tensor,
        terms: Terms,
        rewards: tuple[Tensor, Tensor],
        logps: tuple[Tensor, Tensor],
        lengths: tuple[Tensor, Tensor],
    ) -> None:
        """Take in some pairs: weighted losses, terms, and what belongs to (chosen, rejected), all float ``[pairs]``."""
        chosen, rejected = rewards
        values = (losses, terms.dpo, terms.bco, terms.sft, chosen, rejected, chosen - rejected, chosen > rejected)
        for name, value in zip(MEANS, (*values, *logps, *lengths), strict=True):
            self._sums[name] = self._sums[name] + value.detach().double().sum()
        self.pairs += len(losses)

    def mean(self, device: torch.device, extra: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Means over the pairs of all ranks, and ``extra`` summed over ranks (``pairs`` is among the sums)."""
        names = [*MEANS, *extra, "pairs"]
        mine = {**self._sums, **extra, "pairs": float(self.pairs)}
        sums = dict(zip(names, distributed.total([float(mine[name]) for name in names], device), strict=True))
        pairs = sums["pairs"]
        return {name: sums[name] / max(pairs, 1) for name in MEANS}, {name: sums[name] for name in (*extra, "pairs")}


class MetricsFile:
    """``metrics.jsonl``: a line a step, in the order of steps, each step once however often the run was stopped."""

    def __init__(self, path: Path, done_steps: int) -> None:
        """Open the file of a run of which ``done_steps`` steps count; later lines are of steps that are done again."""
        self.path = path
        kept = [line for line in read_metrics(path) if line["step"] <= done_steps]
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a step."""
        self._file.write(json.dumps(dict(line)) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Flush to disk, so that a checkpoint never knows of more steps than the file."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """No more steps."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All steps of a run so far; a last line that was cut off is left out.

    Raises:
        OutputError: a line within is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    steps = []
    for number, line in enumerate(lines, start=1):
        try:
            steps.append(dict(json.loads(line)))
        except ValueError:
            if number == len(lines):
                break
            raise OutputError(f"{path}: line {number} is damaged; delete the file to go on without it") from None
    return steps

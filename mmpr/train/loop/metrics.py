"""The figures of a step: sums over pairs on each rank, then means over the pairs of all ranks.

Names are TRL's where TRL has one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmpr.train import distributed
from mmpr.train.losses import Terms
from mmpr.train.rows import StepPart

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
"""Means over the pairs of a step. ``loss`` is weighted, as it is minimised; its terms are not."""

HELD_OUT = ("loss", "rewards/accuracies", "rewards/margins")
"""Of these, what is told of held-out pairs."""


class StepMetrics:
    """Sums over the pairs of one step that this rank has computed."""

    def __init__(self) -> None:
        self.pairs = 0
        self._sums: dict[str, Tensor | float] = dict.fromkeys(MEANS, 0.0)
        self._sampled: list[Tensor] = []

    def add(
        self,
        losses: Tensor,
        terms: Terms,
        rewards: tuple[Tensor, Tensor],
        logps: tuple[Tensor, Tensor],
        lengths: tuple[Tensor, Tensor],
    ) -> None:
        """Add some pairs: weighted losses, terms, and (chosen, rejected) of the rest; every tensor is ``[pairs]``."""
        chosen, rejected = rewards
        values = (losses, terms.dpo, terms.bco, terms.sft, chosen, rejected, chosen - rejected, chosen > rejected)
        for name, value in zip(MEANS, (*values, *logps, *lengths), strict=True):
            self._sums[name] = self._sums[name] + value.detach().double().sum()
        self.pairs += len(losses)

    def add_sampled(self, part: StepPart, policy: Tensor) -> None:
        """Compare log-probabilities ``[used]`` of the policy with those that the responses had when sampled."""
        sampled = part.row.sampled_logprobs
        if sampled is not None:
            used = list(part.used)
            lengths = torch.tensor([len(part.row.response_ids[i]) for i in used])
            self._sampled.append((policy.detach().float().cpu() - sampled[used]).abs() / lengths)

    def sampled_differences(self) -> list[float]:
        """How far each response's log-probability is from that in sampling, in nats a token, where both are known."""
        return [value for values in self._sampled for value in values.tolist() if not math.isnan(value)]

    def mean(self, device: torch.device, extra: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Two dictionaries: `MEANS` over the pairs of all ranks; ``extra`` and the number of ``pairs``, summed."""
        mine = {**self._sums, **extra, "pairs": float(self.pairs)}
        sums = dict(zip(mine, distributed.total([float(value) for value in mine.values()], device), strict=True))
        means = {name: sums.pop(name) / max(sums["pairs"], 1) for name in MEANS}
        return means, sums


def first_and_last_tenth(
    lines: Sequence[Mapping[str, Any]],
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """The lines of a run's first and last steps, a tenth each, at least one."""
    tenth = max(1, len(lines) // 10)
    return lines[:tenth], lines[-tenth:]

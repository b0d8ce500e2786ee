"""The objective of Mixed Preference Optimization, as functions of summed log-probabilities (paper, section 4).

Notation, for a pair of responses c (chosen) and r (rejected) to x:

    Δ_y  = log π_θ(y|x) - log π_0(y|x)      policy against reference, summed over the tokens of the response
    β·Δ_y                                   the implicit reward of a response
    δ                                       the reward shift: mean of the rewards of earlier steps (`RewardShift`)

    L = w_p·L_DPO + w_q·L_BCO + w_g·L_SFT

Every function takes and returns float tensors ``[pairs]``, one value a pair, unreduced: what a pair weighs in a step is
the caller's business, so a pair weighs the same however pairs are packed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, slots=True)
class Weights:
    """What each term weighs; the defaults are the paper's. DPO alone is (1, 0, 0), SFT alone (0, 0, 1)."""

    preference: float = 0.8
    quality: float = 0.2
    generation: float = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The three unweighted terms of each pair, ``[pairs]`` each."""

    dpo: Tensor
    bco: Tensor
    sft: Tensor

    def weighted(self, weights: Weights) -> Tensor:
        """The loss of each pair, ``[pairs]``: w_p·L_DPO + w_q·L_BCO + w_g·L_SFT."""
        return weights.preference * self.dpo + weights.quality * self.bco + weights.generation * self.sft


def mpo_terms(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    chosen_tokens: Tensor,
    *,
    beta: float,
    delta: float,
) -> Terms:
    """The terms of each pair from log-probabilities summed over response tokens.

    Args:
        policy_chosen, policy_rejected: ``[pairs]``, log π_θ(y|x), in the graph.
        reference_chosen, reference_rejected: ``[pairs]``, log π_0(y|x).
        chosen_tokens: ``[pairs]``, how many tokens each chosen response has, at least 1.
        beta: β, the paper's is 0.1.
        delta: δ, `RewardShift.value` as it stood when the step began.
    """
    chosen = rewards(policy_chosen, reference_chosen, beta=beta)
    rejected = rewards(policy_rejected, reference_rejected, beta=beta)
    return Terms(dpo(chosen, rejected), bco(chosen, rejected, delta=delta), sft(policy_chosen, chosen_tokens))


def rewards(policy: Tensor, reference: Tensor, *, beta: float) -> Tensor:
    """β·Δ = β·(log π_θ(y|x) - log π_0(y|x))."""
    return beta * (policy - reference)


def dpo(chosen: Tensor, rejected: Tensor) -> Tensor:
    """L_DPO = -log σ(β·Δ_c - β·Δ_r), from rewards: the chosen response is the better one."""
    return -logsigmoid(chosen - rejected)


def bco(chosen: Tensor, rejected: Tensor, *, delta: float) -> Tensor:
    """L_BCO = -log σ(β·Δ_c - δ) - log σ(-(β·Δ_r - δ)), from rewards: each response is good or bad by itself."""
    return -logsigmoid(chosen - delta) - logsigmoid(delta - rejected)


def sft(policy_chosen: Tensor, chosen_tokens: Tensor) -> Tensor:
    """L_SFT = -log π_θ(c|x) / |c|: each chosen response counts the same, whatever its length."""
    return -policy_chosen / chosen_tokens


def loss_at_start(weights: Weights, sft: float) -> float:
    """The loss where policy and reference are the same model, with δ = 0, from the SFT term's value.

    All rewards are 0, so L_DPO = -log σ(0) = ln 2 and L_BCO = 2 ln 2: 0.8 ln 2 + 0.2·2 ln 2 = 1.2 ln 2 ≈ 0.832 with
    the paper's weights, beside the SFT term.
    """
    return (weights.preference + 2 * weights.quality) * math.log(2) + weights.generation * sft


class RewardShift:
    """δ: the mean of the rewards of all earlier steps, over chosen and rejected alike (0 before the first).

    ``value`` is used as it stands for a whole optimizer step; the step's rewards enter once, afterwards, summed over
    all micro-batches and ranks. So δ depends neither on the order of micro-batches nor on how many there are.
    """

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    @property
    def value(self) -> float:
        """δ as it stands."""
        return self._sum / self._count if self._count else 0.0

    def update(self, reward_sum: float, count: int) -> None:
        """Take in a step: the sum of ``count`` rewards, chosen and rejected, over all micro-batches and ranks.

        Raises:
            ValueError: the sum is not finite or the count negative; δ is left as it was.
        """
        if not math.isfinite(reward_sum) or count < 0:
            raise ValueError(f"the reward shift cannot take in a sum of {reward_sum} over {count} rewards")
        self._sum += reward_sum
        self._count += count

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"sum": self._sum, "count": self._count}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from a checkpoint."""
        self._sum, self._count = float(state["sum"]), int(state["count"])

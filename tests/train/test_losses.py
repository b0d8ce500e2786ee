"""The objective: arithmetic written out, properties, and TRL's own trainer computing the same numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl import DPOTrainer

from mmpr.train.losses import RewardShift, Terms, Weights, bco, dpo, loss_at_start, mpo_terms, rewards, sft

# log(1 + e^-x), by hand: what -log σ(x) is.
MINUS_LOG_SIGMOID = {0.0: 0.6931472, 1.0: 0.3132617, -1.0: 1.3132617, 2.0: 0.1269280, -2.0: 2.1269280, 0.5: 0.4740770}
finite = st.floats(-50, 50, width=32)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def softplus(x: float) -> float:
    """-log σ(-x) in float64, written so that it neither overflows nor loses small values."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@pytest.mark.parametrize(
    ("policy", "reference", "beta", "expected"),
    [
        (-10.0, -10.0, 0.1, 0.0),
        (-10.0, -20.0, 0.1, 1.0),  # 0.1 * 10
        (-25.0, -20.0, 0.1, -0.5),
        (-10.0, -14.0, 0.5, 2.0),
    ],
)
def test_a_reward_is_beta_times_the_log_ratio(policy, reference, beta, expected):
    assert rewards(tensor(policy), tensor(reference), beta=beta).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("chosen", "rejected", "argument"),
    [(0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (0.0, 1.0, -1.0), (1.5, -0.5, 2.0), (-1.0, 1.0, -2.0)],
)
def test_dpo(chosen, rejected, argument):
    assert dpo(tensor(chosen), tensor(rejected)).item() == pytest.approx(MINUS_LOG_SIGMOID[argument], abs=1e-6)


@pytest.mark.parametrize(
    ("chosen", "rejected", "delta", "of_chosen", "of_rejected"),
    [
        (0.0, 0.0, 0.0, 0.0, 0.0),
        (1.0, -1.0, 0.0, 1.0, 1.0),
        (-1.0, 1.0, 0.0, -1.0, -1.0),
        (1.5, -0.5, 0.5, 1.0, 1.0),  # δ moves both: 1.5 - 0.5, and -(-0.5 - 0.5)
        (1.0, 1.0, 0.5, 0.5, -0.5 - 0.5 + 0.5),
        (0.0, 0.0, -1.0, 1.0, -1.0),
        (1.0, 3.0, 1.0, 0.0, -2.0),
    ],
)
def test_bco(chosen, rejected, delta, of_chosen, of_rejected):
    expected = softplus(-of_chosen) + softplus(-of_rejected)
    assert bco(tensor(chosen), tensor(rejected), delta=delta).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("logprob", "tokens", "expected"), [(-12.0, 4, 3.0), (-12.0, 1, 12.0), (-0.5, 5, 0.1)])
def test_sft_is_normalised_by_each_response(logprob, tokens, expected):
    assert sft(tensor(logprob), torch.tensor([tokens])).item() == pytest.approx(expected)


def test_the_objective_of_two_pairs_by_hand():
    terms = mpo_terms(
        tensor(-10, -30),
        tensor(-25, -20),
        tensor(-20, -25),
        tensor(-20, -20),
        torch.tensor([5, 10]),
        beta=0.1,
        delta=0.5,
    )
    # Rewards: chosen 1.0 and -0.5, rejected -0.5 and 0.0.
    log = {x: math.log(1 + math.exp(-x)) for x in (1.5, -0.5, 0.5, 1.0, -1.0)}
    assert terms.dpo.tolist() == pytest.approx([log[1.5], log[-0.5]])
    assert terms.bco.tolist() == pytest.approx([log[0.5] + log[1.0], log[-1.0] + log[0.5]])
    assert terms.sft.tolist() == pytest.approx([2.0, 3.0])
    weighted = [
        0.8 * log[1.5] + 0.2 * (log[0.5] + log[1.0]) + 2.0,
        0.8 * log[-0.5] + 0.2 * (log[-1.0] + log[0.5]) + 3.0,
    ]
    assert terms.weighted(Weights()).tolist() == pytest.approx(weighted)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (Weights(), 0.8 * 2 + 0.2 * 3 + 5),
        (Weights(1, 0, 0), 2),  # DPO
        (Weights(1, 0, 1), 7),  # DPO+
        (Weights(0, 1, 1), 8),  # BCO+
        (Weights(0, 0, 1), 5),  # SFT
    ],
)
def test_the_named_objectives_are_weights(weights, expected):
    assert Terms(tensor(2), tensor(3), tensor(5)).weighted(weights).item() == pytest.approx(expected)


@given(st.lists(st.tuples(finite, finite, finite, finite), min_size=1, max_size=5), st.floats(-3, 3))
def test_terms_equal_the_equations_in_double_precision(pairs, delta):
    chosen, rejected, chosen_0, rejected_0 = (tensor(*column) for column in zip(*pairs, strict=True))
    terms = mpo_terms(chosen, rejected, chosen_0, rejected_0, torch.arange(1, len(pairs) + 1), beta=0.1, delta=delta)
    for i, (c, r, c0, r0) in enumerate(pairs):
        up, down = 0.1 * (c - c0), 0.1 * (r - r0)
        assert terms.dpo[i].item() == pytest.approx(softplus(down - up), rel=1e-4, abs=1e-5)
        assert terms.bco[i].item() == pytest.approx(softplus(delta - up) + softplus(down - delta), rel=1e-4, abs=1e-5)
        assert terms.sft[i].item() == pytest.approx(-c / (i + 1), rel=1e-5, abs=1e-6)


@given(finite, finite, finite, finite, st.floats(-3, 3))
def test_a_better_chosen_and_a_worse_rejected_response_cost_less(c, r, c0, r0, delta):
    def terms(c, r):
        return mpo_terms(tensor(c), tensor(r), tensor(c0), tensor(r0), torch.tensor([3]), beta=0.1, delta=delta)

    before, after = terms(c, r), terms(c + 1, r - 1)
    assert after.dpo < before.dpo
    assert after.bco < before.bco
    assert after.sft < before.sft


def test_extreme_rewards_stay_finite_with_gradients():
    policy = tensor(1e5, -1e5).requires_grad_()
    zero = tensor(0, 0)
    terms = mpo_terms(policy, -policy, zero, zero, torch.tensor([1, 1]), beta=0.1, delta=0.0)
    loss = terms.weighted(Weights())
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(policy.grad).all()
    assert terms.dpo.tolist() == pytest.approx([0.0, 2e4])


def trl_loss(name, policy, reference, masks):
    """One of TRL's losses from its own trainer's code, given per-token log-probabilities ``[2·pairs, L]``."""
    outputs = SimpleNamespace(
        log_probs=policy, entropy=policy * 0, mean_logits=policy * 0, is_top1=policy > 0, aux_loss=None
    )
    accelerator = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)
    model = SimpleNamespace(training=True)
    trainer = SimpleNamespace(
        model=model,
        accelerator=accelerator,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[name],
        loss_weights=[1.0],
        beta=0.1,
        use_weighting=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
    )
    chosen, rejected = reference.sum(1).chunk(2)
    shifted = torch.cat([torch.zeros_like(masks[:, :1]), masks], dim=1)
    inputs = {
        "input_ids": torch.ones_like(shifted),
        "attention_mask": torch.ones_like(shifted),
        "completion_mask": shifted,
        "ref_chosen_logps": chosen,
        "ref_rejected_logps": rejected,
    }
    return DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False)


@pytest.mark.parametrize("name", ["sigmoid", "bco_pair", "sft"])
@pytest.mark.parametrize("seed", range(5))
def test_terms_equal_trl(name, seed):
    """``sigmoid`` is L_DPO, ``bco_pair`` L_BCO at δ = 0; ``sft`` is L_SFT for one pair at a time only."""
    generator = torch.Generator().manual_seed(seed)
    pairs, length = (1 if name == "sft" else 4), 30
    masks = (torch.arange(length) < torch.randint(1, length, (2 * pairs, 1), generator=generator)).long()
    policy, reference = (-3 * torch.rand(2 * pairs, length, generator=generator) * masks for _ in range(2))
    (chosen, rejected), (chosen0, rejected0) = policy.sum(1).chunk(2), reference.sum(1).chunk(2)
    terms = mpo_terms(chosen, rejected, chosen0, rejected0, masks.chunk(2)[0].sum(1), beta=0.1, delta=0.0)
    ours = {"sigmoid": terms.dpo, "bco_pair": terms.bco, "sft": terms.sft}[name].mean()
    assert ours.item() == pytest.approx(trl_loss(name, policy, reference, masks).item(), rel=1e-5)


def test_trl_averages_sft_over_tokens_and_the_paper_over_responses():
    """Why `sft` is compared one pair at a time: two responses of 1 and 3 tokens."""
    masks = torch.tensor([[1, 0, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0]])
    policy = torch.tensor([[-4.0, 0, 0], [-1, -1, -1], [-1, 0, 0], [-1, 0, 0]])
    assert trl_loss("sft", policy, policy, masks).item() == pytest.approx(7 / 4)
    assert sft(policy[:2].sum(1), masks[:2].sum(1)).mean().item() == pytest.approx((4 + 1) / 2)


def test_the_reward_shift_is_the_mean_of_all_earlier_rewards():
    shift = RewardShift()
    assert shift.value == 0.0
    shift.update(3.0, 4)
    assert shift.value == 0.75
    shift.update(-1.0, 4)  # the mean of batch means: (0.75 - 0.25) / 2
    assert shift.value == 0.25
    shift.update(1.0, 2)  # a short last step counts by its rewards
    assert shift.value == pytest.approx(3 / 10)


@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=6))
def test_the_reward_shift_is_the_released_codes_moving_average(steps):
    """Welford's running mean over batches, as in the released trainer, when every step has as many rewards."""
    shift, mean, seen = RewardShift(), 0.0, 0
    for rewards_of_step in steps:
        shift.update(sum(rewards_of_step), len(rewards_of_step))
        seen += len(rewards_of_step)
        mean += (sum(rewards_of_step) / len(rewards_of_step) - mean) * len(rewards_of_step) / seen
        assert shift.value == pytest.approx(mean, abs=1e-9)


def test_a_restored_reward_shift_goes_on_bit_for_bit():
    whole, first, second = RewardShift(), RewardShift(), RewardShift()
    steps = [(0.1, 3), (0.7, 2), (-1.3, 5), (0.2, 4)]
    for step in steps:
        whole.update(*step)
    for step in steps[:2]:
        first.update(*step)
    second.load_state_dict(first.state_dict())
    assert second.value == first.value
    for step in steps[2:]:
        second.update(*step)
    assert second.value == whole.value


@pytest.mark.parametrize(("reward_sum", "count"), [(math.nan, 2), (math.inf, 2), (1.0, -1)])
def test_a_reward_shift_refuses_what_would_spoil_it(reward_sum, count):
    shift = RewardShift()
    shift.update(1.0, 2)
    with pytest.raises(ValueError, match="reward shift"):
        shift.update(reward_sum, count)
    assert shift.value == 0.5


def test_an_empty_step_leaves_the_reward_shift():
    shift = RewardShift()
    shift.update(0.0, 0)
    assert shift.value == 0.0


@pytest.mark.parametrize("weights", [Weights(), Weights(1, 0, 0), Weights(0, 1, 1)])
def test_the_loss_at_the_start_is_known_by_hand(weights: Weights) -> None:
    logps = torch.tensor([-12.5, -3.0, -40.0], dtype=torch.float64)
    tokens = torch.tensor([5.0, 2.0, 16.0], dtype=torch.float64)
    terms = mpo_terms(logps, logps - 1, logps, logps - 1, tokens, beta=0.1, delta=0.0)
    mean = float(terms.weighted(weights).mean())
    assert loss_at_start(weights, float(terms.sft.mean())) == pytest.approx(mean, rel=1e-12)
    assert loss_at_start(Weights(), 0.0) == pytest.approx(0.8318, abs=1e-4)

"""One training step: its arithmetic, and what it does not depend on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mmpr.errors import MmprError
from mmpr.train.loop.trainer import MpoTrainer
from mmpr.train.rows import StepBatch, StepPart
from tests.helpers import known
from tests.train.tiny import tiny_arguments, tiny_model, tiny_recipe, tiny_row, tiny_steps, weights_of

pytestmark = pytest.mark.slow

BETA = 0.1


def trainer_of(folder: Path, steps: list[StepBatch], *overrides: str, model: Any = None, **settings: Any) -> MpoTrainer:
    lines: list[dict[str, Any]] = []
    recipe = tiny_recipe(*overrides)
    made = MpoTrainer(model or tiny_model(), tiny_arguments(folder, **settings), steps, recipe, see_step=lines.append)
    made.lines = lines
    return made


def logp(model: Any, row: Any, position: int) -> Tensor:
    """Summed log-probability of a response, from the logits of a plain forward pass."""
    ids = torch.cat([row.prompt_ids, row.response_ids[position]])[None]
    logits = model(input_ids=ids).logits.double().log_softmax(-1)
    start = len(row.prompt_ids)
    return logits[0, torch.arange(start - 1, ids.shape[1] - 1), ids[0, start:]].sum()


def written_out(model: Any, batch: StepBatch, delta: float) -> tuple[Tensor, dict[str, float]]:
    """The step's loss pair by pair, as the paper writes it, and what is logged of it."""
    total = torch.zeros((), dtype=torch.float64)
    seen: dict[str, list[float]] = {"chosen": [], "rejected": [], "accuracy": []}
    for part in batch.parts:
        for (c, r), weight in zip(part.pairs, part.weights, strict=True):
            reference = known(part.row.reference).double()
            policy_c, policy_r = logp(model, part.row, c), logp(model, part.row, r)
            reward_c, reward_r = BETA * (policy_c - reference[c]), BETA * (policy_r - reference[r])
            dpo = -logsigmoid(reward_c - reward_r)
            bco = -logsigmoid(reward_c - delta) - logsigmoid(-(reward_r - delta))
            sft = -policy_c / len(part.row.response_ids[c])
            total = total + weight * (0.8 * dpo + 0.2 * bco + 1.0 * sft) / batch.pairs
            seen["chosen"].append(float(reward_c.detach()))
            seen["rejected"].append(float(reward_r.detach()))
            seen["accuracy"].append(float(reward_c.detach() > reward_r.detach()))
    return total, {name: sum(values) / len(values) for name, values in seen.items()}


def test_a_step_is_the_papers_loss_over_its_pairs(tmp_path: Path) -> None:
    steps = tiny_steps(3)
    model = tiny_model()
    trainer = trainer_of(tmp_path, steps, model=model, learning_rate=0.0)
    trainer.create_optimizer_and_scheduler(3)
    rewards: list[float] = []
    for step in steps:
        delta = sum(rewards) / len(rewards) if rewards else 0.0
        model.zero_grad()
        loss, means = written_out(model, step, delta)
        loss.backward()
        expected = {name: p.grad.clone() for name, p in model.named_parameters()}
        model.zero_grad()
        got = trainer.training_step(model, {"step": step})
        line = trainer.lines[-1]
        assert float(got) == pytest.approx(float(loss), rel=1e-6)
        assert line["delta"] == pytest.approx(delta, abs=1e-6)
        for name, parameter in model.named_parameters():
            assert torch.allclose(parameter.grad, expected[name], rtol=1e-4, atol=1e-7), name
        assert line["rewards/chosen"] == pytest.approx(means["chosen"], abs=1e-5)
        assert line["rewards/rejected"] == pytest.approx(means["rejected"], abs=1e-5)
        assert line["rewards/margins"] == pytest.approx(means["chosen"] - means["rejected"], abs=1e-5)
        assert line["rewards/accuracies"] == pytest.approx(means["accuracy"])
        assert line["pairs"] == step.pairs
        rewards += [means["chosen"]] * step.pairs + [means["rejected"]] * step.pairs


def test_a_pair_weighs_the_same_however_rows_are_cut_and_ordered(tmp_path: Path) -> None:
    """One row of four pairs, or four parts of a pair each in another order: the same gradient, δ and metrics."""
    row = tiny_row(7)
    pairs = ((0, 1), (2, 1), (0, 3), (2, 3))
    whole = StepBatch((StepPart(row, pairs, (1.0,) * 4),), 4)
    cut = StepBatch(tuple(StepPart(row, (pair,), (1.0,)) for pair in reversed(pairs)), 4)
    gradients, lines, shifts = [], [], []
    for batch in (whole, cut):
        model = tiny_model()
        trainer = trainer_of(tmp_path, [batch], model=model)
        trainer.create_optimizer_and_scheduler(1)
        trainer.training_step(model, {"step": batch})
        gradients.append([p.grad.clone() for p in model.parameters()])
        lines.append(trainer.lines[0])
        shifts.append(trainer.shift.value)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(*gradients, strict=True))
    assert shifts[0] == pytest.approx(shifts[1], abs=1e-7)
    for name in ("loss", "rewards/chosen", "logps/rejected", "lengths/chosen"):
        assert lines[0][name] == pytest.approx(lines[1][name], rel=1e-5)


def test_delta_stands_still_within_a_step_and_moves_once(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, tiny_steps(4), learning_rate=0.0)
    trainer.train()
    deltas = [line["delta"] for line in trainer.lines]
    assert deltas[0] == 0.0
    rewards = [(line["rewards/chosen"] + line["rewards/rejected"]) / 2 for line in trainer.lines]
    weights = [line["pairs"] for line in trainer.lines]
    for i in range(1, 4):
        mean = sum(r * w for r, w in zip(rewards[:i], weights[:i], strict=True)) / sum(weights[:i])
        assert deltas[i] == pytest.approx(mean, rel=1e-6)


def test_delta_stays_at_zero_when_it_is_switched_off(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, tiny_steps(3), "objective.shift=false")
    trainer.train()
    assert [line["delta"] for line in trainer.lines] == [0.0, 0.0, 0.0]
    assert trainer.lines[-1]["rewards/margins"] != 0.0


def test_a_run_learns_to_tell_chosen_from_rejected(tmp_path: Path) -> None:
    steps = tiny_steps(1) * 40
    trainer = trainer_of(tmp_path, steps)
    trainer.train()
    first, last = trainer.lines[0], trainer.lines[-1]
    assert last["loss"] < first["loss"]
    assert last["rewards/accuracies"] == 1.0
    assert trainer.state.global_step == 40
    logged = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
    assert len(logged) == 40
    assert {"loss", "loss/dpo", "delta", "tokens_per_second", "saved_by_sharing", "grad_norm"} <= logged[0].keys()


def test_on_the_fly_reference_equals_the_cached_one(tmp_path: Path) -> None:
    reference = tiny_model(seed=5).eval()
    bare = tiny_steps(3, reference=False)
    with torch.no_grad():
        cached = [
            StepBatch(
                tuple(
                    replace(
                        p,
                        row=replace(
                            p.row, reference=torch.stack([logp(reference, p.row, i).float() for i in range(4)])
                        ),
                    )
                    for p in step.parts
                ),
                step.pairs,
            )
            for step in bare
        ]
    models = []
    for steps, live in ((cached, None), (bare, reference)):
        model = tiny_model()
        made = MpoTrainer(model, tiny_arguments(tmp_path), steps, tiny_recipe(), reference=live)
        made.train()
        models.append(model)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_rows_without_a_reference_are_refused_when_there_is_no_model_for_it(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, tiny_steps(1, reference=False))
    with pytest.raises(MmprError, match="reference"):
        trainer.train()


def test_lora_trains_adapters_alone_against_the_base(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_model()
    before = weights_of(base)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    trainer = trainer_of(tmp_path, tiny_steps(1, reference=False) * 20, model=model)
    trainer.train()
    assert trainer.lines[0]["rewards/margins"] == pytest.approx(0.0, abs=1e-6)  # fresh adapters change nothing
    assert trainer.lines[-1]["rewards/margins"] > 0.01
    after = {n.replace("base_layer.", ""): p for n, p in model.get_base_model().state_dict().items() if "lora" not in n}
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("off", [0.0, 0.5])
def test_the_first_step_compares_with_what_was_sampled(off: float, tmp_path: Path) -> None:
    """``off`` is how much likelier each token was when it was sampled; one response's is not known."""
    model, steps = tiny_model(), tiny_steps(2)

    def sampled(part: StepPart) -> StepPart:
        logps = [float(logp(model, part.row, i)) + off * len(ids) for i, ids in enumerate(part.row.response_ids)]
        return replace(part, row=replace(part.row, sampled_logprobs=torch.tensor([math.nan, *logps[1:]])))

    steps = [replace(step, parts=tuple(map(sampled, step.parts))) for step in steps]
    trainer = trainer_of(tmp_path, steps, model=model)
    trainer.train()
    assert trainer.lines[0]["sampled/difference"] == pytest.approx(off, abs=1e-5)
    assert trainer.lines[0]["sampled/worst"] == pytest.approx(off, abs=1e-5)
    assert "sampled/difference" not in trainer.lines[1]


def test_terms_are_switched_by_weight(tmp_path: Path) -> None:
    step = tiny_steps(1)[0]
    losses = {}
    for name, weights in {"dpo": (1, 0, 0), "bco": (0, 1, 0), "sft": (0, 0, 1)}.items():
        model = tiny_model()
        overrides = [
            f"objective.{k}={v}" for k, v in zip(("preference", "quality", "generation"), weights, strict=True)
        ]
        trainer = trainer_of(tmp_path, [step], *overrides, model=model)
        trainer.create_optimizer_and_scheduler(1)
        parts = tuple(replace(part, weights=(1.0,) * len(part.pairs)) for part in step.parts)
        trainer.training_step(model, {"step": replace(step, parts=parts)})
        losses[name] = trainer.lines[0]["loss"]
        assert trainer.lines[0]["loss"] == pytest.approx(trainer.lines[0][f"loss/{name}"], rel=1e-6)
    assert len(set(losses.values())) == 3


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights(tmp_path: Path) -> None:
    model = tiny_model()
    trainer = trainer_of(tmp_path, tiny_steps(2), "compute.precision=bfloat16", model=model)
    exact = trainer_of(tmp_path, tiny_steps(2))
    trainer.train()
    exact.train()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert trainer.lines[0]["loss"] != exact.lines[0]["loss"]
    assert trainer.lines[0]["loss"] == pytest.approx(exact.lines[0]["loss"], rel=0.02)

"""Shared prompts give what sequences of their own give: scores, and gradients of every parameter."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mmpr.errors import MmprError
from mmpr.train.rows import StepPart
from mmpr.train.shared_prefix import compute as compute_module
from mmpr.train.shared_prefix.compute import Compute
from mmpr.train.shared_prefix.families import DECODERS, FAMILIES, unwrap
from mmpr.train.shared_prefix.packing import tokens_of, unshared_tokens_of
from tests.train.models import (
    MODELS,
    TEXT,
    alone,
    difference,
    gradients,
    loss_of,
    make,
    make_part,
    make_row,
    oracle,
    parts_of,
)

pytestmark = pytest.mark.slow

BUDGETS = {"packed": 10_000, "some in groups": 40, "all in groups": 0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(model: Any, parts: list[StepPart], **settings: Any) -> tuple[list[Tensor], dict[str, Tensor], Compute]:
    model.zero_grad()
    compute = Compute(model, **settings)
    scores = compute.backward(parts, loss_of)
    return scores, gradients(model), compute


def assert_scores(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=0)


def test_every_family_has_a_model_here() -> None:
    models = [make(name) for name in MODELS]
    assert {model.config.model_type for model in models} == FAMILIES.keys()
    assert {model.config.get_text_config().model_type for model in models} == DECODERS


@pytest.mark.parametrize("name", MODELS)
def test_sharing_changes_nothing(name: str) -> None:
    model, parts = make(name), parts_of(name)
    scores, wanted = oracle(model, parts)
    for budget in BUDGETS.values():
        found, gradient, compute = run(model, parts, max_pack_tokens=budget)
        assert found[0].dtype == torch.float32
        assert_scores(found, scores, 1e-5)
        assert difference(gradient, wanted) < 1e-4
        assert compute.counts.tokens < compute.counts.unshared
        assert_scores(compute.scores(parts), scores, 1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_computed_twice_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_module, "TWICE_FROM", 0)
    model, parts = make(name), parts_of(name)
    scores, wanted = oracle(model, parts)
    found, gradient, compute = run(model, parts, max_pack_tokens=0)
    assert_scores(found, scores, 1e-5)
    assert difference(gradient, wanted) < 1e-4
    again = Compute(model, max_pack_tokens=10_000)
    again.backward(parts, loss_of)
    prompts = sum(len(part.row.prompt_ids) for part in parts)
    assert compute.counts.tokens >= again.counts.tokens + prompts


def test_a_prompt_computed_twice_draws_the_same_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_module, "TWICE_FROM", 0)
    model, part = make("internvl").train(), parts_of("internvl")[0]
    model.model.vision_tower.encoder.layer[0].dropout.p = 0.5
    seen: list[Tensor] = []
    hook = model.model.multi_modal_projector.register_forward_hook(lambda _, __, output: seen.append(output.detach()))
    compute = Compute(model, max_pack_tokens=0)
    compute.backward([part, part], loss_of)
    hook.remove()
    first, first_again, second, second_again = seen
    assert torch.equal(first, first_again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", MODELS)
def test_sharing_changes_nothing_in_double_precision(name: str) -> None:
    model, parts = make(name, torch.float64), parts_of(name, torch.float64)
    scores, wanted = oracle(model, parts)
    for budget in BUDGETS.values():
        found, gradient, _ = run(model, parts, max_pack_tokens=budget)
        assert_scores(found, scores, 1e-12)
        # Qwen's and GLM's vision towers rotate in float32 whatever their type, and so round sums of gradients; routers
        # of experts choose in float32, which reaches all parameters
        rounded = {key for key in wanted if name == "qwen3_vl_moe" or ".visual." in key}
        for keys, bound in ((wanted.keys() - rounded, 1e-10), (rounded, 1e-6)):
            if keys:
                assert difference({k: gradient[k] for k in keys}, {k: wanted[k] for k in keys}) < bound


@pytest.mark.parametrize("name", ["llama", "qwen2_vl", "idefics3"])
def test_sequences_of_their_own_on_request(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model, parts = make(name), parts_of(name)
    scores, wanted = oracle(model, parts)
    found, gradient, compute = run(model, parts, max_pack_tokens=100, sharing="off")
    assert_scores(found, scores, 1e-5)
    assert difference(gradient, wanted) < 1e-4
    assert "sharing is off" in caplog.text
    assert compute.counts.tokens > sum(map(tokens_of, parts))


# Packing, order, and how a row's pairs are split over calls.

DOUBLE: dict[str, Any] = {}


def small_model() -> Any:
    if not DOUBLE:
        DOUBLE["model"] = make("llama", torch.float64)
        DOUBLE["rows"] = [make_row("llama", seed, (3, 1, 4, 2, 5, 2), images=0, text=seed) for seed in (2, 3, 4)]
    return DOUBLE["model"]


PAIRS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=9
)


@settings(max_examples=25)
@given(data=st.data(), pairs=st.lists(PAIRS, min_size=1, max_size=3), budget=st.integers(0, 60))
def test_packing_splitting_and_order_do_not_change_the_gradient(data: Any, pairs: Any, budget: int) -> None:
    model = small_model()
    whole = [make_part(row, own) for row, own in zip(DOUBLE["rows"], pairs, strict=False)]
    _, wanted = oracle(model, whole)
    pieces = []
    for part in whole:
        calls = data.draw(st.lists(st.integers(0, 2), min_size=len(part.pairs), max_size=len(part.pairs)))
        for call in set(calls):
            chosen = [i for i, other in enumerate(calls) if other == call]
            own = tuple(part.pairs[i] for i in chosen)
            pieces.append((call, StepPart(part.row, own, tuple(part.weights[i] for i in chosen))))
    pieces = data.draw(st.permutations(pieces))
    model.zero_grad()
    compute = Compute(model, max_pack_tokens=budget)
    for call in range(3):
        compute.backward([part for other, part in pieces if other == call], loss_of)
    assert difference(gradients(model), wanted) < 1e-10


@settings(max_examples=25)
@given(pairs=PAIRS, budget=st.integers(0, 40))
def test_each_pair_is_seen_once_and_each_answer_computed_once_where_it_can(pairs: Any, budget: int) -> None:
    model = small_model()
    seen: list[Any] = []
    part = make_part(DOUBLE["rows"][0], pairs)

    def noted(sub: StepPart, policy: Tensor) -> Tensor:
        assert policy.shape == (len(sub.used),)
        seen.extend(zip(sub.pairs, sub.weights, strict=True))
        return loss_of(sub, policy)

    compute = Compute(model, max_pack_tokens=budget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute_module, "TWICE_FROM", math.inf)  # the tests above compute the prompt twice
        compute.backward([part], noted)
    assert sorted(seen) == sorted(zip(part.pairs, part.weights, strict=True))
    sides = {frozenset(pair) for pair in pairs}
    if len({i for side in sides for i in side}) == 2 * len(sides):
        assert compute.counts.tokens == tokens_of(part)


def test_a_backward_that_scales_scales_everything() -> None:
    model, parts = make("llama"), parts_of("llama")
    _, wanted = oracle(model, parts)
    model.zero_grad()
    Compute(model, max_pack_tokens=0).backward(parts, loss_of, lambda loss: (loss * 3).backward())
    assert difference(gradients(model), {name: 3 * gradient for name, gradient in wanted.items()}) < 1e-4


def test_pictures_are_encoded_once_a_question() -> None:
    model, parts, shapes = make("internvl"), parts_of("internvl"), []
    hook = model.model.vision_tower.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    for budget, expected in ((10_000, [3]), (0, [2, 1])):
        Compute(model, max_pack_tokens=budget).backward(parts, loss_of)
        assert shapes == expected
        shapes.clear()
    hook.remove()


def test_counts() -> None:
    model, parts = make("llama"), parts_of("llama")
    compute = Compute(model)
    compute.backward(parts, loss_of)
    assert compute.counts.tokens == sum(map(tokens_of, parts))
    assert compute.counts.unshared == sum(map(unshared_tokens_of, parts)) == 107
    assert compute.counts.padding == 0
    compute.counts.reset()
    assert (compute.counts.tokens, compute.counts.unshared) == (0, 0)


# What stays as it is, and what is dropped out.


def test_scores_drop_nothing_out_and_leave_modes_alone() -> None:
    model = make("internvl")
    model.model.vision_tower.encoder.layer[0].dropout.p = 0.5
    model.train()
    model.model.language_model.eval()
    before = {name: module.training for name, module in model.named_modules()}
    compute, parts = Compute(model), parts_of("internvl")
    first, second = compute.scores(parts), compute.scores(parts)
    assert_scores(first, second, 0)
    assert not any(score.requires_grad for score in first)
    assert {name: module.training for name, module in model.named_modules()} == before
    torch.manual_seed(0)
    dropped = compute.backward(parts, loss_of)
    assert not torch.equal(dropped[0], first[0])
    torch.testing.assert_close(dropped[2], first[2])  # the row without a picture


def test_the_model_attends_as_before_afterwards() -> None:
    model = make("qwen2_vl")
    before = model.config.get_text_config()._attn_implementation, model.config.vision_config._attn_implementation

    def broken(part: StepPart, policy: Tensor) -> Tensor:
        raise KeyError("loss")

    with pytest.raises(KeyError):
        Compute(model).backward(parts_of("qwen2_vl"), broken)
    after = model.config.get_text_config()._attn_implementation, model.config.vision_config._attn_implementation
    assert after == before == ("sdpa", "sdpa")


# Checkpointing, adapters, 16-bit numbers.


@pytest.mark.parametrize("name", ["llama", "idefics3", "qwen2_5_vl"])
def test_gradient_checkpointing(name: str) -> None:
    model, parts = make(name), parts_of(name)
    _, wanted = oracle(model, parts)
    model.train()
    model.gradient_checkpointing_enable()
    for budget in BUDGETS.values():
        _, gradient, _ = run(model, parts, max_pack_tokens=budget)
        assert difference(gradient, wanted) < 1e-4
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    model.enable_input_require_grads()
    _, gradient, _ = run(model, parts, max_pack_tokens=10_000)
    assert difference(gradient, wanted) < 1e-4
    with pytest.raises(MmprError, match="use_reentrant"):
        run(model, parts, max_pack_tokens=0)


@pytest.mark.parametrize("name", ["llama", "smolvlm", "qwen2_vl"])
def test_adapters(name: str) -> None:
    peft = pytest.importorskip("peft")
    model, parts = make(name), parts_of(name)
    base = Compute(model).scores(parts)
    config = peft.LoraConfig(r=2, target_modules=r".*(text|language)?_?model\.layers\.[12].*(q|v|down)_proj")
    adapted = peft.get_peft_model(model, config)
    for parameter_name, parameter in adapted.named_parameters():
        if "lora_B" in parameter_name:
            nn.init.normal_(parameter, std=0.3)
    assert unwrap(adapted) is model
    scores, wanted = oracle(model, parts)
    assert wanted
    assert all("lora" in parameter for parameter in wanted)
    assert not torch.allclose(scores[0], base[0], rtol=1e-3)
    for budget in BUDGETS.values():
        compute = Compute(adapted, max_pack_tokens=budget)
        adapted.zero_grad()
        assert_scores(compute.backward(parts, loss_of), scores, 1e-5)
        assert difference(gradients(model), wanted) < 1e-4
        with adapted.disable_adapter():
            assert_scores(compute.scores(parts), base, 1e-5)


def test_adapters_in_the_output_layer_share_nothing(caplog: pytest.LogCaptureFixture) -> None:
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(make("llama"), peft.LoraConfig(r=2, target_modules=["lm_head", "q_proj"]))
    nn.init.normal_(adapted.get_output_embeddings().lora_B["default"].weight)
    parts = parts_of("llama")
    scores, wanted = oracle(adapted, parts)
    adapted.zero_grad()
    assert_scores(Compute(adapted).backward(parts, loss_of), scores, 1e-5)
    assert difference(gradients(adapted), wanted) < 1e-4
    assert "not a plain matrix" in caplog.text


def test_prompt_learning_is_refused() -> None:
    peft = pytest.importorskip("peft")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(MmprError, match="before the prompt"):
        Compute(peft.get_peft_model(make("llama"), config))


@pytest.mark.parametrize("name", ["llama", "internvl", "qwen2_vl"])
@pytest.mark.parametrize("budget", BUDGETS.values())
def test_bfloat16(name: str, budget: int) -> None:
    scores, wanted = oracle(make(name), parts_of(name))
    model = make(name, torch.bfloat16)
    own, _ = oracle(model, parts_of(name, torch.bfloat16))
    found, gradient, _ = run(model, parts_of(name), max_pack_tokens=budget)
    assert found[0].dtype == torch.float32
    for one, exact, rounded in zip(found, scores, own, strict=True):
        assert (one - exact).abs().max() < 2 * (rounded.float() - exact).abs().max() + 0.3
    head = model.get_output_embeddings().weight
    for parameter in (
        next(key for key, value in model.named_parameters() if value is head),
        next(key for key in wanted if key.endswith("layers.0.mlp.up_proj.weight")),
    ):
        cosine = nn.functional.cosine_similarity(gradient[parameter].float().flatten(), wanted[parameter].flatten(), 0)
        assert cosine > 0.99


# Families that were not shown, and rows that hold what was not shown.


def unknown_models() -> dict[str, tuple[Any, str]]:
    from transformers import (
        Gemma2Config,
        Gemma2ForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    torch.manual_seed(3)
    window = Qwen2Config(**TEXT, use_sliding_window=True, sliding_window=4, max_window_layers=1)
    dynamic = LlamaConfig(
        **TEXT,
        max_position_embeddings=16,
        rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    )
    return {
        "mistral": (MistralForCausalLM(MistralConfig(**TEXT, sliding_window=4)), "'mistral' were not shown"),
        "gemma2": (Gemma2ForCausalLM(Gemma2Config(**TEXT, head_dim=8, sliding_window=4)), "'gemma2' were not shown"),
        "window": (Qwen2ForCausalLM(window), "layers of sliding_attention"),
        "dynamic": (LlamaForCausalLM(dynamic), "depend on the length"),
        "dropout": (LlamaForCausalLM(LlamaConfig(**TEXT, attention_dropout=0.1)).eval(), "drops out attention"),
    }


@pytest.mark.parametrize("name", ["mistral", "gemma2", "window", "dynamic", "dropout"])
def test_what_was_not_shown_is_not_shared(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model, reason = unknown_models()[name]
    parts = parts_of("llama")
    scores, wanted = oracle(model, parts)
    found, gradient, compute = run(model, parts, max_pack_tokens=25)
    assert_scores(found, scores, 1e-5)
    assert difference(gradient, wanted) < 1e-4
    assert_scores(compute.scores(parts), scores, 1e-5)
    assert reason in caplog.text
    assert "sequence of its own" in caplog.text


def test_a_row_with_something_unknown_is_not_shared(caplog: pytest.LogCaptureFixture) -> None:
    model = make("internvl")
    known, unknown = parts_of("internvl")[:2]
    unknown.row.extras["image_sizes"] = torch.tensor([[16, 16]])  # type: ignore[index]
    scores, wanted = oracle(model, [known, unknown])
    with caplog.at_level(logging.WARNING):
        found, gradient, compute = run(model, [unknown, known])
    assert_scores(found, scores[::-1], 1e-5)
    assert difference(gradient, wanted) < 1e-4
    assert caplog.text.count("image_sizes") == 1
    assert_scores(compute.scores([known, unknown]), scores, 1e-5)


def test_token_types_of_a_processor_are_taken_and_made_anew() -> None:
    model, part = make("qwen2_vl"), parts_of("qwen2_vl")[0]
    wanted = [alone(model, part.row, i).detach() for i in part.used]
    part.row.extras["mm_token_type_ids"] = (part.row.prompt_ids == 59).long()[None]  # type: ignore[index]
    for sharing in ("auto", "off"):
        assert_scores(Compute(model, sharing=sharing).scores([part]), [torch.stack(wanted)], 1e-5)
